//! Metadata saved, lost and put back, against a real ZooKeeper: what `openmldb-ops metadata` promises.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use openmldb_ops::cluster::{Hold, LockNodes, ZooKeeper};
use openmldb_ops::metadata;
use openmldb_ops::model::{MetadataSeen, MetadataTree};
use openmldb_ops::run::{Event, Holder, InMemoryLock, Lock, LockError, LockFuture, Note, Verdict};
use openmldb_ops::sandbox::scenario::Scenario;
use openmldb_ops::sandbox::{Options, ZooKeeperPath};
use serde_json::json;
use tokio::sync::watch;
use zookeeper_client::{Acls, Client, CreateMode};

use crate::support::harness::{Harness, Setup};
use crate::support::process::{Home, Ran};
use crate::support::zookeeper::{ZooKeeperServer, needs_zookeeper};

/// A root path in a ZooKeeper, and what is typed for it.
pub struct Place<'a> {
    pub servers: String,
    pub root: &'a str,
    pub home: Home,
}

impl<'a> Place<'a> {
    pub fn of(server: &ZooKeeperServer, root: &'a str) -> Self {
        Self { servers: server.address(), root, home: Home::new() }
    }

    pub fn run(&self, command: &[&str]) -> Ran {
        self.home.run(&[command, &["--zk-cluster", &self.servers, "--zk-root-path", self.root]].concat())
    }

    /// The same, as lines.
    pub fn json(&self, command: &[&str]) -> Ran {
        self.run(&[command, &["--output", "json"]].concat())
    }

    pub async fn seen(&self) -> MetadataSeen {
        let zookeeper = ZooKeeper::connect(self.servers.clone(), self.root.to_owned(), None).await.unwrap();
        zookeeper.metadata().await.unwrap()
    }

    pub async fn tree(&self) -> MetadataTree {
        self.seen().await.tree
    }

    fn backup(&self, name: &str) -> metadata::Backup {
        metadata::read(self.home.file(name).as_ref()).unwrap()
    }

    pub async fn cluster(&self, scenario: Scenario) -> Harness {
        let at = ZooKeeperPath { servers: self.servers.clone(), root: self.root.to_owned(), digest: None };
        Harness::start_with(scenario, &Options { zookeeper: Some(at), ..Options::default() }).await
    }
}

/// The last line of stdout.
pub fn last(ran: &Ran) -> serde_json::Value {
    ran.events().pop().unwrap()
}

/// A small tree of a cluster that nobody runs.
const NODES: [(&str, &str); 8] = [
    ("/small/config/auto_failover", "true"),
    ("/small/db/shop", ""),
    ("/small/leader", ""),
    ("/small/nodes", ""),
    ("/small/op/op_index", "4"),
    ("/small/table/notify", "12"),
    ("/small/table/table_index", "7"),
    ("/small/table/term", "3"),
];

/// As [`NODES`], below another root.
pub async fn small(server: &ZooKeeperServer, root: &str) {
    let nodes: Vec<(String, &str)> = NODES.iter().map(|(path, data)| (path.replace("/small", root), *data)).collect();
    server.create(&nodes.iter().map(|(path, data)| (path.as_str(), *data)).collect::<Vec<_>>()).await;
}

async fn delete_all(client: &Client, path: &str) {
    for child in client.list_children(path).await.unwrap() {
        Box::pin(delete_all(client, &format!("{path}/{child}"))).await;
    }
    client.delete(path, None).await.unwrap();
}

/// Everything goes down, and ZooKeeper loses what it had. With its metadata put back the cluster comes back with every row, and
/// begins with what was put back and not with what it had.
#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_whose_zookeeper_has_lost_everything_comes_back_with_every_row() {
    needs_zookeeper!();
    let mut server = ZooKeeperServer::start().await;
    let place = Place::of(&server, "/lost/openmldb");
    let harness = place.cluster(Scenario::Healthy).await;
    let file = place.home.file("metadata.json");
    let saved = last(&place.json(&["metadata", "backup", "-o", &file]).expect(0));
    assert_eq!((&saved["event"], &saved["consistent"]), (&json!("metadata_saved"), &json!(true)));
    assert_eq!(saved["left_out"], 4, "three tablets and a nameserver are registered");
    // What happens after the backup is not in it.
    place.run(&["failover", "set", "off"]).expect(0);

    harness.world(|world| world.kill_everything());
    loop {
        let seen = place.seen().await;
        if seen.of_sessions.is_empty() {
            assert_eq!(seen.tree.text("config/auto_failover"), Some("false"));
            break;
        }
    }
    server.lose_everything().await;
    assert!(!place.seen().await.root, "nothing is left");

    let dry = place.json(&["metadata", "restore", &file, "--dry-run"]).expect(0);
    assert_eq!(last(&dry)["created"].as_array().unwrap().len(), saved["nodes"].as_u64().unwrap() as usize);
    assert!(!place.seen().await.root, "a dry run writes nothing");
    let restored = last(&place.json(&["metadata", "restore", &file]).expect(0));
    assert_eq!((&restored["nodes"], &restored["findings"]), (&saved["nodes"], &json!([])));
    let (raised, _) = metadata::raise(&place.backup("metadata.json").tree, metadata::RAISED_BY);
    assert_eq!(place.tree().await, raised);

    harness.world(|world| world.start_everything());
    harness.until("a nameserver leads", |world| world.leader().is_some()).await;
    let get = last(&place.json(&["failover", "get"]).expect(0));
    assert_eq!(get["auto_failover"], true, "as it was when the backup was taken");
    let recovered = place.json(&["recover", "--all"]).expect(0).summary();
    assert_eq!(recovered["verdict"], "recovered");
    assert_eq!(place.json(&["status", "--deep", "--rows"]).expect(0).summary()["verdict"], "healthy");
    let rows = harness.settle();
    assert_eq!((rows.rows_after, rows.partitions_with_two_alive_leaders), (rows.rows_expected, 0));
    assert!(rows.rows_expected > 100, "only {}", rows.rows_expected);
    let checked = last(&place.json(&["metadata", "check"]).expect(0));
    assert_eq!((&checked["event"], &checked["findings"]), (&json!("metadata_checked"), &json!(0)));
    let record = place.home.run(&["record", "list", "--output", "json"]).expect(0).events();
    assert!(record.iter().any(|run| run["name"] == "metadata restore" && run["ended"] == "reached"), "{record:?}");
    harness.stop().await;
}

/// A cluster whose metadata were saved and then lost, and of which a nameserver has begun anew; with the backup's file.
pub async fn begun_anew(server: &mut ZooKeeperServer, place: &Place<'_>) -> (Harness, String) {
    let harness = place.cluster(Scenario::Healthy).await;
    let file = place.home.file("metadata.json");
    place.run(&["metadata", "backup", "-o", &file]).expect(0);
    harness.world(|world| world.kill_everything());
    harness.until("every session has ended", |world| world.registered_tablets().is_empty()).await;
    server.lose_everything().await;
    harness.world(|world| world.start_everything());
    harness.until("a nameserver leads", |world| world.leader().is_some()).await;
    (harness, file)
}

/// Without its metadata a cluster has no table: what a nameserver has is what ZooKeeper gives it. And what it creates then is not
/// written over.
#[tokio::test(flavor = "multi_thread")]
async fn where_a_nameserver_has_begun_anew_nothing_is_put_back() {
    needs_zookeeper!();
    let mut server = ZooKeeperServer::start().await;
    let place = Place::of(&server, "/anew");
    let (harness, file) = begun_anew(&mut server, &place).await;
    assert!(harness.world(|world| world.tables().iter().all(|table| table.db() != "shop")), "tables out of nowhere");
    let before = place.tree().await;
    let refused = place.run(&["metadata", "restore", &file]).expect(5);
    assert!(refused.stderr.contains("error: nothing was created: the root path holds"), "{}", refused.stderr);
    assert!(refused.stderr.contains("of servers that are registered"), "{}", refused.stderr);
    assert!(refused.stderr.contains("stop every server of the cluster"), "{}", refused.stderr);
    assert_eq!(place.tree().await.nodes().count(), before.nodes().count());
    harness.stop().await;
}

/// There is no backup, and the tablets still run when ZooKeeper has lost everything: what they have loaded is enough, and what they
/// cannot know is said.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_backup_tablets_that_run_know_enough_to_bring_every_row_back() {
    needs_zookeeper!();
    let mut server = ZooKeeperServer::start().await;
    let place = Place::of(&server, "/rebuilt");
    let harness = place.cluster(Scenario::Healthy).await;
    let before = place.tree().await;
    let nameservers: Vec<_> = harness.sandbox().nameservers().iter().map(|(endpoint, _)| endpoint.clone()).collect();
    harness.world(|world| nameservers.iter().for_each(|endpoint| world.kill_nameserver(endpoint)));
    let (file, tablets) = (place.home.file("rebuilt.json"), harness.tablets());
    let named: Vec<&str> = tablets.iter().flat_map(|tablet| ["--tablet", tablet.as_str()]).collect();
    let rebuild = [&["metadata", "rebuild", "-o", &file, "--output", "json"], named.as_slice()].concat();
    let told = last(&place.home.run(&rebuild).expect(0));
    assert_eq!((&told["origin"], &told["left_out_tables"]), (&json!("rebuilt"), &json!([])));
    assert!(told["remarks"].to_string().contains("deployments"), "{told}");
    place.home.run(&["metadata", "check", &file]).expect(0);
    let tables = |tree: &MetadataTree| -> Vec<String> {
        tree.children("table/db_table_data").map(|(tid, _)| tid.to_owned()).collect()
    };
    assert_eq!(tables(&place.backup("rebuilt.json").tree), tables(&before));

    harness.world(|world| world.kill_everything());
    while !place.seen().await.of_sessions.is_empty() {}
    server.lose_everything().await;
    place.json(&["metadata", "restore", &file]).expect(0);
    harness.world(|world| world.start_everything());
    harness.until("a nameserver leads", |world| world.leader().is_some()).await;
    assert_eq!(place.json(&["recover", "--all"]).expect(0).summary()["verdict"], "recovered");
    assert_eq!(place.json(&["status", "--deep", "--rows"]).expect(0).summary()["verdict"], "healthy");
    let rows = harness.settle();
    assert_eq!((rows.rows_after, rows.partitions_with_two_alive_leaders), (rows.rows_expected, 0));
    harness.stop().await;
}

#[tokio::test]
async fn what_was_put_back_in_part_is_completed_and_what_is_anothers_is_left_alone() {
    needs_zookeeper!();
    let server = ZooKeeperServer::shared().await;
    small(&server, "/small").await;
    let place = Place::of(&server, "/small");
    let file = place.home.file("metadata.json");
    place.run(&["metadata", "backup", "-o", &file]).expect(0);
    let again = place.run(&["metadata", "backup", "-o", &file]).expect(2);
    assert!(again.stderr.contains("already exists"), "{}", again.stderr);
    let backup = place.backup("metadata.json");
    assert_eq!((backup.tree.len(), backup.is_consistent()), (12, true));
    let client = server.client().await;

    // As it is: nothing to do, and with raised counters something else.
    let exact = ["metadata", "restore", &file, "--raise-counters", "0"];
    let nothing = last(&place.json(&exact).expect(0));
    assert_eq!(nothing["created"], json!([]));
    let other = place.run(&["metadata", "restore", &file]).expect(5);
    assert!(other.stderr.contains("3 nodes with different data than in the backup"), "{}", other.stderr);

    // In part.
    for gone in ["table/term", "table/table_index", "op/op_index", "op"] {
        client.delete(&format!("/small/{gone}"), None).await.unwrap();
    }
    let restored = last(&place.json(&exact).expect(0));
    assert_eq!(restored["created"], json!(["op", "op/op_index", "table/table_index", "table/term"]));
    assert_eq!(place.tree().await, backup.tree);

    // Something is there that the backup does not have.
    client.create("/small/db/other", b"", &CreateMode::Persistent.with_acls(Acls::anyone_all())).await.unwrap();
    client.delete("/small/table/term", None).await.unwrap();
    let refused = place.run(&exact).expect(5);
    assert!(refused.stderr.contains("1 node not in the backup (db/other)"), "{}", refused.stderr);
    assert!(place.tree().await.get("table/term").is_none());

    // Somebody is registered, and nothing else is in the way.
    client.delete("/small/db/other", None).await.unwrap();
    client.create("/small/nodes/a:1", b"", &CreateMode::Ephemeral.with_acls(Acls::anyone_all())).await.unwrap();
    let refused = place.run(&exact).expect(5);
    assert!(refused.stderr.contains("1 node of servers that are registered (nodes/a:1)"), "{}", refused.stderr);
    assert!(place.tree().await.get("table/term").is_none());
}

#[tokio::test]
async fn a_damaged_backup_is_refused_before_anybody_is_asked() {
    needs_zookeeper!();
    let server = ZooKeeperServer::shared().await;
    small(&server, "/damaged").await;
    let place = Place::of(&server, "/damaged");
    let file = place.home.file("metadata.json");
    place.run(&["metadata", "backup", "-o", &file]).expect(0);
    let text = place.home.read("metadata.json");
    let refused = |name: &str, text: &str, code: i32| {
        let file = place.home.write(name, text);
        let ran = place.home.run(&["metadata", "restore", &file, "--zk-cluster", "127.0.0.1:1"]).expect(code);
        assert_eq!(ran.stdout, "");
        ran.stderr
    };
    assert!(refused("1", &text.replacen("MTI=", "MTM=", 1), 5).contains("was changed after it was written"));
    assert!(refused("2", &text[..200], 2).contains("is not a readable backup of metadata"));
    assert!(refused("3", &text.replacen("metadata\": 1", "metadata\": 9", 1), 2).contains("of version 9"));
    assert!(refused("4", "nothing", 2).contains("is not a readable backup of metadata"));
    let gone = place.run(&["metadata", "restore", &place.home.file("none")]).expect(2);
    assert!(gone.stderr.contains("cannot read the backup"), "{}", gone.stderr);
    assert!(place.home.left_behind().is_empty());
    let nowhere = Place::of(&server, "/nowhere");
    let nothing = nowhere.run(&["metadata", "backup", "-o", &nowhere.home.file("x")]).expect(1);
    assert!(nothing.stderr.contains("/nowhere does not exist"), "{}", nothing.stderr);
    let by_nameserver = place.home.run(&["metadata", "check", "--nameserver", "127.0.0.1:1"]).expect(2);
    assert!(by_nameserver.stderr.contains("are in its ZooKeeper"), "{}", by_nameserver.stderr);
}

/// While somebody changes it all the time, what is read is what was there at one moment, or it is said that it may not be.
#[tokio::test(flavor = "multi_thread")]
async fn a_tree_that_changes_is_read_as_it_was_or_said_not_to_be() {
    needs_zookeeper!();
    let server = ZooKeeperServer::shared().await;
    small(&server, "/changing").await;
    server.create(&[("/changing/table/z", "0"), ("/changing/table/a", "0")]).await;
    let zookeeper = ZooKeeper::connect(server.address(), "/changing".to_owned(), None).await.unwrap();
    let (client, stop) = (server.client().await, Arc::new(AtomicBool::new(false)));
    let stopped = stop.clone();
    let changing = tokio::spawn(async move {
        let mut number = 0_u64;
        while !stopped.load(Ordering::Relaxed) {
            number += 1;
            // Always the one that is read last first: it is never behind the other, and ahead by one at most.
            for node in ["z", "a"] {
                client.set_data(&format!("/changing/table/{node}"), number.to_string().as_bytes(), None).await.unwrap();
            }
        }
    });
    let mut unsettled = 0;
    for _ in 0..10 {
        let seen = zookeeper.metadata().await.unwrap();
        let number = |path: &str| seen.tree.text(path).unwrap().parse::<u64>().unwrap();
        let (first, second) = (number("table/a"), number("table/z"));
        if seen.changed.is_empty() {
            assert!(second == first || second == first + 1, "{first} and {second} were never there together");
        } else {
            assert!(seen.changed.iter().all(|path| path.starts_with("table/")), "{:?}", seen.changed);
            unsettled += 1;
        }
    }
    assert!(unsettled > 0, "it changed all the time, and nobody noticed");
    stop.store(true, Ordering::Relaxed);
    changing.await.unwrap();
    assert!(zookeeper.metadata().await.unwrap().changed.is_empty());
}

#[tokio::test]
async fn nodes_that_come_and_go_are_changes_and_registrations_are_not() {
    needs_zookeeper!();
    let server = ZooKeeperServer::shared().await;
    small(&server, "/coming").await;
    let place = Place::of(&server, "/coming");
    let client = server.client().await;
    let ephemeral = CreateMode::Ephemeral.with_acls(Acls::anyone_all());
    client.create("/coming/nodes/a:1", b"startup_a:1", &ephemeral).await.unwrap();
    let lock = LockNodes::new(server.address(), "/coming", None).unwrap();
    assert!(lock.acquire("{}").await.unwrap().is_none());
    lock.write_note("a note").await.unwrap();
    let seen = place.seen().await;
    assert_eq!(seen.of_sessions.nodes().map(|(path, _)| path).collect::<Vec<_>>(), ["nodes/a:1"]);
    assert_eq!((seen.tree.len(), seen.changed), (12, vec![]), "the lock and the note are ours");
    lock.release().await;
}

#[tokio::test]
async fn contradictions_are_found_and_named() {
    needs_zookeeper!();
    let server = ZooKeeperServer::shared().await;
    small(&server, "/wrong").await;
    server.create(&[("/wrong/table/db_table_data/9", "no table"), ("/wrong/op/op_data/5", "no op")]).await;
    let place = Place::of(&server, "/wrong");
    let events = place.json(&["metadata", "check"]).expect(3).events();
    let codes: Vec<&str> = events.iter().filter_map(|line| line["code"].as_str()).collect();
    assert_eq!(codes, ["beyond_counter", "bad_table", "bad_op"]);
    assert_eq!(events.last().unwrap()["findings"], 3);
    assert!(events.iter().take(3).all(|line| line["event"] == "metadata_finding" && line["hint"].is_string()));
    let text = place.run(&["metadata", "check"]).expect(3).stdout;
    assert!(text.contains("op/op_index: the last operation number assigned is 4, but operation 5 has 5"), "{text}");
    assert!(text.ends_with(": 3 contradictions.\n"), "{text}");
    let file = place.home.file("metadata.json");
    place.run(&["metadata", "backup", "-o", &file]).expect(0);
    // What is typed next says where the cluster is, which a file does not.
    let first = |text: &str| text.lines().filter(|line| !line.starts_with("  ")).collect::<Vec<_>>().join("\n");
    let of_file = place.home.run(&["metadata", "check", &file]).expect(3).stdout;
    assert_eq!(first(&of_file), first(&text), "a backup is as wrong");
}

/// With credentials nodes are made as OpenMLDB makes them.
#[tokio::test]
async fn what_is_put_back_with_credentials_is_nobody_elses() {
    needs_zookeeper!();
    let server = ZooKeeperServer::shared().await;
    small(&server, "/open").await;
    let place = Place::of(&server, "/open");
    let file = place.home.file("metadata.json");
    place.run(&["metadata", "backup", "-o", &file]).expect(0);
    let home = Home::new().with("OPENMLDB_ZK_CERT", "openmldb:secret");
    let address = server.address();
    let restore = ["metadata", "restore", &file, "--zk-cluster", &address, "--zk-root-path", "/guarded-by-us/openmldb"];
    let ran = home.run(&restore).expect(0);
    assert!(!format!("{}{}", ran.stdout, ran.stderr).contains("secret"));
    let stranger = server.client().await;
    let read = stranger.get_data("/guarded-by-us/openmldb/table/term").await.unwrap_err();
    assert_eq!(read, zookeeper_client::Error::NoAuth);
    let friend = Client::connector().with_auth("digest", b"openmldb:secret").connect(&address).await.unwrap();
    assert_eq!(friend.get_data("/guarded-by-us/openmldb/table/term").await.unwrap().0, b"1003");
    let ours = friend.check_stat("/guarded-by-us/openmldb/openmldb-ops/lock").await.unwrap();
    assert!(ours.is_none(), "the lock is released");
    delete_all(&friend, "/guarded-by-us").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_another_run_is_at_work_nothing_is_put_back() {
    needs_zookeeper!();
    let server = ZooKeeperServer::shared().await;
    small(&server, "/held").await;
    let place = Place::of(&server, "/held");
    let file = place.home.file("metadata.json");
    place.run(&["metadata", "backup", "-o", &file]).expect(0);
    let client = server.client().await;
    client.delete("/held/table/term", None).await.unwrap();
    let holder =
        json!({"run": "1795341600000-0", "host": "elsewhere", "pid": 7, "command": "openmldb-ops recover --all"});
    let ephemeral = CreateMode::Ephemeral.with_acls(Acls::anyone_all());
    server.create(&[("/held/openmldb-ops", "")]).await;
    client.create("/held/openmldb-ops/lock", holder.to_string().as_bytes(), &ephemeral).await.unwrap();
    let held = place.run(&["metadata", "restore", &file, "--raise-counters", "0"]).expect(6);
    assert!(held.stderr.contains("run 1795341600000-0 on elsewhere"), "{}", held.stderr);
    assert!(place.tree().await.get("table/term").is_none());
}

/// Beside the record of every recovery is what ZooKeeper kept when it began.
#[tokio::test(flavor = "multi_thread")]
async fn a_recovery_saves_the_metadata_beside_its_record() {
    needs_zookeeper!();
    let server = ZooKeeperServer::shared().await;
    let place = Place::of(&server, "/beside");
    let harness = place.cluster(Scenario::EverythingRestarted).await;
    let before = place.tree().await;
    let recovered = place.json(&["recover", "--all"]).expect(0);
    let record = recovered.events().into_iter().find(|event| event["event"] == "recorded").unwrap();
    let record = record["path"].as_str().unwrap().to_owned();
    let beside = record.replace(".jsonl", ".metadata.json");
    let saved = metadata::read(beside.as_ref()).unwrap();
    assert_eq!(saved.tree.text("config/auto_failover"), Some("true"), "as it was before the first change");
    assert_eq!(saved.tree.len(), before.len());
    assert!(saved.is_consistent());
    let told = place.home.run(&["record", "show"]).expect(0).stdout;
    assert!(told.contains("the metadata in ZooKeeper (") && told.contains(".metadata.json"), "{told}");
    assert_eq!(place.home.records().len(), 1, "it is no record");
    place.home.run(&["metadata", "check", &beside]).expect(0);
    harness.stop().await;
}

/// A lock whose ZooKeeper does not let the metadata be read.
struct Unreadable(InMemoryLock);

impl Lock for Unreadable {
    fn acquire<'a>(&'a self, holder: &'a Holder) -> LockFuture<'a, ()> {
        self.0.acquire(holder)
    }

    fn hold(&self) -> watch::Receiver<Hold> {
        self.0.hold()
    }

    fn holder(&self) -> LockFuture<'_, Option<Holder>> {
        self.0.holder()
    }

    fn release(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        self.0.release()
    }

    fn note(&self) -> LockFuture<'_, Option<Note>> {
        self.0.note()
    }

    fn write_note<'a>(&'a self, note: Option<&'a Note>) -> LockFuture<'a, ()> {
        self.0.write_note(note)
    }

    fn metadata(&self) -> LockFuture<'_, Option<MetadataSeen>> {
        Box::pin(std::future::ready(Err(LockError::Text { seen: "it is locked away".to_owned() })))
    }
}

#[tokio::test(start_paused = true)]
async fn metadata_that_cannot_be_saved_stop_no_recovery() {
    let harness = Harness::in_memory(Scenario::EverythingRestarted).await;
    let run = harness.run_with(Setup { lock: Arc::new(Unreadable(InMemoryLock::default())), ..Setup::new() }).await;
    assert_eq!(run.recovered.summary.verdict, Verdict::Recovered);
    let said =
        run.events.iter().any(|event| matches!(event, Event::Note { text } if text.contains("it is locked away")));
    assert!(said, "{:?}", run.events);
    assert_eq!(harness.records.count(), 1, "the record, and nothing beside it");
}
