//! What a command that changes a cluster has of its session, whichever command it is.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::run::{Directory, Listener, WorkSession};

use super::args::Embedded;
use super::args::shared::Where;
use super::caller::{caller, now_ms};
use super::failure::Failure;
use super::out::Out;
use super::record_dir::{self, sandbox_record_dir};
use super::session::Session;
use super::signal::Signals;

impl Session {
    /// Connects to a cluster that is to be changed, or starts the embedded one. It may be stopped meanwhile.
    ///
    /// # Errors
    /// As [`Session::open`], or it was stopped.
    pub async fn open_to_change(
        at: &Where,
        embedded: &Embedded,
        signals: &Signals,
        out: &Out,
    ) -> Result<Self, Failure> {
        let session = signals.unless_stopped(Self::open(at, embedded, out.waits())).await??;
        signals.found(&session.reach);
        Ok(session)
    }

    /// Where records of it are kept. A sandbox's die with it, unless it was told where.
    ///
    /// # Errors
    /// Nobody knows where that is.
    pub fn record_dir(&self, told: Option<&Path>) -> Result<PathBuf, Failure> {
        match (told, &self.sandbox) {
            (None, Some(_)) => Ok(sandbox_record_dir()),
            (told, _) => record_dir::dir(told.map(Path::to_owned)),
        }
    }

    /// What work that changes it is done within.
    ///
    /// # Errors
    /// A malformed root path.
    pub fn work(&self, records: &Path, signals: &Signals, listener: Listener) -> Result<WorkSession, Failure> {
        Ok(WorkSession {
            cluster_name: self.name.clone(),
            archive: Arc::new(Directory(records.to_owned())),
            caller: caller(),
            lock: self.lock(records)?,
            pace: self.pace,
            listener,
            stop: signals.stop.clone(),
            record: signals.then().record,
            now_ms: now_ms(),
        })
    }
}
