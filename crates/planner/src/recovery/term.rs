//! Which leaderships wrote a replica's log: the last term, where it becomes foreign, and who was elected last.

use openmldb_model::{Offset, Term, TermStart};

use super::stuck::leads_in;
use super::view::{ReplicaView, View};

/// The term of a replica's last entry, as far as known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LastTerm {
    /// Known: there was only one term, or MANIFEST reaches the end of the log.
    Known(Term),
    /// At least this one.
    AtLeast(Term),
    /// The partition has no term history.
    Unknown,
}

impl LastTerm {
    /// The term or its lower bound.
    pub fn lower_bound(self) -> Option<Term> {
        match self {
            Self::Known(term) | Self::AtLeast(term) => Some(term),
            Self::Unknown => None,
        }
    }
}

/// The term of the replica's last entry. MANIFEST carries it where it reaches the replica's offset and is a lower bound
/// otherwise; for disk tables it is the replicator's and says nothing about entries
/// (docs/openmldb/logs-and-terms.md#the-term-of-a-replicas-last-entry). A replaced leader whose tablet still runs tells
/// its own.
pub fn last_term(view: &View, replica: &ReplicaView) -> LastTerm {
    let Some(first) = view.terms.first() else { return LastTerm::Unknown };
    if view.terms.len() == 1 {
        return LastTerm::Known(first.term);
    }
    if let Some(term) = written_as_leader(view, replica) {
        return LastTerm::Known(term);
    }
    let manifest = replica.manifest.known().filter(|manifest| manifest.offset > Offset(0) && !view.storage.is_disk());
    match manifest.and_then(|manifest| Some((manifest.offset, manifest.term?))) {
        Some((offset, term)) if replica.offset().is_some_and(|end| offset >= end) => LastTerm::Known(term),
        Some((_, term)) => LastTerm::AtLeast(term.max(first.term)),
        None => LastTerm::AtLeast(first.term),
    }
}

/// The term of a leader that was replaced and does not know: its tablet was not restarted, and what it holds from where
/// its term began it wrote itself. Under the last term that would prove nothing: ChangeRole gives it to any leader.
fn written_as_leader(view: &View, replica: &ReplicaView) -> Option<Term> {
    let heard = replica.term_pair.known().filter(|_| replica.leads_in_memory())?.term;
    let began = view.terms.iter().find(|start| start.term == heard)?;
    let replaced = view.terms.last().is_some_and(|last| last.term > heard);
    (replaced && replica.offset() >= Some(began.start)).then_some(heard)
}

/// The offset at which a log whose last entry is of `term` parts from the partition's history: where the first of all later
/// terms begins (docs/design/terms-and-prefixes.md#where-a-log-parts-from-the-history). That is the next one's start,
/// unless everything was lost in between: then a still later one begins further down. None if no later term ever began, so
/// that nothing can be foreign.
pub fn foreign_from(view: &View, term: Term) -> Option<Offset> {
    view.terms.iter().filter(|start| start.term > term).map(|start| start.start).min()
}

/// Whether it leads in memory in the last term there was: whoever else was leader was so before.
pub fn leads_in_the_last_term(view: &View, replica: &ReplicaView) -> bool {
    let leads = leads_in(replica);
    view.terms.len() > 1 && leads.is_some() && leads == view.terms.last().map(|start| start.term)
}

/// The replica's last term where it is settled: known, or bounded below by a term after which its log holds nothing.
pub fn settled_term(view: &View, replica: &ReplicaView) -> Option<Term> {
    match last_term(view, replica) {
        LastTerm::Known(term) => Some(term),
        LastTerm::AtLeast(term) => {
            let foreign = foreign_from(view, term);
            foreign.is_none_or(|start| replica.offset().is_some_and(|offset| offset < start)).then_some(term)
        }
        LastTerm::Unknown => None,
    }
}

/// The term that a replica holds an entry of below where the term began, if its last entry shows it. OpenMLDB has a term begin
/// behind the longest of those elected from, also where somebody named a leader that was behind
/// (docs/openmldb/operations.md#changeleader): that one wrote in places where others hold what was acknowledged before. A disk
/// table's entries do not show it; but a leader that was elected in the last term and ends before that began did so, or has lost
/// its end, and nobody can tell.
pub fn written_below_its_start(view: &View, replica: &ReplicaView) -> Option<TermStart> {
    let end = replica.offset().filter(|end| *end > Offset(0))?;
    if let LastTerm::Known(term) = last_term(view, replica) {
        let start = view.terms.iter().find(|start| start.term == term)?;
        return (end < start.start).then_some(*start);
    }
    // Once somebody else was elected the last term is not its own any more.
    let is_as_found = view.memory.choice.is_none() && view.serving_leader().is_none();
    let led_last = view.storage.is_disk() && is_as_found && replica.is_leader && replica.memory.alive_before;
    view.terms.last().filter(|last| led_last && end.0 + 1 < last.start.0).copied()
}

/// Whether the whole of the replica's log is the partition's history: it ends before any term that it did not see, and holds
/// nothing of a term before that began.
pub fn is_official(view: &View, replica: &ReplicaView) -> bool {
    if written_below_its_start(view, replica).is_some() {
        return false;
    }
    let (Some(bound), Some(offset)) = (last_term(view, replica).lower_bound(), replica.offset()) else { return false };
    foreign_from(view, bound).is_none_or(|start| offset < start)
}

/// How far the replica's log is the partition's history; none if its last term is not settled.
pub fn history_held(view: &View, replica: &ReplicaView) -> Option<Offset> {
    let (term, end) = (settled_term(view, replica)?, replica.offset()?);
    Some(foreign_from(view, term).map_or(end, |start| end.min(Offset(start.0.saturating_sub(1)))))
}

/// The replica elected last: among the leader-flagged ones with data whose log is official, the newest last term, then
/// the one that was alive before our first change, then the longest.
pub fn elected_last(view: &View) -> Option<&ReplicaView> {
    let flagged = view.replicas.iter().filter(|replica| replica.is_leader && replica.offset() > Some(Offset(0)));
    flagged.filter(|replica| is_official(view, replica)).max_by(|a, b| {
        let rank = |r: &ReplicaView| (settled_term(view, r), r.memory.alive_before, r.offset());
        rank(a).cmp(&rank(b)).then_with(|| b.endpoint.cmp(&a.endpoint))
    })
}

/// Whether everything `x` holds is known to be in `y`, at the same places. Equal offsets alone never prove it
/// (docs/openmldb/experiments.md#divergence-made-on-purpose).
pub fn is_proven_prefix(view: &View, x: &ReplicaView, y: &ReplicaView) -> bool {
    let (Some(x_offset), Some(y_offset)) = (x.offset(), y.offset()) else { return false };
    if x_offset == Offset(0) {
        return true;
    }
    if [x, y].iter().filter_map(|r| r.memory.leader_held).any(|held| x_offset > held && y_offset > held) {
        return false;
    }
    // The replica elected last is official too.
    x_offset <= y_offset && is_official(view, x) && is_official(view, y)
}

/// The last entry that two replicas are known to share: both logs up to where the first of them may turn foreign.
pub fn shared_up_to(view: &View, x: &ReplicaView, y: &ReplicaView) -> Offset {
    let foreign = |r: &ReplicaView| match last_term(view, r).lower_bound() {
        Some(term) => foreign_from(view, term).map_or(u64::MAX, |start| start.0.saturating_sub(1)),
        None => 0,
    };
    let ends = [x, y].map(|r| r.offset().unwrap_or(Offset(0)).0);
    Offset(foreign(x).min(foreign(y)).min(ends[0]).min(ends[1]))
}

/// Whether any loaded replica has heard of a later term than term_offset's last: then a leader of the last term would
/// never be listened to (docs/openmldb/logs-and-terms.md#a-follower-that-has-heard-a-later-term), and only
/// ChangeLeader, which begins a new term, can make one.
pub fn term_above_history(view: &View) -> Option<(&ReplicaView, Term)> {
    let last = view.terms.last()?.term;
    let heard = view.replicas.iter().filter_map(|r| r.term_pair.known().map(|pair| (r, pair)));
    heard.filter(|(_, pair)| pair.has_table).map(|(r, pair)| (r, pair.term)).find(|(_, term)| *term > last)
}
