//! Bringing the other replicas back once the leader serves. Choosing is over then: nobody is promoted, and a replica that
//! is not connected to the leader is resent, whatever its flags. RecoverTable and DropTable destroy data, so each has to
//! pass [`may_discard`] first; and RecoverTable judges a replica by its term alone, so what it will do is known before.

use std::time::Duration;

use crate::model::{Action, Endpoint, Followers, Offset, OpKind, Role, Seen, TabletState};

use super::blocked::{Blocked, Reason};
use super::decide::{APPEARING, Gates, MAX_TRIES, OP_TIMEOUT, ops_wait, turn};
use super::decision::{Decision, Intent, Question, Wait, WaitFor};
use super::memory::Load;
use super::suspect::{is_suspect, lacks_rows_of};
use super::term::{elected_last, official_end, settled_term};
use super::view::{Data, ReplicaView, View};

/// How long a connected follower may take to hear its leader's term (the handshake is tried every second, reference 4.6),
/// and how long it may show no progress while catching up.
const CATCH_UP_STALL: Duration = Duration::from_secs(60);
/// How long a drop may take: the tablet's task pool may be busy loading.
const DROP_TIMEOUT: Duration = Duration::from_secs(10 * 60);

/// How a follower is, and what it needs.
enum Follower {
    /// Alive, loaded, a follower in flag and memory, connected, caught up, with as many rows.
    Redundant,
    /// Something has to be asked, sent or waited for.
    Needs(Decision),
    /// It cannot be brought back.
    Blocked(Blocked),
}

/// One decision for all followers: an action if there is one, else a question, a wait, a block; nothing if all are
/// redundant. RecoverTable goes to one replica of a partition at a time, so that its operations are known to be its.
pub(super) fn recover(view: &View, step: &'static str, gates: Gates, within: Duration) -> Option<Decision> {
    let states = look_at_all(view, step, within)?;
    let mut waits = Vec::new();
    let mut blocks = Vec::new();
    let mut acts = Vec::new();
    for state in states {
        match state {
            Follower::Redundant => {}
            Follower::Needs(Decision::Act(intents)) => acts.push(intents),
            Follower::Needs(Decision::Wait(wait)) => waits.push(Decision::Wait(wait)),
            Follower::Needs(other) => return Some(other),
            Follower::Blocked(blocked) => blocks.push(Decision::Blocked(blocked)),
        }
    }
    if let Some(intents) = acts.into_iter().next() {
        // Taking part in no election and serving nobody, a follower can wait until every leader serves.
        return Some(if gates.may_recover_followers {
            Decision::Act(intents)
        } else {
            turn("leaders of other partitions")
        });
    }
    waits.into_iter().chain(blocks).next()
}

/// What still keeps the partition from being redundant, for playbooks that end with waiting for it.
pub(super) fn redundant(view: &View) -> Option<Decision> {
    let leader = view.serving_leader()?;
    let behind = view.replicas.iter().find(|r| r.endpoint != leader.endpoint && !r.is_alive)?;
    let text = format!("{} is not alive, and the playbook has no step that brings it back", behind.endpoint);
    Some(Decision::Blocked(Blocked::new(Reason::NotInPlaybook, text, "use a playbook with recover_table")))
}

/// Followers that their leader replicates to and that have caught up are marked alive.
pub(super) fn mark_connected_alive(view: &View, step: &'static str, _gates: Gates) -> Option<Decision> {
    let leader = view.serving_leader()?;
    let followers = match &leader.followers {
        Seen::Unasked => return Some(Decision::look(&leader.endpoint, Question::Followers)),
        seen => seen.known()?,
    };
    let ready = view.replicas.iter().filter(|r| {
        let reached = connected_at(followers, &r.endpoint).is_some_and(|offset| offset >= followers.leader_offset);
        reached && !r.is_alive && !r.is_leader && r.loaded().is_some_and(|data| data.role == Role::Follower)
    });
    let intents: Vec<Intent> = ready
        .map(|r| Intent::new(step, mark(view, &r.endpoint, true), "connected to its leader and caught up with it"))
        .collect();
    (!intents.is_empty()).then_some(Decision::Act(intents))
}

/// A partition that this run worked on looks healthy: whether its followers have caught up, and hold as many rows, is looked
/// at all the same. Their leader's word is not enough: it does not notice that one was restarted until it has something to
/// send. A partition that nobody had to touch is left as it is.
pub(super) fn unfinished(view: &View, within: Duration) -> Option<Decision> {
    let worked_on = view.memory.choice.is_some() || view.replicas.iter().any(|r| r.memory.load != Load::NotSent);
    let leader = view.serving_leader().filter(|_| worked_on)?;
    let followers = leader.followers.known()?;
    let case = Case { view, step: "recover_table", leader, followers, within };
    let others = view.replicas.iter().filter(|r| r.endpoint != leader.endpoint);
    let mut states = others.map(|follower| case.catch_up(follower));
    states.find_map(|state| match state {
        Follower::Redundant => None,
        Follower::Needs(decision) => Some(decision),
        Follower::Blocked(blocked) => Some(Decision::Blocked(blocked)),
    })
}

fn look_at_all(view: &View, step: &'static str, within: Duration) -> Option<Vec<Follower>> {
    let leader = view.serving_leader()?;
    let others = view.replicas.iter().filter(|r| r.endpoint != leader.endpoint);
    let followers = match &leader.followers {
        Seen::Unasked => return Some(vec![Follower::Needs(Decision::look(&leader.endpoint, Question::Followers))]),
        Seen::Failed(error) => {
            let what = WaitFor::Answer(leader.endpoint.clone());
            let seen = format!("{} does not say whom it replicates to ({error})", leader.endpoint);
            let wait = Wait::new(what, seen, CATCH_UP_STALL, CATCH_UP_STALL);
            return Some(vec![Follower::Needs(Decision::Wait(wait))]);
        }
        Seen::Known(followers) => followers,
    };
    let case = Case { view, step, leader, followers, within };
    Some(others.map(|follower| case.state_of(follower)).collect())
}

fn connected_at(followers: &Followers, endpoint: &Endpoint) -> Option<Offset> {
    followers.followers.iter().find(|(follower, _)| follower == endpoint).map(|(_, offset)| *offset)
}

fn mark(view: &View, endpoint: &Endpoint, alive: bool) -> Action {
    Action::MarkAlive { table: view.table.clone(), pid: Some(view.partition.pid), endpoint: endpoint.clone(), alive }
}

/// A partition whose leader serves, as each of its followers is looked at.
struct Case<'a> {
    view: &'a View,
    step: &'static str,
    leader: &'a ReplicaView,
    followers: &'a Followers,
    within: Duration,
}

impl Case<'_> {
    fn state_of(&self, follower: &ReplicaView) -> Follower {
        let connected = connected_at(self.followers, &follower.endpoint);
        if let Data::OutOfReach(error) = &follower.data {
            let text = format!("{} does not answer ({error}); the partition serves without it", follower.endpoint);
            let hint = "bring the tablet back, then run again";
            return Follower::Blocked(Blocked::new(Reason::NotRedundant, text, hint));
        }
        if follower.is_alive && self.follows(follower) && connected.is_some() && !self.resend_went_wrong(follower) {
            return self.catch_up(follower);
        }
        if follower.tablet_state != Some(TabletState::Healthy) {
            let text = format!("{} answers, but the nameserver takes its tablet for offline", follower.endpoint);
            let hint = "make another nameserver leader (restart the leading one), then run again";
            return Follower::Blocked(Blocked::new(Reason::TabletOffline, text, hint));
        }
        if let Some(op) = self.view.ops_in_flight.first() {
            return match ops_wait(self.view, op) {
                Decision::Blocked(blocked) => Follower::Blocked(blocked),
                wait => Follower::Needs(wait),
            };
        }
        if follower.is_alive {
            if follower.flag_is_stuck() {
                let text = format!(
                    "{} is flagged alive without being so, and the flag cannot be changed (302)",
                    follower.endpoint
                );
                return Follower::Blocked(Blocked::new(
                    Reason::NotRedundant,
                    text,
                    "restart its tablet, then run again",
                ));
            }
            let why = "it is not what its flag says; RecoverTable refuses an alive replica (311)";
            return self.send(mark(self.view, &follower.endpoint, false), why);
        }
        match &follower.data {
            Data::Loaded(_) => self.bring_loaded(follower, connected),
            Data::Loading(state) => self.wait_loading(follower, &format!("{state:?}")),
            Data::Absent | Data::OutOfReach(_) => self.bring_absent(follower),
        }
    }

    /// A follower in flag and in memory.
    fn follows(&self, follower: &ReplicaView) -> bool {
        !follower.is_leader && follower.loaded().is_some_and(|data| data.role == Role::Follower)
    }

    fn send(&self, action: Action, why: impl Into<String>) -> Follower {
        Follower::Needs(Decision::act(Intent::new(self.step, action, why)))
    }

    /// Alive and connected: it has to reach where its leader was when the wait began, and hold as many rows.
    fn catch_up(&self, follower: &ReplicaView) -> Follower {
        let reached = follower.offset().unwrap_or(Offset(0));
        let target = follower.memory.recovery.catch_up_to.unwrap_or(self.followers.leader_offset);
        if reached < target {
            return self.wait_catching_up(follower, reached, target);
        }
        self.compare(follower)
    }

    /// At the same offset it has to hold as many rows as its leader.
    fn compare(&self, follower: &ReplicaView) -> Follower {
        let (mine, leaders) = (follower.rows(), self.leader.rows());
        let comparable = follower.offset() == self.leader.offset() && follower.offset().is_some();
        let fewer = |a: u64, b: u64| if self.view.has_ttl { u128::from(a) * 10 < u128::from(b) * 9 } else { a < b };
        if !comparable || !(fewer(mine, leaders) || fewer(leaders, mine)) {
            return Follower::Redundant;
        }
        let seen = format!(
            "{} holds {mine} rows, its leader {} {leaders}, at the same offset",
            follower.endpoint, self.leader.endpoint
        );
        if fewer(leaders, mine) {
            let hint = "compare the rows of both; nothing was discarded";
            return Follower::Blocked(Blocked::new(Reason::LeaderLacksRows, seen, hint));
        }
        if follower.memory.recovery.resent_for_rows {
            let hint = "it was resent once and still differs; see the leader tablet's log";
            return Follower::Blocked(Blocked::new(Reason::NotCatchingUp, seen, hint));
        }
        self.send(mark(self.view, &follower.endpoint, false), seen + ": it is resent")
    }

    fn wait_catching_up(&self, follower: &ReplicaView, reached: Offset, target: Offset) -> Follower {
        let what = WaitFor::CatchUp(follower.endpoint.clone());
        let seen = format!("{} is at offset {reached}, its leader was at {target}", follower.endpoint);
        if self.view.memory.has_expired(&what) {
            if follower.is_alive && self.does_not_catch_up(follower) {
                return self.send(mark(self.view, &follower.endpoint, false), seen + ": it is resent");
            }
            let hint = "see the leader tablet's log: its binlog may not reach back far enough";
            return Follower::Blocked(Blocked::new(Reason::NotCatchingUp, seen, hint));
        }
        let mut wait = Wait::new(what, seen, self.within, CATCH_UP_STALL);
        wait.catch_up_to = Some(target);
        Follower::Needs(Decision::Wait(wait))
    }

    /// Not alive, loaded: connected replicas come back as they are, the others get the leader's data.
    fn bring_loaded(&self, follower: &ReplicaView, connected: Option<Offset>) -> Follower {
        let endpoint = &follower.endpoint;
        if follower.memory.recovery.dropping {
            let what = WaitFor::Dropping(endpoint.clone());
            let seen = format!("{endpoint} still holds the partition that it was told to drop");
            if self.view.memory.has_expired(&what) {
                return Follower::Blocked(Blocked::new(
                    Reason::OpTimeout,
                    seen,
                    "see the tablet's log, then run again",
                ));
            }
            return Follower::Needs(Decision::Wait(Wait::new(what, seen, DROP_TIMEOUT, DROP_TIMEOUT)));
        }
        let pair = match &follower.term_pair {
            Seen::Unasked => return Follower::Needs(Decision::look(endpoint, Question::TermPair)),
            Seen::Known(pair) => pair,
            Seen::Failed(error) => {
                let what = WaitFor::Answer(endpoint.clone());
                let seen = format!("{endpoint} does not answer GetTermPair ({error})");
                return Follower::Needs(Decision::Wait(Wait::new(what, seen, CATCH_UP_STALL, CATCH_UP_STALL)));
            }
        };
        let must_drop =
            follower.memory.recovery.must_drop || self.resend_went_wrong(follower) || self.lacks_rows(follower);
        let must_drop = must_drop || self.does_not_catch_up(follower);
        let as_it_is = connected.is_some() && self.follows(follower) && !must_drop;
        if as_it_is {
            return self.recover_connected(follower, pair.term);
        }
        if let Err(blocked) = may_discard(self.view, self.leader, follower) {
            return Follower::Blocked(blocked);
        }
        let known_term = self.view.terms.iter().any(|start| start.term == pair.term);
        let (partition, leader) = (self.view.partition, self.leader.endpoint.clone());
        if connected.is_some() {
            let action = Action::DelReplica { endpoint: leader, partition, follower: endpoint.clone() };
            return self.send(action, "it is to be resent, and RecoverTable would take it as it is");
        }
        // A replica whose term the history knows passes RecoverTable as equal, whatever it holds: its data goes first.
        if known_term || must_drop || follower.leads_in_memory() {
            let action = Action::DropTable { endpoint: endpoint.clone(), partition };
            return self.send(action, format!("it is resent; its directory becomes {}", self.view.recycled_as()));
        }
        self.recover_table(follower, true, "not proven to be a prefix of its leader: it is dropped and resent")
    }

    /// RecoverTable on a replica that its leader replicates to, once it would be judged equal (reference 3.6): it has heard
    /// the leader's term and has everything from before that term.
    fn recover_connected(&self, follower: &ReplicaView, term: crate::model::Term) -> Follower {
        let Some(last) = self.view.terms.last() else {
            return Follower::Blocked(Blocked::new(Reason::NoTermHistory, "no term history", "see settablepartition"));
        };
        let reached = follower.offset().unwrap_or(Offset(0));
        let target = follower.memory.recovery.catch_up_to.unwrap_or(self.followers.leader_offset);
        if term != last.term || reached < target || reached.0 + 1 < last.start.0 {
            return self.wait_catching_up(follower, reached, target);
        }
        self.recover_table(follower, false, "connected to its leader and caught up: the nameserver takes it as it is")
    }

    fn recover_table(&self, follower: &ReplicaView, resends: bool, why: &str) -> Follower {
        let tries = follower.memory.recovery.tries;
        if tries >= MAX_TRIES {
            let failed = self.view.ops_ended.iter().rev().find(|op| op.status == crate::model::OpStatus::Failed);
            let last = failed.map_or(String::new(), |op| {
                format!("; operation {} ({}) failed at {}", op.id, op.kind.name(), op.task)
            });
            let text = format!("RecoverTable for {} was tried {tries} times without effect{last}", follower.endpoint);
            return Follower::Blocked(Blocked::new(Reason::OpFailed, text, "see the nameserver's log, then run again"));
        }
        let (table, pid, endpoint) = (self.view.table.clone(), self.view.partition.pid, follower.endpoint.clone());
        let action = Action::RecoverTable { table, pid, endpoint };
        Follower::Needs(Decision::act(Intent { step: self.step, action, why: why.to_owned(), resends }))
    }

    fn wait_loading(&self, follower: &ReplicaView, state: &str) -> Follower {
        let what = WaitFor::Loading;
        let seen = format!("{} is still loading ({state})", follower.endpoint);
        if self.view.memory.has_expired(&what) {
            let hint = "see the tablet's log, then run again";
            return Follower::Blocked(Blocked::new(Reason::LoadTimeout, seen, hint));
        }
        Follower::Needs(Decision::Wait(Wait::new(what, seen, OP_TIMEOUT, OP_TIMEOUT)))
    }

    /// Its tablet answers and does not hold it. Loading comes first; only what cannot be loaded is resent as it is.
    fn bring_absent(&self, follower: &ReplicaView) -> Follower {
        let endpoint = &follower.endpoint;
        match &follower.memory.load {
            Load::NotSent | Load::Seen | Load::Accepted | Load::Unsure => {
                let what = WaitFor::Appearing(endpoint.clone());
                let seen = format!("{endpoint} does not show the partition yet");
                Follower::Needs(Decision::Wait(Wait::new(what, seen, OP_TIMEOUT, APPEARING)))
            }
            Load::HandedOver | Load::Refused(_) | Load::Vanished | Load::NeverAppeared => {
                match may_discard(self.view, self.leader, follower) {
                    Ok(()) => self.recover_table(follower, true, "it has no data of its own: the leader's is sent"),
                    Err(blocked) => Follower::Blocked(blocked),
                }
            }
        }
    }

    /// RecoverTable was meant to replace its data, and the operation it led to kept them.
    fn resend_went_wrong(&self, follower: &ReplicaView) -> bool {
        let recovery = &follower.memory.recovery;
        let ops = self.view.ops_in_flight.iter().chain(&self.view.ops_ended);
        let mut later = ops.filter(|op| recovery.after_op.is_none_or(|after| op.id > after));
        recovery.resend_meant && later.any(|op| matches!(op.kind, OpKind::ReAddSimplify | OpKind::ReAddNoSend))
    }

    /// Its leader takes it for connected and sends nothing, because its binlog does not reach back far enough, or because the
    /// follower was restarted and nothing has been written since. It is resent, once.
    fn does_not_catch_up(&self, follower: &ReplicaView) -> bool {
        let expired = self.view.memory.has_expired(&WaitFor::CatchUp(follower.endpoint.clone()));
        expired && !follower.memory.recovery.resend_meant && may_discard(self.view, self.leader, follower).is_ok()
    }

    /// It was found with fewer rows than its leader at the same offset, and unmarked for that.
    fn lacks_rows(&self, follower: &ReplicaView) -> bool {
        let fewer = if self.view.has_ttl {
            u128::from(follower.rows()) * 10 < u128::from(self.leader.rows()) * 9
        } else {
            follower.rows() < self.leader.rows()
        };
        fewer && follower.offset() == self.leader.offset() && !follower.memory.recovery.resent_for_rows
    }
}

/// Whether the replica's data may be replaced by the leader's: the leader is loaded as leader, alive, complete, and holds
/// at least as much as was ever known of the replica; or what the replica holds beyond was given up at a failover.
///
/// # Errors
/// What would be lost.
fn may_discard(view: &View, leader: &ReplicaView, replica: &ReplicaView) -> Result<(), Blocked> {
    if is_suspect(view, leader) {
        let text = format!("its leader {} is not complete itself", leader.endpoint);
        return Err(Blocked::new(Reason::LeaderLacksRows, text, "compare the replicas' rows; nothing was discarded"));
    }
    if lacks_rows_of(view, leader, replica) {
        let text = format!(
            "{} holds {} rows, its leader {} {}, and lacks more of its log: resending may discard rows",
            replica.endpoint,
            replica.rows(),
            leader.endpoint,
            leader.rows()
        );
        return Err(Blocked::new(Reason::LeaderLacksRows, text, "compare the replicas' rows; nothing was discarded"));
    }
    // What was evidence before loading is settled by proof: a loaded replica holds its offset, whatever was known of it.
    let held = match replica.offset() {
        Some(offset) => offset.max(replica.manifest_offset()),
        None => replica.largest_known_offset(),
    };
    let leads_to = leader.offset().unwrap_or(Offset(0));
    let tail_only = official_end(view, replica) <= leads_to;
    if held <= leads_to || tail_only && given_up_at_failover(view, leader, replica) {
        return Ok(());
    }
    let text = format!(
        "{} holds entries up to offset {held}, its leader {} only up to {leads_to}: resending would discard them",
        replica.endpoint, leader.endpoint
    );
    Err(Blocked::new(Reason::LongerThanLeader, text, "compare the rows of both; nothing was discarded"))
}

/// Whether what the replica holds beyond its leader is given up by the rule for several leader flags: the choice said so,
/// or it is an old leader and the serving one was elected last.
fn given_up_at_failover(view: &View, leader: &ReplicaView, replica: &ReplicaView) -> bool {
    let chosen = view.memory.choice.as_ref().is_some_and(|choice| {
        choice.leader == leader.endpoint && choice.given_up.iter().any(|given| given.endpoint == replica.endpoint)
    });
    let elected = replica.is_leader
        && elected_last(view).is_some_and(|elected| elected.endpoint == leader.endpoint)
        && settled_term(view, replica).is_some();
    chosen || elected
}
