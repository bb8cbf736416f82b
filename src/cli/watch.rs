//! `status --watch`: looks again and again, until it is interrupted.

use std::time::Duration;

use super::failure::{Exit, Failure};
use super::look_args;
use super::out::Out;
use super::recover::now_ms;
use super::session::Session;
use super::status::runs;
use crate::model::moment;
use crate::run::{Scope, Service, Status, diagnose, summary_of_status};
use crate::snapshot;
use crate::ui::{Listed, Paint, service_text};

/// Shows what it sees, and looks again after so many seconds. On a terminal it is shown in one place; elsewhere a line is told when it
/// is another one than before. A cluster that does not answer once it has is said, and asked again.
///
/// # Errors
/// The first look fails, or stdout cannot be written.
pub(super) async fn watch(
    args: &look_args::Status,
    every: Duration,
    scope: &Scope,
    session: &Session,
    out: &Out,
) -> Result<Exit, Failure> {
    let listed = if args.full { Listed::All } else { Listed::Unhealthy };
    let watching = out.watching();
    let (mut told, mut is_first) = (String::new(), true);
    loop {
        match snapshot::collect(&session.cluster, &session.name, now_ms()).await {
            Ok(seen) => {
                if is_first {
                    scope.check(&seen)?;
                }
                let status = Status::of(&seen, scope);
                let summary = summary_of_status(&status, session.cluster.rpc_counts().into());
                out.ends().knows(&summary);
                let found = diagnose(&seen, &Status::of(&seen, &Scope::All), &runs(args, session, &seen, out).await?);
                let line = service_text(&Service::of(&status), Paint::Plain);
                let news = (line != told).then(|| format!("{}  {line}", moment(now_ms())));
                watching.looked(out, &status, &found, listed, news, &summary)?;
                told = line;
            }
            Err(error) if is_first => return Err(error.into()),
            Err(error) => out.say()(&format!("{error}; it is asked again")),
        }
        is_first = false;
        tokio::time::sleep(every).await;
    }
}
