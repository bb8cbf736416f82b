//! What comparing rows has shown, and when it has to be shown first. Row counts lie after a DELETE, while rows expire and on disk
//! tables (docs/openmldb/tablet.md#row-counts-are-not-rows): they are a reason to compare, and decide nothing that rows can.

use std::collections::BTreeMap;

use openmldb_model::{Action, Endpoint, Offset, counted};

use super::blocked::{Blocked, Reason};
use super::decision::{ComparedBefore, Decision, Intent, WaitFor};
use super::limits::MAX_TRIES;
use super::memory::Load;
use super::suspect::counts_are_in_doubt;
use super::view::{ReplicaView, View};

/// What replicas of a partition were seen to hold, row by row, while all of them were loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowsSeen {
    read: BTreeMap<Endpoint, Read>,
    shown: Shown,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Shown {
    /// What the first of a pair lacks that the second holds; a pair that is not listed lacks nothing.
    Lacking(BTreeMap<(Endpoint, Endpoint), Lack>),
    /// Why they could not be compared.
    Unknown {
        why: String,
        /// How often that was tried in vain, where it may well work the next time.
        failed: Option<u32>,
    },
}

/// A replica as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Read {
    /// Where its log ended before it was last asked for rows that others hold and it does not: clients may write meanwhile.
    pub asked: Offset,
    /// Where its log ended once all of it had been read.
    pub to: Offset,
    /// Rows that it counted and did not show: deleted, and not collected yet. 0 where counts are estimated.
    pub hidden: u64,
}

/// What one replica lacks that another one holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lack {
    /// Rows.
    pub rows: u64,
    /// Different keys among them: one delete takes all rows of a key.
    pub keys: u64,
    /// Those of the keys of which it holds another row of the same time instead of each: a disk table overwrites such rows.
    pub overwritten: u64,
    /// Those of the rows instead of which it holds newer ones of the same keys: where the newest of a key are kept, each that is put
    /// lets one expire.
    pub superseded: u64,
    /// The keys of these rows.
    pub superseded_keys: u64,
}

/// More than anything explains.
const MUCH: Lack = Lack { rows: u64::MAX, keys: u64::MAX, overwritten: 0, superseded: 0, superseded_keys: 0 };

impl Lack {
    fn but_for_superseded(self) -> Self {
        let rows = self.rows.saturating_sub(self.superseded);
        let keys = self.keys.saturating_sub(self.superseded_keys).min(rows);
        Self { rows, keys, overwritten: self.overwritten.min(keys), ..Self::default() }
    }
}

impl RowsSeen {
    /// Replicas that were compared, and what the first of a pair lacks that the second holds.
    pub fn compared(read: BTreeMap<Endpoint, Read>, mut lacking: BTreeMap<(Endpoint, Endpoint), Lack>) -> Self {
        lacking.retain(|_, lack| lack.rows > 0);
        Self { read, shown: Shown::Lacking(lacking) }
    }

    /// Replicas that could not be compared, and why. They are not compared again until one of them is loaded anew.
    pub fn unknown(endpoints: impl IntoIterator<Item = Endpoint>, why: impl Into<String>) -> Self {
        let nothing = Read { asked: Offset(0), to: Offset(0), hidden: 0 };
        let read = endpoints.into_iter().map(|endpoint| (endpoint, nothing)).collect();
        Self { read, shown: Shown::Unknown { why: why.into(), failed: None } }
    }

    /// Replicas that could not be compared this time, because a server did not answer, say. They are compared again, so many times.
    pub fn failed(endpoints: impl IntoIterator<Item = Endpoint>, why: impl Into<String>) -> Self {
        let Self { read, .. } = Self::unknown(endpoints, "");
        Self { read, shown: Shown::Unknown { why: why.into(), failed: Some(1) } }
    }

    /// The same where it follows on this.
    pub fn after(mut self, before: Option<&Self>) -> Self {
        if let Shown::Unknown { failed: Some(times), .. } = &mut self.shown {
            *times += before.map_or(0, Self::times_failed);
        }
        self
    }

    fn times_failed(&self) -> u32 {
        match self.shown {
            Shown::Unknown { failed, .. } => failed.unwrap_or(0),
            Shown::Lacking(_) => 0,
        }
    }

    /// What all replicas that are loaded would show if each lacked that of each other.
    fn assumed(view: &View, lack: Lack) -> Self {
        let read = |r: &ReplicaView| Some(Read { asked: r.offset()?, to: r.offset()?, hidden: 0 });
        let ends = view.replicas.iter().filter_map(|r| Some((r.endpoint.clone(), read(r)?)));
        let ends: BTreeMap<Endpoint, Read> = ends.collect();
        let pairs = ends.keys().flat_map(|x| ends.keys().map(move |y| (x.clone(), y.clone())));
        let lacking = pairs.filter(|(x, y)| x != y).map(|pair| (pair, lack)).collect();
        Self::compared(ends, lacking)
    }

    /// Whether they hold the same rows; none if they could not be compared.
    pub fn are_the_same(&self) -> Option<bool> {
        match &self.shown {
            Shown::Unknown { .. } => None,
            Shown::Lacking(lacking) => Some(lacking.is_empty()),
        }
    }

    /// Whether `x` was seen to hold every row of `y`.
    pub fn holds_all(&self, x: &Endpoint, y: &Endpoint) -> bool {
        let are_read = [x, y].iter().all(|at| self.read.contains_key(at));
        match &self.shown {
            Shown::Unknown { .. } => false,
            Shown::Lacking(lacking) => are_read && !lacking.contains_key(&(x.clone(), y.clone())),
        }
    }

    /// Whether all of these were read, or could not be: where that may work the next time, not at the first try.
    pub fn covers<'a>(&self, mut replicas: impl Iterator<Item = &'a Endpoint>) -> bool {
        let is_tried_again = (1..MAX_TRIES).contains(&self.times_failed());
        !is_tried_again && replicas.all(|at| self.read.contains_key(at))
    }

    /// What a replica held says nothing of what it holds once it is loaded anew, or sent its leader's data.
    pub(super) fn forget(&mut self, endpoint: &Endpoint) {
        self.read.remove(endpoint);
    }
}

/// What was seen, in a sentence.
impl std::fmt::Display for RowsSeen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.read.keys().map(Endpoint::as_str).collect();
        let names = names.join(", ");
        match &self.shown {
            Shown::Unknown { why, .. } => write!(f, "the rows of {names} could not be compared: {why}"),
            Shown::Lacking(lacking) if lacking.is_empty() => write!(f, "the rows of {names} are the same"),
            Shown::Lacking(lacking) => {
                let pairs =
                    lacking.iter().map(|((x, y), lack)| format!("{x} lacks {} of {y}", counted(lack.rows, "row")));
                write!(f, "the rows of {names} differ: {}", pairs.collect::<Vec<_>>().join(", "))
            }
        }
    }
}

/// What `x` lacks that `y` holds, if they were compared and are still what was compared. Newer rows instead of older ones explain these
/// only if nobody else seems to have deleted the newer ones: a log that has lost deletes shows again what they deleted.
pub(super) fn lacking(view: &View, x: &ReplicaView, y: &ReplicaView) -> Option<Lack> {
    let seen = view.memory.rows.as_ref()?;
    let Shown::Lacking(lacking) = &seen.shown else { return None };
    let still = |r: &ReplicaView| seen.read.get(&r.endpoint).is_some_and(|read| r.offset() >= Some(read.asked));
    let lack = |x: &ReplicaView, y: &ReplicaView| {
        lacking.get(&(x.endpoint.clone(), y.endpoint.clone())).copied().unwrap_or_default()
    };
    let lacks_newer = || lack(y, x).but_for_superseded().rows > ahead(view, y, x);
    let is_fuller = || view.storage.is_disk() || y.entries_without_row() < x.entries_without_row();
    let (lacks, is_in_doubt) = (lack(x, y), || lacks_newer() && is_fuller());
    let explained = || if lacks.superseded > 0 && is_in_doubt() { lacks } else { lacks.but_for_superseded() };
    (still(x) && still(y)).then(explained)
}

/// How a replica was read.
fn read(view: &View, replica: &ReplicaView) -> Option<Read> {
    view.memory.rows.as_ref()?.read.get(&replica.endpoint).copied()
}

/// How far the log of `y` had been read beyond where that of `x` ended when it was asked: as many rows of `y` may be behind the end of
/// `x`.
fn ahead(view: &View, x: &ReplicaView, y: &ReplicaView) -> u64 {
    let (Some(x), Some(y)) = (read(view, x), read(view, y)) else { return 0 };
    y.to.0.saturating_sub(x.asked.0)
}

/// How many rows `x` was seen to lack that `y` holds, beyond those that may be behind the end of its log.
pub fn seen_to_lack(view: &View, x: &ReplicaView, y: &ReplicaView) -> Option<u64> {
    let lack = lacking(view, x, y)?;
    Some(lack.rows.saturating_sub(ahead(view, x, y)))
}

/// Whether somebody tried to compare the two in vain, and would again: they hold more than is compared, or cannot be read.
pub(super) fn cannot_be_compared(view: &View, x: &ReplicaView, y: &ReplicaView) -> bool {
    was_tried_in_vain(view, x, y).is_some_and(|failed| failed == 0)
}

/// How often comparing the two failed for what may have passed by the next time, if it is not tried again.
fn was_tried_in_vain(view: &View, x: &ReplicaView, y: &ReplicaView) -> Option<u32> {
    let tried = |seen: &&RowsSeen| seen.are_the_same().is_none() && seen.covers([&x.endpoint, &y.endpoint].into_iter());
    view.memory.rows.as_ref().filter(tried).map(RowsSeen::times_failed)
}

/// Whether comparing these replicas failed, every time that it was tried, for what may have passed by the next time.
pub(super) fn comparing_failed(view: &View, x: &ReplicaView, y: &ReplicaView) -> bool {
    was_tried_in_vain(view, x, y).is_some_and(|failed| failed > 0)
}

/// Whether `x` was read once its log had reached that offset, or at least as far as that of `y` had been read by then: what it lacks
/// cannot be behind its end.
pub(super) fn was_read_at(view: &View, x: &ReplicaView, y: &ReplicaView, reached: Offset) -> bool {
    let is_read_at = |read: Read| read.asked >= reached || ahead(view, x, y) == 0;
    lacking(view, x, y).is_some() && read(view, x).is_some_and(is_read_at)
}

/// Whether `x` was seen to hold every row of `y`.
pub(super) fn seen_to_hold_all(view: &View, x: &ReplicaView, y: &ReplicaView) -> bool {
    lacking(view, x, y) == Some(Lack::default())
}

/// Whether the two were seen to hold the same rows.
pub(super) fn seen_equal(view: &View, x: &ReplicaView, y: &ReplicaView) -> bool {
    seen_to_hold_all(view, x, y) && seen_to_hold_all(view, y, x)
}

/// What to type to see in what replicas differ and, while nobody leads, to have one of them lead; and what to know beside.
pub(super) fn diff(view: &View, beside: &str) -> String {
    let by_hand = match view.serving_leader() {
        Some(_) => String::new(),
        None => format!("; {}", name_one(view)),
    };
    format!("`openmldb-ops replica diff {}` shows how they differ{by_hand}; {beside}", view.name())
}

/// The same of a follower that holds what its leader does not, while that leader serves.
pub(super) fn diff_beside_leader(view: &View) -> String {
    let beside = format!(
        "nothing was discarded; to have it lead instead, switch auto_failover off, restart the leader's tablet, then \
         `openmldb-ops recover --partition {} --leader ENDPOINT`",
        view.name()
    );
    diff(view, &beside)
}

/// What to type to have one replica lead, whatever the rules say.
pub(super) fn name_one(view: &View) -> String {
    format!(
        "`openmldb-ops recover --partition {} --leader ENDPOINT` has one of them lead, and lists what the others would lose",
        view.name()
    )
}

/// Whether what replicas hold is what a partition is left alone for.
fn is_about_rows(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::SuspectIsLongest
            | Reason::LeaderLacksRows
            | Reason::LongerThanLeader
            | Reason::LongerFollower
            | Reason::LeaderConflict
            | Reason::NewerTerm
            | Reason::WrittenBeside
            | Reason::NamedLeader
    )
}

/// Whether the two were seen to hold the same rows at the same end of their logs, and `x` still ends there.
pub(super) fn seen_identical(view: &View, x: &ReplicaView, y: &ReplicaView) -> bool {
    let ends = |r: &ReplicaView| read(view, r).map(|read| (read.asked, read.to));
    let stood_still = ends(x).filter(|(asked, to)| asked == to && x.offset() == Some(*to));
    stood_still.is_some() && stood_still == ends(y) && seen_equal(view, x, y)
}

/// Whether all that `leader` was seen to lack of a replica that is behind it may be deleted by what it is ahead by: each entry that
/// brought no row deletes the rows of a key at most. One that gets these entries, too, has to hold the same in the end.
pub(super) fn seen_to_lack_what_it_deleted(view: &View, leader: &ReplicaView, replica: &ReplicaView) -> bool {
    let (Some(lack), Some(new)) = (lacking(view, leader, replica), lacking(view, replica, leader)) else {
        return false;
    };
    let overwritten = if view.storage.is_disk() { lack.overwritten } else { 0 };
    lack.keys.saturating_sub(overwritten) <= ahead(view, replica, leader).saturating_sub(new.rows)
}

/// The same where one of the entries that `leader` is ahead by may delete by time, and so rows of any number of keys
/// (docs/openmldb/tablet.md#deletes-by-time). That it lost them is as likely: by itself this says nothing of it.
pub(super) fn seen_to_lack_what_one_delete_may_take(view: &View, leader: &ReplicaView, replica: &ReplicaView) -> bool {
    let (Some(_), Some(new)) = (lacking(view, leader, replica), lacking(view, replica, leader)) else { return false };
    ahead(view, replica, leader) > new.rows
}

/// Whether a third replica shows that `x` has deleted what it lacks of `y`: its log ends where that of `x` does, and it holds the same
/// rows, from a log of its own. Two do not lose the same. What an earlier run or the nameserver has sent it is not known here to be a copy,
/// so this may decide who leads, and nothing is discarded by it.
pub(super) fn seen_to_agree_with_another(view: &View, x: &ReplicaView, y: &ReplicaView) -> bool {
    seen_to_lack_what_one_delete_may_take(view, x, y) && a_third_one_agrees(view, x, y)
}

fn a_third_one_agrees(view: &View, x: &ReplicaView, y: &ReplicaView) -> bool {
    let has_its_own_log = |r: &ReplicaView| r.memory.load != Load::HandedOver;
    let agrees = |z: &ReplicaView| {
        let is_third = z.endpoint != x.endpoint && z.endpoint != y.endpoint && z.address() != x.address();
        is_third && has_its_own_log(z) && seen_identical(view, x, z)
    };
    has_its_own_log(x) && view.replicas.iter().any(agrees)
}

/// The same with a proof that so many rows were deleted: it still counts them, which it would not if it had lost them, and the other
/// one does not. Where a snapshot has left them out, one that holds the same as it may still count them.
pub(super) fn seen_to_have_deleted(view: &View, leader: &ReplicaView, replica: &ReplicaView) -> bool {
    let hidden = |r: &ReplicaView| read(view, r).map_or(0, |read| read.hidden);
    let is_like_it = |r: &&ReplicaView| r.endpoint == leader.endpoint || seen_equal(view, leader, r);
    let most = view.replicas.iter().filter(is_like_it).map(hidden).max().unwrap_or(0);
    // What the other one has deleted, too: it still counts that, or it has no more than the delete and the row is gone with it.
    let of_both = hidden(replica) + replica.entries_without_row().saturating_sub(hidden(replica)) / 2;
    let deleted = most.saturating_sub(of_both);
    // What it counts and does not show may have expired as well.
    let lack = lacking(view, leader, replica).filter(|_| !view.storage.is_disk() && !view.has_ttl);
    lack.is_some_and(|lack| lack.rows <= deleted) && seen_to_lack_what_it_deleted(view, leader, replica)
}

/// How many keys of `replica` its leader was seen to lack, unless it was seen to have deleted them. On disk a row may be overwritten.
pub(super) fn seen_to_lack_keys(view: &View, leader: &ReplicaView, replica: &ReplicaView) -> Option<u64> {
    let lack = lacking(view, leader, replica)?;
    let overwritten = if view.storage.is_disk() { lack.overwritten } else { 0 };
    Some(if seen_to_have_deleted(view, leader, replica) { 0 } else { lack.keys.saturating_sub(overwritten) })
}

/// The decision, or to compare rows first: where it would be another one if the replicas held the same rows, or, before data is
/// discarded and where counts differ and may lie, if they did not, which nobody has looked at. What serves the partition is not kept
/// waiting: until somebody leads nothing is discarded.
pub(super) fn compared_first(view: &View, decision: Decision, decide: impl Fn(&View) -> Decision) -> Decision {
    let before = match &decision {
        Decision::Act(intents) => discards(view, intents).then_some(ComparedBefore::Discarding),
        Decision::Choose(_) | Decision::Blocked(_) => Some(ComparedBefore::Judging),
        // Nobody may lead without what loads, as it is counted.
        Decision::Wait(wait) if wait.what == WaitFor::Loading && view.memory.has_expired(&WaitFor::SlowLoad) => {
            Some(ComparedBefore::Judging)
        }
        Decision::Done | Decision::Look(_) | Decision::Compare { .. } | Decision::Wait(_) | Decision::Unknown => None,
    };
    let Some((before, replicas)) = before.and_then(|before| Some((before, unread(view)?))) else {
        return saying_why(view, decision);
    };
    let is_the_same_if = |lack| match (&decision, &decide(&assuming(view, lack))) {
        (Decision::Choose(one), Decision::Choose(other)) => (&one.leader, one.way) == (&other.leader, other.way),
        (one, other) => one == other,
    };
    let is_about_to_lose = before == ComparedBefore::Discarding || counts_are_in_doubt(view);
    // Once it leads its aggregator writes, and nobody can tell any more whether the others hold what it held.
    let is_read_first = view.base.is_some() && matches!(decision, Decision::Choose(_));
    let is_settled = !is_read_first && is_the_same_if(Lack::default()) && (!is_about_to_lose || is_the_same_if(MUCH));
    if is_settled { decision } else { Decision::Compare { replicas, before } }
}

/// The replicas whose rows have to be compared before it is believed that what one of them holds may go, or may not: where that would
/// be otherwise if they held the same rows or, of one that its leader does not replicate to, if they did not.
pub fn to_compare_before(view: &View, endpoint: &Endpoint, may_go: impl Fn(&View) -> bool) -> Option<Vec<Endpoint>> {
    let replicas = unread(view)?;
    let (leader, replica) = view.serving_leader().zip(view.replica(endpoint))?;
    if replica.offset() <= Some(Offset(0)) {
        return None;
    }
    let is_the_same_if = |lack| may_go(&assuming(view, lack)) == may_go(view);
    let is_settled = is_the_same_if(Lack::default()) && (leader.is_followed_by(replica) || is_the_same_if(MUCH));
    (!is_settled).then_some(replicas)
}

/// What would be seen if all replicas that are loaded had been compared, and each lacked that of each other.
fn assuming(view: &View, lack: Lack) -> View {
    let mut assumed = view.clone();
    assumed.memory.rows = Some(RowsSeen::assumed(view, lack));
    assumed
}

/// Whether what a loaded replica holds is about to be replaced by its leader's.
fn discards(view: &View, intents: &[Intent]) -> bool {
    view.serving_leader().is_some()
        && intents.iter().any(|intent| {
            let at = match &intent.action {
                Action::DropTable { endpoint, .. } | Action::MarkAlive { endpoint, alive: false, .. } => Some(endpoint),
                Action::RecoverTable { endpoint, .. } => Some(endpoint).filter(|_| intent.resends),
                Action::DelReplica { follower, .. } => Some(follower),
                _ => None,
            };
            at.and_then(|at| view.replica(at)).is_some_and(|replica| replica.offset() > Some(Offset(0)))
        })
}

/// What is left alone for what replicas hold says what was seen of that.
fn saying_why(view: &View, decision: Decision) -> Decision {
    match (decision, &view.memory.rows) {
        (Decision::Blocked(blocked), Some(seen)) if is_about_rows(blocked.reason) => {
            Decision::Blocked(Blocked { text: format!("{}; {seen}", blocked.text), ..blocked })
        }
        (decision, _) => decision,
    }
}

/// The replicas with data.
pub(super) fn with_data(view: &View) -> Vec<Endpoint> {
    view.replicas.iter().filter(|r| r.offset() > Some(Offset(0))).map(|r| r.endpoint.clone()).collect()
}

/// The replicas with data, if there are several and they have not been compared.
fn unread(view: &View) -> Option<Vec<Endpoint>> {
    let with_data = with_data(view);
    let are_read = view.memory.rows.as_ref().is_some_and(|seen| seen.covers(with_data.iter()));
    (with_data.len() > 1 && !are_read).then_some(with_data)
}
