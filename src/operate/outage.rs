//! Steps that take replicas away from clients that they serve now. Each needs `--allow-unavailable`.

use crate::model::{Endpoint, Partition, PartitionId, Role, Snapshot, Table};
use crate::run::some_of;

use super::Step;
use super::partition_context::Refusal;

/// Why a step must not be taken unless somebody has said that what it makes unavailable may be.
pub(super) fn outage(step: &Step, seen: &Snapshot) -> Option<Refusal> {
    match step {
        Step::OfflineTablet { endpoint } => {
            let led = led(seen, endpoint, |_, _| true);
            let text = match led.is_empty() {
                true if !runs(seen, endpoint) => return None,
                true => format!("{endpoint} runs, and clients read from its replicas"),
                false => format!(
                    "{endpoint} runs and leads {}: others are made leaders at once, and what no follower has yet is given up",
                    some_of(&led)
                ),
            };
            let hint = format!(
                "`openmldb-ops upgrade pre {endpoint}` has others lead first, without a row lost; or allow it with \
                 --allow-unavailable"
            );
            Some(Refusal::unsafe_now(text, hint))
        }
        Step::MarkAlive { table, pid, endpoint, alive: false } => {
            let is_meant =
                |of: &Table, partition: &Partition| of.name == *table && pid.is_none_or(|pid| partition.pid == pid);
            let led = led(seen, endpoint, is_meant);
            if led.is_empty() {
                return None;
            }
            let text =
                format!("{endpoint} leads {}: no client is sent there until it is marked alive again", some_of(&led));
            let hint =
                "have another one lead with `openmldb-ops leader handover`; or allow it with --allow-unavailable";
            Some(Refusal::unsafe_now(text, hint))
        }
        _ => None,
    }
}

fn runs(seen: &Snapshot, endpoint: &Endpoint) -> bool {
    seen.tablets.get(endpoint).is_some_and(|tablet| tablet.held.known().is_some_and(|held| !held.is_empty()))
}

/// What a tablet leads, by flag and in its memory.
fn led(seen: &Snapshot, endpoint: &Endpoint, is_meant: impl Fn(&Table, &Partition) -> bool) -> Vec<String> {
    let held = seen.tablets.get(endpoint).and_then(|tablet| tablet.held.known());
    let leads = |id: PartitionId| {
        let held = held.and_then(|held| held.get(&id));
        held.is_some_and(|held| held.role == Role::Leader && held.state.is_loaded())
    };
    let mut led = Vec::new();
    for table in &seen.tables {
        for partition in &table.partitions {
            let is_flagged = partition.replicas.iter().any(|r| r.endpoint == *endpoint && r.is_leader && r.is_alive);
            let id = PartitionId { tid: table.tid, pid: partition.pid };
            if is_flagged && leads(id) && is_meant(table, partition) {
                led.push(format!("{}/{}", table.name, partition.pid));
            }
        }
    }
    led
}
