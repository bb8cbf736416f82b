//! What is said of a sandbox: its rows, and how to reach it.

use serde::Serialize;

use crate::model::counted;
use crate::sandbox::world::RowCount;

/// What became of a sandbox's rows: one line before the summary.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename = "sandbox")]
pub struct SandboxLine {
    /// The condition it was started in.
    pub scenario: &'static str,
    /// How much faster than a real cluster's its clock ran.
    pub time_scale: f64,
    #[serde(flatten)]
    /// Rows expected and there.
    pub rows: RowCount,
}

/// How to reach a sandbox that keeps running.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename = "ready")]
pub struct ReadyLine {
    /// The condition it is in.
    pub scenario: &'static str,
    /// The one that leads.
    pub nameserver: String,
    /// All of them.
    pub nameservers: Vec<String>,
    /// The tablets' endpoints.
    pub tablets: Vec<String>,
    /// Where it takes orders; none if no command could find it.
    pub orders: Option<String>,
    /// The ZooKeeper it is registered in.
    pub zk_cluster: Option<String>,
    /// Its root path there.
    pub zk_root_path: Option<String>,
    /// How much faster than a real cluster's its clock runs.
    pub time_scale: u32,
}

/// The rows, for people.
pub(super) fn rows_text(line: &SandboxLine) -> String {
    let RowCount {
        rows_expected,
        rows_after,
        partitions_with_two_alive_leaders: two,
        healthy_partitions_touched: touched,
    } = line.rows;
    let missing = rows_expected.saturating_sub(rows_after);
    let rows = if missing == 0 {
        format!("all {rows_expected} rows are on every reachable replica of their partition")
    } else {
        format!("{missing} of {rows_expected} rows are not on every reachable replica of their partition")
    };
    format!(
        "Sandbox {}: {rows}; {} with two alive leaders; {} touched. {}\n",
        line.scenario,
        counted(two, "partition"),
        counted(touched, "healthy partition"),
        clock_text("ran", line.time_scale)
    )
}

/// How its clock runs, or ran.
pub(super) fn clock_text(runs: &str, times: f64) -> String {
    if times > 1.0 {
        format!("Its clock {runs} {times} times faster than a real cluster's.")
    } else {
        format!("Its clock {runs} like a real cluster's.")
    }
}

/// How to reach it, for people.
pub(super) fn ready_text(line: &ReadyLine) -> String {
    let mut out =
        format!("Sandbox {} is running; interrupt it to stop it. Its nameserver: {}\n", line.scenario, line.nameserver);
    out += &format!("{}\n", clock_text("runs", f64::from(line.time_scale)));
    let reach = match (&line.zk_cluster, &line.zk_root_path) {
        (Some(servers), Some(root)) => format!("--zk-cluster {servers} --zk-root-path {root}"),
        _ => format!("--nameserver {}", line.nameserver),
    };
    if line.orders.is_some() {
        out += &format!(
            "In it: openmldb-ops sandbox write --nameserver {0}\n       openmldb-ops sandbox kill tablet2 --nameserver {0} (or start, hang)\n",
            line.nameserver
        );
    }
    out + &format!("Try: openmldb-ops status {reach}\n     openmldb-ops recover --all {reach}\n")
}
