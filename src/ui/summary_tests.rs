//! Summaries, word for word.

use super::*;
use crate::model::{Endpoint, Pid, Term};
use crate::run::{AutoFailoverSeen, PartitionCounts, ReplicaCounts, Rpc};

fn recovered() -> Summary {
    Summary {
        verdict: Verdict::Recovered,
        service: None,
        playbook: Some("recover".to_owned()),
        auto_failover: AutoFailoverSeen::of(true, true, &[]),
        partitions: PartitionCounts { total: 165, healthy_before: 3, recovered: 162, blocked: 0, failed: 0 },
        replicas: ReplicaCounts { total: 495 },
        given_up: Vec::new(),
        accepted: Vec::new(),
        serving_after_ms: Some(2345),
        redundant_after_ms: Some(130_000),
        rpc: Rpc { reads: 4711, mutations: 1 },
        blocked: Vec::new(),
        verification: None,
        rows_compared: None,
        beside: crate::run::Beside::default(),
    }
}

fn partial() -> Summary {
    let (db, table) = ("shop".to_owned(), "orders".to_owned());
    Summary {
        verdict: Verdict::Partial,
        partitions: PartitionCounts { total: 165, healthy_before: 3, recovered: 160, blocked: 2, failed: 0 },
        given_up: vec![GivenUpEntry {
            db: db.clone(),
            table: table.clone(),
            pid: Pid(1),
            endpoint: Endpoint::from("127.0.0.1:11921"),
            entries: 8,
            at_most: false,
            term: Some(Term(1)),
            directory: "7_1_<time> in the tablet's recycle bin".to_owned(),
        }],
        blocked: vec![BlockedEntry {
            db,
            table,
            pid: Pid(2),
            reason: "not_redundant",
            text: "127.0.0.1:11923 does not answer (connection refused); the partition serves without it".to_owned(),
            hint: "bring the tablet back, then run again".to_owned(),
            losses: Vec::new(),
        }],
        ..recovered()
    }
}

fn text(summary: &Summary, about: About) -> String {
    summary_text(summary, about, Paint::Plain)
}

#[test]
fn a_whole_recovery() {
    insta::assert_snapshot!(text(&recovered(), About::Recovery), @r"
    Recovered: all 165 partitions in scope are healthy.
    165 partitions (495 replicas): 3 healthy before, 162 recovered, 0 blocked, 0 not finished.
    Serving after 2.3 s, redundant after 2 min 10 s.
    Calls: 4711 reads, 1 mutation.
    auto_failover was on before and is on now.
    ");
}

#[test]
fn what_is_blocked_says_what_to_do_and_what_was_given_up_says_where_it_is() {
    insta::assert_snapshot!(text(&partial(), About::Recovery), @r"
    Partial: 2 of 165 partitions not recovered or not redundant.
    165 partitions (495 replicas): 3 healthy before, 160 recovered, 2 blocked, 0 not finished.
    Those that came back: serving after 2.3 s, redundant after 2 min 10 s.

    Problems:
      shop.orders/2: not_redundant: 127.0.0.1:11923 does not answer (connection refused); the partition serves without it
        hint: bring the tablet back, then run again

    Given up: only that replica held it (its directory is kept):
      shop.orders/1: 127.0.0.1:11921, 8 entries of term 1; directory 7_1_<time> in the tablet's recycle bin

    Calls: 4711 reads, 1 mutation.
    auto_failover was on before and is on now.
    ");
}

#[test]
fn where_nothing_became_redundant_no_time_says_so() {
    let partitions = PartitionCounts { recovered: 0, blocked: 162, ..partial().partitions };
    let text = text(&Summary { partitions, ..partial() }, About::Recovery);
    assert!(text.contains("\nThose that came back: serving after 2.3 s.\n"), "{text}");
}

#[test]
fn nothing_to_do() {
    let partitions = PartitionCounts { total: 1, healthy_before: 1, ..PartitionCounts::default() };
    let verdict = Verdict::Healthy;
    let summary = Summary { verdict, partitions, serving_after_ms: None, redundant_after_ms: None, ..recovered() };
    assert!(text(&summary, About::Recovery).starts_with("Healthy: the partition in scope is healthy.\n"));
    assert!(!text(&summary, About::Recovery).contains("after 0"), "nothing was changed, so there are no times");
    assert!(text(&summary, About::Plan).starts_with("Dry run: the partition in scope is healthy; there is nothing"));
}

#[test]
fn a_look_says_what_it_calls_unhealthy() {
    let partitions = PartitionCounts { total: 2, healthy_before: 2, ..PartitionCounts::default() };
    let fine = Summary { verdict: Verdict::Healthy, partitions, playbook: None, ..recovered() };
    assert!(text(&fine, About::Look).starts_with("Healthy: all 2 partitions in scope are healthy.\n"));
    let mut troubled = Summary { verdict: Verdict::Partial, ..fine };
    troubled.beside.tablets_with_problems = 1;
    assert!(
        text(&troubled, About::Look).starts_with("Unhealthy: one tablet has a problem; no partition has one yet.\n")
    );
    troubled.beside.other_end = true;
    assert!(text(&troubled, About::Look).starts_with("Unhealthy: the server that answers is not part of the cluster"));
}

/// However it ended: whoever reads it wants to know first whether clients can read and write.
#[test]
fn a_run_that_was_stopped_begins_with_that_and_does_not_list_all_that_goes_on() {
    let load = |pid| OutstandingWork::Load {
        endpoint: Endpoint::from("10.0.0.1:10921"),
        table: TableName { db: "shop".to_owned(), table: "orders".to_owned() },
        pid: Pid(pid),
        seen: true,
    };
    let service = crate::run::Service { partitions: 165, serving: 160, ..Default::default() };
    let recovered = Recovered {
        summary: Summary { service: Some(service), verdict: Verdict::Interrupted, ..partial() },
        stopped: Some(Stop::Signal(2)),
        not_restored: None,
        panicked: None,
        unrecorded: None,
        still_going_on: (0..960).map(load).collect(),
    };
    let text = recovered_text(&recovered, "", Paint::Plain);
    assert!(
        text.starts_with("160 of 165 partitions serve; clients can neither read nor write the other 5.\n"),
        "{text}"
    );
    assert_eq!(text.matches("160 of 165").count(), 1, "{text}");
    assert!(text.lines().count() < 30 && text.contains("\nStill in progress: 950 more, "), "{text}");
}

/// The nameserver names no task after the last one, either.
#[test]
fn an_operation_without_a_task_is_not_said_not_to_have_begun() {
    let op = |task: &str| OutstandingWork::Op {
        op: crate::model::OpId(7),
        kind: "kRecoverTableOP".to_owned(),
        table: TableName { db: "shop".to_owned(), table: "orders".to_owned() },
        pid: Pid(0),
        task: task.to_owned(),
    };
    assert_eq!(going_on_text(&op("-")), "operation 7 (kRecoverTableOP) on shop.orders/0 has not ended");
    assert_eq!(going_on_text(&op("kLoadTable")), "operation 7 (kRecoverTableOP) on shop.orders/0 is at kLoadTable");
}

#[test]
fn if_auto_failover_is_not_back_the_last_line_is_the_command_to_run() {
    let mut summary = partial();
    summary.auto_failover.after = false;
    summary.verdict = Verdict::Failed;
    let recovered = Recovered {
        summary,
        stopped: Some(Stop::Signal(2)),
        not_restored: Some("nameserver 127.0.0.1:6527: connection refused".to_owned()),
        panicked: None,
        unrecorded: None,
        still_going_on: Vec::new(),
    };
    let by_hand = by_hand(" --zk-cluster 127.0.0.1:2181 --zk-root-path /openmldb", true);
    let text = recovered_text(&recovered, &by_hand, Paint::Plain);
    let expected = "auto_failover was on before and could not be restored: see the last line.\nStopped by signal 2: ";
    assert!(text.starts_with(expected), "{text}");
    insta::assert_snapshot!(text.lines().rev().take(4).collect::<Vec<_>>().join("\n"), @r"
    openmldb-ops failover set on --zk-cluster 127.0.0.1:2181 --zk-root-path /openmldb
    auto_failover could not be restored (nameserver 127.0.0.1:6527: connection refused). Do it by hand:
    Run the same command again to continue.
    auto_failover was on before and is off now.
    ");
}
