//! Records tell the truth: what single steps did, who is at work and who was killed, what nobody goes on with, and what was
//! never sent.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use openmldb_ops::cluster::Hold;
use openmldb_ops::operate::{self, Job, JobError, Undertaking};
use openmldb_ops::run::{
    Archive as _, Caller, Directory, Holder, InMemoryLock, Lock, LockError, LockFuture, Note, RecordedRun,
    RecoverError, Stop, WorkSession,
};
use openmldb_ops::sandbox::scenario::Scenario;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::support::cli_harness::CliHarness;
use crate::support::harness::{Harness, Setup};
use crate::support::process::{Home, Ran};
use crate::support::zookeeper::needs_zookeeper;

/// The lines of the newest record.
fn newest(home: &Home) -> Vec<Value> {
    home.run(&["record", "show", "last", "--output", "json"]).expect(0).events()
}

fn listed(home: &Home) -> Vec<Value> {
    home.run(&["record", "list", "--output", "json"]).expect(0).events()
}

fn of<'a>(lines: &'a [Value], kind: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["line"] == kind).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_single_step_that_sends_something_is_recorded() {
    needs_zookeeper!();
    let cli_harness = CliHarness::with(Scenario::Healthy).await;
    let (_, follower) = cli_harness.leader_and_follower();
    let mut records = 0;
    for (command, sends) in [
        ("failover set off".to_owned(), "set_auto_failover".to_owned()),
        (format!("replica alive shop.orders/0 {follower} no"), "mark_alive".to_owned()),
        (format!("replica recover shop.orders/0 {follower}"), "recover_table".to_owned()),
        (format!("replica remove shop.orders/0 {follower}"), format!("delreplica orders 0 {follower}")),
        (format!("replica add shop.orders/0 {follower}"), format!("addreplica orders 0 {follower}")),
        (format!("tablet recover {follower}"), format!("recoverendpoint {follower}")),
    ] {
        cli_harness.says(0, &format!("{command} --dry-run"));
        assert_eq!(cli_harness.home.records().len(), records, "{command}: a dry run sends nothing");
        let said = cli_harness.says(0, &command);
        if said.contains("already: nothing is sent") {
            continue;
        }
        records += 1;
        assert_eq!(cli_harness.home.records().len(), records, "{command}");
        let lines = newest(&cli_harness.home);
        assert_eq!((&lines[0]["work"], &lines[0]["playbook"]), (&json!("step"), &json!(command)));
        let sent = [of(&lines, "sending"), of(&lines, "command")].concat();
        let call = if sent[0]["line"] == "command" { &sent[0]["command"] } else { &sent[0]["action"]["call"] };
        assert_eq!((sent.len(), call), (1, &json!(sends)), "{command}");
        let went = of(&lines, "went");
        assert_eq!((&went[0]["number"], &went[0]["outcome"]), (&sent[0]["number"], &json!("applied")), "{command}");
        let ended = of(&lines, "ended");
        assert_eq!((&ended[0]["verdict"], &ended[0]["finished"]), (&json!("reached"), &json!(true)), "{command}");
        let recorded_run = cli_harness.home.run(&["record", "show"]).expect(0).stdout;
        assert!(recorded_run.contains(&command) && recorded_run.contains(": done"), "{command}: {recorded_run}");
        assert!(recorded_run.ends_with("end: reached, exit code 0\n"), "{command}: {recorded_run}");
    }
    assert!(records >= 5, "{records}");
    // What is refused before anything is sent leaves nothing.
    cli_harness.is_mistyped("leader change shop.orders/0 --to a:1", "has no replica on a:1");
    assert_eq!(cli_harness.home.records().len(), records);
    cli_harness.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn status_says_who_switched_auto_failover_off() {
    needs_zookeeper!();
    let cli_harness = CliHarness::with(Scenario::Healthy).await;
    cli_harness.says(0, "failover set off");
    let run = listed(&cli_harness.home)[0]["run"].as_str().unwrap().to_owned();
    let told = format!("auto_failover was switched off by `failover set off`, run {run} on ");
    let said = cli_harness.says(0, "status");
    assert!(said.contains(&told) && said.contains(" UTC"), "{said}");
    assert!(!said.contains("did not finish"), "{said}");
    let restored = cli_harness.says(0, "failover restore");
    assert!(restored.contains("nothing to restore"), "somebody has decided, and it is kept: {restored}");
    cli_harness.says(0, "failover set on");
    cli_harness.harness.world(|world| {
        let leading = world.leader().unwrap();
        let call = openmldb_ops::wire::nameserver::ConfSetRequest {
            conf: openmldb_ops::wire::nameserver::Pair { key: "auto_failover".to_owned(), value: "false".to_owned() },
        };
        world.call_nameserver(&leading, openmldb_ops::wire::call::NameserverCall::ConfSet(call)).unwrap();
    });
    let said = cli_harness.says(0, "status");
    assert!(said.contains("had switched it on: someone else has switched it off since"), "{said}");
    cli_harness.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_has_not_died_and_what_was_killed_is_not_running() {
    let home = Home::new();
    let mut sandbox = home.start(&["sandbox", "serve", "--output", "json", "--time-scale", "4"]);
    let ready: Value = serde_json::from_str(&sandbox.wait_for_line(|_| true)).unwrap();
    let recover = ["recover", "--all", "--nameserver", ready["nameserver"].as_str().unwrap()];
    let mut run = home.start(&recover);
    run.wait_for_progress(|line| line.contains(": serving after "));
    let state = |home: &Home| listed(home).into_iter().map(|run| run["state"].clone()).collect::<Vec<_>>();
    assert_eq!(state(&home), ["running"]);
    let text = home.run(&["record", "list"]).expect(0).stdout;
    assert!(text.contains("  running"), "{text}");
    run.signal("KILL");
    assert!(!run.ended_by_itself());
    assert_eq!(state(&home), ["killed"]);
    let shown = home.run(&["record", "show"]).expect(0).stdout;
    assert!(shown.contains("end: killed"), "{shown}");
    let mut second = home.start(&recover);
    second.wait_for_progress(|line| line.contains("state saved to "));
    second.signal("INT");
    second.end().expect(130);
    let last = listed(&home).pop().unwrap();
    assert_eq!((&last["state"], &last["ended"]), (&json!("ended"), &json!("interrupted")));
    let ran = home.run(&recover).expect(0);
    assert!(ran.stderr.contains("an earlier run did not finish: it was interrupted"), "{}", ran.stderr);
}

/// The goals of an undertaking outlive it; that nobody goes on with them has to be said by somebody.
#[tokio::test(flavor = "multi_thread")]
async fn an_abandoned_handover_can_be_dismissed() {
    needs_zookeeper!();
    let cli_harness = CliHarness::with(Scenario::Healthy).await;
    let (old, new) = cli_harness.leader_and_follower();
    let command = format!("leader handover shop.orders/0 --to {new}");
    let mut run = cli_harness.begins(&command);
    run.wait_for_progress(|line| line.contains(&format!("follower on {old}")));
    let id = listed(&cli_harness.home)[0]["run"].as_str().unwrap().to_owned();
    let dismiss = |code: i32| cli_harness.home.run(&["record", "dismiss", &id]).expect(code);
    let refused = dismiss(5);
    assert!(refused.stderr.contains("is at work: process "), "{}", refused.stderr);
    run.signal("KILL");
    assert!(!run.ended_by_itself());
    cli_harness.says(0, "recover --all");
    let said = cli_harness.says(0, "status");
    assert!(said.contains(&format!("`{command}` did not finish")), "{said}");
    assert!(said.contains(&format!("openmldb-ops record dismiss {id} # if it should not be continued")), "{said}");
    // A full disk takes the line whole or not at all.
    let path = cli_harness.home.records().into_iter().find(|path| path.display().to_string().contains(&id)).unwrap();
    let before = std::fs::read(&path).unwrap();
    with_files_up_to(&cli_harness.home, before.len() as u64 + 10, &["record", "dismiss", &id]).expect(1);
    assert_eq!(std::fs::read(&path).unwrap(), before);
    let dismissed = dismiss(0);
    assert!(
        dismissed.stdout.contains(&format!("`{command}`, begun by run {id}, is dismissed")),
        "{}",
        dismissed.stdout
    );
    let said = cli_harness.says(0, "status");
    assert!(!said.contains("did not finish") && !said.contains("did not finish"), "{said}");
    assert!(dismiss(0).stdout.contains("has nothing to dismiss"));
    let record = listed(&cli_harness.home).into_iter().find(|run| run["run"] == json!(id)).unwrap();
    assert_eq!(record["state"], "dismissed");
    assert!(cli_harness.home.run(&["record", "show", &id]).expect(0).stdout.contains("\ndismissed 20"));
    cli_harness.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recovery_is_not_dismissed_since_what_it_knows_keeps_rows() {
    let home = Home::new();
    let mut sandbox = home.start(&["sandbox", "serve", "--output", "json", "--time-scale", "4"]);
    let ready: Value = serde_json::from_str(&sandbox.wait_for_line(|_| true)).unwrap();
    let recover = ["recover", "--all", "--nameserver", ready["nameserver"].as_str().unwrap()];
    let mut run = home.start(&recover);
    run.wait_for_progress(|line| line.contains(": serving after "));
    run.signal("INT");
    run.end().expect(130);
    let id = listed(&home)[0]["run"].as_str().unwrap().to_owned();
    let refused = home.run(&["record", "dismiss", &id]).expect(5);
    assert!(refused.stderr.contains("keeps rows from being lost"), "{}", refused.stderr);
    assert!(home.run(&["record", "dismiss", "7-0"]).expect(2).stderr.contains("there is no record of run 7-0"));
}

/// Runs the program, which may write no file longer than this.
fn with_files_up_to(home: &Home, length: u64, arguments: &[&str]) -> Ran {
    let limited = format!("trap '' XFSZ; exec prlimit --fsize={length} \"$0\" \"$@\"");
    home.run_in(&["/bin/sh", "-c", &limited], arguments)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_stops_a_run_cleanly_and_no_call_is_told_that_was_not_sent() {
    let at = async || {
        let home = Home::new();
        let mut sandbox = home.start(&["sandbox", "serve", "--output", "json", "--time-scale", "20"]);
        let ready: Value = serde_json::from_str(&sandbox.wait_for_line(|_| true)).unwrap();
        (home, sandbox, ready["nameserver"].as_str().unwrap().to_owned())
    };
    let (home, _sandbox, nameserver) = at().await;
    home.run(&["recover", "--all", "--nameserver", &nameserver]).expect(0);
    let whole = std::fs::read(&home.records()[0]).unwrap();
    let begun = whole.iter().position(|byte| *byte == b'\n').unwrap();
    for part in [4, 2] {
        let (home, _sandbox, nameserver) = at().await;
        let room = (begun + (whole.len() - begun) / part) as u64;
        let recover = ["recover", "--all", "--nameserver", &nameserver, "--output", "json"];
        let ran = with_files_up_to(&home, room, &recover).expect(1);
        assert!(ran.stderr.contains("the record could not be written"), "{}", ran.stderr);
        assert!(!ran.stdout.contains("still_going_on") || !ran.stdout.contains(r#""what":"call""#), "{}", ran.stdout);
        assert_eq!(ran.summary()["auto_failover"], json!({"before": true, "after": true, "held_for": []}));
        let lines = newest(&home);
        let (sent, went) = (of(&lines, "sending"), of(&lines, "went"));
        let called = |lines: &[&Value]| lines.iter().map(|line| line["number"].as_u64().unwrap()).collect::<Vec<_>>();
        let (sent, mut went) = (called(&sent), called(&went));
        went.sort_unstable();
        assert!(!sent.is_empty(), "it came as far as that");
        let actions = ran.events().iter().filter(|event| event["event"] == "action").count();
        // auto_failover is restored whether or not that can be written down.
        assert!(actions == sent.len() || actions == sent.len() + 1, "{actions} sent, {} told", sent.len());
        let shown = home.run(&["record", "show"]).expect(0).stdout;
        assert!(!shown.contains("could not be read"), "no line is there in part: {shown}");
        home.run(&recover).expect(0);
    }
}

/// A lock whose ZooKeeper takes no note: it hangs, and the run is told to stop meanwhile; or it refuses.
struct NoNotes {
    alone: InMemoryLock,
    stops: Option<watch::Sender<Stop>>,
}

impl Lock for NoNotes {
    fn acquire<'a>(&'a self, holder: &'a Holder) -> LockFuture<'a, ()> {
        self.alone.acquire(holder)
    }

    fn hold(&self) -> watch::Receiver<Hold> {
        self.alone.hold()
    }

    fn holder(&self) -> LockFuture<'_, Option<Holder>> {
        self.alone.holder()
    }

    fn release(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        self.alone.release()
    }

    fn note(&self) -> LockFuture<'_, Option<Note>> {
        self.alone.note()
    }

    fn write_note<'a>(&'a self, _note: Option<&'a Note>) -> LockFuture<'a, ()> {
        match &self.stops {
            Some(stops) => {
                stops.send_replace(Stop::Signal(15));
                Box::pin(std::future::pending())
            }
            None => Box::pin(std::future::ready(Err(LockError::Text { seen: "it takes no note".to_owned() }))),
        }
    }
}

/// The record of the only run there was: how it ended, and whether it owes auto_failover.
fn only_record(harness: &Harness) -> (Option<String>, Option<bool>) {
    let archive = Directory(harness.records.path().to_owned());
    let runs = archive.runs().unwrap();
    assert_eq!(runs.len(), 1);
    let recorded_run = RecordedRun::read(archive.read(runs[0]).unwrap()).unwrap();
    (recorded_run.verdict().map(str::to_owned), recorded_run.owed())
}

#[tokio::test(start_paused = true)]
async fn a_run_that_has_to_end_before_its_first_change_ends_its_record() {
    for (is_stopped, ended) in [(true, "interrupted"), (false, "failed")] {
        for undertakes in [false, true] {
            let scenario = if undertakes { Scenario::TabletsAdded } else { Scenario::EverythingRestarted };
            let harness = Harness::in_memory(scenario).await;
            let (stops, stop) = watch::channel(Stop::No);
            let lock = Arc::new(NoNotes { alone: InMemoryLock::default(), stops: is_stopped.then_some(stops) });
            let mut setup = Setup { stop: stop.clone(), lock: lock.clone(), ..Setup::new() };
            let error = if undertakes {
                let (cluster, _) = harness.cluster(&mut setup).await;
                let session = WorkSession {
                    cluster_name: "sandbox".to_owned(),
                    archive: Arc::new(Directory(harness.records.path().to_owned())),
                    caller: Caller::default(),
                    lock,
                    pace: 1.0,
                    listener: Arc::new(|_| {}),
                    stop,
                    record: Arc::default(),
                    now_ms: 1_795_381_000_000,
                };
                let job = Job {
                    undertaking: Undertaking::ScaleOut { leaders: true },
                    session,
                    room: openmldb_ops::run::Room::default(),
                    state_dir: operate::StateDir::new(harness.records.path(), "sandbox"),
                    step_timeout: Duration::from_secs(60),
                    leaderless_limit: Duration::from_secs(5),
                    told: Arc::new(|_| {}),
                };
                match job.perform(&cluster).await {
                    Err(JobError::Run(error)) => *error,
                    other => panic!("{other:?}"),
                }
            } else {
                harness.try_run(setup).await.map(|run| run.recovered).unwrap_err()
            };
            let was_stopped = matches!(error, RecoverError::Stopped { stop: Stop::Signal(15) });
            assert_eq!(was_stopped, is_stopped, "{error}");
            let what = format!("undertakes: {undertakes}, stopped: {is_stopped}");
            assert_eq!(only_record(&harness), (Some(ended.to_owned()), None), "{what}");
            assert_eq!(harness.world(|world| world.trace().mutations()), 0, "{what}: nothing was changed");
            harness.stop().await;
        }
    }
}
