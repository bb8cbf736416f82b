//! The leader that somebody names. Nothing is weighed: what the others would lose is listed, and has to be accepted.

use openmldb_model::{Endpoint, Offset};

use crate::playbook::Promote;

use super::blocked::{Blocked, Reason};
use super::choice::PromotionMethod;
use super::condition::{at_offset, condition};
use super::loss::{Loss, unless_accepted};
use super::reach;
use super::rows::{seen_to_hold_all, seen_to_lack};
use super::suspect::{is_suspect, lacks_rows_of};
use super::term::proven_prefixes;
use super::term::written_below_its_start;
use super::veto;
use super::view::{ReplicaView, View, list};

/// That replica, and how it becomes leader.
///
/// # Errors
/// It cannot lead, or what the others would lose was not accepted.
pub(super) fn leader<'a>(
    view: &'a View,
    named: &Endpoint,
) -> Result<(&'a ReplicaView, PromotionMethod, String), Blocked> {
    let found = view.replica(named);
    let Some(leader) = found.filter(|r| r.offset().is_some()) else {
        let seen = found.map_or_else(|| "has no replica of it".to_owned(), |r| condition(view, r));
        let reason = found.map_or(Reason::NoData, reach::why_unproven);
        let hint = "bring it back, then run again, or name another replica";
        return Err(Blocked::new(reason, format!("{named} was named as leader, but {seen}"), hint));
    };
    let losses = losses(view, leader);
    if !losses.is_empty() {
        let others = list(losses.iter().map(|loss| &loss.endpoint));
        let text = format!(
            "{named} ({}) was named as leader: extra entries that {others} may hold would be given up",
            at_offset(leader)
        );
        let hint = format!(
            "`openmldb-ops replica diff {}` shows how they differ; the same command with --dry-run lists the losses \
             under a plan's id, for --accept-data-loss",
            view.name()
        );
        unless_accepted(view, Blocked::new(Reason::NamedLeader, text, hint), losses)?;
    }
    let why = format!("named on the command line, {}", at_offset(leader));
    let way = if leader.is_leader { PromotionMethod::ChangeRole } else { PromotionMethod::ChangeLeader };
    veto::fall_back_to_change_leader(view, &[], leader, way, why, Promote::Never)
}

/// What the others hold that the leader is not known to hold.
fn losses(view: &View, leader: &ReplicaView) -> Vec<Loss> {
    let unknown = reach::unproven(view).map(|r| Loss::out_of_reach(view, r));
    let proven: Vec<&Endpoint> = proven_prefixes(view, leader).map(|r| &r.endpoint).collect();
    let others = view.replicas.iter().filter(|r| r.endpoint != leader.endpoint && r.offset() > Some(Offset(0)));
    let beyond = others.filter(|r| !seen_to_hold_all(view, leader, r)).filter_map(|r| {
        // What is proven is that it was sent all of it, not that it still has all.
        let by_counts = || is_suspect(view, leader) || lacks_rows_of(view, leader, r);
        let lacks = seen_to_lack(view, leader, r).map_or_else(by_counts, |rows| rows > 0);
        // Where one wrote beside the other, nobody can say from where on.
        let beside = [r, leader].into_iter().any(|r| written_below_its_start(view, r).is_some());
        match proven.contains(&&r.endpoint) {
            _ if beside => Some(Loss { entries: r.offset().map(|offset| offset.0), ..Loss::beyond(view, r, leader) }),
            true => lacks.then(|| Loss::rows(view, r, leader)),
            false => Some(Loss::beyond(view, r, leader)).filter(|loss| lacks || loss.entries != Some(0)),
        }
    });
    beyond.chain(unknown).collect()
}
