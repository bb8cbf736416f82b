//! A page is whole, needs nothing else, and shows text as text, whatever a record says.

use super::*;
use crate::model::{Action, Endpoint, Partition, PartitionId, Replica, Snapshot, StorageMode, Table, TableName, Tid};
use crate::recovery::{Blocked, Choice, GivenUp, Load, Outcome, PersistedMemory, PromotionMethod, Reason, Rejected};
use crate::run::{Caller, Milestone, RunHeader, RunId};

/// What somebody might have called a database, in the hope that a page runs it.
const EVIL: &str = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&";

fn at(nth: usize) -> Endpoint {
    Endpoint::from(format!("10.0.0.{nth}:10921"))
}

fn id(pid: u32) -> PartitionId {
    PartitionId { tid: Tid(7), pid: Pid(pid) }
}

fn name() -> TableName {
    TableName { db: EVIL.to_owned(), table: "orders".to_owned() }
}

/// A run that loads three replicas of each of so many partitions and has one lead; the last partition is left alone.
fn recorded_run(partitions: u32) -> RecordedRun {
    let replica = |nth| Replica { endpoint: at(nth), is_leader: nth == 0, is_alive: true, offset: None };
    let partition = |pid| Partition {
        pid: Pid(pid),
        terms: Vec::new(),
        replicas: (0..3).map(replica).collect(),
        remotes: Vec::new(),
    };
    let table = Table {
        name: name(),
        tid: Tid(7),
        storage: StorageMode::Memory,
        has_ttl: false,
        replica_num: None,
        base_table: None,
        partitions: (0..partitions).map(partition).collect(),
    };
    let snapshot = Snapshot {
        cluster: EVIL.to_owned(),
        taken_at_ms: 0,
        zone: crate::model::Zone::Alone,
        identity: crate::model::Identity::Cluster,
        auto_failover: true,
        tables: vec![table],
        tablets: std::collections::BTreeMap::new(),
        ops: Vec::new(),
    };
    let caller = Caller { host: "ops1".to_owned(), command: format!("openmldb-ops {EVIL}"), ..Caller::default() };
    let mut begun = RunHeader::new(1_795_341_600_000, &caller, Work::Recovery, "recover".to_owned(), snapshot);
    begun.run = RunId { began_ms: 1_795_341_600_000, number: 0 };
    let mut lines = Vec::new();
    let mut number = 0;
    for pid in 0..partitions {
        let at_ms = u64::from(pid);
        for nth in 0..3 {
            number += 1;
            let action = Action::LoadTable {
                endpoint: at(nth),
                table: name(),
                partition: id(pid),
                seg_cnt: 8,
                storage: StorageMode::Memory,
            };
            let (step, why) = ("load_table".to_owned(), "its offset is known only once it is loaded".to_owned());
            lines.push(Line::Sending { at_ms, number, step, partition: Some(id(pid)), action, why });
            lines.push(Line::Went { at_ms: at_ms + 5, number, outcome: Outcome::Applied });
            let memory = PersistedMemory { load: Load::Loaded, ..PersistedMemory::default() };
            lines.push(Line::Remembered { partition: id(pid), endpoint: at(nth), memory });
        }
        lines.push(Line::Chosen { at_ms: at_ms + 6, table: name(), partition: id(pid), choice: Box::new(choice()) });
        let reached =
            |state, blocked| Line::Reached { at_ms: at_ms + 9, table: name(), partition: id(pid), state, blocked };
        lines.push(reached(Milestone::Serving, None));
        lines.push(match pid + 1 < partitions {
            true => reached(Milestone::Redundant, None),
            false => reached(Milestone::Blocked, Some(Blocked::new(Reason::NotRedundant, EVIL, "look at it"))),
        });
    }
    lines.push(Line::Ended {
        at_ms: u64::from(partitions) + 20,
        verdict: "partial".to_owned(),
        restored: true,
        held_for: Vec::new(),
        finished: false,
        still_going_on: Vec::new(),
    });
    lines.push(Line::Exited { at_ms: 1_795_341_700_000, code: 4 });
    RecordedRun { begun, lines, unreadable: 0 }
}

fn choice() -> Choice {
    let (directory, why) = ("7_1_<time> in the tablet's recycle bin".to_owned(), "the longest".to_owned());
    Choice {
        leader: at(0),
        way: PromotionMethod::ChangeRole,
        offset: None,
        why,
        rejected: vec![Rejected { endpoint: at(1), why: EVIL.to_owned() }],
        proven: Vec::new(),
        doubted: Vec::new(),
        unread: Vec::new(),
        given_up: vec![GivenUp { endpoint: at(2), entries: 8, at_most: false, term: None, directory }],
        out_of_reach: Vec::new(),
        seen_no_longer: Vec::new(),
    }
}

#[test]
fn the_verdict_comes_first_and_what_was_lost_and_left_is_there_without_a_script() {
    let page = page(&recorded_run(3), RunState::Ended);
    let body = &page[page.find("<main>").unwrap()..page.find("<script").unwrap()];
    let place = |text: &str| body.find(text).unwrap_or_else(|| panic!("{text} is not in\n{body}"));
    let verdict = place("Partial: all 3 partitions that it brought back serve, 1 of them without all of their copies");
    assert!(verdict < place("<dl>") && place("Left alone: 1 partition") < place("Given up, and where it lies"));
    for told in [
        "not_redundant",
        "look at it",
        "loses 8 entries",
        "7_1_&lt;time&gt; in the tablet&#39;s recycle bin",
        "<dd>4</dd>",
    ] {
        place(told);
    }
}

#[test]
fn text_is_text_whatever_it_says() {
    let page = page(&recorded_run(3), RunState::Ended);
    assert!(!page.contains("<img") && !page.contains("alert(1)</script>"), "a name has become an element");
    // The data's element, and the script's.
    assert_eq!((page.matches("<script").count(), page.matches("</script>").count()), (2, 2));
}

#[test]
fn nothing_is_fetched_from_anywhere() {
    let page = page(&recorded_run(1), RunState::Ended).replace(&escaped(EVIL), "");
    let data = page.find("<script type=\"application/json\"").unwrap();
    let (before, after) = page.split_at(data);
    let script = &after[after.find("</script>").unwrap()..];
    for text in [before, script] {
        for fetches in
            ["http:", "https:", "src=", "href=", "url(", "@import", "fetch(", "import(", "XMLHttp", "innerHTML"]
        {
            assert!(!text.contains(fetches), "{fetches}");
        }
    }
    assert!(before.contains("default-src 'none'"));
}

#[test]
fn ten_thousand_partitions_are_a_page_of_a_few_megabytes() {
    let small = page(&recorded_run(10), RunState::Ended).len();
    let page = page(&recorded_run(10_000), RunState::Ended);
    assert!(page.len() < 8 << 20, "{} bytes", page.len());
    let each = (page.len() - small) / 9_990;
    assert!(each < 400, "{each} bytes a partition");
}

#[test]
fn a_timeline_has_what_was_under_way_at_each_tablet() {
    let timeline = timeline::Timeline::of(&recorded_run(3));
    assert_eq!((timeline.took_ms, timeline.bucket_ms, timeline.buckets), (23, 1, 23));
    // Loads of three partitions, each five milliseconds long, one millisecond after the other.
    assert_eq!(timeline.lanes[&at(1)][0], [1, 1, 1, 2, 4, 3, 1, 2, 1, 1, 15, 0]);
    assert_eq!(timeline.lanes[&at(1)][1], [23, 0]);
}
