//! The program itself, killed with SIGKILL after every line that it writes down; then run again. The second run finishes,
//! and the third has nothing to do.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use openmldb_ops::sandbox::scenario::{Generated, Scenario, Shape};
use openmldb_ops::sandbox::{Options, TimeScale};
use serde_json::Value;

use crate::support::harness::Harness;
use crate::support::outside::{assert_all_well, auto_failover, has_ops_under_way};
use crate::support::process::{Home, PATIENCE, records_in};

/// How many lines the newest record has.
fn lines(home: &Home) -> usize {
    home.records().last().map_or(0, |record| lines_of(record))
}

fn lines_of(record: &Path) -> usize {
    std::fs::read(record).unwrap().iter().filter(|byte| **byte == b'\n').count()
}

fn has_ended(record: &Path) -> bool {
    std::fs::read_to_string(record).unwrap().contains("{\"line\":\"ended\"")
}

/// Starts the program and kills it as soon as so many lines are written. Whether it was killed: none of its calls is
/// answered once they are, so that only their last ones can be written by a run that ends before.
fn killed_after(line: usize, home: &Home, harness: &Harness, arguments: &[&str]) -> bool {
    let mut run: Child = home.command(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let (records, id) = (home.file("state/openmldb-ops"), run.id().to_string());
    harness.live().hold_once(move |_| {
        let newest = records_in(Path::new(&records)).pop();
        // SIGKILL: nothing of the process gets a chance to clean up.
        let kill = || Command::new("kill").args(["-s", "KILL", &id]).status().unwrap();
        newest.is_some_and(|record| lines_of(&record) >= line) && kill().success()
    });
    let deadline = Instant::now() + PATIENCE;
    loop {
        if lines(home) >= line {
            // Nothing more may come of it.
            run.kill().unwrap();
            let was_killed = run.wait().unwrap().code().is_none();
            harness.release();
            return was_killed;
        }
        if let Some(status) = run.try_wait().unwrap() {
            harness.release();
            return status.code().is_none();
        }
        assert!(Instant::now() < deadline, "line {line} is never written");
        std::thread::yield_now();
    }
}

fn options(replicas: usize) -> Options {
    let generated = Generated { tables: 1, partitions: 2, replicas, rows: 20 };
    let shape = Shape { tablets: 2, generated: Some(generated), ..Shape::default() };
    Options { shape, time_scale: TimeScale(NonZeroU32::new(100).unwrap()), ..Options::default() }
}

/// Kills the run on a fresh cluster after the given line; gives whether there was such a line.
async fn survives(scenario: Scenario, options: &Options, line: usize) -> bool {
    let harness = Harness::start_with(scenario, options).await;
    let address = harness.sandbox().nameserver_address().unwrap().to_string();
    let home = Home::new();
    let recover = ["recover", "--all", "--nameserver", &address, "--output", "json"];
    let killed = killed_after(line, &home, &harness, &recover);
    // Killed after its last line, it has finished.
    let finished = home.records().last().is_some_and(|record| has_ended(record));
    let second = home.run(&recover).expect(0);
    assert_eq!(second.stderr.contains("an earlier run did not finish"), !finished, "line {line}: {}", second.stderr);
    let rows = harness.settle();
    assert_eq!(rows.rows_after, rows.rows_expected, "line {line}");
    assert_eq!((rows.partitions_with_two_alive_leaders, rows.healthy_partitions_touched), (0, 0), "line {line}");
    harness.world(|world| {
        assert_all_well(world);
        assert_eq!(world.diverged(), BTreeSet::new(), "line {line}");
        assert!(auto_failover(world), "line {line}");
    });
    let third: Value = home.run(&recover).expect(0).summary();
    assert_eq!(third["rpc"]["mutations"], 0, "line {line}: {third}");
    harness.stop().await;
    killed
}

/// How many lines a run on such a cluster writes when nobody kills it.
async fn lines_of_a_run(scenario: Scenario, options: &Options) -> usize {
    let harness = Harness::start_with(scenario, options).await;
    let address = harness.sandbox().nameserver_address().unwrap().to_string();
    let home = Home::new();
    home.run(&["recover", "--all", "--nameserver", &address]).expect(0);
    let lines = lines(&home);
    harness.stop().await;
    lines
}

async fn survives_everywhere(scenario: Scenario, replicas: usize) {
    let options = options(replicas);
    let most = lines_of_a_run(scenario, &options).await;
    assert!(most > 20, "{most} lines are no run to speak of");
    let mut killed = 0;
    for line in 1..=most {
        killed += usize::from(survives(scenario, &options, line).await);
    }
    // Only at the last lines may the run be faster than whoever kills it.
    assert!(killed * 10 >= most * 9, "killed at {killed} of {most} lines");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_killed_after_any_line_of_its_record_is_finished_by_the_next() {
    survives_everywhere(Scenario::EverythingRestarted, 2).await;
}

/// Time goes on between the two runs: what was loading is loaded, what was queued has run.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_killed_in_the_middle_is_finished_by_one_much_later() {
    let options = options(2);
    let harness = Harness::start_with(Scenario::EverythingRestarted, &options).await;
    let address = harness.sandbox().nameserver_address().unwrap().to_string();
    let home = Home::new();
    let recover = ["recover", "--all", "--nameserver", &address];
    assert!(killed_after(40, &home, &harness, &recover));
    harness.until("operations have ended", |world| !has_ops_under_way(world)).await;
    home.run(&recover).expect(0);
    harness.world(assert_all_well);
    harness.stop().await;
}
