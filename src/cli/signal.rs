//! Signals: the first one lets what is under way end and cleans up, the second says what is left and ends at once.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::run::Stop;

/// SIGINT and SIGTERM, with the numbers every Unix has.
const INTERRUPT: i32 = 2;
const TERMINATE: i32 = 15;

/// Listens for signals and for the run's deadline. `first` is called with what stops the run; `second` when another signal
/// comes, and must not return.
///
/// # Errors
/// The process cannot listen for signals.
pub fn listen(
    timeout: Option<Duration>,
    first: impl Fn(Stop) + Send + 'static,
    second: impl Fn(i32) + Send + 'static,
) -> std::io::Result<watch::Receiver<Stop>> {
    let (sender, receiver) = watch::channel(Stop::No);
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::spawn(async move {
        let deadline = async {
            match timeout {
                Some(timeout) => tokio::time::sleep(timeout).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(deadline);
        let mut passed = false;
        loop {
            let stop = tokio::select! {
                _ = interrupt.recv() => Stop::Signal(INTERRUPT),
                _ = terminate.recv() => Stop::Signal(TERMINATE),
                () = &mut deadline, if !passed => { passed = true; Stop::Deadline }
            };
            match (*sender.borrow(), stop) {
                (Stop::Signal(_), Stop::Signal(number)) => second(number),
                (Stop::No, _) | (Stop::Deadline, Stop::Signal(_)) => {}
                (Stop::Signal(_) | Stop::Deadline | Stop::Unrecorded | Stop::LockLost | Stop::NoNameserver, _) => {
                    continue;
                }
            }
            first(stop);
            sender.send_replace(stop);
        }
    });
    Ok(receiver)
}
