//! `status --deep` and the end of every run: what two looks find that one cannot.

use openmldb_ops::model::{Endpoint, PartitionId};
use openmldb_ops::sandbox::World;
use openmldb_ops::sandbox::scenario::{Generated, Scenario, Shape};
use openmldb_ops::sandbox::{Options, TimeScale};
use openmldb_ops::wire::api::{GeneralRequest, LoadTableRequest, ReplicaRequest, TableMeta, TableMode};
use openmldb_ops::wire::call::{NameserverCall, TabletCall};
use openmldb_ops::wire::nameserver::{ConfSetRequest, Pair, UpdateTableAliveRequest};
use serde_json::Value;

use crate::support::harness::Harness;
use crate::support::outside::{find, flags, leader};
use crate::support::process::{Home, Ran};

/// A healthy cluster in which something is not as it looks, and what the program says of it.
struct Case {
    harness: Harness,
    home: Home,
    address: String,
}

impl Case {
    async fn healthy_but(change: impl FnOnce(&mut World)) -> Self {
        let generated = Some(Generated { tables: 1, partitions: 2, replicas: 3, rows: 40 });
        let shape = Shape { generated, ..Shape::default() };
        let options = Options { shape, time_scale: TimeScale(100.try_into().unwrap()), ..Options::default() };
        let harness = Harness::start_with(Scenario::Healthy, &options).await;
        let address = harness.sandbox().nameserver_address().unwrap().to_string();
        harness.world(change);
        Self { harness, home: Home::new(), address }
    }

    fn run(&self, arguments: &[&str], code: i32) -> Ran {
        let all = [arguments, &["--nameserver", &self.address, "--output", "json"]].concat();
        self.home.run(&all).expect(code)
    }

    /// The verdict of a deep look, and what it finds.
    fn deep(&self, code: i32) -> (String, Vec<String>) {
        said(&self.run(&["status", "--deep"], code).summary())
    }
}

fn said(summary: &Value) -> (String, Vec<String>) {
    let found = &summary["verification"];
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let kinds = found["findings"].as_array().unwrap().iter().map(|finding| text(&finding["kind"]));
    (text(&found["verdict"]), kinds.collect())
}

fn verdict(verdict: &str, kinds: &[&str]) -> (String, Vec<String>) {
    (verdict.to_owned(), kinds.iter().map(|kind| (*kind).to_owned()).collect())
}

fn id(world: &World) -> PartitionId {
    let table = world.tables().into_iter().find(|table| table.db() == "shop").unwrap();
    find(world, table.name(), 0)
}

fn follower(world: &World) -> Endpoint {
    flags(world, id(world)).into_iter().find(|flag| !flag.leader).unwrap().endpoint
}

fn tell(world: &mut World, at: &Endpoint, call: TabletCall) {
    world.call_tablet(at, call).unwrap();
}

fn tell_nameserver(world: &mut World, call: NameserverCall) {
    let leading = world.leader().unwrap();
    world.call_nameserver(&leading, call).unwrap();
}

fn signed(number: u32) -> i32 {
    i32::try_from(number).unwrap()
}

fn pause(world: &mut World) {
    let (id, at) = (id(world), leader(world, id(world)));
    let request = GeneralRequest { tid: signed(id.tid.0), pid: signed(id.pid.0), ..GeneralRequest::default() };
    tell(world, &at, TabletCall::PauseSnapshot(request));
}

/// A follower comes back with a hole in its log, and somebody connects it without asking.
fn hollow_follower(world: &mut World) {
    let conf = Pair { key: "auto_failover".to_owned(), value: "false".to_owned() };
    tell_nameserver(world, NameserverCall::ConfSet(ConfSetRequest { conf }));
    let (id, at) = (id(world), follower(world));
    let others: Vec<PartitionId> = world.metadata().into_keys().collect();
    world.kill_tablet(&at);
    assert!(world.tablets_mut().lose_entries(at.as_str(), id.tid.0, id.pid.0, 3, 9));
    world.start_tablets(std::slice::from_ref(&at));
    for id in others {
        let Some(leads) = flags(world, id).into_iter().find(|flag| flag.leader && flag.endpoint != at) else {
            continue;
        };
        load(world, id, &at);
        world.advance_by(5_000);
        let request = ReplicaRequest {
            tid: Some(id.tid.0),
            pid: Some(id.pid.0),
            endpoint: Some(at.as_str().to_owned()),
            ..ReplicaRequest::default()
        };
        tell(world, &leads.endpoint, TabletCall::AddReplica(request));
        let table = world.tables().into_iter().find(|table| table.tid() == id.tid.0).unwrap();
        let request = UpdateTableAliveRequest {
            name: table.name.clone(),
            db: table.db.clone(),
            pid: Some(id.pid.0),
            endpoint: Some(at.as_str().to_owned()),
            is_alive: Some(true),
        };
        tell_nameserver(world, NameserverCall::UpdateTableAliveStatus(request));
    }
    world.advance_by(5_000);
}

fn load(world: &mut World, id: PartitionId, at: &Endpoint) {
    let table = world.tables().into_iter().find(|table| table.tid() == id.tid.0).unwrap();
    let mut meta = TableMeta {
        name: table.name.clone(),
        tid: Some(signed(id.tid.0)),
        pid: Some(signed(id.pid.0)),
        seg_cnt: Some(8),
        ..TableMeta::default()
    };
    meta.set_mode(TableMode::KTableFollower);
    let request = LoadTableRequest { table_meta: Some(meta), ..LoadTableRequest::default() };
    tell(world, at, TabletCall::LoadTable(request));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_as_it_should_be_is_complete_and_says_so() {
    let case = Case::healthy_but(|_| {}).await;
    assert_eq!(case.deep(0), verdict("complete", &[]));
    case.harness.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_left_paused_is_found_and_the_next_run_lets_it_go() {
    let case = Case::healthy_but(pause).await;
    assert_eq!(case.run(&["status"], 0).summary()["verification"], Value::Null, "one look sees nothing wrong");
    assert_eq!(case.deep(3), verdict("not_fully_succeeded", &["snapshot_paused"]));
    let summary = case.run(&["recover", "--all"], 0).summary();
    assert_eq!(said(&summary), verdict("complete", &[]), "{summary}");
    assert_eq!(case.deep(0), verdict("complete", &[]));
    case.harness.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_that_lacks_rows_at_the_same_offset_is_found() {
    let case = Case::healthy_but(hollow_follower).await;
    let (verdict, kinds) = case.deep(3);
    assert_eq!(verdict, "not_fully_succeeded");
    assert!(kinds.contains(&"fewer_rows".to_owned()), "{kinds:?}");
    case.harness.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tablet_that_does_not_answer_leaves_it_undetermined() {
    let case = Case::healthy_but(|world| {
        let at = follower(world);
        let conf = Pair { key: "auto_failover".to_owned(), value: "false".to_owned() };
        tell_nameserver(world, NameserverCall::ConfSet(ConfSetRequest { conf }));
        world.kill_tablet(&at);
    })
    .await;
    let (verdict, kinds) = case.deep(3);
    assert_eq!(verdict, "undetermined", "{kinds:?}");
    assert!(!kinds.is_empty() && kinds.iter().all(|kind| kind == "no_answer"), "{kinds:?}");
    case.harness.stop().await;
}
