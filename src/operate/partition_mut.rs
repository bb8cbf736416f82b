//! A partition changed in thought: how it is once a step has worked.

use crate::model::{
    Endpoint, Followers, Held, Offset, PartitionId, Pid, Probes, Replica, Role, Seen, Snapshot, TableName, Term,
    TermStart,
};

/// A partition in a snapshot of how it would be.
pub(super) struct PartitionMut<'a> {
    now: &'a mut Snapshot,
    table: usize,
    partition: usize,
    id: PartitionId,
}

impl<'a> PartitionMut<'a> {
    pub(super) fn of(now: &'a mut Snapshot, name: &TableName, pid: Pid) -> Option<Self> {
        let table = now.tables.iter().position(|table| table.name == *name)?;
        let partition = now.tables[table].partitions.iter().position(|partition| partition.pid == pid)?;
        let id = PartitionId { tid: now.tables[table].tid, pid };
        Some(Self { now, table, partition, id })
    }

    pub(super) fn replicas(&mut self) -> &mut Vec<Replica> {
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

    pub(super) fn set_role(&mut self, at: &Endpoint, role: Role) {
        self.held(at).into_iter().for_each(|held| held.role = role);
    }

    pub(super) fn catch_up(&mut self, at: &Endpoint, with: &Endpoint) {
        let Some(Held { offset, record_cnt, .. }) = self.held(with).cloned() else { return };
        self.held(at).into_iter().for_each(|held| (held.offset, held.record_cnt) = (offset, record_cnt));
    }

    /// A leader that clients write to, and that was looked at before its followers: what they have is its own.
    pub(super) fn take_from_the_furthest(&mut self, leader: &Endpoint) {
        let others: Vec<Endpoint> = self.replicas().iter().map(|replica| replica.endpoint.clone()).collect();
        let offset = |spot: &mut Self, at: &Endpoint| spot.held(at).map_or(Offset(0), |held| held.offset);
        let furthest = others.into_iter().max_by_key(|at| offset(self, at));
        if let Some(furthest) = furthest.filter(|at| offset(self, at) > offset(self, leader)) {
            self.catch_up(leader, &furthest);
        }
    }

    /// Leads in memory, and replicates to whoever is alive.
    pub(super) fn lead(&mut self, at: &Endpoint) {
        self.set_role(at, Role::Leader);
        let leader_offset = self.held(at).map_or(Offset(0), |held| held.offset);
        let others = self.replicas().iter().filter(|replica| replica.is_alive && replica.endpoint != *at);
        let followers = others.map(|replica| (replica.endpoint.clone(), leader_offset)).collect();
        let Some(tablet) = self.now.tablets.get_mut(at) else { return };
        let probes = tablet.probes.entry(self.id).or_insert(Probes::UNASKED);
        probes.followers = Seen::Known(Followers { leader_offset, followers });
    }

    pub(super) fn change_leader(&mut self, to: &Endpoint) {
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
    pub(super) fn follow(&mut self, at: &Endpoint) {
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

    /// Its leader replicates to that tablet no more.
    pub(super) fn disconnect(&mut self, from: &Endpoint) {
        let (id, leader) = (self.id, self.leader());
        let tablet = leader.and_then(|leader| self.now.tablets.get_mut(&leader));
        let Some(Seen::Known(known)) = tablet.and_then(|tablet| tablet.probes.get_mut(&id)).map(|p| &mut p.followers)
        else {
            return;
        };
        known.followers.retain(|(follower, _)| follower != from);
    }

    pub(super) fn remove(&mut self, at: &Endpoint) {
        self.replicas().retain(|replica| replica.endpoint != *at);
        let id = self.id;
        if let Some(Seen::Known(held)) = self.now.tablets.get_mut(at).map(|tablet| &mut tablet.held) {
            held.remove(&id);
        }
    }
}
