//! `recover`: plan, and unless it is a dry run, do it.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::anyhow;

use super::out::Out;
use crate::cluster::Patience;
use crate::model::Endpoint;
use crate::playbook::{self, Playbook};
use crate::recovery::{LossKind, PartitionPlan};
use crate::run::{
    AutoFailoverSeen, Consent, Event, KeptPlan, PlanId, Prepared, RecoverError, Recovered, Recovery, Rpc, Scope,
    Selector, Service, Sizes, Status, Summary, UnfinishedWork, Verdict, Widths, nobody_answers, prepare_plan,
    read_plan, save_plan, summary_of_plan,
};
use crate::snapshot;
use crate::ui::{
    About, ComparisonLine, Explaining, Explanation, LeaderRule, Listed, by_hand, how_long_text, kept_off_text,
    was_switched_off,
};

use super::args;
use super::beside::{lead_beside, would_lead_beside};
use super::caller::now_ms;
use super::failure::{Exit, Failure, exit_of_stop};
use super::resending::would_resend;
use super::sandbox::{introduction, rows_of};
use super::sandbox_lines::SandboxLine;
use super::session::Session;
use super::signal::{Signals, Words};
use super::{given_up, scope};

/// Runs the command.
///
/// # Errors
/// Why nothing was done.
pub async fn run(args: &args::recover::Recover, out: &Out) -> Result<Exit, Failure> {
    let work = Work::of(args)?;
    if let Some(file) = &args.snapshot {
        let seen = snapshot::read(file)?;
        let planned = prepare_plan(seen.clone(), &work.playbook, &work.scope, UnfinishedWork::default(), None);
        let prepared = planned
            .and_then(|planned| Ok(planned.led_by(work.consent.leader.as_ref(), &work.playbook, &work.scope)?))
            .map_err(|error| Failure::from(error).after_looking(&seen, &work.scope, Rpc::default()))?;
        show_plan(args, &work, &prepared, out)?;
        return plan_summary(&prepared, &work.scope, Rpc::default(), None, out);
    }
    let timeout = args.timeout.map(Duration::from_secs);
    let signals = if args.only_plans() { Signals::unheard() } else { Signals::listen(timeout, WORDS, out)? };
    // A run may be started together with the cluster; a plan for one that is not there is of no use.
    let patience = if args.only_plans() { Patience::Registered } else { Patience::Starting };
    let opened = signals.unless_stopped(Session::open_with(patience, &args.at, &args.embedded, out.waits())).await;
    let session = opened??;
    signals.found(&session.reach);
    let done = on_cluster(args, work, &session, &signals, out).await;
    session.end(done).await
}

/// What it says when it is stopped.
const WORDS: Words = Words {
    idle: "nothing was changed",
    first: "waiting for calls in progress, then restoring auto_failover",
    second: "Calls in progress may still take effect, and auto_failover may be off. Run the same command to continue",
    goes_on: true,
};

/// What the command line asks for, read.
struct Work {
    scope: Scope,
    playbook: Playbook,
    /// The playbook's text.
    text: String,
    consent: Consent,
}

impl Work {
    fn of(args: &args::recover::Recover) -> Result<Self, Failure> {
        let without = args.without.iter().map(|endpoint| Endpoint::from(endpoint.as_str())).collect();
        let (losses_of, release) = (args.accept_data_loss.clone(), args.release_failover);
        let leader = args.leader.as_deref().map(Endpoint::from);
        let consent = Consent { plan: None, losses_of, without, leader, release };
        let Some(file) = &args.plan else {
            let scope = match &args.explain {
                Some(partitions) => Scope::Some(Selector::partitions(partitions)?),
                None => scope::required(&args.which)?,
            };
            let (file, text) = playbook::load(&args.playbook)?;
            let playbook = waiting(args, Playbook::parse(&file, &text)?);
            return Ok(Self { scope, playbook, text, consent });
        };
        let plan = read_plan(file)?;
        let (scope, text) = (plan.its_partitions(), plan.playbook.clone());
        let playbook = waiting(args, Playbook::parse(&format!("the playbook in {}", file.display()), &text)?);
        Ok(Self { scope, playbook, text, consent: Consent { plan: Some(plan), ..consent } })
    }
}

/// The playbook with what the command line says of it.
fn waiting(args: &args::recover::Recover, playbook: Playbook) -> Playbook {
    let playbook = match args.wait_for_tablets {
        Some(time) => playbook.waiting_for_tablets(time),
        None => playbook,
    };
    match args.compare_rows_up_to {
        Some(rows) => playbook.comparing_rows_up_to(rows),
        None => playbook,
    }
}

async fn on_cluster(
    args: &args::recover::Recover,
    work: Work,
    session: &Session,
    signals: &Signals,
    out: &Out,
) -> Result<Exit, Failure> {
    let dir = session.record_dir(args.record_dir.as_deref())?;
    let recovery = Recovery {
        session: session.work(&dir, signals, out.listener())?,
        scope: work.scope.clone(),
        playbook: work.playbook.clone(),
        playbook_text: work.text.clone(),
        consent: work.consent.clone(),
        only_plans: args.only_plans(),
        widths: Widths::default(),
    };
    let seen = signals.unless_stopped(recovery.see(&session.cluster)).await??;
    let rpc = || session.cluster.rpc_counts().into();
    let prepared = signals
        .unless_stopped(recovery.prepare(&session.cluster, seen.clone()))
        .await?
        .map_err(|error| Failure::from(error).after_looking(&seen, &work.scope, rpc()))?;
    out.learn(&prepared.snapshot);
    introduction(session).iter().for_each(|text| out.say()(text));
    let is_sandbox = session.sandbox.is_some();
    if is_sandbox {
        out.status(&prepared.snapshot, &work.scope, listed(args), Some("before"), &[])?;
    }
    if args.only_plans() {
        show_plan(args, &work, &prepared, out)?;
        would_lead_beside(&prepared.snapshot, &work.scope).iter().for_each(|text| out.say()(text));
        // What cannot be asked is left out: the plan does not rest on it.
        let sizes = Sizes::of(&session.cluster.polled().await.unwrap_or_default());
        would_resend(&prepared.plan, &sizes).into_iter().for_each(|text| (out.listener())(&Event::Note { text }));
        return plan_summary(&prepared, &work.scope, session.cluster.rpc_counts().into(), rows_of(session), out);
    }
    let up_to = work.playbook.compare_rows_up_to();
    signals.unless_stopped(given_up::keep(&prepared, up_to, session, &dir, out)).await??;
    not_accepted(&prepared, &work.consent).iter().for_each(|text| out.say()(text));
    let waits = work.playbook.wait_for_tablets().1;
    nobody_answers(&prepared.snapshot, waits).iter().for_each(|text| out.say()(text));
    say_how_long(&prepared, &work.scope, session.pace, out)?;
    let before = summary_of_plan(&prepared.plan, prepared.auto_failover_before(), rpc());
    let ended = recovery.run(&session.cluster, prepared).await;
    out.finish();
    let recovered = match ended {
        Ok(recovered) => recovered,
        Err(error) => return Err(ended_early(error, Summary { rpc: rpc(), ..before }, session)),
    };
    let recovered = lead_beside(recovered, (&work.scope, up_to), &dir, session, signals, out).await?;
    if is_sandbox {
        let seen = snapshot::collect(&session.cluster, &session.name, now_ms()).await?;
        out.status(&seen, &work.scope, listed(args), Some("after"), &[])?;
    }
    if let Some(rows) = rows_of(session) {
        out.sandbox(&rows)?;
    }
    let by_hand = by_hand(&session.reach, recovered.summary.auto_failover.before);
    let exit = exit_of(&recovered, by_hand.clone());
    out.recovered(&recovered, &by_hand, exit.is_err())?;
    let held_for = &recovered.summary.auto_failover.held_for;
    if out.is_json() && !held_for.is_empty() {
        out.say()(&kept_off_text(held_for));
    }
    exit.map_err(|failure| Failure { summary: Some(Box::new(recovered.summary)), ..failure })
}

/// What accepting losses has left out: what cannot be looked at is accepted by its tablet's name.
fn not_accepted(prepared: &Prepared, consent: &Consent) -> Option<String> {
    consent.losses_of.as_ref()?;
    let losses = prepared.plan.partitions.iter().flat_map(|planned| &planned.losses);
    let unnamed = losses.filter(|loss| loss.kind == LossKind::OutOfReach && !consent.without.contains(&loss.endpoint));
    let unnamed: BTreeSet<&Endpoint> = unnamed.map(|loss| &loss.endpoint).collect();
    if unnamed.is_empty() {
        return None;
    }
    let names: Vec<&str> = unnamed.iter().map(|endpoint| endpoint.as_str()).collect();
    let without: String = names.iter().map(|name| format!(" --without {name}")).collect();
    Some(format!(
        "the loss of what {} may hold is not accepted: nobody can look at it, so it has to be named; add{without}",
        names.join(", ")
    ))
}

/// Says once, before a run that takes minutes, how many, and what would take fewer.
fn say_how_long(prepared: &Prepared, scope: &Scope, pace: f64, out: &Out) -> Result<(), Failure> {
    const LONG_MS: f64 = 60_000.0;
    if let Some((planned, faster)) = prepared.takes_long((LONG_MS * pace) as u64, scope)? {
        out.say()(&how_long_text(&planned, faster.as_ref(), pace));
    }
    Ok(())
}

fn listed(args: &args::recover::Recover) -> Listed {
    if args.full { Listed::All } else { Listed::Unhealthy }
}

/// Prints the plan under its id, and keeps it if it is to be kept.
fn show_plan(args: &args::recover::Recover, work: &Work, prepared: &Prepared, out: &Out) -> Result<(), Failure> {
    let kept = KeptPlan::of(prepared, &work.text, &work.scope);
    if args.explain.is_some() {
        return explain(work, prepared, &kept.id(), out);
    }
    let service = Service::of(&Status::of(&prepared.snapshot, &work.scope));
    if let Some(file) = &args.out {
        save_plan(&kept, file)?;
    }
    out.plan(prepared, &work.playbook, &kept.id(), args.out.as_deref(), (&service, args.full))?;
    let playbooks = prepared.compared(&work.scope)?;
    if !playbooks.is_empty() {
        out.comparison(&ComparisonLine { playbook: &prepared.plan.playbook, playbooks: &playbooks })?;
    }
    Ok(())
}

/// Tells in words what is known of each partition in scope, and what would be done.
fn explain(work: &Work, prepared: &Prepared, id: &PlanId, out: &Out) -> Result<(), Failure> {
    let status = Status::of(&prepared.snapshot, &work.scope);
    for (nth, status) in status.partitions.iter().enumerate() {
        if nth > 0 && !out.is_json() {
            out.text("\n")?;
        }
        let same =
            |planned: &&PartitionPlan| (planned.partition.tid, planned.partition.pid) == (status.tid, status.pid);
        let planned = prepared.plan.partitions.iter().find(same);
        let (snapshot, rule) = (&prepared.snapshot, LeaderRule::of(&work.playbook));
        let explanation = Explanation::of(&Explaining { snapshot, status, planned, rule, id });
        out.explanation(explanation)?;
    }
    Ok(())
}

fn plan_summary(
    prepared: &Prepared,
    scope: &Scope,
    rpc: Rpc,
    rows: Option<SandboxLine>,
    out: &Out,
) -> Result<Exit, Failure> {
    if let Some(rows) = rows {
        out.sandbox(&rows)?;
    }
    let summary = summary_of_plan(&prepared.plan, prepared.snapshot.auto_failover, rpc);
    let summary = summary.serving(&Status::of(&prepared.snapshot, scope));
    out.summary(&summary, About::Plan)?;
    Ok(exit_of_plan(&summary))
}

/// What a dry run's sentence says, as an exit code.
pub(super) fn exit_of_plan(summary: &Summary) -> Exit {
    if summary.blocked.is_empty() { Exit::Healthy } else { Exit::Partial }
}

/// A run that could not look again at its end, or never came to the partitions.
fn ended_early(error: RecoverError, mut summary: Summary, session: &Session) -> Failure {
    let held_for = match &error {
        RecoverError::Step { held_for, .. } | RecoverError::NotSeenAgain { held_for, .. } => held_for.to_vec(),
        _ => Vec::new(),
    };
    let failure = Failure::from(error);
    if !held_for.is_empty() {
        let hint = kept_off_text(&held_for);
        summary.auto_failover = AutoFailoverSeen { after: false, held_for, ..summary.auto_failover };
        return failure.hint(hint).failed(summary);
    }
    if failure.exit != Exit::NotRestored {
        return failure.failed(summary);
    }
    let before = summary.auto_failover.before;
    summary.auto_failover.after = !before;
    failure.hint(by_hand(&session.reach, before)).failed(summary)
}

/// The exit code that says how it went. auto_failover that could not be restored wins, and is said last.
pub(super) fn exit_of(recovered: &Recovered, by_hand: String) -> Result<Exit, Failure> {
    if let Some(error) = &recovered.not_restored {
        let on = if recovered.summary.auto_failover.before { "on" } else { "off" };
        let error = anyhow!("auto_failover could not be restored; it was {on} before: {error}");
        return Err(Failure { exit: Exit::NotRestored, ..Failure::error(error) }.hint(by_hand));
    }
    if let Some(panic) = &recovered.panicked {
        let error = anyhow!("the run hit an internal error: {panic}");
        return Err(Failure::error(error).hint("run the same command again; please report this with the record file"));
    }
    if let Some(error) = &recovered.unrecorded {
        let error = anyhow!("the record could not be written ({error}), so nothing more was sent");
        return Err(
            Failure::error(error).hint("make room on its disk, or choose another with --record-dir, and run again")
        );
    }
    Ok(match (recovered.stopped, recovered.summary.verdict) {
        (Some(stop), _) => exit_of_stop(stop),
        // Whoever switched it off, nobody takes over from a tablet that is lost.
        (None, Verdict::Recovered | Verdict::Healthy) if was_switched_off(&recovered.summary) => Exit::Partial,
        (None, Verdict::Recovered | Verdict::Healthy) => Exit::Healthy,
        (None, Verdict::Partial | Verdict::Refused | Verdict::Interrupted | Verdict::Failed) => Exit::Partial,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::recovery::{Counts, Plan};

    fn exit(before: bool, after: bool) -> Exit {
        let counts = Counts { total: 1, healthy: 1, ..Counts::default() };
        let plan = Plan { playbook: "recover".to_owned(), partitions: Vec::new(), counts };
        let summary = summary_of_plan(&plan, before, Rpc::default());
        let auto_failover = AutoFailoverSeen::of(before, after, &[]);
        let recovered = Recovered {
            summary: Summary { verdict: Verdict::Recovered, auto_failover, ..summary },
            stopped: None,
            not_restored: None,
            panicked: None,
            unrecorded: None,
            still_going_on: Vec::new(),
        };
        exit_of(&recovered, String::new()).unwrap()
    }

    #[test]
    fn on_before_and_off_now_never_ends_with_0() {
        assert_eq!(exit(true, false), Exit::Partial);
        assert_eq!(
            (exit(true, true), exit(false, false), exit(false, true)),
            (Exit::Healthy, Exit::Healthy, Exit::Healthy)
        );
    }
}
