//! A terminal shows everything: each command on a real pseudo-terminal, with an emulator's screen, beside the same command
//! with its output captured.

mod commands;
mod lines;
mod stopped;

use std::collections::BTreeSet;

use clap::CommandFactory as _;
use openmldb_ops::cli::Cli;
use openmldb_ops::sandbox::scenario::Scenario;
use openmldb_ops::sandbox::{Options, Sandbox};
use serde_json::Value;

use crate::support::harness::Harness;
use crate::support::outside::{flags, leader, orders};
use crate::support::process::{Home, Ran};
use crate::support::screen::{Screen, Seen};
use commands::{Case, LOOKS, PRACTICE, RUNS, STEPS, UNDERTAKINGS, all};

const WIDTHS: [u16; 3] = [40, 80, 200];

/// Where a command is typed: a home directory, and a cluster if it needs one.
struct CliHarness {
    home: Home,
    sandbox: Option<Sandbox>,
    words: Vec<String>,
}

impl CliHarness {
    async fn of(case: &Case) -> Self {
        let home = Home::new();
        let sandbox = match case.on {
            Some(scenario) => {
                Some(Sandbox::start(scenario, &Options { held: case.held, ..Options::default() }).await.unwrap())
            }
            None => None,
        };
        let mut cli_harness = Self { home, sandbox, words: Vec::new() };
        for before in case.before {
            let words = cli_harness.typed(before);
            cli_harness.home.run(&borrowed(&words)).expect(0);
        }
        cli_harness.words = cli_harness.typed(case.words);
        cli_harness
    }

    /// The words of a command, on this cluster.
    fn typed(&self, command: &str) -> Vec<String> {
        let mut words: Vec<String> = command.split(' ').map(str::to_owned).collect();
        let Some(sandbox) = &self.sandbox else { return words };
        let (leading, follower) = sandbox.live().with(|world| {
            let id = orders(world, 0);
            let flags = flags(world, id);
            let leading = leader(world, id);
            let follower = flags.into_iter().map(|flags| flags.endpoint).find(|at| *at != leading).unwrap();
            (leading.to_string(), follower.to_string())
        });
        for word in &mut words {
            match word.as_str() {
                "LEADER" => word.clone_from(&leading),
                "FOLLOWER" => word.clone_from(&follower),
                _ => {}
            }
        }
        words.extend(["--nameserver".to_owned(), sandbox.nameserver_address().unwrap().to_string()]);
        words
    }

    async fn ends(self) {
        if let Some(sandbox) = self.sandbox {
            sandbox.stop().await.unwrap();
        }
    }
}

fn borrowed(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

/// A line without the ports in it, which are others for each sandbox.
fn without_ports(line: &str) -> String {
    // Names of files have them in another form.
    ["127.0.0.1:", "127-0-0-1-"].iter().fold(line.to_owned(), |line, address| {
        let mut parts = line.split(address);
        let first = parts.next().unwrap_or_default().to_owned();
        let after = |part: &str| part.trim_start_matches(|c: char| c.is_ascii_digit()).to_owned();
        parts.fold(first, |told, part| told + address + "PORT" + &after(part))
    })
}

const KIND: &str = "JSON: ";

/// A time of day, a date, or the name of a run, which is when it began.
fn is_time(word: &str) -> bool {
    let digits = word.chars().filter(char::is_ascii_digit).count();
    digits >= 6 && word.chars().all(|c| c.is_ascii_digit() || matches!(c, '-' | ':'))
}

/// A step on the way of a partition. On a terminal it passes by; and an operation fails now and then for no reason, so two runs do not
/// take the same ones.
fn is_step(line: &str) -> bool {
    line.split_once(' ').is_some_and(|(first, _)| first.contains(':') && is_time(first))
}

/// What a line of JSON is about; the rest of it differs from run to run. It has to be whole. Any other line is as it is.
fn kind(line: &str) -> String {
    if let Some((field, _when)) = line.split_once("_ms: ") {
        return format!("{}_ms: WHEN", field.trim_start());
    }
    if !line.starts_with('{') {
        let line = &without_duration(line);
        // Where lines are longer than the terminal is wide, spaces break them between words.
        let words = line.split_whitespace().map(|word| if is_time(word) { "WHEN" } else { word });
        return without_age(&words.collect::<Vec<_>>()).join(" ");
    }
    let value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    let of = |field: &str| value[field].as_str().unwrap_or_default();
    format!("{KIND}{} {} {} {}", of("event"), of("table"), value["pid"], of("state"))
}

/// How long something that goes on has lasted is more by the time that it is shown again: `3 min 20 s`.
fn without_age<'a>(words: &[&'a str]) -> Vec<&'a str> {
    let is_number = |word: &str| word.bytes().all(|byte| byte.is_ascii_digit());
    match words {
        [number, "min", seconds, "s", rest @ ..] if is_number(number) && is_number(seconds) => {
            [vec!["SO", "LONG"], without_age(rest)].concat()
        }
        [word, rest @ ..] => [vec![*word], without_age(rest)].concat(),
        [] => Vec::new(),
    }
}

/// How long a recorded run took depends on the machine.
fn without_duration(line: &str) -> String {
    let is_time = |word: &&str| matches!(*word, "s" | "min" | "h") || word.starts_with(|c: char| c.is_ascii_digit());
    let Some((before, after)) = line.split_once(" UTC ") else { return line.to_owned() };
    let rest: Vec<&str> = after.split_whitespace().skip_while(is_time).collect();
    if rest.len() == after.split_whitespace().count() {
        return line.to_owned();
    }
    format!("{before} UTC LONG {}", rest.join(" "))
}

/// What comes and goes with the bars: what happened last.
fn passes_by(line: &str) -> bool {
    // Of one partition by its name, or of all.
    let what = line.split_once(' ').filter(|(name, _)| name.contains('/')).map_or(line, |(_, what)| what);
    let wait = ["waiting ", "loading ", "catching up ", "comparing "].iter().any(|does| what.starts_with(does));
    let milestone = line.contains(": serving after ") || line.contains(": redundant after ");
    let choice = (line.contains(" leads: ") || line.contains(" is promoted: ")) && !line.contains("given up:");
    wait || milestone || choice || line.contains(" failed: ")
}

/// The lines that a captured command has printed and that a terminal has to show: of stdout and of stderr.
fn owed(ran: &Ran) -> (Vec<String>, Vec<String>) {
    let of = |text: &str| ran.tidy(text).lines().map(|line| without_ports(&kind(line.trim_end()))).collect::<Vec<_>>();
    let lasting: Vec<&str> = ran.stderr.lines().filter(|line| !is_step(line)).collect();
    let mut stderr = of(&lasting.join("\n"));
    stderr.retain(|line| !passes_by(line));
    (of(&ran.stdout), stderr)
}

fn assert_shows(what: &str, seen: &Seen, ran: &Ran) {
    let lines: Vec<String> = seen.lines.iter().map(|line| without_ports(&kind(line))).collect();
    let (stdout, stderr) = owed(ran);
    let mut rest = lines.iter();
    for line in &stdout {
        if line.starts_with(KIND) {
            // Partitions come in no certain order.
            assert!(lines.contains(line), "{what}: not shown: {line}\n{lines:#?}\n{stdout:#?}");
            continue;
        }
        let is_there = rest.any(|shown| shown == line);
        assert!(is_there, "{what}: not shown, or not in its place: {line}\n{lines:#?}\n{stdout:#?}");
    }
    for line in &stderr {
        assert!(lines.contains(line), "{what}: not shown: {line}\n{lines:#?}\n{stderr:#?}");
    }
    assert_eq!(seen.code, ran.code(), "{what}: {lines:#?}");
}

/// The same command on terminals of each width, and captured.
async fn every_line_is_shown(case: &Case) {
    let captured = CliHarness::of(case).await;
    let mut running = captured.home.start(&borrowed(&captured.words));
    if let Some(until) = case.until {
        running.wait_for_line(|line| line.contains(until));
        running.signal("INT");
    }
    let ran = running.end();
    assert!(!ran.stdout.is_empty() || !ran.stderr.is_empty(), "{}: prints nothing", case.words);
    // What is shown of what was typed before is the same only if that is.
    let shared = case.on.is_none() && !case.before.is_empty();
    let mut kept = if shared {
        Some(captured)
    } else {
        captured.ends().await;
        None
    };
    for columns in WIDTHS {
        let cli_harness = match kept.take() {
            Some(kept) => kept,
            None => CliHarness::of(case).await,
        };
        let screen = Screen::start(&cli_harness.home, &borrowed(&cli_harness.words), columns);
        if let Some(until) = case.until {
            // Where lines are longer than the terminal is wide, spaces break them between words.
            let as_words = |line: &String| line.split_whitespace().collect::<Vec<_>>().join(" ");
            screen.wait_for(until, |lines| lines.iter().any(|line| as_words(line).contains(until)));
            screen.signal("INT");
        }
        let seen = screen.end();
        let what = format!("{} at {columns} columns", case.words);
        assert_shows(&what, &seen, &ran);
        let bars = seen.lines.iter().find(|line| line.contains("serving [") || line.contains("redundant ["));
        assert_eq!(bars, None, "{what}: bars are left: {:#?}", seen.lines);
        if shared {
            kept = Some(cli_harness);
        } else {
            cli_harness.ends().await;
        }
    }
    if let Some(kept) = kept {
        kept.ends().await;
    }
}

async fn each_shows_every_line(cases: &[Case]) {
    for case in cases {
        every_line_is_shown(case).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_that_look_show_every_line_at_any_width() {
    each_shows_every_line(LOOKS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn practising_shows_every_line_at_any_width() {
    each_shows_every_line(PRACTICE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_show_every_line_at_any_width() {
    each_shows_every_line(RUNS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn undertakings_show_every_line_at_any_width() {
    each_shows_every_line(UNDERTAKINGS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn single_steps_show_every_line_at_any_width() {
    each_shows_every_line(STEPS).await;
}

/// The window is dragged about while the run is at work and its bars are on the screen.
#[tokio::test(flavor = "multi_thread")]
async fn every_line_survives_resizes_in_mid_run() {
    async fn cluster() -> (Harness, String) {
        let harness = Harness::start(Scenario::EverythingRestarted).await;
        let nameserver = harness.sandbox().nameserver_address().unwrap().to_string();
        (harness, nameserver)
    }
    for output in ["text", "json"] {
        let (harness, nameserver) = cluster().await;
        let ran = Home::new().run(&["recover", "--all", "--output", output, "--nameserver", &nameserver]).expect(0);
        harness.stop().await;

        let (harness, nameserver) = cluster().await;
        harness.hold_at(&["RecoverTable"], 1);
        let home = Home::new();
        let screen = Screen::start(&home, &["recover", "--all", "--output", output, "--nameserver", &nameserver], 80);
        screen.wait_for("bars", |lines| lines.iter().any(|line| line.contains("redundant [")));
        for (columns, lines) in [(40, 12), (200, 40), (33, 6), (120, 3), (60, 24), (61, 24), (40, 12)] {
            screen.resize(columns, lines);
            screen.wait_for_more();
        }
        harness.release();
        let seen = screen.end();
        assert_shows(&format!("{output}, resized"), &seen, &ran);
        harness.stop().await;
    }
}

/// Somebody presses Enter to see whether it is still alive.
#[tokio::test(flavor = "multi_thread")]
async fn enter_in_mid_run_leaves_no_row_behind() {
    let harness = Harness::start(Scenario::EverythingRestarted).await;
    harness.hold_at(&["RecoverTable"], 1);
    let nameserver = harness.sandbox().nameserver_address().unwrap().to_string();
    let home = Home::new();
    let screen = Screen::start_sized(&home, &["recover", "--all", "--nameserver", &nameserver], (100, 40));
    let bars = |lines: &[String]| lines.iter().filter(|line| line.contains("redundant [")).count();
    screen.wait_for("bars", |lines| bars(lines) == 1);
    for _ in 0..3 {
        screen.types("\r");
        screen.wait_for_more();
        screen.wait_for("one display, and not two", |lines| bars(lines) == 1);
    }
    harness.release();
    let seen = screen.end();
    assert_eq!((bars(&seen.lines), seen.code), (0, 0), "{:#?}", seen.lines);
    harness.stop().await;
}

/// A command's subcommands without any of their own, with their switches: the options that take no value.
fn leaves(command: &clap::Command, path: &str, leaves: &mut Vec<(String, Vec<String>)>) {
    if command.get_subcommands().next().is_none() {
        let switches =
            command.get_arguments().filter(|argument| matches!(argument.get_action(), clap::ArgAction::SetTrue));
        leaves
            .push((path.to_owned(), switches.filter_map(|argument| argument.get_long()).map(str::to_owned).collect()));
    }
    for below in command.get_subcommands() {
        self::leaves(below, format!("{path} {}", below.get_name()).trim_start(), leaves);
    }
}

#[test]
fn every_command_and_every_switch_has_been_on_a_terminal() {
    let mut known = Vec::new();
    leaves(&Cli::command(), "", &mut known);
    assert!(known.len() > 20, "{known:?}");
    let typed: Vec<String> = all().map(|case| format!("{} ", case.words)).collect();
    let is_typed = |path: &str, switch: &str| {
        typed.iter().any(|words| words.starts_with(&format!("{path} ")) && words.contains(&format!(" --{switch} ")))
    };
    let never: Vec<&String> = known
        .iter()
        .map(|(path, _)| path)
        .filter(|path| !typed.iter().any(|words| words.starts_with(&format!("{path} "))))
        .collect();
    assert!(never.is_empty(), "not in tests/it/terminal/commands.rs: {never:?}");
    // A switch that several commands have is the same for all of them.
    let switches: BTreeSet<&String> = known.iter().flat_map(|(_, switches)| switches).collect();
    let never: Vec<_> =
        switches.into_iter().filter(|switch| !known.iter().any(|(path, _)| is_typed(path, switch))).collect();
    assert!(never.is_empty(), "not in tests/it/terminal/commands.rs: {never:?}");
}
