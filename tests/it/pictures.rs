//! The pictures in docs/pictures are what the program draws, byte for byte. `cargo test --test it pictures -- --ignored` makes them anew.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};
use std::{fs, io};

use avt::Cell;
use openmldb_ops::run::Event;
use openmldb_ops::sandbox::Options;
use openmldb_ops::sandbox::scenario::{Generated, Scenario, Shape};
use openmldb_ops::ui::{Detail, Drawn, Paint, Progress};

use crate::support::harness::Harness;
use crate::support::process::Home;
use crate::support::screen::Screen;
use crate::support::svg::svg;

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

fn picture(title: &str, lines: &[Vec<Cell>]) -> String {
    let is_empty = |line: &Vec<Cell>| line.iter().all(|cell| cell.char() == ' ');
    let used = lines.iter().rposition(|line| !is_empty(line)).map_or(0, |last| last + 1);
    let mut cells = lines[..used].concat();
    as_in_a_cluster(&mut cells);
    let lines: Vec<Vec<Cell>> = cells.chunks(COLUMNS.into()).map(<[Cell]>::to_vec).collect();
    svg(title, &lines)
}

/// What `status` shows of a cluster that was restarted. How often it asked is left out: a busy machine may ask once more.
async fn status() -> String {
    let harness = Harness::start(Scenario::EverythingRestarted).await;
    let nameserver = harness.sandbox().nameserver_address().unwrap().to_string();
    let coloured = Home::new().with("NO_COLOR", "");
    let screen = Screen::start_sized(&coloured, &["status", "--nameserver", &nameserver], (COLUMNS, 100));
    let is_calls = |line: &str| line.starts_with("Calls: ");
    screen.wait_for("its end", |lines| lines.iter().any(|line| is_calls(line)));
    let mut cells = screen.cells();
    let text = |line: &Vec<Cell>| line.iter().map(Cell::char).collect::<String>();
    cells.truncate(cells.iter().position(|line| is_calls(&text(line))).unwrap());
    screen.end();
    harness.stop().await;
    picture("$ openmldb-ops status", &cells)
}

/// What is shown of a recovery when a third of the followers are back: drawn by the program from what a run on a simulated clock has told.
async fn recover() -> String {
    let generated = Some(Generated { tables: 20, partitions: 8, replicas: 3, rows: 2_000 });
    let shape = Shape { tablets: 5, generated, ..Shape::default() };
    let options = Options { shape, ..Options::default() };
    let harness = Harness::in_memory_with(Scenario::EverythingRestarted, &options).await;
    let run = harness.run().await;
    let is_a_third = |event: &Event| matches!(event, Event::Progress(now) if now.followers_back * 3 >= now.followers && now.followers > 0);
    let until = run.events.iter().position(is_a_third).unwrap();
    let on = Drawing::default();
    let progress = Progress::drawn(on.drawn(24), Detail::Usual, Paint::Coloured);
    for event in &run.events[..=until] {
        // Where its record is differs from run to run.
        let path = "/var/lib/openmldb-ops/run-1796007165000-0.jsonl".to_owned();
        let recorded = matches!(event, Event::Recorded { .. }).then_some(Event::Recorded { path });
        progress.show(recorded.as_ref().unwrap_or(event));
    }
    on.is_drawn();
    let cells =
        on.terminal.lock().unwrap().screen().visible_lines().map(|line| line.cells().to_vec()).collect::<Vec<_>>();
    progress.finish();
    picture("$ openmldb-ops recover --all", &cells)
}

/// A terminal that nobody looks at, whose clock stands still.
#[derive(Clone)]
struct Drawing {
    terminal: Arc<Mutex<avt::Terminal>>,
    written: Arc<AtomicUsize>,
}

impl Default for Drawing {
    fn default() -> Self {
        let terminal = avt::Terminal::with_scrollback(COLUMNS.into(), 24, None).unwrap();
        Self { terminal: Arc::new(Mutex::new(terminal)), written: Arc::default() }
    }
}

impl Drawing {
    fn drawn(&self, lines: u16) -> Drawn {
        static NOW: LazyLock<Instant> = LazyLock::new(Instant::now);
        Drawn { to: Box::new(self.clone()), size: Box::new(move || (lines, COLUMNS)), clock: || *NOW }
    }

    /// Waits until all that was told is drawn: it is drawn again now and then.
    fn is_drawn(&self) {
        let before = self.written.load(Ordering::Acquire);
        while self.written.load(Ordering::Acquire) < before + 2 {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl io::Write for Drawing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // As a terminal's driver does it.
        let text = std::str::from_utf8(bytes).unwrap().replace('\n', "\r\n");
        self.terminal.lock().unwrap().feed(text.as_str());
        self.written.fetch_add(1, Ordering::Release);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn is_as_drawn(name: &str, drawn: &str) {
    let kept = fs::read_to_string(file(name)).unwrap();
    assert!(
        kept == drawn,
        "{name} is not what is drawn now: `cargo test --test it pictures -- --ignored` makes it anew"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_picture_of_a_status_is_what_is_drawn_now() {
    is_as_drawn("status.svg", &status().await);
}

#[tokio::test(start_paused = true)]
async fn the_picture_of_a_recovery_is_what_is_drawn_now() {
    is_as_drawn("recover.svg", &recover().await);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it writes docs/pictures"]
async fn the_picture_of_a_status_is_made_anew() {
    fs::write(file("status.svg"), status().await).unwrap();
}

#[tokio::test(start_paused = true)]
#[ignore = "it writes docs/pictures"]
async fn the_picture_of_a_recovery_is_made_anew() {
    fs::write(file("recover.svg"), recover().await).unwrap();
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
