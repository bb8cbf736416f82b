//! Pre-aggregate tables: what is known of the partition that one aggregates, and what follows for who leads it and for what
//! terms prove (docs/openmldb/load-table.md#pre-aggregate-tables).

use std::collections::BTreeSet;

use openmldb_model::{
    Action, Aggregator, Endpoint, Offset, Partition, PartitionId, Role, Seen, Snapshot, Table, Tablet, Term,
};

use crate::playbook::Promote;

use super::blocked::{Blocked, Reason};
use super::choice::PromotionMethod;
use super::decision::{Decision, Intent, Question, Wait, WaitFor};
use super::health::{Problem, ProblemKind};
use super::limits::ANSWER;
use super::memory::{Load, Memory};
use super::rows::{cannot_be_compared, seen_to_hold_all};
use super::term::is_proven_prefix;
use super::view::{Data, ReplicaView, View};

/// The partition that a pre-aggregate table's partition aggregates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// Its name, as it is typed.
    pub name: String,
    /// Who leads it, or will as far as can be told; none if nobody knows.
    pub leader: Option<Endpoint>,
    /// Whether the two may have been led by different tablets at some time: then aggregates were written into a copy that did not
    /// lead, under a term that was not its own.
    pub was_apart: bool,
    /// The tablets that have it registered: a replica that is loaded there is attached to it.
    pub registered_at: BTreeSet<Endpoint>,
    /// Whether its leader leads in memory, so that clients may put rows.
    pub takes_rows: bool,
}

impl Base {
    /// What a snapshot's metadata says of it.
    pub fn of(snapshot: &Snapshot, table: &Table, partition: &Partition) -> Option<Self> {
        let (base, found) = snapshot.base_of(table, partition.pid)?;
        let id = PartitionId { tid: base.tid, pid: found.pid };
        let holds = |tablet: &Tablet| tablet.held.known().is_some_and(|held| held.contains_key(&id));
        let registered = snapshot.tablets.iter().filter(|(_, tablet)| holds(tablet));
        let registered_at = registered.map(|(endpoint, _)| endpoint.clone()).collect();
        // Clients know where it led before, and do not wait until it is flagged alive again.
        let flagged = found.replicas.iter().filter(|replica| replica.is_leader);
        let mut held = flagged.filter_map(|replica| snapshot.tablets.get(&replica.endpoint)?.held.known()?.get(&id));
        let takes_rows = held.any(|held| held.role == Role::Leader && held.state.is_loaded());
        Some(Self { registered_at, takes_rows, ..Self::among(base, found, partition) })
    }

    /// The same from the partitions alone.
    fn among(table: &Table, base: &Partition, aggregate: &Partition) -> Self {
        let flagged = |partition: &Partition| -> Vec<Endpoint> {
            partition.replicas.iter().filter(|r| r.is_leader).map(|r| r.endpoint.clone()).collect()
        };
        let never_changed = base.terms.len() <= 1 && aggregate.terms.len() <= 1 && flagged(base) == flagged(aggregate);
        let name = format!("{}/{}", table.name, base.pid);
        Self {
            name,
            leader: base.leader().cloned(),
            was_apart: !never_changed,
            registered_at: BTreeSet::new(),
            takes_rows: false,
        }
    }
}

/// A leader of a pre-aggregate table's partition that is not beside the leader of what that aggregates: nothing new comes into it.
pub fn led_apart(view: &View) -> Option<Problem> {
    let (base, leader) = (view.base.as_ref()?, view.serving_leader()?);
    let at = base.leader.as_ref().filter(|at| **at != leader.endpoint)?;
    let text = format!("leads it, but {at} leads {}, which it aggregates", base.name);
    Some(Problem { endpoint: leader.endpoint.clone(), kind: ProblemKind::LedApart, text })
}

/// Whether terms prove nothing about a partition's logs. An aggregator writes into the copy on its own tablet whether that leads or
/// not, under the term it last heard of: two copies may hold different entries of one term at the same places.
pub(super) fn terms_prove_nothing(view: &View) -> bool {
    view.base.as_ref().is_some_and(|base| base.was_apart)
}

/// Whether `y`, whose log the terms show to continue that of `x`, does. What an aggregator wrote at an earlier load hides the log
/// before it from the next one, and no term and no count has to show that: rows have to, where they can be compared.
pub(super) fn rows_bear_out(view: &View, x: &ReplicaView, y: &ReplicaView) -> bool {
    if view.base.is_none() {
        return true;
    }
    if [x, y].into_iter().any(|r| is_written_while_loading(view, r)) {
        return false;
    }
    // One that ends first, and into which an aggregator may have written, may hold something else in these places.
    let may_be_another = x.offset() < y.offset() && x.aggregator != Seen::Known(Aggregator::Missing);
    match cannot_be_compared(view, x, y) {
        true => !terms_prove_nothing(view) && !may_be_another,
        false => seen_to_hold_all(view, y, x) && !may_be_another,
    }
}

/// Rows that a leader may have put whose entries are still to be written: puts under way, on the threads of one tablet.
const UNDER_WAY: u64 = 16;

/// Whether its aggregator wrote into a replica while it was loaded. That is numbered from 1, under term 0, in a new
/// file of the log that hides those before it: the replica has more rows than entries, its log does not match its rows,
/// and a replica that is sent that log lacks the rest (docs/openmldb/load-table.md#pre-aggregate-tables).
pub(super) fn is_written_while_loading(view: &View, replica: &ReplicaView) -> bool {
    let Some((_, offset)) = view.base.as_ref().zip(replica.offset()) else { return false };
    let under_way = if replica.leads_in_memory() { UNDER_WAY } else { 0 };
    if replica.memory.written_while_loading && replica.leads_in_memory() {
        return true;
    }
    let of_no_term = replica.manifest.known().is_some_and(|m| m.offset > Offset(0) && m.term == Some(Term(0)));
    replica.rows() > offset.0.saturating_add(under_way) || of_no_term
}

/// Whether that keeps a replica from leading: another one holds rows into which nobody wrote like that.
pub(super) fn another_is_as_it_was(view: &View, replica: &ReplicaView) -> bool {
    let is_sound = |r: &&ReplicaView| {
        r.endpoint != replica.endpoint && r.offset() > Some(Offset(0)) && !is_written_while_loading(view, r)
    };
    is_written_while_loading(view, replica) && view.replicas.iter().any(|r| is_sound(&r))
}

/// The same of what is loaded, as something that is wrong with it.
pub(super) fn written_to(view: &View, replica: &ReplicaView) -> Option<Problem> {
    let written = replica.loaded().filter(|_| is_written_while_loading(view, replica));
    written.map(|_| Problem {
        endpoint: replica.endpoint.clone(),
        kind: ProblemKind::WrittenWhileLoading,
        text: format!(
            "holds {}: its aggregator wrote to it while it was loading, so its log does not match its rows",
            replica.rows_at()
        ),
    })
}

/// A leader whose log does not match its rows is no source.
pub(super) fn not_to_be_sent(view: &View, leader: &ReplicaView) -> Result<(), Blocked> {
    let Some((base, Problem { endpoint, text, .. })) = view.base.as_ref().zip(written_to(view, leader)) else {
        return Ok(());
    };
    let name = view.name();
    let hint = format!(
        "nothing was discarded; a replica that is sent that log lacks rows. `openmldb-ops leader handover {} --to` \
         another replica's tablet, then `openmldb-ops replica aggregate {name}` with that tablet, which makes the \
         missing rows there; then `openmldb-ops recover --partition {name}`",
        base.name
    );
    Err(Blocked::new(Reason::WrittenWhileLoading, format!("its leader {endpoint} {text}"), hint))
}

/// A load that may hide what nobody else has: where the base table's partition is registered, an aggregator is attached as the replica
/// loads, and what it makes is numbered from 1 in a new file of the log. All rows are in memory then, but the next load reads that file
/// alone (docs/openmldb/load-table.md#pre-aggregate-tables). What is to be done first, if anything.
pub(super) fn before_its_log_is_hidden(view: &View, missing: &[&ReplicaView]) -> Option<Decision> {
    let base = view.base.as_ref()?;
    let nobody_else = |r: &ReplicaView| {
        let has_nothing = |o: &ReplicaView| o.out_of_reach().is_some() || o.has_no_directory();
        view.replicas.iter().all(|o| o.endpoint == r.endpoint || has_nothing(o))
    };
    let replica = missing.iter().find(|r| base.registered_at.contains(&r.endpoint) && nobody_else(r))?;
    match &replica.aggregator {
        Seen::Known(Aggregator::Missing) => return None,
        Seen::Unasked => return Some(Decision::look(&replica.endpoint, Question::Aggregator)),
        Seen::Failed(error) => {
            let what = WaitFor::Answer(replica.endpoint.clone());
            let seen = format!("{} does not say whether it aggregates ({error})", replica.endpoint);
            if !view.memory.has_expired(&what) {
                return Some(Decision::Wait(Wait::new(what, seen, ANSWER, ANSWER)));
            }
        }
        Seen::Known(Aggregator::Present) => {}
    }
    let (at, base) = (&replica.endpoint, &base.name);
    let text = format!(
        "{at} already has {base} loaded, which it aggregates: loaded after it, its aggregator may write to it and hide its \
         log from the next load, and no other replica holds that"
    );
    let hint = format!(
        "nothing was loaded or discarded; `openmldb-ops failover set off`, restart {at}, then run `openmldb-ops \
         recover --all`, which loads it before {base}; then `openmldb-ops failover set on`"
    );
    Some(Decision::Blocked(Blocked::new(Reason::WrittenWhileLoading, text, hint)))
}

/// The same of a replica that may not be replaced, since its leader does not hold what was aggregated into it.
pub(super) fn what_was_written(view: &View, replica: &ReplicaView) -> Option<String> {
    let base = view.base.as_ref().filter(|_| is_written_while_loading(view, replica))?;
    Some(format!(
        "its aggregator made them from {} while it was loading: once the leader's tablet has made them too \
         (`openmldb-ops replica aggregate {} ENDPOINT`), `openmldb-ops recover --all` replaces it",
        base.name,
        view.name()
    ))
}

/// The replica beside the base table's leader, if it can lead in place of `leader` without anything being given up: what leads the
/// base table writes there, and nowhere else.
pub(super) fn beside<'a>(
    view: &'a View,
    usable: &[&'a ReplicaView],
    leader: &'a ReplicaView,
    promote: Promote,
) -> Option<(&'a ReplicaView, PromotionMethod, String)> {
    let base = view.base.as_ref()?;
    let at = base.leader.as_ref().filter(|at| **at != leader.endpoint && promote == Promote::WhenProven)?;
    let beside = usable.iter().copied().find(|r| r.endpoint == *at)?;
    // One that leads in memory may have taken writes since, which nobody else has.
    if !is_proven_prefix(view, leader, beside) || leader.leads_in_memory() {
        return None;
    }
    let way = if beside.is_leader { PromotionMethod::ChangeRole } else { PromotionMethod::ChangeLeader };
    let why = format!("{at} leads {}, which it aggregates, and holds all that {} does", base.name, leader.endpoint);
    Some((beside, way, why))
}

impl Memory {
    /// Notes into which replicas of a pre-aggregate table their aggregators wrote while they were loaded. Once one leads, rows may be
    /// ahead of its log for a moment, and as few show nothing any more; what is loaded anew holds its log.
    pub(super) fn note_written_while_loading(&mut self, view: &View) {
        for replica in view.replicas.iter().filter(|_| view.base.is_some()) {
            let written = &mut self.replica_mut(&replica.endpoint).written_while_loading;
            *written = match replica.data {
                Data::Loaded(_) if replica.leads_in_memory() => *written || is_written_while_loading(view, replica),
                Data::Loaded(_) => is_written_while_loading(view, replica),
                Data::Absent | Data::Loading(_) => false,
                Data::OutOfReach(_) => *written,
            };
        }
    }

    /// Notes which replicas of a pre-aggregate table no aggregator is attached to: those that we loaded where its base table's
    /// partition was not registered.
    pub fn note_unattached(&mut self, view: &View) {
        let Some(base) = &view.base else { return };
        for replica in &view.replicas {
            let is_registered = base.registered_at.contains(&replica.endpoint);
            let memory = self.replica_mut(&replica.endpoint);
            memory.unattached = match replica.data {
                Data::Loaded(_) if memory.unattached => true,
                Data::Loaded(_) => {
                    let by_us = memory.load == Load::Loaded && memory.loads > memory.loads_of_the_past;
                    // Where there is no file there is none anyway; and if there is one later, somebody has had it created.
                    let has_file = replica.aggregator == Seen::Known(Aggregator::Present);
                    by_us && has_file && !is_registered && !memory.aggregator_asked
                }
                Data::Absent | Data::Loading(_) | Data::OutOfReach(_) => false,
            };
            if replica.data == Data::Absent {
                memory.aggregator_asked = false;
            }
        }
    }
}

/// Has the leader's tablet aggregate, where it will lead the base table and no aggregator is attached: it was loaded before that one, or
/// it has none. Once, since a second one would put everything twice; and before clients put rows, since one that is put while an
/// aggregator reads the log may be counted twice, or not at all.
pub(super) fn aggregate(view: &View, step: &'static str) -> Option<Decision> {
    let leader = view.serving_leader().filter(|leader| is_beside(view, leader))?;
    if leader.aggregator.is_unasked() && !leader.memory.unattached && !leader.memory.aggregator_asked {
        return Some(Decision::look(&leader.endpoint, Question::Aggregator));
    }
    if !is_to_be_aggregated(view, leader) {
        return None;
    }
    let (endpoint, table) = (leader.endpoint.clone(), view.table.clone());
    let action = Action::CreateAggregator { endpoint, table, partition: view.partition };
    let name = view.base.as_ref().map_or("", |base| base.name.as_str());
    let why = format!("it also leads {name}, and no aggregator is attached: a new one catches up on what is missing");
    Some(Decision::act(Intent::new(step, action, why)))
}

/// Whether an aggregator may still be created for a pre-aggregate table's partition that is being recovered: its base table's does not
/// lead before, so that no client puts a row in that moment.
pub fn awaits_aggregator(view: &View) -> bool {
    view.serving_leader().is_none_or(|leader| is_beside(view, leader) && is_to_be_aggregated(view, leader))
}

fn is_beside(view: &View, leader: &ReplicaView) -> bool {
    view.base.as_ref().is_some_and(|base| base.leader.as_ref() == Some(&leader.endpoint))
}

fn is_to_be_aggregated(view: &View, leader: &ReplicaView) -> bool {
    let is_free = leader.memory.unattached || leader.aggregator == Seen::Known(Aggregator::Missing);
    let in_peace = view.base.as_ref().is_some_and(|base| !base.takes_rows);
    is_free && in_peace && !leader.memory.aggregator_asked && !is_written_while_loading(view, leader)
}
