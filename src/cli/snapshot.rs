//! `snapshot`: everything that can be observed, saved.

use std::path::Path;

use super::out::Out;
use crate::run::Scope;
use crate::snapshot;
use crate::ui::About;

use super::args::look;
use super::caller::now_ms;
use super::failure::{Exit, Failure};
use super::sandbox::{introduction, rows_of};
use super::session::Session;

/// Runs the command.
///
/// # Errors
/// The cluster does not answer, or the file cannot be written.
pub async fn run(args: &look::Snapshot, out: &Out) -> Result<Exit, Failure> {
    let session = Session::open(&args.at, &args.embedded, out.waits()).await?;
    let taken = take(&args.out, &session, out).await;
    session.end(taken).await
}

async fn take(file: &Path, session: &Session, out: &Out) -> Result<Exit, Failure> {
    let seen = snapshot::collect(&session.cluster, &session.name, now_ms()).await?;
    introduction(session).iter().for_each(|text| out.say()(text));
    if file.as_os_str() == "-" {
        out.snapshot(&seen)?;
    } else {
        snapshot::save(&seen, file).map_err(Failure::error)?;
        out.snapshot_saved(&seen, file)?;
    }
    // A snapshot that is printed is all there is on stdout, so that it can be piped into a file.
    if file.as_os_str() != "-" || out.is_json() {
        if let Some(rows) = rows_of(session) {
            out.sandbox(&rows)?;
        }
        out.look_summary(About::Saved, &seen, &Scope::All, session.cluster.rpc_counts().into(), None, None)?;
    }
    Ok(Exit::Healthy)
}
