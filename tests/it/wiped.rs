//! A root path emptied so that a backup can be restored there: what `openmldb-ops metadata wipe` promises, against a real ZooKeeper.

use std::sync::Arc;

use openmldb_ops::cluster::{LockNodes, ZooKeeper};
use openmldb_ops::metadata::{self, Backup};
use openmldb_ops::model::MetadataTree;
use openmldb_ops::operate::{Wipe, WipeError, Wiped, wiped_id};
use openmldb_ops::run::{Archive, Caller, Directory, MemoryArchive, RecordedRun, Stop, WorkSession};
use serde_json::json;
use zookeeper_client::{Acls, CreateMode};

use crate::metadata::{Place, begun_anew, last, small};
use crate::put_back::{Deed, Meanwhile};
use crate::support::process::Home;
use crate::support::zookeeper::{ZooKeeperServer, needs_zookeeper};

/// ZooKeeper has lost everything, and a nameserver was started before anybody knew: it has begun a new cluster. Nothing else than
/// this program is needed to get the old one back.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_nameserver_began_anew_is_saved_and_deleted_and_the_old_cluster_comes_back() {
    needs_zookeeper!();
    let mut server = ZooKeeperServer::start().await;
    let place = Place::of(&server, "/anew/openmldb");
    let (harness, file) = begun_anew(&mut server, &place).await;
    let refused = place.run(&["metadata", "restore", &file]).expect(5).stderr;
    assert!(refused.contains("`openmldb-ops metadata wipe --dry-run --zk-cluster"), "{refused}");

    // As long as servers are registered it is not even said what would go.
    let before = place.tree().await;
    let in_use = place.run(&["metadata", "wipe", "--dry-run"]).expect(5).stderr;
    assert!(in_use.contains("nothing was deleted: ") && in_use.contains("servers are registered"), "{in_use}");
    assert!(in_use.contains("stop every server of the cluster"), "{in_use}");
    assert_eq!(place.tree().await.len(), before.len());

    harness.world(|world| world.kill_everything());
    while !place.seen().await.of_sessions.is_empty() {}
    let dry = last(&place.json(&["metadata", "wipe", "--dry-run"]).expect(0));
    let there = place.tree().await;
    assert_eq!((&dry["event"], &dry["nodes"]), (&json!("metadata_wiped"), &json!(there.len())));
    assert_eq!((&dry["dry_run"], &dry["saved"]), (&json!(true), &json!(null)));
    let id = dry["id"].as_str().unwrap();
    let text = place.run(&["metadata", "wipe", "--dry-run"]).expect(0).stdout;
    assert!(text.contains("  would delete table/term\n"), "{text}");
    let typed = format!(
        "`openmldb-ops metadata wipe --accept {id} --zk-cluster {} --zk-root-path {}",
        place.servers, place.root
    );
    assert!(text.contains(&typed), "it can be pasted: {text}");
    assert_eq!(place.tree().await, there, "a dry run deletes nothing");
    assert!(place.home.records().is_empty(), "{:?}", place.home.records());

    let wiped = last(&place.json(&["metadata", "wipe", "--accept", id]).expect(0));
    assert_eq!((&wiped["dry_run"], &wiped["deleted"]), (&json!(false), &dry["deleted"]));
    place.home.run(&["record", "prune", "--keep", "0"]).expect(0);
    let none = place.home.run(&["record", "show", "--partition", "shop.orders/0"]).expect(2).stderr;
    assert!(none.contains("the run was about no table"), "{none}");
    assert!(place.tree().await.is_empty());
    let saved = wiped["saved"].as_str().unwrap();
    assert_eq!(metadata::read(saved.as_ref()).unwrap().tree, there, "it is all there");
    let told = place.home.run(&["record", "show"]).expect(0).stdout;
    assert!(
        told.contains("metadata wipe") && told.contains(saved) && told.contains("end: reached, exit code 0"),
        "{told}"
    );
    let nothing = place.run(&["metadata", "wipe", "--accept", id]).expect(0).stdout;
    assert!(nothing.contains("holds nothing"), "{nothing}");

    place.json(&["metadata", "restore", &file]).expect(0);
    harness.world(|world| world.start_everything());
    harness.until("a nameserver leads", |world| world.leader().is_some()).await;
    assert_eq!(place.json(&["recover", "--all"]).expect(0).summary()["verdict"], "recovered");
    let rows = harness.settle();
    assert_eq!((rows.rows_after, rows.partitions_with_two_alive_leaders), (rows.rows_expected, 0));
    assert!(rows.rows_expected > 100, "only {}", rows.rows_expected);
    harness.stop().await;
}

/// Nothing goes that was not accepted as it is, and nothing that somebody may use.
#[tokio::test(flavor = "multi_thread")]
async fn only_what_was_accepted_is_deleted_and_only_where_nobody_uses_it() {
    needs_zookeeper!();
    let server = ZooKeeperServer::shared().await;
    small(&server, "/wiped").await;
    let (place, client) = (Place::of(&server, "/wiped"), server.client().await);
    let whole = place.tree().await;
    let id = |place: &Place<'_>| {
        let line = last(&place.json(&["metadata", "wipe", "--dry-run"]).expect(0));
        line["id"].as_str().unwrap().to_owned()
    };
    let refuses = |code: i32, id: &str, why: &str| {
        let ran = place.run(&["metadata", "wipe", "--accept", id]).expect(code);
        assert!(ran.stderr.contains(why) && ran.stderr.contains("hint: "), "{}", ran.stderr);
    };
    // Not accepted, and not as it was accepted.
    place.run(&["metadata", "wipe"]).expect(2);
    let accepted = id(&place);
    refuses(5, "0123456789abcdef", "0123456789abcdef was accepted, but the root path now holds");
    client.set_data("/wiped/table/term", b"4", None).await.unwrap();
    refuses(5, &accepted, "was accepted, but the root path now holds");
    client.set_data("/wiped/table/term", b"3", None).await.unwrap();
    assert_eq!(id(&place), accepted, "the same content has the same id");

    // Used: by a server, by others, by another run.
    let ephemeral = || CreateMode::Ephemeral.with_acls(Acls::anyone_all());
    let registered = server.client().await;
    registered.create("/wiped/nodes/a:1", b"", &ephemeral()).await.unwrap();
    refuses(5, &accepted, "a server is registered (nodes/a:1)");
    client.delete("/wiped/nodes/a:1", None).await.unwrap();
    server.create(&[("/wiped/brokers", "")]).await;
    refuses(5, &accepted, "what is not OpenMLDB's (brokers)");
    client.delete("/wiped/brokers", None).await.unwrap();
    let holder = json!({"run": "1795341600000-0", "host": "elsewhere", "pid": 7, "command": "openmldb-ops guard"});
    server.create(&[("/wiped/openmldb-ops", "")]).await;
    client.create("/wiped/openmldb-ops/lock", holder.to_string().as_bytes(), &ephemeral()).await.unwrap();
    refuses(6, &accepted, "run 1795341600000-0 on elsewhere");
    client.delete("/wiped/openmldb-ops/lock", None).await.unwrap();
    assert_eq!(place.tree().await, whole);

    // A registration that no session holds goes, too, and is in no backup.
    server.create(&[("/wiped/nodes/b:1", "b:1")]).await;
    let ran = last(&place.json(&["metadata", "wipe", "--accept", &id(&place)]).expect(0));
    assert!(place.tree().await.is_empty());
    let saved = ran["saved"].as_str().unwrap().to_owned();
    place.run(&["metadata", "restore", &saved, "--raise-counters", "0"]).expect(0);
    assert_eq!(place.tree().await, whole);
    let checked = last(&place.json(&["metadata", "check"]).expect(0));
    assert_eq!(checked["findings"], 0);
}

/// What `metadata check` finds and what takes no decision is repaired on the way.
#[tokio::test]
async fn contradictions_are_repaired_as_the_hints_say() {
    needs_zookeeper!();
    let server = ZooKeeperServer::shared().await;
    small(&server, "/repaired").await;
    server.create(&[("/repaired/op/op_data/5", "no op"), ("/repaired/table/db_table_data/9", "no table")]).await;
    server.create(&[("/repaired/nodes/gone:1", "gone:1")]).await;
    let client = server.client().await;
    client.set_data("/repaired/table/term", b"many", None).await.unwrap();
    let place = Place::of(&server, "/repaired");
    let codes = |events: &[serde_json::Value]| -> Vec<String> {
        events.iter().filter_map(|line| Some(line["code"].as_str()?.to_owned())).collect()
    };
    let found = place.json(&["metadata", "check"]).expect(3).events();
    assert_eq!(codes(&found), ["bad_counter", "beyond_counter", "bad_table", "bad_op", "dead_registration"]);
    let hints = found.iter().filter_map(|line| line["hint"].as_str());
    assert!(hints.clone().count() == 5 && hints.clone().all(|hint| hint.contains("`openmldb-ops metadata ")));

    let file = place.home.file("metadata.json");
    place.run(&["metadata", "backup", "-o", &file]).expect(0);
    let dry = last(&place.json(&["metadata", "wipe", "--dry-run"]).expect(0));
    place.run(&["metadata", "wipe", "--accept", dry["id"].as_str().unwrap()]).expect(0);
    let nothing = place.run(&["metadata", "restore", &file, "--leave-out", "table/9"]).expect(2).stderr;
    assert!(nothing.contains("the backup has no node table/9"), "{nothing}");
    let restore = ["metadata", "restore", &file, "--repair", "--leave-out", "table/db_table_data/9"];
    let would = place.run(&[&restore[..], &["--dry-run"]].concat()).expect(0).stdout;
    for said in [
        "op/op_data/5 is left out.",
        "op/op_index is set to 5, the largest number in use.",
        "table/db_table_data/9 is left out.",
    ] {
        assert!(would.contains(said), "{said}: {would}");
    }
    let restored = last(&place.json(&restore).expect(0));
    assert_eq!(restored["findings"], json!([]));
    let tree = place.tree().await;
    assert_eq!((tree.text("op/op_index"), tree.text("table/term")), (Some("1005"), Some("1001")));
    assert!(!tree.contains("op/op_data/5") && !tree.contains("table/db_table_data/9"));
    place.run(&["metadata", "check"]).expect(0);
}

/// How wiping ended, how its record says that it did, and what is there then.
struct Ended {
    done: Result<Wiped, WipeError>,
    verdict: Option<String>,
    there: MetadataTree,
}

async fn wipe(server: &ZooKeeperServer, root: &str, before: usize, deed: Deed, archive: Arc<dyn Archive>) -> Ended {
    let (lock, stop) = Meanwhile::of(server, root, before, deed).await;
    let session = WorkSession {
        cluster_name: "a test".to_owned(),
        archive: archive.clone(),
        caller: Caller::default(),
        lock: lock.clone(),
        pace: 1.0,
        listener: Arc::new(|_| {}),
        stop,
        record: Arc::default(),
        now_ms: 1,
    };
    let zookeeper = ZooKeeper::connect(server.address(), root.to_owned(), None).await.unwrap();
    let accepted = wiped_id("a test", &zookeeper.metadata().await.unwrap().tree);
    let nodes = Arc::new(LockNodes::new(server.address(), root, None).unwrap());
    let done = Wipe { accepted, session, nodes }.perform(&zookeeper).await;
    assert_eq!(lock.released(), 1, "the lock is released, {deed:?}");
    let run = archive.runs().unwrap().last().copied();
    let verdict = run.map(|run| RecordedRun::read(archive.read(run).unwrap()).unwrap().verdict().unwrap().to_owned());
    Ended { done, verdict, there: zookeeper.metadata().await.unwrap().tree }
}

/// A tree that goes in one transaction.
const NODES: [&str; 5] = ["config/auto_failover", "leader", "nodes", "table/table_index", "table/term"];

/// Whatever comes between, either everything goes or nothing does: nobody finds a part of it.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_comes_between_all_of_it_goes_or_nothing_does() {
    needs_zookeeper!();
    let server = ZooKeeperServer::shared().await;
    let deeds = [
        (Deed::Registered, "failed", Stop::No, "nodes has a child"),
        (Deed::Created("table/other", ""), "failed", Stop::No, "table has a child"),
        (Deed::ToldToStop, "interrupted", Stop::Signal(15), "it was stopped"),
        (Deed::LockLost, "interrupted", Stop::LockLost, "the lock was lost"),
    ];
    for (number, (deed, ends, stopped, seen)) in deeds.into_iter().enumerate() {
        let (home, root) = (Home::new(), format!("/between-{number}"));
        let nodes = NODES.map(|path| format!("{root}/{path}"));
        server.create(&nodes.iter().map(|path| (path.as_str(), "1")).collect::<Vec<_>>()).await;
        let kept: Arc<dyn Archive> = Arc::new(Directory(home.file("kept").into()));
        let whole =
            ZooKeeper::connect(server.address(), root.clone(), None).await.unwrap().metadata().await.unwrap().tree;
        let ended = wipe(&server, &root, 1, deed, kept).await;
        let Err(WipeError::Unfinished { gone, of, why, saved, stop }) = &ended.done else {
            panic!("{deed:?}: {:?}", ended.done)
        };
        assert_eq!((*gone, *of, *stop, ended.verdict.as_deref()), (0, whole.len(), stopped, Some(ends)), "{deed:?}");
        assert!(why.contains(seen), "{deed:?}: {why}");
        assert!(whole.nodes().all(|(path, data)| ended.there.get(path) == Some(data)), "{deed:?}");
        let Backup { tree, .. } = metadata::read(saved.as_ref()).unwrap();
        assert_eq!(tree, whole, "{deed:?}");
    }
}

/// What cannot be saved stays.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_copy_nothing_is_deleted() {
    needs_zookeeper!();
    let server = ZooKeeperServer::shared().await;
    server.create(&NODES.map(|path| format!("/uncopied/{path}")).each_ref().map(|path| (path.as_str(), "1"))).await;
    let ended = wipe(&server, "/uncopied", 0, Deed::Nothing, Arc::new(MemoryArchive::default())).await;
    assert!(matches!(ended.done, Err(WipeError::NotSaved { .. })), "{:?}", ended.done);
    assert_eq!((ended.verdict.as_deref(), ended.there.len()), (Some("failed"), 7));
}

/// Of more than ZooKeeper takes at once a part is gone when a server is started. That is said, with where all of it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_starts_half_way_is_noticed() {
    needs_zookeeper!();
    let server = ZooKeeperServer::shared().await;
    let long = "x".repeat(400);
    for (root, before) in [("/halfway", 2), ("/at-the-end", 0)] {
        let home = Home::new();
        let names: Vec<String> = (0..700).map(|id| format!("{root}/op/op_data/{id}{long}")).collect();
        let nodes = NODES.map(|path| format!("{root}/{path}"));
        let all = nodes.iter().chain(&names).map(|path| (path.as_str(), "1"));
        server.create(&all.collect::<Vec<_>>()).await;
        let kept: Arc<dyn Archive> = Arc::new(Directory(home.file("kept").into()));
        let ended = wipe(&server, root, before, Deed::Started, kept).await;
        match (before, ended.done) {
            (0, Ok(wiped)) => assert_eq!((wiped.tree.len(), ended.there.len()), (709, 0)),
            (2, Err(WipeError::Unfinished { gone, of, why, saved, .. })) => {
                assert!(0 < gone && gone < of && of == 709, "{gone} of {of}");
                assert!(why.contains("a server was started meanwhile, which created nodes"), "{why}");
                assert_eq!(metadata::read(saved.as_ref()).unwrap().tree.len(), of);
            }
            (before, done) => panic!("{before}: {done:?}"),
        }
    }
}
