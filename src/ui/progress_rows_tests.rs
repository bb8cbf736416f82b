//! What is shown of a run, at any size of cluster and terminal.

use super::*;
use crate::model::{Endpoint, TableName};
use crate::run::{Awaited, Event, Expected, Milestone, Named};

fn clicks() -> TableName {
    TableName { db: "shop".to_owned(), table: "clicks".to_owned() }
}

fn queue(nth: usize, loading: usize, queued: usize) -> Queue {
    Queue { endpoint: Endpoint::from(format!("10.0.0.{nth}:10921")), loading, queued }
}

/// A run over so many partitions with three replicas each, a minute after it began, half of whose replicas are loaded.
fn run_counts(partitions: usize, tablets: usize) -> RunCounts {
    let mut run_counts = RunCounts::default();
    run_counts.add(&Event::Observed { partitions, replicas: 3 * partitions, healthy: 0, auto_failover: true });
    let expected = Expected {
        playbook: "recover".to_owned(),
        serving_after_ms: 500,
        redundant_after_ms: 720_000,
        operations: 2 * partitions,
    };
    run_counts.add(&Event::Expected(expected));
    let progress = |after_ms, loaded, followers_back| Progress {
        after_ms,
        partitions,
        replicas: 3 * partitions,
        loaded,
        followers: 2 * partitions,
        followers_back,
        ops_done: followers_back,
        ops_under_way: 2,
        ops_queued: 1,
        tablets: (1..=tablets).map(|nth| queue(nth, 3, 10 * nth)).collect(),
        waits: vec![WaitedFor {
            what: Awaited::Load,
            endpoints: vec![Endpoint::from("10.0.0.3:10921")],
            partitions: 1,
            partition: Some(Named { table: clicks(), pid: 1 }),
            for_ms: 64_000,
            at_most_ms: Some(7_200_000),
        }],
        ..Progress::default()
    };
    run_counts.add(&Event::Progress(Box::new(progress(10_000, 0, 0))));
    run_counts.add(&Event::Progress(Box::new(progress(60_000, 3 * partitions / 2, partitions / 4))));
    run_counts
}

#[test]
fn everything_that_is_asked_for_is_on_one_screen() {
    let mut run_counts = run_counts(965, 3);
    let (table, pid) = (clicks(), 7);
    run_counts.add(&Event::Partition { table, pid, state: Milestone::Blocked, after_ms: 1, blocked: None });
    let shown = rows(&run_counts, Duration::from_millis(1500), &["what happened last"], (24, 100));
    for told in [
        "loaded [===================>                    ] 1447/2895  replicas, 29/s",
        "serving [                                        ] 0/965  61.5 s",
        "at least 10 min left, once what is slow has ended",
        "redundant [                                        ] 0/965  1 blocked",
        "followers [====>                                   ] 241/1930  back, 4.8/s",
        "operations 241 of 1930, 2 under way",
        "3 tablets to load on | 10.0.0.3:10921: 3 loading, 30 queued | 10.0.0.2:10921: 3 loading, 20 queued",
        "SLOW > 60 s: shop.clicks/1 loading on 10.0.0.3:10921 for 64 s (at most 2 h)",
        "blocked: shop.clicks/7",
        "what happened last",
    ] {
        assert!(shown.iter().any(|row| row.contains(told)), "{told}:\n{}", shown.join("\n"));
    }
}

#[test]
fn it_never_fills_the_screen_and_what_matters_most_is_always_there() {
    for (partitions, tablets) in [(3, 1), (965, 100), (30_000, 1_000)] {
        let run_counts = run_counts(partitions, tablets);
        for lines in 3..60 {
            for columns in [10, 20, 40, 79, 200] {
                let shown = rows(&run_counts, Duration::ZERO, &["a", "b", "c"], (lines, columns));
                assert!(shown.len() < usize::from(lines), "{lines} lines: {}", shown.len());
                let has = |what: &str| shown.iter().any(|row| row.contains(what));
                let most = ["serving [", "redundant ["].into_iter().take(shown.len());
                most.for_each(|what| assert!(has(what), "{what} at {lines} lines:\n{}", shown.join("\n")));
            }
        }
    }
}

#[test]
fn time_left_is_the_plans_until_that_is_over_and_then_as_it_goes() {
    let mut run_counts = run_counts(965, 3);
    let progress = run_counts.progress().cloned().unwrap_or_default();
    run_counts.add(&Event::Progress(Box::new(Progress { waits: Vec::new(), ..progress })));
    assert_eq!(left(&run_counts, 60_000).as_deref(), Some("about 11 min left"));
    // 1,689 followers at 4.82 a second.
    assert_eq!(left(&run_counts, 800_000).as_deref(), Some("about 5 min left at this rate (expected: 12 min in all)"));
    assert_eq!(left(&RunCounts::default(), 60_000), None, "nobody has planned it");
    let late = left(&run_counts, 400_000);
    assert_eq!(late.as_deref(), Some("about 10 min left"), "so many operations do not take less for having begun late");
}

/// A load that may never end, or a tablet that does not answer, is in no plan: what that has left says nothing of it.
#[test]
fn time_left_of_a_run_that_something_holds_up_is_said_to_be_the_least() {
    let mut run_counts = run_counts(965, 3);
    assert_eq!(left(&run_counts, 60_000).as_deref(), Some("at least 11 min left, once what is slow has ended"));
    let mut progress = run_counts.progress().cloned().unwrap_or_default();
    progress.followers_back = progress.followers;
    for (what, for_ms, is_said) in [
        (Awaited::Load, 64_000, true),
        (Awaited::Answer, 64_000, true),
        (Awaited::Load, 6_000, false),
        (Awaited::Leaders, 64_000, false),
    ] {
        progress.waits.iter_mut().for_each(|wait| (wait.what, wait.for_ms) = (what, for_ms));
        run_counts.add(&Event::Progress(Box::new(progress.clone())));
        let told = left(&run_counts, 800_000);
        let is_unknown = told.as_deref() == Some("nobody knows how long what is slow takes (expected: 12 min in all)");
        assert_eq!(is_unknown, is_said, "{what:?} for {for_ms}: {told:?}");
    }
}

#[test]
fn what_is_a_partitions_turn_is_not_called_slow() {
    let mut run_counts = run_counts(20, 1);
    let mut progress = run_counts.progress().cloned().unwrap_or_default();
    progress.waits.iter_mut().for_each(|wait| wait.what = Awaited::Leaders);
    run_counts.add(&Event::Progress(Box::new(progress)));
    let shown = rows(&run_counts, Duration::ZERO, &[], (24, 80));
    assert!(!shown.iter().any(|row| row.contains("SLOW")), "{shown:?}");
}

#[test]
fn operations_that_may_not_begin_yet_say_when_they_will() {
    let mut run_counts = run_counts(20, 1);
    let mut progress = run_counts.progress().cloned().unwrap_or_default();
    (progress.ops_done, progress.ops_under_way, progress.ops_queued) = (0, 0, 0);
    progress.waits.iter_mut().for_each(|wait| {
        (wait.what, wait.for_ms, wait.at_most_ms) = (Awaited::Leaders, 60_000, Some(180_000));
    });
    run_counts.add(&Event::Progress(Box::new(progress.clone())));
    let told = |run_counts: &RunCounts| {
        let rows = rows(run_counts, Duration::ZERO, &[], (24, 80));
        rows.into_iter().find(|row| row.starts_with("operations ")).unwrap()
    };
    assert_eq!(told(&run_counts), "operations 0 of 40: they begin once every leader serves, in 2 min at most");
    progress.ops_under_way = 2;
    run_counts.add(&Event::Progress(Box::new(progress)));
    assert_eq!(told(&run_counts), "operations 0 of 40, 2 under way");
}

#[test]
fn a_bar_of_nothing_is_empty() {
    assert_eq!(bar("serving", 0, 0, "", 40), "  serving [      ] 0/0");
    assert_eq!(bar("serving", 3, 3, "1.0 s", 40), "  serving [======] 3/3  1.0 s");
}
