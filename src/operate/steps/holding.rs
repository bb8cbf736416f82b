//! What a tablet says of a replica, for steps that need it loaded.

use crate::model::{Endpoint, Held, Partition, PartitionId, Role, Seen, Snapshot, Table};

use super::super::partition_context::{PartitionContext, Refusal};

/// What a tablet says of a replica.
pub(super) enum Holds<'a> {
    /// It answers, and does not hold it.
    Nothing,
    /// It holds it.
    This(&'a Held),
    /// It does not answer.
    Unknown(String),
}

pub(super) fn holds<'a>(place: &PartitionContext<'a>, endpoint: &Endpoint) -> Holds<'a> {
    match place.seen.tablets.get(endpoint).map(|tablet| &tablet.held) {
        Some(Seen::Known(held)) => held.get(&place.id()).map_or(Holds::Nothing, Holds::This),
        Some(Seen::Failed(error)) => Holds::Unknown(error.clone()),
        Some(Seen::Unasked) | None => Holds::Unknown("it was not asked".to_owned()),
    }
}

/// # Errors
/// It does not, with what was seen.
pub(super) fn loaded<'a>(place: &PartitionContext<'a>, endpoint: &Endpoint) -> Result<&'a Held, Refusal> {
    let name = place.name();
    match holds(place, endpoint) {
        Holds::This(held) if held.state.is_loaded() => Ok(held),
        Holds::This(held) => {
            let text = format!("{endpoint} has not loaded {name} yet ({:?})", held.state);
            Err(Refusal::unsafe_now(text, format!("wait, and check `openmldb-ops replica status {endpoint} {name}`")))
        }
        Holds::Nothing => {
            let text = format!("{endpoint} does not hold {name}");
            Err(Refusal::unsafe_now(text, format!("load it first: `openmldb-ops replica load {name} {endpoint}`")))
        }
        Holds::Unknown(error) => {
            let text = format!("{endpoint} does not answer ({error})");
            Err(Refusal::unsafe_now(text, "start that tablet, or find out why it does not answer"))
        }
    }
}

/// What a tablet leads, by flag and in its memory.
pub(super) fn led(seen: &Snapshot, endpoint: &Endpoint, is_meant: impl Fn(&Table, &Partition) -> bool) -> Vec<String> {
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
