//! A thread that prints. A terminal may be stopped (Ctrl-S), and the reader of a pipe busy with something else: whoever has something to
//! tell in the middle of its work does not wait for them.

use std::sync::mpsc::{self, SendError, Sender};
use std::thread;

/// Something to print.
type Job = Box<dyn FnOnce() + Send>;

/// Prints one after the other, in the order in which it was told. Clones are the same thread.
#[derive(Clone)]
pub struct Printing {
    jobs: Sender<Job>,
}

impl Printing {
    /// Starts the thread. If it cannot be started, callers print for themselves.
    pub fn start() -> Self {
        let (jobs, told) = mpsc::channel::<Job>();
        let printing = thread::Builder::new().name("printing".to_owned()).spawn(move || {
            told.into_iter().for_each(|print| print());
        });
        // Nobody takes anything then.
        if let Err(error) = printing {
            tracing::warn!(%error, "a terminal that is stopped stops the command");
        }
        Self { jobs }
    }

    /// Prints that once everything that was told before is printed, and does not wait for it.
    pub fn later(&self, print: impl FnOnce() + Send + 'static) {
        if let Err(SendError(print)) = self.jobs.send(Box::new(print)) {
            print();
        }
    }

    /// Waits until everything that was told before is printed.
    pub fn wait(&self) {
        let (done, is_done) = mpsc::channel::<()>();
        self.later(move || drop(done));
        let _everything_is_printed = is_done.recv();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn nobody_waits_for_what_is_printed_unless_asked_to_and_it_comes_in_order() {
        let printing = Printing::start();
        let (go_on, may_go_on) = mpsc::channel::<()>();
        let printed = Arc::new(Mutex::new(Vec::new()));
        let prints = |what: &'static str| {
            let printed = printed.clone();
            move || printed.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(what)
        };
        printing.later(move || {
            let _it_goes_on = may_go_on.recv();
        });
        printing.later(prints("first"));
        printing.clone().later(prints("second"));
        assert!(printed.lock().is_ok_and(|printed| printed.is_empty()), "the terminal is stopped");
        drop(go_on);
        printing.wait();
        assert!(printed.lock().is_ok_and(|printed| *printed == ["first", "second"]));
    }
}
