//! What a run remembers of an action, by how it went.

use serde::{Deserialize, Serialize};

use openmldb_model::{Action, Endpoint, Offset, OpId, StorageMode};

use super::choice::PromotionMethod;
use super::connect::is_cleared_for_good;
use super::decision::{Intent, WaitFor};
use super::memory::{Load, Memory};
use super::rows::{lacking, seen_to_hold_all, seen_to_lack_keys};
use super::single::is_seen_replaced;
use super::view::{Data, ReplicaView, View};

/// How an action went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The server answered with success, or that it was so already.
    Applied,
    /// The server answered no.
    Refused {
        /// OpenMLDB's return code.
        code: i32,
        /// The whole error, for people.
        error: String,
    },
    /// It certainly did not happen.
    NotApplied(String),
    /// It may have happened, or may still happen: a deadline does not stop a server
    /// (docs/openmldb/clients.md#a-deadline-does-not-stop-the-server).
    Unknown(String),
}

/// kEndpointIsNotExist: the nameserver has never seen the tablet.
const ENDPOINT_UNKNOWN: i32 = 302;
/// kTableAlreadyExists, of LoadTable: loaded or loading.
const ALREADY_LOADED: i32 = 101;

impl Memory {
    /// Notes how an action of ours on the partition went. `view` is what it was decided on, `newest_op` the newest
    /// operation the nameserver listed then.
    pub fn note_outcome(&mut self, view: &View, intent: &Intent, outcome: &Outcome, newest_op: Option<OpId>) {
        let applied = !matches!(outcome, Outcome::Refused { .. } | Outcome::NotApplied(_));
        match &intent.action {
            Action::LoadTable { endpoint, .. } => self.note_load(view.storage, endpoint, outcome),
            Action::LoadWithSchema { endpoint, .. } => {
                self.note_load(view.storage, endpoint, outcome);
                // What nobody heard of may not have come.
                self.replica_mut(endpoint).told_schema |= matches!(outcome, Outcome::Applied | Outcome::Refused { .. });
            }
            Action::ChangeLeader { .. } if applied => {
                self.leader_tries += 1;
                self.expired.remove(&WaitFor::Ops);
            }
            Action::RecoverTable { endpoint, .. } if applied => {
                self.settle_doubt(view, endpoint);
                let leader = view.serving_leader();
                let has_data = view.replica(endpoint).is_some_and(|replica| replica.loaded().is_some());
                let has_nothing_to_send = leader.is_none_or(|leader| leader.manifest_offset() == Offset(0));
                let replica = self.replica_mut(endpoint);
                // It is its leader's as it is. What is to be replaced is its own as long as nobody has seen it replaced.
                if !intent.resends {
                    (replica.leader_held, replica.replaceable) = (None, None);
                }
                // A replica that was dropped for its rows is not dropped for them again.
                replica.recovery.resent_for_rows |= replica.recovery.must_drop;
                replica.load = if intent.resends { Load::HandedOver } else { replica.load.clone() };
                replica.recovery.tries += 1;
                replica.recovery.after_op = newest_op;
                replica.recovery.resend_meant = intent.resends;
                replica.recovery.snapshot_may_stay = intent.resends && has_data && has_nothing_to_send;
                replica.recovery.must_drop = false;
                replica.recovery.stood_still = false;
                replica.recovery.catch_up_to = leader.and_then(|leader| leader.offset());
                let over = |wait: &WaitFor| match wait {
                    WaitFor::Ops | WaitFor::CatchUp(_) | WaitFor::Rows(_) | WaitFor::Stuck(_) => true,
                    WaitFor::Begun(at) => at == endpoint,
                    _ => false,
                };
                self.expired.retain(|wait, _| !over(wait));
                self.forget_rows(endpoint);
            }
            Action::DropTable { endpoint, .. } if applied => {
                let replica = self.replica_mut(endpoint);
                replica.load = Load::HandedOver;
                replica.recovery.dropping = true;
                replica.recovery.dropped = true;
                replica.recovery.must_drop = true;
                self.forget_rows(endpoint);
            }
            // From here on it gets what its leader has.
            Action::AddReplica { endpoint, follower, .. } if applied => {
                self.settle_doubt(view, follower);
                self.doubt_deletes(view, endpoint, follower);
                self.forget_rows(follower);
            }
            Action::ChangeRole { endpoint, replicas, .. } if applied => {
                for follower in replicas {
                    self.doubt_deletes(view, endpoint, follower);
                    self.forget_rows(follower);
                }
            }
            // What is not loaded is disconnected to be loaded in peace.
            Action::DelReplica { follower, .. } if applied => {
                let loaded = view.replica(follower).is_some_and(|replica| replica.loaded().is_some());
                self.replica_mut(follower).recovery.must_drop |= loaded && intent.resends;
            }
            Action::MakeSnapshot { endpoint, .. } => {
                let replica = self.replica_mut(endpoint);
                replica.snapshot_tries += 1;
                // Asked twice, a tablet makes one more; waited for in vain, a term stays unknown.
                replica.snapshot_asked = *outcome == Outcome::Applied;
            }
            Action::CreateAggregator { endpoint, .. } => {
                let replica = self.replica_mut(endpoint);
                replica.aggregator_asked = true;
                replica.unattached &= matches!(outcome, Outcome::NotApplied(_));
            }
            Action::MarkAlive { endpoint, alive, .. } => {
                if matches!(outcome, Outcome::Refused { code: ENDPOINT_UNKNOWN, .. }) {
                    self.replica_mut(endpoint).flag_stuck = true;
                    return;
                }
                // It may be gone before anybody looks again, and clients are faster.
                let leads = *alive && self.choice.as_ref().is_some_and(|choice| choice.leader == *endpoint);
                self.replica_mut(endpoint).led |= leads && !matches!(outcome, Outcome::Refused { .. });
            }
            _ => {}
        }
        self.note_refusal(view, intent, outcome);
    }

    /// What has to be remembered of a call should the run end before it hears how it went.
    pub fn note_unheard(&mut self, view: &View, intent: &Intent, newest_op: Option<OpId>) {
        self.note_outcome(view, intent, &Outcome::Unknown(String::new()), newest_op);
        if let Action::LoadTable { endpoint, .. } | Action::LoadWithSchema { endpoint, .. } = &intent.action
            && view.storage.is_disk()
        {
            self.replica_mut(endpoint).load = Load::InDoubt;
        }
    }

    fn note_load(&mut self, storage: StorageMode, endpoint: &Endpoint, outcome: &Outcome) {
        let replica = self.replica_mut(endpoint);
        replica.loads += u32::from(!matches!(outcome, Outcome::NotApplied(_)));
        replica.load = match outcome {
            // A memory table registers before LoadTable answers: the next look shows whether it was applied. A disk table
            // loads unseen and must not be told twice; but if it never appears, it may never have been told.
            Outcome::Unknown(_) if storage.is_disk() => Load::Interrupted,
            Outcome::Unknown(_) => Load::NotSent,
            Outcome::Applied | Outcome::Refused { code: ALREADY_LOADED, .. } => Load::Accepted,
            Outcome::Refused { error, .. } => Load::Refused(error.clone()),
            Outcome::NotApplied(_) => Load::NotSent,
        };
    }

    /// Counts refusals in a row. A refused load is an answer about the replica, not a failure of the call; and a snapshot
    /// that cannot be made only leaves a term unknown.
    fn note_refusal(&mut self, view: &View, intent: &Intent, outcome: &Outcome) {
        let subject = match &intent.action {
            Action::LoadTable { .. } | Action::LoadWithSchema { .. } if matches!(outcome, Outcome::Refused { .. }) => {
                return;
            }
            Action::MarkAlive { endpoint, .. }
            | Action::RecoverTable { endpoint, .. }
            | Action::LoadTable { endpoint, .. }
            | Action::LoadWithSchema { endpoint, .. }
            | Action::ChangeRole { endpoint, .. }
            | Action::DropTable { endpoint, .. }
            | Action::RecoverSnapshot { endpoint, .. } => endpoint,
            Action::AddReplica { follower, .. } | Action::DelReplica { follower, .. } => follower,
            Action::ChangeLeader { candidate, .. } => candidate,
            Action::SetAutoFailover { .. }
            | Action::OfflineEndpoint { .. }
            | Action::CancelOp { .. }
            | Action::CreateAggregator { .. }
            | Action::AttachRemote { .. }
            | Action::MakeSnapshot { .. }
            | Action::Manual(_) => return,
        };
        let error = match outcome {
            Outcome::Applied => None,
            Outcome::Refused { error, .. } | Outcome::NotApplied(error) | Outcome::Unknown(error) => {
                Some(error.clone())
            }
        };
        if matches!(intent.action, Action::ChangeLeader { .. }) {
            self.leader_error.clone_from(&error);
        }
        debug_assert!(view.replica(subject).is_some());
        let replica = self.replica_mut(subject);
        replica.refusals = if error.is_some() { replica.refusals + 1 } else { 0 };
        replica.last_error = error;
    }

    /// A follower that was seen to hold what its leader holds is not doubted again once it is its leader's.
    fn settle_doubt(&mut self, view: &View, endpoint: &Endpoint) {
        let (Some(leader), Some(replica)) = (view.serving_leader(), view.replica(endpoint)) else { return };
        if !is_cleared_for_good(view, leader, replica) {
            return;
        }
        self.replica_mut(endpoint).doubted = false;
        if let Some(choice) = self.choice.as_mut() {
            choice.doubted.retain(|at| at != endpoint);
            choice.unread.retain(|at| at != endpoint);
        }
    }

    /// A follower of which its leader lacks rows, that it may have deleted since, is read again once it has these deletes, too.
    fn doubt_deletes(&mut self, view: &View, leader: &Endpoint, follower: &Endpoint) {
        let (Some(leads), Some(follows)) = (view.replica(leader), view.replica(follower)) else { return };
        let lacks_some = lacking(view, leads, follows).is_some_and(|lack| lack.rows > 0);
        if !lacks_some {
            return;
        }
        self.replica_mut(follower).doubted = true;
        let choice = self.choice.as_mut().filter(|choice| choice.leader == *leader);
        if let Some(choice) = choice.filter(|choice| !choice.unread.contains(follower)) {
            choice.unread.push(follower.clone());
        }
    }

    /// Forgets a choice whose leader is gone before it served, or beside which somebody else had another one elected: the replicas
    /// are looked at anew.
    pub fn note_view(&mut self, view: &View) {
        self.note_elections(view);
        self.note_written_while_loading(view);
        self.note_what_is_shared(view);
        let serving = view.serving_leader().map(|leader| &leader.endpoint);
        for replica in view.replicas.iter().filter(|r| r.loaded().is_some()) {
            let led = &mut self.replica_mut(&replica.endpoint).led;
            *led = serving == Some(&replica.endpoint) || *led && replica.leads_in_memory();
        }
        view.replicas.iter().filter(|r| r.loaded().is_none()).for_each(|r| self.forget_rows(&r.endpoint));
        let Some(choice) = &self.choice else { return };
        let last = view.terms.last().map(|start| start.term);
        // Its own election has begun a term; a later one is somebody else's, again.
        if choice.way == PromotionMethod::ChangeLeader && serving == Some(&choice.leader) {
            self.chosen_under = self.chosen_under.or(last);
        }
        let gone = view.replica(&choice.leader).is_none_or(|leader| match leader.data {
            Data::Absent | Data::Loading(_) => true,
            Data::OutOfReach(_) => !leader.may_be_serving(),
            Data::Loaded(_) => false,
        });
        let superseded = self.chosen_under.is_some_and(|under| Some(under) != last) && serving != Some(&choice.leader);
        // Marking it alive makes nobody lead: somebody else had it recovered as a follower, which takes its leader flag.
        let is_unflagged = view.replica(&choice.leader).is_some_and(|leader| !leader.is_leader);
        let unflagged = is_unflagged && choice.way == PromotionMethod::ChangeRole;
        if (gone || unflagged) && serving.is_none() || superseded {
            self.choice = None;
            self.chosen_under = None;
            self.leader_tries = 0;
        }
    }

    /// Flags from before an election do not say who was elected in it: an operation that was to be settled may have gone on.
    fn note_elections(&mut self, view: &View) {
        let is_news = self.terms > 0 && view.terms.len() > self.terms;
        self.terms = view.terms.len();
        for replica in view.replicas.iter().filter(|_| is_news) {
            let noted = self.replica_mut(&replica.endpoint);
            (noted.alive_before, noted.found_alive) = (replica.is_alive, replica.is_alive);
        }
    }

    /// Forgets how much of its leader's log a replica shares once it holds no more than that, or was replaced by that one's data. That
    /// either was sent proves neither: it may not have come, the operation may fail, and the leader writes on.
    pub(super) fn note_what_is_shared(&mut self, view: &View) {
        for replica in view.replicas.iter().filter(|r| r.offset().is_some()) {
            // One look that shows it empty is not believed.
            let is_at_its_end = replica.offset() > Some(Offset(0)) || replica.memory.odd_looks > 1;
            let is_replaced = is_seen_replaced(view, replica);
            let leader = view.serving_leader().filter(|leader| leader.endpoint != replica.endpoint);
            let lacked = leader.and_then(|leader| seen_to_lack_keys(view, leader, replica)).map(|keys| keys > 0);
            let holds_no_more = |than: Offset| is_replaced || is_at_its_end && Some(than) >= replica.offset();
            let is_seen_whole = |leader: &ReplicaView| {
                is_cleared_for_good(view, leader, replica) && seen_to_hold_all(view, leader, replica)
            };
            let is_settled = is_replaced || leader.is_some_and(is_seen_whole);
            let seen = self.replica_mut(&replica.endpoint);
            seen.doubted &= !is_settled;
            seen.fuller = !is_replaced && lacked.unwrap_or(seen.fuller);
            seen.shared_up_to = seen.shared_up_to.filter(|shared| !holds_no_more(*shared));
            if seen.leader_held.is_some_and(holds_no_more) {
                (seen.leader_held, seen.replaceable) = (None, None);
            }
        }
    }

    /// Notes that a wait's deadline has passed. A memory table's replica is there as soon as LoadTable answers: one that has not
    /// shown by then has gone again.
    pub fn note_expired(&mut self, storage: StorageMode, wait: WaitFor, seen: String) {
        if let WaitFor::Appearing(endpoint) = &wait {
            let replica = self.replica_mut(endpoint);
            match replica.load {
                // Told twice, the second load may have failed on what the first, unheard of, had begun
                // (docs/openmldb/load-table.md#a-failed-load-takes-the-directory-away).
                Load::Accepted if replica.loads > replica.loads_of_the_past + 1 => replica.load = Load::Interrupted,
                Load::Accepted if storage.is_disk() => replica.load = Load::NeverAppeared,
                Load::Accepted => replica.load = Load::Vanished,
                // It was never told, so it has its two minutes still before it.
                Load::InDoubt => {
                    replica.load = Load::NotSent;
                    return;
                }
                _ => {}
            }
        }
        // Its rows are read again: they may show by now what was waited for.
        if let WaitFor::Rows(endpoint) = &wait
            && self.replica(endpoint).written_while_loading
        {
            self.forget_rows(endpoint);
        }
        self.expired.insert(wait, seen);
    }
}
