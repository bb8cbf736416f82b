//! Plans that are kept, and losses that are accepted by name: the program itself against a sandbox.

use openmldb_ops::model::{Endpoint, PartitionId};
use openmldb_ops::sandbox::World;
use openmldb_ops::sandbox::scenario::{Generated, Scenario, Shape};
use openmldb_ops::sandbox::{Options, TimeScale};
use openmldb_ops::wire::api::{LoadTableRequest, TableMeta};
use openmldb_ops::wire::call::{TabletAnswer, TabletCall};
use openmldb_ops::wire::common::StorageMode;
use openmldb_ops::wire::nameserver::TableInfo;
use serde_json::Value;

use crate::support::harness::Harness;
use crate::support::outside::{assert_all_well, assert_well, flags};
use crate::support::process;
use crate::support::process::Home;

/// A cluster of which somebody can be asked to give something up, and the program's home.
struct Case {
    harness: Harness,
    home: Home,
    address: String,
}

impl Case {
    async fn new(scenario: Scenario, damage: impl FnOnce(&mut World)) -> Self {
        let generated = Some(Generated { tables: 1, partitions: 2, replicas: 3, rows: 40 });
        let shape = Shape { generated, ..Shape::default() };
        let time_scale = TimeScale(100.try_into().unwrap());
        let options = Options { shape, time_scale, ..Options::default() };
        let harness = Harness::start_with(scenario, &options).await;
        let address = harness.sandbox().nameserver_address().unwrap().to_string();
        harness.world(damage);
        Self { harness, home: Home::new(), address }
    }

    fn recover(&self, arguments: &[&str], code: i32) -> process::Ran {
        let all: Vec<&str> = ["recover", "--nameserver", &self.address, "--output", "json", "--wait-for-tablets", "0"]
            .into_iter()
            .chain(arguments.iter().copied())
            .collect();
        self.home.run(&all).expect(code)
    }

    /// The id that a dry run prints, and its plan of one partition.
    fn dry_run(&self, code: i32) -> (String, Value) {
        let events = self.recover(&["--all", "--dry-run"], code).events();
        let id = of_kind(&events, "plan")[0]["id"].as_str().unwrap().to_owned();
        let blocked =
            of_kind(&events, "partition_plan").into_iter().find(|plan| !plan["losses"].as_array().unwrap().is_empty());
        (id, blocked.cloned().unwrap_or(Value::Null))
    }
}

fn of_kind<'a>(events: &'a [Value], kind: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["event"] == kind).collect()
}

fn endpoints(world: &World, id: PartitionId) -> (Endpoint, Vec<Endpoint>) {
    let (leaders, others): (Vec<_>, Vec<_>) = flags(world, id).into_iter().partition(|flag| flag.leader);
    (leaders[0].endpoint.clone(), others.into_iter().map(|flag| flag.endpoint).collect())
}

/// The first partition of the user table.
fn first(world: &World) -> PartitionId {
    let tables = world.tables();
    let tid = tables.iter().find(|table| table.db() == "shop").unwrap().tid();
    world.metadata().into_keys().find(|id| id.tid.0 == tid).unwrap()
}

/// The leader took eight more rows than its followers got, and then lost more than that in the middle of its log.
fn longest_and_hollow(world: &mut World) {
    let id = first(world);
    let (leader, followers) = endpoints(world, id);
    let (tid, pid) = (id.tid.0, id.pid.0);
    let end = world.log(&leader, id).len() as u64;
    for follower in followers {
        assert!(world.tablets_mut().lose_entries(follower.as_str(), tid, pid, end - 7, end));
    }
    assert!(world.tablets_mut().lose_entries(leader.as_str(), tid, pid, 3, 20));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loss_is_accepted_by_the_id_of_the_plan_that_lists_it() {
    let case = Case::new(Scenario::EverythingRestarted, longest_and_hollow).await;
    let (cold, nothing) = case.dry_run(0);
    assert_eq!(nothing, Value::Null, "before loading nothing is proven, so there is nothing to accept");
    case.recover(&["--all", "--accept-data-loss", "0123456789abcdef"], 5);
    let summary = case.recover(&["--all"], 4).summary();
    assert_eq!(summary["blocked"][0]["losses"][0]["kind"], "stale_leader", "{summary}");
    let (id, plan) = case.dry_run(4);
    assert_ne!(id, cold);
    assert_eq!((&plan["losses"][0]["kind"], &plan["losses"][0]["entries"]), (&"stale_leader".into(), &8.into()));
    let refused = case.recover(&["--all", "--accept-data-loss", &cold], 5);
    assert_eq!((&refused.summary()["verdict"], &refused.summary()["rpc"]["mutations"]), (&"refused".into(), &0.into()));
    case.recover(&["--all", "--accept-data-loss", &id, "--without", "127.0.0.1:1"], 2);
    let leader = case.harness.world(|world| endpoints(world, first(world)).0);
    let accepted = case.recover(&["--all", "--accept-data-loss", &id], 0);
    let summary = accepted.summary();
    assert_eq!(summary["accepted"][0]["entries"], 8, "{summary}");
    let (_, kept) = accepted.stderr.split_once("rows that not every replica holds, kept in ").unwrap();
    let kept = std::fs::read_to_string(kept.lines().next().unwrap()).unwrap();
    let rows: Vec<Value> = kept.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let only_there = |row: &&Value| {
        let held = row["held"].as_array().unwrap();
        held.iter().all(|held| (held["endpoint"] == leader.as_str()) == (held["times"] == 1))
    };
    assert_eq!(rows.iter().filter(only_there).count(), 8, "what is given up is in the operator's hands: {kept}");
    case.harness.world(|world| {
        let id = first(world);
        assert_well(world, id);
        assert_eq!(world.diverged().len(), 0);
    });
    assert_eq!(case.recover(&["--all"], 0).summary()["rpc"]["mutations"], 0);
    case.harness.stop().await;
}

/// The leader lost the end of its log: by the rules a follower leads.
fn shorter_leader(world: &mut World) {
    let id = first(world);
    let (leader, _) = endpoints(world, id);
    let end = world.log(&leader, id).len() as u64;
    assert!(world.tablets_mut().lose_entries(leader.as_str(), id.tid.0, id.pid.0, end - 7, end));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_named_leads_once_what_goes_with_the_others_was_accepted() {
    for names_the_leader in [true, false] {
        let damage = if names_the_leader { shorter_leader } else { longest_and_hollow };
        let case = Case::new(Scenario::EverythingRestarted, damage).await;
        let (partition, (leader, followers)) = case.harness.world(|world| {
            let id = first(world);
            let table = world.tables().into_iter().find(|table| table.tid() == id.tid.0).unwrap();
            (format!("{}.{}/{}", table.db(), table.name(), id.pid), endpoints(world, id))
        });
        let named = if names_the_leader { &leader } else { &followers[0] };
        let naming = ["--partition", &partition, "--leader", named.as_str()];
        let blocked = case.recover(&naming, 4).summary();
        assert_eq!(blocked["blocked"][0]["reason"], "named_leader", "{blocked}");
        let dry_run = case.recover(&[&naming[..], &["--dry-run"]].concat(), 4).events();
        let id = of_kind(&dry_run, "plan")[0]["id"].as_str().unwrap().to_owned();
        let planned = of_kind(&dry_run, "partition_plan")[0].clone();
        assert!(
            planned["notes"][0].as_str().unwrap().ends_with("was named as leader, overriding the rule"),
            "{planned}"
        );
        let losses = planned["losses"].clone();
        let of = |loss: &Value| (loss["kind"].as_str().unwrap().to_owned(), loss["entries"].as_u64().unwrap());
        let losses: Vec<(String, u64)> = losses.as_array().unwrap().iter().map(of).collect();
        match names_the_leader {
            true => assert_eq!(losses, [("follower".to_owned(), 8), ("follower".to_owned(), 8)]),
            false => assert_eq!(losses, [("stale_leader".to_owned(), 8)]),
        }
        case.recover(&[&naming[..], &["--accept-data-loss", &id]].concat(), 0);
        case.harness.world(|world| {
            assert_well(world, first(world));
            assert_eq!((endpoints(world, first(world)).0, world.diverged().len()), (named.clone(), 0));
        });
        let served = case.recover(&["--partition", &partition, "--leader", followers[1].as_str()], 5);
        assert!(served.stderr.contains(&format!("{named} leads it and serves clients")), "{}", served.stderr);
        let handed_over = format!("openmldb-ops leader handover {partition} --to {}", followers[1]);
        assert!(served.stderr.contains(&handed_over), "{}", served.stderr);
        case.harness.stop().await;
    }
}

/// Who goes on after such a run has been shown nothing of what another leader would have the others lose.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_accepted_beside_a_named_leader_is_not_accepted_without_it() {
    let case = Case::new(Scenario::EverythingRestarted, longest_and_hollow).await;
    let (partition, follower) = case.harness.world(|world| {
        let id = first(world);
        let table = world.tables().into_iter().find(|table| table.tid() == id.tid.0).unwrap();
        (format!("{}.{}/{}", table.db(), table.name(), id.pid), endpoints(world, id).1[0].clone())
    });
    let naming = ["--partition", &partition, "--leader", follower.as_str()];
    case.recover(&naming, 4);
    let dry_run = case.recover(&[&naming[..], &["--dry-run"]].concat(), 4).events();
    let id = of_kind(&dry_run, "plan")[0]["id"].as_str().unwrap().to_owned();
    case.harness.hold_at(&["ChangeLeader"], 1);
    let accepting = ["recover", "--nameserver", &case.address, "--accept-data-loss", &id];
    let mut run = case.home.start(&[&accepting[..], &naming].concat());
    run.wait_for_progress(|line| line.contains(" is promoted: named on "));
    run.signal("KILL");
    assert!(!run.ended_by_itself());
    case.harness.release();
    let refused = case.recover(&["--partition", &partition, "--accept-data-loss", &id], 5);
    assert_eq!(refused.summary()["rpc"]["mutations"], 0, "{}", refused.stderr);
    case.harness.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_is_named_for_one_partition_and_from_among_its_replicas() {
    let case = Case::new(Scenario::EverythingRestarted, |_| {}).await;
    case.recover(&["--all", "--leader", "127.0.0.1:1"], 2);
    let (table, pid) = case.harness.world(|world| {
        let id = first(world);
        let table = world.tables().into_iter().find(|table| table.tid() == id.tid.0).unwrap();
        (format!("{}.{}", table.db(), table.name()), id.pid)
    });
    let (one, other) = (format!("{table}/{pid}"), format!("{table}/1"));
    let refused = case.recover(&["--partition", &one, "--partition", &other, "--leader", "127.0.0.1:1"], 5);
    assert!(refused.stderr.contains("but 2 are in scope"), "{}", refused.stderr);
    let refused = case.recover(&["--partition", &one, "--leader", "127.0.0.1:1"], 2);
    assert!(refused.stderr.contains("has no replica of it"), "{}", refused.stderr);
    case.harness.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_looked_at_is_accepted_for_each_endpoint_on_its_own() {
    let case = Case::new(Scenario::EverythingRestarted, |world| {
        let (leader, _) = endpoints(world, first(world));
        world.kill_tablet(&leader);
    })
    .await;
    let registered = case.harness.world(|world| world.tablet_endpoints().len());
    case.harness.until("its node is gone", |world| world.registered_tablets().len() < registered).await;
    case.recover(&["--all"], 4);
    let (id, plan) = case.dry_run(4);
    let (kind, endpoint) = (plan["losses"][0]["kind"].as_str(), plan["losses"][0]["endpoint"].as_str());
    assert_eq!(kind, Some("out_of_reach"), "{plan}");
    let still = case.recover(&["--all", "--accept-data-loss", &id], 4);
    let said =
        format!("is not accepted: nobody can look at it, so it has to be named; add --without {}", endpoint.unwrap());
    assert!(still.stdout.contains(&said) || still.stderr.contains(&said), "{}{}", still.stdout, still.stderr);
    let still = still.summary();
    assert!(still["blocked"].as_array().unwrap().iter().any(|b| b["reason"] == "out_of_reach"), "{still}");
    let (id, _) = case.dry_run(4);
    let without = case.recover(&["--all", "--accept-data-loss", &id, "--without", endpoint.unwrap()], 4).summary();
    let blocked = without["blocked"].as_array().unwrap();
    assert!(blocked.iter().all(|blocked| blocked["losses"].is_null()), "nothing is left to accept: {without}");
    assert!(blocked.iter().any(|blocked| blocked["reason"] == "not_redundant"), "they serve without it: {without}");
    assert!(!without["accepted"].as_array().unwrap().is_empty(), "{without}");
    case.harness.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_plan_is_applied_exactly_and_applied_again_does_nothing() {
    let case = Case::new(Scenario::EverythingRestarted, |_| {}).await;
    let file = case.home.file("plan.yaml");
    case.recover(&["--all", "--dry-run", "--out", &file], 0);
    case.recover(&["--plan", &file, "--dry-run"], 0);
    case.recover(&["--plan", &file], 0);
    let again = case.recover(&["--plan", &file], 0).summary();
    assert_eq!(again["rpc"]["mutations"], 0, "{again}");
    let rows = case.harness.settle();
    assert_eq!(rows.rows_after, rows.rows_expected);
    case.harness.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_plan_touches_only_the_partitions_it_is_about() {
    let case = Case::new(Scenario::EverythingRestarted, |_| {}).await;
    let file = case.home.file("plan.json");
    case.recover(&["--partition", "shop.t0/0", "--dry-run", "--out", &file], 0);
    let run = case.recover(&["--plan", &file], 0);
    let touched: Vec<Value> = of_kind(&run.events(), "partition").iter().map(|event| event["pid"].clone()).collect();
    assert!(!touched.is_empty() && touched.iter().all(|pid| *pid == 0), "{touched:?}");
    case.harness.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_whose_facts_have_changed_is_refused_field_by_field() {
    let case = Case::new(Scenario::EverythingRestarted, |_| {}).await;
    let file = case.home.file("plan.yaml");
    case.recover(&["--all", "--dry-run", "--out", &file], 0);
    let dead = case.harness.world(|world| {
        let (leader, _) = endpoints(world, first(world));
        world.kill_tablet(&leader);
        leader
    });
    let refused = case.recover(&["--plan", &file], 5);
    let error = of_kind(&refused.events(), "error")[0].clone();
    let field = format!("shop.t0/0 facts replicas {dead} held");
    let differences = error["differences"].as_array().unwrap();
    let held = differences.iter().find(|difference| difference["field"] == field).unwrap_or_else(|| panic!("{error}"));
    assert_eq!((&held["planned"], &held["now"]), (&"not loaded".into(), &"does not answer".into()));
    assert_eq!((&refused.summary()["verdict"], &refused.summary()["rpc"]["mutations"]), (&"refused".into(), &0.into()));
    assert!(refused.stderr.contains(&field), "{}", refused.stderr);
    case.harness.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_file_that_was_changed_is_refused_by_its_checksum() {
    let generated = Some(Generated { tables: 1, partitions: 1, replicas: 2, rows: 5 });
    let options = Options { shape: Shape { generated, ..Shape::default() }, ..Options::default() };
    let harness = Harness::start_with(Scenario::EverythingRestarted, &options).await;
    let (home, address) = (Home::new(), harness.sandbox().nameserver_address().unwrap().to_string());
    let file = home.file("plan.yaml");
    home.run(&["recover", "--all", "--dry-run", "-o", &file, "--nameserver", &address]).expect(0);
    let text = home.read("plan.yaml");
    home.write("plan.yaml", &text.replacen("seg_cnt: 8", "seg_cnt: 9", 1));
    let refused = home.run(&["recover", "--plan", &file, "--nameserver", &address]).expect(5);
    assert!(refused.stderr.contains("its checksum is sha256:"), "{}", refused.stderr);
    home.write("plan.yaml", &format!("# a comment is nothing\n{text}"));
    home.run(&["recover", "--plan", &file, "--nameserver", &address]).expect(0);
    harness.stop().await;
}

/// Every tablet has lost its disk, and the old script has told all of them to load: what it left there says nothing.
#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_is_left_of_a_partition_it_begins_empty_once_that_was_accepted() {
    let case = Case::new(Scenario::EmptiedDisks, |world| {
        let tables = world.tables();
        for (id, placed) in world.metadata() {
            let table = tables.iter().find(|table| table.tid() == id.tid.0).unwrap().clone();
            // A disk table's load never shows, which is waited for.
            if table.storage_mode() == StorageMode::KMemory {
                placed.partition_meta.iter().for_each(|meta| tell_to_load(world, &table, id, &meta.endpoint));
            }
        }
    })
    .await;
    case.recover(&["--all"], 4);
    let (id, _) = case.dry_run(4);
    let rows = case.harness.world(|world| world.rows());
    assert!(rows.values().flat_map(|replicas| replicas.values()).all(Vec::is_empty));
    let run = case.recover(&["--all", "--accept-data-loss", &id], 0).events();
    let chosen =
        of_kind(&run, "action").into_iter().filter(|event| event["action"]["call"] == "load_with_schema").count();
    let partitions = case.harness.world(|world| world.metadata().len());
    assert_eq!(chosen, partitions, "system tables, too; each once, on the replica that leads");
    case.harness.settle();
    case.harness.world(assert_all_well);
    case.harness.world(|world| {
        let id = first(world);
        let (leader, _) = endpoints(world, id);
        assert!(world.put_row(&leader, id), "it takes rows");
    });
    assert_eq!(of_kind(&case.recover(&["--all"], 0).events(), "summary")[0]["verdict"], "healthy");
}

fn tell_to_load(world: &mut World, table: &TableInfo, id: PartitionId, endpoint: &str) {
    let meta = TableMeta {
        tid: Some(id.tid.0.cast_signed()),
        pid: Some(id.pid.0.cast_signed()),
        name: table.name.clone(),
        seg_cnt: Some(8),
        storage_mode: table.storage_mode,
        ..TableMeta::default()
    };
    let load = TabletCall::LoadTable(LoadTableRequest { table_meta: Some(meta), task_info: None });
    let answer = world.call_tablet(&Endpoint::from(endpoint), load).unwrap();
    let TabletAnswer::LoadTable(answer) = answer else { panic!("{answer:?}") };
    assert_eq!(answer.code(), 131);
}
