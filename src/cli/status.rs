//! `status`: the health of every partition and tablet.

use super::out::Out;
use crate::run::Scope;
use crate::snapshot;

use super::args;
use super::failure::{Exit, Failure};
use super::recover::now_ms;
use super::sandbox::{introduction, rows_of};
use super::scope::scope;
use super::session::Session;

/// Runs the command.
///
/// # Errors
/// The cluster does not answer, or something asked for does not exist.
pub async fn run(args: &args::Status, out: &Out) -> Result<Exit, Failure> {
    let scope = scope(&args.which)?.unwrap_or(Scope::All);
    let session = Session::open(&args.at, &args.embedded, out.waits()).await?;
    let shown = show(args, &scope, &session, out).await;
    let closed = session.close().await;
    let exit = shown?;
    closed.map(|()| exit)
}

async fn show(args: &args::Status, scope: &Scope, session: &Session, out: &Out) -> Result<Exit, Failure> {
    let seen = snapshot::collect(&session.cluster, &session.name, now_ms()).await?;
    scope
        .check(&seen)
        .map_err(|error| Failure::from(error).after_looking(&seen, scope, session.cluster.rpc_counts().into()))?;
    introduction(session).iter().for_each(|text| out.say()(text));
    let healthy = out.status(&seen, scope, args.full, None)?;
    if let Some(rows) = rows_of(session) {
        out.sandbox(&rows)?;
    }
    out.look_summary(&seen, scope, session.cluster.rpc_counts().into())?;
    Ok(if healthy { Exit::Healthy } else { Exit::Unhealthy })
}
