//! A partition's metadata are read and written back without a replica: what is written, and when nothing is.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::{Arc, Mutex};

use super::cluster_tests::{Scripted, cluster};
use super::{CallError, Cluster, NOT_LEADER, Outcome};
use openmldb_model::{Action, Manual, Offset, Pid, TableName, Term, TermStart};
use openmldb_wire::call::{NameserverAnswer, NameserverCall};
use openmldb_wire::nameserver::{GeneralResponse, GetTablePartitionResponse, PartitionMeta, TablePartition, TermPair};

fn meta(endpoint: &str, is_leader: bool, is_alive: Option<bool>) -> PartitionMeta {
    let (endpoint, offset) = (endpoint.to_owned(), Some(20));
    PartitionMeta { endpoint, is_leader, is_alive, offset, ..PartitionMeta::default() }
}

fn partition(partition_meta: Vec<PartitionMeta>) -> TablePartition {
    let remote = PartitionMeta { alias: Some("other".to_owned()), ..meta("remote", true, None) };
    TablePartition {
        pid: 0,
        partition_meta,
        term_offset: vec![TermPair { term: 1, offset: 0 }, TermPair { term: 3, offset: 21 }],
        remote_partition_meta: vec![remote],
        ..TablePartition::default()
    }
}

/// A nameserver that says `found`, and what it was told to put in its place.
fn nameserver(found: TablePartition) -> (Cluster, Arc<Mutex<Vec<TablePartition>>>) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let written = told.clone();
    let answers = move |_, call| match call {
        NameserverCall::GetTablePartition(_) => Ok(NameserverAnswer::GetTablePartition(GetTablePartitionResponse {
            code: Some(0),
            table_partition: Some(found.clone()),
            ..GetTablePartitionResponse::default()
        })),
        NameserverCall::SetTablePartition(request) => {
            written.lock().unwrap().extend(request.table_partition);
            Ok(NameserverAnswer::SetTablePartition(GeneralResponse { code: 0, msg: None }))
        }
        other => panic!("nobody expected {}", other.name()),
    };
    (cluster(Scripted { nameserver: Box::new(answers), ..Scripted::new() }).1, told)
}

fn table() -> TableName {
    TableName { db: "shop".to_owned(), table: "t0".to_owned() }
}

fn forget() -> Action {
    Manual::ForgetReplica { table: table(), pid: Pid(0), gone: "gone".into() }.into()
}

async fn forgets(found: TablePartition) -> (Result<(), CallError>, Vec<TablePartition>) {
    let (cluster, told) = nameserver(found);
    let done = cluster.act(&forget()).await;
    let told = told.lock().unwrap().clone();
    (done, told)
}

async fn replaces(found: TablePartition) -> (Result<(), CallError>, Vec<TablePartition>) {
    let (cluster, told) = nameserver(found);
    let done = cluster
        .act(&Manual::ReplaceOnly { table: table(), pid: Pid(0), gone: "gone".into(), to: "b".into() }.into())
        .await;
    let told = told.lock().unwrap().clone();
    (done, told)
}

fn was_not_told((done, told): (Result<(), CallError>, Vec<TablePartition>), why: &str) {
    let error = done.unwrap_err();
    assert!(error.to_string().contains(why), "{error}");
    assert_eq!((error.outcome(), told), (Outcome::NotApplied, Vec::new()));
}

#[tokio::test]
async fn a_replica_is_forgotten_and_nothing_else_of_its_partition() {
    let gone = || meta("gone", true, Some(false));
    let others = || vec![meta("a", true, None), meta("b", false, Some(false))];
    let (done, told) = forgets(partition([vec![gone()], others()].concat())).await;
    done.unwrap();
    assert_eq!(told, [partition(others())]);
}

#[tokio::test]
async fn no_partition_is_left_without_a_leader_by_what_is_forgotten_of_it() {
    let gone = || meta("gone", true, Some(true));
    for left in [vec![], vec![meta("a", false, Some(true))], vec![meta("a", true, Some(false))]] {
        was_not_told(forgets(partition([vec![gone()], left].concat())).await, "nobody leads shop.t0/0");
    }
    was_not_told(forgets(partition(vec![meta("a", true, None)])).await, "has no replica on gone");
    let another = TablePartition { pid: 1, ..partition(vec![gone(), meta("a", true, None)]) };
    was_not_told(forgets(another).await, "shop.t0/0 has no metadata");
}

#[tokio::test]
async fn only_the_only_replica_is_replaced_and_by_one_that_serves_nobody() {
    let gone = || meta("gone", true, Some(true));
    let (done, told) = replaces(partition(vec![gone()])).await;
    done.unwrap();
    assert_eq!(told, [partition(vec![PartitionMeta { offset: None, ..meta("b", true, Some(false)) }])]);
    for others in [vec![], vec![meta("a", true, None)], vec![gone(), meta("a", false, Some(false))]] {
        was_not_told(replaces(partition(others)).await, "gone is not the only replica of shop.t0/0");
    }
}

#[tokio::test]
async fn a_history_of_terms_is_continued_and_never_contradicted() {
    let sets = async |terms: &[(u64, u64)], found: TablePartition| {
        let (cluster, told) = nameserver(found);
        let start = |(term, start): &(u64, u64)| TermStart { term: Term(*term), start: Offset(*start) };
        let terms = terms.iter().map(start).collect();
        let done = cluster.act(&Manual::SetTerms { table: table(), pid: Pid(0), terms }.into()).await;
        let told = told.lock().unwrap().clone();
        (done, told)
    };
    let without = || TablePartition { term_offset: Vec::new(), ..partition(vec![meta("a", true, None)]) };
    let (done, told) = sets(&[(1, 0), (3, 21)], without()).await;
    done.unwrap();
    assert_eq!(told, [partition(vec![meta("a", true, None)])], "replicas, flags and other clusters are as they were");
    for other in [&[(1, 0)][..], &[(1, 0), (5, 21)], &[(1, 0), (3, 20), (5, 30)]] {
        was_not_told(sets(other, partition(vec![meta("a", true, None)])).await, "has another history of terms");
    }
}

/// Another nameserver leads by then, under which somebody has changed the partition.
#[tokio::test(start_paused = true)]
async fn what_was_read_of_one_nameserver_is_not_written_to_the_next() {
    let found = partition(vec![meta("gone", false, Some(false)), meta("a", true, None)]);
    let written = Arc::new(Mutex::new(0));
    let told = written.clone();
    let answers = move |_, call| match call {
        NameserverCall::GetTablePartition(_) => Ok(NameserverAnswer::GetTablePartition(GetTablePartitionResponse {
            code: Some(0),
            table_partition: Some(found.clone()),
            ..GetTablePartitionResponse::default()
        })),
        NameserverCall::SetTablePartition(_) => {
            *told.lock().unwrap() += 1;
            let first = *told.lock().unwrap() == 1;
            let code = if first { NOT_LEADER } else { 0 };
            Ok(NameserverAnswer::SetTablePartition(GeneralResponse { code, msg: None }))
        }
        other => panic!("nobody expected {}", other.name()),
    };
    let cluster = cluster(Scripted { nameserver: Box::new(answers), ..Scripted::new() }).1;
    let error = cluster.act(&forget()).await.unwrap_err();
    assert_eq!((error.outcome(), *written.lock().unwrap()), (Outcome::NotApplied, 1));
    cluster.act(&forget()).await.unwrap();
}
