//! Looks at single partitions, where few are waited for: what the nameserver and the tablets say of everything else is not
//! asked. Without them the nameserver's lanes, which take one follower in four seconds, would have the whole cluster looked
//! at for every step of each.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::cluster::{CallError, Cluster};
use crate::model::{Endpoint, Held, Offset, Op, OpStatus, PartitionId, Role, Seen, Table, TableName};
use crate::recovery::{Load, WaitFor};

use super::driver::{Driver, Report};
use super::looks::NextLook;
use super::partition_task::{PartitionTask, Sequence};
use super::polling::POLL_MIN;

/// What a call costs, and a line of an answer to one that asks for everything, in the same unit (about a tenth of a
/// microsecond of a server's time and ours). Only their proportion counts.
const CALL: usize = 500;
const LINE: usize = 10;
/// Calls of a close look at a partition of three: operations, table, three replicas.
const CALLS: usize = 5;
/// Pauses between looks at a partition that waits for the nameserver's operation: it takes at least two of the nameserver's own
/// polls (get_task_status_interval, 2 s), and others are queued behind it, so that its lane does not wait for us. One that is
/// queued itself has another one to wait for. On the cluster's clock.
const OPERATION: RangeInclusive<Duration> = Duration::from_millis(200)..=Duration::from_secs(1);
const QUEUED: Duration = Duration::from_secs(2);
/// Where hundreds of operations are to come, looks at those under way may be apart by this part of the time that all of them take, ...
const QUEUE_PART: u32 = 100;
/// ... one taking so long in one of two lanes, ...
const EACH: Duration = Duration::from_secs(2);
/// ... from this on, ...
const MANY: usize = 100;
/// ... and up to this: the nameserver has three times as much queued beforehand (`Widths::ops`), so that its lanes do not wait for us.
const QUEUE_MOST: Duration = Duration::from_secs(5);

/// Looks that count as two are at least this far apart: what lasts for an instant may be seen twice within it.
const ODD_APART: Duration = Duration::from_millis(20);

/// What a close look brought.
pub(super) enum PartitionPoll {
    /// The operation that is waited for has not ended: nothing else was asked.
    Ops(Vec<Op>),
    /// All there is to know. The table is none if it is gone.
    All { ops: Vec<Op>, table: Option<Box<Table>>, held: BTreeMap<Endpoint, Option<Held>> },
}

/// When a partition is looked at on its own.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    next: NextLook,
    under_way: bool,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self { next: NextLook::now(), under_way: false }
    }

    /// Something happened: look soon.
    pub(super) fn quicken(&mut self) {
        self.next.hurry(POLL_MIN);
    }

    fn begin(&mut self, pauses: &RangeInclusive<Duration>) {
        self.next.begins(pauses);
        self.under_way = true;
    }

    /// When the next look is due, if none is under way.
    pub(super) fn due(&self) -> Option<Instant> {
        (!self.under_way).then_some(self.next.due)
    }
}

fn waits_for_ops(task: &PartitionTask) -> bool {
    matches!(task.waiting, Some(WaitFor::Ops | WaitFor::OthersOps))
}

impl Driver {
    /// Whether looking at the partitions that want it one by one costs less than looking at everything.
    pub(super) fn closely_is_cheaper(&self, wanting: &[PartitionId]) -> bool {
        let everything = (self.placed.len() + 3) * CALL + self.lines() as usize * LINE;
        // Of an operation that is one of hundreds it is mostly asked whether it has ended, and no more.
        let is_one_of_many = self.apart().is_some();
        let waits = |id: &&PartitionId| self.partitions.get(id).is_some_and(waits_for_ops);
        let briefly = wanting.iter().filter(|_| is_one_of_many).filter(waits).count();
        (briefly + (wanting.len() - briefly) * CALLS) * CALL < everything
    }

    /// How far looks at operations under way may be apart where hundreds are to come; none where there are few.
    pub(super) fn apart(&self) -> Option<Duration> {
        let (_, _, queued) = self.lanes.ops();
        apart(queued).map(|apart| apart.div_f64(self.settings.pace))
    }

    /// Begins close looks at those of them that are due.
    pub(super) fn look_closely(&mut self, wanting: &[PartitionId], began: Sequence) {
        let (now, apart) = (Instant::now(), self.apart());
        for id in wanting {
            let Some((table, _)) = self.index.find(&self.snapshot.tables, *id) else { continue };
            let ops = || self.index.ops(&table.name, id.pid).filter(|op| op.status.is_in_flight());
            let queued = ops().next().is_some() && ops().all(|op| op.status == OpStatus::Queued);
            let table = table.name.clone();
            let still =
                self.partitions.get(id).map_or(self.pauses.most, |task| self.longest_pause(task.pace.next.moved));
            let Some(task) = self.partitions.get_mut(id).filter(|task| task.pace.due().is_some_and(|due| due <= now))
            else {
                continue;
            };
            let is_to_show = apart.is_some() && task.waiting.is_none() && task.asked_for_op;
            let waits_for_ops = waits_for_ops(task) || is_to_show;
            let on_its_clock = |pause: Duration| pause.div_f64(self.settings.pace);
            let pauses = match (waits_for_ops, queued, apart) {
                (true, _, Some(apart)) => apart..=apart.max(still),
                (true, true, None) => on_its_clock(*OPERATION.start())..=on_its_clock(QUEUED).max(still),
                (true, false, None) => on_its_clock(*OPERATION.start())..=on_its_clock(*OPERATION.end()).max(still),
                (false, ..) => POLL_MIN..=still,
            };
            task.pace.begin(&pauses);
            let answering = |endpoint: &&Endpoint| {
                let tablet = self.snapshot.tablets.get(*endpoint);
                tablet.is_none_or(|tablet| !matches!(tablet.held, Seen::Failed(_)))
            };
            let endpoints: Vec<Endpoint> = task.endpoints.iter().filter(answering).cloned().collect();
            let (cluster, id) = (self.cluster.clone(), *id);
            self.tasks.spawn(async move {
                let close = look(&cluster, id, &table, endpoints, waits_for_ops).await;
                Report::PartitionPoll(began, id, Box::new(close))
            });
        }
    }

    /// Brings a partition up to date. What does not fit into what was seen before (a server does not answer, a replica or the
    /// table has gone) is left to a look at everything there, which knows more.
    pub(super) fn note_partition_poll(
        &mut self,
        began: Sequence,
        id: PartitionId,
        close: Result<PartitionPoll, PollError>,
    ) {
        let is_one_of_many = self.apart().is_some();
        let Some(task) = self.partitions.get_mut(&id) else { return };
        task.pace.under_way = false;
        self.next_look.by(task.pace.next.due);
        let Some((table, before)) = self.index.find(&self.snapshot.tables, id) else { return };
        let (name, tid, terms) = (table.name.clone(), table.tid, before.terms.len());
        match close {
            Err(PollError::Nameserver(error)) => self.note_no_nameserver(&error),
            Err(PollError::Tablet(endpoint)) => {
                self.doubted.insert(endpoint);
            }
            Ok(PartitionPoll::Ops(ops)) => {
                self.nameserver_silence.ends();
                let got_on = self.index.note_ops_of(&name, id.pid, ops);
                if got_on && !is_one_of_many {
                    task.pace.quicken();
                }
                // Even so: it may have waited long enough.
                self.stirred.insert(id);
            }
            Ok(PartitionPoll::All { ops, table, held }) => {
                self.nameserver_silence.ends();
                // A look at everything may have been faster.
                if task.tables_seen.max(self.tables_seen) >= began {
                    self.stirred.insert(id);
                    return;
                }
                let same = table.filter(|table| table.tid == tid);
                let now = same.and_then(|table| table.partitions.into_iter().find(|partition| partition.pid == id.pid));
                let Some(now) = now.filter(|now| now.terms.len() >= terms) else {
                    self.doubt_nameserver = true;
                    return;
                };
                let holds = |endpoint: &Endpoint| {
                    let tablet = self.snapshot.tablets.get(endpoint)?;
                    tablet.held.known()?.get(&id)
                };
                let gone: Vec<Endpoint> = held
                    .iter()
                    .filter(|(at, now)| now.is_none() && holds(at).is_some())
                    .map(|(at, _)| at.clone())
                    .collect();
                if !gone.is_empty() {
                    self.doubted.extend(gone);
                    return;
                }
                let moved = held
                    .iter()
                    .any(|(at, now)| holds(at).map(|held| held.state) != now.as_ref().map(|held| held.state));
                if self.index.note_ops_of(&name, id.pid, ops) || moved {
                    task.pace.quicken();
                }
                task.tables_seen = began;
                if let Some(partition) = self.index.find_mut(&mut self.snapshot.tables, id) {
                    *partition = now;
                }
                for (endpoint, held) in held {
                    self.note_replica_closely(began, id, &endpoint, held);
                }
                self.stirred.insert(id);
            }
        }
    }

    fn note_replica_closely(&mut self, began: Sequence, id: PartitionId, endpoint: &Endpoint, held: Option<Held>) {
        let Some(task) = self.partitions.get_mut(&id) else { return };
        let Some(tablet) = self.snapshot.tablets.get_mut(endpoint) else { return };
        let Seen::Known(all) = &mut tablet.held else { return };
        if self.tablets_seen.get(endpoint).is_some_and(|seen| *seen >= began) {
            return;
        }
        task.note_look(endpoint, held.as_ref());
        task.seen.insert(endpoint.clone(), began);
        match held {
            Some(held) => drop(all.insert(id, held)),
            None => drop(all.remove(&id)),
        }
        if task.under_way == 0 {
            super::stale::refresh(task, endpoint, tablet.probes.get_mut(&id));
        }
    }
}

/// The same by how many are to come, on the cluster's clock.
fn apart(queued: usize) -> Option<Duration> {
    let all = EACH.saturating_mul(u32::try_from(queued).unwrap_or(u32::MAX));
    (queued >= MANY).then(|| (all / QUEUE_PART).min(QUEUE_MOST))
}

/// Why a close look says nothing.
pub(super) enum PollError {
    /// The nameserver's answer.
    Nameserver(CallError),
    /// Which tablet did not answer.
    Tablet(Endpoint),
}

/// Operations first, for the same reason as in a look at everything.
async fn look(
    cluster: &Cluster,
    id: PartitionId,
    name: &TableName,
    endpoints: Vec<Endpoint>,
    waits_for_ops: bool,
) -> Result<PartitionPoll, PollError> {
    let ops = cluster.ops_of(name, id.pid).await.map_err(PollError::Nameserver)?;
    if waits_for_ops && ops.iter().any(|op| op.status.is_in_flight()) {
        return Ok(PartitionPoll::Ops(ops));
    }
    let mut replicas = JoinSet::new();
    for endpoint in endpoints {
        let cluster = cluster.clone();
        replicas.spawn(async move {
            let held = cluster.replica_status_once(&endpoint, id).await;
            (endpoint, held)
        });
    }
    let table = cluster.table(name).await.map_err(PollError::Nameserver)?.map(Box::new);
    let mut held = BTreeMap::new();
    while let Some(answered) = replicas.join_next().await {
        let Ok((endpoint, answer)) = answered else { continue };
        match answer {
            Ok(answer) => drop(held.insert(endpoint, answer)),
            Err(_) => return Err(PollError::Tablet(endpoint)),
        }
    }
    Ok(PartitionPoll::All { ops, table, held })
}

impl PartitionTask {
    /// Notes how a replica was seen. Two looks in the same instant show the same.
    pub(super) fn note_look(&mut self, endpoint: &Endpoint, held: Option<&Held>) {
        // Of what leads, rows are counted before their entries are.
        let may_be_an_instant =
            |held: &Held| held.offset == Offset(0) || held.role == Role::Follower && held.record_cnt > held.offset.0;
        let has_just_ended = || {
            matches!(
                self.memory.replica(endpoint).load,
                Load::Accepted | Load::Seen | Load::Interrupted | Load::InDoubt
            )
        };
        let is_odd = held.is_some_and(|held| held.state.is_loaded() && (may_be_an_instant(held) || has_just_ended()));
        // Most are not, at every look.
        if !is_odd && self.odd.is_empty() && self.memory.odd_looks(endpoint) == 0 {
            return;
        }
        let now = Instant::now();
        let replica = self.memory.replica_mut(endpoint);
        if !is_odd {
            replica.odd_looks = 0;
            self.odd.remove(endpoint);
        } else if self.odd.get(endpoint).is_none_or(|last| now.duration_since(*last) >= ODD_APART) {
            replica.odd_looks = replica.odd_looks.saturating_add(1);
            self.odd.insert(endpoint.clone(), now);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::model::{Pid, State, Tid};
    use crate::recovery::Memory;
    use crate::run::Widths;

    #[test]
    fn looks_are_apart_by_what_is_to_come_and_the_nameserver_never_waits_for_them() {
        let secs = |queued| apart(queued).map(|apart| apart.as_secs());
        assert_eq!([0, MANY - 1].map(secs), [None, None], "a small cluster is looked at as often as ever");
        assert_eq!([MANY, 200, 10_000, usize::MAX].map(secs), [2, 4, 5, 5].map(Some));
        let queued_there = u32::try_from(Widths::default().ops).unwrap();
        assert!(queued_there * EACH * 2 >= 3 * QUEUE_MOST, "so much is queued beforehand in each of the two lanes");
    }

    #[tokio::test(start_paused = true)]
    async fn two_looks_in_the_same_instant_count_as_one() {
        let (at, partition) = (Endpoint::from("a:1"), PartitionId { tid: Tid(7), pid: Pid(0) });
        let empty = Held {
            partition,
            role: Role::Follower,
            state: State::Normal,
            offset: Offset(0),
            record_cnt: 0,
            index_rows: Vec::new(),
        };
        let mut task = PartitionTask::new(Memory::default(), vec![at.clone()]);
        let polling = |task: &PartitionTask| task.memory.replica(&at).odd_looks;
        task.note_look(&at, Some(&empty));
        task.note_look(&at, Some(&empty));
        assert_eq!(polling(&task), 1);
        tokio::time::advance(ODD_APART).await;
        task.note_look(&at, Some(&empty));
        assert_eq!(polling(&task), 2);
        // With more rows than entries it is as odd, unless it leads.
        tokio::time::advance(ODD_APART).await;
        task.note_look(&at, Some(&Held { offset: Offset(1), record_cnt: 2, ..empty.clone() }));
        assert_eq!(polling(&task), 3);
        let leads = Held { role: Role::Leader, offset: Offset(1), record_cnt: 2, ..empty.clone() };
        task.note_look(&at, Some(&leads));
        assert_eq!(polling(&task), 0);
        task.note_look(&at, Some(&empty));
        task.note_look(&at, Some(&Held { offset: Offset(1), ..empty.clone() }));
        assert_eq!((polling(&task), &task.odd), (0, &BTreeMap::new()));
        // What it shows may be on its way to something else as long as nobody has taken its load to be over.
        task.memory.replica_mut(&at).load = Load::Seen;
        task.note_look(&at, Some(&Held { offset: Offset(1), ..empty.clone() }));
        assert_eq!(polling(&task), 1);
        task.memory.replica_mut(&at).load = Load::Loaded;
        task.note_look(&at, Some(&Held { offset: Offset(1), ..empty }));
        assert_eq!(polling(&task), 0);
    }
}
