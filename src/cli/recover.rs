//! `recover`: plan, and unless it is a dry run, do it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::anyhow;
use tokio::sync::watch;

use crate::playbook::Playbook;
use crate::run::{Prepared, Recovered, Recovery, Rpc, Scope, Stop, Verdict, Widths, prepare_plan, summary_of_plan};
use crate::snapshot;
use super::out::Out;

use super::args;
use super::failure::{Exit, Failure};
use super::sandbox::Books;
use super::session::Session;
use super::{scope, signal};

/// Runs the command.
///
/// # Errors
/// Why nothing was done.
pub async fn run(args: &args::Recover, out: &mut Out) -> Result<Exit, Failure> {
    let scope = scope::required(&args.which)?;
    let playbook = Playbook::find(&args.playbook)?;
    if let Some(file) = &args.snapshot {
        let prepared = prepare_plan(snapshot::read(file)?, &playbook, &scope, None)?;
        return dry_run(&prepared, &playbook, Rpc::default(), out);
    }
    let session = Session::open(&args.at, &args.embedded, out.progress()).await?;
    let done = on_cluster(args, scope, playbook, &session, out).await;
    let closed = session.close().await;
    let exit = done?;
    closed.map(|()| exit)
}

async fn on_cluster(
    args: &args::Recover,
    scope: Scope,
    playbook: Playbook,
    session: &Session,
    out: &mut Out,
) -> Result<Exit, Failure> {
    let books = Books::open(session);
    let stop = if args.dry_run { watch::channel(Stop::No).1 } else { listen(args, session, out)? };
    let recovery = Recovery {
        cluster_name: session.name.clone(),
        scope: scope.clone(),
        playbook: playbook.clone(),
        record_dir: record_dir(args.record_dir.clone(), session)?,
        widths: Widths::default(),
        pace: session.pace,
        listener: out.listener(),
        stop,
        now_ms: now_ms(),
    };
    let prepared = recovery.look(&session.cluster).await?;
    if let Some(books) = &books {
        out.sandbox_started(books.scenario(), session.pace)?;
        out.status_before(&prepared.snapshot, &scope)?;
    }
    if args.dry_run {
        if let Some(books) = &books {
            out.sandbox(&books.close(session).await)?;
        }
        return dry_run(&prepared, &playbook, session.cluster.rpc_counts().into(), out);
    }
    let recovered = recovery.run(&session.cluster, prepared).await?;
    if let Some(books) = &books {
        let seen = snapshot::collect(&session.cluster, &session.name, now_ms()).await?;
        out.status_after(&seen, &scope)?;
        out.sandbox(&books.close(session).await)?;
    }
    out.summary(&recovered.summary)?;
    last_words(&recovered, out)
}

fn dry_run(prepared: &Prepared, playbook: &Playbook, rpc: Rpc, out: &mut Out) -> Result<Exit, Failure> {
    out.plan(&prepared.plan, playbook, &prepared.snapshot)?;
    let summary = summary_of_plan(&prepared.plan, prepared.snapshot.auto_failover, rpc);
    out.plan_summary(&summary)?;
    Ok(if summary.blocked.is_empty() { Exit::Healthy } else { Exit::Partial })
}

/// What has to be said last, and the exit code that says it.
fn last_words(recovered: &Recovered, out: &mut Out) -> Result<Exit, Failure> {
    if let Some(error) = &recovered.not_restored {
        let on = recovered.summary.auto_failover.before;
        let error = anyhow!("auto_failover could not be given back ({error}); it was {}", if on { "on" } else { "off" });
        return Err(Failure { exit: Exit::NotRestored, error, hint: Some(by_hand(on)) });
    }
    if let Some(panic) = &recovered.panicked {
        let error = anyhow!("the run stopped at a fault of its own: {panic}");
        return Err(Failure::error(error).hint("run the same command again; please report this with the record file"));
    }
    match recovered.stopped {
        Some(Stop::Signal(number)) => {
            out.note("interrupted: auto_failover is as it was, nothing more was sent; run the same command to go on")?;
            Ok(Exit::Signal(number))
        }
        Some(Stop::Deadline) => {
            out.note("the deadline passed: auto_failover is as it was; run the same command to go on")?;
            Ok(Exit::Deadline)
        }
        Some(Stop::No) | None => Ok(match recovered.summary.verdict {
            Verdict::Recovered | Verdict::Healthy => Exit::Healthy,
            Verdict::Partial | Verdict::Refused | Verdict::Failed => Exit::Partial,
        }),
    }
}

/// The command that gives auto_failover back without us.
fn by_hand(on: bool) -> String {
    format!("in ns_client (openmldb --zk_cluster=... --zk_root_path=... --role=ns_client): confset auto_failover {on}")
}

fn listen(args: &args::Recover, session: &Session, out: &Out) -> Result<watch::Receiver<Stop>, Failure> {
    let cluster = session.cluster.clone();
    let say = out.notes();
    let second = move |number: i32| {
        say(&format!(
            "interrupted again: ending at once. Calls under way may still take effect on {}; auto_failover may be off. To see: \
             openmldb-ops status; to give it back, {}",
            cluster.leader(),
            by_hand(true)
        ));
        std::process::exit(i32::from(Exit::Signal(number).code()));
    };
    Ok(signal::listen(args.timeout.map(Duration::from_secs), second)?)
}

/// Where records are kept: as told, or in the XDG state directory. A sandbox's records die with it.
fn record_dir(told: Option<PathBuf>, session: &Session) -> Result<PathBuf, Failure> {
    if let Some(dir) = told {
        return Ok(dir);
    }
    if session.sandbox.is_some() {
        return Ok(std::env::temp_dir().join(format!("openmldb-ops-sandbox-{}", std::process::id())));
    }
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/state")));
    let state = state.ok_or_else(|| Failure::usage(anyhow!("neither XDG_STATE_HOME nor HOME is set")).hint("use --record-dir DIR"))?;
    Ok(state.join("openmldb-ops"))
}

/// The wall clock, in milliseconds since 1970.
pub(super) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Only here so that listeners can be shared with tasks.
pub(super) type Notes = Arc<dyn Fn(&str) + Send + Sync>;
