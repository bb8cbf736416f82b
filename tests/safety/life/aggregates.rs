//! Pre-aggregate tables: a deployment makes one, and what leads its base table writes into it.

use std::collections::BTreeSet;

use openmldb_ops::model::{PartitionId, Pid, Tid};
use openmldb_ops::sandbox::World;
use openmldb_ops::sandbox::nameserver::{TableSpec, system_tables};
use openmldb_ops::wire::nameserver::TableInfo;

use super::Life;

/// The table that says what pre-aggregate tables are made of.
const MADE_OF: &str = "PRE_AGG_META_INFO";

impl Life {
    pub(super) fn is_aggregated(&mut self, base: u32, spec: &TableSpec) {
        let aggregate = deployed(&mut self.world, base, spec);
        self.aggregated.insert(Tid(base));
        self.tell(format!("{aggregate} aggregates {base}"));
    }
}

/// Somebody deploys what aggregates a table: its pre-aggregate table lies where that lies, is led where it is led, and is written there.
/// Gives its number.
pub fn deployed(world: &mut World, base: u32, spec: &TableSpec) -> u32 {
    let tablets: Vec<String> = world.tablet_endpoints().iter().map(ToString::to_string).collect();
    let is_there = world.tables().iter().any(|table| table.name() == MADE_OF);
    for spec in system_tables(|_| tablets.clone()).into_iter().filter(|spec| spec.name == MADE_OF && !is_there) {
        world.create_table(&spec).unwrap();
    }
    let (db, name) = ("__PRE_AGG_DB".to_owned(), format!("pre_{}", spec.name));
    let of_it = TableSpec { db, name, ..spec.clone() }.aggregating(base);
    let aggregate = world.create_table(&of_it).unwrap();
    for (place, pid) in spec.placement.iter().zip(0..) {
        let [from, into] = [base, aggregate].map(|tid| PartitionId { tid: Tid(tid), pid: Pid(pid) });
        assert!(world.tablets_mut().create_aggregator(&place.replicas[place.leader], from, into));
    }
    aggregate
}

/// The partitions of pre-aggregate tables whose base table somebody has dropped: nobody is shown anything of them any more.
pub fn of_dropped_tables(world: &World) -> BTreeSet<PartitionId> {
    let tables = world.tables();
    let is_there = |base: u32| tables.iter().any(|table| table.tid() == base);
    let of_none = tables.iter().filter(|table| table.base_table_tid() != 0 && !is_there(table.base_table_tid()));
    let partitions = |table: &TableInfo| {
        let tid = Tid(table.tid());
        table.table_partition.iter().map(move |metas| PartitionId { tid, pid: Pid(metas.pid) }).collect::<Vec<_>>()
    };
    of_none.flat_map(partitions).collect()
}

/// Whether clients write to a table themselves: not to those that are written by what leads others.
pub fn is_written_by_clients(world: &World, tid: Tid) -> bool {
    let tables = world.tables();
    let is_any_aggregated = tables.iter().any(|table| table.base_table_tid() != 0);
    let found = tables.iter().find(|table| table.tid() == tid.0);
    found.is_some_and(|table| table.base_table_tid() == 0 && !(is_any_aggregated && table.name() == MADE_OF))
}
