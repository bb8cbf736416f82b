//! Who leads. One function, [`choose`], one reason per rejected replica.

use std::cmp::Reverse;

use serde::{Deserialize, Serialize};

use crate::model::{Endpoint, Offset, Term};
use crate::playbook::{OnConflict, Promote};

use super::blocked::{Blocked, Reason};
use super::reach;
use super::suspect::{is_suspect, suspicion};
use super::term::{
    elected_last, is_official, is_proven_prefix, last_term, official_end, settled_term, shared_up_to,
    term_above_history,
};
use super::view::{Data, ReplicaView, View, list};

/// A leader and what follows from choosing it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// Who leads.
    pub leader: Endpoint,
    /// How it becomes leader.
    pub way: Way,
    /// Its offset when it was chosen.
    pub offset: Option<Offset>,
    /// Why it.
    pub why: String,
    /// Why none of the others.
    pub rejected: Vec<Rejected>,
    /// The replicas whose data is known to be the beginning of the leader's: these may be connected as they are.
    pub proven: Vec<Endpoint>,
    /// What the other leader-flagged replicas give up.
    pub given_up: Vec<GivenUp>,
    /// Replicas that did not answer when it was chosen; never proven prefixes afterwards.
    pub out_of_reach: Vec<Endpoint>,
}

/// How the chosen replica becomes leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// It is leader-flagged: ChangeRole, under the last term.
    ChangeRole,
    /// It is a follower: ChangeLeader, which begins a new term and moves the flag.
    ChangeLeader,
}

/// A replica that was not chosen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejected {
    /// Where it is.
    pub endpoint: Endpoint,
    /// Why not.
    pub why: String,
}

/// Entries that a replica holds beyond what it shares with the chosen leader, and that are discarded when it is resent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenUp {
    /// Where it is.
    pub endpoint: Endpoint,
    /// How many entries; the most there can be if `at_most`.
    pub entries: u64,
    /// Whether `entries` is an upper bound, because the terms of its last entries are unknown.
    pub at_most: bool,
    /// The term of its last entry, if known.
    pub term: Option<Term>,
    /// Where the replica's directory goes.
    pub directory: String,
}

/// Chooses the leader of a partition whose replicas are loaded, as far as they can be.
///
/// # Errors
/// Why nobody may lead.
pub fn choose(view: &View, on_conflict: OnConflict, promote: Promote) -> Result<Choice, Blocked> {
    if view.terms.is_empty() {
        let text = "the nameserver has no term history for the partition, and a term must not be invented";
        return Err(Blocked::new(
            Reason::NoTermHistory,
            text,
            "restore term_offset with settablepartition, then run again",
        ));
    }
    let usable: Vec<&ReplicaView> =
        view.replicas.iter().filter(|r| r.offset().is_some() && !is_suspect(view, r)).collect();
    suspect_is_not_longest(view, &usable)?;
    let (leader, way, why) = match flagged_leader(view, &usable, on_conflict)? {
        Some((leader, why)) if has_data(leader) => longer_follower(view, &usable, leader, why, promote)?,
        empty => follower_instead(view, &usable, empty, promote)?,
    };
    reach::allows(view, leader, way)?;
    newer_term_elsewhere(view, &usable, leader)?;
    history_elsewhere(view, &usable, leader)?;
    let (leader, way, why) = heed_terms_above(view, &usable, leader, way, why, promote)?;
    Ok(Choice {
        leader: leader.endpoint.clone(),
        way,
        offset: leader.offset(),
        why,
        rejected: view
            .replicas
            .iter()
            .filter(|r| r.endpoint != leader.endpoint)
            .map(|r| reject(view, r, leader))
            .collect(),
        proven: proven_prefixes(view, leader),
        given_up: view.replicas.iter().filter_map(|r| gives_up(view, r, leader)).collect(),
        out_of_reach: reach::unproven(view).map(|r| r.endpoint.clone()).collect(),
    })
}

fn has_data(replica: &ReplicaView) -> bool {
    replica.offset() > Some(Offset(0))
}

/// The order in which replicas that are otherwise equal are preferred: more rows, alive before, smaller endpoint.
fn preference(r: &ReplicaView) -> (Option<Offset>, u64, bool, Reverse<&Endpoint>) {
    (r.offset(), r.rows(), r.memory.alive_before, Reverse(&r.endpoint))
}

fn longest<'a>(replicas: impl Iterator<Item = &'a ReplicaView>) -> Option<&'a ReplicaView> {
    replicas.max_by(|a, b| preference(a).cmp(&preference(b)))
}

/// If a replica that lacks rows is longer than every complete one, nobody can tell what the difference holds.
fn suspect_is_not_longest(view: &View, usable: &[&ReplicaView]) -> Result<(), Blocked> {
    let fullest = usable.iter().filter_map(|r| r.offset()).max().unwrap_or(Offset(0));
    let longer = view.replicas.iter().find(|r| r.offset() > Some(fullest));
    let Some((replica, why)) = longer.and_then(|r| suspicion(view, r).map(|why| (r, why))) else { return Ok(()) };
    let text = format!("{} has the largest offset but is not complete: {why}", replica.endpoint);
    let hint = "find the missing snapshot or binlog of that replica, or give its extra entries up by hand";
    Err(Blocked::new(Reason::SuspectIsLongest, text, hint))
}

/// The leader among the leader-flagged replicas: the only one with data, or the one the conflict rule names. An empty one
/// if none has data; none if none is loaded.
fn flagged_leader<'a>(
    view: &'a View,
    usable: &[&'a ReplicaView],
    on_conflict: OnConflict,
) -> Result<Option<(&'a ReplicaView, String)>, Blocked> {
    let flagged: Vec<&ReplicaView> = usable.iter().copied().filter(|r| r.is_leader).collect();
    let with_data: Vec<&ReplicaView> = flagged.iter().copied().filter(|r| has_data(r)).collect();
    if with_data.len() < 2 {
        let leader = longest(with_data.into_iter()).or_else(|| longest(flagged.into_iter()));
        return Ok(leader.map(|leader| (leader, format!("leader flag, {}", at_offset(leader)))));
    }
    let terms_known = with_data.iter().all(|r| settled_term(view, r).is_some());
    match on_conflict {
        OnConflict::Block => {
            let names = list(with_data.iter().map(|r| &r.endpoint));
            let hint = "use a playbook with `on_conflict: last_elected` or `max_offset`";
            Err(Blocked::new(Reason::LeaderConflict, format!("several leader flags: {names}"), hint))
        }
        OnConflict::LastElected if terms_known => {
            let official = elected_last(view).filter(|leader| with_data.iter().any(|r| r.endpoint == leader.endpoint));
            let newest = with_data.iter().copied().max_by_key(|r| (settled_term(view, r), preference(r)));
            let leader = official.or(newest);
            let why = |leader: &ReplicaView| match settled_term(view, leader) {
                Some(term) => format!("elected last of the leader-flagged (last term {term}), {}", at_offset(leader)),
                None => at_offset(leader),
            };
            Ok(leader.map(|leader| (leader, why(leader))))
        }
        OnConflict::LastElected | OnConflict::MaxOffset => {
            let leader = longest(with_data.into_iter());
            Ok(leader.map(|leader| (leader, format!("larger offset of several leader-flagged, {}", at_offset(leader)))))
        }
    }
}

fn at_offset(replica: &ReplicaView) -> String {
    match replica.offset() {
        Some(offset) => format!("offset {offset}, {} rows", replica.rows()),
        None => "not loaded".to_owned(),
    }
}

/// A replica longer than the leader-flagged one leads instead, if the latter is proven to be its beginning.
fn longer_follower<'a>(
    view: &'a View,
    usable: &[&'a ReplicaView],
    leader: &'a ReplicaView,
    why: String,
    promote: Promote,
) -> Result<(&'a ReplicaView, Way, String), Blocked> {
    let followers = usable.iter().copied().filter(|r| !r.is_leader && r.offset() > leader.offset());
    let Some(longer) = longest(followers) else { return Ok((leader, Way::ChangeRole, why)) };
    let proven = is_proven_prefix(view, leader, longer);
    let seen = format!(
        "{} ({}) is longer than the leader-flagged {} ({})",
        longer.endpoint,
        at_offset(longer),
        leader.endpoint,
        at_offset(leader)
    );
    if proven && promote == Promote::WhenProven {
        return Ok((longer, Way::ChangeLeader, format!("{seen} and proven to continue it")));
    }
    let text =
        if proven { seen + ", and the playbook promotes nobody" } else { seen + ", and not proven to continue it" };
    let hint = "compare the two replicas' rows; nothing was discarded, both are loaded as followers and not alive";
    Err(Blocked::new(Reason::LongerFollower, text, hint))
}

/// Every leader-flagged replica is suspect, empty or has no data: the longest of the others leads.
fn follower_instead<'a>(
    view: &'a View,
    usable: &[&'a ReplicaView],
    empty: Option<(&'a ReplicaView, String)>,
    promote: Promote,
) -> Result<(&'a ReplicaView, Way, String), Blocked> {
    let followers = usable.iter().copied().filter(|r| !r.is_leader && has_data(r));
    if let Some(follower) = longest(followers) {
        let flagged = view.replicas.iter().filter(|r| r.is_leader);
        let states: Vec<String> = flagged.map(|r| format!("{} {}", r.endpoint, condition(view, r))).collect();
        let why = format!(
            "{}; {} is the longest of the others, {}",
            states.join(", "),
            follower.endpoint,
            at_offset(follower)
        );
        return match promote {
            Promote::WhenProven => Ok((follower, Way::ChangeLeader, why)),
            Promote::Never => {
                let text = why + ", and the playbook promotes nobody";
                Err(Blocked::new(Reason::LongerFollower, text, "use a playbook with `promote: when_proven`"))
            }
        };
    }
    match empty {
        Some((leader, why)) => {
            let known = view.replicas.iter().max_by_key(|r| r.largest_known_offset());
            // Another one was elected too, perhaps later, and nobody can say how much was in what it lost.
            let lost = view.replicas.iter().find(|r| r.is_leader && r.has_no_data());
            match known.filter(|r| r.largest_known_offset() > Offset(0)).or(lost) {
                None => Ok((leader, Way::ChangeRole, why)),
                Some(_) if reach::unproven(view).next().is_some() => Ok((leader, Way::ChangeRole, why)),
                Some(r) => Err(everything_empty(view, r)),
            }
        }
        None => Err(nothing_loaded(view)),
    }
}

fn everything_empty(view: &View, known: &ReplicaView) -> Blocked {
    let was = match known.largest_known_offset() {
        Offset(0) => format!("{}, leader-flagged too, {}", known.endpoint, condition(view, known)),
        entries => format!("{} was known to hold {entries} entries", known.endpoint),
    };
    let text = format!("every replica that could be loaded is empty, but {was}");
    let hint = format!(
        "look for its binlog and snapshot, also as {}; put them back and restart that tablet",
        view.recycled_as()
    );
    Blocked::new(Reason::EverythingEmpty, text, hint)
}

fn nothing_loaded(view: &View) -> Blocked {
    let states: Vec<String> = view.replicas.iter().map(|r| format!("{} {}", r.endpoint, condition(view, r))).collect();
    let out_of_reach = view.replicas.iter().any(|r| r.out_of_reach().is_some());
    let (reason, hint) = if out_of_reach {
        (Reason::OutOfReach, "bring the tablet back and run again".to_owned())
    } else if view.replicas.len() == 1 {
        (Reason::OnlyReplicaLost, format!("look for its data as {} and put it back", view.recycled_as()))
    } else {
        (Reason::NoData, format!("look for the data as {} on each tablet and put it back", view.recycled_as()))
    };
    Blocked::new(reason, format!("no replica could be loaded: {}", states.join(", ")), hint)
}

/// What is wrong with a replica that cannot lead, in a few words.
fn condition(view: &View, replica: &ReplicaView) -> String {
    if let Some(suspicion) = suspicion(view, replica) {
        return format!("is not complete ({suspicion})");
    }
    match &replica.data {
        Data::OutOfReach(error) => format!("does not answer ({error})"),
        Data::Loading(_) => "is still loading".to_owned(),
        Data::Absent => match &replica.memory.load {
            super::Load::Refused(error) => format!("has nothing in place ({error})"),
            super::Load::Vanished => "vanished while loading".to_owned(),
            super::Load::NeverAppeared => "never appeared after LoadTable".to_owned(),
            _ => "is not loaded".to_owned(),
        },
        Data::Loaded(_) if has_data(replica) => at_offset(replica),
        Data::Loaded(_) => "is empty".to_owned(),
    }
}

/// A loaded replica whose entries are of a later term than the chosen one's holds rows acknowledged after it.
fn newer_term_elsewhere(view: &View, usable: &[&ReplicaView], leader: &ReplicaView) -> Result<(), Blocked> {
    let Some(term) = settled_term(view, leader) else { return Ok(()) };
    let newer = usable.iter().filter(|r| !r.is_leader && has_data(r) && r.endpoint != leader.endpoint);
    let newer = newer.filter_map(|r| settled_term(view, r).map(|newer| (r, newer))).find(|(_, newer)| *newer > term);
    let Some((replica, newer)) = newer else { return Ok(()) };
    if is_official(view, leader) && is_proven_prefix(view, replica, leader) {
        return Ok(());
    }
    let text = format!(
        "{} would lead with last term {term}, but the follower {} holds entries of term {newer}, written later",
        leader.endpoint, replica.endpoint
    );
    let hint = "the leader of the later term lost its data; compare the replicas' rows, both are loaded as followers";
    Err(Blocked::new(Reason::NewerTerm, text, hint))
}

/// A leader elected last may have lost its end since: then another replica may hold entries that were the partition's
/// history at that election, which no failover gave up, with a tail behind them that one did.
fn history_elsewhere(view: &View, usable: &[&ReplicaView], leader: &ReplicaView) -> Result<(), Blocked> {
    let held = leader.offset().unwrap_or(Offset(0));
    let others = usable.iter().filter(|r| r.endpoint != leader.endpoint);
    let Some((replica, end)) = others.map(|r| (r, official_end(view, r))).find(|(_, end)| *end > held) else {
        return Ok(());
    };
    let text = format!(
        "{} ({}) would lead, but {} holds the partition's history up to offset {end} and parts from it only behind that",
        leader.endpoint,
        at_offset(leader),
        replica.endpoint
    );
    let hint = "compare the two replicas' rows; nothing was discarded, both are loaded as followers and not alive";
    Err(Blocked::new(Reason::LongerFollower, text, hint))
}

/// Followers above their leader's term never replicate, and we never invent a term: only ChangeLeader begins one.
fn heed_terms_above<'a>(
    view: &'a View,
    usable: &[&'a ReplicaView],
    leader: &'a ReplicaView,
    way: Way,
    why: String,
    promote: Promote,
) -> Result<(&'a ReplicaView, Way, String), Blocked> {
    let Some((above, term)) = term_above_history(view).filter(|_| way == Way::ChangeRole && view.replicas.len() > 1)
    else {
        return Ok((leader, way, why));
    };
    let equals = usable.iter().copied().filter(|r| {
        !r.is_leader && r.offset() == leader.offset() && r.rows() == leader.rows() && is_proven_prefix(view, leader, r)
    });
    let seen =
        format!("{} has heard of term {term}, which the metadata does not know (a failed election)", above.endpoint);
    match longest(equals).filter(|_| promote == Promote::WhenProven) {
        Some(equal) => Ok((
            equal,
            Way::ChangeLeader,
            format!("{seen}; {} equals the leader-flagged {}", equal.endpoint, leader.endpoint),
        )),
        None => {
            let hint =
                "only changeleader begins a later term; no follower is proven equal to the leader-flagged replica";
            Err(Blocked::new(Reason::TermAboveHistory, seen, hint))
        }
    }
}

/// The replicas that may be connected to the leader as they are.
fn proven_prefixes(view: &View, leader: &ReplicaView) -> Vec<Endpoint> {
    let others = view.replicas.iter().filter(|r| r.endpoint != leader.endpoint && !is_suspect(view, r));
    others.filter(|r| is_proven_prefix(view, r, leader)).map(|r| r.endpoint.clone()).collect()
}

/// What a replica gives up when `leader` leads and it is resent: nothing if it is proven to be the leader's beginning, or
/// if it is not leader-flagged and shorter, in which case all it can hold beyond was given up with its own old leader.
fn gives_up(view: &View, replica: &ReplicaView, leader: &ReplicaView) -> Option<GivenUp> {
    let offset = replica.offset().filter(|_| replica.endpoint != leader.endpoint)?;
    if is_proven_prefix(view, replica, leader) || is_suspect(view, replica) {
        return None;
    }
    let entries = offset.0 - shared_up_to(view, replica, leader).0;
    let at_most = settled_term(view, replica).is_none() || settled_term(view, leader).is_none();
    let counts = entries > 0 && (replica.is_leader || !at_most);
    counts.then(|| GivenUp {
        endpoint: replica.endpoint.clone(),
        entries,
        at_most,
        term: settled_term(view, replica),
        directory: view.recycled_as(),
    })
}

fn reject(view: &View, replica: &ReplicaView, leader: &ReplicaView) -> Rejected {
    let why = if replica.offset().is_none() || suspicion(view, replica).is_some() {
        condition(view, replica)
    } else if replica.is_leader {
        let term = last_term(view, replica).lower_bound().map_or(String::new(), |term| format!(", last term {term}"));
        format!("leader flag, {}{term}", condition(view, replica))
    } else if replica.offset() == leader.offset() {
        "no leader flag, same offset".to_owned()
    } else {
        format!("no leader flag, {}", condition(view, replica))
    };
    Rejected { endpoint: replica.endpoint.clone(), why }
}
