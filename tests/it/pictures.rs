//! The pictures in docs/pictures: real commands on a pseudo-terminal. `cargo test --test it pictures -- --ignored` makes them anew.

use std::fs;
use std::path::{Path, PathBuf};

use avt::Cell;
use openmldb_ops::sandbox::scenario::{Generated, Scenario, Shape};
use openmldb_ops::sandbox::{Options, ZooKeeperPath};

use crate::support::harness::Harness;
use crate::support::process::Home;
use crate::support::screen::Screen;
use crate::support::svg::svg;
use crate::support::zookeeper::ZooKeeperServer;

/// Wide enough for what matters, narrow enough to be read beside a text.
const COLUMNS: u16 = 112;

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/pictures").join(name)
}

/// What is different each time (ports, the time of day) becomes what a cluster would have, as wide as it is, also where it goes on in
/// the next line.
fn as_in_a_cluster(cells: &mut [Cell]) {
    const HOST: &str = "127.0.0.1:";
    // Each cell one byte, so that places are the same in both.
    let mut text: String = cells.iter().map(|cell| if cell.char().is_ascii() { cell.char() } else { '?' }).collect();
    let mut known: Vec<String> = Vec::new();
    while let Some(at) = text.find(HOST) {
        let port: String = text[at + HOST.len()..].chars().take_while(char::is_ascii_digit).collect();
        let address = format!("{HOST}{port}");
        assert_eq!(address.len(), 15, "{address}");
        let number = known.iter().position(|other| *other == address).unwrap_or(known.len());
        known.extend((number == known.len()).then_some(address));
        text.replace_range(at..at + 15, &format!("10.0.0.{}:10921", 11 + number));
    }
    if let Some(at) = text.find(" UTC").and_then(|end| end.checked_sub(19)) {
        text.replace_range(at..at + 19, "2026-11-29 03:12:45");
    }
    for (cell, is) in
        cells.iter_mut().zip(text.chars()).filter(|(cell, is)| cell.char() != *is && cell.char().is_ascii())
    {
        *cell = with_char(cell, is);
    }
}

/// The same cell with another character.
fn with_char(cell: &Cell, is: char) -> Cell {
    let mut terminal = avt::Terminal::new(1, 1).unwrap();
    let pen = cell.pen();
    let bold = if pen.is_bold() { "1;" } else { "" };
    let faint = if pen.is_faint() { "2;" } else { "" };
    let colour = match pen.foreground() {
        Some(avt::Color::Indexed(number)) if number < 8 => format!("{}", 30 + number),
        Some(avt::Color::Indexed(number)) => format!("38;5;{number}"),
        _ => "39".to_owned(),
    };
    terminal.feed(format!("\u{1b}[{bold}{faint}{colour}m{is}"));
    let line = terminal.screen().visible_lines().next().unwrap().cells().to_vec();
    line[0]
}

fn write(name: &str, title: &str, lines: &[Vec<Cell>]) {
    let is_empty = |line: &Vec<Cell>| line.iter().all(|cell| cell.char() == ' ');
    let used = lines.iter().rposition(|line| !is_empty(line)).map_or(0, |last| last + 1);
    let mut cells = lines[..used].concat();
    as_in_a_cluster(&mut cells);
    let lines: Vec<Vec<Cell>> = cells.chunks(COLUMNS.into()).map(<[Cell]>::to_vec).collect();
    fs::create_dir_all(file("")).unwrap();
    fs::write(file(name), svg(title, &lines)).unwrap();
}

/// A home directory in which colours are wanted.
fn coloured() -> Home {
    Home::new().with("NO_COLOR", "")
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it writes docs/pictures"]
async fn status_after_everything_was_restarted() {
    let harness = Harness::start(Scenario::EverythingRestarted).await;
    let nameserver = harness.sandbox().nameserver_address().unwrap().to_string();
    let home = coloured();
    let screen = Screen::start_sized(&home, &["status", "--nameserver", &nameserver], (COLUMNS, 100));
    screen.wait_for("its end", |lines| lines.iter().any(|line| line.starts_with("Calls: ")));
    write("status.svg", "$ openmldb-ops status", &screen.cells());
    screen.end();
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it writes docs/pictures"]
async fn a_recovery_at_work() {
    let server = ZooKeeperServer::start().await;
    let zookeeper = Some(ZooKeeperPath { servers: server.address(), root: "/openmldb".to_owned(), digest: None });
    let generated = Generated { tables: 20, partitions: 8, replicas: 3, rows: 2_000 };
    let shape = Shape { tablets: 5, generated: Some(generated), ..Shape::default() };
    let harness =
        Harness::start_with(Scenario::EverythingRestarted, &Options { shape, zookeeper, ..Options::default() }).await;
    let servers = server.address();
    harness.hold_at(&["RecoverTable"], 60);
    let home = coloured();
    let words = ["recover", "--all", "--zk-cluster", &servers, "--record-dir", "records"];
    let screen = Screen::start_sized(&home, &words, (COLUMNS, 24));
    while !harness.live().is_held() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    // Whatever was seen until then is drawn; the clock beside it goes on.
    (0..4).for_each(|_| screen.wait_for_more());
    write("recover.svg", "$ openmldb-ops recover --all", &screen.cells());
    harness.release();
    screen.end();
    harness.stop().await;
}

/// Nothing of the machine on which they were made is in them, and README shows them.
#[test]
fn the_pictures_are_there_and_are_of_a_cluster() {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    for (name, shows) in [("status.svg", "partitions serve"), ("recover.svg", "serving")] {
        let picture = fs::read_to_string(file(name)).unwrap();
        assert!(picture.starts_with("<svg ") && picture.ends_with("</svg>\n"), "{name}");
        assert!(picture.contains(shows), "{name} does not show `{shows}`");
        for machine in ["127.0.0.1", "7.0.0.1:", "/tmp", "/home", "/root"] {
            assert!(!picture.contains(machine), "{name} has `{machine}` in it");
        }
        assert!(readme.contains(&format!("docs/pictures/{name}")), "README does not show {name}");
    }
}
