//! What is done next, answer by answer. `a` led, `b` and `c` follow, all at offset 20.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::{Instant, advance};

use crate::cluster::{CallError, CallErrorKind};
use crate::model::{Endpoint, Held, Offset, Op, OpId, OpKind, OpStatus, Pid, Role, Table};

use super::super::super::goal::Goal;
use super::super::super::tests::{held_mut, orders, replica_mut, well};
use super::decide::Do;
use super::election::{Circumstances, Election};
use super::end::{End, Why};
use super::known::Known;

const LIMIT: Duration = Duration::from_secs(5);

struct Bed {
    known: Known,
    circumstances: Circumstances,
    /// What the nameserver says.
    ops: Vec<Op>,
    table: Table,
}

fn silence(endpoint: &str, kind: CallErrorKind) -> CallError {
    CallError::new(format!("server {endpoint}"), "GetTableStatus", kind)
}

fn no_answer() -> CallErrorKind {
    CallErrorKind::DeadlineExceeded { after: super::CALL }
}

impl Bed {
    fn new() -> Self {
        let replicas = ["a", "b", "c"].map(Endpoint::from).to_vec();
        let (table, leader) = (orders(), Some("b".into()));
        let goal = Goal {
            table,
            pid: Pid(0),
            replicas,
            leader,
            beside: None,
            successor_holds_all: false,
            replaces: None,
            why: String::new(),
        };
        let known = Known::new(&goal, well(), &BTreeSet::new(), LIMIT).unwrap();
        let circumstances = Circumstances { ending_since: None, may_elect: true, taken_over: false };
        Self { known, circumstances, ops: Vec::new(), table: well().tables.remove(0) }
    }

    /// `a` was told to follow, and said that it does.
    fn stood_down() -> Self {
        let mut bed = Self::new();
        bed.known.was_told_to_follow(Instant::now(), Some(Instant::now()));
        bed
    }

    /// And everybody has said how things stand.
    async fn rested() -> Self {
        let mut bed = Self::stood_down();
        bed.all_say().await;
        bed.all_say().await;
        bed
    }

    async fn pass(&mut self, millis: u64) {
        advance(Duration::from_millis(millis)).await;
    }

    fn says(&mut self, at: &str, role: Role, offset: u64) {
        let held = Held { role, offset: Offset(offset), ..held_mut(&mut well(), at).clone() };
        self.known.note_replica(&at.into(), Instant::now(), Ok(Some(held)), None);
    }

    fn is_silent(&mut self, at: &str, kind: CallErrorKind) {
        self.known.note_replica(&at.into(), Instant::now(), Err(silence(at, kind)), None);
    }

    fn nameserver_says(&mut self) {
        let said = (self.ops.clone(), Some(self.table.clone()));
        self.known.note_nameserver(Instant::now(), Ok(said), "nameserver");
    }

    fn nameserver_is_silent(&mut self) {
        self.known.note_nameserver(Instant::now(), Err(silence("nameserver", no_answer())), "nameserver");
    }

    async fn all_say(&mut self) {
        self.pass(20).await;
        ["a", "b", "c"].iter().for_each(|at| self.says(at, Role::Follower, 20));
        self.nameserver_says();
    }

    fn op(&mut self, id: u64, status: OpStatus, task: &str) {
        let op = Op {
            id: OpId(id),
            kind: OpKind::ChangeLeader,
            status,
            table: orders(),
            pid: Pid(0),
            task: task.to_owned(),
        };
        self.ops.retain(|other| other.id != op.id);
        self.ops.push(op);
    }

    fn next(&mut self) -> Do {
        self.known.decide(Instant::now(), &self.circumstances)
    }

    /// ChangeLeader is sent.
    fn asks(&mut self, to: &str, sent: Result<(), CallErrorKind>) {
        assert_eq!(self.next(), Do::Elect(to.into()));
        let election = Election::new(to.into(), None, "nameserver".to_owned());
        let sent = sent.map_err(|kind| CallError::new("nameserver", "ChangeLeader", kind));
        self.known.was_asked_to_elect(election, sent);
    }

    fn leads_again(&mut self) -> Why {
        assert_eq!(self.next(), Do::LeadAgain);
        self.known.was_told_to_lead_again(Ok(()));
        self.says("a", Role::Leader, 20);
        match self.next() {
            Do::Over(End::LeadsAgain(why)) => why,
            other => panic!("{other:?}"),
        }
    }

    fn unled(&mut self) -> String {
        match self.next() {
            Do::Over(End::Unled(refusal)) => refusal.to_string(),
            other => panic!("{other:?}"),
        }
    }
}

fn not_done(why: Why) -> String {
    match why {
        Why::NotDone(refusal) => refusal.text,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn another_one_is_elected_once_two_answers_say_where_the_log_ends() {
    let mut bed = Bed::stood_down();
    assert_eq!(bed.next(), Do::Look);
    bed.all_say().await;
    assert_eq!(bed.next(), Do::Look, "a write may still be ending");
    bed.all_say().await;
    bed.asks("b", Ok(()));
    bed.op(9, OpStatus::Doing, "kSelectLeader");
    bed.all_say().await;
    assert_eq!(bed.next(), Do::Look);
    bed.op(9, OpStatus::Done, "-");
    bed.table.partitions[0].replicas[0].is_alive = false;
    bed.table.partitions[0].replicas[1].is_leader = true;
    bed.nameserver_says();
    assert_eq!(bed.next(), Do::Look, "it has not said so itself");
    bed.says("b", Role::Leader, 20);
    assert_eq!(bed.next(), Do::Over(End::NewLeader("b".into())));
}

#[tokio::test(start_paused = true)]
async fn where_no_follower_holds_all_the_old_leader_leads_again_at_once() {
    let mut bed = Bed::stood_down();
    bed.all_say().await;
    bed.pass(20).await;
    bed.says("a", Role::Follower, 20);
    ["b", "c"].iter().for_each(|at| bed.says(at, Role::Follower, 19));
    assert_eq!(bed.leads_again(), Why::TooEarly);
}

#[tokio::test(start_paused = true)]
async fn while_a_follower_that_would_be_asked_does_not_answer_nobody_is_elected_and_then_the_old_one_leads_again() {
    let mut bed = Bed::stood_down();
    bed.all_say().await;
    bed.pass(20).await;
    ["a", "b"].iter().for_each(|at| bed.says(at, Role::Follower, 20));
    bed.is_silent("c", no_answer());
    assert_eq!(bed.next(), Do::Look);
    bed.pass(2_900).await;
    assert_eq!(bed.next(), Do::Look);
    bed.pass(100).await;
    let why = not_done(bed.leads_again());
    assert!(why.contains("no other replica led within 3.0 s: server c did not answer"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn a_nameserver_that_does_not_answer_is_asked_for_no_election_and_the_old_leader_leads_again() {
    let mut bed = Bed::stood_down();
    for _ in 0..3 {
        bed.pass(20).await;
        ["a", "b", "c"].iter().for_each(|at| bed.says(at, Role::Follower, 20));
        bed.nameserver_is_silent();
        assert_eq!(bed.next(), Do::Look);
    }
    bed.pass(3_000).await;
    assert!(not_done(bed.leads_again()).contains("nameserver did not answer"));
}

#[tokio::test(start_paused = true)]
async fn told_to_end_the_old_leader_leads_again_at_once() {
    let mut bed = Bed::stood_down();
    bed.circumstances.ending_since = Some(Instant::now());
    assert_eq!(bed.leads_again(), Why::Ending);
}

/// An election that hangs is cancelled, and only once it is over may the old leader lead again.
#[tokio::test(start_paused = true)]
async fn an_election_under_way_is_cancelled_before_the_old_leader_leads_again() {
    let mut bed = Bed::rested().await;
    bed.asks("b", Ok(()));
    bed.op(9, OpStatus::Doing, "kSelectLeader");
    bed.all_say().await;
    bed.pass(3_000).await;
    assert_eq!(bed.next(), Do::Cancel(OpId(9)));
    bed.known.was_told_to_cancel();
    assert_eq!(bed.next(), Do::Look, "it may still be under way");
    bed.op(9, OpStatus::Canceled, "kSelectLeader");
    bed.all_say().await;
    assert!(not_done(bed.leads_again()).contains("operation 9 (kChangeLeaderOP) Canceled at kSelectLeader"));
}

#[tokio::test(start_paused = true)]
async fn an_election_that_fails_for_no_reason_is_asked_for_again() {
    let mut bed = Bed::rested().await;
    bed.asks("b", Ok(()));
    bed.op(9, OpStatus::Failed, "kSelectLeader");
    bed.all_say().await;
    bed.asks("b", Ok(()));
    bed.all_say().await;
    bed.asks("b", Ok(()));
    bed.all_say().await;
    assert!(not_done(bed.leads_again()).contains("kChangeLeaderOP"), "the third came to nothing, too");
}

/// A deadline stops no server: what was sent and not answered may be done yet.
#[tokio::test(start_paused = true)]
async fn while_nobody_knows_whether_an_election_was_heard_the_old_leader_does_not_lead_again() {
    let mut bed = Bed::rested().await;
    bed.asks("b", Err(no_answer()));
    for _ in 0..30 {
        bed.pass(1_000).await;
        ["a", "b", "c"].iter().for_each(|at| bed.says(at, Role::Follower, 20));
        bed.nameserver_is_silent();
        assert!(matches!(bed.next(), Do::Look | Do::LookUp));
    }
    // It answers, and shows none: the same is asked for once more. Whichever is heard first elects it.
    bed.nameserver_says();
    assert_eq!(bed.next(), Do::Elect("b".into()));
}

#[tokio::test(start_paused = true)]
async fn another_nameserver_that_shows_no_election_will_not_begin_one() {
    let mut bed = Bed::rested().await;
    bed.asks("b", Err(no_answer()));
    bed.pass(4_000).await;
    bed.nameserver_is_silent();
    assert_eq!(bed.next(), Do::LookUp);
    let said = (Vec::new(), Some(bed.table.clone()));
    bed.known.note_nameserver(Instant::now(), Ok(said), "another");
    bed.says("a", Role::Follower, 20);
    assert!(not_done(bed.leads_again()).contains("is no longer the leading one"));
}

#[tokio::test(start_paused = true)]
async fn nobody_knows_for_ever_and_it_is_said() {
    let mut bed = Bed::rested().await;
    bed.asks("b", Err(no_answer()));
    bed.nameserver_is_silent();
    bed.pass(70_000).await;
    let said = bed.unled();
    assert!(said.contains("it is unknown whether another replica was elected"), "{said}");
}

/// An operation that had come to telling its candidate may have told it.
#[tokio::test(start_paused = true)]
async fn a_candidate_that_leads_although_its_election_failed_follows_before_anybody_else_leads() {
    let mut bed = Bed::rested().await;
    bed.asks("b", Ok(()));
    bed.op(9, OpStatus::Failed, "kUpdateLeaderInfo");
    bed.all_say().await;
    assert_eq!(bed.next(), Do::Look, "it may hear of it yet");
    bed.pass(20).await;
    bed.says("b", Role::Leader, 20);
    assert_eq!(bed.next(), Do::Demote("b".into()));
    bed.known.was_demoted();
    bed.all_say().await;
    assert_eq!(bed.next(), Do::Look);
    bed.pass(1_000).await;
    bed.all_say().await;
    assert_eq!(bed.next(), Do::Elect("b".into()));
}

#[tokio::test(start_paused = true)]
async fn the_old_leaders_tablet_dies_and_the_follower_that_holds_all_leads() {
    let mut bed = Bed::rested().await;
    bed.is_silent("a", CallErrorKind::Unreachable { seen: "refused".to_owned() });
    bed.asks("b", Ok(()));
    // And beyond the time in which it could have led again, too.
    let mut late = Bed::rested().await;
    late.circumstances.may_elect = false;
    late.is_silent("a", no_answer());
    late.pass(4_000).await;
    assert_eq!(late.next(), Do::LeadAgain);
    late.known.was_told_to_lead_again(Err(silence("a", CallErrorKind::Unreachable { seen: "refused".to_owned() })));
    late.circumstances.may_elect = true;
    ["b", "c"].iter().for_each(|at| late.says(at, Role::Follower, 20));
    late.nameserver_says();
    assert_eq!(late.next(), Do::Elect("b".into()));
}

/// Told to lead again, a tablet that hangs may hear it yet.
#[tokio::test(start_paused = true)]
async fn nobody_is_elected_beside_an_old_leader_that_may_lead_again() {
    let mut bed = Bed::rested().await;
    bed.circumstances.may_elect = false;
    bed.is_silent("a", no_answer());
    bed.pass(4_000).await;
    assert_eq!(bed.next(), Do::LeadAgain);
    bed.known.was_told_to_lead_again(Err(silence("a", no_answer())));
    bed.circumstances.may_elect = true;
    for _ in 0..20 {
        bed.pass(1_000).await;
        ["b", "c"].iter().for_each(|at| bed.says(at, Role::Follower, 20));
        bed.nameserver_says();
        bed.is_silent("a", no_answer());
        assert_eq!(bed.next(), Do::LeadAgain);
        bed.known.was_told_to_lead_again(Err(silence("a", no_answer())));
    }
    bed.says("a", Role::Leader, 20);
    assert!(matches!(bed.next(), Do::Over(End::LeadsAgain(_))));
}

#[tokio::test(start_paused = true)]
async fn the_old_leaders_tablet_dies_before_anybody_knows_where_its_log_ends() {
    let mut bed = Bed::stood_down();
    bed.all_say().await;
    let dead = || CallErrorKind::Unreachable { seen: "connection refused".to_owned() };
    bed.is_silent("a", dead());
    bed.pass(4_000).await;
    bed.is_silent("a", dead());
    let said = bed.unled();
    assert!(said.contains("the end of its log is unknown"), "{said}");
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_did_not_hear_that_it_is_to_follow_goes_on_leading() {
    let mut bed = Bed::new();
    bed.known.was_told_to_follow(Instant::now(), None);
    bed.says("a", Role::Leader, 20);
    assert_eq!(bed.next(), Do::Look, "it may hear it yet");
    bed.pass(1_100).await;
    bed.says("a", Role::Leader, 20);
    let Do::Over(End::LeadsAgain(why)) = bed.next() else { panic!("it leads") };
    assert!(not_done(why).contains("did not receive"));
}

#[tokio::test(start_paused = true)]
async fn another_run_that_has_taken_over_brings_it_back() {
    let mut bed = Bed::rested().await;
    bed.circumstances = Circumstances { ending_since: Some(Instant::now()), may_elect: false, taken_over: true };
    assert!(bed.unled().contains("another run has taken over"));
}

#[tokio::test(start_paused = true)]
async fn one_that_leads_on_its_tablet_alone_is_left_to_the_recovery() {
    let mut bed = Bed::rested().await;
    bed.says("c", Role::Leader, 25);
    assert!(bed.unled().contains("c leads shop.orders/0 on its tablet, but the nameserver names a"));
}

#[tokio::test(start_paused = true)]
async fn a_follower_that_is_longer_than_a_leader_found_following_is_left_to_the_recovery() {
    let mut bed = Bed::new();
    bed.all_say().await;
    bed.all_say().await;
    bed.says("c", Role::Follower, 25);
    assert!(bed.unled().contains("c is at offset 25"));
    // It was so before, and the old one led.
    let mut bed = Bed::rested().await;
    bed.says("c", Role::Follower, 25);
    assert!(not_done(bed.leads_again()).contains("c is at offset 25"));
}

#[tokio::test(start_paused = true)]
async fn a_tablet_that_is_to_lead_nothing_is_elected_only_if_it_is_wanted() {
    let mut bed = Bed::rested().await;
    bed.known.barred.insert("c".into());
    bed.says("b", Role::Follower, 19);
    assert_eq!(bed.leads_again(), Why::TooEarly);
    let mut bed = Bed::rested().await;
    bed.known.barred.insert("c".into());
    bed.known.wanted = Some("c".into());
    assert_eq!(bed.next(), Do::Elect("c".into()));
}

#[tokio::test(start_paused = true)]
async fn followers_that_are_silent_are_kept_if_they_were_followers() {
    let mut bed = Bed::rested().await;
    bed.is_silent("c", no_answer());
    let place =
        super::super::super::partition_context::PartitionContext::find(&bed.known.seen, &orders(), Pid(0)).unwrap();
    let call = super::super::super::handover::lead_again(&place, &"a".into()).unwrap();
    assert!(format!("{call:?}").contains("\"b\"") && format!("{call:?}").contains("\"c\""), "{call:?}");
    replica_mut(&mut bed.known.seen, "c").is_alive = false;
    let place =
        super::super::super::partition_context::PartitionContext::find(&bed.known.seen, &orders(), Pid(0)).unwrap();
    let call = super::super::super::handover::lead_again(&place, &"a".into()).unwrap();
    assert!(!format!("{call:?}").contains("\"c\""), "{call:?}");
}
