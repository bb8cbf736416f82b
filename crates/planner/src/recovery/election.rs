//! Who leads. One function, [`choose`], one reason per rejected replica.

use crate::playbook::{OnConflict, Promote};
use openmldb_model::Offset;

use super::base;
use super::blocked::{Blocked, Reason};
use super::choice::{Choice, GivenUp, PromotionMethod, Rejected};
use super::condition::{at_offset, condition, has_data, longest, preference};
use super::connect::counts_may_lie;
use super::empty;
use super::loss::{Loss, unless_accepted};
use super::named;
use super::reach;
use super::rows::{self, seen_equal};
use super::suspect::{is_suspect, suspicion};
use super::term::{
    elected_last, history_held, is_on_history, is_proven_prefix, is_told, lacks_the_newest_term, last_term,
    leads_in_the_last_term, may_end_with_deletes, may_have_parted_before_a_term, proven_prefixes, settled_term,
    shared_up_to,
};
use super::view::{Data, ReplicaView, View, list};
use super::{unseen, veto};

/// What to do about a partition without a history of terms.
pub(super) const NO_TERMS: &str = "`openmldb-ops partition set D.T/PID --terms-from BACKUP` restores it from a backup of the metadata that has \
                                   it (`openmldb-ops metadata backup`, or what a recovery saved beside its record), then run again";

/// Chooses the leader of a partition whose replicas are loaded, as far as they can be.
///
/// # Errors
/// Why nobody may lead.
pub fn choose(view: &View, on_conflict: OnConflict, promote: Promote) -> Result<Choice, Blocked> {
    if view.terms.is_empty() {
        let text = "the nameserver has no term history for the partition, and a term must not be invented";
        return Err(Blocked::new(Reason::NoTermHistory, text, NO_TERMS));
    }
    let (leader, way, why) = match &view.memory.named_leader {
        Some(named) => named::leader(view, named)?,
        None => by_the_rules(view, on_conflict, promote)?,
    };
    Ok(chosen(view, leader, way, why))
}

/// The leader by what is known of the replicas.
fn by_the_rules(
    view: &View,
    on_conflict: OnConflict,
    promote: Promote,
) -> Result<(&ReplicaView, PromotionMethod, String), Blocked> {
    let usable: Vec<&ReplicaView> =
        view.replicas.iter().filter(|r| r.offset().is_some() && !is_suspect(view, r)).collect();
    suspect_is_not_longest(view, &usable)?;
    veto::forked_writes(view, &view.replicas.iter().collect::<Vec<_>>())?;
    let (leader, way, why) = match flagged_leader(view, &usable, on_conflict)? {
        Some((leader, why)) if has_data(leader) => longer_follower(view, &usable, leader, why, promote)?,
        empty => follower_instead(view, &usable, empty, promote)?,
    };
    let beside = base::beside(view, &usable, leader, promote);
    match beside.map(|(beside, way, why)| unless_objected(view, &usable, (beside, way, why), promote)) {
        Some(Ok(beside)) => Ok(beside),
        Some(Err(_)) | None => unless_objected(view, &usable, (leader, way, why), promote),
    }
}

/// The leader, if nothing that another replica may hold speaks against it.
fn unless_objected<'a>(
    view: &'a View,
    usable: &[&'a ReplicaView],
    (leader, way, why): (&'a ReplicaView, PromotionMethod, String),
    promote: Promote,
) -> Result<(&'a ReplicaView, PromotionMethod, String), Blocked> {
    reach::allows(view, leader, way)?;
    veto::newer_term_elsewhere(view, usable, leader)?;
    veto::incomplete_one_may_continue_the_history(view, leader)?;
    let (leader, way, why) = veto::fall_back_to_change_leader(view, usable, leader, way, why, promote)?;
    let why = match reach::own_loss(leader) {
        Some(loss) => format!("{why}; {loss}"),
        None => why,
    };
    Ok((leader, way, why))
}

fn chosen(view: &View, leader: &ReplicaView, way: PromotionMethod, why: String) -> Choice {
    let (doubted, others): (Vec<_>, Vec<_>) = proven_prefixes(view, leader).partition(|r| is_suspect(view, r));
    let may_differ =
        |r: &ReplicaView| counts_may_lie(view, leader, r) || may_have_parted_before_a_term(view, leader, r);
    let (unread, proven) = others.into_iter().partition(|r| may_differ(r));
    let endpoints = |replicas: Vec<&ReplicaView>| replicas.into_iter().map(|r| r.endpoint.clone()).collect();
    let (proven, doubted, unread) = (endpoints(proven), endpoints(doubted), endpoints(unread));
    Choice {
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
        proven,
        doubted,
        unread,
        given_up: given_up(view, leader),
        out_of_reach: reach::unproven(view).map(|r| r.endpoint.clone()).collect(),
        seen_no_longer: unseen::seen_no_longer(view, leader),
    }
}

/// If a replica that lacks rows is longer than every complete one, nobody can tell what the difference holds.
fn suspect_is_not_longest(view: &View, usable: &[&ReplicaView]) -> Result<(), Blocked> {
    let fullest = longest(usable.iter().copied());
    let reached = fullest.and_then(|r| r.offset()).unwrap_or(Offset(0));
    for replica in view.replicas.iter().filter(|r| r.offset() > Some(reached)) {
        let Some(why) = suspicion(view, replica) else { continue };
        let text = format!("{} has the largest offset but is not complete: {why}", replica.endpoint);
        let hint = "find the missing snapshot or binlog of that replica, or accept the loss of its extra entries";
        let blocked = Blocked::new(Reason::SuspectIsLongest, text, hint);
        let Some(instead) = fullest else { return Err(blocked) };
        unless_accepted(view, blocked, vec![Loss::beyond(view, replica, instead)])?;
    }
    Ok(())
}

/// Whether one of them is known to hold an entry of the newest term there is, and each whose last term nobody knows is no longer, or
/// is known to hold nothing of it: none can have been elected later, and none of those can hold more of what it wrote.
fn newest_is_known(view: &View, flagged: &[&ReplicaView]) -> bool {
    let Some(newest) = view.terms.last() else { return false };
    if !flagged.iter().all(|r| is_told(view, r)) {
        return false;
    }
    let wrote_last = |r: &&&ReplicaView| last_term(view, r).lower_bound() == Some(newest.term);
    let end = flagged.iter().filter(wrote_last).filter_map(|r| r.offset()).max();
    let unknown = flagged.iter().filter(|r| settled_term(view, r).is_none());
    end.is_some() && unknown.into_iter().all(|r| r.offset() <= end || lacks_the_newest_term(view, r))
}

/// The only one of them that leads in the last term, if it is as long as any whose last term nobody knows: the others were leaders
/// before it, and what they hold beyond was given up when it was elected.
fn leads_already<'a>(view: &View, flagged: &[&'a ReplicaView]) -> Option<&'a ReplicaView> {
    let mut leading = flagged.iter().copied().filter(|r| leads_in_the_last_term(view, r));
    let leader = leading.next().filter(|_| leading.next().is_none() && flagged.iter().all(|r| is_told(view, r)))?;
    let mut unknown = flagged.iter().filter(|r| settled_term(view, r).is_none());
    unknown.all(|r| r.offset() <= leader.offset()).then_some(leader)
}

/// Whether a replica's end was given up at a later election, and another one that shares all the rest may hold what was written
/// instead: deletes, whose terms no call shows.
fn was_given_up_for_another(view: &View, replica: &ReplicaView, flagged: &[&ReplicaView]) -> bool {
    let Some(term) = settled_term(view, replica).filter(|_| !is_on_history(view, replica)) else { return false };
    let shares_the_rest = |r: &ReplicaView| last_term(view, r).lower_bound() >= Some(term);
    flagged.iter().any(|r| may_end_with_deletes(view, r) && shares_the_rest(r))
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
    if on_conflict == OnConflict::LastElected {
        veto::terms_of_another_cluster(view, &with_data)?;
    }
    let terms_known = with_data.iter().all(|r| settled_term(view, r).is_some()) || newest_is_known(view, &with_data);
    match on_conflict {
        OnConflict::Block => {
            let names = list(with_data.iter().map(|r| &r.endpoint));
            let hint =
                format!("use a playbook with `on_conflict: last_elected` or `max_offset`; or {}", rows::name_one(view));
            Err(Blocked::new(Reason::LeaderConflict, format!("several leader flags: {names}"), hint))
        }
        OnConflict::LastElected if terms_known => {
            let leader = holds_most_of_the_history(view, usable, &with_data);
            let elected_last = elected_last(view).map(|r| &r.endpoint);
            let why = |leader: &ReplicaView| {
                let term = settled_term(view, leader).map_or(String::new(), |term| format!(" (last term {term})"));
                let how = if elected_last == Some(&leader.endpoint) { "elected last" } else { "holds most" };
                format!("{how} of the leader-flagged{term}, {}", at_offset(leader))
            };
            Ok(leader.map(|leader| (leader, why(leader))))
        }
        OnConflict::LastElected | OnConflict::MaxOffset => {
            let leading = leads_already(view, &with_data).filter(|_| on_conflict == OnConflict::LastElected);
            if let Some(leader) = leading {
                let why =
                    format!("elected last of the leader-flagged: it leads in the last term, {}", at_offset(leader));
                return Ok(Some((leader, why)));
            }
            let was_given_up = |r: &&ReplicaView| {
                on_conflict == OnConflict::LastElected && was_given_up_for_another(view, r, &with_data)
            };
            let leader = longest(with_data.iter().copied().filter(|r| !was_given_up(r)));
            if let Some(leader) = leader.filter(|_| on_conflict == OnConflict::LastElected) {
                veto::untold_flag_elsewhere(view, &with_data, leader)?;
                veto::later_flag_elsewhere(view, &with_data, leader)?;
            }
            Ok(leader.map(|leader| (leader, format!("larger offset of several leader-flagged, {}", at_offset(leader)))))
        }
    }
}

/// Of several leader-flagged replicas with data and known last terms: whoever holds most of the partition's history, which is
/// the one of the newest term, unless that one lost its end. Where several hold the same, one of them may have a tail that
/// was given up at a failover. With that it has all the others have and more, so it leads; unless somebody may hold
/// entries that were written instead of the tail.
fn holds_most_of_the_history<'a>(
    view: &'a View,
    usable: &[&'a ReplicaView],
    flagged: &[&'a ReplicaView],
) -> Option<&'a ReplicaView> {
    let most = flagged.iter().filter_map(|r| history_held(view, r)).max();
    let may_hold_more =
        |r: &ReplicaView| r.offset() > most && history_held(view, r).is_none_or(|held| Some(held) > most);
    let tails_lose = usable.iter().any(|r| !r.is_leader && may_hold_more(r)) || reach::unproven(view).next().is_some();
    let rank = |r: &ReplicaView| (history_held(view, r), tails_lose && is_on_history(view, r));
    let alive = |r: &ReplicaView| (r.offset(), r.memory.alive_before);
    flagged.iter().copied().max_by(|a, b| {
        let by_history = rank(a).cmp(&rank(b));
        by_history.then_with(|| alive(a).cmp(&alive(b))).then_with(|| preference(a).cmp(&preference(b)))
    })
}

/// A replica longer than the leader-flagged one leads instead, if the latter is proven to be its beginning.
fn longer_follower<'a>(
    view: &'a View,
    usable: &[&'a ReplicaView],
    leader: &'a ReplicaView,
    why: String,
    promote: Promote,
) -> Result<(&'a ReplicaView, PromotionMethod, String), Blocked> {
    // Whom it replicates to cannot be longer: it was only looked at later, while clients go on writing.
    let follows = |r: &ReplicaView| leader.is_followed_by(r);
    // One that leads in memory may have taken writes since, which nobody else has.
    let continues = |r: &ReplicaView| is_proven_prefix(view, leader, r) && !leader.leads_in_memory();
    // What is the same row by row would give up no row: but what it holds beyond would be in the way of what the leader writes.
    let is_longer = |r: &ReplicaView| {
        let leads_instead = promote == Promote::WhenProven && continues(r);
        r.offset() > leader.offset() && (leads_instead || !seen_equal(view, leader, r))
    };
    let followers = usable.iter().copied().filter(|r| !r.is_leader && is_longer(r) && !follows(r));
    let longer_ones: Vec<&ReplicaView> = followers.collect();
    let Some(longer) = longest(longer_ones.iter().copied()) else {
        return Ok((leader, PromotionMethod::ChangeRole, why));
    };
    let proven = continues(longer);
    let seen = format!(
        "{} ({}) is longer than the leader-flagged {} ({})",
        longer.endpoint,
        at_offset(longer),
        leader.endpoint,
        at_offset(leader)
    );
    if proven && promote == Promote::WhenProven {
        return Ok((longer, PromotionMethod::ChangeLeader, format!("{seen} and proven to continue it")));
    }
    let text =
        if proven { seen + ", and the playbook never promotes" } else { seen + ", and not proven to continue it" };
    let hint = rows::diff(view, "nothing was discarded, both are loaded as followers and not alive");
    let blocked = Blocked::new(Reason::LongerFollower, text, hint);
    if proven {
        // Another playbook keeps everything.
        return Err(blocked);
    }
    let losses = longer_ones.iter().map(|r| Loss::beyond(view, r, leader)).collect();
    unless_accepted(view, blocked, losses)?;
    Ok((
        leader,
        PromotionMethod::ChangeRole,
        format!("{why}; the extra entries on {} are given up, as accepted", longer.endpoint),
    ))
}

/// Every leader-flagged replica is suspect, empty or has no data: the longest of the others leads.
fn follower_instead<'a>(
    view: &'a View,
    usable: &[&'a ReplicaView],
    empty: Option<(&'a ReplicaView, String)>,
    promote: Promote,
) -> Result<(&'a ReplicaView, PromotionMethod, String), Blocked> {
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
            Promote::WhenProven => Ok((follower, PromotionMethod::ChangeLeader, why)),
            Promote::Never => {
                let text = why + ", and the playbook never promotes";
                Err(Blocked::new(Reason::LongerFollower, text, "use a playbook with `promote: when_proven`"))
            }
        };
    }
    match empty {
        Some((leader, why)) => {
            let known = view.replicas.iter().max_by_key(|r| r.largest_known_offset());
            // Another one was leader too, perhaps later, and nobody can say how much was in what it lost.
            let lost = view.replicas.iter().find(|r| r.is_leader && (r.has_no_data() || may_still_appear(r)));
            match known.filter(|r| r.largest_known_offset() > Offset(0)).or(lost) {
                None => Ok((leader, PromotionMethod::ChangeRole, why)),
                Some(known) => {
                    let missing = reach::unproven(view).next();
                    let loss = match missing {
                        Some(missing) => Loss::out_of_reach(view, missing),
                        None => Loss::everything(view, known),
                    };
                    unless_accepted(view, empty::everything_empty(view, known), vec![loss])?;
                    Ok((
                        leader,
                        PromotionMethod::ChangeRole,
                        format!("{why}; what {} held is given up, as accepted", known.endpoint),
                    ))
                }
            }
        }
        None => Err(empty::nothing_loaded(view)),
    }
}

/// Told to load, and not seen since, or refused or gone again although its files are there: it may hold anything.
fn may_still_appear(replica: &ReplicaView) -> bool {
    let told =
        matches!(replica.memory.load, super::Load::Interrupted | super::Load::InDoubt | super::Load::NeverAppeared);
    replica.data == Data::Absent && told && !replica.has_no_data()
        || replica.was_refused_in_place()
        || replica.vanished_in_place()
}

/// What the others give up when `leader` leads and they are resent. What a follower holds of unknown terms was given up with its
/// own old leader, and is that one's; unless that one lost its end and the follower has more of it.
fn given_up(view: &View, leader: &ReplicaView) -> Vec<GivenUp> {
    let all: Vec<(&ReplicaView, GivenUp)> =
        view.replicas.iter().filter_map(|r| Some((r, gives_up(view, r, leader)?))).collect();
    let by_leaders = all.iter().filter(|(r, _)| r.is_leader).map(|(_, given)| given.entries).max();
    let has_more = |entries: u64| by_leaders.is_some_and(|by_leaders| entries > by_leaders);
    let counts = |(r, given): &(&ReplicaView, GivenUp)| {
        r.is_leader || !given.at_most || r.offset() <= leader.offset() && has_more(given.entries)
    };
    all.into_iter().filter(counts).map(|(_, given)| given).collect()
}

/// What a replica holds beyond what it shares with the leader: nothing if it is proven to be the leader's beginning.
fn gives_up(view: &View, replica: &ReplicaView, leader: &ReplicaView) -> Option<GivenUp> {
    let offset = replica.offset().filter(|_| replica.endpoint != leader.endpoint)?;
    if is_proven_prefix(view, replica, leader) || is_suspect(view, replica) {
        return None;
    }
    let entries = offset.0 - shared_up_to(view, replica, leader).0;
    (entries > 0).then(|| GivenUp {
        endpoint: replica.endpoint.clone(),
        entries,
        at_most: settled_term(view, replica).is_none() || settled_term(view, leader).is_none(),
        term: settled_term(view, replica),
        directory: view.recycled_as(),
    })
}

fn reject(view: &View, replica: &ReplicaView, leader: &ReplicaView) -> Rejected {
    let why = if replica.offset().is_none() || suspicion(view, replica).is_some() {
        condition(view, replica)
    } else if replica.is_leader {
        let or_later = if settled_term(view, replica).is_some() { "" } else { " or later" };
        let shown = last_term(view, replica).lower_bound();
        let term = shown.map_or(String::new(), |term| format!(", last term {term}{or_later}"));
        format!("leader flag, {}{term}", condition(view, replica))
    } else if replica.offset() == leader.offset() {
        "no leader flag, same offset".to_owned()
    } else {
        format!("no leader flag, {}", condition(view, replica))
    };
    Rejected { endpoint: replica.endpoint.clone(), why }
}
