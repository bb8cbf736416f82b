//! Pre-aggregate tables: what is known of the partition that one aggregates, and what follows for who leads it and for what
//! terms prove (docs/openmldb/load-table.md#pre-aggregate-tables).

use openmldb_model::{Aggregator, Endpoint, Offset, Partition, Seen, Snapshot, Table, Term};

use crate::playbook::Promote;

use super::blocked::{Blocked, Reason};
use super::election::Way;
use super::health::{Problem, ProblemKind};
use super::rows::{cannot_be_compared, seen_to_hold_all};
use super::term::is_proven_prefix;
use super::view::{ReplicaView, View};

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
}

impl Base {
    /// What a snapshot's metadata says of it.
    pub fn of(snapshot: &Snapshot, table: &Table, partition: &Partition) -> Option<Self> {
        let (base, found) = snapshot.base_of(table, partition.pid)?;
        Some(Self::among(base, found, partition))
    }

    /// The same from the partitions themselves.
    pub fn among(table: &Table, base: &Partition, aggregate: &Partition) -> Self {
        let flagged = |partition: &Partition| -> Vec<Endpoint> {
            partition.replicas.iter().filter(|r| r.is_leader).map(|r| r.endpoint.clone()).collect()
        };
        let never_changed = base.terms.len() <= 1 && aggregate.terms.len() <= 1 && flagged(base) == flagged(aggregate);
        let name = format!("{}/{}", table.name, base.pid);
        Self { name, leader: base.leader().cloned(), was_apart: !never_changed }
    }
}

/// A leader of a pre-aggregate table's partition that is not beside the leader of what that aggregates: nothing new comes into it.
pub fn led_apart(view: &View) -> Option<Problem> {
    let (base, leader) = (view.base.as_ref()?, view.serving_leader()?);
    let at = base.leader.as_ref().filter(|at| **at != leader.endpoint)?;
    let text = format!("leads it, and {at} leads {}, which it aggregates", base.name);
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

/// Whether its aggregator wrote into a replica while it was loaded. That is numbered from 1, under term 0, in a new file of the log that
/// hides those before it: the replica has more rows than entries, its log is not what it holds, and whoever is sent that log lacks the
/// rest (docs/openmldb/load-table.md#pre-aggregate-tables).
pub(super) fn is_written_while_loading(view: &View, replica: &ReplicaView) -> bool {
    let Some((_, offset)) = view.base.as_ref().zip(replica.offset()) else { return false };
    let under_way = if replica.leads_in_memory() { UNDER_WAY } else { 0 };
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
            "holds {}: its aggregator wrote into it while it was loaded, and its log is not what it holds",
            replica.rows_at()
        ),
    })
}

/// A leader whose log is not what it holds is nobody's source.
pub(super) fn not_to_be_sent(view: &View, leader: &ReplicaView) -> Result<(), Blocked> {
    let Some((base, Problem { endpoint, text, .. })) = view.base.as_ref().zip(written_to(view, leader)) else {
        return Ok(());
    };
    let name = view.name();
    let hint = format!(
        "nothing was discarded, and whoever is sent that log lacks rows. `openmldb-ops leader handover {} --to` another replica's tablet, \
         then `openmldb-ops replica aggregate {name}` with that tablet, which makes the missing rows there; then `openmldb-ops recover \
         --partition {name}`",
        base.name
    );
    Err(Blocked::new(Reason::WrittenWhileLoading, format!("its leader {endpoint} {text}"), hint))
}

/// The same of a replica that may not be replaced, since its leader does not hold what was aggregated into it.
pub(super) fn what_was_written(view: &View, replica: &ReplicaView) -> Option<String> {
    let base = view.base.as_ref().filter(|_| is_written_while_loading(view, replica))?;
    Some(format!(
        "its aggregator made them of {} while it was loaded: once the leader's tablet has made them, too (`openmldb-ops replica \
         aggregate {} ENDPOINT`), `openmldb-ops recover` replaces it",
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
) -> Option<(&'a ReplicaView, Way, String)> {
    let base = view.base.as_ref()?;
    let at = base.leader.as_ref().filter(|at| **at != leader.endpoint && promote == Promote::WhenProven)?;
    let beside = usable.iter().copied().find(|r| r.endpoint == *at)?;
    // One that leads in memory may have taken writes since, which nobody else has.
    if !is_proven_prefix(view, leader, beside) || leader.leads_in_memory() {
        return None;
    }
    let way = if beside.is_leader { Way::ChangeRole } else { Way::ChangeLeader };
    let why = format!("{at} leads {}, which it aggregates, and holds all that {} does", base.name, leader.endpoint);
    Some((beside, way, why))
}
