//! Faults of our own: a panic is a value, and a listener's stops nobody but itself.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Poll;

use super::event::Listener;

/// A listener that panics for itself alone: restoring auto_failover goes on without it.
pub(super) fn unbreakable(listener: &Listener) -> Listener {
    let listener = listener.clone();
    Arc::new(move |event| {
        if catch_unwind(AssertUnwindSafe(|| listener(event))).is_err() {
            tracing::error!(?event, "the listener panicked");
        }
    })
}

/// Does work whose panic is a value: its text.
pub(super) async fn caught<T>(work: impl Future<Output = T>) -> Result<T, String> {
    let mut work = Box::pin(work);
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
        Ok(polled) => polled.map(Ok),
        Err(payload) => Poll::Ready(Err(text_of(&*payload))),
    })
    .await
}

pub(super) fn panic_text(error: tokio::task::JoinError) -> String {
    error.try_into_panic().map_or_else(|_| "the run was cancelled".to_owned(), |payload| text_of(&*payload))
}

fn text_of(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}
