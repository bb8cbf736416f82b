//! Lanes: how much is sent to whom at a time, and what goes first.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::model::{Action, Endpoint, PartitionId, Server};
use crate::recovery::{Intent, View};

use super::partition_task::Ordered;
use super::progress::Queue;

/// How wide the lanes are.
#[derive(Debug, Clone, Copy)]
pub struct Widths {
    /// Loads a tablet has accepted and not finished: 3 (docs/openmldb/load-table.md#how-many-at-a-time). More are sent
    /// only as fast as it finishes them.
    pub loads: usize,
    /// Mutating calls to the nameserver at a time: 8.
    pub nameserver: usize,
    /// Other mutating calls to one tablet at a time: 16.
    pub tablet: usize,
    /// RecoverTable and ChangeLeader operations queued in one of the nameserver's two lanes
    /// (docs/openmldb/operations.md#lanes): 4, so that it is never idle and an interruption leaves few behind.
    pub ops: usize,
}

impl Default for Widths {
    fn default() -> Self {
        Self { loads: 3, nameserver: 8, tablet: 16, ops: 4 }
    }
}

/// Flags that are set by one call, at most: looking for more of them takes longer than it saves.
const MOST_TOGETHER: usize = 64;

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
    /// Nothing goes to the nameserver for now.
    nameserver_closed: bool,
    ops_busy: [BTreeSet<PartitionId>; 2],
    /// Operations that the nameserver was told to do.
    ops_sent: usize,
}

#[derive(Debug, Default)]
struct TabletLane {
    others: VecDeque<Ordered>,
    /// Loads by rank; the smallest rank goes first.
    loads: BTreeMap<(LoadRank, PartitionId), Ordered>,
    busy: usize,
    loading: BTreeSet<PartitionId>,
    /// Loads that the last look found finished, and the one before: so many more may be outstanding.
    finished: usize,
    finished_before: usize,
}

/// What is loaded first: leaders, then large before small.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LoadRank {
    /// False sorts first.
    pub(super) follower: bool,
    /// Entries known, the largest first.
    pub(super) entries: std::cmp::Reverse<u64>,
}

/// What a load is ranked by.
pub(super) fn rank(view: &View, intent: &Intent) -> LoadRank {
    let replica = match &intent.action {
        Action::LoadTable { endpoint, .. }
        | Action::LoadWithSchema { endpoint, .. }
        | Action::MarkAlive { endpoint, .. } => view.replica(endpoint),
        _ => None,
    };
    LoadRank {
        follower: replica.is_none_or(|replica| !replica.is_leader),
        entries: std::cmp::Reverse(replica.map_or(0, |replica| replica.largest_known_offset().0)),
    }
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
            nameserver_closed: false,
            ops_busy: Default::default(),
            ops_sent: 0,
        }
    }

    /// Queues an intent; `first` if it has had its turn already.
    pub(super) fn queue(&mut self, ordered: Ordered, rank: LoadRank, first: bool) {
        let (id, intent) = &ordered;
        match (&intent.action, intent.action.server()) {
            (Action::LoadTable { .. } | Action::LoadWithSchema { .. }, Server::Tablet(endpoint)) => {
                let lane = self.tablets.entry(endpoint.clone()).or_default();
                lane.loads.insert((rank, *id), ordered);
            }
            (_, Server::Tablet(endpoint)) => {
                self.tablets.entry(endpoint.clone()).or_default().others.push_back(ordered)
            }
            (Action::RecoverTable { .. } | Action::ChangeLeader { .. }, Server::Nameserver) => {
                let queue = &mut self.ops[lane_of(*id)];
                if first { queue.push_front(ordered) } else { queue.push_back(ordered) }
            }
            (Action::MarkAlive { alive: true, .. }, Server::Nameserver) if rank.follower => {
                self.flags.push_back(ordered)
            }
            (_, Server::Nameserver) => self.nameserver.push_back(ordered),
        }
    }

    /// Takes what may be sent now, call by call: flags that one call sets are together. `placed` tells how many partitions of an
    /// intent's table have a replica where it sets the flag.
    pub(super) fn take(&mut self, placed: impl Fn(&Ordered) -> usize) -> Vec<Vec<Ordered>> {
        let mut taken = Vec::new();
        let wide = if self.nameserver_closed { 0 } else { self.widths.nameserver };
        let mut room = wide.saturating_sub(self.nameserver_busy);
        while room > 0 {
            let Some(call) = next_call(&mut self.nameserver, &placed) else { break };
            room -= 1;
            self.nameserver_busy += 1;
            taken.push(call);
        }
        for (queue, busy) in self.ops.iter_mut().zip(&mut self.ops_busy) {
            while room > 0 && busy.len() < self.widths.ops {
                let Some(ordered) = queue.pop_front() else { break };
                room -= 1;
                self.nameserver_busy += 1;
                busy.insert(ordered.0);
                taken.push(vec![ordered]);
            }
        }
        while room > 0 {
            let Some(call) = next_call(&mut self.flags, &placed) else { break };
            room -= 1;
            self.nameserver_busy += 1;
            taken.push(call);
        }
        let mut on_tablets = Vec::new();
        for lane in self.tablets.values_mut() {
            lane.take(self.widths, &mut on_tablets);
        }
        taken.extend(on_tablets.into_iter().map(|ordered| vec![ordered]));
        taken
    }

    /// Whether what is queued for the nameserver waits.
    pub(super) fn close_nameserver(&mut self, closed: bool) {
        self.nameserver_closed = closed;
    }

    /// Notes that so many more calls go to the nameserver than were taken: what was to be one call is sent one by one.
    pub(super) fn apart(&mut self, more: usize) {
        self.nameserver_busy += more;
    }

    /// Notes that a call has ended.
    pub(super) fn ended(&mut self, action: &Action) {
        let busy = match action.server() {
            Server::Nameserver => Some(&mut self.nameserver_busy),
            Server::Tablet(endpoint) => self.tablets.get_mut(endpoint).map(|lane| &mut lane.busy),
        };
        busy.into_iter().for_each(|busy| *busy = busy.saturating_sub(1));
    }

    /// Notes which of its accepted loads a tablet still works on.
    pub(super) fn note_loads(&mut self, endpoint: &Endpoint, still_loading: impl Fn(PartitionId) -> bool) {
        if let Some(lane) = self.tablets.get_mut(endpoint) {
            let before = lane.loading.len();
            lane.loading.retain(|id| still_loading(*id));
            lane.finished_before = std::mem::replace(&mut lane.finished, before - lane.loading.len());
        }
    }

    /// Tablets that work on loads of ours.
    pub(super) fn loading_at(&self) -> BTreeSet<Endpoint> {
        self.tablets.iter().filter(|(_, lane)| !lane.loading.is_empty()).map(|(endpoint, _)| endpoint.clone()).collect()
    }

    /// Where something of which partition is queued and not sent yet.
    pub(super) fn queued(&self) -> BTreeMap<PartitionId, BTreeSet<&Endpoint>> {
        let mut queued: BTreeMap<PartitionId, BTreeSet<&Endpoint>> = BTreeMap::new();
        for (endpoint, lane) in &self.tablets {
            let ids = lane.loads.keys().map(|(_, id)| id).chain(lane.others.iter().map(|(id, _)| id));
            ids.for_each(|id| _ = queued.entry(*id).or_default().insert(endpoint));
        }
        queued
    }

    /// Notes that the nameserver is told to do an operation.
    pub(super) fn op_sent(&mut self) {
        self.ops_sent += 1;
    }

    /// How many operations of ours the nameserver has done, how many it was told to do beside these, and how many are queued here.
    pub(super) fn ops(&self) -> (usize, usize, usize) {
        let busy: usize = self.ops_busy.iter().map(BTreeSet::len).sum();
        let under_way = busy.min(self.ops_sent);
        (self.ops_sent - under_way, under_way, self.ops.iter().map(VecDeque::len).sum())
    }

    /// The tablets that have something to load.
    pub(super) fn queues(&self) -> impl Iterator<Item = Queue> {
        let queue = |(endpoint, lane): (&Endpoint, &TabletLane)| Queue {
            endpoint: endpoint.clone(),
            loading: lane.loading.len(),
            queued: lane.loads.len(),
        };
        self.tablets.iter().map(queue).filter(|queue| queue.loading + queue.queued > 0)
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
        let pace = self.finished.max(self.finished_before);
        let width = if pace > 0 { widths.loads + pace + 1 } else { widths.loads };
        while self.loading.len() < width && self.busy < widths.tablet {
            let Some((_, ordered)) = self.loads.pop_first() else { break };
            self.busy += 1;
            self.loading.insert(ordered.0);
            taken.push(ordered);
        }
    }
}

/// The next call of a queue. UpdateTableAliveStatus without a pid sets the flags of all of a table's partitions on an endpoint
/// (docs/openmldb/calls.md#what-they-check), so it stands for their calls if every one of them is queued; they were queued
/// together, if at all.
fn next_call(queue: &mut VecDeque<Ordered>, placed: impl Fn(&Ordered) -> usize) -> Option<Vec<Ordered>> {
    let first = queue.pop_front()?;
    let all = match &first.1.action {
        Action::MarkAlive { .. } => placed(&first),
        _ => 1,
    };
    let together = |other: &Ordered| match (&first.1.action, &other.1.action) {
        (
            Action::MarkAlive { table, endpoint, alive, .. },
            Action::MarkAlive { table: t, endpoint: e, alive: a, .. },
        ) => (table, endpoint, alive) == (t, e, a),
        _ => false,
    };
    let near = queue.len().min(MOST_TOGETHER * 4);
    let others = queue.iter().take(near).filter(|other| together(other)).count();
    if !(2..=MOST_TOGETHER).contains(&all) || others + 1 != all {
        return Some(vec![first]);
    }
    let (mut call, left): (Vec<Ordered>, Vec<Ordered>) = queue.drain(..near).partition(together);
    left.into_iter().rev().for_each(|ordered| queue.push_front(ordered));
    call.insert(0, first);
    Some(call)
}

/// The nameserver runs operations in two lanes, by pid (docs/openmldb/operations.md#lanes).
fn lane_of(id: PartitionId) -> usize {
    (id.pid.0 % 2) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Pid, TableName, Tid};
    use crate::recovery::Intent;

    fn mark(pid: u32, endpoint: &str, alive: bool) -> Ordered {
        let table = TableName { db: "shop".to_owned(), table: "orders".to_owned() };
        let action = Action::MarkAlive { table, pid: Some(Pid(pid)), endpoint: endpoint.into(), alive };
        let intent = Intent { step: "mark_alive", action, why: String::new(), resends: false };
        (PartitionId { tid: Tid(7), pid: Pid(pid) }, intent)
    }

    fn pids(calls: Vec<Vec<Ordered>>) -> Vec<Vec<u32>> {
        calls.into_iter().map(|call| call.into_iter().map(|(id, _)| id.pid.0).collect()).collect()
    }

    fn taken(queued: &[(u32, &str, bool)], placed: usize) -> Vec<Vec<u32>> {
        let mut lanes = Lanes::new(Widths::default());
        let rank = LoadRank { follower: false, entries: std::cmp::Reverse(0) };
        queued.iter().for_each(|(pid, endpoint, alive)| lanes.queue(mark(*pid, endpoint, *alive), rank, false));
        pids(lanes.take(|_| placed))
    }

    #[test]
    fn one_call_sets_the_flags_of_all_of_a_tables_partitions_on_an_endpoint() {
        let (a, b) = ("a:1", "b:1");
        let both = [(0, a, false), (0, b, false), (1, a, false), (1, b, false)];
        assert_eq!(taken(&both, 2), [vec![0, 1], vec![0, 1]]);
        assert_eq!(taken(&both, 3), [[0], [0], [1], [1]], "the third is none of ours");
        assert_eq!(taken(&[(0, a, false), (1, a, true)], 2), [[0], [1]], "they are set to different things");
        assert_eq!(taken(&[(0, a, false)], 1), [[0]]);
    }

    #[test]
    fn flags_that_are_set_together_take_one_place_in_the_lane() {
        let mut lanes = Lanes::new(Widths { nameserver: 2, ..Widths::default() });
        let rank = LoadRank { follower: false, entries: std::cmp::Reverse(0) };
        (0..3).for_each(|pid| lanes.queue(mark(pid, "a:1", false), rank, false));
        lanes.queue(mark(0, "b:1", false), rank, false);
        lanes.queue(mark(0, "c:1", false), rank, false);
        let at_a = |(_, intent): &Ordered| match &intent.action {
            Action::MarkAlive { endpoint, .. } if endpoint.as_str() == "a:1" => 3,
            _ => 1,
        };
        let first = lanes.take(at_a);
        assert_eq!(pids(first.clone()), [vec![0, 1, 2], vec![0]]);
        assert!(lanes.take(at_a).is_empty(), "two calls are under way");
        lanes.ended(&first[0][0].1.action);
        assert_eq!(pids(lanes.take(at_a)), [[0]]);
    }
}
