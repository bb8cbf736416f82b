//! Switches that are shared by several commands must not meet one of the same name there: clap looks for that only where its own
//! debug assertions are on, which they are not.

use std::collections::BTreeMap;

use clap::{Command, CommandFactory as _};

use super::args::Cli;

#[test]
fn no_command_has_two_switches_of_one_name() {
    let mut command = Cli::command();
    command.build();
    let mut twice = Vec::new();
    look(&command, &mut twice);
    assert_eq!(twice, Vec::<String>::new());
}

fn look(command: &Command, twice: &mut Vec<String>) {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for argument in command.get_arguments() {
        let longs =
            argument.get_long_and_visible_aliases().unwrap_or_default().into_iter().map(|long| format!("--{long}"));
        let shorts =
            argument.get_short_and_visible_aliases().unwrap_or_default().into_iter().map(|short| format!("-{short}"));
        for name in longs.chain(shorts).chain([argument.get_id().to_string()]) {
            *seen.entry(name).or_default() += 1;
        }
    }
    let of = command.get_name();
    twice.extend(seen.into_iter().filter(|(_, times)| *times > 1).map(|(name, _)| format!("{of}: {name}")));
    command.get_subcommands().for_each(|command| look(command, twice));
}
