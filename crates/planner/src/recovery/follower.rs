//! Bringing the other replicas back once the leader serves. Choosing is over then: nobody is promoted, and a replica that
//! is not connected to the leader is resent, whatever its flags. RecoverTable and DropTable destroy data, so each has to
//! pass [`may_discard`] first; and RecoverTable judges a replica by its term alone, so what it will do is known before.

mod absent;
mod old_leader;

use std::time::Duration;

use openmldb_model::{Action, Endpoint, Followers, Offset, Role, Seen, TabletState, counted};

use super::base::{is_written_while_loading, not_to_be_sent};
use super::blocked::{Blocked, Reason};
use super::connect::{Returns, connect, is_the_same, may_have_missed_deletes, read_again};
use super::decision::{Decision, Intent, Probe, Question, Wait, WaitFor};
use super::discard::may_discard;
use super::election::NO_TERMS;
use super::gates::{ops_wait, until_registered};
use super::limits::{ANSWER, MAX_TRIES};
use super::loss::{Loss, unless_accepted};
use super::rows::{self, cannot_be_compared, comparing_failed, seen_equal};
use super::single::resend_went_wrong;
use super::stuck::{Stuck, stuck};
use super::suspect::has_fewer_rows;
use super::view::{Data, ReplicaView, View};

/// How long a connected follower may take to hear its leader's term (contact is tried every second,
/// docs/openmldb/logs-and-terms.md#how-a-leader-replicates), and how long it may show no progress while catching up.
const CATCH_UP_STALL: Duration = Duration::from_secs(60);
/// How long a follower has to seem to refuse its leader to be believed to.
const STUCK_SETTLE: Duration = Duration::from_secs(5);
/// How long a difference in rows at equal offsets has to last to be believed.
const ROWS_SETTLE: Duration = Duration::from_secs(5);
/// How long it has to be there at every look, where clients write and delete all the time and it is never the same one twice, before
/// the rows themselves are compared.
const ROWS_DIFFER: Duration = Duration::from_secs(60);
/// How long nobody asks again for an operation that did not show, the first time: the nameserver that answered may lead no more, or
/// take a tablet for offline. Twice as long each time after.
const ASKED_AGAIN: Duration = Duration::from_secs(2);
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

impl From<Decision> for Follower {
    fn from(decision: Decision) -> Self {
        match decision {
            Decision::Blocked(blocked) => Self::Blocked(blocked),
            other => Self::Needs(other),
        }
    }
}

/// One decision for all followers: an action if there is one, else a question, a wait, a block; nothing if all are
/// redundant. RecoverTable goes to one replica of a partition at a time, so that its operations are known to be its. `first` is
/// what comes before any action.
pub(super) fn recover(
    view: &View,
    step: &'static str,
    first: Option<Decision>,
    within: Duration,
    returns: Returns,
) -> Option<Decision> {
    let states = look_at_all(view, step, within, returns)?;
    let mut waits = Vec::new();
    let mut blocks = Vec::new();
    let mut acts = Vec::new();
    for state in states {
        match state {
            Follower::Redundant => {}
            Follower::Needs(Decision::Act(intents)) => acts.push(intents),
            Follower::Needs(Decision::Wait(wait)) => waits.push(Decision::Wait(wait)),
            Follower::Needs(other) => return Some(other),
            Follower::Blocked(blocked) => blocks.push(blocked),
        }
    }
    if let Some(intents) = acts.into_iter().next() {
        return Some(first.unwrap_or(Decision::Act(intents)));
    }
    // That a tablet is away everybody sees.
    let blocked = blocks.into_iter().min_by_key(|blocked| blocked.reason == Reason::NotRedundant);
    waits.into_iter().next().or(blocked.map(Decision::Blocked))
}

/// What still keeps the partition from being redundant, for playbooks that end with waiting for it.
pub(super) fn redundant(view: &View) -> Option<Decision> {
    let leader = view.serving_leader()?;
    let behind = view.replicas.iter().find(|r| r.endpoint != leader.endpoint && !r.is_alive)?;
    let text = format!("{} is not alive, and the playbook has no step that brings it back", behind.endpoint);
    Some(Decision::Blocked(Blocked::new(Reason::NotInPlaybook, text, "use a playbook with recover_table")))
}

/// Followers that their leader replicates to, that have caught up and hold as many rows, need nothing of the nameserver but
/// their flag. What else a follower needs is [`recover`]'s.
pub(super) fn reattach(view: &View, step: &'static str, within: Duration, returns: Returns) -> Option<Decision> {
    let mut marks = Vec::new();
    for state in look_at_all(view, step, within, returns)? {
        match state {
            Follower::Needs(Decision::Act(intents)) => marks.extend(intents.into_iter().filter(is_mark)),
            Follower::Needs(look @ Decision::Look(_)) => return Some(look),
            _ => {}
        }
    }
    (!marks.is_empty()).then_some(Decision::Act(marks))
}

fn is_mark(intent: &Intent) -> bool {
    matches!(intent.action, Action::MarkAlive { alive: true, .. })
}

fn look_at_all(view: &View, step: &'static str, within: Duration, returns: Returns) -> Option<Vec<Follower>> {
    let leader = view.serving_leader().filter(|_| view.replicas.len() > 1)?;
    let others = view.replicas.iter().filter(|r| r.endpoint != leader.endpoint);
    if let Err(blocked) = not_to_be_sent(view, leader) {
        return Some(vec![Follower::Blocked(blocked)]);
    }
    let followers = match &leader.followers {
        Seen::Unasked => return Some(vec![Follower::Needs(Decision::look(&leader.endpoint, Question::Followers))]),
        Seen::Failed(error) => {
            let seen = format!("{} does not report its followers ({error})", leader.endpoint);
            return Some(vec![wait_for_answer(view, &leader.endpoint, seen)]);
        }
        Seen::Known(followers) => followers,
    };
    let case = Case { view, step, leader, followers, within, returns };
    Some(others.map(|follower| case.state_of(follower)).collect())
}

fn wait_for_answer(view: &View, endpoint: &Endpoint, seen: String) -> Follower {
    let what = WaitFor::Answer(endpoint.clone());
    if view.memory.has_expired(&what) {
        return Follower::Blocked(Blocked::new(Reason::NotRedundant, seen, "see the tablet's log, then run again"));
    }
    Follower::Needs(Decision::Wait(Wait::new(what, seen, ANSWER, ANSWER)))
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
    returns: Returns,
}

impl Case<'_> {
    fn state_of(&self, follower: &ReplicaView) -> Follower {
        let connected = connected_at(self.followers, &follower.endpoint);
        if let Data::OutOfReach(error) = &follower.data {
            // Clients must not be sent to what nobody has looked at, nor an election count on it.
            let is_taken_for_alive = follower.is_alive && follower.memory.leader_held.is_some();
            if is_taken_for_alive && !follower.flag_is_stuck() {
                let why = "it does not answer, and it has not been checked since its leader was chosen";
                return self.send(mark(self.view, &follower.endpoint, false), why);
            }
            let stuck = match is_taken_for_alive {
                true => "; it stays flagged alive, because the nameserver does not know its tablet (302)",
                false => "",
            };
            let text =
                format!("{} does not answer ({error}); the partition serves without it{stuck}", follower.endpoint);
            let hint = "start that tablet, or see why it does not answer, then run again";
            return Follower::Blocked(Blocked::new(Reason::NotRedundant, text, hint));
        }
        let stuck = match self.stuck(follower, connected) {
            Ok(stuck) => stuck,
            Err(unknown) => return unknown,
        };
        let is_written = is_written_while_loading(self.view, follower);
        let is_right =
            follower.is_alive && self.follows(follower) && !resend_went_wrong(self.view, follower) && !is_written;
        if let Some(connected) = connected.filter(|_| is_right && stuck.is_none()) {
            return self.catch_up(follower, connected);
        }
        // RecoverTable answers 0 and does nothing while it takes the leader's tablet for offline.
        if let Some(offline) =
            [follower, self.leader].into_iter().find(|r| r.tablet_state != Some(TabletState::Healthy))
        {
            let text = format!("{} answers, but the nameserver considers its tablet offline", offline.endpoint);
            let hint = "make another nameserver leader (restart the leading one), then run again";
            return until_registered(self.view, &offline.endpoint, text, hint).into();
        }
        if let Some(op) = self.view.ops_in_flight.first() {
            return ops_wait(self.view, op).into();
        }
        if follower.is_alive {
            if follower.flag_is_stuck() {
                let text =
                    format!("{} is flagged alive but is not, and the flag cannot be changed (302)", follower.endpoint);
                return Follower::Blocked(Blocked::new(
                    Reason::NotRedundant,
                    text,
                    "restart its tablet, then run again",
                ));
            }
            let is_to_go = stuck.is_some() || is_written;
            if let Err(blocked) = may_discard(self.view, self.leader, follower)
                && is_to_go
            {
                return Follower::Blocked(blocked);
            }
            let why = match stuck {
                None if is_written => {
                    "its aggregator wrote to it while it was loading; to be resent it must not be alive".to_owned()
                }
                Some(stuck) => format!("it {stuck}; to be resent it must not be alive"),
                None => "its role does not match its flag; RecoverTable refuses an alive replica (311)".to_owned(),
            };
            return self.send(mark(self.view, &follower.endpoint, false), why);
        }
        match &follower.data {
            Data::Loaded(_) => self.bring_loaded(follower, connected, stuck),
            Data::Loading(_) => self.wait_loading(follower),
            Data::Absent | Data::OutOfReach(_) => self.bring_absent(follower, connected),
        }
    }

    /// A follower in flag and in memory.
    fn follows(&self, follower: &ReplicaView) -> bool {
        !follower.is_leader && follower.loaded().is_some_and(|data| data.role == Role::Follower)
    }

    /// Why a follower that its leader replicates to takes nothing from it, once that is believed. One that was resent for it is
    /// waited for like any other.
    fn stuck(&self, follower: &ReplicaView, connected: Option<Offset>) -> Result<Option<Stuck>, Follower> {
        if connected.is_none() || !self.follows(follower) || !self.view.ops_in_flight.is_empty() {
            return Ok(None);
        }
        let unasked = [self.leader, follower].into_iter().filter(|r| r.term_pair == Seen::Unasked);
        let unasked: Vec<Probe> =
            unasked.map(|r| Probe { endpoint: r.endpoint.clone(), question: Question::TermPair }).collect();
        if !unasked.is_empty() {
            return Err(Follower::Needs(Decision::Look(unasked)));
        }
        let given_up = follower.memory.recovery.stood_still && !follower.memory.recovery.resent_for_rows;
        let (at, leader) = (follower.offset().unwrap_or(connected.unwrap_or(Offset(0))), self.followers.leader_offset);
        match stuck(self.view, self.leader, follower) {
            // Whether it moves shows by itself, while it is waited for.
            Some(Stuck::NoProgress { .. }) | None => Ok(given_up.then_some(Stuck::NoProgress { at, leader })),
            Some(stuck) => {
                let what = WaitFor::Stuck(follower.endpoint.clone());
                if self.view.memory.has_expired(&what) {
                    return Ok(Some(stuck));
                }
                let seen = format!("{} {stuck}", follower.endpoint);
                Err(Follower::Needs(Decision::Wait(Wait::new(what, seen, self.within, STUCK_SETTLE))))
            }
        }
    }

    fn send(&self, action: Action, why: impl Into<String>) -> Follower {
        Follower::Needs(Decision::act(Intent::new(self.step, action, why)))
    }

    /// Alive and connected: it has to reach where its leader was when the wait began, and hold as many rows.
    fn catch_up(&self, follower: &ReplicaView, connected: Offset) -> Follower {
        let reached = follower.offset().unwrap_or(Offset(0)).max(connected);
        let target = follower.memory.recovery.catch_up_to.unwrap_or(self.followers.leader_offset);
        if reached < target {
            return self.wait_catching_up(follower, reached, target);
        }
        if let Some(longer) = self.longer_than_leader(follower, connected) {
            return longer;
        }
        if let Some(fuller) = self.fuller_than_leader(follower) {
            return fuller;
        }
        if !has_fewer_rows(self.view, follower, self.leader) {
            return Follower::Redundant;
        }
        if let Some(wait) = self.wait_for_rows(follower, self.until_compared(follower)) {
            return wait;
        }
        let seen = self.rows_of_both(follower);
        if follower.memory.recovery.resent_for_rows {
            let hint = "it was resent once and still differs; see the leader tablet's log";
            return Follower::Blocked(Blocked::new(Reason::NotCatchingUp, seen, hint));
        }
        self.send(mark(self.view, &follower.endpoint, false), seen + ": it is resent")
    }

    fn rows_of_both(&self, follower: &ReplicaView) -> String {
        let (mine, leaders) = (follower.rows_at(), self.leader.rows_at());
        format!("{} holds {mine}, its leader {} {leaders}", follower.endpoint, self.leader.endpoint)
    }

    /// Ahead of its leader (docs/openmldb/logs-and-terms.md#a-follower-that-is-longer-than-its-leader): the leader's own
    /// answer has to say so, and for longer than a moment.
    fn longer_than_leader(&self, follower: &ReplicaView, connected: Offset) -> Option<Follower> {
        let is_longer = connected > self.followers.leader_offset && follower.offset() > self.leader.offset();
        if !is_longer || seen_equal(self.view, self.leader, follower) {
            return None;
        }
        let hint = rows::diff_beside_leader(self.view);
        let longer = || Follower::Blocked(Blocked::new(Reason::LongerThanLeader, self.rows_of_both(follower), hint));
        Some(self.wait_for_rows(follower, self.within).unwrap_or_else(longer))
    }

    /// A follower that caught up and has more rows than its leader shows that the leader lost some: no operation may touch
    /// it, since one that goes wrong drops it.
    fn fuller_than_leader(&self, follower: &ReplicaView) -> Option<Follower> {
        if let Some(compare) = read_again(self.view, self.leader, follower) {
            return Some(Follower::Needs(compare));
        }
        if !has_fewer_rows(self.view, self.leader, follower) {
            return None;
        }
        if let Some(wait) = self.wait_for_rows(follower, self.until_compared(follower)) {
            return Some(wait);
        }
        let hint = rows::diff(self.view, "nothing was discarded");
        let blocked = Blocked::new(Reason::LeaderLacksRows, self.rows_of_both(follower), hint);
        let loss = Loss::rows(self.view, follower, self.leader);
        unless_accepted(self.view, blocked, vec![loss]).err().map(Follower::Blocked)
    }

    /// How long counts may differ before the rows themselves are compared: counts alone are not to decide sooner than they had to.
    fn until_compared(&self, follower: &ReplicaView) -> Duration {
        let in_vain =
            |compared: fn(&View, &ReplicaView, &ReplicaView) -> bool| compared(self.view, follower, self.leader);
        match in_vain(cannot_be_compared) || in_vain(comparing_failed) {
            true => self.within,
            false => self.within.min(ROWS_DIFFER),
        }
    }

    /// The two were not looked at in the same moment, and rows are written before or after the log: while clients write,
    /// equal offsets with different rows mean nothing until they last.
    fn wait_for_rows(&self, follower: &ReplicaView, within: Duration) -> Option<Follower> {
        let what = WaitFor::Rows(follower.endpoint.clone());
        let lasts = self.view.memory.has_expired(&what);
        // What is the same all the time although both grow.
        let seen = match follower.offset() == self.leader.offset() {
            true => self.rows_of_both(follower),
            false => {
                let (own, of_leader) = (follower.entries_without_row(), self.leader.entries_without_row());
                format!("{own} entries without a row, its leader {of_leader}")
            }
        };
        let wait = || Wait::new(what, seen, within, ROWS_SETTLE);
        (!lasts).then(|| Follower::Needs(Decision::Wait(wait())))
    }

    fn wait_catching_up(&self, follower: &ReplicaView, reached: Offset, target: Offset) -> Follower {
        let what = WaitFor::CatchUp(follower.endpoint.clone());
        let seen = format!("{} is at offset {reached}, its leader was at {target}", follower.endpoint);
        if self.view.memory.has_expired(&what) {
            let hint = "see the leader tablet's log: its binlog may not reach back far enough";
            return Follower::Blocked(Blocked::new(Reason::NotCatchingUp, seen, hint));
        }
        let mut wait = Wait::new(what, seen, self.within, CATCH_UP_STALL);
        wait.catch_up_to = Some(target);
        Follower::Needs(Decision::Wait(wait))
    }

    /// Not alive, loaded: connected replicas come back as they are, the others get the leader's data.
    fn bring_loaded(&self, follower: &ReplicaView, connected: Option<Offset>, stuck: Option<Stuck>) -> Follower {
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
        let went_wrong = resend_went_wrong(self.view, follower);
        let is_written = is_written_while_loading(self.view, follower);
        let mut must_drop = follower.memory.recovery.must_drop || went_wrong || stuck.is_some() || is_written;
        let lacks_rows = has_fewer_rows(self.view, follower, self.leader) && !follower.memory.recovery.resent_for_rows;
        if let Some(connected) = connected.filter(|_| self.follows(follower) && !must_drop) {
            if let Some(longer) = self.longer_than_leader(follower, connected) {
                return longer;
            }
            if !lacks_rows {
                return self.bring_connected(follower, connected);
            }
            if let Some(wait) = self.wait_for_rows(follower, self.until_compared(follower)) {
                return wait;
            }
            must_drop = true;
        }
        if self.returns.connected && connected.is_none() && !must_drop && is_the_same(self.view, self.leader, follower)
        {
            let why = "it holds as many entries as its leader, and the same rows";
            return self.send(connect(self.view, self.leader, follower), why);
        }
        if let Some(kept) = (!must_drop).then(|| self.bring_old_leader(follower, connected)).flatten() {
            return kept;
        }
        if let Err(blocked) = may_discard(self.view, self.leader, follower) {
            let is_apart = self.returns.connected && connected.is_none() && !must_drop;
            let is_about_rows = is_apart && blocked.reason == Reason::LeaderLacksRows;
            if is_about_rows && may_have_missed_deletes(self.view, self.leader, follower) {
                let why = "its leader lacks rows of it that may have been deleted since: it gets these deletes, too";
                return self.send(connect(self.view, self.leader, follower), why);
            }
            // An aggregator that was just attached to its leader may still be making what that one lacks.
            let is_made = is_written && self.leader.memory.aggregator_asked;
            let wait = if is_made { self.wait_for_rows(follower, self.within) } else { None };
            return wait.unwrap_or(Follower::Blocked(blocked));
        }
        let term = match self.term_of(follower) {
            Ok(term) => term,
            Err(unknown) => return unknown,
        };
        let known_term = self.view.terms.iter().any(|start| start.term == term);
        if connected.is_some() {
            let why = "it has to be resent, but RecoverTable would accept it as it is";
            let intent = Intent::new(self.step, self.disconnect(endpoint), why);
            return Follower::Needs(Decision::act(Intent { resends: true, ..intent }));
        }
        // A replica whose term the history knows passes RecoverTable as equal, whatever it holds: its data goes first.
        if known_term || must_drop || follower.leads_in_memory() {
            let action = Action::DropTable { endpoint: endpoint.clone(), partition: self.view.partition };
            return self.send(action, format!("it is resent; its directory becomes {}", self.view.recycled_as()));
        }
        self.recover_table(follower, true, "not proven to be a prefix of its leader: it is dropped and resent")
    }

    /// A replica that its leader replicates to, once it has caught up. Only its flag is left to be set; by RecoverTable,
    /// where the playbook says so, once that takes it for equal: it has heard the leader's term and has everything from
    /// before that term (docs/openmldb/operations.md#how-recovertable-judges-a-replica).
    fn bring_connected(&self, follower: &ReplicaView, connected: Offset) -> Follower {
        let Some(last) = self.view.terms.last() else {
            return Follower::Blocked(Blocked::new(Reason::NoTermHistory, "no term history", NO_TERMS));
        };
        let term = match self.returns.marked {
            true => last.term,
            false => match self.term_of(follower) {
                Ok(term) => term,
                Err(unknown) => return unknown,
            },
        };
        let reached = follower.offset().unwrap_or(Offset(0)).max(connected);
        let target = follower.memory.recovery.catch_up_to.unwrap_or(self.followers.leader_offset);
        if term != last.term || reached < target || reached.next() < last.start {
            return self.wait_catching_up(follower, reached, target);
        }
        if let Some(fuller) = self.fuller_than_leader(follower) {
            return fuller;
        }
        if self.returns.marked && !follower.flag_is_stuck() {
            let why = "connected to its leader, caught up with it, and with as many rows";
            return self.send(mark(self.view, &follower.endpoint, true), why);
        }
        self.recover_table(follower, false, "connected to its leader and caught up: the nameserver accepts it as it is")
    }

    fn recover_table(&self, follower: &ReplicaView, resends: bool, why: &str) -> Follower {
        let tries = follower.memory.recovery.tries;
        if tries >= MAX_TRIES {
            let failed = self.view.ops_ended.iter().rev().find(|op| op.status == openmldb_model::OpStatus::Failed);
            let last = failed.map_or(String::new(), |op| {
                format!("; operation {} ({}) failed at {}", op.id, op.kind.name(), op.task)
            });
            let text = format!("RecoverTable for {} was tried {tries} times without effect{last}", follower.endpoint);
            return Follower::Blocked(Blocked::new(Reason::OpFailed, text, "see the nameserver's log, then run again"));
        }
        let what = WaitFor::Begun(follower.endpoint.clone());
        let has_shown = self.view.ops_ended.iter().any(|op| Some(op.id) > follower.memory.recovery.after_op);
        if tries > 0 && !has_shown && !self.view.memory.has_expired(&what) {
            let pause = ASKED_AGAIN * 2_u32.pow(tries - 1);
            let seen =
                format!("RecoverTable for {} was tried {}, without effect", follower.endpoint, counted(tries, "time"));
            return Follower::Needs(Decision::Wait(Wait::new(what, seen, pause, pause)));
        }
        let (table, pid, endpoint) = (self.view.table.clone(), self.view.partition.pid, follower.endpoint.clone());
        let action = Action::RecoverTable { table, pid, endpoint };
        Follower::Needs(Decision::act(Intent { step: self.step, action, why: why.to_owned(), resends }))
    }

    fn disconnect(&self, follower: &Endpoint) -> Action {
        let (endpoint, partition) = (self.leader.endpoint.clone(), self.view.partition);
        Action::DelReplica { endpoint, partition, follower: follower.clone() }
    }
}
