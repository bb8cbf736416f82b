//! A guard as a process, on clusters in a real ZooKeeper: power goes and comes back, and nobody types anything.

use openmldb_ops::cluster::{DiscoveryError, Standing};
use openmldb_ops::guard::{Attempt, Decision, Limits, Now, Post, Posting, Seen, Undertakings, Unshared, Watch};
use openmldb_ops::playbook::Playbook;
use openmldb_ops::run::{Caller, Case, InMemoryLock, MemoryArchive, RecoverError, Runs, Scope, Selector, Stop};
use openmldb_ops::sandbox::scenario::{Generated, Scenario, Shape};
use openmldb_ops::sandbox::{Options, ZooKeeperPath};
use serde_json::{Value, json};

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::support::harness::{Harness, Setup};
use crate::support::outside::{assert_all_well, auto_failover};
use crate::support::patience::Patience;
use crate::support::process::{Home, Ran, Running};
use crate::support::wire::Wire;
use crate::support::zookeeper::{ZooKeeperServer, needs_zookeeper};

/// A cluster found through ZooKeeper.
struct Served {
    harness: Harness,
    servers: String,
    root: &'static str,
}

impl Served {
    async fn start(server: &ZooKeeperServer, root: &'static str, scenario: Scenario) -> Self {
        let generated = Generated { tables: 2, partitions: 2, replicas: 2, rows: 20 };
        Self::of(server, root, scenario, (3, generated)).await
    }

    async fn of(
        server: &ZooKeeperServer,
        root: &'static str,
        scenario: Scenario,
        (tablets, generated): (usize, Generated),
    ) -> Self {
        let servers = server.address();
        let at = ZooKeeperPath { servers: servers.clone(), root: root.to_owned(), digest: None };
        let shape = Shape { tablets, generated: Some(generated), ..Shape::default() };
        let options = Options { shape, zookeeper: Some(at), ..Options::default() };
        Self { harness: Harness::start_with(scenario, &options).await, servers, root }
    }

    fn words<'a>(&'a self, command: &[&'a str]) -> Vec<&'a str> {
        [command, &["--output", "json", "--zk-cluster", &self.servers, "--zk-root-path", self.root]].concat()
    }

    /// A guard that is in a hurry.
    fn guard(&self, home: &Home, more: &[&str]) -> Running {
        let usual = ["guard", "--every", "200ms", "--boot-wait", "3s"];
        let nowhere: &[&str] = if more.contains(&"--listen") { &[] } else { &["--listen", "none"] };
        home.start(&self.words(&[&usual, nowhere, more].concat()))
    }

    fn run(&self, home: &Home, command: &[&str]) -> Ran {
        home.run(&self.words(command))
    }

    /// Power goes everywhere, and comes back.
    fn restarts(&self) {
        self.harness.world(|world| {
            world.kill_everything();
            world.start_everything();
        });
    }

    /// Every row is there, and everything serves.
    fn is_whole(&self) {
        let rows = self.harness.settle();
        assert_eq!(rows.rows_after, rows.rows_expected);
        assert_eq!(rows.partitions_with_two_alive_leaders, 0);
        self.harness.world(|world| {
            assert_all_well(world);
            assert!(auto_failover(world));
        });
    }
}

/// What a guard answers over HTTP: the status, and the text.
fn asked(port: u16, path: &str) -> (u16, String) {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
}

/// Probes are answered as the manifest has them, and whatever alerts and the dashboard ask for is told.
fn is_seen_from_outside(port: u16) {
    let manifest = include_str!("../../packaging/guard/kubernetes.yaml");
    let probes: Vec<&str> =
        manifest.split("httpGet: {path: ").skip(1).map(|rest| rest.split(',').next().unwrap()).collect();
    assert_eq!(probes, ["/healthz", "/readyz"]);
    for probe in probes {
        assert_eq!(asked(port, probe).0, 200, "{probe}");
    }
    assert_eq!(asked(port, "/elsewhere").0, 404);
    let (status, told) = asked(port, "/metrics");
    assert_eq!(status, 200);
    let files =
        [include_str!("../../packaging/guard/alerts.yaml"), include_str!("../../packaging/guard/dashboard.json")];
    for asked in files.iter().flat_map(|file| file.split("openmldb_ops_guard_").skip(1)) {
        let name: String = asked.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
        assert!(told.lines().any(|line| line.starts_with(&format!("openmldb_ops_guard_{name}"))), "{name}:\n{told}");
    }
    assert!(told.contains("openmldb_ops_guard_recoveries_total{verdict=\"recovered\"} 1"), "{told}");
}

/// Waits until a guard tells that, and gives the line.
fn tells(guard: &mut Running, state: &str) -> Value {
    let wanted = format!("\"state\":\"{state}\"");
    let line = guard.wait_for_line(|line| line.starts_with("{\"event\":\"guard\"") && line.contains(&wanted));
    serde_json::from_str(&line).unwrap()
}

fn recovered(guard: &mut Running) -> Value {
    let line = tells(guard, "recovered");
    assert_eq!(line["verdict"], "recovered", "{line}");
    line
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_was_killed_under_writers_is_back_without_a_command_typed() {
    needs_zookeeper!();
    let server = ZooKeeperServer::shared().await;
    let home = Home::new();
    let served = Served::start(&server, "/guarded-by-one", Scenario::Healthy).await;
    served.harness.world(|world| world.start_writers(200, 1));
    let saved = home.file("saved");
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let listen = format!("127.0.0.1:{port}");
    let mut guard = served.guard(&home, &["--act", "--metadata-backup", &saved, "--listen", &listen]);
    tells(&mut guard, "well");
    tells(&mut guard, "saved");
    served.restarts();
    let line = recovered(&mut guard);
    let record = std::fs::read_to_string(line["record"].as_str().unwrap()).unwrap();
    assert!(record.lines().next().unwrap().contains("\"by\":\"guard\""), "it is marked");
    tells(&mut guard, "well");
    is_seen_from_outside(port);
    guard.signal("TERM");
    let ended = guard.end().expect(143);
    assert!(!ended.stdout.contains("\"state\":\"asks\""), "{}", ended.stdout);
    assert!(
        ended.stderr.contains("interrupted: no recovery was under way"),
        "it has changed something: {}",
        ended.stderr
    );
    served.is_whole();
    let saved = std::fs::read_dir(saved).unwrap().next().unwrap().unwrap().path();
    assert!(openmldb_ops::metadata::read(&saved).unwrap().is_consistent());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guard_that_is_killed_while_it_acts_is_followed_by_another_one() {
    needs_zookeeper!();
    let server = ZooKeeperServer::shared().await;
    let (home, elsewhere) = (Home::new(), Home::new());
    let served = Served::start(&server, "/guards", Scenario::Healthy).await;
    let mut first = served.guard(&home, &["--act"]);
    tells(&mut first, "well");
    let mut second = served.guard(&elsewhere, &["--act"]);
    tells(&mut second, "stands_by");
    served.harness.hold_at(&["RecoverTable"], 1);
    served.restarts();
    tells(&mut first, "acts");
    first.wait_for_progress(|line| line.contains(": serving after "));
    assert_eq!(elsewhere.records().len(), 0, "one acts");
    first.signal("KILL");
    assert!(!first.ended_by_itself());
    tells(&mut second, "acts");
    served.harness.release();
    recovered(&mut second);
    tells(&mut second, "well");
    second.signal("TERM");
    second.end().expect(143);
    served.is_whole();
}

/// Whoever was faster does it; and a pause has a guard give way.
#[tokio::test(flavor = "multi_thread")]
async fn a_person_comes_first() {
    needs_zookeeper!();
    let server = ZooKeeperServer::shared().await;
    let (home, person) = (Home::new(), Home::new());
    let served = Served::start(&server, "/persons", Scenario::EverythingRestarted).await;
    served.harness.hold_at(&["RecoverTable"], 1);
    let mut guard = served.guard(&home, &["--act"]);
    tells(&mut guard, "acts");
    guard.wait_for_progress(|line| line.contains(": serving after "));
    let refused = served.run(&person, &["recover", "--all"]).expect(6);
    assert!(refused.stderr.contains("guard pause"), "it says how to go first: {}", refused.stderr);
    served.run(&person, &["guard", "pause", "1h", "--why", "new disks"]).expect(0);
    let shorter = served.run(&person, &["guard", "pause", "1m", "--why", "tea"]).expect(5);
    assert!(shorter.stderr.contains("new disks"), "{}", shorter.stderr);
    let stopped = tells(&mut guard, "recovered");
    assert_eq!(stopped["verdict"], "interrupted", "{stopped}");
    let held = tells(&mut guard, "holds_back");
    assert!(held["text"].as_str().unwrap().contains("new disks"), "{held}");
    let status = served.run(&person, &["status"]).expect(3);
    assert!(
        status.stdout.contains("\"case\":\"guard_paused\"") && status.stdout.contains("new disks"),
        "{}",
        status.stdout
    );
    served.harness.release();
    served.run(&person, &["recover", "--all"]).expect(0);
    let resumed = served.run(&person, &["guard", "resume"]).expect(0).events();
    assert_eq!((&resumed[0]["pause"], &resumed[0]["before"]["why"]), (&json!(null), &json!("new disks")));
    let again = served.run(&person, &["guard", "resume"]).expect(0).events();
    assert_eq!(again[0]["before"], json!(null), "no pause is ended twice");
    tells(&mut guard, "well");
    guard.signal("INT");
    guard.end().expect(130);
    assert_eq!(home.records().len(), 1, "it has done nothing more");
    served.is_whole();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_zookeeper_nothing_is_done_and_with_it_everything_is() {
    needs_zookeeper!();
    let server = ZooKeeperServer::shared().await;
    let home = Home::new();
    let wire = Wire::to(&server.address()).await;
    let mut served = Served::start(&server, "/away", Scenario::Healthy).await;
    served.servers = wire.address();
    let mut guard = served.guard(&home, &["--act", "--leader-wait", "1s"]);
    tells(&mut guard, "well");
    wire.is_cut();
    served.restarts();
    tells(&mut guard, "unseen");
    assert_eq!(home.records().len(), 0);
    wire.is_mended();
    recovered(&mut guard);
    tells(&mut guard, "well");
    guard.signal("TERM");
    guard.end().expect(143);
    served.is_whole();
}

/// Longer than any session: the guards' own are over, and power has gone meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_minute_without_zookeeper_one_of_the_guards_brings_everything_back() {
    needs_zookeeper!();
    let mut server = ZooKeeperServer::start().await;
    let (home, elsewhere) = (Home::new(), Home::new());
    let served = Served::start(&server, "/minute", Scenario::Healthy).await;
    let mut first = served.guard(&home, &["--act", "--leader-wait", "1s"]);
    tells(&mut first, "well");
    let mut second = served.guard(&elsewhere, &["--act", "--leader-wait", "1s"]);
    tells(&mut second, "stands_by");
    server.kill();
    let back = tokio::time::Instant::now() + Duration::from_secs(60);
    served.restarts();
    tells(&mut first, "unseen");
    tells(&mut second, "unseen");
    // The minute itself is what is tried.
    tokio::time::sleep_until(back).await;
    let acted = || (home.records().len(), elsewhere.records().len());
    assert_eq!(acted(), (0, 0), "nobody knows who may act");
    server.start_again().await;
    let patience = Patience::with(std::process::id());
    while acted() == (0, 0) {
        assert!(!patience.is_over(), "nobody acts");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (acting, other) = if acted().0 == 1 { (&mut first, &mut second) } else { (&mut second, &mut first) };
    recovered(acting);
    tells(acting, "well");
    tells(other, "stands_by");
    assert_eq!(acted().0 + acted().1, 1, "one acts, once");
    for guard in [first, second] {
        guard.signal("TERM");
        let ended = guard.end().expect(143);
        assert_eq!(ended.stdout.matches("\"state\":\"unseen\"").count(), 1, "once: {}", ended.stdout);
    }
    served.is_whole();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tablet_that_never_comes_back_is_asked_about_once() {
    needs_zookeeper!();
    let server = ZooKeeperServer::shared().await;
    let home = Home::new();
    let served = Served::start(&server, "/missing", Scenario::TabletMissing).await;
    let heard = home.file("heard");
    let listens = format!("echo \"$OPENMLDB_OPS_GUARD_STATE $OPENMLDB_OPS_GUARD_NEXT\" >> {heard}");
    let playbook = home.write("impatient.yaml", &impatient());
    let mut guard = served.guard(&home, &["--act", "--playbook", &playbook, "--on-event", &listens]);
    let ended = tells(&mut guard, "recovered");
    assert_eq!(ended["verdict"], "partial", "{ended}");
    let asked = tells(&mut guard, "asks");
    let next: Vec<&str> = asked["next"].as_array().unwrap().iter().map(|next| next.as_str().unwrap()).collect();
    assert!(
        next.iter().any(|next| next.starts_with("openmldb-ops recover ") && next.contains("--zk-cluster")),
        "{asked}"
    );
    guard.signal("TERM");
    let ended = guard.end().expect(143);
    assert_eq!(ended.stdout.matches("\"state\":\"asks\"").count(), 1, "{}", ended.stdout);
    assert_eq!(home.records().len(), 1, "and nothing is tried in vain");
    let heard = std::fs::read_to_string(Path::new(&heard)).unwrap();
    assert!(heard.contains("recovered ") && heard.contains("asks start "), "{heard}");
}

/// The default playbook, without the time for tablets that are away.
fn impatient() -> String {
    let text = openmldb_ops::playbook::built_in("recover").unwrap();
    let line = text.lines().find(|line| line.contains("wait_for_tablets")).expect("the playbook waits for tablets");
    assert!(line.contains("5m"), "{line}");
    text.replacen(line, &line.replace("5m", "1s"), 1)
}

/// As it is until somebody trusts it.
#[tokio::test(flavor = "multi_thread")]
async fn a_guard_that_only_watches_says_what_it_would_do_and_writes_nothing() {
    needs_zookeeper!();
    let server = ZooKeeperServer::shared().await;
    let home = Home::new();
    let served = Served::start(&server, "/observed", Scenario::EverythingRestarted).await;
    let mut guard = served.guard(&home, &[]);
    let would = tells(&mut guard, "would_act");
    assert!(would["text"].as_str().unwrap().contains("it would work on 9 partitions"), "{would}");
    guard.signal("TERM");
    let ended = guard.end().expect(143);
    assert_eq!(ended.stdout.matches("would_act").count(), 1, "once: {}", ended.stdout);
    assert_eq!(home.records().len(), 0);
    let trace: Vec<&str> = served.harness.world(|world| {
        let changes = world.trace().calls().filter(|call| call.effect == openmldb_ops::wire::call::Effect::Mutate);
        changes.map(|call| call.method).collect()
    });
    assert_eq!(trace, [""; 0]);
    let ours = server.client().await.check_stat("/observed/openmldb-ops").await.unwrap();
    assert!(ours.is_none(), "nothing is written to ZooKeeper either");
    let by_nameserver = home.run(&["guard", "--nameserver", "127.0.0.1:1"]).expect(2);
    assert!(by_nameserver.stderr.contains("ZooKeeper"), "{}", by_nameserver.stderr);
}

/// A place where guards know of each other, and where nothing can be written.
struct Mute;

impl Post for Mute {
    fn stand(&self) -> Posting<'_, Standing> {
        Box::pin(async { Ok(Standing::First) })
    }

    fn step_back(&self) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async {})
    }

    fn attempts(&self) -> Posting<'_, Vec<Attempt>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn tell_attempts<'a>(&'a self, _attempts: &'a [Attempt]) -> Posting<'a, ()> {
        let (path, with_credentials) = ("/openmldb-ops/attempts".to_owned(), false);
        Box::pin(async move { Err(DiscoveryError::Unauthorized { path, with_credentials }) })
    }
}

/// Whoever takes over could not count it: it is not begun, and it is none of a row.
#[tokio::test(start_paused = true)]
async fn a_recovery_that_other_guards_cannot_be_told_of_is_not_begun() {
    let harness = Harness::in_memory_with(Scenario::EverythingRestarted, &Options::default()).await;
    let (cluster, _relay) = harness.cluster(&mut Setup::new()).await;
    let mut watch = watch(Arc::new(Mute));
    let now = Now { steady_ms: harness.live().now(), wall_ms: harness.live().now() };
    watch.tick(&cluster, now).await.unwrap();
    let (_stop, stopped) = tokio::sync::watch::channel(Stop::No);
    let acted = watch.act(&cluster, now, stopped, Arc::default(), || {}).await;
    assert!(matches!(acted, Err(RecoverError::Lock(_))), "{acted:?}");
    assert_eq!(watch.memory.attempts, []);
    assert_eq!(cluster.rpc_counts().mutations, 0);
}

fn watch(post: Arc<dyn Post>) -> Watch {
    Watch::new(
        ("in memory".to_owned(), Caller::default()),
        (Playbook::find("recover").unwrap(), String::new()),
        Scope::All,
        Limits::default(),
        (Arc::new(MemoryArchive::default()), None),
        (Arc::new(InMemoryLock::keeping_notes()), post),
        (1.0, Arc::new(|_| {})),
    )
}

/// Nobody was there to see the end of a row of which nobody has seen for long that it lasts.
#[tokio::test(start_paused = true)]
async fn a_row_that_was_seen_to_last_is_taken_over_however_long_ago_it_was_tried() {
    let harness = Harness::in_memory_with(Scenario::EverythingRestarted, &Options::default()).await;
    let (cluster, _relay) = harness.cluster(&mut Setup::new()).await;
    let (post, began) = (Arc::new(Unshared::default()), harness.live().now());
    let after = |minutes: u64| Now { steady_ms: began + minutes * 60_000, wall_ms: began + minutes * 60_000 };
    let attempt = Attempt { began_ms: began, ended_ms: Some(began), verdict: None, ill_ms: None };
    post.tell_attempts(&[attempt]).await.unwrap();
    let (mut first, mut second) = (watch(post.clone()), watch(post.clone()));
    second.takes_over(after(91)).await.unwrap();
    assert_eq!(second.memory.attempts, []);
    first.takes_over(after(80)).await.unwrap();
    first.tick(&cluster, after(80)).await.unwrap();
    second.takes_over(after(160)).await.unwrap();
    assert_eq!(second.memory.attempts.len(), 1, "the first one has seen that it is not over");
    second.takes_over(after(171)).await.unwrap();
    assert_eq!(second.memory.attempts, []);
}

/// A name that is typed wrong must not make a cluster that is down look well.
#[tokio::test(start_paused = true)]
async fn a_scope_that_does_not_exist_is_never_called_well() {
    for scenario in [Scenario::Healthy, Scenario::EverythingRestarted] {
        let harness = Harness::in_memory_with(scenario, &Options::default()).await;
        let (cluster, _relay) = harness.cluster(&mut Setup::new()).await;
        let mut watch = watch(Arc::new(Unshared::default()));
        watch.scope = Scope::Some(vec![Selector::table("shop.nothing").unwrap()]);
        let now = Now { steady_ms: harness.live().now(), wall_ms: harness.live().now() };
        let decided = watch.tick(&cluster, now).await;
        assert!(matches!(decided, Err(RecoverError::Scope(_))), "{scenario:?}: {decided:?}");
    }
}

/// What a round costs, whatever there is to watch.
#[tokio::test(start_paused = true)]
async fn a_round_costs_a_few_calls_however_many_partitions_there_are() {
    for partitions in [5, 5_000] {
        let generated = Generated { tables: 2, partitions, replicas: 1, rows: 1 };
        let shape = Shape { tablets: 4, generated: Some(generated), ..Shape::default() };
        let harness = Harness::in_memory_with(Scenario::Healthy, &Options { shape, ..Options::default() }).await;
        let (cluster, _relay) = harness.cluster(&mut Setup::new()).await;
        let mut watch = watch(Arc::new(Unshared::default()));
        let now = || Now { steady_ms: harness.live().now(), wall_ms: harness.live().now() };
        // It learns once who is there.
        assert_eq!(watch.tick(&cluster, now()).await.unwrap(), Decision::Well);
        let mut costs = Vec::new();
        for _ in 0..6 {
            let before = cluster.rpc_counts().reads;
            tokio::time::sleep(Duration::from_secs(10)).await;
            assert_eq!(watch.tick(&cluster, now()).await.unwrap(), Decision::Well);
            costs.push(cluster.rpc_counts().reads - before);
        }
        let tablets = 4;
        assert_eq!(costs, [2, 2, 2, 2, 2, 2 + 4 + tablets], "{partitions} partitions a table");
        assert_eq!(cluster.rpc_counts().mutations, 0);
    }
}

/// It looks at a glance, which leaves counts alone: nothing is to be recovered for them, and nothing else is miscounted.
#[tokio::test(start_paused = true)]
async fn a_partition_with_another_number_of_replicas_is_nothing_to_recover() {
    let harness = Harness::in_memory_with(Scenario::Healthy, &Options::default()).await;
    let (cluster, _relay) = harness.cluster(&mut Setup::new()).await;
    let mut snapshot = openmldb_ops::snapshot::collect_state(&cluster, "in memory", 1).await.unwrap();
    for table in &mut snapshot.tables {
        table.replica_num = Some(9);
    }
    let seen = Seen::of(&snapshot, &Scope::All, 1, Runs::default(), Undertakings::default());
    assert!(seen.is(Case::ReplicaCount) && !seen.is(Case::NotRedundant), "{:?}", seen.cases);
    assert!(seen.shape.is_well());
}

/// What docs/handbook.md says that a guard takes at rest: `OPENMLDB_OPS_PARTITIONS=100000 cargo test --test it guard::at_rest --
/// --ignored --nocapture`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement, of some minutes"]
async fn at_rest() {
    let partitions = std::env::var("OPENMLDB_OPS_PARTITIONS").map_or(10_000, |number| number.parse().unwrap());
    let server = ZooKeeperServer::start().await;
    let home = Home::new();
    let generated = Generated { tables: partitions / 100, partitions: 100, replicas: 2, rows: 0 };
    let served = Served::of(&server, "/rests", Scenario::Healthy, (6, generated)).await;
    let mut guard = home.start(&served.words(&["guard", "--act", "--listen", "none"]));
    tells(&mut guard, "well");
    let (file, minutes) = (format!("/proc/{}", guard.id()), 3);
    // In hundredths of a second.
    let used = || {
        let stat = std::fs::read_to_string(format!("{file}/stat")).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        [11, 12].iter().map(|at| fields[*at].parse::<u64>().unwrap()).sum::<u64>()
    };
    let before = used();
    tokio::time::sleep(Duration::from_secs(60 * minutes)).await;
    let percent = (used() - before) as f64 / (60 * minutes) as f64;
    let status = std::fs::read_to_string(format!("{file}/status")).unwrap();
    let memory: Vec<&str> =
        status.lines().filter(|line| line.starts_with("VmRSS") || line.starts_with("VmHWM")).collect();
    println!(
        "{partitions} partitions: {percent:.2} % of a processor, {memory:?}; {before} hundredths of a second before"
    );
}
