//! `completions`, `man`: what shells and `man` are to know of the command line, from its definitions.

use std::path::Path;

use clap::CommandFactory as _;
use clap_complete::{Shell, generate};
use serde::Serialize;

use super::args::Cli;
use super::failure::{Exit, Failure};
use super::out::Out;

/// The program's name, as it is typed.
const NAME: &str = "openmldb-ops";

#[derive(Serialize)]
struct CompletionsLine<'a> {
    event: &'static str,
    shell: String,
    script: &'a str,
}

#[derive(Serialize)]
struct ManualLine<'a> {
    event: &'static str,
    page: &'a str,
    path: Option<String>,
}

/// Prints a shell completion script.
///
/// # Errors
/// stdout cannot be written.
pub fn completions(shell: Shell, out: &Out) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    generate(shell, &mut Cli::command(), NAME, &mut script);
    let script = String::from_utf8_lossy(&script);
    out.file_or(&script, &CompletionsLine { event: "completions", shell: shell.to_string(), script: &script })?;
    Ok(Exit::Healthy)
}

/// Prints the manual page of the program, or writes that of every command into a directory.
///
/// # Errors
/// The directory cannot be written to.
pub fn manual(directory: Option<&Path>, out: &Out) -> Result<Exit, Failure> {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let Some(directory) = directory else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page)?;
        let page = String::from_utf8_lossy(&page);
        out.file_or(&page, &ManualLine { event: "manual", page: NAME, path: None })?;
        return Ok(Exit::Healthy);
    };
    write(&command, NAME, directory, out)?;
    Ok(Exit::Healthy)
}

/// The page of a command and of each below it, `openmldb-ops-recover.1` for `recover`.
fn write(command: &clap::Command, name: &str, directory: &Path, out: &Out) -> Result<(), Failure> {
    let path = directory.join(format!("{name}.1"));
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone()).title(name).render(&mut page)?;
    std::fs::write(&path, page).map_err(|error| {
        let error = anyhow::anyhow!("the manual page {} cannot be written: {error}", path.display());
        Failure::usage(error).hint("name an existing, writable directory")
    })?;
    let path = path.display().to_string();
    out.text_or(&format!("{path}\n"), &ManualLine { event: "manual", page: name, path: Some(path.clone()) })?;
    command
        .get_subcommands()
        .try_for_each(|below| write(below, &format!("{name}-{}", below.get_name()), directory, out))
}
