//! The rule book: one partition's view and a playbook in, what to do next out. Pure. A step is a condition to make true,
//! and a later state implies the earlier ones, so a second run finds nothing to do and a run after a crash goes on.

use std::time::Duration;

use crate::model::{Action, Endpoint, Offset, Role, State};
use crate::playbook::{Connect, PartitionStep, Playbook, Which};

use super::blocked::{Blocked, Reason};
use super::decision::{Decision, Intent, Question, Wait, WaitFor};
use super::election::{Choice, Way, choose};
use super::follower;
use super::health::{Health, health};
use super::memory::Load;
use super::suspect::is_suspect;
use super::term::{LastTerm, last_term};
use super::view::{Data, ReplicaView, View};

/// Calls refused in a row before a partition is blocked.
pub const MAX_REFUSALS: u32 = 5;
/// Tries of an operation: about one in twenty fails for no reason (observed 2), so five in a row mean something.
pub const MAX_TRIES: u32 = 5;
/// How long flags may take to show what a call answered with success has done.
const FLAGS: Duration = Duration::from_secs(30);
/// How long an operation may go on without a change of its state or task: as long as a slow resend of one big task.
pub(super) const OP_STALL: Duration = Duration::from_secs(30 * 60);
/// How long an operation may take in all: OpenMLDB's own `name_server_op_execute_timeout`, 2 h.
pub(super) const OP_TIMEOUT: Duration = Duration::from_secs(2 * 60 * 60);
/// How long a snapshot made for its term may take. A tablet makes one at a time, and those in the queue show nothing.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(10 * 60);
/// How long a disk table's replica may take to show after LoadTable when its tablet loads nothing else.
pub(super) const APPEARING: Duration = Duration::from_secs(2 * 60);

/// What other partitions allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gates {
    /// The tables that come before this one are back (system tables; the base of a pre-aggregate table).
    pub may_load: bool,
    /// Every partition in scope serves or is blocked, so that redundancy may begin.
    pub may_recover_followers: bool,
}

impl Gates {
    /// Everything allowed.
    pub const OPEN: Self = Self { may_load: true, may_recover_followers: true };
}

/// Decides what happens to the partition next.
pub fn decide(view: &View, playbook: &Playbook, gates: Gates) -> Decision {
    match health(view) {
        Health::Healthy => return follower::unfinished(view, redundant_within(playbook)).unwrap_or(Decision::Done),
        Health::Unknown(probe) => return Decision::Look(vec![probe]),
        Health::Serving(_) | Health::Down(_) => {}
    }
    if let Some((replica, error)) = refused_too_often(view) {
        let hint = "see the tablet's and the nameserver's logs, then run again";
        return Decision::Blocked(Blocked::new(Reason::Refused, format!("{replica}: {error}"), hint));
    }
    playbook.partition.iter().find_map(|step| unmet(view, playbook, step, gates)).unwrap_or(Decision::Done)
}

/// The decision if the step's condition does not hold yet.
fn unmet(view: &View, playbook: &Playbook, step: &PartitionStep, gates: Gates) -> Option<Decision> {
    let key = step.key();
    match step {
        PartitionStep::MarkAlive { replicas: Which::All, .. } => mark_not_alive(view, key),
        PartitionStep::LoadTable { seg_cnt, .. } => load(view, key, *seg_cnt, gates),
        PartitionStep::PollTableStatus { timeout, .. } => loaded(view, *timeout),
        PartitionStep::ProveTerms { up_to_entries, .. } => prove_terms(view, key, *up_to_entries),
        PartitionStep::PickLeader { on_conflict, promote, .. } => {
            let settled = view.serving_leader().is_some() || view.memory.choice.is_some();
            if settled {
                return None;
            }
            if view.replicas.iter().any(|r| r.loaded().is_some_and(|loaded| loaded.offset.is_none())) {
                return Some(Decision::Unknown);
            }
            Some(match choose(view, *on_conflict, *promote) {
                Ok(choice) => Decision::Choose(Box::new(choice)),
                Err(blocked) => Decision::Blocked(blocked),
            })
        }
        PartitionStep::ChangeRole { connect, .. } => {
            let choice = view.memory.choice.as_ref()?;
            lead(view, key, choice, *connect).or_else(|| connect_proven(view, key, choice, *connect))
        }
        PartitionStep::MarkAlive { replicas: Which::Leader, .. } => mark_leader_alive(view, key),
        PartitionStep::MarkAlive { .. } => follower::mark_connected_alive(view, key, gates),
        PartitionStep::RecoverTable { .. } => follower::recover(view, key, gates, redundant_within(playbook)),
        PartitionStep::WaitUntil { .. } => follower::redundant(view),
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
    let alive = view.replicas.iter().filter(|r| r.is_alive && !r.flag_is_stuck());
    let intents: Vec<Intent> = alive
        .map(|r| Intent::new(step, mark(view, r, false), "until its leader serves, clients must not be sent to it"))
        .collect();
    (!intents.is_empty()).then_some(Decision::Act(intents))
}

/// The chosen leader is on its way: promoting it needs its alive flag.
fn already_leading(view: &View) -> bool {
    view.memory.choice.as_ref().is_some_and(|choice| choice.way == Way::ChangeLeader)
}

fn mark(view: &View, replica: &ReplicaView, alive: bool) -> Action {
    Action::MarkAlive {
        table: view.table.clone(),
        pid: Some(view.partition.pid),
        endpoint: replica.endpoint.clone(),
        alive,
    }
}

/// LoadTable to every replica whose tablet answers and does not hold it: as a follower, and never twice.
fn load(view: &View, step: &'static str, seg_cnt: u32, gates: Gates) -> Option<Decision> {
    let missing = view.replicas.iter().filter(|r| r.data == Data::Absent && r.memory.load == Load::NotSent);
    let intents: Vec<Intent> = missing.map(|r| load_one(view, step, r, seg_cnt)).collect();
    match (intents.is_empty(), gates.may_load) {
        (true, _) => None,
        (false, true) => Some(Decision::Act(intents)),
        (false, false) => Some(turn("tables that come first")),
    }
}

fn load_one(view: &View, step: &'static str, replica: &ReplicaView, seg_cnt: u32) -> Intent {
    let action = Action::LoadTable {
        endpoint: replica.endpoint.clone(),
        table: view.table.clone(),
        partition: view.partition,
        seg_cnt,
        storage: view.storage,
    };
    Intent::new(step, action, "its offset is known only once it is loaded; as a follower it takes no writes meanwhile")
}

pub(super) fn turn(before: &str) -> Decision {
    let forever = Duration::MAX;
    Decision::Wait(Wait::new(WaitFor::Turn, before, forever, forever))
}

/// Waits until every replica that can be loaded is. Once the partition serves, each follower is waited for on its own.
fn loaded(view: &View, timeout: Duration) -> Option<Decision> {
    if view.serving_leader().is_some() || view.memory.choice.is_some() {
        return None;
    }
    let appearing = view.replicas.iter().find(|r| r.data == Data::Absent && r.memory.load.is_awaited());
    if let Some(replica) = appearing {
        let seen = format!("{} does not show the partition yet", replica.endpoint);
        let what = WaitFor::Appearing(replica.endpoint.clone());
        return Some(Decision::Wait(Wait::new(what, seen, timeout, APPEARING)));
    }
    let loading: Vec<String> = view.replicas.iter().filter_map(loading_state).collect();
    if loading.is_empty() || view.memory.has_expired(&WaitFor::Loading) {
        return None;
    }
    // A big replica shows no progress while it loads, so only the deadline counts.
    Some(Decision::Wait(Wait::new(WaitFor::Loading, loading.join(", "), timeout, timeout)))
}

fn loading_state(replica: &ReplicaView) -> Option<String> {
    match replica.data {
        Data::Loading(State::Queued) => Some(format!("{} queued", replica.endpoint)),
        Data::Loading(_) => Some(format!("{} loading", replica.endpoint)),
        Data::OutOfReach(_) | Data::Absent | Data::Loaded(_) => None,
    }
}

/// Where more than one leadership wrote the partition, the term of each replica's last entry is found out: a snapshot up
/// to its own offset, after which MANIFEST names it. Only of memory replicas that no leader has contacted yet.
fn prove_terms(view: &View, step: &'static str, up_to_entries: u64) -> Option<Decision> {
    let nothing_to_compare = view.replicas.len() < 2 || view.terms.len() < 2 || view.storage.is_disk();
    if nothing_to_compare || view.serving_leader().is_some() || view.memory.choice.is_some() {
        return None;
    }
    let unknown = view.replicas.iter().filter(|r| {
        let provable = r.offset().is_some_and(|offset| offset > Offset(0) && offset.0 <= up_to_entries);
        provable && !r.memory.snapshot_file_missing && r.memory.snapshot_tries < MAX_TRIES
    });
    let mut intents = Vec::new();
    let mut waits = None;
    for replica in unknown {
        let endpoint = &replica.endpoint;
        let offset = replica.offset().unwrap_or(Offset(0));
        let what = WaitFor::Snapshot(endpoint.clone());
        let expired = view.memory.has_expired(&what);
        let is_making = replica.loaded().is_some_and(|loaded| loaded.state == State::MakingSnapshot);
        let wait =
            |seen: String| Some(Decision::Wait(Wait::new(what.clone(), seen, SNAPSHOT_TIMEOUT, SNAPSHOT_TIMEOUT)));
        if is_making && !expired {
            return wait(format!("{endpoint} is making a snapshot"));
        }
        match (&replica.manifest, &replica.term_pair) {
            (crate::model::Seen::Unasked, _) => return Some(Decision::look(endpoint, Question::Manifest)),
            (_, crate::model::Seen::Unasked) => return Some(Decision::look(endpoint, Question::TermPair)),
            _ => {}
        }
        let contacted = replica.term_pair.known().is_none_or(|pair| pair.term.0 > 0);
        if matches!(last_term(view, replica), LastTerm::Known(_)) || contacted || expired {
            continue;
        }
        // Accepted is not begun: the tablet may be at another partition's.
        if replica.memory.snapshot_accepted {
            let seen = format!("{endpoint} has not made the snapshot it was asked for");
            waits = waits.or_else(|| wait(seen));
            continue;
        }
        let (endpoint, partition, storage) = (endpoint.clone(), view.partition, view.storage);
        let action = Action::MakeSnapshot { endpoint, partition, offset, storage };
        intents.push(Intent::new(step, action, "its MANIFEST then names the term of its last entry"));
    }
    if intents.is_empty() { waits } else { Some(Decision::Act(intents)) }
}

/// Makes the chosen replica leader, unless it is.
fn lead(view: &View, step: &'static str, choice: &Choice, connect: Connect) -> Option<Decision> {
    let leader = view.replica(&choice.leader)?;
    match choice.way {
        _ if view.serving_leader().is_some() => None,
        Way::ChangeRole if leader.leads_in_memory() => None,
        Way::ChangeRole => {
            let term = view.terms.last()?.term;
            let replicas = connectable(view, choice, connect).map(|r| r.endpoint.clone()).collect();
            let endpoint = choice.leader.clone();
            let action = Action::ChangeRole { endpoint, partition: view.partition, term, replicas };
            Some(Decision::act(Intent::new(step, action, choice.why.clone())))
        }
        Way::ChangeLeader => Some(promote(view, step, choice, leader)),
    }
}

/// The candidate alone alive, ChangeLeader to it, the flags checked. The nameserver begins a new term and moves the flag.
fn promote(view: &View, step: &'static str, choice: &Choice, candidate: &ReplicaView) -> Decision {
    if let Some(op) = view.ops_in_flight.first() {
        return ops_wait(view, op);
    }
    if view.memory.leader_tries >= MAX_TRIES {
        let error = view.memory.leader_error.as_deref().unwrap_or("the operation ends and the flags stay as they are");
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

pub(super) fn ops_wait(view: &View, op: &crate::model::Op) -> Decision {
    let seen = format!("operation {} ({}) is at {}", op.id, op.kind.name(), op.task);
    if view.memory.has_expired(&WaitFor::Ops) {
        let hint = format!("cancelop {} if it hangs, then run again", op.id);
        return Decision::Blocked(Blocked::new(Reason::OpTimeout, seen, hint));
    }
    Decision::Wait(Wait::new(WaitFor::Ops, seen, OP_TIMEOUT, OP_STALL))
}

/// The replicas that the leader may take as they are: proven prefixes, loaded and at rest, without a leader flag (only an
/// operation clears one), not suspect, and with nothing missing from the leader's binlog behind its snapshot.
fn connectable<'a>(view: &'a View, choice: &'a Choice, connect: Connect) -> impl Iterator<Item = &'a ReplicaView> {
    let behind_snapshot = view.replica(&choice.leader).map_or(Offset(0), ReplicaView::manifest_offset);
    let proven =
        view.replicas.iter().filter(move |r| connect == Connect::ProvenPrefixes && choice.proven.contains(&r.endpoint));
    proven.filter(move |r| {
        let resting = r.loaded().is_some_and(|data| data.state == State::Normal && data.role == Role::Follower);
        let reaches = r.offset().is_none_or(|offset| offset >= behind_snapshot);
        let resent = r.memory.load == Load::HandedOver || r.memory.recovery.must_drop;
        resting && reaches && !resent && !r.is_leader && !is_suspect(view, r)
    })
}

/// AddReplica for proven prefixes that the leader does not replicate to yet: after a promotion, or after a crash.
fn connect_proven(view: &View, step: &'static str, choice: &Choice, connect: Connect) -> Option<Decision> {
    let leader = view.replica(&choice.leader).filter(|leader| leader.leads_in_memory())?;
    if !view.ops_in_flight.is_empty() {
        return None;
    }
    let mut candidates = connectable(view, choice, connect).peekable();
    candidates.peek()?;
    let followers = match &leader.followers {
        crate::model::Seen::Unasked => return Some(Decision::look(&leader.endpoint, Question::Followers)),
        seen => seen.known()?,
    };
    let connected = |r: &ReplicaView| followers.followers.iter().any(|(endpoint, _)| *endpoint == r.endpoint);
    let intents: Vec<Intent> = candidates
        .filter(|r| !connected(r))
        .map(|r| {
            let (endpoint, partition, follower) = (leader.endpoint.clone(), view.partition, r.endpoint.clone());
            Intent::new(step, Action::AddReplica { endpoint, partition, follower }, "a proven prefix of the leader")
        })
        .collect();
    (!intents.is_empty()).then_some(Decision::Act(intents))
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
        let seen = format!("{} is flagged alive, its tablet says {:?}", leader.endpoint, leader.data);
        if view.memory.has_expired(&WaitFor::Flags) {
            let hint = "see the tablet's log, then run again";
            return Some(Decision::Blocked(Blocked::new(Reason::OpFailed, seen, hint)));
        }
        return Some(Decision::Wait(Wait::new(WaitFor::Flags, seen, FLAGS, FLAGS)));
    }
    let why = "it is loaded and leads, and no other leader flag is alive";
    Some(Decision::act(Intent::new(step, mark(view, leader, true), why)))
}
