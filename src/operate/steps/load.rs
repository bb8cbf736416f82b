//! `loadtable`, always as follower: as leader it would take writes before its rows are there
//! (docs/openmldb/load-table.md#writes-before-it-is-loaded).

use std::time::Duration;

use crate::model::{Action, Endpoint, OpId, PartitionId, Seen, Snapshot, counted};

use super::super::effect::{Effect, EffectStatus, Vain};
use super::super::known::Known;
use super::super::partition_context::{PartitionContext, Planned, Refusal};
use super::LoadReplica;
use super::definition::{Definition, Target, typed_of};
use super::holding::{Holds, holds};

/// Segments an index is loaded into: the documented 8.
const SEG_CNT: u32 = 8;
/// How long a replica that is loading may be invisible: a memory table's shows itself at once.
const LOAD_SHOWS: Duration = Duration::from_secs(5);

impl Definition for LoadReplica<'_> {
    fn code(&self) -> &'static str {
        "replica_load"
    }

    fn handbook(&self) -> String {
        format!("loadtable {} {} on {}", self.table.table, self.pid, self.endpoint)
    }

    fn typed(&self) -> Option<String> {
        typed_of("replica load", self.table, self.pid, &[self.endpoint])
    }

    fn target(&self) -> Target<'_> {
        Target::Table(self.table)
    }

    fn plan(&self, seen: &Snapshot, _known: &Known) -> Result<Planned, Refusal> {
        let (place, endpoint) = (PartitionContext::find(seen, self.table, *self.pid)?, self.endpoint);
        let (name, id) = (place.name(), place.id());
        place.replica(endpoint)?;
        let effect = Loaded { partition: id, name: name.clone(), endpoint: endpoint.clone() };
        match holds(&place, endpoint) {
            Holds::This(held) if held.state.is_loaded() => Ok(Planned::already(effect)),
            Holds::This(held) => {
                let text = format!("{endpoint} is loading {name} already ({:?})", held.state);
                Err(Refusal::of(101, text, format!("wait, and check `openmldb-ops replica status {endpoint} {name}`")))
            }
            Holds::Unknown(error) => {
                let text = format!("{endpoint} does not answer ({error})");
                Err(Refusal::unsafe_now(text, "start that tablet, or find out why it does not answer"))
            }
            // It may be loading, unseen, and a step remembers nothing of the one before it.
            Holds::Nothing if place.table.storage.is_disk() => {
                let text = format!("{name} is a disk table: its load is not visible, and loading it twice destroys it");
                let hint = format!("`openmldb-ops recover --partition {name}` loads it, and keeps track of it");
                Err(Refusal::unsafe_now(text, hint))
            }
            Holds::Nothing => {
                let (table, storage) = (place.table.name.clone(), place.table.storage);
                let endpoint = endpoint.clone();
                let action = Action::LoadTable { endpoint, table, partition: id, seg_cnt: SEG_CNT, storage };
                let remark =
                    "it is loaded as follower; `openmldb-ops recover --all` chooses who leads, and connects it";
                Ok(Planned::new(Some(action), effect).noting(vec![remark.to_owned()]))
            }
        }
    }
}

/// The tablet holds the replica, loaded.
#[derive(Debug)]
struct Loaded {
    partition: PartitionId,
    /// As it is typed.
    name: String,
    endpoint: Endpoint,
}

impl Effect for Loaded {
    fn effect_status(&self, seen: &Snapshot, _since: Option<OpId>) -> EffectStatus {
        let Self { partition, name, endpoint } = self;
        let waiting = |text: String| EffectStatus::Waiting(format!("{endpoint} {text}"));
        match seen.tablets.get(endpoint).map(|tablet| &tablet.held) {
            Some(Seen::Known(held)) => match held.get(partition) {
                // It is loaded for an instant before its offset is set
                // (docs/openmldb/load-table.md#what-a-load-looks-like).
                Some(held) if held.state.is_loaded() && (held.offset.0 > 0 || held.record_cnt == 0) => {
                    EffectStatus::Reached(format!(
                        "{endpoint} has {name} loaded at offset {}, {}",
                        held.offset,
                        counted(held.record_cnt, "row")
                    ))
                }
                Some(held) => waiting(format!("is loading {name} ({:?})", held.state)),
                None => waiting(format!("does not show {name}")),
            },
            Some(Seen::Failed(error)) => waiting(format!("does not answer ({error})")),
            Some(Seen::Unasked) | None => waiting("was not asked".to_owned()),
        }
    }

    fn in_vain(&self, seen: &Snapshot, _since: Option<OpId>, waited: Duration) -> Option<Vain> {
        let held = seen.tablets.get(&self.endpoint).and_then(|tablet| tablet.held.known())?;
        (waited >= LOAD_SHOWS && !held.contains_key(&self.partition)).then(|| Vain {
            because: "the load was accepted, but the replica has vanished: ",
            hint: "see that tablet's log, and its recycle bin; do not load it a second time".to_owned(),
        })
    }

    /// Sent again to a replica that has vanished, it could load what a failed load has left half done.
    fn when_late(&self) -> Option<String> {
        let Self { name, endpoint, .. } = self;
        Some(format!(
            "check `openmldb-ops replica status {endpoint} {name}`: it may be loading still. If it is not there, do not load it a second \
             time: see that tablet's log, and its recycle bin"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Pid, Tid};

    /// What vanishes while it is waited for, and what vanishes later: neither is loaded a second time.
    #[test]
    fn nobody_is_told_to_load_again_what_may_have_vanished() {
        let partition = PartitionId { tid: Tid(7), pid: Pid(0) };
        let loaded = Loaded { partition, name: "shop.orders/0".to_owned(), endpoint: "a".into() };
        let late = loaded.when_late().unwrap();
        assert!(late.contains("do not load it a second time") && !late.contains("again"), "{late}");
    }
}
