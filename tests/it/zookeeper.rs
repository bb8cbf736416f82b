//! Clusters that are found through a real ZooKeeper, by a process that knows nothing else.

use std::collections::BTreeSet;

use openmldb_ops::sandbox::scenario::Scenario;
use openmldb_ops::sandbox::{Options, ZooKeeperPath};
use serde_json::{Value, json};

use crate::support::harness::Harness;
use crate::support::outside::orders;
use crate::support::process::{Home, PATIENCE, Ran, Running};
use crate::support::zookeeper::{ZooKeeperServer, needs_zookeeper};

/// A sandbox in a process of its own, registered under `root`.
fn serve(home: &Home, server: &ZooKeeperServer, root: &str, scenario: &str, more: &[&str]) -> (Running, Value) {
    let address = server.address();
    let serve = ["sandbox", "serve", "--scenario", scenario, "--zk-cluster", &address, "--zk-root-path", root];
    let mut sandbox = home.start(&[&serve[..], &["--nameservers", "2", "--output", "json"], more].concat());
    let ready: Value = serde_json::from_str(&sandbox.wait_for_line(|_| true)).unwrap();
    assert_eq!(ready["event"], "ready");
    assert_eq!(ready["zk_root_path"], root);
    (sandbox, ready)
}

fn check_recovered(ran: Ran) {
    let summary = ran.expect(0).summary();
    assert_eq!(summary["verdict"], "recovered");
    assert_eq!(summary["auto_failover"], json!({"before": true, "after": true, "held_for": []}));
}

/// Recovers in a process that is told no more than `reach` and its environment; then looks.
fn recover_and_look(home: &Home, reach: &[&str]) {
    let run = |command: &[&str]| home.run(&[command, reach, &["--output", "json"]].concat());
    run(&["status"]).expect(3);
    check_recovered(run(&["recover", "--all"]));
    assert_eq!(run(&["status"]).expect(0).summary()["verdict"], "healthy");
    let again = run(&["recover", "--all"]).expect(0).summary();
    assert_eq!((&again["verdict"], &again["rpc"]["mutations"]), (&json!("healthy"), &json!(0)));
    assert_eq!(home.records().len(), 1, "one run that changed something, one record");
}

#[tokio::test]
async fn a_separate_process_that_knows_only_zookeeper_recovers_a_cluster() {
    needs_zookeeper!();
    let server = ZooKeeperServer::shared().await;
    let (home, address, root) = (Home::new(), server.address(), "/recovered/openmldb");
    let (sandbox, _) = serve(&home, &server, root, "everything-restarted", &[]);
    recover_and_look(&home, &["--zk-cluster", &address, "--zk-root-path", root]);
    sandbox.signal("INT");
    sandbox.end().expect(0);
    let gone = home.run(&["status", "--zk-cluster", &address, "--zk-root-path", root]).expect(1);
    assert!(gone.stderr.contains("has no /recovered/openmldb: is the root path right?"), "{}", gone.stderr);
}

#[tokio::test]
async fn as_openmldb_spells_it() {
    needs_zookeeper!();
    let server = ZooKeeperServer::shared().await;
    let (home, root) = (Home::new(), "/spelled");
    let (_sandbox, _) = serve(&home, &server, root, "everything-restarted", &[]);
    let cluster = format!("--zk_cluster={}", server.address());
    recover_and_look(&home, &[&cluster, "--zk_root_path=/spelled"]);
}

#[tokio::test]
async fn from_the_environment() {
    needs_zookeeper!();
    let server = ZooKeeperServer::shared().await;
    let root = "/environment";
    let home = Home::new().with("OPENMLDB_ZK_CLUSTER", &server.address()).with("OPENMLDB_ZK_ROOT_PATH", root);
    let (_sandbox, _) = serve(&home, &server, root, "everything-restarted", &[]);
    recover_and_look(&home, &[]);
}

/// Word for word what `sbin/start-all.sh` puts together, and the script's other command lines.
#[tokio::test]
async fn in_the_words_of_openmldbs_script() {
    needs_zookeeper!();
    let server = ZooKeeperServer::shared().await;
    let (home, root) = (Home::new(), "/scripted");
    let (_sandbox, _) = serve(&home, &server, root, "everything-restarted", &[]);
    let reach = [&format!("--zk_cluster={}", server.address()), "--zk_root_path=/scripted"];
    let script = |more: &[&str]| home.run(&[&["--openmldb_bin_path=./bin/openmldb"], &reach[..], more].concat());
    let recovered = script(&["--cmd=recoverdata"]).expect(0);
    let ours = format!("openmldb-ops recover --all --zk-cluster {} --zk-root-path {root}\n", server.address());
    assert!(
        recovered.stderr.contains(&format!("openmldb_ops.py's command line; instead, run: {ours}")),
        "{recovered:?}"
    );
    let said = recovered.stdout.lines().nth(1).unwrap();
    assert!(said.starts_with("Recovered"), "{}", recovered.stdout);
    let databases = |filter: &str| {
        let shown = script(&["--cmd=showtablestatus", filter]).expect(0).stdout;
        let names = shown.lines().skip(1).filter_map(|line| line.split_once('.')).map(|(db, _)| db.to_owned());
        names.collect::<BTreeSet<String>>()
    };
    assert_eq!(databases("--filter=sho_"), BTreeSet::from(["shop".to_owned()]), "databases are filtered, not tables");
    assert!(databases("--filter=%").len() > 1);
    let done = script(&["--cmd=showopstatus", "--db=shop", "--filter=kDone"]).expect(0).stdout;
    assert!(done.contains("kReAddReplica") && !done.contains("failed"), "{done}");
    for refused in [&["--cmd=recoverall"][..], &["--cmd=scalein"], &["--cmd=pre-upgrade", "--endpoints=a:1,b:1"]] {
        assert_eq!(script(refused).expect(2).stdout, "");
    }
}

/// Below a directory that OpenMLDB was deployed to, by a file of flags, by a name, in a word: the same cluster.
#[tokio::test]
async fn from_openmldbs_own_files_and_by_name() {
    needs_zookeeper!();
    let server = ZooKeeperServer::shared().await;
    let (home, address, root) = (Home::new(), server.address(), "/deployed");
    let (_sandbox, _) = serve(&home, &server, root, "everything-restarted", &[]);
    let flags = format!(
        "--endpoint=10.0.0.1:7527\n# --zk_cluster=127.0.0.1:1\n--zk_cluster={address}\n--zk_root_path={root}\n"
    );
    let profile = format!("clusters:\n  prod: {{zk_cluster: '{address}', zk_root_path: {root}}}\n");
    let (flags, profile) = (home.write("ns.flags", &flags), home.write("clusters.yaml", &profile));
    let home = home.with("OPENMLDB_OPS_CONFIG", &profile);
    let word = format!("{address}{root}");
    for reach in [&["--flagfile", &flags][..], &["--cluster", "prod"], &["-c", &word]] {
        assert_eq!(home.run(&[&["status"], reach].concat()).expect(3).stderr, "");
    }
    std::fs::create_dir(home.file("conf")).unwrap();
    std::fs::copy(&flags, home.file("conf/nameserver.flags")).unwrap();
    let found = home.run(&["status"]).expect(3);
    assert_eq!(found.stderr, format!("note: using cluster {address} from --zk_cluster in conf/nameserver.flags\n"));
    // What it says is to be typed next reaches the same cluster from anywhere.
    let next = found.stdout.lines().find_map(|line| line.trim().strip_prefix("next: openmldb-ops ")).unwrap();
    assert_eq!(next, format!("recover --all --dry-run --zk-cluster {address} --zk-root-path {root}"));
    let elsewhere = Home::new().with("OPENMLDB_ZK_CLUSTER", "127.0.0.1:1").with("OPENMLDB_ZK_ROOT_PATH", "/other");
    let next: Vec<&str> = next.split(' ').collect();
    assert!(elsewhere.run(&next).expect(0).stdout.contains("12 partitions"));
}

#[tokio::test]
async fn servers_that_go_by_names() {
    needs_zookeeper!();
    let server = ZooKeeperServer::shared().await;
    let (home, address, root) = (Home::new(), server.address(), "/served-by-name");
    let (_sandbox, _) = serve(&home, &server, root, "server-names", &[]);
    recover_and_look(&home, &["--zk-cluster", &address, "--zk-root-path", root]);
}

fn refused(server: &ZooKeeperServer, root: &str) -> String {
    let (home, address) = (Home::new(), server.address());
    let recover = ["recover", "--all", "--leader-wait", "1", "--zk-cluster", &address, "--zk-root-path", root];
    let ran = home.run(&recover).expect(1);
    assert_eq!(ran.stdout, "");
    assert!(home.left_behind().is_empty());
    ran.stderr.replace(&address, "ZOOKEEPER")
}

#[tokio::test]
async fn where_no_cluster_is() {
    needs_zookeeper!();
    let server = ZooKeeperServer::shared().await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let leader = "/closed/leader/lock_request0000000001";
    server.create(&[("/nobody/leader", ""), ("/other/thing", ""), (leader, &closed)]).await;
    let wrong = "error: ZooKeeper at ZOOKEEPER has no /other/cluster: is the root path right? Under /other there is: thing.\nhint: --zk-root-path PATH, as in OpenMLDB's flag zk_root_path\n";
    assert_eq!(refused(&server, "/other/cluster"), wrong);
    let nobody = refused(&server, "/nobody");
    let registered = "no nameserver is registered under /nobody/leader at ZooKeeper ZOOKEEPER: is a nameserver of this cluster running?";
    assert!(nobody.contains(&format!("waiting up to 1s for the leading nameserver: {registered}")), "{nobody}");
    assert!(nobody.contains(&format!("error: {registered}\nhint: start tablets first, then a nameserver")), "{nobody}");
    let port = refused(&server, "/closed").replace(&closed, "NAMESERVER");
    let closed =
        "error: the leading nameserver is NAMESERVER, but it could not be reached within 1s: connection refused";
    assert!(port.contains(closed), "{port}");
}

#[tokio::test]
async fn nobody_reads_without_credentials() {
    needs_zookeeper!();
    use zookeeper_client::{Acls, Client, CreateMode};
    let server = ZooKeeperServer::shared().await;
    let client = Client::connector().with_auth("digest", b"operator:hunter2");
    let client = client.connect(&server.address()).await.unwrap();
    for path in ["/locked", "/locked/leader"] {
        client.create(path, b"", &CreateMode::Persistent.with_acls(Acls::creator_all())).await.unwrap();
    }
    let wanted = "error: ZooKeeper does not let us read /locked/leader: it requires credentials (OpenMLDB's flag \
        zk_cert): give them in OPENMLDB_ZK_CERT or in a file\nhint: give user:password in OPENMLDB_ZK_CERT or \
        --zk-cert-file\n";
    assert_eq!(refused(&server, "/locked"), wanted);
    let (home, address) = (Home::new().with("OPENMLDB_ZK_CERT", "operator:hunter3"), server.address());
    let status = ["status", "-vvv", "--zk-cluster", &address, "--zk-root-path", "/locked"];
    let wrong = home.run(&status).expect(1);
    assert!(wrong.stderr.contains("it does not accept the credentials given"), "{}", wrong.stderr);
    assert!(!wrong.stderr.contains("hunter"), "{}", wrong.stderr);
    let home = home.with("OPENMLDB_ZK_CERT", "operator:hunter2");
    let right = home.run(&status).expect(1);
    assert!(right.stderr.contains("no nameserver is registered under /locked/leader"), "{}", right.stderr);
}

/// The nameserver dies in the middle of a run; its standby takes over, and the run with it.
#[tokio::test(flavor = "multi_thread")]
async fn the_nameserver_fails_over_during_the_run() {
    needs_zookeeper!();
    let server = ZooKeeperServer::shared().await;
    let root = "/failing-over";
    let at = ZooKeeperPath { servers: server.address(), root: root.to_owned(), digest: None };
    let options = Options { zookeeper: Some(at), nameservers: 2, ..Options::default() };
    let harness = Harness::start_with(Scenario::EverythingRestarted, &options).await;
    let orders = harness.world(|world| orders(world, 0));
    harness.hold_at_partition("RecoverTable", orders);
    let (home, address) = (Home::new(), server.address());
    let run = ["recover", "--all", "--output", "json", "--zk-cluster", &address, "--zk-root-path", root];
    let mut run = home.start(&run);
    let mut run = tokio::task::spawn_blocking(move || {
        run.wait_for_progress(|line| line.starts_with("shop.orders/0: serving after "));
        run
    })
    .await
    .unwrap();
    let first = harness.world(|world| world.leader().unwrap());
    harness.world(|world| world.kill_nameserver(&first));
    let run = tokio::task::spawn_blocking(move || {
        run.wait_for_progress(|line| line.contains("waiting up to") && line.contains("for the leading nameserver"));
        run
    });
    let run = run.await.unwrap();
    // Only now can the standby take over.
    harness.release();
    check_recovered(tokio::task::spawn_blocking(move || run.end()).await.unwrap());
    let second = harness.world(|world| world.leader().unwrap());
    assert_ne!(second, first);
    let rows = harness.settle();
    assert_eq!((rows.rows_after, rows.partitions_with_two_alive_leaders), (rows.rows_expected, 0));
    harness.stop().await;
}

/// ZooKeeper dies in the middle of a run, and stays dead: nobody knows any more whether another run is at work. The run
/// sends nothing more, ends all the same, and restores auto_failover.
#[tokio::test(flavor = "multi_thread")]
async fn zookeeper_is_gone_during_the_run() {
    needs_zookeeper!();
    let mut server = ZooKeeperServer::start().await;
    let (home, address, root) = (Home::new(), server.address(), "/going");
    let at = ZooKeeperPath { servers: server.address(), root: root.to_owned(), digest: None };
    let options = Options { zookeeper: Some(at), ..Options::default() };
    let harness = Harness::start_with(Scenario::EverythingRestarted, &options).await;
    let orders = harness.world(|world| orders(world, 0));
    harness.hold_at_partition("RecoverTable", orders);
    let run = ["recover", "--all", "--output", "json", "--zk-cluster", &address, "--zk-root-path", root];
    let mut run = home.start(&run);
    run.wait_for_progress(|line| line.starts_with("shop.orders/0: serving after "));
    server.kill();
    let began = std::time::Instant::now();
    let ran = run.end().expect(6);
    assert!(began.elapsed() < PATIENCE);
    assert_eq!(ran.summary()["auto_failover"], json!({"before": true, "after": true, "held_for": []}));
    let nameserver = harness.sandbox().nameserver_address().unwrap().to_string();
    harness.release();
    let gone = home.run(&["status", "--zk-cluster", &address, "--zk-root-path", root]).expect(1);
    assert!(gone.stderr.starts_with("error: no ZooKeeper server listens: "), "{}", gone.stderr);
    check_recovered(home.run(&["recover", "--all", "--output", "json", "--nameserver", &nameserver]));
}
