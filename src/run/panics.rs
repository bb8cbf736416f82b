//! Faults of our own: a panic is a value, and a listener's stops nobody but itself.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

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

pub(super) fn panic_text(error: tokio::task::JoinError) -> String {
    let Ok(payload) = error.try_into_panic() else { return "the run was cancelled".to_owned() };
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}
