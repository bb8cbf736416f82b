//! The experiments on real servers that need no nameserver (docs/openmldb/experiments.md#writers-through-a-recovery).

use std::collections::BTreeSet;

use super::fixture::*;
use crate::tablet::{RowId, Settings};
use openmldb_model::StorageMode;
use openmldb_wire::api::{PutRequest, TableMode, TableState};

/// Three replicas of eight partitions with 800 rows each, everything restarted; one load at a time, so that most are
/// queued for a while.
fn after_a_restart() -> Cluster {
    let mut cluster = Cluster::with(Settings { task_pool_size: 1, ..Settings::default() });
    for pid in 0..8 {
        cluster.create(TID, pid, StorageMode::Memory, "orders", &[A, B, C]);
        cluster.put_rows(A, TID, pid, 800);
    }
    cluster.pass(2000);
    cluster.restart();
    cluster
}

/// Puts to every partition for a while, every ten milliseconds; the rows that were acknowledged, by partition.
fn write(cluster: &mut Cluster, millis: u64) -> Vec<Vec<u64>> {
    let mut acknowledged = vec![Vec::new(); 8];
    for round in 0..millis / 10 {
        for (pid, rows) in acknowledged.iter_mut().enumerate() {
            let row = 1_000_000 + round * 8 + pid as u64;
            if cluster.put_row(pid as u32, row) == 0 {
                rows.push(row);
            }
        }
        cluster.pass(10);
    }
    acknowledged
}

impl Cluster {
    fn put_row(&mut self, pid: u32, row: u64) -> i32 {
        let value = Some(RowId(row).to_value());
        let request = PutRequest { tid: Some(TID), pid: Some(pid), value, ..Default::default() };
        ask!(self, A, Put, request).code()
    }

    fn load_all(&mut self, endpoint: &str, mode: TableMode) {
        for pid in 0..8 {
            let request = load_request(TID, pid, StorageMode::Memory, Some(mode));
            assert_eq!(ask!(self, endpoint, LoadTable, request).code(), 0);
        }
    }

    /// Rows of a partition that a replica holds.
    fn held(&self, endpoint: &str, pid: u32) -> BTreeSet<u64> {
        self.tablets.log(endpoint, TID, pid).unwrap_or_default().iter().map(|entry| entry.row.0).collect()
    }
}

#[test]
fn a_leader_loading_as_leader_under_writes_loses_rows() {
    let mut cluster = after_a_restart();
    let before: Vec<u64> =
        (0..8).map(|pid| cluster.tablets.log_on_disk(A, TID, pid).map_or(0, |log| log.len() as u64)).collect();
    assert_eq!(before, [800; 8]);
    cluster.load_all(A, TableMode::KTableLeader);
    let acknowledged = write(&mut cluster, 1000);
    let losing: Vec<u32> =
        (0..8).filter(|pid| cluster.held(A, *pid).iter().filter(|row| **row < 1_000_000).count() < 800).collect();
    assert!(
        !losing.is_empty() && !losing.contains(&0),
        "all that were queued, not the one that loaded first: {losing:?}"
    );
    let ruined = losing[0];
    let offset = cluster.tablets.log(A, TID, ruined).and_then(|log| log.last()).map_or(0, |last| last.index);
    assert!(offset < 800, "it began anew: {offset}");
    assert!(acknowledged[0].iter().all(|row| cluster.held(A, 0).contains(row)));
}

#[test]
fn followers_loading_under_writes_lose_nothing_and_the_leader_made_afterwards_neither() {
    let mut cluster = after_a_restart();
    for endpoint in [A, B, C] {
        cluster.load_all(endpoint, TableMode::KTableFollower);
    }
    let refused = write(&mut cluster, 1000);
    assert!(refused.iter().all(Vec::is_empty), "a follower takes no writes");
    assert_eq!(cluster.lead(A, 1, &[B, C]), 0);
    let acknowledged = write(&mut cluster, 1000);
    cluster.pass(2000);
    assert!(!acknowledged[0].is_empty());
    for endpoint in [A, B, C] {
        let held = cluster.held(endpoint, 0);
        assert_eq!(held.len(), 800 + acknowledged[0].len());
        assert!(acknowledged[0].iter().all(|row| held.contains(row)));
    }
}

#[test]
fn puts_are_refused_while_loading() {
    let mut cluster = Cluster::new().with_orders(&[A], 10_000);
    cluster.restart();
    cluster.load(A, TableMode::KTableLeader);
    assert_eq!((cluster.state(A), cluster.put(A)), (Some(TableState::KTableLoading), 104));
    while cluster.state(A) == Some(TableState::KTableLoading) {
        cluster.pass(1);
    }
    assert_eq!((cluster.offset(A), cluster.put(A)), (Some(0), 104), "normal, but the offset is not there yet");
    cluster.pass(2);
    assert_eq!((cluster.put(A), cluster.offset(A)), (0, Some(10_001)));
}

#[test]
fn a_lost_disk_leads_to_an_empty_leader() {
    let mut cluster = Cluster::new().with_orders(&[A, B, C], 161);
    cluster.restart();
    assert!(cluster.tablets.lose_binlog(A, TID, 0));
    for endpoint in [A, B, C] {
        cluster.load_and_wait(endpoint);
    }
    assert_eq!([A, B, C].map(|endpoint| cluster.offset(endpoint)), [Some(0), Some(161), Some(161)]);
}

#[test]
fn the_same_seed_gives_the_same_times() {
    let times = |seed| {
        let mut cluster = after_a_restart();
        cluster.tablets.random = seed;
        cluster.load_all(A, TableMode::KTableFollower);
        std::iter::from_fn(|| {
            let next = cluster.tablets.next_event()?;
            cluster.tablets.advance_to(next);
            Some(next)
        })
        .collect::<Vec<_>>()
    };
    assert_eq!(times(5), times(5));
    assert_ne!(times(5), times(6));
}
