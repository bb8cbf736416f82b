//! A plan as text: what `recover --dry-run` prints. The same plan gives the same text, byte for byte.

use std::collections::BTreeSet;

use crate::model::{Endpoint, Snapshot};
use crate::playbook::{OnConflict, PartitionStep, Playbook, Promote};
use crate::recovery::{
    Choice, Counts, GivenUp, LeaderPlan, Loss, LossKind, PartitionPlan, Plan, PlannedStep, PromotionMethod, Rejected,
    ReplicaEvidence,
};
use crate::run::{HeldFor, PlanId, PlannedClusterStep, Service, cluster_steps};

use super::blocks::{blocked, blocks};
use super::color::{Paint, Tone};
use super::columns::{Cell, Columns};
use super::named::LISTED;
use super::service::service_text;
use super::words::{Numbers, command, entries_lost, listed, moment, on_off, one_line};
use crate::model::{Verb, counted, counted_that};

/// What a plan's text needs beside the plan.
#[derive(Debug, Clone, Copy)]
pub struct PlanContext<'a> {
    /// What it was planned from.
    pub snapshot: &'a Snapshot,
    /// The steps it was planned with.
    pub playbook: &'a Playbook,
    /// auto_failover before anybody's change: what is restored at the end.
    pub auto_failover_before: bool,
    /// The replicas that it is kept off for already.
    pub stands: &'a [HeldFor],
    /// Its id, if it may be named by it.
    pub id: Option<&'a PlanId>,
    /// Whether clients can read and write now.
    pub service: &'a Service,
    /// Every partition with every call, however many there are.
    pub full: bool,
    /// Colour.
    pub paint: Paint,
}

/// So many partitions that are not healthy are told one by one, some twenty lines each: of more, those with the same plan are told
/// together.
const IN_FULL: usize = 3;

/// The plan: whether clients can read and write, cluster steps before, every partition that is not healthy or every plan that several of
/// them share, cluster steps after, counts and an estimate, what is blocked.
pub fn plan_text(plan: &Plan, context: &PlanContext<'_>) -> String {
    let PlanContext { snapshot, playbook, auto_failover_before, stands, paint, .. } = *context;
    let steps = cluster_steps(snapshot, playbook, plan, auto_failover_before, stands);
    let mut out = service_text(context.service, paint) + &header(plan, context);
    let each = context.full || plan.partitions.len() <= IN_FULL;
    let most = if each { usize::MAX } else { LISTED };
    cluster_part(&mut out, "Before any partition", (&steps.before, most), paint);
    let rule = LeaderRule::of(playbook);
    if each {
        plan.partitions.iter().for_each(|planned| partition(&mut out, planned, rule, paint));
    } else {
        out += &blocks(&plan.partitions, paint);
        out += "\nWith --full every partition is listed, with every call and why.\n";
    }
    cluster_part(&mut out, "At the end, however the run ends", (&steps.after, most), paint);
    out.push('\n');
    out += &totals(&plan.counts);
    if !each {
        out += &blocked(&plan.partitions, paint);
    }
    out += &how_to_accept(plan, context);
    out
}

fn header(plan: &Plan, context: &PlanContext<'_>) -> String {
    let Counts { total, healthy, blocked, replicas, .. } = plan.counts;
    let PlanContext { snapshot, paint, .. } = context;
    let id = context.id.map_or(String::new(), |id| format!("Plan id: {id}\n"));
    let title = format!("Plan for {}, playbook {}", one_line(&snapshot.cluster), plan.playbook);
    let blocked = if blocked == 0 { String::new() } else { format!(", {blocked} of them blocked as far as is known") };
    format!(
        "{}\n{id}As seen at {}, auto_failover {}.\n{} ({}) in scope: {healthy} healthy and not touched, {} to bring back{blocked}.\n",
        paint.tone(Tone::Strong, &title),
        moment(snapshot.taken_at_ms),
        on_off(snapshot.auto_failover),
        counted(total, "partition"),
        counted(replicas, "replica"),
        total - healthy,
    )
}

/// Of each step at most so many calls are listed: a nameserver may have an operation queued for every replica there is.
fn cluster_part(out: &mut String, heading: &str, (steps, most): (&[PlannedClusterStep], usize), paint: Paint) {
    if steps.is_empty() {
        return;
    }
    *out += &format!("\n{}\n", paint.tone(Tone::Strong, heading));
    let mut number = 0;
    for step in steps {
        *out += &format!("  {}: {}\n", step.step, one_line(&step.why));
        for action in step.actions.iter().take(most) {
            number += 1;
            *out += &format!("  {number:>4}. {}\n", command(action, Numbers::Known));
        }
        let more = step.actions.len().saturating_sub(most);
        number += more;
        if more > 0 {
            *out += &format!("        and {} like these\n", counted(more, "more call"));
        }
    }
}

fn partition(out: &mut String, planned: &PartitionPlan, rule: LeaderRule, paint: Paint) {
    let name = format!("{}/{}", one_line(&planned.table.to_string()), planned.partition.pid);
    *out += &format!("\n{} (tid {})\n", paint.tone(Tone::Strong, &name), planned.partition.tid);
    *out += &evidence(&planned.evidence, paint);
    leader(out, planned, rule, paint);
    steps(out, &planned.steps, paint);
    for note in &planned.notes {
        *out += &format!("  note: {}\n", one_line(note));
    }
    if let Some(blocked) = &planned.blocked {
        let label = paint.tone(Tone::Bad, &format!("blocked, {}:", blocked.reason));
        *out += &format!("  {label} {}\n    hint: {}\n", one_line(&blocked.text), one_line(&blocked.hint));
    }
    for loss in losses(&planned.losses) {
        *out += &format!("  {} {loss}\n", paint.tone(Tone::Bad, "would be lost:"));
    }
    if !planned.if_accepted.is_empty() {
        *out += "  once that is accepted\n";
        steps(out, &planned.if_accepted, paint);
    }
}

/// Losses in sentences: which kind, whose, how much, and where it stays. Those that differ in nothing but whose they are share one.
pub(super) fn losses(losses: &[Loss]) -> Vec<String> {
    let alike = |a: &Loss, b: &Loss| (a.kind, a.entries, &a.directory) == (b.kind, b.entries, &b.directory);
    losses.chunk_by(alike).map(loses).collect()
}

fn loses(alike: &[Loss]) -> String {
    let Some(Loss { kind, entries, directory, .. }) = alike.first() else { return String::new() };
    let whose = listed(alike.iter().map(|loss| &loss.endpoint));
    let each = if alike.len() > 1 { "each of " } else { "" };
    let of = match (kind, entries) {
        (LossKind::OutOfReach, _) => format!("whatever {each}{whose} holds (it cannot be checked)"),
        (_, None) => format!("an unknown number of entries of {each}{whose}"),
        (LossKind::LacksRows, Some(rows)) => format!("up to {} of {each}{whose}", counted(*rows as usize, "row")),
        (_, Some(entries)) => format!("{} of {each}{whose}", entries_lost(*entries, false, None)),
    };
    let stays = directory.as_ref().map_or(String::new(), |directory| format!("; its directory goes to {directory}"));
    format!("{}: {of}{stays}", kind.code())
}

/// How to accept exactly the losses listed.
fn how_to_accept(plan: &Plan, context: &PlanContext<'_>) -> String {
    let losses: Vec<&Loss> = plan.partitions.iter().flat_map(|planned| &planned.losses).collect();
    let (Some(id), false) = (context.id, losses.is_empty()) else { return String::new() };
    let out_of_reach: BTreeSet<&Endpoint> =
        losses.iter().filter(|loss| loss.kind == LossKind::OutOfReach).map(|loss| &loss.endpoint).collect();
    let without: String = out_of_reach.iter().map(|endpoint| format!(" --without {endpoint}")).collect();
    format!("To accept exactly the losses listed, run with: --accept-data-loss {id}{without}\n")
}

fn evidence(replicas: &[ReplicaEvidence], paint: Paint) -> String {
    let mut columns = Columns::headed(&["replica", "flags", "held", "offset", "snapshot"]);
    for replica in replicas {
        let offset = replica.offset.map_or("unknown".to_owned(), |offset| offset.to_string());
        let manifest = replica.manifest.strip_prefix("snapshot ").unwrap_or(&replica.manifest);
        columns.row([
            replica.endpoint.as_str().into(),
            flags(replica.is_leader, replica.is_alive).into(),
            one_line(&replica.held).into(),
            offset.into(),
            Cell::from(one_line(if manifest == "no snapshot" { "none" } else { manifest })),
        ]);
    }
    columns.text(2, paint)
}

/// Both flags of a replica.
pub(super) fn flags(is_leader: bool, is_alive: bool) -> &'static str {
    match (is_leader, is_alive) {
        (true, true) => "leader/alive",
        (true, false) => "leader/not alive",
        (false, true) => "follower/alive",
        (false, false) => "follower/not alive",
    }
}

fn leader(out: &mut String, planned: &PartitionPlan, rule: LeaderRule, paint: Paint) {
    let label = paint.tone(Tone::Strong, "leader:");
    match &planned.leader {
        LeaderPlan::Serving { endpoint } => *out += &format!("  {label} {endpoint} already serves and stays\n"),
        LeaderPlan::Nobody if planned.blocked.is_some() => *out += &format!("  {label} none, see below\n"),
        LeaderPlan::Nobody => *out += &format!("  {label} nobody\n"),
        LeaderPlan::Chosen(choice) => {
            let how = way(choice.way);
            *out += &format!("  {label} {}, {how}: {}\n", choice.leader, one_line(&choice.why));
            for rejected in &choice.rejected {
                *out += &format!("    not {}: {}\n", rejected.endpoint, one_line(&rejected.why));
            }
            for given_up in &choice.given_up {
                *out += &format!("    {} {}\n", paint.tone(Tone::Warning, "given up:"), gives_up(given_up));
            }
        }
        LeaderPlan::AfterLoading { among, expected } => {
            *out += &format!("  {label} chosen after loading, among {}\n", listed(among));
            let rule = rule.sentences(among.len(), planned.evidence.len());
            rule.iter().for_each(|sentence| *out += &format!("    {sentence}\n"));
            match expected {
                Some(choice) => expectation(out, planned, choice, among, paint),
                None => *out += &format!("    {} none, see below\n", paint.tone(Tone::Faint, "expected:")),
            }
        }
    }
}

pub(super) fn way(way: PromotionMethod) -> &'static str {
    match way {
        PromotionMethod::ChangeRole => "by changerole",
        PromotionMethod::ChangeLeader => "promoted by changeleader",
    }
}

/// What a replica gives up when it is resent.
pub(super) fn gives_up(given_up: &GivenUp) -> String {
    let GivenUp { endpoint, entries, at_most, term, directory } = given_up;
    format!("{endpoint} loses {}; its directory goes to {directory}", entries_lost(*entries, *at_most, *term))
}

/// The choice that follows if every replica stopped at the same offset.
fn expectation(out: &mut String, planned: &PartitionPlan, choice: &Choice, among: &[Endpoint], paint: Paint) {
    let label = paint.tone(Tone::Faint, "expected:");
    let condition = if among.len() > 1 { "if every replica stopped at the same offset" } else { "if it has data" };
    *out += &format!("    {label} {}, {}, {condition}\n", choice.leader, way(choice.way));
    for rejected in expected_rejections(planned, choice, among) {
        *out += &format!("    not {}: {}\n", rejected.endpoint, rejected.why);
    }
}

/// Why an expected choice rejects the others: without its numbers, which are assumptions.
pub(super) fn expected_rejections(planned: &PartitionPlan, choice: &Choice, among: &[Endpoint]) -> Vec<Rejected> {
    let why = |rejected: &Rejected| {
        let mut loaded = planned.evidence.iter().filter(|replica| among.contains(&replica.endpoint));
        let Some(replica) = loaded.find(|replica| replica.endpoint == rejected.endpoint) else {
            return one_line(&rejected.why);
        };
        if rejected.why.starts_with("is not complete") {
            return "its snapshot's file is missing".to_owned();
        }
        let flags = match (replica.is_leader, replica.is_alive) {
            (false, _) => return "no leader flag".to_owned(),
            (true, true) => "leader flag too",
            (true, false) => "leader flag too, not alive: elected earlier",
        };
        format!("{flags}; what it alone holds, if anything, is given up and counted after loading")
    };
    choice.rejected.iter().map(|r| Rejected { endpoint: r.endpoint.clone(), why: why(r) }).collect()
}

/// The playbook's policy for choosing a leader.
#[derive(Debug, Clone, Copy)]
pub struct LeaderRule {
    on_conflict: OnConflict,
    promote: Promote,
}

impl LeaderRule {
    /// As the playbook has it.
    pub fn of(playbook: &Playbook) -> Self {
        let rule = playbook.partition.iter().find_map(|step| match step {
            PartitionStep::PickLeader { on_conflict, promote, .. } => {
                Some(Self { on_conflict: *on_conflict, promote: *promote })
            }
            _ => None,
        });
        rule.unwrap_or(Self { on_conflict: OnConflict::Block, promote: Promote::Never })
    }

    /// The rule where so many of a partition's replicas can be loaded, and when nobody leads by it.
    pub(super) fn sentences(self, loaded: usize, replicas: usize) -> [String; 2] {
        if replicas == 1 {
            return ["rule: the only candidate".to_owned(), "blocked if: it has no data".to_owned()];
        }
        let several = match self.on_conflict {
            OnConflict::LastElected => "if several are flagged, the one elected last",
            OnConflict::MaxOffset => "if several are flagged, the larger offset",
            OnConflict::Block => "if several are flagged, none",
        };
        let longer = match self.promote {
            Promote::WhenProven => "a longer follower proven to continue it is promoted instead",
            Promote::Never => "no follower is promoted",
        };
        let too_long = match self.promote {
            Promote::WhenProven => "a follower is longer and not proven to continue it",
            Promote::Never => "a follower is longer",
        };
        let missing = if loaded < replicas { "one that cannot be loaded may hold more, " } else { "" };
        [
            format!("rule: the leader-flagged replica with the largest proven offset; {several}; {longer}"),
            format!(
                "blocked if: {too_long}, {missing}one that lacks rows is the longest, a follower holds a later term, \
                 or all are empty although entries were known"
            ),
        ]
    }
}

/// Steps with the same reason stand under it together.
fn steps(out: &mut String, steps: &[PlannedStep], paint: Paint) {
    let mut number = 0;
    let alike =
        |a: &PlannedStep, b: &PlannedStep| a.step == b.step && a.expected == b.expected && reason_of(a) == reason_of(b);
    for group in steps.chunk_by(alike) {
        let Some(first) = group.first() else { continue };
        let expected = if first.expected { paint.tone(Tone::Faint, " (expected)") } else { String::new() };
        *out += &format!("  {}{expected}: {}\n", first.step, reason_of(first));
        for step in group {
            number += 1;
            let numbers = if step.expected { Numbers::Assumed } else { Numbers::Known };
            *out += &format!("  {number:>4}. {}\n", command(&step.action, numbers));
        }
    }
}

/// The reason of a step. That of making a leader names offsets, which an expectation does not know.
pub(super) fn reason_of(step: &PlannedStep) -> String {
    use crate::model::Action::{ChangeLeader, ChangeRole};
    match &step.action {
        ChangeRole { .. } | ChangeLeader { .. } if step.expected => "if it is chosen as the leader".to_owned(),
        _ => one_line(&step.why),
    }
}

fn totals(counts: &Counts) -> String {
    let Counts { total, healthy, actions, loads, reattached, resent, .. } = *counts;
    if total == healthy {
        return "Nothing to do.\n".to_owned();
    }
    if actions == 0 {
        return estimate(counts) + "\n";
    }
    format!(
        "{} on partitions, {loads} of them to load; {} as they are, {resent} resent with their leader's \
         data.\n{}\n",
        counted(actions, "call"),
        counted_that(reattached, "follower", Verb::Regular("come")) + " back",
        estimate(counts)
    )
}

/// When what is not blocked serves and is redundant.
fn estimate(counts: &Counts) -> String {
    let left_out = match counts.blocked {
        all if all == counts.total - counts.healthy && counts.loads == 0 => {
            return "No estimate: everything that needs recovery is blocked.".to_owned();
        }
        all if all == counts.total - counts.healthy => {
            return "Estimate: what can serve does so as soon as the tablets have loaded; nothing becomes redundant, \
                    because everything is blocked."
                .to_owned();
        }
        0 => String::new(),
        some => format!(" (not counting {some} blocked)"),
    };
    let later = time(counts.redundant_after_s);
    format!("Estimate: serving as soon as the tablets have loaded, redundant about {later} later{left_out}.")
}

/// Seconds, or minutes where seconds would promise too much.
fn time(seconds: f64) -> String {
    if seconds < 120.0 { format!("{seconds:.0} s") } else { format!("{:.0} min", seconds / 60.0) }
}
