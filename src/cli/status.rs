//! `status`: the health of every partition and tablet.

use std::collections::BTreeMap;

use tokio::sync::watch;

use super::out::Out;
use crate::run::{Checking, Scope, Stop};
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
    if !args.deep {
        out.look_summary(&seen, scope, session.cluster.rpc_counts().into(), None)?;
        return Ok(if healthy { Exit::Healthy } else { Exit::Unhealthy });
    }
    // A look can be broken off at any moment: nothing has to be cleaned up.
    let (_never, stop) = watch::channel(Stop::No);
    let checking = Checking { scope, memories: &BTreeMap::new(), pace: session.pace, stop };
    let (last, found) = checking.until_it_stands(&session.cluster, seen).await?;
    let complete = found.is_complete();
    out.look_summary(&last, scope, session.cluster.rpc_counts().into(), Some(found))?;
    Ok(if complete { Exit::Healthy } else { Exit::Unhealthy })
}
