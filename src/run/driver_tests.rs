//! What a driver makes of news: of a tablet that comes back, of what the nameserver thinks of it, of what others change; and for whom
//! it stays open.
#![allow(clippy::panic)]

use std::cmp::Reverse;

use super::super::lane::LoadRank;
use super::super::made_up::{ID, driver_of, orders, seen, tablets};
use super::super::partition_task::End;
use super::*;
use crate::model::{
    Action, Directory, Offset, Op, OpId, OpKind, OpStatus, Partition, Pid, Replica, StorageMode, TableName,
    TabletState, Term, TermStart,
};
use crate::recovery::{Blocked, Intent, Load, Reason};

const OPEN_FOR: Duration = Duration::from_secs(300);

/// A driver of [`seen`], whose partition was left alone for that reason.
fn left_alone_for(reason: Reason) -> Driver {
    let mut driver = driver_of(seen(), OPEN_FOR);
    assert!(!driver.task().healthy_before && driver.task().serves);
    driver.leave_alone(reason);
    driver
}

impl Driver {
    fn task(&mut self) -> &mut PartitionTask {
        self.partitions.get_mut(&ID).unwrap()
    }

    fn is_taken_up(&mut self) -> bool {
        self.task().is_open()
    }

    fn leave_alone(&mut self, reason: Reason) {
        self.task().end(End::Blocked(Blocked::new(reason, "of a test", "")), Duration::ZERO);
        self.open -= 1;
    }

    /// What was asked of the replica on `b` was refused so often.
    fn refused(&mut self) -> &mut u32 {
        &mut self.task().memory.replica_mut(&"b".into()).refusals
    }

    /// `b` is away, and answers again, with nothing loaded.
    fn loses_b_for_a_while(&mut self) {
        let b = Endpoint::from("b");
        self.snapshot.tablets.get_mut(&b).unwrap().held = Seen::Failed("connection refused".to_owned());
        self.now += 1;
        let began = self.now;
        self.note_returned(began, &b, (Seen::Known(BTreeMap::new()), BTreeMap::from([(ID, Probes::UNASKED)])));
    }

    /// The nameserver is looked at.
    fn hears(&mut self, tables: Vec<Table>, ops: Vec<Op>, registrations: Vec<Registration>) {
        self.now += 1;
        let began = self.now;
        self.note_tables(began, (tables, ops, registrations, None));
    }

    fn stays_open_for(&self) -> Vec<(String, usize)> {
        self.missing().into_iter().map(|(at, partitions)| (at.to_string(), partitions.len())).collect()
    }
}

/// A tablet that goes away on and on may be brought down by what it is asked to do.
#[tokio::test(start_paused = true)]
async fn what_was_tried_in_vain_is_tried_again_when_its_tablet_comes_back_a_bounded_number_of_times() {
    let mut driver = left_alone_for(Reason::Refused);
    let mut times = 0;
    loop {
        *driver.refused() = 5;
        driver.loses_b_for_a_while();
        let is_taken_up = driver.is_taken_up();
        assert_eq!(
            *driver.refused(),
            if is_taken_up { 0 } else { 5 },
            "what it refused is forgotten, after {times} times"
        );
        if !is_taken_up || times == 100 {
            break;
        }
        times += 1;
        driver.leave_alone(Reason::Refused);
    }
    assert_eq!(times, 5);
}

/// Its disk may not have been there before.
#[tokio::test(start_paused = true)]
async fn whether_there_is_a_directory_is_asked_again_once_a_tablet_has_been_away() {
    let mut driver = left_alone_for(Reason::Refused);
    let (b, began) = (Endpoint::from("b"), driver.now);
    let missing = Probes { directory: Seen::Known(Directory::Missing), ..Probes::UNASKED };
    driver.snapshot.tablets.get_mut(&b).unwrap().probes.insert(ID, missing);
    let directory = |driver: &Driver| driver.snapshot.tablets[&b].probes[&ID].directory.clone();
    driver.note_answer(began, &b, Seen::Failed("connection refused".to_owned()));
    assert_eq!(directory(&driver), Seen::Known(Directory::Missing), "nobody could be asked");
    let replica = driver.task().memory.replica_mut(&b);
    (replica.load, replica.told_schema) = (Load::Refused("131 fail to init table".to_owned()), true);
    driver.note_answer(began, &b, Seen::Known(BTreeMap::new()));
    assert_eq!(directory(&driver), Seen::Unasked);
    let replica = driver.task().memory.replica(&b);
    assert_eq!((&replica.load, replica.told_schema), (&Load::NotSent, false), "what it refused was about another disk");
}

/// A load says what was there, and a disk may be mounted while a partition waits for its turn.
#[tokio::test(start_paused = true)]
async fn whether_there_is_anything_to_load_is_asked_again_after_a_load_and_after_a_turn() {
    let mut driver = left_alone_for(Reason::Refused);
    let (b, a_table) = (Endpoint::from("b"), TableName { db: "shop".to_owned(), table: "orders".to_owned() });
    let of = |directory| Probes { directory: Seen::Known(directory), ..Probes::UNASKED };
    let load = Action::LoadTable {
        endpoint: b.clone(),
        table: a_table,
        partition: ID,
        seg_cnt: 8,
        storage: StorageMode::Memory,
    };
    let mut loaded = of(Directory::Bare);
    stale::forget(&mut loaded, &b, &load);
    assert_eq!(loaded.directory, Seen::Unasked);

    for (then, now) in [(Directory::Missing, Seen::Unasked), (Directory::InPlace, Seen::Known(Directory::InPlace))] {
        driver.snapshot.tablets.get_mut(&b).unwrap().probes.insert(ID, of(then));
        driver.look_again(vec![ID]);
        assert_eq!(driver.snapshot.tablets[&b].probes[&ID].directory, now, "what is there decides nothing by itself");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_left_alone_is_taken_up_again_when_the_nameserver_thinks_otherwise_of_its_tablet() {
    use TabletState::{Healthy, Offline};
    for (before, now, serves, is_taken_up) in [
        (Offline, Healthy, true, true),
        (Offline, Healthy, false, true),
        // Another one may lead.
        (Healthy, Offline, false, true),
        (Healthy, Offline, true, false),
        (Offline, Offline, false, false),
    ] {
        let mut driver = left_alone_for(Reason::NotRedundant);
        driver.snapshot.tablets.get_mut(&Endpoint::from("b")).unwrap().state = Some(before);
        driver.task().serves = serves;
        *driver.refused() = 5;
        let registration = Registration { endpoint: "b".into(), state: now, unchanged_ms: None, real_endpoint: None };
        driver.hears(seen().tables, Vec::new(), vec![registration]);
        assert_eq!(driver.is_taken_up(), is_taken_up, "{before:?} and now {now:?}, serves: {serves}");
        let is_healthy_now = before != now && now == Healthy;
        assert_eq!(*driver.refused() == 0, is_healthy_now, "{before:?} and now {now:?}: it knows the tablet");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_left_alone_is_taken_up_again_when_its_flags_its_terms_or_its_operations_change() {
    fn op(status: OpStatus) -> Op {
        let (id, kind, task) = (OpId(3), OpKind::RecoverTable, "-".to_owned());
        Op { id, kind, status, table: orders(), pid: ID.pid, task }
    }
    type Change = fn(&mut Partition, &mut Vec<Op>);
    let changes: [(&str, Change, bool); 8] = [
        ("nothing", |_, _| {}, false),
        ("an offset", |now, _| now.replicas[0].offset = Some(Offset(30)), false),
        ("an operation that has ended", |_, ops| ops.push(op(OpStatus::Done)), false),
        ("an operation under way", |_, ops| ops.push(op(OpStatus::Doing)), true),
        ("alive", |now, _| now.replicas[1].is_alive = true, true),
        ("leader", |now, _| now.replicas[1].is_leader = true, true),
        ("a term", |now, _| now.terms.push(TermStart { term: Term(2), start: Offset(21) }), true),
        (
            "a replica",
            |now, _| {
                let (is_leader, is_alive) = (false, true);
                now.replicas.push(Replica { endpoint: "c".into(), is_leader, is_alive, offset: None });
            },
            true,
        ),
    ];
    for (what, change, is_taken_up) in changes {
        let mut driver = left_alone_for(Reason::Refused);
        let (mut tables, mut ops) = (seen().tables, Vec::new());
        change(&mut tables[0].partitions[0], &mut ops);
        driver.hears(tables, ops, Vec::new());
        assert_eq!(driver.is_taken_up(), is_taken_up, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_stays_open_for_a_tablet_only_while_something_of_it_is_down_or_was_worked_on() {
    let mut driver = left_alone_for(Reason::NotRedundant);
    assert_eq!(driver.stays_open_for(), [], "it serves, and nothing was done to it");
    let for_b = [("b".to_owned(), 1)];
    driver.task().acted_on = true;
    assert_eq!(driver.stays_open_for(), for_b);
    (driver.task().acted_on, driver.task().serves) = (false, false);
    assert_eq!(driver.stays_open_for(), for_b, "it is down");
    driver.task().healthy_before = true;
    assert_eq!(driver.stays_open_for(), [], "it is none of the run's");
    driver.task().healthy_before = false;
    tokio::time::advance(OPEN_FOR).await;
    assert_eq!(driver.stays_open_for(), [], "the time is over");
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_tablet_that_was_said_to_be_gone_and_always_for_one_that_is_taken_for_lost() {
    let mut driver = left_alone_for(Reason::OutOfReach);
    driver.settings.awaiting.always = tablets(["b"]);
    assert_eq!(driver.stays_open_for(), [("b".to_owned(), 0)], "others are to stand in for it");
    driver.settings.awaiting.gone = tablets(["b"]);
    driver.task().serves = false;
    assert_eq!(driver.stays_open_for(), []);
    driver.settings.awaiting.gone = tablets(["c"]);
    assert_eq!(driver.stays_open_for(), [("b".to_owned(), 1)]);
}

/// On a big cluster a look at everything is dear: it is due after a millisecond for each line, however much moves meanwhile.
#[tokio::test(start_paused = true)]
async fn what_moves_hurries_looks_but_not_looks_at_everything() {
    let mut driver = left_alone_for(Reason::Refused);
    driver.placed.insert("b".into(), vec![ID; 10_000]);
    for second in 0..=11 {
        driver.hurry();
        driver.next_look.due = Instant::now();
        driver.look_if_due();
        // Nobody is to be called.
        driver.tasks.abort_all();
        let is_due = [0, 11].contains(&second);
        assert_eq!(std::mem::take(&mut driver.looking_at_nameserver), is_due, "after {second} s");
        tokio::time::advance(Duration::from_secs(1)).await;
    }
}

/// What comes after it in the nameserver's lane would never be sent.
#[tokio::test(start_paused = true)]
async fn a_partition_whose_table_was_dropped_keeps_no_place_in_the_nameservers_lane() {
    let mut driver = driver_of(seen(), OPEN_FOR);
    driver.lanes = Lanes::new(Widths { ops: 1, ..Widths::default() });
    let next = PartitionId { pid: Pid(2), ..ID };
    for id in [ID, next] {
        let action = Action::RecoverTable { table: orders(), pid: id.pid, endpoint: "b".into() };
        let rank = LoadRank { follower: true, entries: Reverse(0) };
        driver.lanes.queue(
            (id, Intent { step: "recover_table", action, why: String::new(), resends: true }),
            rank,
            false,
        );
    }
    let sent = |driver: &mut Driver| driver.lanes.take(|_| 1).concat().iter().map(|(id, _)| *id).collect::<Vec<_>>();
    assert_eq!((sent(&mut driver), sent(&mut driver)), (vec![ID], Vec::new()));
    driver.hears(Vec::new(), Vec::new(), Vec::new());
    driver.decide_all();
    assert!(!driver.is_taken_up(), "it is gone");
    assert_eq!(sent(&mut driver), [next]);
}
