//! The program on a terminal of its own: a pseudo-terminal, and an emulator that keeps everything it was shown.

use std::io::{Read as _, Write as _};
use std::process::Child;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use avt::Terminal;
use pty_process::Size;
use pty_process::blocking::{Command, Pty, open};

use super::patience::Patience;
use super::process::{Home, tidy};

/// The lines of each of these terminals, fewer than most commands print.
pub const LINES: u16 = 12;

/// The program while it runs, killed when dropped.
pub struct Screen {
    process: Child,
    pty: Arc<Pty>,
    terminal: Arc<Mutex<Terminal>>,
    /// How often something has come.
    fed: Arc<AtomicUsize>,
    reader: JoinHandle<()>,
    arguments: String,
    home: String,
}

/// What a terminal has shown once the program on it has ended.
pub struct Seen {
    /// With what has scrolled away; a line that was wrapped is one.
    pub lines: Vec<String>,
    pub code: i32,
}

impl Screen {
    /// Starts the program on a terminal as wide as that.
    pub fn start(home: &Home, arguments: &[&str], columns: u16) -> Self {
        Self::start_sized(home, arguments, (columns, LINES))
    }

    /// On one with so many columns and lines.
    pub fn start_sized(home: &Home, arguments: &[&str], (columns, lines): (u16, u16)) -> Self {
        let (pty, end) = open().unwrap();
        pty.resize(Size::new(lines, columns)).unwrap();
        let mut command = home.command(arguments);
        command.env("TERM", "xterm-256color");
        let process = Command::from(command).stdin(end_of_input()).spawn(end).unwrap();
        let pty = Arc::new(pty);
        let terminal = Terminal::with_scrollback(columns.into(), lines.into(), None).unwrap();
        let terminal = Arc::new(Mutex::new(terminal));
        let fed = Arc::new(AtomicUsize::new(0));
        let reader = std::thread::spawn({
            let (pty, terminal, fed) = (pty.clone(), terminal.clone(), fed.clone());
            move || read(&pty, &terminal, &fed)
        });
        Self { process, pty, terminal, fed, reader, arguments: arguments.join(" "), home: home.file("") }
    }

    /// As somebody does who drags the window's corner.
    pub fn resize(&self, columns: u16, lines: u16) {
        // What comes meanwhile waits: the terminal has its new size before the program can know.
        let mut terminal = self.terminal.lock().unwrap();
        terminal.resize(columns.into(), lines.into());
        self.pty.resize(Size::new(lines, columns)).unwrap();
    }

    /// Everything that it has shown so far and that was not erased.
    pub fn lines(&self) -> Vec<String> {
        lines(&self.terminal.lock().unwrap())
    }

    /// What is on it now, cell by cell.
    pub fn cells(&self) -> Vec<Vec<avt::Cell>> {
        let terminal = self.terminal.lock().unwrap();
        terminal.screen().visible_lines().map(|line| line.cells().to_vec()).collect()
    }

    /// Waits until it shows something.
    pub fn wait_for(&self, what: &str, is_shown: impl Fn(&[String]) -> bool) {
        let patience = Patience::with(self.process.id());
        while !is_shown(&self.lines()) {
            assert!(!patience.is_over(), "{}: never shown: {what}\n{:#?}", self.arguments, self.lines());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until something more has come than there was: the clock beside the bars moves on.
    pub fn wait_for_more(&self) {
        let before = self.fed.load(Ordering::Acquire);
        self.wait_for("more", |_| self.fed.load(Ordering::Acquire) > before + 1);
    }

    /// As somebody does at its keyboard.
    pub fn types(&self, keys: &str) {
        (&*self.pty).write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until nothing more comes: the clock beside the bars stands still.
    pub fn wait_for_silence(&self) {
        let patience = Patience::with(self.process.id());
        loop {
            let before = self.fed.load(Ordering::Acquire);
            std::thread::sleep(Duration::from_secs(1));
            if self.fed.load(Ordering::Acquire) == before {
                return;
            }
            assert!(!patience.is_over(), "{}: it goes on drawing", self.arguments);
        }
    }

    /// Sends it a signal, by name.
    pub fn signal(&self, name: &str) {
        let id = self.process.id().to_string();
        assert!(std::process::Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    /// Waits for its end.
    pub fn end(mut self) -> Seen {
        let patience = Patience::with(self.process.id());
        let code = loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                break status.code().unwrap_or_else(|| panic!("{}: {status}", self.arguments));
            }
            assert!(!patience.is_over(), "{} does not end:\n{:#?}", self.arguments, self.lines());
            std::thread::sleep(Duration::from_millis(5));
        };
        // The other end is closed by now, so what is left of its output comes, and then an error.
        while !self.reader.is_finished() {
            assert!(!patience.is_over(), "{}: its terminal does not end", self.arguments);
            std::thread::sleep(Duration::from_millis(5));
        }
        // Spaces break between words what is longer than the terminal is wide.
        let as_words = |line: String| line.split_whitespace().collect::<Vec<_>>().join(" ");
        let text = self.lines().into_iter().map(as_words).collect::<Vec<_>>().join("\n").replace(&self.home, "~/");
        Seen { lines: tidy(&text).lines().map(str::to_owned).collect(), code }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn end_of_input() -> std::process::Stdio {
    std::process::Stdio::null()
}

fn read(mut pty: &Pty, terminal: &Mutex<Terminal>, fed: &AtomicUsize) {
    let (mut buffer, mut rest) = ([0; 4096], Vec::new());
    while let Ok(read @ 1..) = pty.read(&mut buffer) {
        rest.extend(&buffer[..read]);
        // A character may be cut in two.
        let whole = std::str::from_utf8(&rest).map_or_else(|error| error.valid_up_to(), str::len);
        let bytes: Vec<u8> = rest.drain(..whole).collect();
        terminal.lock().unwrap().feed(std::str::from_utf8(&bytes).unwrap());
        fed.fetch_add(1, Ordering::Release);
    }
}

fn lines(terminal: &Terminal) -> Vec<String> {
    let mut lines: Vec<String> = terminal.screen().text().into_iter().map(|line| line.trim_end().to_owned()).collect();
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    lines
}
