//! The command line: one file a command. Commands return exit codes and failures; [`main`] turns them into the process's.

#![allow(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods)]

mod args;
mod beside;
mod carry;
mod config;
mod diff;
mod environment;
mod failover;
mod failure;
mod find;
mod given_up;
#[cfg(test)]
mod headlines_tests;
mod legacy;
mod look_args;
mod out;
mod playbook;
mod record;
mod recover;
mod rehearse;
mod sandbox;
mod scope;
mod session;
mod show;
mod signal;
mod snapshot;
mod status;
mod step;
mod step_args;
#[cfg(test)]
mod switches_tests;
mod undertake;
mod undertake_args;

use std::future::Future;
use std::io;
use std::process::ExitCode;

pub use args::Cli;
pub use failure::{Exit, Failure};

use args::{Command, FailoverCommand, SandboxCommand};
use environment::Parsed;
use out::Out;
use step_args::ReplicaCommand;

use crate::ui::Paint;

/// Parses the command line, does what it says, and gives the exit code. Wrong usage ends with 2, as clap has it.
pub fn main() -> ExitCode {
    let Parsed { cli, has_sandbox, records, note } = environment::parse();
    let out = Out::new(cli.output, cli.verbose, records);
    note.iter().for_each(|note| out.say()(note));
    start_tracing(cli.verbose, &out);
    let command = async {
        match changes_something(&cli.command) {
            true => run(&cli, &out).await,
            false => signal::or_end_at_once(run(&cli, &out)).await,
        }
    };
    let done = match has_sandbox {
        // The cluster, and the command with its timeouts, on one clock that no other process hurries.
        true => crate::sandbox::on_an_idle_clock(command),
        false => to_its_end(command),
    };
    let done = done.unwrap_or_else(|error| Err(Failure::error(error)));
    match done {
        Ok(exit) => {
            // Whoever only looked, and was ended, may be printing to a terminal that is stopped.
            let is_ended = matches!(exit, Exit::Signal(_)) && !changes_something(&cli.command);
            if !is_ended {
                out.finish();
            }
            ExitCode::from(exit.code())
        }
        Err(failure) => {
            out.failure(&failure);
            ExitCode::from(failure.exit.code())
        }
    }
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
        Command::Recover(args) => !args.dry_run,
        Command::Failover(args) => match &args.command {
            FailoverCommand::Get(_) => false,
            FailoverCommand::Set { working, .. } => !working.dry_run,
            FailoverCommand::Restore(args) => !args.dry_run,
        },
        Command::Op(_) | Command::Tablet(_) | Command::Leader(_) | Command::Scale(_) | Command::Upgrade(_) => true,
        Command::Replica(command) => !matches!(command, ReplicaCommand::Status { .. }),
        Command::Sandbox(args) => matches!(args.command, SandboxCommand::Serve(_)),
        Command::Status(_)
        | Command::Snapshot(_)
        | Command::Show(_)
        | Command::Record(_)
        | Command::Config(_)
        | Command::Playbook(_)
        | Command::Rehearse(_) => false,
    }
}

async fn run(cli: &Cli, out: &Out) -> Result<Exit, Failure> {
    match &cli.command {
        Command::Recover(args) => recover::run(args, out).await,
        Command::Status(args) => status::run(args, out).await,
        Command::Snapshot(args) => snapshot::run(args, out).await,
        Command::Failover(args) => failover::run(&args.command, out).await,
        Command::Show(command) => show::run(command, out).await,
        Command::Op(command) => step::cancel(command, out).await,
        Command::Tablet(command) => step::tablet(command, out).await,
        Command::Leader(command) => step::change_leader(command, out).await,
        Command::Replica(command) => step::replica(command, out).await,
        Command::Scale(command) => undertake::scale(command, out).await,
        Command::Upgrade(command) => undertake::upgrade(command, out).await,
        Command::Record(args) => record::run(&args.command, out),
        Command::Config(command) => config::run(command, out),
        Command::Playbook(args) => playbook::run(&args.command, out),
        Command::Rehearse(args) => rehearse::run(args, out).await,
        Command::Sandbox(args) => sandbox::run(&args.command, out).await,
    }
}

/// The crates that trace.
const OURS: [&str; 3] = ["openmldb_ops", "openmldb_client", "openmldb_simulator"];

/// Diagnostics on stderr: calls from `-vv` on, or whatever RUST_LOG says. Values of credentials are never traced.
fn start_tracing(verbose: u8, out: &Out) {
    use tracing_subscriber::EnvFilter;
    let level = match verbose {
        0 | 1 => "off",
        2 => "debug",
        _ => "trace",
    };
    let ours = OURS.map(|name| format!("{name}={level}")).join(",");
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(ours));
    let ansi = Paint::for_stderr() != Paint::Plain;
    let fmt = tracing_subscriber::fmt().with_env_filter(filter).with_writer(out.stderr()).with_ansi(ansi);
    // A line of tracing that nobody reads must not become a panic.
    fmt.with_target(false).log_internal_errors(false).init();
}
