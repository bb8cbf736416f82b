//! What nobody can beat: the time the busiest tablet needs to load its replicas with its own pool, or the longest wait of partitions for
//! others, and, where followers come back through RecoverTable, the time the nameserver's two lanes need for that.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::model::{Endpoint, PartitionId, Pid, Tid};
use crate::playbook::{PartitionStep, Playbook, Which};
use crate::sandbox::scenario::Likeness;
use crate::sandbox::tablet::Settings;
use crate::wire::nameserver::TableInfo;

use super::waits;

/// Polls of the nameserver (`get_task_status_interval`) that a lane needs for one follower at least: RecoverTable's operation
/// waits for the next one after DelReplica and after AddReplica (docs/openmldb/operations.md#tasks-and-polls: 18 s for four
/// in each lane).
const POLLS_PER_FOLLOWER: u64 = 2;
/// The same for an old leader that holds what its leader does: with a leader flag there is no DelReplica before
/// (docs/openmldb/operations.md#recovertable).
const POLLS_PER_OLD_LEADER: u64 = 1;

/// The least that can be needed, in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Limit {
    /// Until every leader is loaded, loading leaders alone and what comes first before the rest.
    pub serving_ms: u64,
    /// Until every replica is loaded and, where the playbook has it, through the nameserver's lanes.
    pub redundant_ms: u64,
    /// Of `redundant_ms`, what the lanes need.
    pub lanes_ms: u64,
    /// The tablet that has most to load.
    pub busiest: Option<Busiest>,
}

/// The tablet that has most to load.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Busiest {
    /// Which.
    pub endpoint: Endpoint,
    /// Its replicas.
    pub replicas: usize,
    /// Their entries.
    pub entries: u64,
    /// Milliseconds to load them with its pool.
    pub load_ms: u64,
    /// Loads that its pool does at a time.
    pub pool: usize,
}

/// The limit of a recovery of that cluster with that playbook.
pub fn limit(likeness: &Likeness, playbook: &Playbook) -> Limit {
    let settings = &likeness.settings.tablet;
    let leaders = leaders(likeness);
    let led_by = |endpoint: &Endpoint, id: &PartitionId| leaders.get(id) == Some(endpoint);
    let mut serving_ms = 0;
    let mut busiest: Option<Busiest> = None;
    for (endpoint, replicas) in &likeness.entries {
        let led = replicas.iter().filter(|(id, _)| led_by(endpoint, id)).map(|(_, entries)| *entries);
        serving_ms = serving_ms.max(loading(led, settings));
        let load_ms = loading(replicas.values().copied(), settings);
        if busiest.as_ref().is_none_or(|busiest| load_ms > busiest.load_ms) {
            busiest = Some(Busiest {
                endpoint: endpoint.clone(),
                replicas: replicas.len(),
                entries: replicas.values().sum::<u64>() * likeness.scale,
                load_ms,
                pool: settings.task_pool_size,
            });
        }
    }
    let reattaches = playbook
        .partition
        .iter()
        .any(|step| matches!(step, PartitionStep::MarkAlive { replicas: Which::Connected, .. }));
    let lanes_ms = if reattaches { 0 } else { lanes(likeness, &leaders) };
    let waits_ms = waits::longest(likeness, playbook, &leaders);
    let load_ms = busiest.as_ref().map_or(0, |busiest| busiest.load_ms).max(waits_ms);
    let serving_ms = serving_ms.max(waits_ms);
    Limit { serving_ms, redundant_ms: load_ms + lanes_ms, lanes_ms, busiest }
}

/// Milliseconds in which a pool does loads of so many entries: all its threads busy until the end, and never less than the
/// longest one.
pub(super) fn loading(entries: impl Iterator<Item = u64>, settings: &Settings) -> u64 {
    let takes = entries.map(|entries| settings.load_fixed_ms * 1_000_000 + settings.load_ns_per_entry * entries);
    let (sum, longest) = takes.fold((0, 0), |(sum, longest), ns| (sum + ns, ns.max(longest)));
    (sum / settings.task_pool_size.max(1) as u64).max(longest).div_ceil(1_000_000)
}

/// Milliseconds the fullest lane needs for its followers; a partition's lane is its pid's remainder.
fn lanes(likeness: &Likeness, leaders: &BTreeMap<PartitionId, Endpoint>) -> u64 {
    let nameserver = &likeness.settings.nameserver;
    let mut polls = vec![0_u64; nameserver.task_concurrency.max(1) as usize];
    let (lanes, flagged) = (polls.len(), flagged(likeness));
    for (endpoint, replicas) in &likeness.entries {
        for id in replicas.keys().filter(|id| leaders.get(id) != Some(endpoint)) {
            let is_old_leader = flagged.contains(&(*id, endpoint.as_str().to_owned()));
            polls[id.pid.0 as usize % lanes] += if is_old_leader { POLLS_PER_OLD_LEADER } else { POLLS_PER_FOLLOWER };
        }
    }
    // One of these may be led by another replica, beside its base table's leader: then the flagged leader is an old one.
    for id in likeness.world.tables().iter().filter(|table| table.base_table_tid() != 0).flat_map(partitions_of) {
        let polls = &mut polls[id.pid.0 as usize % lanes];
        *polls = polls.saturating_sub(POLLS_PER_FOLLOWER - POLLS_PER_OLD_LEADER);
    }
    let fullest = polls.into_iter().max().unwrap_or(0);
    // The first operation may begin just before a poll.
    fullest.saturating_sub(1) * nameserver.get_task_status_interval_ms
}

pub(super) fn partitions_of(table: &TableInfo) -> impl Iterator<Item = PartitionId> {
    let tid = Tid(table.tid());
    table.table_partition.iter().map(move |partition| PartitionId { tid, pid: Pid(partition.pid) })
}

/// The replicas with a leader flag.
fn flagged(likeness: &Likeness) -> BTreeSet<(PartitionId, String)> {
    let mut all = BTreeSet::new();
    for table in likeness.world.tables() {
        for partition in &table.table_partition {
            let id = PartitionId { tid: Tid(table.tid()), pid: Pid(partition.pid) };
            let flagged = partition.partition_meta.iter().filter(|meta| meta.is_leader);
            all.extend(flagged.map(|meta| (id, meta.endpoint.clone())));
        }
    }
    all
}

/// Who leads each partition: the first that is flagged leader and alive, else the first flagged, on a tablet that came back.
fn leaders(likeness: &Likeness) -> BTreeMap<PartitionId, Endpoint> {
    let tablets: BTreeSet<&Endpoint> = likeness.tablets();
    let mut leaders = BTreeMap::new();
    for table in likeness.world.tables() {
        for partition in &table.table_partition {
            let id = PartitionId { tid: Tid(table.tid()), pid: Pid(partition.pid) };
            let flagged = || partition.partition_meta.iter().filter(|meta| meta.is_leader);
            let leader = flagged().find(|meta| meta.is_alive()).or_else(|| flagged().next());
            let leader = leader.map(|meta| Endpoint::from(meta.endpoint.as_str()));
            leaders.extend(leader.filter(|leader| tablets.contains(leader)).map(|leader| (id, leader)));
        }
    }
    leaders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_is_busy_to_the_end_and_no_faster_than_its_longest_load() {
        let settings =
            Settings { task_pool_size: 3, load_fixed_ms: 10, load_ns_per_entry: 1_000_000, ..Settings::default() };
        assert_eq!(loading([5, 5, 5, 5, 5, 5].into_iter(), &settings), 30);
        assert_eq!(loading([90, 5, 5].into_iter(), &settings), 100);
        assert_eq!(loading(std::iter::empty(), &settings), 0);
    }
}
