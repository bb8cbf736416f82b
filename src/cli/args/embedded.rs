//! `--sandbox`, as clap reads it. Every doc comment on an argument is help text.

use clap::Args;

use crate::sandbox::fault::{Fault, FaultError, FaultKind};

/// An embedded cluster instead.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Sandbox")]
pub struct Embedded {
    /// Start an embedded cluster in this condition, work on it, stop it
    #[arg(long, value_name = "SCENARIO", num_args = 0..=1, default_missing_value = "everything-restarted",
        conflicts_with_all = ["zk_cluster", "nameserver", "flagfile", "cluster"])]
    pub sandbox: Option<String>,
    #[command(flatten)]
    /// How it is made
    pub made: Made,
}

/// How an embedded cluster is made.
#[derive(Debug, Clone, Args)]
pub struct Made {
    /// How much faster than a real cluster's the sandbox's clock runs
    #[arg(long, value_name = "TIMES", default_value_t = 20.0)]
    pub time_scale: f64,
    #[command(flatten)]
    /// What it holds
    pub shape: Shape,
    #[command(flatten)]
    /// What goes wrong
    pub faults: Faults,
}

/// What goes wrong in an embedded cluster.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Sandbox")]
pub struct Faults {
    /// Inject a fault, WHEN[@WHERE][:WHICH]=WHAT; repeatable; `sandbox list --faults` explains
    #[arg(long = "fault", alias = "faults", value_name = "SPEC", value_parser = fault)]
    pub faults: Vec<Fault>,
}

/// A fault that happens to a cluster, not to the tool.
fn fault(text: &str) -> Result<Fault, String> {
    let fault: Fault = text.parse().map_err(|error: FaultError| error.what)?;
    match fault.kind {
        FaultKind::Tool(_) => {
            Err("what befalls the tool itself is for tests that run it in their own process".to_owned())
        }
        _ => Ok(fault),
    }
}

/// What an embedded cluster holds.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Sandbox")]
pub struct Shape {
    /// Tablets
    #[arg(long, value_name = "N")]
    pub tablets: Option<u32>,
    /// Tables
    #[arg(long, value_name = "N")]
    pub tables: Option<u32>,
    /// Partitions per table
    #[arg(long, value_name = "N")]
    pub partitions: Option<u32>,
    /// Replicas per partition
    #[arg(long, value_name = "N")]
    pub replicas: Option<u32>,
    /// Rows per partition
    #[arg(long, value_name = "N")]
    pub rows_per_partition: Option<u64>,
    /// Where its randomness begins
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
}
