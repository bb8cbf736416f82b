//! Variables of the environment: set to nothing is as good as not set, as in `conf/openmldb-env.sh`, which sets all it knows.

use clap::{Arg, Command, CommandFactory, FromArgMatches};

use super::args::Cli;

/// Parses the command line and the environment. Wrong usage ends the program with 2, as clap has it.
pub(super) fn parse() -> Cli {
    let matches = without_empty(Cli::command()).get_matches();
    Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

/// A variable's value, unless it is empty.
pub(super) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn without_empty(command: Command) -> Command {
    let is_empty = |arg: &Arg| arg.get_env().and_then(std::env::var_os).is_some_and(|value| value.is_empty());
    command.mut_args(|arg| if is_empty(&arg) { arg.env(None::<&str>) } else { arg }).mut_subcommands(without_empty)
}
