//! Runs that are stopped in the middle: they clean up and say so, and the next one goes on. The sandbox's clock is
//! held when followers are recovered, so that no run can end before it is stopped.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use openmldb_ops::sandbox::scenario::Scenario;
use serde_json::json;

use crate::support::harness::Harness;
use crate::support::outside::orders;
use crate::support::process::{Home, Ran, Running};

pub(super) struct Cluster {
    pub(super) harness: Harness,
    pub(super) nameserver: String,
}

/// A cluster in which a run comes as far as the first follower of its first big table.
pub(super) async fn serve() -> Cluster {
    let harness = Harness::start(Scenario::EverythingRestarted).await;
    let first = harness.world(|world| orders(world, 0));
    harness.hold_at_partition("RecoverTable", first);
    let nameserver = harness.sandbox().nameserver_address().unwrap().to_string();
    Cluster { harness, nameserver }
}

impl Cluster {
    pub(super) fn recover<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        [&["recover", "--all", "--output", "json", "--nameserver", &self.nameserver][..], more].concat()
    }

    /// A run whose first big table serves: auto_failover is off, and followers are about to be recovered.
    fn run_half_way(&self, home: &Home) -> Running {
        let mut run = home.start(&self.recover(&[]));
        run.wait_for_progress(|line| line.starts_with("shop.orders/0: serving after "));
        run
    }

    pub(super) fn auto_failover(&self, home: &Home) -> bool {
        let status = home.run(&["status", "--output", "json", "--nameserver", &self.nameserver]);
        status.summary()["auto_failover"]["after"].as_bool().unwrap()
    }

    /// Another run goes on to the end.
    async fn completes(self, home: &Home) -> Ran {
        self.harness.release();
        let ran = home.run(&self.recover(&[])).expect(0);
        let summary = ran.summary();
        assert_eq!(summary["verdict"], "recovered");
        assert_eq!(summary["partitions"]["total"], 12);
        assert_eq!(summary["auto_failover"], json!({"before": true, "after": true, "held_for": []}));
        home.run(&["status", "--nameserver", &self.nameserver]).expect(0);
        let again = home.run(&self.recover(&[])).expect(0);
        assert_eq!((&again.summary()["verdict"], &again.summary()["rpc"]["mutations"]), (&json!("healthy"), &json!(0)));
        assert!(!again.stderr.contains("earlier run"), "{}", again.stderr);
        self.harness.stop().await;
        ran
    }
}

fn check_interrupted(ran: &Ran) {
    let summary = ran.summary();
    assert_eq!(summary["verdict"], "interrupted", "{summary}");
    assert_eq!(summary["auto_failover"], json!({"before": true, "after": true, "held_for": []}));
    assert!(summary["partitions"]["failed"].as_u64().unwrap() > 0, "{summary}");
    assert!(summary["blocked"].as_array().unwrap().iter().any(|blocked| blocked["reason"] == "interrupted"));
    assert!(ran.stderr.contains("waiting for calls in progress, then restoring auto_failover"), "{}", ran.stderr);
}

async fn interrupted_by(signal: &str, code: i32) {
    let home = Home::new();
    let cluster = serve().await;
    let run = cluster.run_half_way(&home);
    assert!(!cluster.auto_failover(&home));
    run.signal(signal);
    check_interrupted(&run.end().expect(code));
    assert!(cluster.auto_failover(&home));
    assert_eq!(home.records().len(), 1);
    let ran = cluster.completes(&home).await;
    assert!(ran.stderr.contains("an earlier run did not finish"), "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn by_sigint() {
    interrupted_by("INT", 130).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn by_sigterm() {
    interrupted_by("TERM", 143).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn by_sigquit() {
    interrupted_by("QUIT", 131).await;
}

/// A dropped ssh: nobody reads any more what it says, and the kernel tells it so.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_goes_on_without_its_terminal_and_ends_as_it_would_have() {
    let home = Home::new();
    let cluster = serve().await;
    let mut command = home.command(&cluster.recover(&[]));
    let mut run = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = BufReader::new(run.stderr.take().unwrap());
    let mut line = String::new();
    while !line.starts_with("shop.orders/0: serving after ") {
        line.clear();
        assert!(stderr.read_line(&mut line).unwrap() > 0, "it ended before anything served");
    }
    drop((stderr, run.stdout.take()));
    let hangup = Command::new("kill").args(["-s", "HUP", &run.id().to_string()]).status().unwrap();
    assert!(hangup.success());
    cluster.harness.release();
    assert_eq!(run.wait().unwrap().code(), Some(0), "it ends as it would have");
    assert!(cluster.auto_failover(&home));
    let recorded_run = home.run(&["record", "show"]).expect(0).stdout;
    assert!(recorded_run.contains("the terminal is gone (SIGHUP): the run continues without it"), "{recorded_run}");
    assert!(recorded_run.contains("end: recovered"), "{recorded_run}");
    cluster.harness.stop().await;
}

/// What a supervisor gives a process before it kills it, and a little less.
const GONE_WITHIN: Duration = Duration::from_secs(25);

impl Cluster {
    /// No server answers any more; or all do again.
    pub(super) fn hangs(&self, hangs: bool) {
        let calls_never_arrive = "*:every=late-86400s".parse().unwrap();
        self.harness.world(|world| world.set_faults(if hangs { vec![calls_never_arrive] } else { Vec::new() }, 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recovery_is_gone_within_25_s_whatever_hangs_and_says_what_could_not_be_done() {
    let home = Home::new();
    let cluster = serve().await;
    let run = cluster.run_half_way(&home);
    cluster.hangs(true);
    let told = Instant::now();
    run.signal("TERM");
    let ran = run.end().expect(9);
    let took = told.elapsed();
    cluster.hangs(false);
    assert!(took < GONE_WITHIN, "{took:?}: {}", ran.stderr);
    assert!(ran.stderr.contains("the result could not be checked"), "{}", ran.stderr);
    let last = ran.stderr.lines().last().unwrap();
    assert!(last.contains("openmldb-ops failover set on --nameserver "), "{}", ran.stderr);
    let recorded_run = home.run(&["record", "show"]).expect(0).stdout;
    assert!(recorded_run.contains("end: interrupted, auto_failover not restored"), "{recorded_run}");
    cluster.completes(&home).await;
}

/// A command that has changed nothing yet has nothing to wait for.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_has_changed_nothing_ends_at_once() {
    let home = Home::new();
    let cluster = serve().await;
    cluster.hangs(true);
    for command in [
        &["recover", "--all"][..],
        &["status"],
        &["show", "tables"],
        &["snapshot"],
        &["failover", "set", "off"],
        &["failover", "restore"],
        &["scale", "out"],
        &["recover", "--all", "--dry-run"],
    ] {
        let run = home.start(&[command, &["--nameserver", &cluster.nameserver]].concat());
        let told = Instant::now();
        // Until it listens, a signal ends it in the usual way.
        run.signal("TERM");
        run.ended_by_itself();
        assert!(told.elapsed() < GONE_WITHIN, "{command:?}");
        assert_eq!(home.records().len(), 0, "{command:?}");
    }
    cluster.hangs(false);
    assert!(cluster.auto_failover(&home));
    cluster.harness.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn by_its_deadline() {
    let home = Home::new();
    let cluster = serve().await;
    // How far a run comes before it is over is up to the machine: one that has come half way is wanted, and none comes further.
    let ran = (0..9)
        .map(|doubled| home.run(&cluster.recover(&["--timeout", &(1 << doubled).to_string()])).expect(7))
        .find(|ran| ran.stderr.contains(": serving after "));
    check_interrupted(&ran.unwrap());
    cluster.completes(&home).await;
}

/// Nobody cleans up: the record does, with the next run.
#[tokio::test(flavor = "multi_thread")]
async fn by_sigkill() {
    let home = Home::new();
    let cluster = serve().await;
    let run = cluster.run_half_way(&home);
    run.signal("KILL");
    assert!(!run.ended_by_itself());
    assert!(!cluster.auto_failover(&home), "it was switched off, and nobody restored it");
    let plan = home.run(&cluster.recover(&["--dry-run"]));
    assert!(plan.stdout.contains(r#"{"call":"set_auto_failover","on":true}"#), "{}", plan.stdout);
    let ran = cluster.completes(&home).await;
    assert!(ran.stderr.contains("left auto_failover off; it was on and will be restored"), "{}", ran.stderr);
}

/// Whoever asks twice does not wait for servers that do not answer, and is told what is left to do.
#[tokio::test(flavor = "multi_thread")]
async fn twice() {
    let home = Home::new();
    let cluster = serve().await;
    let mut run = cluster.run_half_way(&home);
    let calls_never_arrive = "*:every=late-86400s".parse().unwrap();
    cluster.harness.world(|world| world.set_faults(vec![calls_never_arrive], 1));
    run.signal("INT");
    run.wait_for_progress(|line| line.contains("waiting for calls in progress"));
    run.signal("INT");
    let ran = run.end().expect(130);
    assert!(ran.stderr.contains("interrupted again: stopping now."), "{}", ran.stderr);
    assert!(ran.stderr.contains("openmldb-ops failover set on --nameserver "), "{}", ran.stderr);
    cluster.harness.world(|world| world.set_faults(Vec::new(), 1));
    assert!(!cluster.auto_failover(&home));
    cluster.completes(&home).await;
}

/// Where nothing but auto_failover is to be restored, what is in progress is that.
#[tokio::test(flavor = "multi_thread")]
async fn twice_while_it_restores_what_a_killed_run_owes() {
    let home = Home::new();
    let cluster = serve().await;
    let run = cluster.run_half_way(&home);
    run.signal("KILL");
    assert!(!run.ended_by_itself());
    let it_is_never_set = "ConfSet:every=late-86400s".parse().unwrap();
    cluster.harness.world(|world| world.set_faults(vec![it_is_never_set], 1));
    let mut run = home.start(&["failover", "restore", "--nameserver", &cluster.nameserver]);
    run.wait_for_progress(|line| line.starts_with("state saved to "));
    run.signal("INT");
    run.wait_for_progress(|line| line.contains("interrupted: restoring auto_failover"));
    run.signal("INT");
    let ran = run.end().expect(130);
    assert!(ran.stderr.contains("openmldb-ops failover set on --nameserver "), "{}", ran.stderr);
    cluster.harness.world(|world| world.set_faults(Vec::new(), 1));
    assert!(!cluster.auto_failover(&home));
    cluster.completes(&home).await;
}

/// The cluster takes no more: it is said last, with the command to run by hand, and nothing else decides the exit code.
#[test]
fn where_it_cannot_be_given_back() {
    let home = Home::new();
    let fault = ["--fault", "ConfSet:2+=code-304"];
    let ran = home.run(&[&["recover", "--all", "--sandbox", "--output", "json"][..], &fault].concat()).expect(9);
    let summary = ran.summary();
    assert_eq!(summary["auto_failover"], json!({"before": true, "after": false, "held_for": []}), "{summary}");
    assert_eq!(summary["partitions"]["recovered"], 12, "{summary}");
    let last = ran.stderr.lines().last().unwrap();
    assert!(last.contains("openmldb-ops failover set on --nameserver "), "{}", ran.stderr);
}

/// A sandbox of the run's own is stopped with it, and nothing of it is left.
#[test]
fn in_a_sandbox() {
    let home = Home::new();
    // Operations that never end keep it from its end.
    let held = ["--time-scale", "1", "--fault", "RecoverTable:every=op-sticks"];
    let mut run = home.start(&[&["recover", "--all", "--sandbox", "--output", "json"][..], &held].concat());
    run.wait_for_progress(|line| line.contains(": serving after "));
    run.signal("INT");
    check_interrupted(&run.end().expect(130));
    assert!(home.left_behind().is_empty(), "{:?}", home.left_behind());
}

/// However it is ended: that is how a sandbox that serves ends.
#[test]
fn a_sandbox_that_serves() {
    for signal in ["INT", "TERM"] {
        let home = Home::new();
        let mut sandbox = home.start(&["sandbox", "serve", "--output", "json"]);
        let ready = sandbox.wait_for_line(|_| true);
        assert!(ready.contains(r#""event":"ready""#) && ready.contains("everything-restarted"), "{ready}");
        sandbox.signal(signal);
        sandbox.end().expect(0);
    }
}
