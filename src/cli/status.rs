//! `status`: the health of every partition and tablet.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::out::Out;
use crate::cluster::DiscoveryError;
use crate::model::{TableName, counted};
use crate::run::{
    Checking, Compares, Diagnosis, Event, RowsCompared, Scope, Status, Stop, Summary, Verdict, diagnose,
    summary_of_status, unhealthy_in,
};
use crate::snapshot;
use crate::ui::{About, CheckLine, Listed, check_text, names_text};

use super::args::look::{self, Format};
use super::caller::now_ms;
use super::failure::{Exit, Failure};
use super::runs::runs;
use super::sandbox::{introduction, rows_of};
use super::scope::scope;
use super::session::Session;
use super::watch::watch;

/// Runs the command.
///
/// # Errors
/// The cluster does not answer, or something asked for does not exist.
pub async fn run(args: &look::Status, out: &Out) -> Result<Exit, Failure> {
    if args.check {
        return check(args, out).await;
    }
    let scope = scope(&args.which)?.unwrap_or(Scope::All);
    let session = match Session::open(&args.at, &args.embedded, out.waits()).await {
        Ok(session) => session,
        // By an address that somebody gave, all that is known is that nobody is there.
        Err(failure) if out.is_by_zookeeper() => return Err(no_nameserver(failure, out)),
        Err(failure) => return Err(failure),
    };
    let shown = match args.watch {
        Some(every) => watch(args, Duration::from_secs(every), &scope, &session, out).await,
        None => show(args, &scope, &session, out).await,
    };
    session.end(shown).await
}

async fn show(args: &look::Status, scope: &Scope, session: &Session, out: &Out) -> Result<Exit, Failure> {
    let seen = snapshot::collect(&session.cluster, &session.name, now_ms()).await?;
    scope
        .check(&seen)
        .map_err(|error| Failure::from(error).after_looking(&seen, scope, session.cluster.rpc_counts().into()))?;
    introduction(session).iter().for_each(|text| out.say()(text));
    let listed = match args.format {
        Some(Format::Wide) => Listed::Wide,
        _ if args.full => Listed::All,
        _ => Listed::Unhealthy,
    };
    if args.format == Some(Format::Name) {
        let status = Status::of(&seen, scope);
        let summary = summary_of_status(&status, session.cluster.rpc_counts().into());
        out.ends().knows(&summary);
        out.text(&names_text(&status, listed))?;
        return Ok(exit_of_look(&summary));
    }
    let found = diagnose(&seen, &Status::of(&seen, &Scope::All), &runs(args, session, &seen, out).await?);
    out.status(&seen, scope, listed, None, &found)?;
    if let Some(rows) = rows_of(session) {
        out.sandbox(&rows)?;
    }
    if !args.deep {
        let summary = out.look_summary(About::Look, &seen, scope, session.cluster.rpc_counts().into(), None, None)?;
        return Ok(exit_of_look(&summary));
    }
    // A look can be broken off at any moment: nothing has to be cleaned up.
    let (_never, stop) = watch::channel(Stop::No);
    let known = unhealthy_in(&seen, scope);
    let rows = Mutex::new(RowsTold::new());
    let tell = |event: &Event, done: usize, of: usize| {
        if let Ok(mut told) = rows.lock() {
            told.note(event, done, of, out);
        }
    };
    let checking = Checking {
        scope,
        memories: &BTreeMap::new(),
        known,
        pace: session.pace,
        compares: if args.rows { Compares::All(&tell) } else { Compares::WhereCountsDiffer },
        compare_rows_up_to: args.compare_rows_up_to,
        stop,
    };
    let (last, found) = checking.until_it_stands(&session.cluster, seen).await?;
    let in_scope = Status::of(&last, scope).counts.partitions;
    let rows = rows.into_inner().ok().filter(|_| args.rows).map(|told| told.of(in_scope));
    let rpc = session.cluster.rpc_counts().into();
    let summary = out.look_summary(About::Look, &last, scope, rpc, Some(found), rows)?;
    Ok(exit_of_look(&summary))
}

/// One line, whatever is seen: the caller reads nothing else.
async fn check(args: &look::Status, out: &Out) -> Result<Exit, Failure> {
    let line = look_once(args, out).await.unwrap_or_else(|failure| {
        out.ends().fails(&failure.to_string());
        CheckLine::unknown(&failure.to_string())
    });
    out.text_or(&check_text(&line), &line)?;
    Ok(Exit::Checked(line.state))
}

async fn look_once(args: &look::Status, out: &Out) -> Result<CheckLine, Failure> {
    let scope = scope(&args.which)?.unwrap_or(Scope::All);
    let session = Session::open(&args.at, &args.embedded, out.waits()).await?;
    let seen = snapshot::collect(&session.cluster, &session.name, now_ms()).await;
    let rpc = session.cluster.rpc_counts().into();
    session.close().await?;
    let seen = seen?;
    scope.check(&seen)?;
    let status = Status::of(&seen, &scope);
    out.ends().knows(&summary_of_status(&status, rpc));
    Ok(CheckLine::of(&status))
}

/// How often it is said how far comparing all rows has come.
const SAID_EVERY: Duration = Duration::from_secs(10);

/// What has been said of rows that were compared.
struct RowsTold {
    /// What was last seen of each partition: another replica may have been loaded since.
    same: BTreeMap<(TableName, u32), Option<bool>>,
    last_said: Instant,
}

impl RowsTold {
    fn new() -> Self {
        Self { same: BTreeMap::new(), last_said: Instant::now() }
    }

    fn note(&mut self, event: &Event, done: usize, of: usize, out: &Out) {
        let Event::RowsChecked { table, pid, same, .. } = event else { return };
        self.same.insert((table.clone(), *pid), *same);
        (out.listener())(event);
        if self.last_said.elapsed() >= SAID_EVERY && done < of {
            self.last_said = Instant::now();
            out.say()(&format!("the rows of {done} of {} have been compared", counted(of, "partition")));
        }
    }

    /// The counts, if this many partitions are in scope.
    fn of(self, partitions: usize) -> RowsCompared {
        let how_many = |wanted| self.same.values().filter(|same| **same == wanted).count();
        RowsCompared {
            same: how_many(Some(true)),
            differ: how_many(Some(false)),
            not_compared: how_many(None),
            alone: partitions.saturating_sub(self.same.len()),
        }
    }
}

/// What the sentence says, as an exit code.
pub(super) fn exit_of_look(summary: &Summary) -> Exit {
    if summary.verdict == Verdict::Healthy { Exit::Healthy } else { Exit::Unhealthy }
}

/// A cluster without a nameserver is a case of its own.
fn no_nameserver(failure: Failure, out: &Out) -> Failure {
    let why = failure.error.downcast_ref::<DiscoveryError>().filter(|error| {
        matches!(
            error,
            DiscoveryError::NoNameserver { .. }
                | DiscoveryError::LeaderUnreachable { .. }
                | DiscoveryError::NotLeading { .. }
        )
    });
    let Some(why) = why.map(ToString::to_string) else { return failure };
    // Should stdout be gone, the error is told all the same.
    let _ = out.diagnoses(&[Diagnosis::of_no_nameserver(&why)]);
    failure
}
