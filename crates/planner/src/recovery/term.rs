//! Which leaderships wrote a replica's log: the last term, where it becomes foreign, and who was elected last.

use openmldb_model::{Offset, Term, TermStart};

use super::base::{is_written_while_loading, rows_bear_out};
use super::stuck::leads_in;
use super::view::{ReplicaView, View};

/// The term of a replica's last entry, as far as known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LastTerm {
    /// Known: there was only one term, or MANIFEST shows it.
    Known(Term),
    /// At least this one: what MANIFEST shows may be followed by entries of a later term.
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

/// What MANIFEST shows of a log up to some offset.
struct Folded {
    up_to: Offset,
    /// The term of the last put.
    last_put: Term,
    /// Whether every entry is a put that is still there, so that the last put is the last entry.
    only_puts: bool,
}

/// What MANIFEST shows of a replica's log. Deletes are passed over before an entry's term is taken, and without any put it is the
/// replicator's term, which says nothing about entries; a disk table's always is
/// (docs/openmldb/logs-and-terms.md#the-term-of-a-replicas-last-entry).
fn folded(view: &View, replica: &ReplicaView) -> Option<Folded> {
    let manifest = replica.manifest.known().filter(|manifest| manifest.count > 0 && !view.storage.is_disk())?;
    let (up_to, last_put) = (manifest.offset, manifest.term?);
    (up_to > Offset(0)).then_some(Folded { up_to, last_put, only_puts: manifest.count == up_to.0 })
}

/// Whether MANIFEST reaches the end of a memory replica's log: another snapshot would show no more.
pub fn is_folded_to_its_end(view: &View, replica: &ReplicaView) -> bool {
    let end = replica.offset().filter(|end| *end > Offset(0) && !view.storage.is_disk());
    end.is_some_and(|end| replica.manifest_offset() >= end)
}

/// The term of a replica's last put, where MANIFEST reaches its end.
pub fn last_put(view: &View, replica: &ReplicaView) -> Option<Term> {
    let folded = folded(view, replica).filter(|_| is_folded_to_its_end(view, replica))?;
    Some(folded.last_put)
}

/// Whether no call can tell a replica's last term although it matters: its log may end with deletes.
pub fn may_end_with_deletes(view: &View, replica: &ReplicaView) -> bool {
    is_folded_to_its_end(view, replica) && settled_term(view, replica).is_none()
}

/// Whether a replica is known to hold no entry of the newest term: none of its puts is of it, although it is long enough for one
/// that another replica holds. Of what a leader wrote a log holds the beginning, or nothing.
pub fn lacks_the_newest_term(view: &View, replica: &ReplicaView) -> bool {
    let (Some(newest), Some(end)) = (view.terms.last(), replica.offset()) else { return false };
    let written =
        |other: &ReplicaView| folded(view, other).is_some_and(|f| f.last_put == newest.term && f.up_to <= end);
    last_put(view, replica).is_some_and(|own| own < newest.term) && view.replicas.iter().any(written)
}

/// The term of the replica's last entry. MANIFEST shows it where it reaches the replica's offset and leaves nothing out; otherwise
/// it is a lower bound. A replaced leader whose tablet still runs tells its own.
pub fn last_term(view: &View, replica: &ReplicaView) -> LastTerm {
    let Some(first) = view.terms.first() else { return LastTerm::Unknown };
    if view.terms.len() == 1 && !may_lack_terms(view) {
        return LastTerm::Known(first.term);
    }
    if let Some(term) = written_as_leader(view, replica) {
        return LastTerm::Known(term);
    }
    let Some(folded) = folded(view, replica) else { return LastTerm::AtLeast(first.term) };
    let term = folded.last_put;
    // Any other term that it may end in is one that it is known to hold nothing of.
    let newest = view.terms.last().map(|last| last.term);
    let is_next_to_newest = || view.terms.iter().all(|start| start.term <= term || Some(start.term) >= newest);
    let is_last =
        || folded.only_puts || !may_lack_terms(view) && is_next_to_newest() && lacks_the_newest_term(view, replica);
    match is_folded_to_its_end(view, replica) && is_last() {
        true => LastTerm::Known(term),
        false => LastTerm::AtLeast(term.max(first.term)),
    }
}

/// The newest term that a replica shows a row of and the history does not have: an election is missing there, and nobody knows where
/// its term began. In a cluster that follows another one, and of pre-aggregate tables, terms in logs are not the partition's own.
pub fn unrecorded_term(view: &View) -> Option<Term> {
    let last = view.terms.last().filter(|_| !view.memory.follows && view.base.is_none())?.term;
    view.replicas.iter().filter_map(|r| folded(view, r)).map(|folded| folded.last_put).filter(|put| *put > last).max()
}

/// Whether elections may be missing in the history of terms.
pub(super) fn may_lack_terms(view: &View) -> bool {
    view.memory.terms_in_doubt || unrecorded_term(view).is_some()
}

/// Whether it is known of a replica that it holds no row written under a term that the history lacks, or that it is the one of the newest
/// such term. Of any other nobody can tell where it parts from the history. (Deletes of such a term are not seen: without them rows are
/// there again, and none is lost.)
pub(super) fn is_told(view: &View, replica: &ReplicaView) -> bool {
    if !may_lack_terms(view) {
        return true;
    }
    let shown = match last_term(view, replica) {
        LastTerm::Known(term) => Some(term),
        LastTerm::AtLeast(_) | LastTerm::Unknown => last_put(view, replica),
    };
    shown.is_some() && unrecorded_term(view).is_none_or(|newest| shown >= Some(newest))
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
pub fn divergence_offset(view: &View, term: Term) -> Option<Offset> {
    view.terms.iter().filter(|start| start.term > term).map(|start| start.start).min()
}

/// Whether it leads in memory in the last term there was: any other leader was so before.
pub fn leads_in_the_last_term(view: &View, replica: &ReplicaView) -> bool {
    let leads = leads_in(replica);
    view.terms.len() > 1 && leads.is_some() && leads == view.terms.last().map(|start| start.term)
}

/// The replica's last term where it is settled: known, or bounded below by a term after which its log holds nothing.
pub fn settled_term(view: &View, replica: &ReplicaView) -> Option<Term> {
    match last_term(view, replica) {
        LastTerm::Known(term) => Some(term),
        LastTerm::AtLeast(term) => {
            let foreign = divergence_offset(view, term);
            let is_shown = !may_lack_terms(view) || last_put(view, replica).is_some();
            (is_shown && foreign.is_none_or(|start| replica.offset().is_some_and(|offset| offset < start)))
                .then_some(term)
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
    let known = match last_term(view, replica) {
        LastTerm::Known(term) => Some(term),
        // It holds a put of that term, whatever follows.
        LastTerm::AtLeast(_) | LastTerm::Unknown => last_put(view, replica),
    };
    if let Some(term) = known {
        let start = view.terms.iter().find(|start| start.term == term)?;
        return (end < start.start).then_some(*start);
    }
    // Once somebody else was elected the last term is not its own any more.
    let is_as_found = view.memory.choice.is_none() && view.serving_leader().is_none();
    let led_last = view.storage.is_disk() && is_as_found && replica.is_leader && replica.memory.alive_before;
    view.terms.last().filter(|last| led_last && end.next() < last.start).copied()
}

/// Whether a disk table's replica may be the leader that was elected last, and so have written below where its term began: of those
/// with a leader flag none was alive before anybody chose one of them, so that the flags do not say which one it was. That is too little
/// to leave a partition to a person, but no proof that its log is the beginning of another's.
fn may_have_led_last(view: &View, replica: &ReplicaView) -> bool {
    let was_serving = |r: &ReplicaView| r.is_leader && r.memory.found_alive;
    let ends_before = view.terms.last().zip(replica.offset()).is_some_and(|(last, end)| end.next() < last.start);
    view.storage.is_disk()
        && view.terms.len() > 1
        && replica.is_leader
        && ends_before
        && !view.replicas.iter().any(was_serving)
}

/// Whether one of two logs may hold something else than the other in the places right before a later term began, although both look like the
/// partition's history. Whoever was named leader while behind writes there (docs/openmldb/operations.md#changeleader), and one that
/// has written as much as it lacked ends where the others did. Nothing shows it where no call shows the term of a log's last entry.
pub(super) fn may_have_parted_before_a_term(view: &View, x: &ReplicaView, y: &ReplicaView) -> bool {
    let is_shown = |r: &ReplicaView| matches!(last_term(view, r), LastTerm::Known(_)) || last_put(view, r).is_some();
    let ends_right_before = |r: &ReplicaView| {
        let start = last_term(view, r).lower_bound().and_then(|bound| divergence_offset(view, bound));
        start.is_some() && r.offset().map(Offset::next) == start
    };
    let may_have_written = |r: &ReplicaView| r.offset() > Some(Offset(0)) && !is_shown(r) && ends_right_before(r);
    [x, y].into_iter().any(may_have_written)
}

/// Whether the whole of the replica's log is the partition's history: it ends before any term that it did not see, and holds
/// nothing of a term before that began.
pub fn is_on_history(view: &View, replica: &ReplicaView) -> bool {
    if written_below_its_start(view, replica).is_some() || !is_told(view, replica) {
        return false;
    }
    let (Some(bound), Some(offset)) = (last_term(view, replica).lower_bound(), replica.offset()) else { return false };
    divergence_offset(view, bound).is_none_or(|start| offset < start)
}

/// How far the replica's log is the partition's history; none if its last term is not settled, or the history lacks a later one.
pub fn history_held(view: &View, replica: &ReplicaView) -> Option<Offset> {
    if !is_told(view, replica) {
        return None;
    }
    let (term, end) = (settled_term(view, replica)?, replica.offset()?);
    Some(divergence_offset(view, term).map_or(end, |start| end.min(Offset(start.0.saturating_sub(1)))))
}

/// The replica elected last: among the leader-flagged ones with data whose log is official, the newest last term, then
/// the one that was alive before our first change, then the longest.
pub fn elected_last(view: &View) -> Option<&ReplicaView> {
    let flagged = view.replicas.iter().filter(|replica| replica.is_leader && replica.offset() > Some(Offset(0)));
    flagged.filter(|replica| is_on_history(view, replica)).max_by(|a, b| {
        let rank = |r: &ReplicaView| (settled_term(view, r), r.memory.alive_before, r.offset());
        rank(a).cmp(&rank(b)).then_with(|| b.endpoint.cmp(&a.endpoint))
    })
}

/// Whether everything `x` holds is known to be in `y`, at the same places. Equal offsets alone never prove it
/// (docs/openmldb/experiments.md#divergence-made-on-purpose).
pub fn is_proven_prefix(view: &View, x: &ReplicaView, y: &ReplicaView) -> bool {
    let (Some(x_offset), Some(y_offset)) = (x.offset(), y.offset()) else { return false };
    // What an aggregator wrote while it was loaded has no place in its log.
    if x_offset == Offset(0) && !is_written_while_loading(view, x) {
        return true;
    }
    if have_parted(x, y) {
        return false;
    }
    // The replica elected last is official too.
    let by_terms = x_offset <= y_offset && is_on_history(view, x) && is_on_history(view, y);
    by_terms && !may_have_led_last(view, x) && rows_bear_out(view, x, y)
}

/// Whether both hold something beyond what they are known to share: it was written twice.
fn have_parted(x: &ReplicaView, y: &ReplicaView) -> bool {
    let known = [x, y].into_iter().flat_map(|r| [r.memory.leader_held, r.memory.shared_up_to]).flatten();
    known.into_iter().any(|held| x.offset() > Some(held) && y.offset() > Some(held))
}

/// Whether `x` may be the beginning of `y` for all that is known: nothing shows the last term of a disk table's log, nor, without a
/// snapshot at its end, of another one.
pub(super) fn may_be_prefix(view: &View, x: &ReplicaView, y: &ReplicaView) -> bool {
    let is_unknown = |r: &ReplicaView| settled_term(view, r).is_none();
    let is_in_order = |r: &ReplicaView| is_told(view, r) && written_below_its_start(view, r).is_none();
    let is_possible = |r: &ReplicaView| is_in_order(r) && (is_unknown(r) || is_on_history(view, r));
    let may_begin = x.offset() <= y.offset() && !have_parted(x, y) && view.base.is_none();
    may_begin && [x, y].into_iter().all(is_possible)
}

/// The last entry that two replicas are known to share: both logs up to where the first of them may turn foreign.
pub fn shared_up_to(view: &View, x: &ReplicaView, y: &ReplicaView) -> Offset {
    let foreign = |r: &ReplicaView| match last_term(view, r).lower_bound().filter(|_| is_told(view, r)) {
        Some(term) => divergence_offset(view, term).map_or(u64::MAX, |start| start.0.saturating_sub(1)),
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

/// The replicas whose logs are the beginning of the leader's. A leader that leads already may have taken writes since: it shares
/// them only with those it replicates to.
pub(super) fn proven_prefixes<'a>(view: &'a View, leader: &'a ReplicaView) -> impl Iterator<Item = &'a ReplicaView> {
    let others = view.replicas.iter().filter(|r| r.endpoint != leader.endpoint);
    let apart = |r: &ReplicaView| leader.leads_in_memory() && !leader.is_followed_by(r);
    others.filter(move |r| is_proven_prefix(view, r, leader) && !apart(r))
}
