//! Variables of the environment: set to nothing is as good as not set, as in `conf/openmldb-env.sh`, which sets all it knows.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command, CommandFactory, FromArgMatches};

use super::args::Cli;
use super::legacy::{Translated, translated};

/// A command line.
pub(super) struct Parsed {
    /// What it says.
    pub cli: Cli,
    /// Whether it asks for `--sandbox`, whichever command it is.
    pub has_sandbox: bool,
    /// The directory of `--record-dir`, whichever command it is, unless the environment says it.
    pub records: Option<PathBuf>,
    /// What to type instead, if it was typed in the words of OpenMLDB's script.
    pub note: Option<String>,
}

/// Parses the command line and the environment. Wrong usage ends the program with 2, as clap has it.
pub(super) fn parse() -> Parsed {
    let typed: Vec<OsString> = std::env::args_os().collect();
    let (words, note) = match translated(&typed) {
        Some(Translated { words, note }) => (words, Some(note)),
        None => (typed, None),
    };
    let matches = without_empty(Cli::command()).get_matches_from(words);
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let of_command = of_command(&matches);
    // A command that knows no such word is an error here.
    let has_sandbox = of_command.try_get_one::<String>("sandbox").is_ok_and(|named| named.is_some());
    let records = of_command.try_get_one::<PathBuf>("record_dir").ok().flatten().cloned();
    let is_typed = || of_command.value_source("record_dir") == Some(ValueSource::CommandLine);
    Parsed { cli, has_sandbox, records: records.filter(|_| is_typed()), note }
}

/// What was said to the command itself.
fn of_command(matches: &ArgMatches) -> &ArgMatches {
    matches.subcommand().map_or(matches, |(_, below)| of_command(below))
}

/// A variable's value, unless it is empty.
pub(super) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn without_empty(command: Command) -> Command {
    let is_empty = |arg: &Arg| arg.get_env().and_then(std::env::var_os).is_some_and(|value| value.is_empty());
    command.mut_args(|arg| if is_empty(&arg) { arg.env(None::<&str>) } else { arg }).mut_subcommands(without_empty)
}
