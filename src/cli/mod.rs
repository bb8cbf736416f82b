//! The command line: one file a command. Commands return exit codes and failures; [`main`] turns them into the process's.

#![allow(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods)]

mod args;
mod at_the_end;
mod beside;
mod caller;
mod config;
mod connection_args;
mod diff;
#[cfg(feature = "sandbox")]
mod doors;
#[cfg(feature = "sandbox")]
mod embedded;
mod environment;
mod explain;
mod failover;
mod failure;
mod find;
mod given_up;
mod guard;
#[cfg(test)]
mod headlines_tests;
mod legacy;
mod metadata;
mod metadata_rebuild;
mod metadata_wipe;
mod named;
mod next;
#[cfg(not(feature = "sandbox"))]
mod no_sandbox;
mod opened;
mod out;
mod partition;
mod playbook;
#[cfg(feature = "sandbox")]
mod practice;
mod record;
mod record_dir;
mod recover;
#[cfg(feature = "sandbox")]
mod rehearse;
mod resending;
mod runs;
#[cfg(feature = "sandbox")]
mod sandbox;
#[cfg(feature = "sandbox")]
mod sandbox_lines;
mod scope;
mod session;
mod shell;
mod show;
mod signal;
mod snapshot;
mod status;
mod step;
#[cfg(test)]
mod switches_tests;
#[cfg(feature = "sandbox")]
mod tour;
mod undertake;
mod waits;
mod watch;
mod work;

use std::fs::File;
use std::future::Future;
use std::io;
use std::path::Path;
use std::process::ExitCode;

pub use args::Cli;
pub use failure::{Exit, Failure};

use args::failover::FailoverCommand;
use args::look::PartitionCommand;
use args::metadata::MetadataCommand;
#[cfg(feature = "sandbox")]
use args::practice::SandboxCommand;
use args::steps::ReplicaCommand;
use args::{Command, LogFormat};
use at_the_end::AtTheEnd;
use environment::Parsed;
#[cfg(not(feature = "sandbox"))]
use no_sandbox::{self as embedded, self as sandbox, self as sandbox_lines};
use out::{Out, TOLD};

use crate::ui::Paint;

/// Parses the command line, does what it says, and gives the exit code. Wrong usage ends with 2, as clap has it.
pub fn main() -> ExitCode {
    let Parsed { cli, has_sandbox, records, note } = environment::parse();
    let ends = AtTheEnd::of(&cli.command);
    let out = Out::new(cli.output(), cli.verbose, ends.clone(), records);
    note.iter().for_each(|note| out.say()(note));
    let _should_it_panic = ends.on_panic();
    let logs = start_tracing(&cli, &out);
    let command = async {
        logs?;
        match changes_something(&cli.command) {
            true => run(&cli, &out).await,
            false => signal::or_end_at_once(run(&cli, &out), &out).await,
        }
    };
    let done = match has_sandbox {
        true => sandbox::on_its_clock(command),
        false => to_its_end(command),
    };
    let done = done.unwrap_or_else(|error| Err(Failure::error(error)));
    let exit = match done {
        Ok(exit) => {
            // A read-only command that was ended may be printing to a stopped terminal.
            let is_ended = matches!(exit, Exit::Signal(_)) && !changes_something(&cli.command);
            if !is_ended {
                out.finish();
            }
            exit
        }
        Err(failure) => {
            out.failure(&failure);
            failure.exit
        }
    };
    ends.perform(exit.code(), &out.say());
    if ends.is_wanted() && !matches!(exit, Exit::Signal(_)) {
        out.finish();
    }
    ExitCode::from(exit.code())
}

fn to_its_end<F: Future>(command: F) -> io::Result<F::Output> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let done = runtime.block_on(command);
    // What is not needed any more is not waited for.
    runtime.shutdown_background();
    Ok(done)
}

/// Whether there may be anything to clean up when a command is told to end. Those that may have listen to signals themselves.
fn changes_something(command: &Command) -> bool {
    match command {
        Command::Recover(args) => !args.only_plans(),
        // One that goes on for long ends its connections itself.
        Command::Guard(_) => true,
        Command::Failover(args) => match &args.command {
            FailoverCommand::Get(_) => false,
            FailoverCommand::Set { working, .. } => !working.dry_run,
            FailoverCommand::Restore(args) => !args.dry_run,
        },
        Command::Op(_) | Command::Tablet(_) | Command::Leader(_) | Command::Scale(_) | Command::Upgrade(_) => true,
        Command::Replica(command) => !matches!(command, ReplicaCommand::Status { .. }),
        Command::Partition(command) => matches!(command, PartitionCommand::Set { .. }),
        Command::Metadata(MetadataCommand::Restore(args)) => !args.dry_run,
        #[cfg(feature = "sandbox")]
        Command::Sandbox(args) => matches!(args.command, SandboxCommand::Serve(_)),
        #[cfg(feature = "sandbox")]
        Command::Rehearse(_) => false,
        #[cfg(not(feature = "sandbox"))]
        Command::Sandbox(_) => false,
        Command::Status(_)
        | Command::Snapshot(_)
        | Command::Show(_)
        | Command::Explain { .. }
        | Command::Completions { .. }
        | Command::Man { .. }
        | Command::Metadata(_)
        | Command::Record(_)
        | Command::Config(_)
        | Command::Playbook(_) => false,
    }
}

async fn run(cli: &Cli, out: &Out) -> Result<Exit, Failure> {
    match &cli.command {
        Command::Recover(args) => recover::run(args, out).await,
        Command::Guard(args) => guard::run(args, out).await,
        Command::Status(args) => status::run(args, out).await,
        Command::Snapshot(args) => snapshot::run(args, out).await,
        Command::Failover(args) => failover::run(&args.command, out).await,
        Command::Show(command) => show::run(command, out).await,
        Command::Op(command) => step::op(command, out).await,
        Command::Tablet(command) => step::tablet(command, out).await,
        Command::Leader(command) => step::leader(command, out).await,
        Command::Replica(command) => step::replica(command, out).await,
        Command::Scale(command) => undertake::scale(command, out).await,
        Command::Upgrade(command) => undertake::upgrade(command, out).await,
        Command::Partition(command) => partition::run(command, out).await,
        Command::Explain { code } => explain::run(code.as_deref(), out),
        Command::Completions { shell } => shell::completions(*shell, out),
        Command::Man { directory } => shell::manual(directory.as_deref(), out),
        Command::Metadata(command) => metadata::run(command, out).await,
        Command::Record(args) => record::run(&args.command, out).await,
        Command::Config(command) => config::run(command, out),
        Command::Playbook(args) => playbook::run(&args.command, out),
        #[cfg(feature = "sandbox")]
        Command::Rehearse(args) => rehearse::run(args, out).await,
        #[cfg(feature = "sandbox")]
        Command::Sandbox(args) => sandbox::run(&args.command, out).await,
        #[cfg(not(feature = "sandbox"))]
        Command::Sandbox(absent) => Err(absent.refused()),
    }
}

/// The crates that trace.
const OURS: [&str; 3] = ["openmldb_ops", "openmldb_client", "openmldb_simulator"];

/// Diagnostics: on stderr decisions from `-vv` on and calls from `-vvv` on; in a log file both, and all that is told; or whatever
/// RUST_LOG says. Values of credentials are never traced.
///
/// # Errors
/// The log file cannot be opened.
fn start_tracing(cli: &Cli, out: &Out) -> Result<(), Failure> {
    use tracing_subscriber::filter::Targets;
    use tracing_subscriber::fmt::writer::BoxMakeWriter;
    use tracing_subscriber::prelude::*;
    let level = match (cli.verbose, &cli.log_file) {
        (0 | 1, None) => "off",
        (2, None) => "debug",
        _ => "trace",
    };
    let mut directives = OURS.map(|name| format!("{name}={level}")).join(",");
    if cli.log_file.is_none() {
        // It is told there anyway.
        directives += &format!(",{TOLD}=off");
    }
    let selected = environment::variable("RUST_LOG").and_then(|selected| selected.parse().ok());
    // Ours can be parsed.
    let filter: Targets = selected.or_else(|| directives.parse().ok()).unwrap_or_default();
    let (writer, ansi) = match &cli.log_file {
        None => (BoxMakeWriter::new(out.stderr()), Paint::for_stderr() != Paint::Plain),
        Some(path) => (BoxMakeWriter::new(log_file(path)?), false),
    };
    // A line of tracing that nobody reads must not become a panic.
    let lines = tracing_subscriber::fmt::layer().with_target(false).log_internal_errors(false);
    let (lines, all) = (lines.with_writer(writer).with_ansi(ansi), tracing_subscriber::registry());
    match cli.log_format {
        LogFormat::Text => all.with(lines.with_filter(filter)).init(),
        LogFormat::Json => all.with(lines.json().with_filter(filter)).init(),
    }
    Ok(())
}

fn log_file(path: &Path) -> Result<File, Failure> {
    File::options().create(true).append(true).open(path).map_err(|error| {
        let error = anyhow::anyhow!("the log file {} cannot be opened: {error}", path.display());
        Failure::usage(error).hint("name another one with --log-file FILE, in an existing directory")
    })
}
