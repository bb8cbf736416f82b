//! A leader and its followers.

use super::fixture::*;
use crate::tablet::{RowId, Settings};
use openmldb_model::StorageMode;
use openmldb_wire::api::{self, TableMode, TableState};

fn owned(pairs: &[(&str, u64)]) -> Vec<(String, u64)> {
    pairs.iter().map(|(endpoint, offset)| ((*endpoint).to_owned(), *offset)).collect()
}

#[test]
fn followers_get_what_the_leader_takes() {
    let mut cluster = Cluster::new().with_orders(&[B, C, A], 100);
    assert_eq!(cluster.followers(B), owned(&[(A, 100), (C, 100)]));
    assert_eq!(cluster.log(A), cluster.log(B));
    assert_eq!(cluster.log(C), cluster.log(B));
    assert_eq!(cluster.term(C), 1);
}

#[test]
fn acknowledged_is_not_replicated_yet() {
    let mut cluster = Cluster::new().with_orders(&[A, B], 10);
    cluster.put(A);
    assert_eq!((cluster.offset(A), cluster.offset(B)), (Some(11), Some(10)));
    cluster.tablets.kill(A);
    cluster.pass(5000);
    assert_eq!(cluster.offset(B), Some(10));
}

#[test]
fn idle_partitions_have_nothing_due() {
    let cluster = Cluster::new().with_orders(&[A, B, C], 10);
    assert_eq!(cluster.tablets.next_event(), None);
}

#[test]
fn a_long_log_takes_its_time() {
    let mut cluster = Cluster::new().with_orders(&[A], 3800);
    cluster.create_follower(B);
    assert_eq!(cluster.add_replica(A, B), 0);
    assert_eq!(cluster.followers(A), owned(&[(B, 0)]), "no contact yet");
    cluster.pass(35);
    assert_eq!(cluster.offset(B), Some(3000));
    cluster.pass(100);
    assert_eq!(cluster.followers(A), owned(&[(B, 3800)]));
}

#[test]
fn a_leader_keeps_asking_for_a_follower_that_is_not_there() {
    let mut cluster = Cluster::new().with_orders(&[A, B], 10);
    cluster.tablets.kill(B);
    cluster.put(A);
    cluster.pass(10_000);
    assert_eq!(cluster.followers(A), owned(&[(B, 10)]));
    cluster.tablets.start(B);
    cluster.load_and_wait(B);
    cluster.pass(1000);
    assert_eq!((cluster.offset(B), cluster.term(B)), (Some(11), 1));
}

#[test]
fn a_follower_that_was_frozen_catches_up() {
    let mut cluster = Cluster::new().with_orders(&[A, B], 10);
    cluster.tablets.freeze(B, true);
    cluster.put_rows(A, TID, 0, 5);
    cluster.pass(5000);
    cluster.tablets.freeze(B, false);
    assert_eq!(cluster.offset(B), Some(10));
    cluster.pass(1100);
    assert_eq!(cluster.rows(B), cluster.rows(A));
}

#[test]
fn a_removed_follower_gets_nothing_more() {
    let mut cluster = Cluster::new().with_orders(&[A, B], 10);
    assert_eq!(cluster.del_replica(A, B), "ok");
    assert_eq!(cluster.del_replica(A, B), "replica does not exist");
    cluster.put(A);
    cluster.pass(5000);
    assert_eq!(cluster.offset(B), Some(10));
    assert_eq!(cluster.add_replica(A, B), 0);
    cluster.pass(100);
    assert_eq!(cluster.offset(B), Some(11));
}

#[test]
fn a_follower_above_the_leaders_term_never_replicates() {
    let mut cluster = Cluster::new().with_orders(&[A], 10);
    cluster.create_follower(B);
    let hello = api::AppendEntriesRequest { tid: Some(TID), pid: Some(0), term: Some(9), ..Default::default() };
    let answer = ask!(cluster, B, AppendEntries, hello);
    assert_eq!((answer.code(), answer.log_offset(), answer.term()), (0, 0, 9));
    cluster.add_replica(A, B);
    cluster.pass(60_000);
    assert_eq!((cluster.offset(B), cluster.followers(A)), (Some(0), owned(&[(B, 0)])));
    let low = api::AppendEntriesRequest { tid: Some(TID), pid: Some(0), term: Some(1), ..Default::default() };
    assert_eq!(ask!(cluster, B, AppendEntries, low).code(), 122);
    let leader = api::AppendEntriesRequest { tid: Some(TID), pid: Some(0), term: Some(1), ..Default::default() };
    assert_eq!(ask!(cluster, A, AppendEntries, leader).code(), 102);
}

#[test]
fn a_longer_follower_looks_in_sync_and_silently_differs() {
    let mut cluster = Cluster::new().with_orders(&[A, B], 10);
    cluster.tablets.freeze(B, true);
    cluster.put_rows(A, TID, 0, 5);
    cluster.restart();
    cluster.load_and_wait(A);
    cluster.load_and_wait(B);
    assert_eq!(cluster.lead(B, 2, &[A]), 0);
    cluster.pass(2000);
    assert_eq!(cluster.followers(B), owned(&[(A, 15)]), "longer than its leader's 10");
    cluster.put_rows(B, TID, 0, 7);
    cluster.pass(100);
    assert_eq!((cluster.offset(A), cluster.offset(B)), (Some(17), Some(17)));
    assert_eq!(cluster.record_cnt(A), cluster.record_cnt(B));
    assert_ne!(cluster.rows(A), cluster.rows(B));
}

#[test]
fn a_follower_that_needs_deleted_entries_waits_for_ever() {
    let mut cluster = Cluster::new().with_orders(&[A], 10);
    assert!(cluster.tablets.make_snapshot_now(A, TID, 0));
    assert!(cluster.tablets.delete_binlog_behind_snapshot(A, TID, 0));
    cluster.create_follower(B);
    cluster.add_replica(A, B);
    cluster.put(A);
    cluster.pass(60_000);
    assert_eq!((cluster.offset(B), cluster.followers(A)), (Some(0), owned(&[(B, 0)])));
}

#[test]
fn a_queued_follower_is_streamed_into_from_the_start_and_holds_rows_twice() {
    let mut cluster = Cluster::with(Settings { task_pool_size: 1, jitter_percent: 0, ..Settings::default() })
        .with_orders(&[A, B], 10);
    cluster.create(TID, 1, StorageMode::Memory, "orders", &[B]);
    cluster.put_rows(B, TID, 1, 10_000);
    cluster.tablets.kill(B);
    cluster.tablets.start(B);
    let other = load_request(TID, 1, StorageMode::Memory, Some(TableMode::KTableFollower));
    ask!(cluster, B, LoadTable, other);
    cluster.load(B, TableMode::KTableFollower);
    cluster.del_replica(A, B);
    cluster.add_replica(A, B);
    cluster.pass(50);
    assert_eq!((cluster.state(B), cluster.offset(B)), (Some(TableState::KTableUndefined), Some(10)));
    cluster.pass(5000);
    assert_eq!((cluster.offset(B), cluster.record_cnt(B)), (Some(10), Some(20)));
}

#[test]
fn entries_over_the_wire_skip_what_is_there_and_refuse_a_gap() {
    let mut cluster = Cluster::new();
    cluster.create_follower(B);
    let entries: Vec<api::LogEntry> = (1..=3)
        .map(|index| api::LogEntry {
            term: Some(1),
            log_index: Some(index),
            value: Some(RowId(index * 100).to_value()),
            ..Default::default()
        })
        .collect();
    let request = |pre, entries: &[api::LogEntry]| api::AppendEntriesRequest {
        tid: Some(TID),
        pid: Some(0),
        term: Some(1),
        pre_log_index: Some(pre),
        entries: entries.to_vec(),
    };
    assert_eq!(ask!(cluster, B, AppendEntries, request(0, &entries[..2])).log_offset(), 2);
    assert_eq!(ask!(cluster, B, AppendEntries, request(0, &entries)).log_offset(), 3);
    assert_eq!(cluster.rows(B), [100, 200, 300]);
    assert_eq!(ask!(cluster, B, AppendEntries, request(7, &entries)).code(), 122);
}

impl Cluster {
    /// An empty replica that follows nobody.
    fn create_follower(&mut self, endpoint: &str) {
        self.create(TID, 0, StorageMode::Memory, "orders", &[endpoint]);
        self.follow(endpoint);
    }
}
