//! The rule book: one partition's view and a playbook in, what to do next out. Pure. A step is a condition to make true,
//! and a later state implies the earlier ones, so a second run finds nothing to do and a run after a crash goes on.

use std::time::Duration;

use crate::playbook::{Connect, LeaderBy, PartitionStep, Playbook, TURN, Which};
use openmldb_model::{Action, Endpoint, Seen};

use super::base;
use super::blocked::{Blocked, Reason};
use super::choice::{Choice, PromotionMethod};
use super::connect::{Returns, connect_proven, connectable};
use super::decision::{Decision, Intent, Probe, Question, Wait, WaitFor};
use super::early::{self, serves_early};
use super::election::choose;
use super::empty;
use super::follower;
use super::gates::{Gates, ops_wait, until_registered};
use super::health::{Health, health};
use super::limits::{ANSWER, FLAGS, MAX_REFUSALS, MAX_TRIES, OP_TIMEOUT, OTHERS_OPS};
use super::loading;
use super::rows::compared_first;
use super::stuck::unasked_terms;
use super::view::{Data, ReplicaView, View};

/// Decides what happens to the partition next.
pub fn decide(view: &View, playbook: &Playbook, gates: Gates) -> Decision {
    let decided = |view: &View| by_the_playbook(view, playbook, gates);
    compared_first(view, decided(view), decided)
}

fn by_the_playbook(view: &View, playbook: &Playbook, gates: Gates) -> Decision {
    match health(view) {
        // Flags and connections do not show whether a follower takes anything.
        Health::Healthy if !unasked_terms(view).is_empty() => return Decision::Look(unasked_terms(view)),
        // What was worked on has to be caught up beside.
        Health::Healthy if !was_worked_on(view) => return Decision::Done,
        Health::Unknown(probe) => return Decision::Look(vec![probe]),
        Health::Healthy | Health::Serving(_) | Health::Down(_) => {}
    }
    if let Some(leader) = view.replicas.iter().find(|r| r.may_be_serving()) {
        return wait_for_unreachable_leader(view, leader);
    }
    if let (Some(named), Some(leader)) = (&view.memory.named_leader, view.serving_leader())
        && leader.endpoint != *named
    {
        let text = format!(
            "{} already serves as leader, but {named} was named: the accepted plan does not cover that",
            leader.endpoint
        );
        return Decision::Blocked(Blocked::new(
            Reason::NotAsPlanned,
            text,
            "see `openmldb-ops status`, then run again",
        ));
    }
    if let Some((replica, error)) = refused_too_often(view) {
        let hint = "see the tablet's and the nameserver's logs, then run again";
        return Decision::Blocked(Blocked::new(Reason::Refused, format!("{replica}: {error}"), hint));
    }
    playbook.partition.iter().find_map(|step| unmet(view, playbook, step, gates)).unwrap_or(Decision::Done)
}

fn was_worked_on(view: &View) -> bool {
    let is_worked_on =
        |r: &ReplicaView| r.memory.recovery.tries > 0 || r.memory.stalled_at.is_some() || r.memory.doubted;
    view.memory.choice.is_some() || view.replicas.iter().any(is_worked_on)
}

/// A leader that may be serving clients, although it does not answer us, is left alone, flags and all.
fn wait_for_unreachable_leader(view: &View, leader: &ReplicaView) -> Decision {
    let seen = format!(
        "{} does not answer ({}); flagged leader and alive, on a tablet that the nameserver takes for healthy, it may still be serving clients",
        leader.endpoint,
        leader.out_of_reach().unwrap_or_default()
    );
    let what = WaitFor::Answer(leader.endpoint.clone());
    if view.memory.has_expired(&what) {
        let hint = "see why the tablet does not answer, then run again";
        return Decision::Blocked(Blocked::new(Reason::OutOfReach, seen, hint));
    }
    Decision::Wait(Wait::new(what, seen, ANSWER, ANSWER))
}

/// The decision if the step's condition does not hold yet.
fn unmet(view: &View, playbook: &Playbook, step: &PartitionStep, gates: Gates) -> Option<Decision> {
    let key = step.key();
    match step {
        PartitionStep::MarkAlive { replicas: Which::All, .. } => mark_not_alive(view, key),
        PartitionStep::LoadTable { replicas, seg_cnt, turn, .. } => {
            let of = to_load(view, *replicas);
            loading::load(view, loading::Loads { step: key, seg_cnt: *seg_cnt, turn: *turn, gates }, of.into_iter())
        }
        // How long followers turn out to be that are loaded later, a plan cannot know either.
        PartitionStep::PollTableStatus { .. } if serves_early(playbook) && has_unknown_offset(view) => {
            view.serving_leader().map(|_| Decision::Unknown)
        }
        PartitionStep::PollTableStatus { timeout, .. } => loading::loaded(view, *timeout),
        PartitionStep::ProveTerms { up_to_entries, .. } => loading::prove_terms(view, key, *up_to_entries)
            .or_else(|| serves_early(playbook).then(|| loading::prove_terms_later(view, key, *up_to_entries))?)
            .or_else(|| loading::prove_terms_of_odd_ones(view, key, *up_to_entries)),
        PartitionStep::PickLeader { by, on_conflict, promote, .. } => {
            let settled = view.serving_leader().is_some() || view.memory.choice.is_some();
            if settled {
                return None;
            }
            if let Some(first) = gates.before_choosing(view, turn(playbook)) {
                return Some(first);
            }
            if has_unknown_offset(view) {
                return Some(Decision::Unknown);
            }
            // What brings a replica back clears its leader flag at its end, whoever has been made leader by then.
            if let Some(first) = until_ops_end(view) {
                return Some(first);
            }
            if *by == LeaderBy::Evidence
                && early::may_lead(view).is_err()
                && let Some(first) = everything_first(view, playbook, gates)
            {
                return Some(first);
            }
            let unasked = facts_to_choose_on(view);
            if !unasked.is_empty() {
                return Some(Decision::Look(unasked));
            }
            if let Some(begun) = empty::begin_empty(view, key, seg_cnt(playbook)) {
                return Some(begun.unwrap_or_else(Decision::Blocked));
            }
            let chosen = choose(view, *on_conflict, *promote).and_then(|choice| as_planned(view, choice));
            Some(loading::unless_too_early(view, load_timeout(playbook), chosen))
        }
        PartitionStep::ChangeRole { connect, .. } => {
            let choice = view.memory.choice.as_ref()?;
            if let (None, Some(first)) = (view.serving_leader(), gates.before_leading(view, turn(playbook))) {
                return Some(first);
            }
            lead(view, key, choice, *connect).or_else(|| connect_proven(view, key, choice, *connect))
        }
        PartitionStep::MarkAlive { replicas: Which::Leader, .. } => {
            mark_leader_alive(view, key).or_else(|| base::aggregate(view, key))
        }
        PartitionStep::MarkAlive { .. } => follower::reattach(view, key, redundant_within(playbook), returns(playbook)),
        PartitionStep::RecoverTable { turn, .. } => {
            let first = gates.before_followers(view, *turn);
            follower::recover(view, key, first, redundant_within(playbook), returns(playbook))
        }
        PartitionStep::WaitUntil { .. } => follower::redundant(view),
    }
}

/// What is to end before a leader is chosen. What others have asked for may never end, and no leader is as bad.
fn until_ops_end(view: &View) -> Option<Decision> {
    let op = view.ops_in_flight.first()?;
    if view.replicas.iter().any(is_being_recovered) {
        return Some(ops_wait(view, op));
    }
    let seen = format!("operation {} ({}) {}", op.id, op.kind.name(), op.progress());
    let wait = || Decision::Wait(Wait::new(WaitFor::OthersOps, seen, OTHERS_OPS, OTHERS_OPS));
    (!view.memory.has_expired(&WaitFor::OthersOps)).then(wait)
}

/// Whether RecoverTable was sent for it.
fn is_being_recovered(replica: &ReplicaView) -> bool {
    replica.memory.recovery.tries > 0
}

/// Segments an index, as the playbook loads; the documented 8 where it loads nothing.
fn seg_cnt(playbook: &Playbook) -> u32 {
    let loads = playbook.partition.iter().find_map(|step| match step {
        PartitionStep::LoadTable { seg_cnt, .. } => Some(*seg_cnt),
        _ => None,
    });
    loads.unwrap_or(8)
}

/// How long replicas may take to load, as the playbook has it where it waits for them.
fn load_timeout(playbook: &Playbook) -> Duration {
    let timeouts = playbook.partition.iter().filter_map(|step| match step {
        PartitionStep::PollTableStatus { timeout, .. } => Some(*timeout),
        _ => None,
    });
    timeouts.max().unwrap_or(OP_TIMEOUT)
}

/// How long others are waited for, as the playbook has it where it loads.
fn turn(playbook: &Playbook) -> Duration {
    let turns = playbook.partition.iter().filter_map(|step| match step {
        PartitionStep::LoadTable { turn, .. } => Some(*turn),
        _ => None,
    });
    turns.max().unwrap_or(TURN)
}

/// Whether some loaded replica's end is unknown, as in a plan it is.
fn has_unknown_offset(view: &View) -> bool {
    view.replicas.iter().any(|r| r.loaded().is_some_and(|loaded| loaded.offset.is_none()))
}

/// Which replicas a step loads. Of a partition that could serve early, its leader; the others once it does.
fn to_load(view: &View, replicas: Which) -> Vec<&ReplicaView> {
    let settled = view.serving_leader().is_some() || view.memory.choice.is_some();
    match replicas {
        Which::LeaderFlagged if settled => Vec::new(),
        Which::LeaderFlagged => match early::alone(view) {
            Ok(leader) => vec![leader],
            Err(_) => view.replicas.iter().collect(),
        },
        Which::Followers if view.serving_leader().is_none() => Vec::new(),
        _ => view.replicas.iter().collect(),
    }
}

/// Evidence does not do: all replicas are loaded and looked at, as where the playbook loads all of them from the start.
fn everything_first(view: &View, playbook: &Playbook, gates: Gates) -> Option<Decision> {
    playbook.partition.iter().find_map(|step| match step {
        PartitionStep::LoadTable { seg_cnt, turn, .. } => {
            let loads = loading::Loads { step: step.key(), seg_cnt: *seg_cnt, turn: *turn, gates };
            loading::load(view, loads, view.replicas.iter())
        }
        PartitionStep::PollTableStatus { timeout, .. } => loading::loaded(view, *timeout),
        PartitionStep::ProveTerms { up_to_entries, .. } => loading::prove_terms(view, step.key(), *up_to_entries),
        _ => None,
    })
}

/// Where a plan that was kept is applied, it is applied exactly: its leader leads, or nobody.
fn as_planned(view: &View, choice: Choice) -> Result<Choice, Blocked> {
    match &view.memory.planned_leader {
        Some(planned) if *planned != choice.leader => {
            let text = format!("{} would lead ({}), but the plan says {planned}", choice.leader, choice.why);
            Err(Blocked::new(Reason::NotAsPlanned, text, "make a new plan with --dry-run"))
        }
        _ => Ok(choice),
    }
}

/// What is not known yet and may decide who leads, and how: terms that only a failed election told, and whom a leader in
/// memory replicates to.
fn facts_to_choose_on(view: &View) -> Vec<Probe> {
    let loaded = view.replicas.iter().filter(|r| view.replicas.len() > 1 && r.loaded().is_some());
    let unasked = loaded.flat_map(|r| {
        let term = (r.term_pair == Seen::Unasked).then_some(Question::TermPair);
        let followers = (r.leads_in_memory() && r.followers == Seen::Unasked).then_some(Question::Followers);
        let aggregator = (view.base.is_some() && r.aggregator.is_unasked()).then_some(Question::Aggregator);
        term.into_iter()
            .chain(followers)
            .chain(aggregator)
            .map(|question| Probe { endpoint: r.endpoint.clone(), question })
    });
    unasked.collect()
}

/// How followers come back that hold what their leader holds.
fn returns(playbook: &Playbook) -> Returns {
    let has = |wanted: fn(&PartitionStep) -> bool| playbook.partition.iter().any(wanted);
    Returns {
        connected: has(|step| matches!(step, PartitionStep::ChangeRole { connect: Connect::ProvenPrefixes, .. })),
        marked: has(|step| matches!(step, PartitionStep::MarkAlive { replicas: Which::Connected, .. })),
    }
}

fn redundant_within(playbook: &Playbook) -> Duration {
    let waits = playbook.partition.iter().filter_map(|step| match step {
        PartitionStep::WaitUntil { timeout, .. } => Some(*timeout),
        _ => None,
    });
    waits.max().unwrap_or(OP_TIMEOUT)
}

fn refused_too_often(view: &View) -> Option<(&Endpoint, &str)> {
    let refused = view.replicas.iter().find(|r| r.memory.refusals >= MAX_REFUSALS)?;
    Some((&refused.endpoint, refused.memory.last_error.as_deref().unwrap_or("refused")))
}

/// Milestone: holds once the partition serves. Until then no client may be sent to any replica.
fn mark_not_alive(view: &View, step: &'static str) -> Option<Decision> {
    if view.serving_leader().is_some() || already_leading(view) {
        return None;
    }
    let leads = |r: &&ReplicaView| r.is_leader && r.is_alive && r.leads_in_memory();
    let serves_beside_another_flag = view.replicas.iter().filter(leads).count() == 1;
    let alive = view.replicas.iter().filter(|r| {
        let clear = r.is_alive && !r.flag_is_stuck();
        clear && !(serves_beside_another_flag && leads(r))
    });
    let intents: Vec<Intent> = alive
        .map(|r| Intent::new(step, mark(view, r, false), "until its leader serves, clients must not be sent to it"))
        .collect();
    (!intents.is_empty()).then_some(Decision::Act(intents))
}

/// The chosen leader is on its way: promoting it needs its alive flag.
fn already_leading(view: &View) -> bool {
    view.memory.choice.as_ref().is_some_and(|choice| choice.way == PromotionMethod::ChangeLeader)
}

fn mark(view: &View, replica: &ReplicaView, alive: bool) -> Action {
    Action::MarkAlive {
        table: view.table.clone(),
        pid: Some(view.partition.pid),
        endpoint: replica.endpoint.clone(),
        alive,
    }
}

/// Makes the chosen replica leader, unless it is.
fn lead(view: &View, step: &'static str, choice: &Choice, whom: Connect) -> Option<Decision> {
    let leader = view.replica(&choice.leader)?;
    match choice.way {
        _ if view.serving_leader().is_some() => None,
        PromotionMethod::ChangeRole if leader.leads_in_memory() => None,
        PromotionMethod::ChangeRole => {
            let term = view.terms.last()?.term;
            let replicas = connectable(view, choice, whom).map(|r| r.endpoint.clone()).collect();
            let endpoint = choice.leader.clone();
            let action = Action::ChangeRole { endpoint, partition: view.partition, term, replicas };
            Some(Decision::act(Intent::new(step, action, choice.why.clone())))
        }
        PromotionMethod::ChangeLeader => Some(promote(view, step, choice, leader)),
    }
}

/// The candidate alone alive, ChangeLeader to it, the flags checked. The nameserver begins a new term and moves the flag.
fn promote(view: &View, step: &'static str, choice: &Choice, candidate: &ReplicaView) -> Decision {
    if let Some(op) = view.ops_in_flight.first() {
        return ops_wait(view, op);
    }
    if view.memory.leader_tries >= MAX_TRIES {
        let error = view.memory.leader_error.as_deref().unwrap_or("the operation ended, but the flags did not change");
        let hint = "see showopstatus and the nameserver's log, then run again";
        let text = format!("ChangeLeader to {} failed {MAX_TRIES} times: {error}", candidate.endpoint);
        return Decision::Blocked(Blocked::new(Reason::OpFailed, text, hint));
    }
    let others = view.replicas.iter().filter(|r| r.is_alive && !r.flag_is_stuck() && r.endpoint != candidate.endpoint);
    let others: Vec<Intent> = others
        .map(|r| Intent::new(step, mark(view, r, false), "only the candidate takes part in the election"))
        .collect();
    if !others.is_empty() {
        return Decision::Act(others);
    }
    if let Some(unknown) = flag_cannot_be_set(view, candidate) {
        return unknown;
    }
    if !candidate.is_alive {
        return Decision::act(Intent::new(
            step,
            mark(view, candidate, true),
            "ChangeLeader considers alive replicas only",
        ));
    }
    let (table, pid, candidate) = (view.table.clone(), view.partition.pid, candidate.endpoint.clone());
    let action = Action::ChangeLeader { table, pid, candidate };
    Decision::act(Intent::new(step, action, choice.why.clone()))
}

/// The nameserver does not know its endpoint (302), so its flag stays as it is, until it does.
fn flag_cannot_be_set(view: &View, replica: &ReplicaView) -> Option<Decision> {
    let stuck = replica.flag_is_stuck() && !replica.is_alive;
    let text = || format!("{} answers, but the nameserver does not know its tablet (302)", replica.endpoint);
    let hint = "restart that tablet, so that it registers, then run again";
    stuck.then(|| until_registered(view, &replica.endpoint, text(), hint))
}

/// The leader is marked alive once no other leader flag is.
fn mark_leader_alive(view: &View, step: &'static str) -> Option<Decision> {
    if view.serving_leader().is_some() {
        return None;
    }
    let choice = view.memory.choice.as_ref()?;
    let leader = view.replica(&choice.leader)?;
    let other = view.replicas.iter().find(|r| r.is_leader && r.is_alive && r.endpoint != leader.endpoint);
    if let Some(other) = other {
        let text =
            format!("{} is still flagged leader and alive, and its flag cannot be changed (302)", other.endpoint);
        let hint = "bring its tablet back, so that the nameserver knows its endpoint, then run again";
        return Some(Decision::Blocked(Blocked::new(Reason::TwoLeaders, text, hint)));
    }
    if leader.is_alive {
        let seen = format!("{} is flagged leader and alive, and {}", leader.endpoint, leader.data);
        if view.memory.has_expired(&WaitFor::Flags) {
            let hint = "see the tablet's log, then run again";
            let reason = match leader.data {
                Data::OutOfReach(_) => Reason::OutOfReach,
                Data::Absent | Data::Loading(_) => Reason::LoadTimeout,
                Data::Loaded(_) => Reason::OpFailed,
            };
            return Some(Decision::Blocked(Blocked::new(reason, seen, hint)));
        }
        return Some(Decision::Wait(Wait::new(WaitFor::Flags, seen, FLAGS, FLAGS)));
    }
    if let Some(unknown) = flag_cannot_be_set(view, leader) {
        return Some(unknown);
    }
    let why = "it is loaded and leads, and no other leader flag is alive";
    Some(Decision::act(Intent::new(step, mark(view, leader, true), why)))
}
