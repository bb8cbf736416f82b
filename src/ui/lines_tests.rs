//! Each event as people read it.

use super::*;
use crate::model::{Endpoint, Offset, Pid, StorageMode, Table};
use crate::recovery::{Blocked, GivenUp, Reason};

fn orders() -> TableName {
    TableName { db: "shop".to_owned(), table: "orders".to_owned() }
}

fn id() -> PartitionId {
    PartitionId { tid: Tid(7), pid: Pid(1) }
}

fn names() -> Names {
    Names { tables: [(Tid(7), orders())].into_iter().collect() }
}

fn told(event: &Event, detail: Detail) -> Option<String> {
    line(event, &names(), detail, Paint::Plain)
}

fn usual(event: &Event) -> String {
    told(event, Detail::Usual).unwrap()
}

fn drop_it() -> Action {
    Action::DropTable { endpoint: Endpoint::from("a:1"), partition: id() }
}

#[test]
fn calls_are_told_only_if_asked_for_and_with_the_partition_s_name() {
    let step = "recover_table";
    let event = Event::Action { step, partition: Some(id()), action: drop_it(), why: "it lacks rows".to_owned() };
    assert_eq!(told(&event, Detail::Usual), None);
    let verbose = told(&event, Detail::Verbose).unwrap();
    assert_eq!(verbose, "shop.orders/1: recover_table: droptable 7 1 on a:1 (it lacks rows)");
    let unnamed = line(&event, &Names::default(), Detail::Verbose, Paint::Plain).unwrap();
    assert!(unnamed.starts_with("7_1: "), "{unnamed}");
}

#[test]
fn failed_calls_are_told_always() {
    let (step, action, error) = ("settle_ops", drop_it(), "code 312\nno such op".to_owned());
    let event = Event::ActionFailed { step, partition: None, action, error };
    assert_eq!(usual(&event), "cluster: settle_ops: droptable 7 1 on a:1 failed: code 312 no such op");
}

#[test]
fn milestones_carry_their_time_and_the_reason_where_it_ends() {
    let at = |state, blocked| Event::Partition { table: orders(), pid: 1, state, after_ms: 2345, blocked };
    assert_eq!(usual(&at(Milestone::Serving, None)), "shop.orders/1: serving after 2.3 s");
    assert_eq!(usual(&at(Milestone::Redundant, None)), "shop.orders/1: redundant after 2.3 s");
    let blocked = Blocked::new(Reason::NoData, "no replica could be loaded", "look in the recycle bin");
    let expected = "shop.orders/1: blocked after 2.3 s, no_data: no replica could be loaded; look in the recycle bin";
    assert_eq!(usual(&at(Milestone::Blocked, Some(blocked))), expected);
}

#[test]
fn a_chosen_leader_comes_with_its_reason_and_with_what_is_given_up() {
    let given_up = GivenUp {
        endpoint: Endpoint::from("b:1"),
        entries: 1,
        at_most: true,
        term: None,
        directory: "7_1_<time> in the tablet's recycle bin".to_owned(),
    };
    let choice = Box::new(Choice {
        leader: Endpoint::from("a:1"),
        way: PromotionMethod::ChangeRole,
        offset: Some(Offset(8)),
        why: "leader flag, offset 8, 8 rows".to_owned(),
        rejected: Vec::new(),
        proven: Vec::new(),
        doubted: Vec::new(),
        unread: Vec::new(),
        given_up: vec![given_up],
        out_of_reach: Vec::new(),
        seen_no_longer: Vec::new(),
    });
    insta::assert_snapshot!(usual(&Event::LeaderChosen { table: orders(), pid: 1, choice }), @"shop.orders/1: a:1 leads: leader flag, offset 8, 8 rows; given up: b:1 loses at most 1 entry; its directory goes to 7_1_<time> in the tablet's recycle bin");
}

#[test]
fn what_is_found_and_noted() {
    let observed = Event::Observed { partitions: 12, replicas: 22, healthy: 1, auto_failover: true };
    assert_eq!(usual(&observed), "12 partitions with 22 replicas: 1 healthy, 11 to bring back; auto_failover is on");
    let note = Event::Note { text: "an earlier run did not finish".to_owned() };
    assert_eq!(usual(&note), "note: an earlier run did not finish");
}

#[test]
fn names_come_from_a_snapshot() {
    let name = orders();
    let table = Table {
        name,
        tid: Tid(7),
        storage: StorageMode::Memory,
        has_ttl: false,
        replica_num: None,
        base_table: None,
        partitions: vec![],
    };
    let snapshot = Snapshot {
        cluster: String::new(),
        taken_at_ms: 0,
        zone: crate::model::Zone::Alone,
        identity: crate::model::Identity::Cluster,
        auto_failover: true,
        tables: vec![table],
        tablets: BTreeMap::new(),
        ops: Vec::new(),
    };
    assert_eq!(Names::of(&snapshot).partition(Some(id())), "shop.orders/1");
}

#[test]
fn what_is_waited_for_is_said_with_whom_where_and_for_how_long() {
    let at = |tablets: &[&str]| tablets.iter().map(|at| Endpoint::from(*at)).collect::<Vec<_>>();
    let waiting = |what, endpoints, partitions, for_ms, at_most_ms| {
        let partition = Some(Named { table: orders(), pid: 1 });
        usual(&Event::Waiting { what, endpoints, partitions, partition, for_ms, at_most_ms })
    };
    let (minutes, hours) = (|minutes: u64| 60_000 * minutes, Some(7_200_000));
    let said = [
        waiting(Awaited::Load, at(&["a:1"]), 1, minutes(4), hours),
        waiting(Awaited::Load, at(&["a:1", "b:1", "c:1", "d:1", "e:1", "f:1"]), 40, minutes(4), hours),
        waiting(Awaited::Load, at(&["a:1"]), 1, minutes(16), hours),
        waiting(Awaited::Leaders, vec![], 12, 31_000, Some(180_000)),
        waiting(Awaited::SystemTables, vec![], 1, 31_000, Some(180_000)),
        waiting(Awaited::BaseTable, vec![], 1, minutes(9), None),
        waiting(Awaited::Call, at(&["a:1"]), 3, minutes(4), None),
        waiting(Awaited::Call, vec![], 1, minutes(4), None),
        waiting(Awaited::Appear, at(&["a:1"]), 1, minutes(2), hours),
        waiting(Awaited::Snapshot, at(&["a:1"]), 1, minutes(2), None),
        waiting(Awaited::Uptime, Vec::new(), 1, 31_000, Some(60_000)),
        waiting(Awaited::Op, vec![], 2, minutes(31), hours),
        waiting(Awaited::CatchUp, at(&["a:1"]), 1, minutes(2), None),
        waiting(Awaited::Rows, at(&["a:1"]), 1, minutes(2), None),
        waiting(Awaited::Drop, at(&["a:1"]), 1, minutes(2), None),
        waiting(Awaited::Answer, at(&["a:1"]), 1, 31_000, None),
        waiting(Awaited::Registration, at(&["a:1"]), 1, 31_000, None),
        waiting(Awaited::Flags, vec![], 1, 31_000, None),
    ];
    insta::assert_snapshot!(said.join("\n"), @r"
    shop.orders/1 loading on a:1 for 4 min (at most 2 h)
    shop.orders/1 loading on a:1, b:1, c:1, d:1 and 2 more for 4 min (at most 2 h); so are 39 more
    shop.orders/1 loading on a:1 for 16 min (at most 2 h); if its tablet's log repeats `no log part matched`, it never ends
    shop.orders/1 waiting for the leaders of other partitions, which must come first, for 31 s (at most 3 min); so are 11 more
    shop.orders/1 waiting for OpenMLDB's own tables, which must come first, for 31 s (at most 3 min)
    shop.orders/1 waiting for its base table's leader for 9 min
    shop.orders/1 waiting for other loads on a:1 for 4 min; so are 2 more
    shop.orders/1 waiting for a call to be sent or answered for 4 min
    shop.orders/1 waiting to appear on a:1 for 2 min (at most 2 h)
    shop.orders/1 waiting for a snapshot on a:1 for 2 min
    shop.orders/1 waiting for its tablets to have been up for a minute, before they are asked for snapshots, for 31 s (at most 60 s)
    shop.orders/1 waiting for the nameserver's operation for 31 min (at most 2 h); so is 1 more
    shop.orders/1 catching up on a:1 for 2 min
    shop.orders/1 waiting for its rows on a:1 to agree with its leader's for 2 min
    shop.orders/1 waiting for its replica on a:1 to be dropped for 2 min
    shop.orders/1 waiting for a:1 to answer for 31 s
    shop.orders/1 waiting for the nameserver to consider a:1 healthy for 31 s
    shop.orders/1 waiting for its flags to change for 31 s
    ");
}

#[test]
fn for_whom_the_run_stays_open_is_said_with_what_can_be_done() {
    let missing = |tablets: &[&str], partitions, for_ms| {
        let endpoints = tablets.iter().map(|at| Endpoint::from(*at)).collect();
        let what = Awaited::Tablet;
        usual(&Event::Waiting { what, endpoints, partitions, partition: None, for_ms, at_most_ms: Some(300_000) })
    };
    let said = [missing(&["a:1"], 1, 0), missing(&["a:1", "b:1"], 110, 61_000), missing(&["a:1"], 0, 125_000)];
    insta::assert_snapshot!(said.join("\n"), @r"
    waiting for a:1 (0 s of 5 min): start it if it is down; 1 partition has a replica there
    waiting for a:1, b:1 (61 s of 5 min): start them if they are down; 110 partitions have replicas there
    waiting for a:1 (2 min of 5 min): start it if it is down
    ");
}
