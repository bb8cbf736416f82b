//! RecoverTable for eight followers, step by step and in time (tests/recordings/10-recover-table-timelines).

use std::collections::BTreeMap;

use openmldb_ops::model::Endpoint;
use openmldb_ops::sandbox::scenario::{Scenario, Shape};
use openmldb_ops::sandbox::{Addresses, World};
use openmldb_ops::wire::api::{GetTableStatusRequest, LoadTableRequest, ReplicaRequest, TableMeta, TableMode};
use openmldb_ops::wire::call::{NameserverAnswer, NameserverCall, TabletAnswer, TabletCall};
use openmldb_ops::wire::common::StorageMode;
use openmldb_ops::wire::nameserver::{RecoverTableRequest, ShowOpStatusRequest};
use serde_json::Value;

use super::recorded::read;

/// `orders` in the recordings' cluster.
const ORDERS: u32 = 7;

/// How the recording polled, in milliseconds.
const POLL: u64 = 50;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Followers {
    Unloaded,
    Connected,
    LoadedNotConnected,
}

/// What was seen of an op: its type, partition and the tasks it was seen at.
#[derive(Debug, Clone, PartialEq)]
struct Seen {
    kind: String,
    pid: u64,
    tasks: Vec<String>,
    done: u64,
}

/// The recording: the calls in their order, what was seen of each op, and when all replicas were alive.
fn recorded(file: &str) -> (Vec<(u64, String)>, Vec<Seen>, u64) {
    let lines: Vec<Value> = read(&format!("10-recover-table-timelines/{file}.json"));
    let mut calls = Vec::new();
    let mut ops: BTreeMap<u64, Seen> = BTreeMap::new();
    let mut end = 0;
    for line in &lines {
        let ms = line["ms"].as_u64().unwrap();
        if line.get("call").is_some() {
            calls.push((line["pid"].as_u64().unwrap(), relocated(line["endpoint"].as_str().unwrap())));
        } else if let Some(id) = line.get("op_id").and_then(Value::as_u64) {
            let text = |key: &str| line[key].as_str().unwrap().to_owned();
            note(&mut ops, id, text("op_type"), line["pid"].as_u64().unwrap(), &text("status"), text("task"), ms);
        } else {
            end = ms;
        }
    }
    (calls, ops.into_values().collect(), end)
}

/// In this recording the leaders of partitions 1 and 2 lie the other way round.
fn relocated(endpoint: &str) -> String {
    match endpoint {
        "127.0.0.1:11921" => "127.0.0.1:11922".to_owned(),
        "127.0.0.1:11922" => "127.0.0.1:11921".to_owned(),
        other => other.to_owned(),
    }
}

fn note(ops: &mut BTreeMap<u64, Seen>, id: u64, kind: String, pid: u64, status: &str, task: String, ms: u64) {
    let seen = ops.entry(id).or_insert_with(|| Seen { kind, pid, tasks: Vec::new(), done: 0 });
    if task != "-" && seen.tasks.last() != Some(&task) {
        seen.tasks.push(task);
    }
    if status == "kDone" && seen.done == 0 {
        seen.done = ms;
    }
}

fn load(world: &mut World, endpoint: &str, pid: u32) {
    let meta = TableMeta {
        tid: Some(ORDERS as i32),
        name: Some("orders".to_owned()),
        pid: Some(pid as i32),
        seg_cnt: Some(8),
        mode: Some(TableMode::KTableFollower.into()),
        storage_mode: Some(StorageMode::KMemory.into()),
        ..TableMeta::default()
    };
    let request = LoadTableRequest { table_meta: Some(meta), task_info: None };
    let answer = world.call_tablet(&endpoint.into(), TabletCall::LoadTable(request)).unwrap();
    assert!(matches!(answer, TabletAnswer::LoadTable(answer) if answer.code() == 0));
}

fn leaders(world: &World) -> BTreeMap<u32, Endpoint> {
    let orders = world.tables().into_iter().find(|table| table.tid() == ORDERS).unwrap();
    let leader = |metas: &openmldb_ops::wire::nameserver::TablePartition| {
        metas.partition_meta.iter().find(|meta| meta.is_leader && meta.is_alive()).unwrap().endpoint.as_str().into()
    };
    orders.table_partition.iter().map(|metas| (metas.pid, leader(metas))).collect()
}

/// Leaders loaded and alive, followers as asked.
fn world(followers: Followers, calls: &[(u64, String)]) -> World {
    let mut world = Scenario::LeadersLoaded.bring_about(&Shape::default(), &Addresses::recorded(1, 3)).unwrap();
    world.nameserver_settings_mut().op_fails_for_no_reason = None;
    if followers != Followers::Unloaded {
        for (pid, endpoint) in calls {
            load(&mut world, endpoint, *pid as u32);
        }
        world.advance_by(3_000);
    }
    if followers == Followers::Connected {
        let leaders = leaders(&world);
        for (pid, endpoint) in calls {
            let pid = *pid as u32;
            let request = ReplicaRequest {
                tid: Some(ORDERS),
                pid: Some(pid),
                endpoint: Some(endpoint.clone()),
                ..ReplicaRequest::default()
            };
            world.call_tablet(&leaders[&pid], TabletCall::AddReplica(request)).unwrap();
        }
        world.advance_by(5_000);
    }
    world
}

fn all_alive(world: &World) -> bool {
    let orders = world.tables().into_iter().find(|table| table.tid() == ORDERS).unwrap();
    orders.table_partition.iter().all(|metas| metas.partition_meta.iter().all(|meta| meta.is_alive()))
}

/// What the sandbox does, seen as the recording saw it.
fn simulated(followers: Followers, calls: &[(u64, String)]) -> (Vec<Seen>, u64) {
    let mut world = world(followers, calls);
    let nameserver = world.leader().unwrap();
    for (pid, endpoint) in calls {
        let request = RecoverTableRequest {
            name: "orders".to_owned(),
            pid: *pid as u32,
            endpoint: endpoint.clone(),
            db: Some("shop".to_owned()),
        };
        let answer = world.call_nameserver(&nameserver, NameserverCall::RecoverTable(request)).unwrap();
        assert!(matches!(answer, NameserverAnswer::RecoverTable(answer) if answer.code == 0));
    }
    let start = world.now();
    let mut ops = BTreeMap::new();
    while world.now() < start + 300_000 {
        let call = NameserverCall::ShowOpStatus(ShowOpStatusRequest::default());
        let NameserverAnswer::ShowOpStatus(answer) = world.call_nameserver(&nameserver, call).unwrap() else {
            panic!()
        };
        for op in answer.op_status {
            let (pid, ms) = (u64::from(op.pid()), world.now() - start);
            note(&mut ops, op.op_id, op.op_type, pid, &op.status, op.task_type, ms);
        }
        if all_alive(&world) {
            break;
        }
        world.advance_by(POLL);
    }
    let end = world.now() - start;
    let call = TabletCall::GetTableStatus(GetTableStatusRequest::default());
    assert!(world.call_tablet(&"127.0.0.1:11921".into(), call).is_ok());
    (ops.into_values().collect(), end)
}

/// Every task that any op of a type was seen at, in order, however briefly.
fn steps(ops: &[Seen]) -> BTreeMap<String, Vec<String>> {
    let mut steps: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for op in ops {
        let known = steps.entry(op.kind.clone()).or_default();
        if op.tasks.len() > known.len() {
            *known = op.tasks.clone();
        }
    }
    steps
}

fn assert_like(file: &str, followers: Followers) {
    let (calls, real, real_end) = recorded(file);
    let (ops, end) = simulated(followers, &calls);
    let kinds = |ops: &[Seen]| {
        let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
        ops.iter().for_each(|op| *kinds.entry(op.kind.clone()).or_default() += 1);
        kinds
    };
    assert_eq!(kinds(&ops), kinds(&real), "{file}: ops");
    // A task that is over between two looks is not seen; what is seen comes in the recorded order.
    for (kind, tasks) in steps(&ops) {
        let recorded = &steps(&real)[&kind];
        let lasting = |tasks: &[String]| {
            tasks
                .iter()
                .filter(|task| !matches!(task.as_str(), "kRecoverTable" | "kUpdatePartitionStatus"))
                .cloned()
                .collect::<Vec<_>>()
        };
        assert_eq!(lasting(&tasks), lasting(recorded), "{file}: {kind}");
    }
    // Two lanes: never more than two ops of one kind at work, so that the time adds up. The recording's last look came
    // a few seconds after the last op.
    let last = |ops: &[Seen]| ops.iter().map(|op| op.done).max().unwrap();
    let (real_last, last) = (last(&real).max(1), last(&ops).max(end));
    assert!(
        last * 4 >= real_last * 3 && last * 4 <= real_last * 5,
        "{file}: over after {last} ms, in reality after {real_last} ms (and {real_end} ms until seen)"
    );
}

#[test]
fn followers_that_were_not_loaded() {
    assert_like("unloaded", Followers::Unloaded);
}

#[test]
fn followers_connected_to_their_leader() {
    assert_like("connected", Followers::Connected);
}

#[test]
fn followers_loaded_but_not_connected() {
    assert_like("loaded-not-connected", Followers::LoadedNotConnected);
}
