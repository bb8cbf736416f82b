//! What recovery costs, measured: how close to the limit it comes, what the tool itself needs, what the official script's
//! way of doing it takes on the same clusters, what a history with failovers adds, how long a handover keeps clients from writing, and
//! what simulating all that takes. `benches/README.md` explains the numbers and keeps the last results.
//!
//! ```text
//! cargo bench --bench recovery                         everything
//! cargo bench --bench recovery -- ratio|failovers|cost|profile|simulation|incumbent|handover [--quick|--full] [--check]
//! ```
//!
//! What is measured goes into `benches/results.json` and the tables of `benches/README.md`, and what is worse than there is said;
//! with `--check` nothing is written, and worse is exit code 1.

#![allow(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods, clippy::disallowed_types)]

mod calls;
mod cost;
mod failovers;
mod handover;
mod incumbent;
mod profile;
mod ratio;
mod results;
mod simulation;
mod table;
mod timed;

use std::process::ExitCode;

use table::Book;

/// Sizes of a cluster: tablets, tables, partitions of each, rows of each.
#[derive(Debug, Clone, Copy)]
struct Size {
    tablets: u64,
    tables: u64,
    partitions: u64,
    rows: u64,
}

impl Size {
    /// As tablets x partitions.
    fn name(self) -> String {
        format!("{}x{}", self.tablets, self.total())
    }

    /// Partitions in all.
    fn total(self) -> u64 {
        self.tables * self.partitions
    }

    /// The cluster.
    fn generate(self) -> openmldb_ops::rehearse::Generate {
        let Self { tablets, tables, partitions, rows } = self;
        openmldb_ops::rehearse::Generate { tablets, tables, partitions, replicas: 3, rows }
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (quick, full, check) = (words.contains(&"--quick"), words.contains(&"--full"), words.contains(&"--check"));
    let mut book = Book::open();
    match words.first().copied() {
        Some("child") => return cost::child(&words[1..]),
        Some("ratio") => ratio::run(&mut book, quick, full),
        Some("cost") => cost::run(&mut book, quick),
        Some("incumbent") => incumbent::run(&mut book, quick),
        Some("handover") => handover::run(&mut book, quick),
        Some("failovers") => failovers::run(&mut book, quick),
        Some("simulation") => simulation::run(&mut book, quick),
        Some("profile") => profile::run(&mut book),
        None | Some("--quick" | "--full" | "--check") => {
            ratio::run(&mut book, quick, full);
            incumbent::run(&mut book, quick);
            handover::run(&mut book, quick);
            failovers::run(&mut book, quick);
            simulation::run(&mut book, quick);
            cost::run(&mut book, quick);
            profile::run(&mut book);
        }
        Some(other) => {
            eprintln!(
                "no benchmark is called {other}; there are ratio, failovers, cost, profile, simulation, incumbent and handover"
            );
            return ExitCode::from(2);
        }
    }
    // Quick rows are not the whole of it.
    let is_as_good = book.close(check || quick);
    if check && !is_as_good { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
