//! The command lines of OpenMLDB's `openmldb_ops.py`, so that what called it can call this: each is one of ours in other words.

use std::ffi::OsString;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, ValueEnum};

use super::connection_args::quoted;

/// What the script understands.
#[derive(Debug, Parser)]
#[command(name = "openmldb-ops", infer_long_args = true, args_override_self = true, rename_all = "snake_case")]
struct Script {
    /// What to do
    #[arg(long, value_enum)]
    cmd: ScriptCommand,
    /// ZooKeeper servers
    #[arg(long)]
    zk_cluster: Option<String>,
    /// The root path
    #[arg(long)]
    zk_root_path: Option<String>,
    /// Not needed
    #[arg(long)]
    openmldb_bin_path: Option<String>,
    /// Tablets, with commas between them
    #[arg(long)]
    endpoints: Option<String>,
    /// Not needed: what `upgrade post` needs is kept beside the records
    #[arg(long)]
    statfile: Option<String>,
    /// For pre-upgrade: leave partitions with a single replica where they are
    #[arg(long)]
    allow_single_replica: bool,
    /// For showopstatus: a database
    #[arg(long)]
    db: Option<String>,
    /// For showopstatus: a state; for showtablestatus: databases that are like this
    #[arg(long)]
    filter: Option<String>,
}

/// What it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "verbatim")]
enum ScriptCommand {
    #[value(name = "recoverdata")]
    RecoverData,
    #[value(name = "scaleout")]
    ScaleOut,
    #[value(name = "scalein")]
    ScaleIn,
    #[value(name = "pre-upgrade")]
    PreUpgrade,
    #[value(name = "post-upgrade")]
    PostUpgrade,
    #[value(name = "showopstatus")]
    ShowOpStatus,
    #[value(name = "showtablestatus")]
    ShowTableStatus,
}

/// A command line of ours that was written in the script's words.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Translated {
    /// The program's name, and the words.
    pub words: Vec<OsString>,
    /// What to type instead.
    pub note: String,
}

/// One of the script's command lines in our words; none if it is none of them. What the script would not understand ends the program
/// with 2, as clap has it.
pub(super) fn translated(typed: &[OsString]) -> Option<Translated> {
    let is_of_the_script =
        |word: &OsString| word.to_str().is_some_and(|word| word == "--cmd" || word.starts_with("--cmd="));
    typed.iter().any(is_of_the_script).then(|| {
        let matches = Script::command().get_matches_from(typed);
        let script = Script::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
        let words = script.words();
        let typed = words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ");
        let note = format!("openmldb_ops.py's command line; instead, run: openmldb-ops {typed}");
        let words = std::iter::once("openmldb-ops".to_owned()).chain(words).map(OsString::from).collect();
        Translated { words, note }
    })
}

impl Script {
    fn words(&self) -> Vec<String> {
        let endpoints = || self.endpoints.iter().flat_map(|list| list.split(',')).map(str::trim);
        let endpoints = || endpoints().filter(|endpoint| !endpoint.is_empty()).map(str::to_owned);
        let mut words: Vec<String> = match self.cmd {
            ScriptCommand::RecoverData => vec!["recover", "--all"],
            ScriptCommand::ScaleOut => vec!["scale", "out"],
            ScriptCommand::ScaleIn => vec!["scale", "in"],
            ScriptCommand::PreUpgrade => vec!["upgrade", "pre"],
            ScriptCommand::PostUpgrade => vec!["upgrade", "post"],
            ScriptCommand::ShowOpStatus => vec!["show", "ops"],
            ScriptCommand::ShowTableStatus => vec!["show", "tables", "--health"],
        }
        .into_iter()
        .map(str::to_owned)
        .collect();
        let mut add = |option: &str, value: Option<String>| {
            words.extend(value.into_iter().flat_map(|value| [option.to_owned(), value]));
        };
        match self.cmd {
            ScriptCommand::RecoverData | ScriptCommand::ScaleOut => {}
            ScriptCommand::ScaleIn | ScriptCommand::PreUpgrade | ScriptCommand::PostUpgrade => {
                words.extend(endpoints())
            }
            ScriptCommand::ShowOpStatus => {
                add("--db", self.db.clone().filter(|db| !db.is_empty()));
                add("--state", self.filter.as_deref().map(|state| state_of(state).to_owned()));
            }
            ScriptCommand::ShowTableStatus => add("--db-like", self.filter.clone()),
        }
        if self.cmd == ScriptCommand::PreUpgrade && self.allow_single_replica {
            words.push("--allow-unavailable".to_owned());
        }
        let mut add = |option: &str, value: &Option<String>| {
            words.extend(value.iter().flat_map(|value| [option.to_owned(), value.clone()]));
        };
        add("--zk-cluster", &self.zk_cluster);
        add("--zk-root-path", &self.zk_root_path);
        words
    }
}

/// A state of an operation, as `show ops` has it. What is none is refused there.
fn state_of(filter: &str) -> &str {
    match filter {
        "kInited" => "queued",
        "kDoing" => "doing",
        "kDone" => "done",
        "kFailed" => "failed",
        "kCanceled" => "canceled",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours(typed: &str) -> String {
        let words: Vec<OsString> = format!("openmldb-ops {typed}").split(' ').map(OsString::from).collect();
        let Some(translated) = translated(&words) else { return "not the script's".to_owned() };
        let words: Vec<String> = translated.words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
        assert_eq!(translated.note, format!("openmldb_ops.py's command line; instead, run: {}", words.join(" ")));
        words[1..].join(" ")
    }

    #[test]
    fn each_of_the_scripts_command_lines_is_one_of_ours() {
        let reach = "--openmldb_bin_path=./bin/openmldb --zk_cluster=zk:2181 --zk_root_path=/openmldb";
        let ours_reach = "--zk-cluster zk:2181 --zk-root-path /openmldb";
        let cases = [
            // As sbin/start-all.sh calls it.
            (format!("{reach} --cmd=recoverdata"), format!("recover --all {ours_reach}")),
            (format!("--cmd recoverdata {reach}"), format!("recover --all {ours_reach}")),
            (format!("{reach} --cmd=scaleout"), format!("scale out {ours_reach}")),
            (format!("{reach} --cmd=scalein --endpoints=a:1,b:1"), format!("scale in a:1 b:1 {ours_reach}")),
            (
                format!("{reach} --cmd=pre-upgrade --endpoints a:1 --statfile=.s --allow_single_replica"),
                format!("upgrade pre a:1 --allow-unavailable {ours_reach}"),
            ),
            (format!("{reach} --cmd=post-upgrade --endpoints=a:1"), format!("upgrade post a:1 {ours_reach}")),
            ("--cmd=showopstatus --db=d --filter=kFailed".to_owned(), "show ops --db d --state failed".to_owned()),
            ("--cmd=showopstatus --db=".to_owned(), "show ops".to_owned()),
            ("--cmd=showtablestatus --filter=shop%".to_owned(), "show tables --health --db-like shop%".to_owned()),
            // As Python's optparse reads it: options shortened, and the last one counts.
            (
                "--cmd=scaleout --zk_c=old --zk_c=zk:1 --cmd=recoverdata".to_owned(),
                "recover --all --zk-cluster zk:1".to_owned(),
            ),
            ("recover --all".to_owned(), "not the script's".to_owned()),
        ];
        for (typed, wanted) in cases {
            assert_eq!(ours(&typed), wanted, "{typed}");
        }
    }

    #[test]
    fn every_one_of_them_is_understood() {
        use super::super::args::Cli;
        for command in ScriptCommand::value_variants() {
            let name = command.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
            let words = [format!("--cmd={name}"), "--endpoints=a:1".to_owned(), "--zk_cluster=zk:1".to_owned()];
            let words = std::iter::once("openmldb-ops".to_owned()).chain(words).map(OsString::from);
            let translated = translated(&words.collect::<Vec<_>>()).map(|translated| translated.words);
            let understood = translated.map(|words| Cli::command().try_get_matches_from(words).map(|_| ()));
            assert!(matches!(understood, Some(Ok(()))), "{name}: {understood:?}");
        }
    }
}
