//! What a view becomes if an action works, or if what is waited for happens: the dry run's stand-in for the cluster.

use openmldb_model::{Action, Aggregator, Followers, Manifest, Offset, Role, Seen, State, Term, TermPair, TermStart};

use super::decision::{Intent, Probe, Question, Wait, WaitFor};
use super::memory::Load;
use super::stuck::leads_in;
use super::view::{Data, Loaded, ReplicaView, View};

impl View {
    /// The view after an action has worked.
    pub(super) fn predict(&mut self, intent: &Intent) {
        match &intent.action {
            Action::MarkAlive { endpoint, alive, .. } => {
                if let Some(replica) = self.replica_mut(endpoint) {
                    replica.is_alive = *alive;
                }
            }
            Action::LoadTable { endpoint, .. } | Action::LoadWithSchema { endpoint, .. } => {
                self.predict_loaded(endpoint)
            }
            Action::MakeSnapshot { endpoint, offset, .. } => self.predict_last_term(endpoint, *offset),
            Action::ChangeRole { endpoint, term, replicas, .. } => {
                self.predict_leader(endpoint);
                for follower in replicas {
                    self.predict_connected(endpoint, follower, *term);
                }
            }
            Action::ChangeLeader { candidate, .. } => self.predict_election(candidate),
            Action::AddReplica { endpoint, follower, .. } => {
                if let Some(term) = self.term_of_leader(endpoint) {
                    self.predict_connected(endpoint, follower, term);
                }
            }
            Action::DelReplica { endpoint, follower, .. } => {
                if let Some(Seen::Known(followers)) = self.replica_mut(endpoint).map(|leader| &mut leader.followers) {
                    followers.followers.retain(|(connected, _)| connected != follower);
                }
                if let Some(replica) = self.replica_mut(follower) {
                    replica.memory.recovery.must_drop |= intent.resends;
                }
            }
            Action::DropTable { endpoint, .. } => {
                self.memory.forget_rows(endpoint);
                if let Some(replica) = self.replica_mut(endpoint) {
                    replica.data = Data::Absent;
                    replica.memory.load = Load::HandedOver;
                }
            }
            Action::RecoverTable { endpoint, .. } => self.predict_recovered(endpoint),
            Action::CreateAggregator { endpoint, .. } => {
                if let Some(replica) = self.replica_mut(endpoint) {
                    replica.memory.aggregator_asked = true;
                }
            }
            Action::RecoverSnapshot { .. }
            | Action::SetAutoFailover { .. }
            | Action::OfflineEndpoint { .. }
            | Action::AttachRemote { .. }
            | Action::CancelOp { .. }
            | Action::Manual(_) => {}
        }
    }

    /// Loaded, at an offset that nobody can know before.
    fn predict_loaded(&mut self, endpoint: &openmldb_model::Endpoint) {
        let unattached = self.base.as_ref().is_some_and(|base| !base.registered_at.contains(endpoint));
        if let Some(replica) = self.replica_mut(endpoint) {
            replica.memory.unattached = unattached && replica.aggregator == Seen::Known(Aggregator::Present);
            replica.data = Data::Loaded(Loaded { role: Role::Follower, state: State::Normal, offset: None, rows: 0 });
            (replica.memory.load, replica.memory.loads) = (Load::Loaded, replica.memory.loads + 1);
            replica.term_pair =
                Seen::Known(TermPair { has_table: true, is_leader: false, term: Term(0), offset: Offset(0) });
        }
    }

    /// The snapshot names a last term. Which, only the cluster knows: the last one, except for a replica that was leader
    /// and not alive while another leader was.
    fn predict_last_term(&mut self, endpoint: &openmldb_model::Endpoint, offset: Offset) {
        let outlived = self.replicas.iter().any(|r| r.is_leader && r.memory.alive_before && r.endpoint != *endpoint);
        let mut terms = self.terms.iter().rev().map(|start| start.term);
        let (last, before) = (terms.next(), terms.next());
        if let Some(replica) = self.replica_mut(endpoint) {
            let old_leader = outlived && replica.is_leader && !replica.memory.alive_before;
            let term = if old_leader { before.or(last) } else { last };
            // Whether it ends with deletes, too.
            replica.manifest = Seen::Known(Manifest { offset, term, count: offset.0 });
        }
    }

    fn predict_leader(&mut self, endpoint: &openmldb_model::Endpoint) {
        if let Some(replica) = self.replica_mut(endpoint) {
            let leader_offset = replica.offset().unwrap_or(Offset(0));
            if let Data::Loaded(loaded) = &mut replica.data {
                loaded.role = Role::Leader;
            }
            replica.followers = Seen::Known(Followers { leader_offset, followers: Vec::new() });
        }
    }

    fn predict_election(&mut self, candidate: &openmldb_model::Endpoint) {
        let term = self.terms.last().map_or(Term(0), |start| start.term).next();
        let start = self.replica(candidate).and_then(|r| r.offset()).unwrap_or(Offset(0)).next();
        self.terms.push(TermStart { term, start });
        for replica in &mut self.replicas {
            if replica.is_leader {
                replica.is_alive = false;
            }
        }
        if let Some(replica) = self.replica_mut(candidate) {
            replica.is_leader = true;
            replica.is_alive = true;
        }
        self.predict_leader(candidate);
    }

    fn predict_connected(
        &mut self,
        leader: &openmldb_model::Endpoint,
        follower: &openmldb_model::Endpoint,
        term: Term,
    ) {
        let offset = self.replica(leader).and_then(|leader| leader.offset()).unwrap_or(Offset(0));
        let leads = self.replica(leader).map_or(0, ReplicaView::rows);
        self.memory.forget_rows(follower);
        if let Some(replica) = self.replica_mut(follower) {
            if let Data::Loaded(loaded) = &mut replica.data {
                // Every entry it still gets is taken for a row, as far as its leader has them.
                let gets = offset.0.saturating_sub(loaded.offset.map_or(0, |offset| offset.0));
                loaded.rows = (loaded.rows + gets).min(loaded.rows.max(leads));
                loaded.offset = Some(offset);
            }
            replica.term_pair = Seen::Known(TermPair { has_table: true, is_leader: false, term, offset });
        }
        if let Some(Seen::Known(followers)) = self.replica_mut(leader).map(|leader| &mut leader.followers) {
            followers.followers.retain(|(connected, _)| connected != follower);
            followers.followers.push((follower.clone(), offset));
        }
    }

    /// A follower as RecoverTable leaves it: its leader's data, connected, alive, without a leader flag.
    fn predict_recovered(&mut self, endpoint: &openmldb_model::Endpoint) {
        let Some(leader) = self.serving_leader().cloned() else { return };
        let (offset, rows) = (leader.offset(), leader.rows());
        self.memory.forget_rows(endpoint);
        if let Some(replica) = self.replica_mut(endpoint) {
            replica.is_alive = true;
            replica.is_leader = false;
            replica.memory.recovery.tries += 1;
            (replica.memory.recovery.must_drop, replica.memory.recovery.resend_meant) = (false, false);
            replica.data = Data::Loaded(Loaded { role: Role::Follower, state: State::Normal, offset, rows });
        }
        let term = self.term_of_leader(&leader.endpoint).unwrap_or(Term(0));
        self.predict_connected(&leader.endpoint, endpoint, term);
    }

    /// The term that a leader's followers hear of.
    fn term_of_leader(&self, endpoint: &openmldb_model::Endpoint) -> Option<Term> {
        let told = self.replica(endpoint).and_then(leads_in);
        told.or_else(|| self.terms.last().map(|start| start.term))
    }

    /// The view after what is waited for has happened; where nothing in a plan makes it happen, after the deadline. False if
    /// that is nothing a prediction can tell.
    pub(super) fn predict_waited(&mut self, wait: &Wait) -> bool {
        let before = self.clone();
        let told = self.predict_happened(wait);
        if *self == before {
            self.memory.note_expired(self.storage, wait.what.clone(), wait.seen.clone());
        }
        told
    }

    fn predict_happened(&mut self, wait: &Wait) -> bool {
        match &wait.what {
            WaitFor::Loading | WaitFor::SlowLoad => {
                let loading = self.replicas.iter().filter(|r| matches!(r.data, Data::Loading(_)));
                let loading: Vec<_> = loading.map(|r| r.endpoint.clone()).collect();
                loading.iter().for_each(|endpoint| self.predict_loaded(endpoint));
                !loading.is_empty()
            }
            WaitFor::Appearing(endpoint) => {
                self.predict_loaded(endpoint);
                true
            }
            WaitFor::Ops | WaitFor::OthersOps => !std::mem::take(&mut self.ops_in_flight).is_empty(),
            WaitFor::CatchUp(endpoint) => {
                let leader = self.serving_leader().map(|leader| leader.endpoint.clone());
                let term = leader.as_ref().and_then(|leader| self.term_of_leader(leader));
                if let (Some(leader), Some(term)) = (leader, term) {
                    self.predict_connected(&leader, endpoint, term);
                }
                true
            }
            WaitFor::Snapshot(endpoint) => {
                let offset = self.replica(endpoint).and_then(|r| r.offset()).unwrap_or(Offset(0));
                self.predict_last_term(endpoint, offset);
                true
            }
            WaitFor::UpForAMinute => {
                self.replicas.iter_mut().for_each(|replica| replica.is_new = false);
                true
            }
            WaitFor::Dropping(endpoint) => {
                if let Some(replica) = self.replica_mut(endpoint) {
                    replica.data = Data::Absent;
                    replica.memory.recovery.dropping = false;
                }
                true
            }
            WaitFor::MovedAway(_)
            | WaitFor::Answer(_)
            | WaitFor::Rows(_)
            | WaitFor::Stuck(_)
            | WaitFor::Begun(_)
            | WaitFor::Registered(_) => true,
            WaitFor::Turn(_) | WaitFor::Flags => false,
        }
    }

    /// A question that the snapshot does not answer stays unanswered in a plan.
    pub(super) fn predict_unanswered(&mut self, probe: &Probe) {
        let Some(replica) = self.replica_mut(&probe.endpoint) else { return };
        let error = || "not in the snapshot".to_owned();
        match probe.question {
            Question::Manifest => replica.manifest = Seen::Failed(error()),
            Question::TermPair => replica.term_pair = Seen::Failed(error()),
            Question::Directory => replica.directory = Seen::Failed(error()),
            Question::Followers => replica.followers = Seen::Failed(error()),
            Question::Aggregator => replica.aggregator = Seen::Failed(error()),
        }
    }

    /// Assumes what only loading can tell: that a clean stop left every replica at the largest offset known of any, with an
    /// entry of the last term. Steps planned from here on are what is expected, and say so.
    pub(super) fn assume_equal(&mut self) {
        let known = self.replicas.iter().map(|r| r.largest_known_offset()).max().unwrap_or(Offset(0));
        let begun = self.terms.last().map_or(Offset(0), |last| last.start);
        let offset = known.max(begun).max(Offset(1));
        for replica in &mut self.replicas {
            let hollow = replica.memory.snapshot_file_missing;
            if let Data::Loaded(loaded) = &mut replica.data
                && loaded.offset.is_none()
            {
                loaded.offset = Some(offset);
                loaded.rows = if hollow { 0 } else { offset.0 };
            }
        }
    }
}
