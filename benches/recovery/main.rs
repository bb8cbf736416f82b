//! What recovery costs, measured: how close to the limit it comes, what the tool itself needs, what the official script's
//! way of doing it takes on the same clusters, and how long a handover keeps clients from writing. `benches/README.md` explains the numbers and keeps the last results.
//!
//! ```text
//! cargo bench --bench recovery                         everything
//! cargo bench --bench recovery -- ratio|cost|incumbent|handover [--quick|--full]
//! ```

#![allow(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods, clippy::disallowed_types)]

mod cost;
mod handover;
mod incumbent;
mod ratio;
mod table;
mod timed;

use std::process::ExitCode;

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
    let (quick, full) = (words.contains(&"--quick"), words.contains(&"--full"));
    match words.first().copied() {
        Some("child") => return cost::child(&words[1..]),
        Some("ratio") => ratio::run(quick, full),
        Some("cost") => cost::run(quick),
        Some("incumbent") => incumbent::run(quick),
        Some("handover") => handover::run(quick),
        None | Some("--quick" | "--full") => {
            ratio::run(quick, full);
            incumbent::run(quick);
            handover::run(quick);
            cost::run(quick);
        }
        Some(other) => {
            eprintln!("no benchmark is called {other}; there are ratio, cost, incumbent and handover");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}
