//! Removing what nobody needs leaves later runs the same, whatever runs there were.

use super::super::super::event::Milestone;
use super::super::super::made_up::{ID, begun, orders, seen};
use super::super::{MemoryArchive, RunHeader};
use super::*;
use crate::model::{Endpoint, Offset};
use crate::recovery::{Before, Outcome};

/// What a run was, and how it ended.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    BroughtAllBack,
    BroughtOneBack,
    Partial,
    Killed,
    KilledScaling,
    Scaled,
    SetFailover,
    Step,
    WipedMetadata,
}

const KINDS: [Kind; 9] = [
    Kind::BroughtAllBack,
    Kind::BroughtOneBack,
    Kind::Partial,
    Kind::Killed,
    Kind::KilledScaling,
    Kind::Scaled,
    Kind::SetFailover,
    Kind::Step,
    Kind::WipedMetadata,
];

fn lines(run: RunId, kind: Kind) -> Vec<Line> {
    let work = match kind {
        Kind::BroughtAllBack | Kind::BroughtOneBack | Kind::Partial | Kind::Killed => Work::Recovery,
        Kind::KilledScaling | Kind::Scaled => Work::Reconfiguration,
        Kind::SetFailover | Kind::Step | Kind::WipedMetadata => Work::Step,
    };
    let before = Before {
        partition: ID,
        endpoint: Endpoint::from("a"),
        alive: true,
        found_alive: true,
        largest_offset: Offset(run.began_ms),
        terms: 1,
        snapshot_file_missing: false,
    };
    let header = begun(run, "zk:2181/test", seen());
    let playbook = if kind == Kind::WipedMetadata { WIPES_METADATA.to_owned() } else { header.playbook.clone() };
    let first = RunHeader {
        work: Some(work),
        playbook,
        all: matches!(kind, Kind::BroughtAllBack | Kind::Killed),
        auto_failover: true,
        before: if work == Work::Recovery { vec![before] } else { Vec::new() },
        ..header
    };
    let mut lines = vec![Line::Begun(Box::new(first))];
    if kind == Kind::SetFailover {
        let (step, why) = ("failover_set".to_owned(), String::new());
        let action = Action::SetAutoFailover { on: false };
        lines.push(Line::Sending { at_ms: 1, number: 1, step, partition: None, action, why });
        lines.push(Line::Went { at_ms: 2, number: 1, outcome: Outcome::Applied });
    }
    let (verdict, finished) = match kind {
        Kind::Killed | Kind::KilledScaling => return lines,
        Kind::Partial => ("partial", false),
        Kind::BroughtAllBack | Kind::BroughtOneBack => ("recovered", true),
        Kind::Scaled => ("ended", true),
        Kind::SetFailover | Kind::Step | Kind::WipedMetadata => ("reached", true),
    };
    if verdict == "recovered" {
        let state = Milestone::Redundant;
        lines.push(Line::Reached { at_ms: 3, table: orders(), partition: ID, state, blocked: None });
    }
    let (verdict, held_for, still_going_on) = (verdict.to_owned(), Vec::new(), Vec::new());
    lines.push(Line::Ended { at_ms: 4, verdict, restored: true, held_for, finished, still_going_on });
    lines
}

fn shelf(kinds: &[Kind]) -> MemoryArchive {
    let shelf = MemoryArchive::default();
    for (nth, kind) in kinds.iter().enumerate() {
        let run = RunId { began_ms: nth as u64 + 1, number: 0 };
        let text = lines(run, *kind).iter().flat_map(|line| line.text().unwrap()).collect();
        shelf.put(run, text);
    }
    shelf
}

/// The records that nobody needs, the oldest first.
fn unneeded(shelf: &MemoryArchive) -> Vec<RunId> {
    let mut runs: Vec<RunId> =
        needed(shelf).unwrap().into_iter().filter(|kept| kept.needed.is_none()).map(|kept| kept.run).collect();
    runs.sort();
    runs
}

#[test]
fn whatever_runs_there_were_later_ones_are_left_the_same() {
    let mut removed = 0;
    for first in KINDS {
        for second in KINDS {
            for third in KINDS {
                let kinds = [first, second, third];
                let shelf = shelf(&kinds);
                let runs = unneeded(&shelf);
                for so_many in 0..=runs.len() {
                    let without = runs.iter().take(so_many).copied().collect();
                    assert!(leaves_the_same(&shelf, &without).unwrap(), "{kinds:?} without {without:?}");
                }
                removed += runs.len();
                for run in runs {
                    let kind = kinds[usize::try_from(run.began_ms).unwrap() - 1];
                    assert!(!matches!(kind, Kind::Killed | Kind::KilledScaling | Kind::Partial), "{kinds:?}: {run}");
                }
            }
        }
    }
    assert!(removed > 100, "{removed} is hardly anything");
}

#[test]
fn a_record_that_a_later_run_needs_is_noticed_if_it_is_chosen_all_the_same() {
    let shelf = shelf(&[Kind::Partial, Kind::BroughtOneBack]);
    let run = |began_ms| RunId { began_ms, number: 0 };
    assert!(
        !leaves_the_same(&shelf, &BTreeSet::from([run(2)])).unwrap(),
        "what is left of the first would be used again"
    );
    assert_eq!(unneeded(&shelf), []);
}

#[test]
fn of_many_recoveries_that_brought_everything_back_the_newest_stays() {
    let shelf = shelf(&[Kind::BroughtAllBack; 5]);
    assert_eq!(unneeded(&shelf).len(), 4);
    assert_eq!(needed(&shelf).unwrap()[0].needed, Some(Needed::BroughtAllBack));
}

#[test]
fn deleted_metadata_stay_saved_until_the_cluster_was_brought_back_without_them() {
    let shelf = |kinds: &[Kind]| needed(&shelf(kinds)).unwrap().pop().unwrap().needed;
    assert_eq!(shelf(&[Kind::WipedMetadata, Kind::Step, Kind::BroughtOneBack]), Some(Needed::SavedMetadata));
    assert_eq!(shelf(&[Kind::WipedMetadata, Kind::BroughtAllBack]), None);
    assert_eq!(shelf(&[Kind::Step, Kind::BroughtOneBack]), None);
}

#[test]
fn what_cannot_be_read_stays() {
    let shelf = shelf(&[Kind::BroughtAllBack, Kind::BroughtAllBack]);
    shelf.put(RunId { began_ms: 1, number: 0 }, b"{}\n".to_vec());
    assert_eq!(unneeded(&shelf), []);
}
