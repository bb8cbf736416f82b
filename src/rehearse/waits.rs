//! What has to wait for what, whatever loads at the same time: OpenMLDB's own tables come first, and a base table's partition after those
//! that aggregate it (docs/design/loading.md#order-among-tables).

use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::{Endpoint, PartitionId, Pid, Tid};
use crate::playbook::{PartitionStep, Playbook};
use crate::sandbox::scenario::Likeness;
use crate::wire::nameserver::TableInfo;

use super::limit::{loading, partitions_of};

/// Milliseconds until the last partition can serve, if nothing but what it waits for and its leader's own load takes time. Nothing is
/// waited for any longer than a turn.
pub(super) fn longest(likeness: &Likeness, playbook: &Playbook, leaders: &BTreeMap<PartitionId, Endpoint>) -> u64 {
    let tables = likeness.world.tables();
    let turn = turn(playbook);
    let load = |id: &PartitionId| {
        let entries = leaders.get(id).and_then(|leader| likeness.entries.get(leader)?.get(id));
        entries.map_or(0, |entries| loading(std::iter::once(*entries), &likeness.settings.tablet))
    };
    let of = |wanted: &dyn Fn(&TableInfo) -> bool| -> Vec<PartitionId> {
        tables.iter().filter(|table| wanted(table)).flat_map(partitions_of).collect()
    };
    let first = of(&is_system).iter().map(load).max().unwrap_or(0).min(turn);
    let mut aggregated: BTreeMap<PartitionId, u64> = BTreeMap::new();
    for table in tables.iter().filter(|table| table.base_table_tid() != 0) {
        for id in partitions_of(table) {
            let base = PartitionId { tid: Tid(table.base_table_tid()), pid: Pid(id.pid.0) };
            let serves = aggregated.entry(base).or_default();
            *serves = load(&id).max(*serves);
        }
    }
    let waits = |id: &PartitionId| aggregated.get(id).map_or(0, |serves| (*serves).min(turn));
    of(&|table| !is_system(table)).iter().map(|id| first + waits(id) + load(id)).max().unwrap_or(first)
}

fn is_system(table: &TableInfo) -> bool {
    matches!(table.db(), "__INTERNAL_DB" | "INFORMATION_SCHEMA")
}

/// How long a partition waits for those that come first.
fn turn(playbook: &Playbook) -> u64 {
    let turn = playbook.partition.iter().find_map(|step| match step {
        PartitionStep::LoadTable { turn, .. } => Some(*turn),
        _ => None,
    });
    u64::try_from(turn.unwrap_or(Duration::ZERO).as_millis()).unwrap_or(u64::MAX)
}
