//! Suspect: replicas whose offset promises more rows than they hold.

use super::builder::{Built, a_partition};
use super::rows::{after, read};
use crate::recovery::{Lack, Reason, RowsSeen, Suspicion, suspicion};

fn suspect(view: &Built, endpoint: &str) -> bool {
    suspicion(view, view.get(endpoint)).is_some()
}

fn two(a: (u64, u64), b: (u64, u64)) -> Built {
    a_partition().replica("a", |r| r.leader().loaded(a.0).rows(a.1)).replica("b", |r| r.loaded(b.0).rows(b.1))
}

#[test]
fn a_replica_that_lacks_more_rows_than_offsets_differ_is_suspect() {
    // 199 of 946 rows, 783 of 998 (docs/openmldb/experiments.md#silent-partial-loads).
    let view = two((946, 199), (946, 946));
    assert!(suspect(&view, "a") && !suspect(&view, "b"));
    assert!(suspect(&two((998, 783), (990, 990)), "a"));
}

#[test]
fn lacking_as_many_rows_as_offsets_differ_is_not_suspect() {
    assert!(!suspect(&two((100, 95), (95, 95)), "a"), "five of its entries may be deletes");
    assert!(suspect(&two((100, 94), (95, 95)), "a"), "the sixth may not");
}

#[test]
fn with_ttl_a_tenth_of_the_rows_may_be_missing() {
    assert!(suspect(&two((1000, 900), (1000, 1000)), "a"));
    assert!(!suspect(&two((1000, 900), (1000, 1000)).ttl(), "a"));
    assert!(suspect(&two((1000, 899), (1000, 1000)).ttl(), "a"));
}

#[test]
fn with_deletes_a_tenth_of_the_rows_may_be_missing() {
    assert!(!suspect(&two((1000, 870), (1000, 900)), "a"), "every replica lacks rows: some were deleted");
    assert!(suspect(&two((1000, 809), (1000, 900)), "a"));
}

#[test]
fn a_lag_is_not_missing_rows() {
    assert!(!suspect(&two((500, 500), (1000, 1000)), "a"));
    assert!(!suspect(&two((500, 500), (1000, 1000)).ttl(), "a"));
}

#[test]
fn a_missing_snapshot_file_makes_suspect_whatever_the_rows() {
    let view = a_partition()
        .replica("a", |r| r.leader().loaded(5).with(|r| r.memory.snapshot_file_missing = true))
        .replica("b", |r| r.loaded(5));
    assert_eq!(suspicion(&view, view.get("a")), Some(Suspicion::SnapshotFileMissing));
}

#[test]
fn a_missing_snapshot_file_of_the_only_replica_blocks() {
    let view = a_partition().replica("a", |r| r.leader().loaded(5).with(|r| r.memory.snapshot_file_missing = true));
    assert_eq!(view.reason(), Reason::SuspectIsLongest);
    let view = a_partition().replica("a", |r| r.leader().loaded(0).with(|r| r.memory.snapshot_file_missing = true));
    assert_eq!(view.reason(), Reason::OnlyReplicaLost);
}

#[test]
fn a_suspect_replica_never_leads_while_a_complete_one_has_its_offset() {
    assert_eq!(two((946, 199), (946, 946)).chooses(), "b");
}

#[test]
fn the_longest_replica_being_suspect_blocks() {
    let view = two((946, 199), (940, 940));
    assert_eq!(view.reason(), Reason::SuspectIsLongest);
    assert!(view.nobody().text.starts_with("a "), "{}", view.nobody().text);
}

/// As many keys as it has entries beyond the other one's log; on disk those beside of which it holds another row of the same time.
#[test]
fn what_a_longer_one_may_have_deleted_is_no_reason_to_suspect_it() {
    let of = |view: Built, keys, overwritten| {
        let lack = Lack { rows: 400, keys, overwritten, ..Lack::default() };
        let rows = RowsSeen::compared(
            [read("a", 1203, 0), read("b", 1200, 0)].into(),
            [(("a".into(), "b".into()), lack)].into(),
        );
        let view = after(view, rows);
        suspicion(&view, view.get("a"))
    };
    let view = || two((1203, 403), (1200, 800));
    let suspected = Some(Suspicion::LacksRows { rows: 400, than: "b".into() });
    assert_eq!((of(view(), 3, 0), of(view(), 4, 0)), (None, suspected.clone()));
    assert_eq!((of(view().on_disk(), 5, 2), of(view(), 5, 2)), (None, suspected));
}
