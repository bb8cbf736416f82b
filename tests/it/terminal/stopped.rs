//! Nobody takes what is printed: a terminal that is stopped (Ctrl-S), a pipe that is full. A run goes on and ends as it would have, and whoever
//! is told to end does.

use std::fs::File;
use std::io::{PipeReader, PipeWriter, Read as _, Write as _, pipe};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use openmldb_ops::sandbox::World;
use openmldb_ops::sandbox::scenario::Scenario;

use super::{assert_shows, kind, without_ports};
use crate::support::harness::Harness;
use crate::support::outside::{assert_all_well, auto_failover};
use crate::support::process::{Home, PATIENCE};
use crate::support::screen::Screen;

/// What a pipe takes that nobody reads from.
const ROOM: usize = 64 * 1024;

async fn half_way() -> (Harness, String) {
    let harness = Harness::start(Scenario::EverythingRestarted).await;
    harness.hold_at(&["RecoverTable"], 1);
    let nameserver = harness.sandbox().nameserver_address().unwrap().to_string();
    (harness, nameserver)
}

/// Lets a run go on to its end.
async fn comes_to_its_end(harness: &Harness) {
    harness.release();
    let is_over =
        |world: &mut World| auto_failover(world) && world.trace().calls().any(|call| call.method == "ConfSet");
    harness.until("auto_failover is restored", is_over).await;
    harness.world(assert_all_well);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_that_is_stopped_holds_up_no_run_and_shows_everything_once_it_goes_on() {
    for (output, more) in [("text", &[][..]), ("text", &["-vv"]), ("json", &[])] {
        let (harness, nameserver) = half_way().await;
        harness.release();
        let words = [&["recover", "--all", "--output", output, "--nameserver", &nameserver], more].concat();
        let ran = Home::new().run(&words).expect(0);
        harness.stop().await;

        let (harness, nameserver) = half_way().await;
        let words = [&["recover", "--all", "--output", output, "--nameserver", &nameserver], more].concat();
        let screen = Screen::start(&Home::new(), &words, 80);
        screen.wait_for("bars", |lines| lines.iter().any(|line| line.contains("redundant [")));
        screen.types("\u{13}");
        screen.wait_for_silence();
        comes_to_its_end(&harness).await;
        let shown = screen.lines();
        assert!(!shown.iter().any(|line| line.contains("ecovered")), "it was stopped: {shown:#?}");
        screen.types("\u{11}");
        let seen = screen.end();
        if more.is_empty() {
            assert_shows(&format!("{output}, stopped for a while"), &seen, &ran);
        }
        harness.stop().await;
    }
}

/// A pipe that takes nothing more.
fn full() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = pipe().unwrap();
    writer.write_all(&[b' '; ROOM]).unwrap();
    (reader, writer)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipe_that_nobody_reads_from_holds_up_no_run() {
    let (harness, nameserver) = half_way().await;
    harness.release();
    let words = ["recover", "--all", "--output", "json", "--nameserver", &nameserver];
    let ran = Home::new().run(&words).expect(0);
    harness.stop().await;

    let (harness, nameserver) = half_way().await;
    let words = ["recover", "--all", "--output", "json", "--nameserver", &nameserver];
    let ((mut out, stdout), (mut err, stderr)) = (full(), full());
    let home = Home::new();
    let mut run = started(home.command(&words), stdout, stderr);
    comes_to_its_end(&harness).await;
    assert!(run.try_wait().unwrap().is_none(), "what came of it has to be told yet");
    // Both are read at once: it may wait for either.
    let told = std::thread::spawn(move || text_of(&mut err));
    let said = text_of(&mut out);
    assert!(!told.join().unwrap().is_empty());
    assert_eq!(run.wait().unwrap().code(), Some(0));
    let lines = |text: &str| {
        let mut kinds: Vec<String> = text.trim_start().lines().map(|line| without_ports(&kind(line))).collect();
        kinds.sort();
        kinds.dedup();
        kinds
    };
    assert_eq!(lines(&said), lines(&ran.stdout));
    harness.stop().await;
}

fn started(mut command: Command, stdout: PipeWriter, stderr: PipeWriter) -> Child {
    command.stdout(stdout).stderr(stderr).spawn().unwrap()
}

fn text_of(pipe: &mut PipeReader) -> String {
    let mut text = String::new();
    pipe.read_to_string(&mut text).unwrap();
    text
}

/// Whether the process writes to a pipe, and waits for it to take that. Where the kernel does not tell, after a while.
fn waits_for_a_pipe(run: &Child) -> bool {
    let mut waits_in = String::new();
    let tells = File::open(format!("/proc/{}/wchan", run.id())).and_then(|mut file| file.read_to_string(&mut waits_in));
    tells.is_ok() && waits_in.contains("pipe_write")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_looks_ends_when_it_is_told_to_although_nobody_takes_what_it_prints() {
    let harness = Harness::start(Scenario::EverythingRestarted).await;
    let nameserver = harness.sandbox().nameserver_address().unwrap().to_string();
    let home = Home::new();
    let ((_out, stdout), (_err, stderr)) = (full(), full());
    let mut run = started(home.command(&["status", "--nameserver", &nameserver]), stdout, stderr);
    harness.until("it has looked", |world| world.trace().calls().any(|call| call.method == "GetTableStatus")).await;
    let (began, patience) = (Instant::now(), Duration::from_secs(5));
    while !waits_for_a_pipe(&run) && began.elapsed() < patience {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let told = Instant::now();
    let term = Command::new("kill").args(["-s", "TERM", &run.id().to_string()]).status().unwrap();
    assert!(term.success());
    while run.try_wait().unwrap().is_none() {
        if told.elapsed() > PATIENCE.min(Duration::from_secs(25)) {
            run.kill().unwrap();
            panic!("it does not end");
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    harness.stop().await;
}
