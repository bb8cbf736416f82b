//! The last look, and as many more as it takes: what goes on by itself is given time, what is wrong is seen twice.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::cluster::{CallError, Cluster};
use crate::model::{Endpoint, PartitionId, Pid, Snapshot, TableName};
use crate::recovery::{Health, Memory, RowsSeen, View, health};
use crate::snapshot::look_again;
use crate::verify::{Finding, FindingKind, Persistence, Standing, Verification, verify};

use super::aggregated::with_aggregates;
use super::comparing::{ToCompare, compare_all};
use super::driver::Stop;
use super::event::Event;
use super::looks::{self, NextLook};
use super::scope::Scope;

/// The pause before the next look: at first, ...
const PAUSE: Duration = Duration::from_millis(100);
/// ... and at most. The nameserver asks its tablets every 2 s
/// (docs/openmldb/nameserver.md#where-its-numbers-come-from).
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// What goes on is given so long without any change, ...
const STALL: Duration = Duration::from_secs(10);
/// ... and so long in all.
const PATIENCE: Duration = Duration::from_secs(60);
/// Looks that have to show something wrong, or a server silent, before it is believed.
const CONFIRMED: u32 = 3;
/// How long something unexpected has to be wrong before it is believed, if it may heal by itself: the nameserver hears of a tablet that
/// is back a little after the tablet answers, and then puts right what it finds.
const HEALING: Duration = Duration::from_secs(20);
/// The same of rows and offsets: they are not looked at in the same moment.
const SETTLING: Duration = Duration::from_secs(5);

/// What is to be verified.
pub struct Checking<'a> {
    /// Which partitions.
    pub scope: &'a Scope,
    /// What a run remembers of them; empty if there was none.
    pub memories: &'a BTreeMap<PartitionId, Memory>,
    /// Those that are known not to be as they should be: what is found of them is no news.
    pub known: BTreeSet<PartitionId>,
    /// How much faster than ours the cluster's clock runs.
    pub pace: f64,
    /// Which replicas are compared row by row, ...
    pub compares: Compares<'a>,
    /// ... if none holds more rows than this.
    pub compare_rows_up_to: u64,
    /// Tells when to look no more.
    pub stop: watch::Receiver<Stop>,
}

/// Which replicas are compared row by row.
#[derive(Clone, Copy)]
pub enum Compares<'a> {
    /// Those of partitions whose row counts differ.
    WhereCountsDiffer,
    /// Those of every partition. Each is told, with how many are done and how many there are.
    All(&'a (dyn Fn(&Event, usize, usize) + Sync)),
}

impl Checking<'_> {
    /// Looks again until everything is as it should be, or nothing more is to be expected. Gives the last look, too.
    ///
    /// # Errors
    /// A nameserver that does not answer.
    pub async fn until_it_stands(
        mut self,
        cluster: &Cluster,
        first: Snapshot,
    ) -> Result<(Snapshot, Verification), CallError> {
        let paced = |duration: Duration| duration.div_f64(self.pace);
        let (stall, patience, pauses) = (paced(STALL), paced(PATIENCE), paced(PAUSE)..=paced(PAUSE_MAX));
        let (began, mut next, mut before) = (Instant::now(), NextLook::now(), first);
        let (mut changed, mut last, mut same, mut since) = (began, None, 0, began);
        let mut memories = Cow::Borrowed(self.memories);
        loop {
            let told = *self.stop.borrow_and_update() != Stop::No;
            if !told {
                next.begins(&pauses);
                looks::pause(next.due, &mut self.stop).await;
            }
            let seen = look_again(cluster, &before).await?;
            let covers = |table: &_, id| self.scope.covers(table, id);
            let found = verify(&before, &seen, covers, &memories);
            let stands = |last: &Verification| last.is_the_same(&found);
            (same, since) = if last.as_ref().is_some_and(stands) { (same + 1, since) } else { (1, Instant::now()) };
            if last.as_ref() != Some(&found) {
                changed = Instant::now();
            }
            let goes_on = match found.verdict {
                Standing::Complete => false,
                Standing::NotFinished => changed.elapsed() < stall && began.elapsed() < patience,
                Standing::NotFullySucceeded | Standing::Undetermined => {
                    let believed = same >= CONFIRMED && since.elapsed() >= paced(self.may_heal_for(&found, &seen));
                    !believed && began.elapsed() < patience
                }
            };
            if told || !goes_on {
                let wanted = if told { Vec::new() } else { self.to_compare(&found, &seen, &memories) };
                if wanted.is_empty() {
                    let up_to = self.compare_rows_up_to;
                    let found = match told {
                        true => found,
                        false => with_aggregates(cluster, &seen, self.scope, up_to, found).await,
                    };
                    return Ok((seen, found));
                }
                // Row counts are a reason to look: the rows themselves decide.
                let (of, done) = (wanted.len(), AtomicUsize::new(0));
                let tell = |compared: &ToCompare, rows: &RowsSeen| {
                    let done = done.fetch_add(1, Ordering::Relaxed) + 1;
                    if let Compares::All(tell) = self.compares {
                        tell(&compared.checked(rows), done, of);
                    }
                };
                for (id, rows) in compare_all(cluster, wanted, self.compare_rows_up_to, tell).await {
                    let memory = memories.to_mut().entry(id).or_default();
                    memory.rows = Some(rows.after(memory.rows.as_ref()));
                }
            }
            (before, last) = (seen, Some(found));
        }
    }

    /// The replicas that are to be compared and that nobody has compared yet.
    fn to_compare(
        &self,
        found: &Verification,
        seen: &Snapshot,
        memories: &BTreeMap<PartitionId, Memory>,
    ) -> Vec<ToCompare> {
        let counts_differ: BTreeSet<_> = found
            .findings
            .iter()
            .filter(|finding| finding.kind == FindingKind::FewerRows)
            .filter_map(|finding| finding.table.as_ref().zip(finding.pid))
            .collect();
        let mut wanted = Vec::new();
        for (table, partition) in seen.tables.iter().flat_map(|t| t.partitions.iter().map(move |p| (t, p))) {
            let id = PartitionId { tid: table.tid, pid: partition.pid };
            let is_wanted = match self.compares {
                Compares::WhereCountsDiffer => counts_differ.contains(&(&table.name, partition.pid)),
                Compares::All(_) => self.scope.covers(table, id),
            };
            let is_loaded = |at: &&Endpoint| {
                let held = seen.tablets.get(*at).and_then(|tablet| tablet.held.known());
                held.and_then(|held| held.get(&id)).is_some_and(|held| held.state.is_loaded())
            };
            let replicas = partition.replicas.iter().map(|replica| &replica.endpoint).filter(is_loaded);
            let replicas: Vec<Endpoint> = replicas.cloned().collect();
            let known = memories.get(&id).and_then(|memory| memory.rows.as_ref());
            let is_compared = known.is_some_and(|rows| rows.covers(replicas.iter()));
            if is_wanted && !is_compared && replicas.len() > 1 {
                wanted.push(ToCompare { partition: id, table: table.name.clone(), replicas });
            }
        }
        wanted
    }

    /// How long what was found has to last before it is believed.
    fn may_heal_for(&self, found: &Verification, seen: &Snapshot) -> Duration {
        let known = Known::of(&self.known, seen);
        let news = found.findings.iter().filter(|finding| {
            !matches!(finding.nature, Persistence::GoesOn | Persistence::Remark) && !known.tells(finding)
        });
        let each = news.map(|finding| match finding.kind {
            FindingKind::Ahead | FindingKind::FewerRows | FindingKind::DataNotReplaced => SETTLING,
            _ => HEALING,
        });
        each.max().unwrap_or(Duration::ZERO)
    }
}

/// Partitions that are known not to be as they should be, by name, and the tablets of their replicas.
struct Known<'a> {
    partitions: BTreeSet<(&'a TableName, Pid)>,
    tablets: BTreeSet<&'a Endpoint>,
}

impl<'a> Known<'a> {
    fn of(known: &BTreeSet<PartitionId>, seen: &'a Snapshot) -> Self {
        let mut all = Self { partitions: BTreeSet::new(), tablets: BTreeSet::new() };
        for table in &seen.tables {
            let is_known = |pid: Pid| known.contains(&PartitionId { tid: table.tid, pid });
            for partition in table.partitions.iter().filter(|partition| is_known(partition.pid)) {
                all.partitions.insert((&table.name, partition.pid));
                all.tablets.extend(partition.replicas.iter().map(|replica| &replica.endpoint));
            }
        }
        all
    }

    fn tells(&self, finding: &Finding) -> bool {
        match (&finding.table, finding.pid, &finding.endpoint) {
            (Some(table), Some(pid), _) => self.partitions.contains(&(table, pid)),
            (_, _, Some(at)) => self.tablets.contains(at),
            _ => false,
        }
    }
}

/// The partitions in scope that do not look as they should.
pub fn unhealthy_in(seen: &Snapshot, scope: &Scope) -> BTreeSet<PartitionId> {
    let mut found = BTreeSet::new();
    for table in &seen.tables {
        for partition in &table.partitions {
            let id = PartitionId { tid: table.tid, pid: partition.pid };
            let view = || View::of(seen, table, partition, &Memory::default());
            if scope.covers(table, id) && health(&view()) != Health::Healthy {
                found.insert(id);
            }
        }
    }
    found
}

/// The same of all partitions, with those of which something was found.
pub(super) fn not_well(seen: &Snapshot, found: &Verification) -> BTreeSet<PartitionId> {
    let wrong: BTreeSet<_> =
        found.findings.iter().filter_map(|finding| Some((finding.table.as_ref()?, finding.pid?))).collect();
    let all = seen.tables.iter().flat_map(|table| table.partitions.iter().map(move |partition| (table, partition.pid)));
    let named = all.filter(|(table, pid)| wrong.contains(&(&table.name, *pid)));
    let named = named.map(|(table, pid)| PartitionId { tid: table.tid, pid });
    unhealthy_in(seen, &Scope::All).into_iter().chain(named).collect()
}

#[cfg(test)]
mod tests {
    use super::super::made_up::{ID, orders, seen};
    use super::*;

    fn found(kind: FindingKind, of: Option<Pid>, at: &str, nature: Persistence) -> Finding {
        let (table, endpoint) = (of.map(|_| orders()), Some(at.into()));
        Finding { kind, table, pid: of, endpoint, nature, text: String::new(), hint: String::new() }
    }

    /// Flags do not show that a leader lacks rows: what was found of a partition counts, too.
    #[test]
    fn a_partition_of_which_something_was_found_is_not_well() {
        let verified = |findings| Verification { verdict: Standing::NotFullySucceeded, findings };
        let fewer = found(FindingKind::FewerRows, Some(ID.pid), "b", Persistence::Stays);
        assert_eq!(not_well(&seen(), &verified(Vec::new())), [ID].into(), "b is not alive");
        let mut well = seen();
        well.tables[0].partitions[0].replicas.truncate(1);
        assert_eq!(not_well(&well, &verified(Vec::new())), [].into());
        assert_eq!(not_well(&well, &verified(vec![fewer])), [ID].into());
    }

    /// The nameserver puts right what it finds of a tablet that has just come back.
    #[test]
    fn what_may_heal_by_itself_is_given_time_before_it_is_believed() {
        let nothing = BTreeMap::new();
        let believed_after = |known: &[PartitionId], findings: &[Finding]| {
            let checking = Checking {
                scope: &Scope::All,
                memories: &nothing,
                known: known.iter().copied().collect(),
                pace: 1.0,
                compares: Compares::WhereCountsDiffer,
                compare_rows_up_to: 0,
                stop: watch::channel(Stop::No).1,
            };
            let found = Verification { verdict: Standing::NotFullySucceeded, findings: findings.to_vec() };
            checking.may_heal_for(&found, &seen()).as_secs()
        };
        let orders = |kind| found(kind, Some(ID.pid), "b", Persistence::Stays);
        let missed = || found(FindingKind::TabletOffline, None, "b", Persistence::Stays);
        for kind in [FindingKind::NoAnswer, FindingKind::NotAlive, FindingKind::NotLoaded, FindingKind::NotConnected] {
            assert_eq!(believed_after(&[], &[orders(kind)]), 20, "{kind:?}");
            assert_eq!(believed_after(&[ID], &[orders(kind)]), 0, "{kind:?}: it is no news");
        }
        assert_eq!(believed_after(&[], &[missed()]), 20, "it is about a tablet alone");
        assert_eq!(believed_after(&[ID], &[missed()]), 0, "a tablet of which a partition is known to be bad");
        for kind in [FindingKind::Ahead, FindingKind::FewerRows, FindingKind::DataNotReplaced] {
            assert_eq!(believed_after(&[], &[orders(kind)]), 5, "{kind:?}");
            assert_eq!(believed_after(&[], &[orders(kind), missed()]), 20, "{kind:?} is not all of it");
        }
        assert_eq!(believed_after(&[], &[found(FindingKind::OpRunning, Some(ID.pid), "b", Persistence::GoesOn)]), 0);
    }
}
