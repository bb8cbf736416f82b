//! `--on-end` and `--metrics-file`: whatever way a command ends.

use std::collections::BTreeMap;

use super::interrupted::serve;
use crate::support::process::Home;

/// A command for `--on-end` that writes down what it is told.
const TELLS: &str = "env | sort > told.part && mv told.part told";

fn told(home: &Home) -> BTreeMap<String, String> {
    let text = home.read("told");
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The metrics, by name with labels.
fn metrics(home: &Home) -> BTreeMap<String, f64> {
    let text = home.read("metrics.prom");
    let values = text.lines().filter(|line| !line.starts_with('#'));
    let value = |line: &str| {
        let (name, value) = line.rsplit_once(' ').unwrap();
        (name.replace("openmldb_ops_", "").replace('"', ""), value.parse().unwrap())
    };
    values.map(value).collect()
}

const BOTH: [&str; 4] = ["--on-end", TELLS, "--metrics-file", "metrics.prom"];

#[test]
fn a_recovery_that_ends_well() {
    let home = Home::new();
    let ran = home.run(&[&["recover", "--all", "--sandbox", "--output", "json"], &BOTH[..]].concat()).expect(0);
    let (told, metrics, summary) = (told(&home), metrics(&home), ran.summary());
    assert_eq!((&*told["OPENMLDB_OPS_COMMAND"], &*told["OPENMLDB_OPS_VERDICT"]), ("recover", "recovered"));
    assert_eq!(told["OPENMLDB_OPS_SERVICE"], "12 of 12 partitions serve; none lacks a copy.");
    assert_eq!((&*told["OPENMLDB_OPS_EXIT_CODE"], &*told["OPENMLDB_OPS_PARTITIONS"]), ("0", "12"));
    assert_eq!((&*told["OPENMLDB_OPS_PARTITIONS_NOT_HEALTHY"], &*told["OPENMLDB_OPS_AUTO_FAILOVER"]), ("0", "on"));
    assert!(told["OPENMLDB_OPS_RECORD"].ends_with(".jsonl") && !told.contains_key("OPENMLDB_OPS_ERROR"), "{told:?}");
    let of = |name: &str| metrics[&format!("{name}{{command=recover}}")];
    let with = |name: &str, label: &str| metrics[&format!("{name}{{command=recover,{label}}}")];
    assert_eq!(
        (of("exit_code"), with("verdict", "verdict=recovered"), with("verdict", "verdict=failed")),
        (0.0, 1.0, 0.0)
    );
    assert_eq!(with("partitions", "state=recovered"), 12.0);
    assert_eq!(with("auto_failover", "when=after"), 1.0);
    assert_eq!(with("calls", "kind=mutation"), summary["rpc"]["mutations"].as_f64().unwrap());
    assert_eq!(of("redundant_after_seconds") * 1000.0, summary["redundant_after_ms"].as_f64().unwrap());
}

#[test]
fn a_look_and_what_could_not_be_done() {
    let home = Home::new();
    home.run(&[&["status", "--sandbox"], &BOTH[..]].concat()).expect(3);
    assert_eq!((&*told(&home)["OPENMLDB_OPS_VERDICT"], &*told(&home)["OPENMLDB_OPS_EXIT_CODE"]), ("partial", "3"));
    assert_eq!(metrics(&home)["partitions{command=status,state=failed}"], 12.0);
    let nobody = ["recover", "--all", "--nameserver", "127.0.0.1:1", "--leader-wait", "0"];
    home.run(&[&nobody[..], &BOTH].concat()).expect(1);
    let told = told(&home);
    assert_eq!((&*told["OPENMLDB_OPS_VERDICT"], &*told["OPENMLDB_OPS_EXIT_CODE"]), ("failed", "1"));
    assert!(told["OPENMLDB_OPS_ERROR"].contains("127.0.0.1:1"), "{told:?}");
    assert!(!metrics(&home).keys().any(|name| name.starts_with("partitions")), "nothing is known of them");
    let unseen = ["status", "--check", "--nameserver", "127.0.0.1:1", "--leader-wait", "0"];
    home.run(&[&unseen[..], &BOTH].concat()).expect(3);
    assert_eq!(self::told(&home)["OPENMLDB_OPS_VERDICT"], "failed", "nobody knows how it stands");
    home.run(&[&["recover", "--sandbox"], &BOTH[..]].concat()).expect(2);
    assert_eq!(self::told(&home)["OPENMLDB_OPS_EXIT_CODE"], "2");
}

#[test]
fn an_undertaking() {
    let home = Home::new();
    home.run(&[&["scale", "out", "--dry-run", "--sandbox", "tablets-added"], &BOTH[..]].concat()).expect(0);
    assert_eq!((&*told(&home)["OPENMLDB_OPS_COMMAND"], &*told(&home)["OPENMLDB_OPS_VERDICT"]), ("scale", "healthy"));
    assert!(told(&home)["OPENMLDB_OPS_SERVICE"].ends_with(" partitions serve; none lacks a copy."));
    assert_eq!(metrics(&home)["exit_code{command=scale}"], 0.0);
}

/// Whatever becomes of them, the exit code is the command's.
#[test]
fn what_fails_at_the_end_is_said_and_changes_no_exit_code() {
    let home = Home::new();
    let fails = ["--on-end", "echo out; echo err >&2; exit 3", "--metrics-file", "nowhere/metrics.prom"];
    let ran = home.run(&[&["status", "--sandbox", "healthy", "--output", "json"], &fails[..]].concat()).expect(0);
    assert!(ran.stderr.contains("note: the metrics cannot be written to nowhere/metrics.prom: "), "{}", ran.stderr);
    assert!(ran.stderr.contains("note: the --on-end command ended with exit status: 3"), "{}", ran.stderr);
    assert!(ran.stderr.contains("out\n") && ran.stderr.contains("err\n"), "{}", ran.stderr);
    assert_eq!(ran.summary()["verdict"], "healthy", "stdout carries lines of ours and nothing else");
}

#[test]
fn secrets_are_not_handed_on() {
    let home = Home::new().with("OPENMLDB_AUTH", "root:hunter2").with("OPENMLDB_ZK_CERT", "root:hunter2");
    home.write("credentials", "root:hunter2\n");
    let at = ["status", "--nameserver", "127.0.0.1:1", "--leader-wait", "0", "--auth-file", "credentials"];
    home.run(&[&at[..], &BOTH].concat()).expect(1);
    assert!(!home.read("told").contains("hunter2") && !home.read("metrics.prom").contains("hunter2"));
    assert!(home.read("told").contains("OPENMLDB_OPS_VERDICT=failed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_told_to_end_gives_auto_failover_back_first() {
    let home = Home::new();
    let cluster = serve().await;
    // It looks for itself.
    let looks = format!(
        "{} failover get --nameserver {} > seen; {TELLS}",
        env!("CARGO_BIN_EXE_openmldb-ops"),
        cluster.nameserver
    );
    let mut run = home.start(&cluster.recover(&["--on-end", &looks, "--metrics-file", "metrics.prom"]));
    run.wait_for_progress(|line| line.starts_with("shop.orders/0: serving after "));
    assert!(!cluster.auto_failover(&home));
    run.signal("TERM");
    run.end().expect(143);
    assert_eq!(home.read("seen"), "auto_failover is on\n");
    assert_eq!(told(&home)["OPENMLDB_OPS_VERDICT"], "interrupted");
    assert_eq!(metrics(&home)["exit_code{command=recover}"], 143.0);
    cluster.harness.release();
    cluster.harness.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_ends_at_once_still_starts_it() {
    let home = Home::new();
    let cluster = serve().await;
    let mut run = home.start(&cluster.recover(&BOTH));
    run.wait_for_progress(|line| line.starts_with("shop.orders/0: serving after "));
    cluster.hangs(true);
    run.signal("INT");
    run.wait_for_progress(|line| line.contains("interrupted: waiting for calls in progress"));
    run.signal("INT");
    // Its output ends once the command that it has started has ended, too.
    run.end().expect(130);
    assert_eq!(
        (&*told(&home)["OPENMLDB_OPS_VERDICT"], &*told(&home)["OPENMLDB_OPS_EXIT_CODE"]),
        ("interrupted", "130")
    );
    assert_eq!(metrics(&home)["verdict{command=recover,verdict=interrupted}"], 1.0);
    cluster.hangs(false);
    cluster.harness.release();
    cluster.harness.stop().await;
}

/// A command for `--on-end` that ends once there is the file `go`.
const WAITS: &str = "until test -e go; do sleep 0.05; done; touch went";

/// The command itself has ended: its exit code stands.
#[test]
fn whoever_interrupts_the_operators_command_is_told_and_may_wait_or_kill_it() {
    let commands: [&[&str]; 2] = [&["status", "--sandbox", "healthy"], &["recover", "--all", "--sandbox", "healthy"]];
    for command in commands {
        for kills in [false, true] {
            let home = Home::new();
            let mut run = home.start(&[command, &["--on-end", &format!("echo begun >&2; {WAITS}")]].concat());
            run.wait_for_progress(|line| line.starts_with("begun"));
            run.signal("INT");
            run.wait_for_progress(|line| line.contains("interrupted: waiting for the --on-end command"));
            if kills {
                run.signal("INT");
            } else {
                home.write("go", "");
            }
            run.end().expect(0);
            assert_eq!(std::path::Path::new(&home.file("went")).exists(), !kills, "{command:?}");
        }
    }
}
