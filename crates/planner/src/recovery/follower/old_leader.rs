//! Old leaders that hold the same as the one that leads now, so that only their flag has to go; and the term by which RecoverTable
//! judges any replica.

use openmldb_model::{Offset, Seen, Term};

use super::super::connect::connect;
use super::super::decision::{Decision, Question};
use super::super::view::ReplicaView;
use super::{Case, Follower, wait_for_answer};

impl Case<'_> {
    /// An old leader that holds the same as its leader. Its flag goes with RecoverTable, which takes it as it is if it has heard its
    /// leader's term (docs/openmldb/operations.md#how-recovertable-judges-a-replica): its leader is connected to it for that, and
    /// disconnected again, since RecoverTable would fail at connecting them a second time.
    pub(super) fn bring_old_leader(&self, follower: &ReplicaView, connected: Option<Offset>) -> Follower {
        let term = match self.term_of(follower) {
            Ok(term) => term,
            Err(unknown) => return unknown,
        };
        let has_heard = self.view.terms.last().is_some_and(|last| last.term == term);
        let why = "it holds as many entries as its leader, and the same rows";
        match connected {
            None if has_heard => self.recover_table(follower, false, why),
            None => {
                self.send(connect(self.view, self.leader, follower), format!("{why}; it has to hear its leader's term"))
            }
            Some(_) if has_heard => {
                self.send(self.disconnect(&follower.endpoint), "RecoverTable fails at kAddReplica if it is connected")
            }
            Some(connected) => {
                let target = self.followers.leader_offset;
                self.wait_catching_up(follower, follower.offset().unwrap_or(Offset(0)).max(connected), target)
            }
        }
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
