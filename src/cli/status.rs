//! `status`: the health of every partition and tablet.

use crate::run::Scope;
use crate::snapshot;
use super::out::Out;

use super::args;
use super::failure::{Exit, Failure};
use super::recover::now_ms;
use super::sandbox::Books;
use super::scope::scope;
use super::session::Session;

/// Runs the command.
///
/// # Errors
/// The cluster does not answer, or something asked for does not exist.
pub async fn run(args: &args::Status, out: &mut Out) -> Result<Exit, Failure> {
    let scope = scope(&args.which)?.unwrap_or(Scope::All);
    let session = Session::open(&args.at, &args.embedded, out.progress()).await?;
    let shown = show(args, &scope, &session, out).await;
    let closed = session.close().await;
    let exit = shown?;
    closed.map(|()| exit)
}

async fn show(args: &args::Status, scope: &Scope, session: &Session, out: &mut Out) -> Result<Exit, Failure> {
    let books = Books::open(session);
    let seen = snapshot::collect(&session.cluster, &session.name, now_ms()).await?;
    scope.check(&seen)?;
    if let Some(books) = &books {
        out.sandbox_started(books.scenario(), session.pace)?;
    }
    let healthy = out.status(&seen, scope, args.full)?;
    if let Some(books) = &books {
        out.sandbox(&books.close(session).await)?;
    }
    out.status_summary(&seen, scope, session.cluster.rpc_counts().into())?;
    Ok(if healthy { Exit::Healthy } else { Exit::Unhealthy })
}
