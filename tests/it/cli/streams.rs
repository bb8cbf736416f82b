//! stdout is for data, stderr for people; both may go away.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Stdio;

use crate::support::process::Home;

#[test]
fn progress_and_messages_go_to_stderr() {
    let ran = Home::new().run(&["recover", "--all", "--sandbox", "--output", "json"]).expect(0);
    assert!(ran.stdout.lines().all(|line| line.starts_with('{') && line.ends_with('}')));
    for line in ["12 partitions with 22 replicas", "redundant after", "Its clock runs 20 times faster"] {
        assert!(ran.stderr.contains(line), "{line}: {}", ran.stderr);
    }
}

/// Whichever crate they are made in.
#[test]
fn calls_and_decisions_are_told_to_those_who_ask() {
    let says = |more: &[&str]| {
        let home = Home::new();
        let arguments = [&["recover", "--all", "--sandbox", "--time-scale", "200"][..], more].concat();
        let ran = home.run(&arguments).expect(0);
        [ran.stderr.contains("method=\"GetTableStatus\""), ran.stderr.contains("decided")]
    };
    assert_eq!((says(&[]), says(&["-vv"]), says(&["-vvv"])), ([false, false], [false, true], [true, true]));
}

#[test]
fn a_reader_that_goes_away_stops_nothing_and_changes_no_exit_code() {
    let home = Home::new();
    let cases: [(&[&str], i32); 5] = [
        (&["recover", "--all", "--sandbox"], 0),
        (&["recover", "--all", "--sandbox", "--output", "json"], 0),
        (&["recover", "--all", "--dry-run", "--sandbox"], 0),
        (&["status", "--sandbox"], 3),
        (&["snapshot", "--sandbox"], 0),
    ];
    for (arguments, code) in cases {
        let mut process = home.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::with_capacity(1, process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let mut stderr = String::new();
        process.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        assert_eq!(process.wait().unwrap().code(), Some(code), "{arguments:?}: {stderr}");
        assert!(!stderr.contains("error") && !stderr.contains("panic"), "{arguments:?}: {stderr}");
        if arguments[0] == "recover" && arguments[2] != "--dry-run" {
            assert!(stderr.contains("shop.orders/3: redundant"), "the run went on to its end: {stderr}");
        }
    }
}

/// A pipe nobody reads from any more.
fn broken_pipe() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

#[test]
fn messages_that_nobody_reads_stop_nothing() {
    let home = Home::new();
    let run = |arguments: &[&str]| {
        home.command(arguments).stdout(broken_pipe()).stderr(broken_pipe()).status().unwrap().code()
    };
    assert_eq!(run(&["recover", "--all"]), Some(2));
    assert_eq!(run(&["recover", "--all", "--sandbox"]), Some(0));
    assert_eq!(run(&["recover", "--all", "--sandbox", "--time-scale", "200", "-vv"]), Some(0));
    assert_eq!(run(&["playbook", "list"]), Some(0));
}

#[test]
fn no_escape_goes_into_a_pipe() {
    // With and without NO_COLOR, which the environment of these tests sets.
    for home in [Home::new(), Home::new().with("NO_COLOR", "").with("TERM", "xterm-256color")] {
        for arguments in [&["recover", "--all", "--sandbox"][..], &["status", "--sandbox", "-vvv"], &["recover"]] {
            let ran = home.run(arguments);
            assert!(!ran.stdout.contains('\u{1b}') && !ran.stderr.contains('\u{1b}'), "{ran:?}");
        }
    }
}

#[test]
fn no_color_is_respected_on_a_terminal() {
    // `script` gives the program a terminal; it comes with every Linux distribution's util-linux.
    let run = |home: &Home| {
        let program = env!("CARGO_BIN_EXE_openmldb-ops");
        let mut command = home.command(&[]);
        let (variables, directory) = (command.get_envs().map(|(k, v)| (k.to_owned(), v.unwrap().to_owned())), home);
        let variables: Vec<_> = variables.collect();
        command = std::process::Command::new("script");
        command.env_clear().envs(variables).env("PATH", "/usr/bin:/bin").env("TERM", "xterm-256color");
        command.args(["-q", "-c", &format!("{program} status --sandbox"), "/dev/null"]);
        command.current_dir(directory.file(".")).stdin(Stdio::null());
        String::from_utf8_lossy(&command.output().unwrap().stdout).into_owned()
    };
    let colour = "\u{1b}[1m\u{1b}[31m";
    let coloured = run(&Home::new().with("NO_COLOR", ""));
    assert!(coloured.contains("shop.orders/0-3") && coloured.contains(colour), "{coloured:?}");
    let plain = run(&Home::new());
    assert!(plain.contains("shop.orders/0-3") && !plain.contains(colour), "{plain:?}");
}
