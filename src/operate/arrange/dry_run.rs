//! An arrangement followed in thought: what each step becomes if it works.

use crate::model::{
    Endpoint, Followers, Held, Offset, PartitionId, Probes, Replica, Role, Seen, Snapshot, Term, TermStart,
};

use super::super::Step;
use super::super::partition_context::Refusal;
use super::super::plan::plan;
use super::next::{Next, next};
use super::{Arrangement, Goal};

/// No partition needs more steps: one more replica, a leader changed and brought back, two taken away.
const MOST_STEPS: usize = 20;

/// A goal, and the way to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DryRun {
    /// The goal.
    pub goal: Goal,
    /// The steps, as far as they can be told.
    pub steps: Vec<Step>,
    /// Why it cannot be reached, or what has to end first.
    pub stops_at: Option<String>,
}

/// The steps of an arrangement, and the cluster as it is after them.
pub fn dry_run(arrangement: &Arrangement, seen: &Snapshot) -> (Vec<DryRun>, Snapshot) {
    // It is switched off first.
    let mut now = Snapshot { auto_failover: false, ..seen.clone() };
    let mut walks = Vec::new();
    for goal in &arrangement.goals {
        let mut found = DryRun { goal: goal.clone(), steps: Vec::new(), stops_at: None };
        while found.steps.len() < MOST_STEPS {
            let step = match next(&now, goal) {
                Next::Done => break,
                Next::Wait(text) | Next::Silence(text) => {
                    found.stops_at = Some(text);
                    break;
                }
                Next::Blocked(refusal) => {
                    found.stops_at = Some(refusal.text);
                    break;
                }
                Next::Take(step) => step,
            };
            // Later steps rest on what is not there yet.
            if found.steps.is_empty()
                && let Err(Refusal { text, .. }) = plan(&step, &now)
            {
                found.stops_at = Some(text);
                break;
            }
            simulate(&step, &mut now);
            found.steps.push(step);
        }
        walks.push(found);
    }
    (walks, now)
}

/// What a step becomes if it works.
pub(super) fn simulate(step: &Step, now: &mut Snapshot) {
    match step {
        Step::StandDown { table, pid, endpoint, successor } => {
            let Some(mut at) = PartitionMut::of(now, table, *pid) else { return };
            at.take_from_the_furthest(endpoint);
            at.set_role(endpoint, Role::Follower);
            at.catch_up(successor, endpoint);
        }
        Step::StandUp { table, pid, endpoint } => {
            let Some(mut at) = PartitionMut::of(now, table, *pid) else { return };
            at.lead(endpoint);
        }
        Step::ChangeLeader { table, pid, to: Some(to) } => {
            let Some(mut at) = PartitionMut::of(now, table, *pid) else { return };
            at.change_leader(to);
        }
        Step::RecoverReplica { table, pid, endpoint, .. } | Step::AddReplica { table, pid, endpoint } => {
            let Some(mut at) = PartitionMut::of(now, table, *pid) else { return };
            at.follow(endpoint);
        }
        Step::Disconnect { table, pid, endpoint } => {
            let Some(mut at) = PartitionMut::of(now, table, *pid) else { return };
            at.disconnect(endpoint);
        }
        Step::ForgetReplica { table, pid, replaces } => {
            let Some(mut at) = PartitionMut::of(now, table, *pid) else { return };
            at.remove(&replaces.gone);
        }
        Step::ReplaceOnly { table, pid, replaces, to } => {
            let Some(mut at) = PartitionMut::of(now, table, *pid) else { return };
            at.remove(&replaces.gone);
            let endpoint = to.clone();
            at.replicas().push(Replica { endpoint, is_leader: true, is_alive: false, offset: None });
        }
        Step::DropStray { table, pid, endpoint } | Step::RemoveReplica { table, pid, endpoint } => {
            let Some(mut at) = PartitionMut::of(now, table, *pid) else { return };
            at.remove(endpoint);
        }
        Step::MigrateReplica { table, pid, from, to } => {
            let Some(mut at) = PartitionMut::of(now, table, *pid) else { return };
            at.follow(to);
            at.remove(from);
        }
        // No goal needs another one.
        _ => {}
    }
}

/// A partition in a snapshot that is being thought on.
struct PartitionMut<'a> {
    now: &'a mut Snapshot,
    table: usize,
    partition: usize,
    id: PartitionId,
}

impl<'a> PartitionMut<'a> {
    fn of(now: &'a mut Snapshot, name: &crate::model::TableName, pid: crate::model::Pid) -> Option<Self> {
        let table = now.tables.iter().position(|table| table.name == *name)?;
        let partition = now.tables[table].partitions.iter().position(|partition| partition.pid == pid)?;
        let id = PartitionId { tid: now.tables[table].tid, pid };
        Some(Self { now, table, partition, id })
    }

    fn replicas(&mut self) -> &mut Vec<Replica> {
        &mut self.now.tables[self.table].partitions[self.partition].replicas
    }

    fn held(&mut self, at: &Endpoint) -> Option<&mut Held> {
        match &mut self.now.tablets.get_mut(at)?.held {
            Seen::Known(held) => held.get_mut(&self.id),
            Seen::Unasked | Seen::Failed(_) => None,
        }
    }

    fn leader(&mut self) -> Option<Endpoint> {
        self.now.tables[self.table].partitions[self.partition].leader().cloned()
    }

    fn set_role(&mut self, at: &Endpoint, role: Role) {
        self.held(at).into_iter().for_each(|held| held.role = role);
    }

    fn catch_up(&mut self, at: &Endpoint, with: &Endpoint) {
        let Some(Held { offset, record_cnt, .. }) = self.held(with).cloned() else { return };
        self.held(at).into_iter().for_each(|held| (held.offset, held.record_cnt) = (offset, record_cnt));
    }

    /// A leader that clients write to, and that was looked at before its followers: what they have is its own.
    fn take_from_the_furthest(&mut self, leader: &Endpoint) {
        let others: Vec<Endpoint> = self.replicas().iter().map(|replica| replica.endpoint.clone()).collect();
        let offset = |spot: &mut Self, at: &Endpoint| spot.held(at).map_or(Offset(0), |held| held.offset);
        let furthest = others.into_iter().max_by_key(|at| offset(self, at));
        if let Some(furthest) = furthest.filter(|at| offset(self, at) > offset(self, leader)) {
            self.catch_up(leader, &furthest);
        }
    }

    /// Leads in memory, and replicates to whoever is alive.
    fn lead(&mut self, at: &Endpoint) {
        self.set_role(at, Role::Leader);
        let leader_offset = self.held(at).map_or(Offset(0), |held| held.offset);
        let others = self.replicas().iter().filter(|replica| replica.is_alive && replica.endpoint != *at);
        let followers = others.map(|replica| (replica.endpoint.clone(), leader_offset)).collect();
        let Some(tablet) = self.now.tablets.get_mut(at) else { return };
        let probes = tablet.probes.entry(self.id).or_insert(Probes::UNASKED);
        probes.followers = Seen::Known(Followers { leader_offset, followers });
    }

    fn change_leader(&mut self, to: &Endpoint) {
        for replica in self.replicas() {
            if replica.endpoint == *to {
                replica.is_leader = true;
            } else if replica.is_leader {
                replica.is_alive = false;
            }
        }
        let end = self.held(to).map_or(Offset(0), |held| held.offset);
        let terms = &mut self.now.tables[self.table].partitions[self.partition].terms;
        let term = terms.last().map_or(Term(1), |last| last.term.next());
        terms.push(TermStart { term, start: end.next() });
        self.lead(to);
    }

    /// Alive, and as long as its leader.
    fn follow(&mut self, at: &Endpoint) {
        let Some(leader) = self.leader() else { return };
        let Some(theirs) = self.held(&leader).cloned() else { return };
        let replica = Replica { endpoint: at.clone(), is_leader: false, is_alive: true, offset: Some(theirs.offset) };
        match self.replicas().iter_mut().find(|replica| replica.endpoint == *at) {
            Some(found) => *found = replica,
            None => self.replicas().push(replica),
        }
        let id = self.id;
        if let Some(Seen::Known(held)) = self.now.tablets.get_mut(at).map(|tablet| &mut tablet.held) {
            held.insert(id, Held { role: Role::Follower, ..theirs });
        }
        self.lead(&leader);
    }

    fn disconnect(&mut self, from: &Endpoint) {
        let (id, leader) = (self.id, self.leader());
        let tablet = leader.and_then(|leader| self.now.tablets.get_mut(&leader));
        let Some(Seen::Known(known)) = tablet.and_then(|tablet| tablet.probes.get_mut(&id)).map(|p| &mut p.followers)
        else {
            return;
        };
        known.followers.retain(|(follower, _)| follower != from);
    }

    fn remove(&mut self, at: &Endpoint) {
        self.replicas().retain(|replica| replica.endpoint != *at);
        let id = self.id;
        if let Some(Seen::Known(held)) = self.now.tablets.get_mut(at).map(|tablet| &mut tablet.held) {
            held.remove(&id);
        }
    }
}
