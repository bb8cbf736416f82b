//! Commands that messages name, made so that they can be pasted: each gets what it needs to reach the cluster that this one has
//! reached, wherever that was found.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use clap::{Command, CommandFactory as _};

use super::args::Cli;
use super::find::{DEFAULT_ROOT, Found, Source, Value, What};

/// How a command begins.
const PROGRAM: &str = "openmldb-ops ";

/// Options, each with the name by which clap knows it and its words.
#[derive(Debug, Default)]
pub struct ConnectionArgs {
    options: Vec<(&'static str, String)>,
}

/// What is carried, once the cluster was found.
pub type Carries = Arc<OnceLock<ConnectionArgs>>;

impl ConnectionArgs {
    /// To a cluster that was found.
    pub fn to(found: &Found, records: Option<&Path>) -> Self {
        let option = |id, option: &str, word: &str| (id, format!("{option} {}", quoted(word)));
        let mut options = Vec::new();
        if let Some(address) = found.text(What::Nameserver) {
            options.push(option("nameserver", "--nameserver", address));
        }
        if let Some(servers) = found.text(What::Servers) {
            options.push(option("zk_cluster", "--zk-cluster", servers));
            let root = found.text(What::Root).unwrap_or(DEFAULT_ROOT);
            options.push(option("zk_root_path", "--zk-root-path", root));
        }
        let pairs = [(What::Certificate, "zk_cert_file", "--zk-cert-file"), (What::User, "auth_file", "--auth-file")];
        for (what, id, words) in pairs {
            match found.get(what).map(|told| (&told.saying.value, &told.source)) {
                Some((Value::File(file), _)) => options.push(option(id, words, &absolute(file))),
                // It is not shown, so the file with it is named.
                Some((Value::Secret(_), Source::FlagFile(file) | Source::Deployment(file))) => {
                    options.retain(|(id, _)| *id != "flagfile");
                    options.push(option("flagfile", "--flagfile", &absolute(file)));
                }
                _ => {}
            }
        }
        Self { options }.with_records(records)
    }

    /// To an embedded cluster like this one, which ends with its command.
    pub fn to_a_sandbox(words: String) -> Self {
        Self { options: vec![("sandbox", words)] }
    }

    fn with_records(mut self, records: Option<&Path>) -> Self {
        if let Some(records) = records {
            self.options.push(("record_dir", format!("--record-dir {}", quoted(&absolute(records)))));
        }
        self
    }

    /// Whether the cluster was found through its ZooKeeper.
    pub fn is_by_zookeeper(&self) -> bool {
        self.options.iter().any(|(id, _)| *id == "zk_cluster")
    }

    /// A command, or a sentence with commands in backticks. What follows ` # ` is a comment.
    pub fn command(&self, text: &str) -> String {
        if !text.starts_with(PROGRAM) {
            return self.text(text, |words| words.to_owned());
        }
        let (command, comment) = text.find(" # ").map_or((text, ""), |at| text.split_at(at));
        format!("{command}{}{comment}", self.words_for(command))
    }

    /// A text with commands in backticks, and how words are written in it.
    fn text(&self, text: &str, written: impl Fn(&str) -> String) -> String {
        let start = format!("`{PROGRAM}");
        let mut out = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(&start) {
            let (before, command) = rest.split_at(at + 1);
            out += before;
            let end = command.find(['`', '\n']).unwrap_or(command.len());
            let (command, after) = command.split_at(end);
            out += command;
            if after.starts_with('`') {
                out += &written(&self.words_for(command));
            }
            rest = after;
        }
        out + rest
    }

    /// What a command needs beside what it has; nothing if it needs no cluster, or names one.
    pub fn words_for(&self, command: &str) -> String {
        let named = ["--zk-cluster", "--nameserver", "--sandbox", "--snapshot", "--cluster", "--flagfile"];
        let words: Vec<&str> = command.split_whitespace().skip(1).collect();
        if words.iter().any(|word| named.iter().any(|option| word.starts_with(option))) {
            return String::new();
        }
        let Some(known) = subcommand(&words) else { return String::new() };
        let takes = |id: &str| known.get_arguments().any(|argument| argument.get_id() == id);
        let is_given = |id: &str| id == "record_dir" && words.contains(&"--record-dir");
        let wanted = self.options.iter().filter(|(id, _)| takes(id) && !is_given(id));
        wanted.map(|(_, words)| format!(" {words}")).collect()
    }
}

/// The command that words begin with; none if there is no such.
fn subcommand(words: &[&str]) -> Option<Command> {
    let mut found = Cli::command();
    for word in words {
        match found.find_subcommand(word) {
            Some(below) => found = below.clone(),
            None if found.has_subcommands() => return None,
            None => break,
        }
    }
    Some(found)
}

fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| PathBuf::from(path)).display().to_string()
}

/// A word as a shell reads it.
pub(super) fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_@%+=:,./-".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

/// How a stream is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// JSON Lines.
    Json,
}

/// A stream in which the commands that are named can be pasted. Each write is whole lines.
#[derive(Debug)]
pub struct Carrying<W> {
    to: W,
    format: Format,
    carries: Carries,
}

impl<W: Write> Carrying<W> {
    /// Such a stream.
    pub fn new(to: W, format: Format, carries: Carries) -> Self {
        Self { to, format, carries }
    }
}

/// What a line begins with that tells what is in the cluster, as it is there.
const DATA: &str = r#"{"event":"odd_row""#;

impl<W: Write> Write for Carrying<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let carried = self.carries.get().zip(std::str::from_utf8(bytes).ok());
        match carried.filter(|(_, text)| !text.starts_with(DATA)) {
            Some((carried, text)) => {
                let text = match self.format {
                    Format::Text => carried.text(text, |words| words.to_owned()),
                    Format::Json => carried.text(text, in_json),
                };
                self.to.write_all(text.as_bytes())?;
            }
            None => self.to.write_all(bytes)?,
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// Words inside a string of JSON.
fn in_json(words: &str) -> String {
    let string = serde_json::Value::from(words).to_string();
    string[1..string.len() - 1].to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::find::{Said, Saying, find};
    use super::*;

    fn found(sayings: &[(What, Value)]) -> ConnectionArgs {
        let say = |(what, value): &(What, Value)| Saying { what: *what, value: value.clone(), key: "" };
        let said = Said::by(Source::CommandLine, sayings.iter().map(say).collect());
        ConnectionArgs::to(&find(&[said]).unwrap_or_default(), Some(Path::new("/r e")))
    }

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    #[test]
    fn a_command_gets_what_it_takes_to_reach_the_cluster() {
        let carried = found(&[(What::Servers, text("zk:2181")), (What::Certificate, Value::File("/c".into()))]);
        let reach = "--zk-cluster zk:2181 --zk-root-path /openmldb --zk-cert-file /c";
        let commands = [
            ("openmldb-ops show tablets", format!("openmldb-ops show tablets {reach}")),
            (
                "openmldb-ops recover --all # once",
                format!("openmldb-ops recover --all {reach} --record-dir '/r e' # once"),
            ),
            ("see `openmldb-ops status`, wait", format!("see `openmldb-ops status {reach} --record-dir '/r e'`, wait")),
            // What needs no cluster, what names one, what is no command of ours.
            ("openmldb-ops record list", "openmldb-ops record list --record-dir '/r e'".to_owned()),
            ("openmldb-ops playbook list", "openmldb-ops playbook list".to_owned()),
            ("openmldb-ops status --sandbox", "openmldb-ops status --sandbox".to_owned()),
            ("openmldb-ops brings it back", "openmldb-ops brings it back".to_owned()),
            ("start 10.0.0.3:10921", "start 10.0.0.3:10921".to_owned()),
        ];
        for (command, pasted) in commands {
            assert_eq!(carried.command(command), pasted);
        }
    }

    #[test]
    fn by_a_nameservers_address_too() {
        let carried = found(&[(What::Nameserver, text("10.0.0.1:7527"))]);
        assert!(!carried.is_by_zookeeper());
        assert_eq!(carried.command("openmldb-ops show ops"), "openmldb-ops show ops --nameserver 10.0.0.1:7527");
    }

    #[test]
    fn a_stream_of_json_stays_json_and_rows_stay_as_they_are() {
        let carries = Carries::default();
        let mut written = Vec::new();
        let mut stream = Carrying::new(&mut written, Format::Json, carries.clone());
        let _ = carries.set(found(&[(What::Servers, text("z\"k:1"))]));
        stream.write_all(b"{\"hint\":\"see `openmldb-ops show ops`\"}\n").ok();
        stream.write_all(b"{\"event\":\"odd_row\",\"key\":\"`openmldb-ops show ops`\"}\n").ok();
        let lines = String::from_utf8(written).unwrap_or_default();
        let (hint, row) = lines.split_once('\n').unwrap_or_default();
        let hint: serde_json::Value = serde_json::from_str(hint).unwrap_or_default();
        assert_eq!(hint["hint"], "see `openmldb-ops show ops --zk-cluster 'z\"k:1' --zk-root-path /openmldb`");
        assert_eq!(row, "{\"event\":\"odd_row\",\"key\":\"`openmldb-ops show ops`\"}\n");
    }
}
