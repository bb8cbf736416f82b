//! Tablets that answer and hold nothing: restarted, or rebuilt with other disks.

use std::collections::BTreeSet;

use crate::model::{Directory, Endpoint, PartitionId, Verb, counted, counted_that};

use super::super::scope::some_of;
use super::{Case, Diagnosis, Look, names_of, placed_on};

impl Look<'_> {
    /// Tablets without a directory of anything that is placed on them: not what a restart leaves.
    pub(super) fn tablets_rebuilt(&self) -> Option<Diagnosis> {
        let rebuilt: Vec<&Endpoint> = self.empty.iter().copied().filter(|at| self.is_rebuilt(at)).collect();
        let first = rebuilt.first()?;
        let led = self.status.partitions.iter().filter(|found| found.leader.is_some());
        let led: BTreeSet<PartitionId> = led.map(|found| PartitionId { tid: found.tid, pid: found.pid }).collect();
        let unled = rebuilt.iter().flat_map(|at| placed_on(self.seen, at)).filter(|id| !led.contains(id)).count();
        let lost = match unled {
            0 => "others lead all of it".to_owned(),
            some => format!("nobody leads {} of these now", counted(some, "partition")),
        };
        Some(Diagnosis {
            case: Case::TabletRebuilt,
            seen: format!(
                "{} answers, and has no directory of anything that is placed on it: it was rebuilt with empty disks, or its disks are not \
                 mounted; {lost}",
                some_of(&names_of(&rebuilt))
            ),
            promise: "none: nothing tells OpenMLDB that a tablet has lost its disks; with auto_failover on it is sent everything that an \
                      alive leader has",
            next: vec![
                format!(
                    "mount the disks of {first} and restart it, if they are to be had: nothing can be lost by waiting"
                ),
                "openmldb-ops recover --all --dry-run".to_owned(),
                "openmldb-ops recover --all # gives it its leaders' data".to_owned(),
            ],
        })
    }

    fn is_rebuilt(&self, at: &Endpoint) -> bool {
        let Some(tablet) = self.seen.tablets.get(at) else { return false };
        let has_none = |id| tablet.probes(id).directory.known() == Some(&Directory::Missing);
        placed_on(self.seen, at).all(has_none)
    }

    pub(super) fn tablets_restarted(&self, auto_failover: bool) -> Option<Diagnosis> {
        let empty: Vec<&Endpoint> = self.empty.iter().copied().filter(|at| !self.is_rebuilt(at)).collect();
        if empty.is_empty() {
            return None;
        }
        let running = self.status.counts.ops_in_flight;
        let (promise, first) = match auto_failover {
            true => (
                "the nameserver recovers a tablet that comes back while it is watching, two partitions at a time; it \
                 fails where several replicas of a partition were restarted at once",
                format!(
                    "openmldb-ops show ops # {} under way: let them end",
                    counted_that(running, "operation", Verb::Be)
                ),
            ),
            false => (
                "with auto_failover off nothing is recovered automatically",
                "openmldb-ops recover --all --dry-run".to_owned(),
            ),
        };
        Some(Diagnosis {
            case: Case::TabletRestarted,
            seen: format!(
                "{} was restarted, and has nothing loaded of what is placed on it",
                some_of(&names_of(&empty))
            ),
            promise,
            next: vec![first, "openmldb-ops recover --all".to_owned()],
        })
    }
}
