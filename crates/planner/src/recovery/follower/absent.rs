//! Followers that are not loaded yet: whether that is waited for, or their leader's data is sent.

use openmldb_model::{Offset, Seen};

use super::super::blocked::{Blocked, Reason};
use super::super::decision::{Decision, Question, Wait, WaitFor};
use super::super::discard::may_discard;
use super::super::limits::{APPEARING, OP_TIMEOUT};
use super::super::memory::Load;
use super::super::reach::where_a_load_does_not_end;
use super::super::view::ReplicaView;
use super::{Case, Follower};

impl Case<'_> {
    pub(super) fn wait_loading(&self, follower: &ReplicaView) -> Follower {
        let what = WaitFor::Loading;
        let seen = format!("{} {}", follower.endpoint, follower.data);
        if self.view.memory.has_expired(&what) {
            return Follower::Blocked(Blocked::new(Reason::LoadTimeout, seen, where_a_load_does_not_end(self.view)));
        }
        Follower::Needs(Decision::Wait(Wait::new(what, seen, OP_TIMEOUT, OP_TIMEOUT)))
    }

    /// Its tablet answers and does not hold it. Loading comes first; only what cannot be loaded is resent as it is.
    pub(super) fn bring_absent(&self, follower: &ReplicaView, connected: Option<Offset>) -> Follower {
        let endpoint = &follower.endpoint;
        match &follower.memory.load {
            Load::NotSent if !follower.has_no_directory() => {
                let loads = follower.memory.loads;
                let text = format!("{endpoint} is not loaded; LoadTable was sent {loads} times");
                Follower::Blocked(Blocked::new(Reason::LoadTimeout, text, "see the tablet's log, then run again"))
            }
            Load::Accepted | Load::Seen | Load::Loaded | Load::Interrupted | Load::InDoubt => {
                let what = WaitFor::Appearing(endpoint.clone());
                let seen = format!("{endpoint} does not show the partition yet");
                if self.view.memory.has_expired(&what) && follower.directory.is_unasked() {
                    return Follower::Needs(Decision::look(endpoint, Question::Directory));
                }
                if self.view.memory.has_expired(&what) && follower.has_no_data() {
                    return self.send_all(follower, connected);
                }
                if self.view.memory.has_expired(&what) {
                    // Told twice, it would destroy itself; a tablet that was restarted loads nothing.
                    let hint = "it may be loading unseen: see the tablet's log, or restart that tablet, then run again";
                    return Follower::Blocked(Blocked::new(Reason::LoadTimeout, seen, hint));
                }
                Follower::Needs(Decision::Wait(Wait::new(what, seen, OP_TIMEOUT, APPEARING)))
            }
            Load::HandedOver if follower.manifest == Seen::Unasked => {
                Follower::Needs(Decision::look(endpoint, Question::Manifest))
            }
            Load::HandedOver if follower.manifest_offset() > Offset(0) && self.leader.manifest == Seen::Unasked => {
                Follower::Needs(Decision::look(&self.leader.endpoint, Question::Manifest))
            }
            Load::NotSent | Load::HandedOver | Load::Refused(_) | Load::Vanished | Load::NeverAppeared => {
                self.send_all(follower, connected)
            }
        }
    }

    /// All that its leader holds to one that holds nothing, if that is so.
    fn send_all(&self, follower: &ReplicaView, connected: Option<Offset>) -> Follower {
        match may_discard(self.view, self.leader, follower) {
            // RecoverTable disconnects only without a leader flag (docs/openmldb/operations.md#recovertable).
            Ok(()) if connected.is_some() && follower.is_leader => {
                self.send(self.disconnect(&follower.endpoint), "RecoverTable fails at kAddReplica if it is connected")
            }
            Ok(()) => self.recover_table(follower, true, "it has no data of its own: the leader's is sent"),
            Err(blocked) => Follower::Blocked(blocked),
        }
    }
}
