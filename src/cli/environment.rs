//! Variables of the environment: set to nothing is as good as not set, as in `conf/openmldb-env.sh`, which sets all it knows.

use clap::{Arg, ArgMatches, Command, CommandFactory, FromArgMatches};

use super::args::Cli;

/// Parses the command line and the environment, and says whether it asks for `--sandbox`. Wrong usage ends the program with 2,
/// as clap has it.
pub(super) fn parse() -> (Cli, bool) {
    let matches = without_empty(Cli::command()).get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    (cli, asks_for_a_sandbox(&matches))
}

/// Whichever command it is.
fn asks_for_a_sandbox(matches: &ArgMatches) -> bool {
    match matches.subcommand() {
        Some((_, below)) => asks_for_a_sandbox(below),
        // A command that knows no such word is an error here.
        None => matches.try_get_one::<String>("sandbox").is_ok_and(|named| named.is_some()),
    }
}

/// A variable's value, unless it is empty.
pub(super) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn without_empty(command: Command) -> Command {
    let is_empty = |arg: &Arg| arg.get_env().and_then(std::env::var_os).is_some_and(|value| value.is_empty());
    command.mut_args(|arg| if is_empty(&arg) { arg.env(None::<&str>) } else { arg }).mut_subcommands(without_empty)
}
