//! `makesnapshot` of one replica: its tablet writes down what it holds (docs/openmldb/tablet.md#snapshots). The nameserver's own goes
//! to the leader only, and does nothing below 100,000 new entries; so the tablet is told, and told how far.

use std::time::Duration;

use crate::model::{
    Action, Endpoint, Manifest, Manual, Offset, OpId, PartitionId, Seen, Snapshot, State, TableName, Tablet, counted,
};
use crate::recovery::{Probe, Question};

use super::super::effect::{Ask, Effect, EffectStatus, Vain};
use super::super::known::Known;
use super::super::partition_context::{PartitionContext, Planned, Refusal};
use super::SnapshotReplica;
use super::definition::{Definition, Target, typed_of};
use super::holding::loaded;

/// New entries below which a tablet makes no snapshot of a disk table (`make_snapshot_threshold_offset`): it takes no offset.
const THRESHOLD: u64 = 100_000;
/// How long a tablet that makes no snapshot at all may take to begin with one.
const BEGINS: Duration = Duration::from_secs(20);

impl Definition for SnapshotReplica<'_> {
    fn code(&self) -> &'static str {
        "replica_snapshot"
    }

    fn handbook(&self) -> String {
        format!("makesnapshot {} {} on {}", self.table.table, self.pid, self.endpoint)
    }

    fn typed(&self) -> Option<String> {
        typed_of("replica snapshot", self.table, self.pid, &[self.endpoint])
    }

    fn target(&self) -> Target<'_> {
        Target::Table(self.table)
    }

    /// auto_failover may be on.
    fn plan(&self, seen: &Snapshot, _known: &Known) -> Result<Planned, Refusal> {
        let (place, endpoint) = (PartitionContext::find(seen, self.table, *self.pid)?, self.endpoint);
        let (name, id) = (place.name(), place.id());
        place.replica(endpoint)?;
        if place.leader().is_none() {
            let text = format!("{name} has no live leader: what its replicas' logs show is still needed");
            let hint =
                format!("`openmldb-ops recover --partition {name}` brings it back, and makes the snapshots it needs");
            return Err(Refusal::unsafe_now(text, hint));
        }
        let held = loaded(&place, endpoint)?;
        let manifest = seen.tablets.get(endpoint).and_then(|tablet| tablet.probes(id).manifest.known());
        let folded = manifest.map_or(Offset(0), |manifest| manifest.offset);
        let (table, at) = (self.table.clone(), endpoint.clone());
        let effect = Snapshotted { table, partition: id, endpoint: at, end: held.offset };
        if manifest.is_some() && folded >= held.offset {
            return Ok(Planned::already(effect));
        }
        if held.state != State::Normal {
            let text = format!("{endpoint} makes no snapshot of {name} now ({:?})", held.state);
            return Err(Refusal::of(105, text, "wait until its operation has ended: `openmldb-ops show ops`"));
        }
        // Snapshots of memory tables are named after the minute (docs/openmldb/tablet.md#a-snapshot-that-was-cut-off).
        if !place.table.storage.is_disk() && seen.tablets.get(endpoint).is_some_and(Tablet::came_up_lately) {
            let text = format!(
                "{endpoint} came up less than a minute ago: what a snapshot of {name} that was cut off has left would come \
                 before this one, and hide its rows"
            );
            return Err(Refusal::unsafe_now(text, "run it again in a minute: `openmldb-ops show tablets` has the age"));
        }
        // A snapshot is made of the log, which is deleted then.
        if place.table.base_table.is_some() && held.record_cnt > held.offset.0 {
            let text = format!(
                "{endpoint} holds {} of {name} at offset {}: its aggregator wrote to it while it was loading, so its \
                 log does not match its rows",
                counted(held.record_cnt, "row"),
                held.offset
            );
            return Err(Refusal::unsafe_now(
                text,
                format!("`openmldb-ops recover --partition {name}` says what to do"),
            ));
        }
        let action = match place.table.storage.is_disk() {
            false => Action::MakeSnapshot {
                endpoint: endpoint.clone(),
                partition: id,
                offset: held.offset,
                storage: place.table.storage,
            },
            true => of_a_disk_table(&place, endpoint, held.offset.0.saturating_sub(folded.0))?,
        };
        Ok(Planned::new(Some(action), effect))
    }
}

/// # Errors
/// It would be for nothing: the tablet decides whether it is worth it.
fn of_a_disk_table(place: &PartitionContext<'_>, endpoint: &Endpoint, new: u64) -> Result<Action, Refusal> {
    if new < THRESHOLD {
        let text = format!(
            "{} is a disk table: a tablet makes a snapshot of one once {THRESHOLD} entries are new, and {endpoint} has {new}",
            place.name()
        );
        return Err(Refusal::unsafe_now(text, "nothing is lost without one: a disk table loads what is on its disk"));
    }
    Ok(Action::Manual(Manual::MakeDiskSnapshot { endpoint: endpoint.clone(), partition: place.id() }))
}

/// The replica has a snapshot of all that it held.
#[derive(Debug)]
struct Snapshotted {
    table: TableName,
    partition: PartitionId,
    endpoint: Endpoint,
    end: Offset,
}

impl Effect for Snapshotted {
    fn effect_status(&self, seen: &Snapshot, _since: Option<OpId>) -> EffectStatus {
        let Self { table, partition, endpoint, end } = self;
        let name = format!("{table}/{}", partition.pid);
        let asked = seen.tablets.get(endpoint).map(|tablet| &tablet.probes(*partition).manifest);
        match asked {
            Some(Seen::Known(Manifest { offset, count, .. })) if offset >= end => EffectStatus::Reached(format!(
                "{endpoint} has a snapshot of {name} up to offset {offset}, {}",
                counted(*count, "row")
            )),
            Some(Seen::Known(Manifest { offset, .. })) => {
                EffectStatus::Waiting(format!("{endpoint} has a snapshot of {name} up to offset {offset}, not {end}"))
            }
            Some(Seen::Failed(error)) => EffectStatus::Waiting(format!("{endpoint} does not answer ({error})")),
            Some(Seen::Unasked) | None => EffectStatus::Waiting(format!("{endpoint} was not asked")),
        }
    }

    fn asks(&self, _seen: &Snapshot) -> Vec<Ask> {
        let probe = Probe { endpoint: self.endpoint.clone(), question: Question::Manifest };
        vec![Ask { probe, partition: self.partition }]
    }

    /// A tablet makes one snapshot at a time, and says nothing of one that failed.
    fn in_vain(&self, seen: &Snapshot, _since: Option<OpId>, waited: Duration) -> Option<Vain> {
        let held = seen.tablets.get(&self.endpoint).and_then(|tablet| tablet.held.known())?;
        let is_busy = held.values().any(|held| held.state == State::MakingSnapshot);
        (waited >= BEGINS && !is_busy).then(|| Vain {
            because: "the tablet answered 0, and makes no snapshot: ",
            hint: "its log says why".to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::model::{Endpoint, LATELY_MS, Pid, StorageMode};
    use crate::operate::tests::{orders, well};
    use crate::operate::{Step, plan};

    /// docs/openmldb/experiments.md#snapshots-cut-off: rows were missing after the next restart.
    #[test]
    fn a_tablet_that_has_just_come_up_is_not_told() {
        let step = Step::SnapshotReplica { table: orders(), pid: Pid(0), endpoint: "b".into() };
        let told = |storage, age| {
            let mut seen = well();
            seen.tables[0].storage = storage;
            seen.tablets.get_mut(&Endpoint::from("b")).unwrap().unchanged_ms = age;
            plan(&step, &seen).map(|_| ()).map_err(|refused| refused.text)
        };
        let refused = told(StorageMode::Memory, Some(LATELY_MS - 1)).unwrap_err();
        assert!(refused.starts_with("b came up less than a minute ago"), "{refused}");
        assert_eq!(told(StorageMode::Memory, Some(LATELY_MS)), Ok(()));
        let on_disk = told(StorageMode::Hdd, Some(0)).unwrap_err();
        assert!(on_disk.contains("is a disk table"), "its snapshots are directories: {on_disk}");
    }
}
