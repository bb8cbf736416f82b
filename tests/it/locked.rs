//! One run at a time, and none forgotten: the lock and the note in a real ZooKeeper, with real processes.

use std::collections::BTreeMap;

use openmldb_ops::cluster::{Hold, LockNodes};
use openmldb_ops::sandbox::scenario::{Generated, Scenario, Shape};
use openmldb_ops::sandbox::{Options, ZooKeeperPath};
use serde_json::{Value, json};

use crate::support::harness::Harness;
use crate::support::process::{Home, PATIENCE, Ran, Running};
use crate::support::wire::Wire;
use crate::support::zookeeper::{ZooKeeperServer, needs_zookeeper};

/// A cluster found through ZooKeeper, whose clock is held when the first follower is recovered.
struct Served {
    harness: Harness,
    servers: String,
    root: &'static str,
    nameserver: String,
}

impl Served {
    async fn start(server: &ZooKeeperServer, root: &'static str) -> Self {
        let servers = server.address();
        let at = ZooKeeperPath { servers: servers.clone(), root: root.to_owned(), digest: None };
        let generated = Generated { tables: 2, partitions: 2, replicas: 2, rows: 20 };
        let shape = Shape { tablets: 2, generated: Some(generated), ..Shape::default() };
        let options = Options { shape, zookeeper: Some(at), ..Options::default() };
        let harness = Harness::start_with(Scenario::EverythingRestarted, &options).await;
        harness.hold_at(&["RecoverTable"], 1);
        let nameserver = harness.sandbox().nameserver_address().unwrap().to_string();
        Self { harness, servers, root, nameserver }
    }

    fn words<'a>(&'a self, command: &[&'a str]) -> Vec<&'a str> {
        [command, &["--output", "json", "--zk-cluster", &self.servers, "--zk-root-path", self.root]].concat()
    }

    fn run(&self, home: &Home, command: &[&str]) -> Ran {
        home.run(&self.words(command))
    }

    /// The same cluster, found by its nameserver's address.
    fn by_nameserver<'a>(&'a self, command: &[&'a str]) -> Vec<&'a str> {
        [command, &["--output", "json", "--nameserver", &self.nameserver]].concat()
    }

    /// A run that has begun to bring followers back.
    fn run_half_way(&self, home: &Home) -> Running {
        let mut run = home.start(&self.words(&["recover", "--all"]));
        run.wait_for_progress(|line| line.contains(": serving after "));
        run
    }

    fn auto_failover(&self, home: &Home) -> bool {
        self.run(home, &["status"]).summary()["auto_failover"]["after"].as_bool().unwrap()
    }

    fn finishes(&self, home: &Home) -> Ran {
        self.harness.release();
        let ran = self.run(home, &["recover", "--all"]).expect(0);
        assert_eq!(ran.summary()["verdict"], "recovered");
        assert_eq!(ran.summary()["auto_failover"], json!({"before": true, "after": true, "held_for": []}));
        let again = self.run(home, &["recover", "--all"]).expect(0).summary();
        assert_eq!((&again["verdict"], &again["rpc"]["mutations"]), (&json!("healthy"), &json!(0)));
        ran
    }
}

/// Every node under a path, with when it was made and last changed, and its data.
async fn tree(server: &ZooKeeperServer, root: &str) -> BTreeMap<String, (i64, i64, Vec<u8>)> {
    let client = server.client().await;
    let (mut found, mut left) = (BTreeMap::new(), vec![root.to_owned()]);
    while let Some(path) = left.pop() {
        let (data, stat) = client.get_data(&path).await.unwrap();
        left.extend(client.list_children(&path).await.unwrap().iter().map(|child| format!("{path}/{child}")));
        found.insert(path, (stat.czxid, stat.mzxid, data));
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_run_ends_with_6_and_names_the_first() {
    needs_zookeeper!();
    let server = ZooKeeperServer::shared().await;
    let home = Home::new();
    let served = Served::start(&server, "/twice").await;
    let first = served.run_half_way(&home);
    let elsewhere = Home::new();
    let second = served.run(&elsewhere, &["recover", "--all"]).expect(6);
    for told in ["another run is working on this cluster: run ", "process ", "recover --all", "kill -INT "] {
        assert!(second.stderr.contains(told), "{told}: {}", second.stderr);
    }
    assert_eq!(elsewhere.records().len(), 0, "it has changed nothing, and has nothing to tell");
    let restore = served.run(&elsewhere, &["failover", "restore"]).expect(6);
    assert!(restore.stderr.contains("another run is working on"), "{}", restore.stderr);
    served.harness.release();
    assert_eq!(first.end().expect(0).summary()["verdict"], "recovered");
    let left = tree(&server, "/twice").await;
    assert!(!left.keys().any(|path| path.contains("openmldb-ops")), "neither lock nor note: {left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_killed_on_one_host_is_finished_on_another() {
    needs_zookeeper!();
    let server = ZooKeeperServer::shared().await;
    let home = Home::new();
    let served = Served::start(&server, "/killed").await;
    let run = served.run_half_way(&home);
    run.signal("KILL");
    assert!(!run.ended_by_itself());
    assert!(!served.auto_failover(&home));
    // Another home has other records, as another host would.
    let elsewhere = Home::new();
    let ran = served.finishes(&elsewhere);
    for told in ["Its record is there", "left auto_failover off; it was on and will be restored"] {
        assert!(ran.stderr.contains(told), "{told}: {}", ran.stderr);
    }
    let late = served.run(&home, &["recover", "--all"]).expect(0);
    assert!(!late.stderr.contains("did not finish"), "what is settled elsewhere is settled: {}", late.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn failover_restore_gives_back_what_a_killed_run_owes_and_does_nothing_else() {
    needs_zookeeper!();
    let server = ZooKeeperServer::shared().await;
    let home = Home::new();
    let served = Served::start(&server, "/owed").await;
    let nothing = served.run(&home, &["failover", "restore"]).expect(0);
    assert_eq!(nothing.events()[0]["was"], json!(null));
    let run = served.run_half_way(&home);
    run.signal("KILL");
    assert!(!run.ended_by_itself());
    let before = tree(&server, "/owed/openmldb-ops/run").await;
    let elsewhere = Home::new();
    let dry = served.run(&elsewhere, &["failover", "restore", "--dry-run"]).expect(0);
    assert_eq!((&dry.events()[0]["was"], &dry.events()[0]["is"]), (&json!(true), &json!(false)));
    assert_eq!(tree(&server, "/owed/openmldb-ops/run").await, before);
    assert!(!served.auto_failover(&home));
    let restored = served.run(&elsewhere, &["failover", "restore"]).expect(0).events();
    let calls = restored.iter().filter(|event| event["event"] == "action").collect::<Vec<_>>();
    assert_eq!(calls.len(), 1, "{restored:?}");
    assert_eq!(calls[0]["action"], json!({"call": "set_auto_failover", "on": true}));
    assert!(served.auto_failover(&home));
    let again = served.run(&elsewhere, &["failover", "restore"]).expect(0);
    assert_eq!(again.events()[0]["was"], json!(null), "nothing is owed twice");
    served.finishes(&home);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_lock_is_removed_sends_nothing_more_and_cleans_up() {
    needs_zookeeper!();
    let server = ZooKeeperServer::shared().await;
    let home = Home::new();
    let served = Served::start(&server, "/removed").await;
    let run = served.run_half_way(&home);
    server.client().await.delete("/removed/openmldb-ops/lock", None).await.unwrap();
    let ran = run.end().expect(6);
    assert_eq!(ran.summary()["auto_failover"], json!({"before": true, "after": true, "held_for": []}));
    assert!(ran.summary()["partitions"]["failed"].as_u64().unwrap() > 0, "{}", ran.summary());
    served.finishes(&home);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zookeeper_that_blinks_delays_a_run() {
    needs_zookeeper!();
    let server = ZooKeeperServer::shared().await;
    let home = Home::new();
    let wire = Wire::to(&server.address()).await;
    let mut served = Served::start(&server, "/blinks").await;
    served.servers = wire.address();
    let run = served.run_half_way(&home);
    wire.blinks().await;
    served.harness.release();
    assert_eq!(run.end().expect(0).summary()["verdict"], "recovered");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_looks_writes_nothing_to_zookeeper() {
    needs_zookeeper!();
    let server = ZooKeeperServer::shared().await;
    let home = Home::new();
    let served = Served::start(&server, "/looked-at").await;
    let before = tree(&server, "/looked-at").await;
    served.run(&home, &["status"]).expect(3);
    served.run(&home, &["recover", "--all", "--dry-run"]).expect(0);
    served.run(&home, &["snapshot", "-o", &home.file("seen.yaml")]).expect(0);
    served.run(&home, &["failover", "restore", "--dry-run"]).expect(0);
    for command in [&["show", "tablets"][..], &["show", "tables", "--health"], &["show", "ops"], &["failover", "get"]] {
        served.run(&home, command).expect(0);
    }
    served.run(&home, &["scale", "out", "--dry-run"]).expect(0);
    served.run(&home, &["failover", "set", "off", "--dry-run"]).expect(0);
    home.run(&["record", "list"]).expect(0);
    assert_eq!(home.records().len(), 0, "nothing is written down either");
    assert_eq!(tree(&server, "/looked-at").await, before);
}

/// Without ZooKeeper a file beside the records keeps runs of this host apart.
#[tokio::test(flavor = "multi_thread")]
async fn without_zookeeper_runs_with_the_same_records_are_kept_apart() {
    let home = Home::new();
    let harness = Harness::start(Scenario::EverythingRestarted).await;
    harness.hold_at(&["RecoverTable"], 1);
    let nameserver = harness.sandbox().nameserver_address().unwrap().to_string();
    let recover = ["recover", "--all", "--nameserver", &nameserver];
    let mut first = home.start(&recover);
    first.wait_for_progress(|line| line.contains(": serving after "));
    let second = home.run(&recover).expect(6);
    assert!(second.stderr.contains("another run is working on this cluster: run "), "{}", second.stderr);
    harness.release();
    let ran = first.end().expect(0);
    assert!(ran.stderr.contains("without ZooKeeper, only runs that use the same record directory"), "{}", ran.stderr);
}

/// Whichever way each of them found the cluster. Both are seen by whoever only looks, too.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_by_zookeeper_and_one_by_nameserver_are_kept_apart_on_one_host() {
    needs_zookeeper!();
    let server = ZooKeeperServer::shared().await;
    for (first_by_zookeeper, root) in [(true, "/both-ways-1"), (false, "/both-ways-2")] {
        let home = Home::new();
        let served = Served::start(&server, root).await;
        let recover = |by_zookeeper| match by_zookeeper {
            true => served.words(&["recover", "--all"]),
            false => served.by_nameserver(&["recover", "--all"]),
        };
        let mut first = home.start(&recover(first_by_zookeeper));
        first.wait_for_progress(|line| line.contains(": serving after "));
        let second = home.run(&recover(!first_by_zookeeper)).expect(6);
        assert!(second.stderr.contains("another run is working on this cluster: run "), "{}", second.stderr);
        for look in [served.words(&["status"]), served.by_nameserver(&["status"])] {
            let status = home.run(&look).expect(3);
            assert!(status.stdout.contains("run_at_work"), "{look:?}: {}", status.stdout);
            assert!(!status.stdout.contains("run_unfinished"), "what runs has not died: {}", status.stdout);
        }
        served.harness.release();
        first.end().expect(0);
        let last = home.run(&recover(!first_by_zookeeper)).expect(0);
        assert_eq!(last.summary()["verdict"], "healthy", "{}", last.stderr);
    }
}

/// What a run that was found one way has left is found the other way.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_by_zookeeper_that_was_killed_is_finished_by_one_by_nameserver() {
    needs_zookeeper!();
    let server = ZooKeeperServer::shared().await;
    let home = Home::new();
    let served = Served::start(&server, "/other-way").await;
    let run = served.run_half_way(&home);
    run.signal("KILL");
    assert!(!run.ended_by_itself());
    served.harness.release();
    let ran = home.run(&served.by_nameserver(&["recover", "--all"])).expect(0);
    assert!(ran.stderr.contains("left auto_failover off; it was on and will be restored"), "{}", ran.stderr);
    assert_eq!(ran.summary()["auto_failover"], json!({"before": true, "after": true, "held_for": []}));
}

/// The session of a killed process goes on for a while, and its lock with it. For how long is up to ZooKeeper, and how far the next
/// run has come by then up to the machine: here the lock stays.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_holder_on_this_host_is_recognised_and_not_waited_for() {
    needs_zookeeper!();
    let server = ZooKeeperServer::shared().await;
    let home = Home::new();
    let served = Served::start(&server, "/dead-holder").await;
    let run = served.run_half_way(&home);
    let (client, lock) = (server.client().await, "/dead-holder/openmldb-ops/lock");
    let (holder, stat) = client.get_data(lock).await.unwrap();
    assert_ne!(stat.ephemeral_owner, 0, "it goes with the session");
    run.signal("KILL");
    assert!(!run.ended_by_itself());
    match client.delete(lock, None).await {
        Ok(()) | Err(zookeeper_client::Error::NoNode) => {}
        Err(error) => panic!("{error}"),
    }
    server.create(&[(lock, &String::from_utf8(holder).unwrap())]).await;
    let lines = served.run(&home, &["status"]).events();
    let cases: Vec<&Value> =
        lines.iter().filter(|line| line["event"] == "diagnosis").map(|line| &line["case"]).collect();
    assert!(cases.contains(&&json!("run_unfinished")), "{cases:?}");
    assert!(!cases.contains(&&json!("run_at_work")), "nobody waits for a run that is no more: {cases:?}");
    let ran = served.finishes(&home);
    assert!(ran.stderr.contains(" is gone: its lock is removed"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("waiting up to 14 s for the lock"), "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wait_for_a_lock_of_another_host_is_announced() {
    needs_zookeeper!();
    let server = ZooKeeperServer::shared().await;
    let home = Home::new();
    let served = Served::start(&server, "/elsewhere").await;
    let process = json!({"boot": "another", "namespace": "pid:[1]", "started": 1});
    let holder = json!({"run": "5-0", "host": "elsewhere", "pid": 7, "command": "openmldb-ops recover --all", "process": process});
    server.create(&[("/elsewhere/openmldb-ops/lock", &holder.to_string())]).await;
    let mut run = home.start(&served.words(&["recover", "--all"]));
    let waiting = "waiting up to 14 s for the lock of run 5-0 on elsewhere, process 7, which may be dead";
    run.wait_for_progress(|line| line.contains(waiting));
    server.client().await.delete("/elsewhere/openmldb-ops/lock", None).await.unwrap();
    served.harness.release();
    assert_eq!(run.end().expect(0).summary()["verdict"], "recovered");
}

/// A process that goes on, as a guard does, keeps nobody out: its session must not outlive the lock.
#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_is_released_while_zookeeper_is_away_is_free_once_it_is_back() {
    needs_zookeeper!();
    let server = ZooKeeperServer::shared().await;
    server.create(&[("/cut-off", "")]).await;
    let wire = Wire::to(&server.address()).await;
    let [here, there] =
        [wire.address(), server.address()].map(|servers| LockNodes::new(servers, "/cut-off", None).unwrap());
    assert_eq!(here.acquire("{}").await.unwrap(), None);
    wire.is_cut();
    here.release().await;
    wire.is_mended();
    let taken = async {
        while there.acquire("{}").await.unwrap().is_some() {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(PATIENCE, taken).await.expect("it is held by nobody's session");
    assert_eq!(*here.hold().borrow(), Hold::Held, "and what becomes of that session is not told of the next lock");
    there.release().await;
}
