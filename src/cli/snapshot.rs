//! `snapshot`: everything that can be observed, saved.

use std::path::Path;

use crate::run::Scope;
use crate::snapshot;
use super::out::Out;

use super::args;
use super::failure::{Exit, Failure};
use super::recover::now_ms;
use super::sandbox::Books;
use super::session::Session;

/// Runs the command.
///
/// # Errors
/// The cluster does not answer, or the file cannot be written.
pub async fn run(args: &args::Snapshot, out: &mut Out) -> Result<Exit, Failure> {
    let session = Session::open(&args.at, &args.embedded, out.progress()).await?;
    let taken = take(&args.out, &session, out).await;
    let closed = session.close().await;
    let exit = taken?;
    closed.map(|()| exit)
}

async fn take(file: &Path, session: &Session, out: &mut Out) -> Result<Exit, Failure> {
    let books = Books::open(session);
    let seen = snapshot::collect(&session.cluster, &session.name, now_ms()).await?;
    if let Some(books) = &books {
        out.sandbox_started(books.scenario(), session.pace)?;
    }
    if file.as_os_str() == "-" {
        out.snapshot(&seen)?;
    } else {
        snapshot::save(&seen, file).map_err(Failure::error)?;
        out.snapshot_saved(&seen, file)?;
    }
    if let Some(books) = &books {
        out.sandbox(&books.close(session).await)?;
    }
    out.snapshot_summary(&seen, &Scope::All, session.cluster.rpc_counts().into())?;
    Ok(Exit::Healthy)
}
