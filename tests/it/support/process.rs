//! The program as a process, in an environment of its own: nothing of the machine's is seen, nothing is left behind.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;

pub use super::patience::PATIENCE;
use super::patience::Patience;

/// A home directory with everything the program may read or write, removed when dropped.
pub struct Home {
    path: PathBuf,
    environment: Vec<(String, String)>,
}

impl Home {
    pub fn new() -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let name = format!("home-{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = std::fs::remove_dir_all(&path);
        for below in ["state", "tmp"] {
            std::fs::create_dir_all(path.join(below)).unwrap();
        }
        Self { path, environment: Vec::new() }
    }

    /// With one more environment variable.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The path of a file in it.
    pub fn file(&self, name: &str) -> String {
        self.path.join(name).display().to_string()
    }

    /// Writes a file, and gives its path.
    pub fn write(&self, name: &str, text: &str) -> String {
        std::fs::write(self.path.join(name), text).unwrap();
        self.file(name)
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path.join(name)).unwrap()
    }

    /// The records of runs on clusters that are no sandboxes.
    pub fn records(&self) -> Vec<PathBuf> {
        records_in(&self.path.join("state/openmldb-ops"))
    }

    /// Everything below the directories that the program may write into by itself.
    pub fn left_behind(&self) -> Vec<PathBuf> {
        let below = |name: &str| std::fs::read_dir(self.path.join(name)).unwrap().map(|entry| entry.unwrap().path());
        below("state").chain(below("tmp")).collect()
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        self.command_in(&[], arguments)
    }

    /// The program, started by other words before it.
    fn command_in(&self, before: &[&str], arguments: &[&str]) -> Command {
        let words = [before, &[env!("CARGO_BIN_EXE_openmldb-ops")], arguments].concat();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut command = Command::new(words[0]);
        command
            .args(&words[1..])
            .env_clear()
            .envs((!before.is_empty()).then_some(("PATH", path)))
            .env("HOME", &self.path)
            .env("XDG_STATE_HOME", self.path.join("state"))
            .env("TMPDIR", self.path.join("tmp"))
            .env("NO_COLOR", "1")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.path)
            .stdin(Stdio::null());
        command
    }

    /// Runs the program to its end.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        self.start(arguments).end()
    }

    /// The same, started by other words before it.
    pub fn run_in(&self, before: &[&str], arguments: &[&str]) -> Ran {
        self.running(self.command_in(before, arguments), arguments).end()
    }

    /// Starts the program.
    pub fn start(&self, arguments: &[&str]) -> Running {
        self.running(self.command(arguments), arguments)
    }

    fn running(&self, mut command: Command, arguments: &[&str]) -> Running {
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = Stream::of(process.stdout.take().unwrap());
        let stderr = Stream::of(process.stderr.take().unwrap());
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        Running { process, stdout, stderr, arguments, home: self.path.display().to_string() }
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// The records in a directory, oldest first.
pub fn records_in(directory: &Path) -> Vec<PathBuf> {
    let listed = std::fs::read_dir(directory);
    let mut records: Vec<PathBuf> = listed.into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
    records.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    records.sort();
    records
}

/// A stream read to its end beside the test.
struct Stream {
    lines: Receiver<String>,
    seen: String,
    reader: Option<JoinHandle<()>>,
}

impl Stream {
    fn of(stream: impl Read + Send + 'static) -> Self {
        let (sender, lines) = mpsc::channel();
        let reader = std::thread::spawn(move || {
            let mut stream = BufReader::new(stream);
            let mut line = Vec::new();
            while stream.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                let _ = sender.send(String::from_utf8(std::mem::take(&mut line)).unwrap());
            }
        });
        Self { lines, seen: String::new(), reader: Some(reader) }
    }

    fn wait_for(&mut self, patience: &Patience, wanted: impl Fn(&str) -> bool) -> Option<String> {
        loop {
            match self.lines.recv_timeout(patience.left()) {
                Ok(line) => {
                    self.seen += &line;
                    if wanted(&line) {
                        return Some(line);
                    }
                }
                Err(RecvTimeoutError::Timeout) if !patience.is_over() => {}
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    fn rest(mut self) -> String {
        self.reader.take().unwrap().join().unwrap();
        self.seen.extend(self.lines.try_iter());
        self.seen
    }
}

/// A process under way, killed when dropped.
pub struct Running {
    process: Child,
    stdout: Stream,
    stderr: Stream,
    arguments: Vec<String>,
    home: String,
}

impl Running {
    /// The next line of stdout that is wanted.
    pub fn wait_for_line(&mut self, wanted: impl Fn(&str) -> bool) -> String {
        let found = self.stdout.wait_for(&Patience::with(self.process.id()), wanted);
        found.unwrap_or_else(|| panic!("not on stdout:\n{}\n{}", self.stdout.seen, self.stderr.seen))
    }

    /// The next line of stderr that is wanted.
    pub fn wait_for_progress(&mut self, wanted: impl Fn(&str) -> bool) -> String {
        let found = self.stderr.wait_for(&Patience::with(self.process.id()), wanted);
        found.unwrap_or_else(|| panic!("not on stderr:\n{}", self.stderr.seen))
    }

    /// Its process's number.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Sends it a signal, by name.
    pub fn signal(&self, name: &str) {
        let id = self.process.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    /// Waits for its end, and says whether it was not a signal that ended it.
    pub fn ended_by_itself(mut self) -> bool {
        self.process.wait().unwrap().code().is_some()
    }

    /// Waits for its end.
    pub fn end(mut self) -> Ran {
        let patience = Patience::with(self.process.id());
        let status = loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                break status;
            }
            assert!(!patience.is_over(), "{:?} does not end:\n{}", self.arguments, self.stderr.seen);
            std::thread::sleep(Duration::from_millis(5));
        };
        let take = |stream: &mut Stream| {
            let (_, nothing) = mpsc::channel();
            let empty = Stream { lines: nothing, seen: String::new(), reader: None };
            std::mem::replace(stream, empty).rest()
        };
        let (stdout, stderr) = (take(&mut self.stdout), take(&mut self.stderr));
        super::schema::check_lines(&stdout);
        let (arguments, home) = (std::mem::take(&mut self.arguments), std::mem::take(&mut self.home));
        Ran { arguments, home, stdout, stderr, status }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A process that has ended.
#[derive(Debug)]
pub struct Ran {
    pub arguments: Vec<String>,
    home: String,
    pub stdout: String,
    pub stderr: String,
    status: ExitStatus,
}

impl Ran {
    /// Its exit code.
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| panic!("{self:?}"))
    }

    /// That it ended with this code, and gives it back.
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.status.code(), Some(code), "{:?}\n{}\n{}", self.arguments, self.stdout, self.stderr);
        self
    }

    /// The lines of stdout, each of which is a JSON object with its kind in `event`.
    pub fn events(&self) -> Vec<Value> {
        let event = |line: &str| {
            let value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            assert!(value["event"].is_string(), "{line}");
            value
        };
        self.stdout.lines().map(event).collect()
    }

    /// The last line of stdout, which is the summary.
    pub fn summary(&self) -> Value {
        let last = self.events().pop().unwrap_or_else(|| panic!("nothing on stdout:\n{}", self.stderr));
        assert_eq!(last["event"], "summary", "{}", self.stdout);
        last
    }

    /// What a person would have seen, without what differs from run to run. Progress comes in no certain order: sorted.
    pub fn transcript(&self) -> String {
        let mut progress: Vec<String> = self.tidy(&self.stderr).lines().map(str::to_owned).collect();
        if progress.iter().any(|line| line.contains(" serving after ")) {
            progress.sort();
        }
        let mut out = format!("$ openmldb-ops {}\n", self.tidy(&self.arguments.join(" ")));
        out += &self.tidy(&self.stdout);
        for line in progress {
            out += &format!("stderr: {line}\n");
        }
        out + &format!("exit {}\n", self.code())
    }

    /// A text of this process without what differs from run to run.
    pub fn tidy(&self, text: &str) -> String {
        tidy(&text.replace(&self.home, "~"))
    }
}

/// A text without what differs from run to run: ports, in their order, become 10001, 10002 and so on; times become 0.
pub fn tidy(text: &str) -> String {
    const HOST: &str = "127.0.0.1:";
    let port = |rest: &str| rest.chars().take_while(char::is_ascii_digit).collect::<String>();
    let ports: BTreeSet<String> =
        text.match_indices(HOST).map(|(at, _)| port(&text[at + HOST.len()..])).filter(|port| port.len() == 5).collect();
    let mut out = text.to_owned();
    for (nth, port) in ports.iter().enumerate() {
        out = out.replace(&format!("{HOST}{port}"), &format!("{HOST}{}", 10_001 + nth));
    }
    // What takes long is said, and what takes long depends on the machine.
    let waits = |line: &&str| line.contains(" waiting for ") && line.contains("(at most ");
    // So is how far rehearsals have come.
    let so_far = |line: &&str| line.starts_with("note: ") && line.contains(" done; of ") && line.contains(" serve, ");
    // Two partitions are under way at a time, and either may be done first.
    let counts = |line: &&str| line.contains(": done, ");
    let mut lines = out.lines().filter(|line| !waits(line) && !so_far(line) && !counts(line)).map(|line| {
        let mut line = without_id(without_time(line));
        line = zeroed(&line, "s seen at ", " UTC");
        line = zeroed(&line, ", taken ", " UTC");
        line = zeroed(&line, "serving after ", " s");
        line = zeroed(&line, "Serving after ", " s");
        line = zeroed(&line, "redundant after ", " s");
        line = zeroed(&line, "blocked after ", " s");
        line = zeroed(&line, "Calls: ", " reads");
        line = zeroed(&line, "reads, ", " mutations");
        line = zeroed(&line, "/run-", ".jsonl");
        zeroed(&line, "openmldb-ops-sandbox-", "/")
    });
    let mut out = lines.by_ref().collect::<Vec<_>>().join("\n");
    if text.ends_with('\n') {
        out.push('\n');
    }
    out
}

/// Lines of undertakings begin with the time of day.
pub fn without_time(line: &str) -> &str {
    let is_time = |time: &str| time.bytes().all(|byte| byte.is_ascii_digit() || byte == b':');
    match line.split_at_checked(9) {
        Some((time, rest)) if time.ends_with(' ') && is_time(time.trim_end()) && time.matches(':').count() == 2 => rest,
        _ => line,
    }
}

/// A plan's id is made of everything in it, ports among it.
fn without_id(line: &str) -> String {
    let label = ["Plan id: ", "--accept-data-loss "].into_iter().find(|label| line.contains(label));
    let Some(start) = label.and_then(|label| Some(line.find(label)? + label.len())) else { return line.to_owned() };
    let digits = line[start..].chars().take_while(char::is_ascii_hexdigit).count();
    format!("{}{}{}", &line[..start], "0".repeat(digits.min(16)), &line[start + digits..])
}

/// What stands between the two, if it holds digits and is short, becomes 0.
fn zeroed(line: &str, before: &str, after: &str) -> String {
    let Some(start) = line.find(before).map(|at| at + before.len()) else { return line.to_owned() };
    let Some(length) = line[start..].find(after) else { return line.to_owned() };
    let between = &line[start..start + length];
    let is_number = between.len() <= 25 && between.chars().all(|c| c.is_ascii_digit() || " .:-".contains(c));
    match is_number && between.contains(|c: char| c.is_ascii_digit()) {
        true => format!("{}0{}", &line[..start], &line[start + length..]),
        false => line.to_owned(),
    }
}
