//! What is written is read back, whole or in part; what is not a record is not taken for one.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::made_up::{Drawer, Short};
use super::*;
use crate::model::{Offset, Pid, Snapshot, Tid};
use crate::recovery::{Before, Load, Memory, Reason};

mod full_disk;

const A: &str = "10.0.0.1:10921";

fn id(pid: u32) -> PartitionId {
    PartitionId { tid: Tid(7), pid: Pid(pid) }
}

fn c() -> ClusterNames {
    ClusterNames::called("c")
}

fn orders() -> TableName {
    TableName { db: "shop".to_owned(), table: "orders".to_owned() }
}

fn begun(at: u64, cluster: &str, all: bool, pids: &[u32]) -> RunHeader {
    let before = |pid: &u32| Before {
        partition: id(*pid),
        endpoint: A.into(),
        alive: true,
        found_alive: true,
        largest_offset: Offset(at),
        terms: 1,
        snapshot_file_missing: false,
    };
    let command = "openmldb-ops recover --all".to_owned();
    let caller = Caller { host: "h".to_owned(), pid: 1, command, process: None, by: By::Person };
    let seen = Snapshot {
        cluster: cluster.to_owned(),
        taken_at_ms: at,
        zone: crate::model::Zone::Alone,
        identity: crate::model::Identity::Cluster,
        auto_failover: true,
        tables: Vec::new(),
        tablets: BTreeMap::new(),
        ops: Vec::new(),
    };
    let before = pids.iter().map(before).collect();
    RunHeader { all, before, ..RunHeader::new(at, &caller, Work::Recovery, "recover".to_owned(), seen) }
}

fn load(endpoint: &str) -> Action {
    Action::LoadTable {
        endpoint: endpoint.into(),
        table: orders(),
        partition: id(0),
        seg_cnt: 8,
        storage: crate::model::StorageMode::Memory,
    }
}

fn with_load(load: Load) -> Memory {
    let mut memory = Memory::default();
    memory.replica_mut(&A.into()).load = load;
    memory
}

fn recorded_run(shelf: &MemoryArchive, run: RunId) -> RecordedRun {
    RecordedRun::read(shelf.read(run).unwrap()).unwrap()
}

fn lines(recorded_run: &RecordedRun) -> Vec<String> {
    let name = |line: &Line| serde_json::to_value(line).unwrap()["line"].as_str().unwrap().to_owned();
    recorded_run.lines.iter().map(name).collect()
}

#[tokio::test(start_paused = true)]
async fn a_record_is_read_back_as_it_was_written() {
    let shelf = MemoryArchive::default();
    let record = Record::begin(&shelf, begun(5, "c", true, &[0])).unwrap();
    let number = record.sending("load_table", Some(id(0)), &load(A), "why");
    record.sync().unwrap();
    tokio::time::advance(std::time::Duration::from_millis(40)).await;
    record.went(number, &Outcome::Applied);
    record.remember(id(0), &with_load(Load::Accepted));
    record.reached(&orders(), id(0), Milestone::Blocked, Some(&Blocked::new(Reason::NoData, "t", "h")));
    record.note("n");
    record.end("partial", true, false, Vec::new()).unwrap();
    let recorded_run = recorded_run(&shelf, record.run());
    assert_eq!(recorded_run.begun, begun(5, "c", true, &[0]));
    assert_eq!(lines(&recorded_run), ["sending", "went", "remembered", "reached", "note", "ended"]);
    assert_eq!(recorded_run.lines[1], Line::Went { at_ms: 40, number: 1, outcome: Outcome::Applied });
    assert_eq!((recorded_run.is_finished(), recorded_run.owed(), recorded_run.unreadable), (false, None, 0));
}

#[tokio::test]
async fn a_call_is_in_the_file_before_it_may_be_sent() {
    let shelf = MemoryArchive::default();
    let record = Record::begin(&shelf, begun(5, "c", true, &[0])).unwrap();
    record.sending("load_table", Some(id(0)), &load(A), "why");
    assert_eq!(lines(&recorded_run(&shelf, record.run())), [""; 0]);
    record.sync().unwrap();
    assert_eq!(lines(&recorded_run(&shelf, record.run())), ["sending"]);
    assert_eq!(record.unanswered(), [OutstandingWork::Call { action: load(A) }]);
}

#[tokio::test]
async fn what_cannot_be_written_is_not_sent() {
    for short in [|| Short { writes: 1, syncs: 9 }, || Short { writes: 9, syncs: 1 }] {
        let record = Record::begin(&Drawer(short), begun(5, "c", true, &[])).unwrap();
        record.sending("load_table", None, &load(A), "");
        assert!(record.sync().is_err());
        assert!(record.sync().is_err(), "once broken, nobody knows what is on disk");
        assert!(record.broken().is_some());
    }
    let none = || Short { writes: 1, syncs: 0 };
    assert!(Record::begin(&Drawer(none), begun(5, "c", true, &[])).is_err(), "a run does not begin without it");
}

#[tokio::test]
async fn a_call_not_heard_of_is_remembered_as_such_until_it_is() {
    let shelf = MemoryArchive::default();
    let record = Record::begin(&shelf, begun(5, "c", true, &[0])).unwrap();
    let number = record.sending("load_table", Some(id(0)), &load(A), "");
    record.remember_unless_heard(number, id(0), &with_load(Load::NotSent), &with_load(Load::InDoubt));
    record.remember(id(0), &with_load(Load::NotSent));
    record.sync().unwrap();
    let remembered = || {
        let left = left_by_runs(&shelf, &c()).unwrap();
        left.partitions[&id(0)].remembered[&A.into()].load.clone()
    };
    assert_eq!(remembered(), Load::InDoubt, "another call's answer says nothing about this one");
    record.went(number, &Outcome::Applied);
    record.remember(id(0), &with_load(Load::Accepted));
    record.sync().unwrap();
    assert_eq!(remembered(), Load::Accepted);
}

#[tokio::test]
async fn a_torn_last_line_is_no_line() {
    let shelf = MemoryArchive::default();
    let record = Record::begin(&shelf, begun(5, "c", true, &[0])).unwrap();
    record.note("first");
    record.note("second");
    record.sync().unwrap();
    let text = shelf.text(record.run()).unwrap();
    let first_line = text.iter().position(|byte| *byte == b'\n').unwrap();
    for length in 0..text.len() {
        let read = RecordedRun::read(&text[..length]);
        match read {
            Ok(recorded_run) => assert!(length >= first_line && recorded_run.lines.len() <= 2),
            Err(RecordedRunError::NotARecord(_)) => assert!(length <= first_line),
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn a_record_of_another_version_is_not_guessed_at() {
    let text = Line::Begun(Box::new(begun(5, "c", true, &[0]))).text().unwrap();
    let old = String::from_utf8(text).unwrap().replace("\"version\":2", "\"version\":3");
    assert!(matches!(RecordedRun::read(old.as_bytes()), Err(RecordedRunError::Version(3))));
    let shelf = MemoryArchive::default();
    shelf.put(RunId { began_ms: 5, number: 0 }, old.into_bytes());
    let left = left_by_runs(&shelf, &c()).unwrap();
    assert_eq!((left.run, left.unusable.len()), (None, 1));
}

/// A shelf with runs that each remember how far loading had come.
struct Runs(MemoryArchive);

impl Runs {
    fn run(&self, at: u64, all: bool, pids: &[u32], load: Load, end: Option<(bool, bool)>) {
        let record = Record::begin(&self.0, begun(at, "c", all, pids)).unwrap();
        for pid in pids {
            record.remember(id(*pid), &with_load(load.clone()));
        }
        record.sync().unwrap();
        if let Some((restored, finished)) = end {
            record.end("verdict", restored, finished, Vec::new()).unwrap();
        }
    }

    /// The newest unfinished run, what auto_failover was, and the loads.
    fn left(&self) -> (Option<u64>, Option<bool>, Vec<(u32, Load)>) {
        let left = left_by_runs(&self.0, &c()).unwrap();
        let load = |partition: &crate::recovery::PriorRun| partition.remembered[&A.into()].load.clone();
        let loads = left.partitions.iter().map(|(id, partition)| (id.pid.0, load(partition))).collect();
        (left.run.map(|run| run.began_ms), left.auto_failover, loads)
    }
}

#[tokio::test]
async fn the_newest_run_that_had_a_partition_in_scope_says_what_became_of_it() {
    let runs = Runs(MemoryArchive::default());
    assert_eq!(runs.left(), (None, None, Vec::new()));
    runs.run(1, true, &[0, 1, 2], Load::Accepted, None);
    assert_eq!(runs.left().0, Some(1));
    runs.run(2, false, &[1], Load::Seen, Some((true, true)));
    let accepted = |pid| (pid, Load::Accepted);
    assert_eq!(runs.left(), (Some(1), None, vec![accepted(0), accepted(2)]), "1 is back, the others are not");
    runs.run(3, false, &[2], Load::Vanished, Some((false, false)));
    assert_eq!(runs.left(), (Some(3), Some(true), vec![accepted(0), (2, Load::Vanished)]));
    runs.run(4, true, &[0, 1, 2], Load::Loaded, Some((true, true)));
    assert_eq!(runs.left(), (None, None, Vec::new()), "whatever was left is settled");
}

#[tokio::test]
async fn auto_failover_is_owed_by_the_newest_run_only() {
    let runs = Runs(MemoryArchive::default());
    runs.run(1, true, &[0], Load::Accepted, None);
    assert_eq!(runs.left().1, Some(true));
    runs.run(2, true, &[0], Load::Accepted, Some((true, false)));
    assert_eq!(runs.left().1, None, "it was restored; somebody may have switched it off since");
}

impl Runs {
    /// Other work: it had auto_failover like this, says what it sent, and ended unless it was killed.
    fn other(&self, at: u64, work: Work, auto_failover: bool, sent: &[(Action, Outcome)], end: Option<bool>) {
        let begun = RunHeader { work: Some(work), auto_failover, ..begun(at, "c", false, &[]) };
        let record = Record::begin(&self.0, begun).unwrap();
        for (action, outcome) in sent {
            let number = record.sending("step", None, action, "it was asked for");
            record.sync().unwrap();
            record.went(number, outcome);
        }
        record.sync().unwrap();
        if let Some(restored) = end {
            record.end("ended", restored, restored, Vec::new()).unwrap();
        }
    }

    fn all_left(&self) -> UnfinishedWork {
        left_by_runs(&self.0, &c()).unwrap()
    }
}

fn set(on: bool) -> Action {
    Action::SetAutoFailover { on }
}

fn refused() -> Outcome {
    Outcome::Refused { code: 304, error: "no".to_owned() }
}

#[tokio::test]
async fn a_run_finds_its_record_whatever_was_written_in_between() {
    let runs = Runs(MemoryArchive::default());
    let plan: crate::run::PlanId = "0123456789abcdef".parse().unwrap();
    let first = RunHeader { plan: Some(plan.clone()), ..begun(1, "c", true, &[0]) };
    let record = Record::begin(&runs.0, first).unwrap();
    record.remember(id(0), &with_load(Load::Accepted));
    record.sync().unwrap();
    let before = runs.all_left();
    assert_eq!((before.auto_failover, before.owed_by), (Some(true), Some(record.run())));
    runs.other(2, Work::FailoverRestore, true, &[(set(true), Outcome::Applied)], Some(true));
    runs.other(3, Work::Reconfiguration, true, &[(set(false), Outcome::Applied)], Some(true));
    runs.other(4, Work::Reconfiguration, true, &[], None);
    runs.other(5, Work::Step, false, &[(load(A), Outcome::Applied)], Some(true));
    let left = runs.all_left();
    assert_eq!((left.run, &left.ended, &left.place), (Some(record.run()), &None, &before.place));
    assert_eq!((&left.plan, &left.partitions), (&Some(plan), &before.partitions));
    let at = |began_ms| RunId { began_ms, number: 0 };
    assert_eq!(left.known, (1..=5).map(at).collect(), "none of them is another host's");
    assert_eq!((left.auto_failover, left.owed_by), (Some(true), Some(at(4))), "by the one that was killed");
}

#[tokio::test]
async fn a_record_that_a_later_recovery_has_settled_is_here_all_the_same() {
    let runs = Runs(MemoryArchive::default());
    runs.run(1, true, &[0], Load::Accepted, None);
    runs.run(2, true, &[0], Load::Loaded, Some((true, true)));
    let (left, at) = (runs.all_left(), |began_ms| RunId { began_ms, number: 0 });
    assert_eq!((left.run, left.partitions.len()), (None, 0));
    assert_eq!(
        left.known,
        [at(1), at(2)].into(),
        "its note may still be in a ZooKeeper that the later one did not know of"
    );
}

#[tokio::test]
async fn a_step_takes_over_nothing_that_is_owed_unless_it_sets_auto_failover_itself() {
    let runs = Runs(MemoryArchive::default());
    runs.run(1, true, &[0], Load::Accepted, None);
    let owed = |runs: &Runs| runs.all_left().auto_failover;
    runs.other(2, Work::Step, false, &[(load(A), Outcome::Applied)], Some(true));
    assert_eq!(owed(&runs), Some(true), "it was about something else");
    runs.other(3, Work::Step, false, &[(set(true), refused())], Some(true));
    assert_eq!(owed(&runs), Some(true), "nothing came of it");
    runs.other(4, Work::Step, false, &[(set(false), Outcome::Applied)], Some(true));
    assert_eq!(owed(&runs), None, "somebody has decided");
}

#[tokio::test]
async fn the_newest_change_of_auto_failover_is_told() {
    let runs = Runs(MemoryArchive::default());
    assert_eq!(runs.all_left().failover_set, None);
    let newest = |runs: &Runs| runs.all_left().failover_set.map(|set| (set.run.began_ms, set.on, set.work));
    runs.other(2, Work::Step, true, &[(set(false), Outcome::Applied)], Some(true));
    runs.other(3, Work::Step, false, &[(set(true), refused())], Some(true));
    runs.other(4, Work::Step, false, &[(load(A), Outcome::Applied)], Some(true));
    assert_eq!(newest(&runs), Some((2, false, Work::Step)));
    let sent = [(set(false), Outcome::Applied), (set(true), Outcome::Unknown("late".to_owned()))];
    runs.other(5, Work::Recovery, true, &sent, Some(true));
    assert_eq!(newest(&runs), Some((5, true, Work::Recovery)));
}

#[tokio::test]
async fn runs_on_other_clusters_are_others() {
    let shelf = MemoryArchive::default();
    Record::begin(&shelf, begun(5, "other", true, &[0])).unwrap();
    assert_eq!(left_by_runs(&shelf, &c()).unwrap(), UnfinishedWork::default());
}

#[tokio::test]
async fn two_runs_that_begin_in_the_same_moment_have_records_of_their_own() {
    let dir = std::env::temp_dir().join(format!("openmldb-ops-record-{}", std::process::id()));
    let directory = Directory(dir.clone());
    let first = Record::begin(&directory, begun(5, "c", true, &[0])).unwrap();
    let second = Record::begin(&directory, begun(5, "c", true, &[0])).unwrap();
    assert_eq!(directory.runs().unwrap(), [first.run(), second.run()]);
    assert_eq!(second.run(), RunId { began_ms: 5, number: 1 });
    assert_eq!(RecordedRun::read(directory.read(second.run()).unwrap()).unwrap().begun.run, second.run());
    std::fs::write(dir.join("run-x.jsonl"), "").unwrap();
    std::fs::write(dir.join("notes.txt"), "").unwrap();
    assert_eq!(directory.runs().unwrap().len(), 2);
    std::fs::remove_dir_all(&dir).unwrap();
    assert_eq!(directory.runs().unwrap(), [], "no directory, no records");
}

fn whole_record() -> Vec<u8> {
    let shelf = MemoryArchive::default();
    let record = Record::begin(&shelf, begun(5, "c", true, &[0, 1])).unwrap();
    let number = record.sending("load_table", Some(id(0)), &load(A), "why");
    record.remember_unless_heard(number, id(0), &Memory::default(), &with_load(Load::Vanished));
    record.went(number, &Outcome::Unknown("lost".to_owned()));
    record.remember(id(0), &with_load(Load::Refused("131".to_owned())));
    record.reached(&orders(), id(0), Milestone::Redundant, None);
    record.end("recovered", true, true, Vec::new()).unwrap();
    shelf.text(record.run()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever stands in a file, reading it ends with a story or a sentence.
    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
        let _ = RecordedRun::read(&bytes[..]);
    }

    /// The same of a record in which some bytes were changed, removed or doubled; and what it leaves can be asked for.
    #[test]
    fn a_damaged_record_is_read_without_a_panic(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 1..20)
    ) {
        let mut text = whole_record();
        for (at, byte, how) in edits {
            let at = at.index(text.len());
            match how {
                0 => text[at] = byte,
                1 => { text.remove(at); }
                _ => text.insert(at, byte),
            }
        }
        let shelf = MemoryArchive::default();
        shelf.put(RunId { began_ms: 5, number: 0 }, text);
        prop_assert!(left_by_runs(&shelf, &c()).is_ok());
    }
}
