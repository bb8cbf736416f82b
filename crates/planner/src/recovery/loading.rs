//! The steps up to knowing what every replica holds: loading, waiting for it, finding out last terms.

use std::time::Duration;

use openmldb_model::{Action, Directory, LATELY_MS, Offset, Seen, State};

use super::base::{before_its_log_is_hidden, is_written_while_loading};
use super::blocked::Blocked;
use super::choice::Choice;
use super::connect::begins_its_leaders_log;
use super::decision::{Decision, Intent, Probe, Question, Wait, WaitFor};
use super::discard::may_discard;
use super::gates::Gates;
use super::limits::{ANSWER, APPEARING, MAX_TRIES, SLOW_LOAD, SLOW_LOAD_OF_AN_ENTRY};
use super::memory::Load;
use super::rows::seen_to_lack_keys;
use super::suspect::is_suspect;
use super::term::{LastTerm, is_folded_to_its_end, last_term, may_lack_terms};
use super::view::{Data, ReplicaView, View};

/// How long a snapshot made for its term may take with those queued before it: a tablet makes one at a time.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(30 * 60);
/// How long it may not have begun while its tablet makes no other one either: then it failed, which no call tells.
const SNAPSHOT_IDLE: Duration = Duration::from_secs(10);

/// How long a tablet that has just come up is not asked for one: snapshots are named after the minute.
const UP_BEFORE_A_SNAPSHOT: Duration = Duration::from_millis(LATELY_MS);

/// How a step loads.
#[derive(Clone, Copy)]
pub(super) struct Loads {
    pub(super) step: &'static str,
    pub(super) seg_cnt: u32,
    /// How long tables that come first are waited for.
    pub(super) turn: Duration,
    pub(super) gates: Gates,
}

/// LoadTable to each of those replicas whose tablet answers and does not hold it: as a follower, and never twice.
pub(super) fn load<'a>(view: &'a View, loads: Loads, of: impl Iterator<Item = &'a ReplicaView>) -> Option<Decision> {
    let Loads { step, seg_cnt, turn, gates } = loads;
    let of: Vec<&ReplicaView> = of.collect();
    if let Some(first) = refused_for_what(view, &of) {
        return Some(first);
    }
    let is_missing = |r: &ReplicaView| {
        is_to_be_loaded(r) || is_left_over(view, r) || was_refused_undescribed(r) || is_to_be_loaded_again(r)
    };
    let missing: Vec<&ReplicaView> = of.into_iter().filter(|r| is_missing(r)).collect();
    if missing.is_empty() {
        return None;
    }
    if let Some(first) = gates.before_loading(view, turn) {
        return Some(first);
    }
    if let Some(first) = before_its_log_is_hidden(view, &missing) {
        return Some(first);
    }
    let unasked = missing.iter().flat_map(|r| {
        let manifest = r.manifest.is_unasked().then_some(Question::Manifest);
        let directory = r.directory.is_unasked().then_some(Question::Directory);
        manifest.into_iter().chain(directory).map(|question| Probe { endpoint: r.endpoint.clone(), question })
    });
    let probes: Vec<Probe> = unasked.collect();
    if !probes.is_empty() {
        return Some(Decision::Look(probes));
    }
    for leader in view.replicas.iter().filter(|r| r.leads_in_memory()) {
        if let Some(first) = disconnected(view, step, leader, &missing) {
            return first;
        }
    }
    let load = |r: &ReplicaView| match r.is_undescribed() {
        true => {
            let why = "its files are there, but the one that describes their table is empty or missing";
            load_with_schema(view, step, r, seg_cnt, why)
        }
        false if r.vanished_in_place() => {
            let why = "it is no longer loaded, but its directory is in place: its tablet seems to have been restarted";
            load_one(view, step, r, seg_cnt, why)
        }
        false => {
            let why = "its offset is known only once it is loaded; as a follower it takes no writes meanwhile";
            load_one(view, step, r, seg_cnt, why)
        }
    };
    Some(Decision::Act(missing.into_iter().map(load).collect()))
}

/// How long a failed load may take to move the directory away once the replica is gone: the tablet does both in one go.
const MOVED_AWAY_WITHIN: Duration = Duration::from_secs(3);

fn is_to_be_loaded(replica: &ReplicaView) -> bool {
    let is_told = replica.memory.load != Load::NotSent || replica.memory.loads >= MAX_TRIES;
    replica.data == Data::Absent && !is_told && !replica.has_no_directory()
}

/// A load that was refused, that never showed or that vanished is no proof that nothing is there: the table's description may be
/// all that is lost, or the tablet was restarted. Asked before anybody takes the replica for gone.
fn refused_for_what(view: &View, of: &[&ReplicaView]) -> Option<Decision> {
    let is_in_vain = |r: &ReplicaView| matches!(r.memory.load, Load::Refused(_) | Load::NeverAppeared | Load::Vanished);
    let refused = of.iter().filter(|r| r.data == Data::Absent && is_in_vain(r));
    let (unasked, asked): (Vec<&ReplicaView>, Vec<_>) = refused.partition(|r| r.directory.is_unasked());
    let mut vanished = unasked.iter().filter(|r| r.memory.load == Load::Vanished);
    let just_now = vanished.find(|r| !view.memory.has_expired(&WaitFor::MovedAway(r.endpoint.clone())));
    if let Some(r) = just_now {
        let (what, seen) = (WaitFor::MovedAway(r.endpoint.clone()), format!("{} vanished while loading", r.endpoint));
        return Some(Decision::Wait(Wait::new(what, seen, MOVED_AWAY_WITHIN, MOVED_AWAY_WITHIN)));
    }
    if !unasked.is_empty() {
        let probe = |r: &ReplicaView| Probe { endpoint: r.endpoint.clone(), question: Question::Directory };
        return Some(Decision::Look(unasked.into_iter().map(probe).collect()));
    }
    asked.into_iter().find_map(|r| {
        let Seen::Failed(error) = &r.directory else { return None };
        let seen = format!("{} does not say what it has of the partition ({error})", r.endpoint);
        let what = WaitFor::Answer(r.endpoint.clone());
        (!view.memory.has_expired(&what)).then(|| Decision::Wait(Wait::new(what, seen, ANSWER, ANSWER)))
    })
}

fn is_to_be_loaded_again(replica: &ReplicaView) -> bool {
    let is_there = replica.directory == Seen::Known(Directory::InPlace);
    replica.vanished_in_place() && is_there && replica.memory.loads < MAX_TRIES
}

fn was_refused_undescribed(replica: &ReplicaView) -> bool {
    replica.was_refused_in_place() && replica.is_undescribed() && replica.memory.loads < MAX_TRIES
}

/// Whether a replica that was to be resent still has a directory of its own: its tablet was restarted before the operation came
/// to drop it. Where nobody leads any more, or what it is known to have held is not its leader's, nobody else brings it back, and what it has may
/// be nobody else's. RecoverTable may take what its snapshot holds for the beginning of the leader's log
/// (docs/openmldb/operations.md#how-recovertable-judges-a-replica), so it is loaded and looked at like any other.
fn is_left_over(view: &View, replica: &ReplicaView) -> bool {
    let is_going = replica.memory.recovery.dropped;
    let handed_over = replica.data == Data::Absent && replica.memory.load == Load::HandedOver && !is_going;
    let own = replica.manifest.known().filter(|manifest| manifest.offset > Offset(0));
    // What the operation sent before it failed is the leader's.
    let of_leader =
        view.serving_leader().map(|leader| &leader.manifest).filter(|of_leader| **of_leader != Seen::Unasked);
    let differs = of_leader.is_some_and(|of_leader| own.is_some() && own != of_leader.known());
    // What the operation has begun to load of a disk table does not show, and must not be told twice.
    let may_be_its_own =
        !view.storage.is_disk() && matches!(replica.directory, Seen::Unasked | Seen::Known(Directory::InPlace));
    let is_nobody_elses = || match view.serving_leader() {
        Some(leader) => may_discard(view, leader, replica).is_err(),
        None => view.memory.choice.is_none(),
    };
    let is_left = differs || may_be_its_own && is_nobody_elses();
    handed_over && view.ops_in_flight.is_empty() && is_left && replica.memory.loads < MAX_TRIES
}

/// A leader that still replicates to a replica would write into it while it is queued to load
/// (docs/openmldb/logs-and-terms.md#how-a-leader-replicates): that ends first. What has to be done for it, if anything;
/// within, nothing if it cannot be known and the replica stays unloaded.
fn disconnected(
    view: &View,
    step: &'static str,
    leader: &ReplicaView,
    missing: &[&ReplicaView],
) -> Option<Option<Decision>> {
    match &leader.followers {
        Seen::Unasked => return Some(Some(Decision::look(&leader.endpoint, Question::Followers))),
        Seen::Failed(error) => {
            let what = WaitFor::Answer(leader.endpoint.clone());
            let seen = format!("{} does not report its followers ({error})", leader.endpoint);
            let given_up = view.memory.has_expired(&what);
            return Some((!given_up).then(|| Decision::Wait(Wait::new(what, seen, ANSWER, ANSWER))));
        }
        Seen::Known(_) => {}
    }
    let connected = missing.iter().filter(|r| leader.replicates_to(&r.endpoint));
    let intents: Vec<Intent> = connected
        .map(|r| {
            let (endpoint, partition, follower) = (leader.endpoint.clone(), view.partition, r.endpoint.clone());
            let action = Action::DelReplica { endpoint, partition, follower };
            Intent::new(step, action, "its leader would write into it while it is queued to load")
        })
        .collect();
    (!intents.is_empty()).then_some(Some(Decision::Act(intents)))
}

/// LoadTable with what the tablet has of the table.
pub(super) fn load_one(view: &View, step: &'static str, replica: &ReplicaView, seg_cnt: u32, why: &str) -> Intent {
    let (endpoint, table) = (replica.endpoint.clone(), view.table.clone());
    let (partition, storage) = (view.partition, view.storage);
    Intent::new(step, Action::LoadTable { endpoint, table, partition, seg_cnt, storage }, why)
}

/// The same with what the nameserver has.
pub(super) fn load_with_schema(
    view: &View,
    step: &'static str,
    replica: &ReplicaView,
    seg_cnt: u32,
    why: &str,
) -> Intent {
    let (endpoint, table) = (replica.endpoint.clone(), view.table.clone());
    let (partition, storage) = (view.partition, view.storage);
    Intent::new(step, Action::LoadWithSchema { endpoint, table, partition, seg_cnt, storage }, why)
}

/// Waits until every replica that can be loaded is. Once the partition serves, each follower is waited for on its own.
pub(super) fn loaded(view: &View, timeout: Duration) -> Option<Decision> {
    if view.serving_leader().is_some() || view.memory.choice.is_some() {
        return None;
    }
    let appearing = view.replicas.iter().find(|r| {
        let sent = matches!(r.memory.load, Load::Accepted | Load::Interrupted | Load::InDoubt);
        r.data == Data::Absent && sent && !view.memory.has_expired(&WaitFor::Appearing(r.endpoint.clone()))
    });
    if let Some(replica) = appearing {
        let seen = format!("{} does not show the partition yet", replica.endpoint);
        let what = WaitFor::Appearing(replica.endpoint.clone());
        return Some(Decision::Wait(Wait::new(what, seen, timeout, APPEARING)));
    }
    let loading: Vec<String> = view.replicas.iter().filter_map(loading_state).collect();
    if loading.is_empty() || view.memory.has_expired(&WaitFor::Loading) {
        return None;
    }
    let seen = loading.join(", ");
    // A big replica shows no progress while it loads, so only the deadline counts.
    let Some(slow) = slow_load(view).filter(|slow| *slow < timeout) else {
        return Some(Decision::Wait(Wait::new(WaitFor::Loading, seen, timeout, timeout)));
    };
    let is_slow = view.memory.has_expired(&WaitFor::SlowLoad);
    (!is_slow).then(|| Decision::Wait(Wait::new(WaitFor::SlowLoad, seen, timeout, slow)))
}

/// How long loads are waited for before a leader may be chosen without them; none where all have to be there for that: a leader is named,
/// a loss was accepted, or what a copy of a pre-aggregate table holds nobody else may have. Some loads never end
/// (docs/openmldb/load-table.md#a-load-that-never-ends).
fn slow_load(view: &View) -> Option<Duration> {
    let memory = &view.memory;
    let needs_all = memory.named_leader.is_some() || !memory.accepted.is_empty() || view.base.is_some();
    let entries = view.replicas.iter().filter_map(|r| r.offset()).max().filter(|end| !needs_all && *end > Offset(0))?;
    let of_entries = SLOW_LOAD_OF_AN_ENTRY.saturating_mul(u32::try_from(entries.0).unwrap_or(u32::MAX));
    Some(SLOW_LOAD + of_entries)
}

/// What to do with a choice, or with why there is none, while replicas are still loading: one that is proven right without them, and by
/// which nobody gives up anything, stands; else they are waited for longer.
pub(super) fn unless_too_early(view: &View, timeout: Duration, chosen: Result<Choice, Blocked>) -> Decision {
    let loading: Vec<String> = view.replicas.iter().filter_map(loading_state).collect();
    let is_early = !loading.is_empty() && !view.memory.has_expired(&WaitFor::Loading);
    let why = match chosen {
        Ok(choice) if !is_early => return Decision::Choose(Box::new(choice)),
        Err(blocked) if !is_early => return Decision::Blocked(blocked),
        Ok(choice) if !choice.given_up.is_empty() => {
            format!("{} would lead, and others give up entries", choice.leader)
        }
        Ok(choice) if is_alone_and_may_lack_rows(view, &choice) => {
            format!("{} would lead, and has fewer rows than entries, and nobody to be compared with", choice.leader)
        }
        Ok(choice) => return Decision::Choose(Box::new(choice)),
        Err(blocked) => blocked.text,
    };
    let seen = format!("{}; without that nobody may lead yet: {why}", loading.join(", "));
    Decision::Wait(Wait::new(WaitFor::Loading, seen, timeout, timeout))
}

/// Whether nothing shows that a leader has all rows of its log: none has expired, and no other replica is loaded that could tell.
fn is_alone_and_may_lack_rows(view: &View, choice: &Choice) -> bool {
    let Some(leader) = view.replica(&choice.leader).filter(|_| !view.has_ttl && !view.storage.is_disk()) else {
        return false;
    };
    let others = view.replicas.iter().filter(|r| r.endpoint != leader.endpoint);
    let is_alone = others.filter_map(|r| r.offset()).all(|end| end == Offset(0));
    is_alone && leader.offset().is_some_and(|end| leader.rows() < end.0)
}

fn loading_state(replica: &ReplicaView) -> Option<String> {
    match replica.data {
        Data::Loading(State::Queued) => Some(format!("{} has it queued to load", replica.endpoint)),
        Data::Loading(_) => Some(format!("{} loads it", replica.endpoint)),
        Data::OutOfReach(_) | Data::Absent | Data::Loaded(_) => None,
    }
}

/// Where more than one leadership wrote the partition, the term of each replica's last entry is found out: a snapshot up
/// to its own offset, after which MANIFEST names it. Only of memory replicas that no leader has contacted yet.
pub(super) fn prove_terms(view: &View, step: &'static str, up_to_entries: u64) -> Option<Decision> {
    if view.serving_leader().is_some() || view.memory.choice.is_some() {
        return None;
    }
    prove_terms_of(view, step, up_to_entries, view.replicas.iter().filter(|r| !is_suspect(view, r)))
}

/// The same of followers that were loaded once their leader served, and that it has not contacted. Of a leader that served from
/// the start nothing is known that they could be compared with.
pub(super) fn prove_terms_later(view: &View, step: &'static str, up_to_entries: u64) -> Option<Decision> {
    let leader = view.serving_leader().filter(|_| view.memory.choice.is_some())?;
    let later = |r: &&ReplicaView| {
        let resent = r.memory.load == Load::HandedOver || r.memory.recovery.must_drop;
        let is_apart = r.endpoint != leader.endpoint && !r.is_alive && !leader.replicates_to(&r.endpoint);
        is_apart && !resent && !is_suspect(view, r)
    };
    let to_compare = view.replicas.iter().filter(later).any(|r| r.offset() > Some(Offset(0)));
    // An earlier run may have chosen it: then this one has not asked it yet.
    if to_compare && leader.manifest == Seen::Unasked && terms_matter(view) {
        return Some(Decision::look(&leader.endpoint, Question::Manifest));
    }
    prove_terms_of(view, step, up_to_entries, view.replicas.iter().filter(later))
}

/// The same of replicas that were seen to hold rows that their serving leader lacks: their terms tell whether these were given up. Of
/// one that is to follow as it is nobody has to know.
pub(super) fn prove_terms_of_odd_ones(view: &View, step: &'static str, up_to_entries: u64) -> Option<Decision> {
    let leader = view.serving_leader()?;
    let lacks = |r: &ReplicaView| seen_to_lack_keys(view, leader, r).is_some_and(|keys| keys > 0);
    let is_kept = |r: &ReplicaView| begins_its_leaders_log(view, leader, r);
    let is_odd = |r: &&ReplicaView| r.endpoint != leader.endpoint && !r.is_alive && lacks(r) && !is_kept(r);
    // What others hold tells, too, of which term a log holds nothing.
    let unasked = view.replicas.iter().filter(|r| r.loaded().is_some() && r.manifest == Seen::Unasked);
    let unasked: Vec<Probe> =
        unasked.map(|r| Probe { endpoint: r.endpoint.clone(), question: Question::Manifest }).collect();
    if terms_matter(view) && !unasked.is_empty() && view.replicas.iter().any(|r| is_odd(&r)) {
        return Some(Decision::Look(unasked));
    }
    prove_terms_of(view, step, up_to_entries, view.replicas.iter().filter(is_odd))
}

/// Whether more than one leadership wrote the partition, as far as anybody knows, and a call can show which wrote a replica's end.
fn terms_matter(view: &View) -> bool {
    (view.terms.len() > 1 || may_lack_terms(view)) && !view.terms.is_empty() && !view.storage.is_disk()
}

fn prove_terms_of<'a>(
    view: &'a View,
    step: &'static str,
    up_to_entries: u64,
    of: impl Iterator<Item = &'a ReplicaView>,
) -> Option<Decision> {
    if view.replicas.len() < 2 || !terms_matter(view) {
        return None;
    }
    let provable: Vec<&ReplicaView> = of
        .filter(|r| {
            // A snapshot of what is no log would be all that is left of it.
            if is_written_while_loading(view, r) {
                return false;
            }
            let bounded = r.offset().is_some_and(|offset| offset > Offset(0) && offset.0 <= up_to_entries);
            bounded && !view.memory.has_expired(&WaitFor::Snapshot(r.endpoint.clone()))
        })
        .collect();
    let unasked: Vec<Probe> = provable.iter().flat_map(|r| unasked_of_term(r)).collect();
    if !unasked.is_empty() {
        return Some(Decision::Look(unasked));
    }
    if let Some(wait) = provable.iter().find_map(|r| unanswered_of_term(view, r)) {
        return Some(Decision::Wait(wait));
    }
    let contacted = |r: &ReplicaView| r.term_pair.known().is_none_or(|pair| pair.term.0 > 0);
    let told = |r: &ReplicaView| is_folded_to_its_end(view, r) || matches!(last_term(view, r), LastTerm::Known(_));
    let unknown = provable.into_iter().filter(|r| !told(r) && !contacted(r));
    let (under_way, to_send): (Vec<_>, Vec<_>) =
        unknown.partition(|r| is_making_snapshot(r) || r.memory.snapshot_asked);
    let (too_new, to_send): (Vec<_>, Vec<_>) = to_send.into_iter().partition(|r| may_meet_an_older_snapshot(view, r));
    let intents: Vec<Intent> = to_send
        .into_iter()
        .filter(|r| r.memory.snapshot_tries < MAX_TRIES)
        .map(|r| {
            let (endpoint, partition, storage) = (r.endpoint.clone(), view.partition, view.storage);
            let action = Action::MakeSnapshot { endpoint, partition, offset: r.offset().unwrap_or(Offset(0)), storage };
            Intent::new(step, action, "its MANIFEST will then name the term of its last entry")
        })
        .collect();
    if !intents.is_empty() {
        return Some(Decision::Act(intents));
    }
    if let (true, Some(new)) = (under_way.is_empty(), too_new.first()) {
        let seen = format!("{} has not been there for a minute yet", new.endpoint);
        let what = WaitFor::UpForAMinute;
        return Some(Decision::Wait(Wait::new(what, seen, UP_BEFORE_A_SNAPSHOT, UP_BEFORE_A_SNAPSHOT)));
    }
    let waiting = under_way.first()?;
    let what = WaitFor::Snapshot(waiting.endpoint.clone());
    let (seen, stall) = match waiting.tablet_makes_snapshot || is_making_snapshot(waiting) {
        true => (format!("{} makes a snapshot, or has it queued", waiting.endpoint), SNAPSHOT_TIMEOUT),
        false => (format!("{} shows no snapshot, and makes none", waiting.endpoint), SNAPSHOT_IDLE),
    };
    Some(Decision::Wait(Wait::new(what, seen, SNAPSHOT_TIMEOUT, stall)))
}

/// Whether its tablet was started so lately that a snapshot which the one before it was making may have the name of the next one: that
/// would be written behind what is there (docs/openmldb/tablet.md#a-snapshot-that-was-cut-off).
fn may_meet_an_older_snapshot(view: &View, replica: &ReplicaView) -> bool {
    replica.is_new && !view.memory.has_expired(&WaitFor::UpForAMinute)
}

fn unasked_of_term(replica: &ReplicaView) -> impl Iterator<Item = Probe> {
    let manifest = (replica.manifest == Seen::Unasked).then_some(Question::Manifest);
    let term = (replica.term_pair == Seen::Unasked).then_some(Question::TermPair);
    manifest.into_iter().chain(term).map(|question| Probe { endpoint: replica.endpoint.clone(), question })
}

/// A question about a term that got no answer is asked again for a while: an unknown term may let the wrong replica lead.
fn unanswered_of_term(view: &View, replica: &ReplicaView) -> Option<Wait> {
    let error = match (&replica.manifest, &replica.term_pair) {
        (Seen::Failed(error), _) | (_, Seen::Failed(error)) => error,
        _ => return None,
    };
    let what = WaitFor::Answer(replica.endpoint.clone());
    let seen = format!("{} does not say which term it is in ({error})", replica.endpoint);
    (!view.memory.has_expired(&what)).then(|| Wait::new(what, seen, ANSWER, ANSWER))
}

fn is_making_snapshot(replica: &ReplicaView) -> bool {
    replica.loaded().is_some_and(|loaded| loaded.state == State::MakingSnapshot)
}
