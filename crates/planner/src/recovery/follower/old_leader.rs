//! Old leaders whose log is the beginning of that of the one that leads now, so that only their flag has to go; and the term by which
//! RecoverTable judges any replica.

use openmldb_model::{Offset, Seen, Term};

use super::super::connect::{begins_its_leaders_log, connect};
use super::super::decision::{Decision, Question};
use super::super::view::ReplicaView;
use super::{Case, Follower, wait_for_answer};

impl Case<'_> {
    /// An old leader whose log is the beginning of its leader's. Its flag goes with RecoverTable, which takes it as it
    /// is if it has heard its leader's term (docs/openmldb/operations.md#how-recovertable-judges-a-replica): its leader
    /// is connected to it for that, and disconnected again once it has caught up, since RecoverTable would fail at
    /// connecting them a second time. None if it is not one, or accepts nothing from its leader: then it is to be
    /// resent.
    pub(super) fn bring_old_leader(&self, follower: &ReplicaView, connected: Option<Offset>) -> Option<Follower> {
        let last = self.view.terms.last()?;
        // One that holds nothing has nothing to keep.
        let may_be_kept = follower.is_leader && follower.offset() > Some(Offset(0)) && self.returns.connected;
        let stands_still = follower.memory.recovery.stood_still;
        if !may_be_kept || stands_still || !begins_its_leaders_log(self.view, self.leader, follower) {
            return None;
        }
        let term = match self.term_of(follower) {
            Ok(term) if term > last.term => return None,
            Ok(term) => term,
            Err(unknown) => return Some(unknown),
        };
        let held = follower.offset().max(connected).unwrap_or(Offset(0));
        let has_heard = term == last.term && held.next() >= last.start;
        let target = follower.memory.recovery.catch_up_to.unwrap_or(self.followers.leader_offset);
        let why = "all that it holds is the beginning of what its leader holds";
        Some(match connected {
            None if has_heard => self.recover_table(follower, false, why),
            None => {
                self.send(connect(self.view, self.leader, follower), format!("{why}; it has to hear its leader's term"))
            }
            Some(_) if !has_heard || held < target => self.wait_catching_up(follower, held, target),
            Some(_) => self.fuller_than_leader(follower).unwrap_or_else(|| {
                self.send(self.disconnect(&follower.endpoint), "RecoverTable fails at kAddReplica if it is connected")
            }),
        })
    }

    /// The last term that a replica has heard, which is what RecoverTable judges it by.
    pub(super) fn term_of(&self, follower: &ReplicaView) -> Result<Term, Follower> {
        let endpoint = &follower.endpoint;
        match &follower.term_pair {
            Seen::Unasked => Err(Follower::Needs(Decision::look(endpoint, Question::TermPair))),
            Seen::Known(pair) => Ok(pair.term),
            Seen::Failed(error) => {
                let seen = format!("{endpoint} does not answer GetTermPair ({error})");
                Err(wait_for_answer(self.view, endpoint, seen))
            }
        }
    }
}
