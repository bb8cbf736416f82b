//! What an aggregator writes while its copy is loaded (docs/openmldb/experiments.md#pre-aggregate-tables).

use std::sync::Arc;

use super::fixture::*;
use crate::tablet::{Schema, TableSpec};
use openmldb_model::{PartitionId, Pid, Role, StorageMode, Tid};
use openmldb_wire::api::TableMode;

/// The pre-aggregate table's number.
const AGGREGATE: u32 = TID + 1;

fn id(tid: u32) -> PartitionId {
    PartitionId { tid: Tid(tid), pid: Pid(0) }
}

/// A base table with 80 rows on three tablets and ten aggregates of them, made where it is led.
fn aggregated() -> Cluster {
    let mut cluster = Cluster::new();
    cluster.create(TID, 0, StorageMode::Memory, "orders", &[A, B, C]);
    let schema = Schema { base_table_tid: TID, ..Schema::new("pre", "sum", StorageMode::Memory) };
    for (at, role) in [(A, Role::Leader), (B, Role::Follower), (C, Role::Follower)] {
        let table = TableSpec { tid: AGGREGATE, pid: 0, schema: Arc::new(schema.clone()) };
        let replicas: &[String] = if role == Role::Leader { &[B.to_owned(), C.to_owned()] } else { &[] };
        cluster.tablets.create_table(at, table, role, 1, replicas).unwrap();
    }
    assert!(cluster.tablets.create_aggregator(A, id(TID), id(AGGREGATE)));
    cluster.put_rows(A, TID, 0, 80);
    cluster.pass(3000);
    cluster
}

fn load(cluster: &mut Cluster, at: &str, tid: u32) {
    let request = load_request(tid, 0, StorageMode::Memory, Some(TableMode::KTableFollower));
    assert_eq!(ask!(cluster, at, LoadTable, request).code(), 0);
    cluster.pass(3000);
}

/// Offset, and the terms and places of what is in memory, and of what the next load would read.
fn seen(cluster: &Cluster, at: &str) -> (usize, Vec<(u64, u64)>) {
    let on_disk = cluster.tablets.log_on_disk(at, AGGREGATE, 0).unwrap();
    let in_memory = cluster.tablets.log(at, AGGREGATE, 0).unwrap().len();
    (in_memory, on_disk.iter().map(|entry| (entry.term, entry.index)).collect())
}

fn ended_early() -> Cluster {
    let mut cluster = aggregated();
    assert_eq!(seen(&cluster, B).0, 10);
    cluster.restart();
    assert!(cluster.tablets.lose_entries(A, AGGREGATE, 0, 7, 10));
    cluster
}

#[test]
fn what_its_aggregator_makes_while_it_loads_is_numbered_from_one_and_hides_the_log_before_it() {
    let mut cluster = ended_early();
    for tid in [TID, AGGREGATE] {
        load(&mut cluster, A, tid);
    }
    let of_no_term = vec![(0, 1), (0, 2), (0, 3), (0, 4)];
    assert_eq!(seen(&cluster, A), (10, of_no_term.clone()), "all are in memory, and the last four on disk");
    cluster.restart();
    load(&mut cluster, A, AGGREGATE);
    assert_eq!(seen(&cluster, A), (4, of_no_term), "nobody reads the others again");
}

#[test]
fn loaded_before_its_base_table_it_is_as_it_was_and_an_aggregator_created_afterwards_numbers_on() {
    let mut cluster = ended_early();
    for tid in [AGGREGATE, TID] {
        load(&mut cluster, A, tid);
    }
    assert_eq!(seen(&cluster, A).0, 6);
    let leads = openmldb_wire::api::ChangeRoleRequest {
        tid: Some(AGGREGATE),
        pid: Some(0),
        mode: Some(TableMode::KTableLeader as i32),
        replicas: Vec::new(),
        term: Some(2),
        ..Default::default()
    };
    assert_eq!(ask!(cluster, A, ChangeRole, leads).code(), 0);
    assert!(cluster.tablets.create_aggregator(A, id(TID), id(AGGREGATE)));
    let (in_memory, on_disk) = seen(&cluster, A);
    assert_eq!((in_memory, on_disk[6..].to_vec()), (10, vec![(2, 7), (2, 8), (2, 9), (2, 10)]));
}

#[test]
fn created_twice_it_puts_every_aggregate_twice() {
    let mut cluster = aggregated();
    assert!(cluster.tablets.create_aggregator(A, id(TID), id(AGGREGATE)));
    let before = seen(&cluster, A).0;
    cluster.put_rows(A, TID, 0, 8);
    assert_eq!(seen(&cluster, A).0 - before, 2);
}
