//! Lanes: how much is sent to whom at a time, and what goes first.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::model::{Action, Endpoint, PartitionId};

use super::case::{Ordered, on_nameserver};

/// How wide the lanes are.
#[derive(Debug, Clone, Copy)]
pub struct Widths {
    /// Loads a tablet has accepted and not finished: `task_pool_size`, 3 (reference 4.3). More are sent only as fast as
    /// it finishes them.
    pub loads: usize,
    /// Mutating calls to the nameserver at a time: 8.
    pub nameserver: usize,
    /// Other mutating calls to one tablet at a time: 16.
    pub tablet: usize,
    /// RecoverTable and ChangeLeader operations queued in one of the nameserver's two lanes (pid even, pid odd,
    /// reference 3.5): 4, so that it is never idle and an interruption leaves few behind.
    pub ops: usize,
}

impl Default for Widths {
    fn default() -> Self {
        Self { loads: 3, nameserver: 8, tablet: 16, ops: 4 }
    }
}

/// What is waiting to be sent and what is under way.
#[derive(Debug)]
pub(super) struct Lanes {
    widths: Widths,
    nameserver: VecDeque<Ordered>,
    /// Flags of followers that came back: nobody waits for them while a leader's is to be set.
    flags: VecDeque<Ordered>,
    ops: [VecDeque<Ordered>; 2],
    tablets: BTreeMap<Endpoint, TabletLane>,
    nameserver_busy: usize,
    ops_busy: [BTreeSet<PartitionId>; 2],
}

#[derive(Debug, Default)]
struct TabletLane {
    others: VecDeque<Ordered>,
    /// Loads by rank; the smallest rank goes first.
    loads: BTreeMap<(LoadRank, PartitionId), Ordered>,
    busy: usize,
    loading: BTreeSet<PartitionId>,
    /// Loads finished since the lane was last looked at: as many more may be sent at once.
    finished: usize,
}

/// What is loaded first: leaders, then large before small.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LoadRank {
    /// False sorts first.
    pub(super) follower: bool,
    /// Entries known, the largest first.
    pub(super) entries: std::cmp::Reverse<u64>,
}

impl Lanes {
    pub(super) fn new(widths: Widths) -> Self {
        Self {
            widths,
            nameserver: VecDeque::new(),
            flags: VecDeque::new(),
            ops: Default::default(),
            tablets: BTreeMap::new(),
            nameserver_busy: 0,
            ops_busy: Default::default(),
        }
    }

    /// Queues an intent; `first` if it has had its turn already.
    pub(super) fn queue(&mut self, ordered: Ordered, rank: LoadRank, first: bool) {
        let (id, intent) = &ordered;
        match (&intent.action, tablet_of(&intent.action)) {
            (Action::LoadTable { .. }, Some(endpoint)) => {
                let lane = self.tablets.entry(endpoint.clone()).or_default();
                lane.loads.insert((rank, *id), ordered);
            }
            (_, Some(endpoint)) => self.tablets.entry(endpoint.clone()).or_default().others.push_back(ordered),
            (Action::RecoverTable { .. } | Action::ChangeLeader { .. }, None) => {
                let queue = &mut self.ops[lane_of(*id)];
                if first { queue.push_front(ordered) } else { queue.push_back(ordered) }
            }
            (Action::MarkAlive { alive: true, .. }, None) if rank.follower => self.flags.push_back(ordered),
            (_, None) => self.nameserver.push_back(ordered),
        }
    }

    /// Takes what may be sent now.
    pub(super) fn take(&mut self) -> Vec<Ordered> {
        let mut taken = Vec::new();
        let mut room = self.widths.nameserver.saturating_sub(self.nameserver_busy);
        while room > 0 {
            let Some(ordered) = self.nameserver.pop_front() else { break };
            room -= 1;
            self.nameserver_busy += 1;
            taken.push(ordered);
        }
        for (queue, busy) in self.ops.iter_mut().zip(&mut self.ops_busy) {
            while room > 0 && busy.len() < self.widths.ops {
                let Some(ordered) = queue.pop_front() else { break };
                room -= 1;
                self.nameserver_busy += 1;
                busy.insert(ordered.0);
                taken.push(ordered);
            }
        }
        while room > 0 {
            let Some(ordered) = self.flags.pop_front() else { break };
            room -= 1;
            self.nameserver_busy += 1;
            taken.push(ordered);
        }
        for lane in self.tablets.values_mut() {
            lane.take(self.widths, &mut taken);
        }
        taken
    }

    /// Notes that a call has ended.
    pub(super) fn ended(&mut self, action: &Action) {
        if on_nameserver(action) {
            self.nameserver_busy = self.nameserver_busy.saturating_sub(1);
        } else if let Some(lane) = tablet_of(action).and_then(|endpoint| self.tablets.get_mut(endpoint)) {
            lane.busy = lane.busy.saturating_sub(1);
        }
    }

    /// Notes which of its accepted loads a tablet still works on.
    pub(super) fn note_loads(&mut self, endpoint: &Endpoint, still_loading: impl Fn(PartitionId) -> bool) {
        if let Some(lane) = self.tablets.get_mut(endpoint) {
            let before = lane.loading.len();
            lane.loading.retain(|id| still_loading(*id));
            lane.finished += before - lane.loading.len();
        }
    }

    /// Tablets that work on loads of ours.
    pub(super) fn loading_at(&self) -> BTreeSet<Endpoint> {
        self.tablets.iter().filter(|(_, lane)| !lane.loading.is_empty()).map(|(endpoint, _)| endpoint.clone()).collect()
    }

    /// Notes that a partition has no operation of ours queued any more.
    pub(super) fn ops_ended(&mut self, id: PartitionId) {
        self.ops_busy[lane_of(id)].remove(&id);
    }

    /// Forgets everything that was not sent yet.
    pub(super) fn clear(&mut self) -> Vec<Ordered> {
        let on_nameserver = self.nameserver.drain(..).chain(self.flags.drain(..));
        let mut left: Vec<Ordered> =
            on_nameserver.chain(self.ops.iter_mut().flat_map(|queue| queue.drain(..))).collect();
        for lane in self.tablets.values_mut() {
            left.extend(lane.others.drain(..));
            left.extend(std::mem::take(&mut lane.loads).into_values());
        }
        left
    }
}

impl TabletLane {
    fn take(&mut self, widths: Widths, taken: &mut Vec<Ordered>) {
        while self.busy < widths.tablet {
            let Some(ordered) = self.others.pop_front() else { break };
            self.busy += 1;
            taken.push(ordered);
        }
        // A tablet that finishes many small loads between two looks would idle with only its pool's worth outstanding.
        let width = widths.loads.max(2 * std::mem::take(&mut self.finished));
        while self.loading.len() < width && self.busy < widths.tablet {
            let Some((_, ordered)) = self.loads.pop_first() else { break };
            self.busy += 1;
            self.loading.insert(ordered.0);
            taken.push(ordered);
        }
    }
}

/// The nameserver runs operations in two lanes, by pid (reference 3.5).
fn lane_of(id: PartitionId) -> usize {
    (id.pid.0 % 2) as usize
}

/// The tablet an action goes to.
fn tablet_of(action: &Action) -> Option<&Endpoint> {
    match action {
        Action::LoadTable { endpoint, .. }
        | Action::ChangeRole { endpoint, .. }
        | Action::AddReplica { endpoint, .. }
        | Action::DelReplica { endpoint, .. }
        | Action::DropTable { endpoint, .. }
        | Action::MakeSnapshot { endpoint, .. }
        | Action::RecoverSnapshot { endpoint, .. } => Some(endpoint),
        Action::SetAutoFailover { .. }
        | Action::CancelOp { .. }
        | Action::MarkAlive { .. }
        | Action::ChangeLeader { .. }
        | Action::RecoverTable { .. } => None,
    }
}
