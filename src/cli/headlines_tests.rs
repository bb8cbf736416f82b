//! A command's first sentence and its exit code say the same, whatever comes together.

use super::failure::Exit;
use super::recover::{exit_of, exit_of_plan};
use super::status::exit_of_look;
use crate::model::{Endpoint, Pid};
use crate::run::{
    AutoFailoverSeen, Beside, BlockedEntry, PartitionCounts, Recovered, ReplicaCounts, Rpc, Stop, Summary, Verdict,
};
use crate::ui::{About, Paint, recovered_text, summary_text};
use crate::verify::{Finding, FindingKind, Persistence, Verification};

/// Partitions that are healthy, and one each that is not as the counts say.
fn summary(verdict: Verdict, blocked: usize, failed: usize, healthy_before: usize) -> Summary {
    let entry = BlockedEntry {
        db: "shop".to_owned(),
        table: "orders".to_owned(),
        pid: Pid(0),
        reason: "out_of_reach",
        text: "it does not answer".to_owned(),
        hint: "start it".to_owned(),
        losses: Vec::new(),
    };
    let total = healthy_before + blocked + failed + 1;
    Summary {
        verdict,
        service: None,
        playbook: None,
        auto_failover: AutoFailoverSeen { before: true, after: true, held_for: Vec::new() },
        partitions: PartitionCounts { total, healthy_before, recovered: 1, blocked, failed },
        replicas: ReplicaCounts { total },
        given_up: Vec::new(),
        accepted: Vec::new(),
        serving_after_ms: None,
        redundant_after_ms: None,
        rpc: Rpc::default(),
        blocked: vec![entry; blocked],
        verification: None,
        rows_compared: None,
        beside: Beside::default(),
    }
}

fn verifications() -> Vec<Option<Verification>> {
    let finding = |nature| Finding {
        kind: FindingKind::Behind,
        table: None,
        pid: None,
        endpoint: Some(Endpoint::from("a:1")),
        nature,
        text: "behind".to_owned(),
        hint: "wait".to_owned(),
    };
    let of = |findings| Some(Verification::of(findings));
    vec![
        None,
        of(Vec::new()),
        of(vec![finding(Persistence::GoesOn)]),
        of(vec![finding(Persistence::Stays)]),
        of(vec![finding(Persistence::Unknown)]),
        of(vec![finding(Persistence::Stays), finding(Persistence::Unknown), finding(Persistence::GoesOn)]),
    ]
}

#[test]
fn a_look_is_called_healthy_if_and_only_if_it_ends_with_0() {
    let mut seen = 0;
    for (blocked, failed) in [(0, 0), (1, 0), (0, 1), (2, 3)] {
        for tablets_with_problems in 0..3 {
            for other_end in [false, true] {
                for verification in verifications() {
                    let beside = Beside { tablets_with_problems, other_end };
                    let well = blocked + failed + tablets_with_problems == 0 && !other_end;
                    let verdict = if well { Verdict::Healthy } else { Verdict::Partial };
                    let summary = Summary { beside, ..summary(verdict, blocked, failed, 4) };
                    let summary = match verification {
                        Some(found) => summary.verified(found),
                        None => summary,
                    };
                    let text = summary_text(&summary, About::Look, Paint::Plain);
                    let headline = text.lines().next().unwrap_or_default();
                    let exit = exit_of_look(&summary);
                    let (first, rest) = headline.split_once(':').unwrap_or_default();
                    match exit {
                        Exit::Healthy => assert_eq!(first, "Healthy", "{headline}"),
                        other => {
                            assert_eq!(other, Exit::Unhealthy);
                            assert!(["Unhealthy", "Unsettled", "Unclear"].contains(&first), "{headline}");
                            assert!(!rest.contains("are healthy") && !rest.contains("is healthy"), "{headline}");
                        }
                    }
                    seen += 1;
                }
            }
        }
    }
    assert_eq!(seen, 4 * 3 * 2 * 6);
}

#[test]
fn a_dry_run_says_that_something_is_blocked_if_and_only_if_it_does_not_end_with_0() {
    for (blocked, failed) in [(0, 0), (1, 0), (0, 1), (2, 3)] {
        let verdict = if blocked + failed == 0 { Verdict::Healthy } else { Verdict::Partial };
        let summary = summary(verdict, blocked, failed, 4);
        let text = summary_text(&summary, About::Plan, Paint::Plain);
        let says_blocked = text.contains(&format!("{blocked} blocked"));
        assert_eq!(exit_of_plan(&summary) == Exit::Partial, says_blocked && blocked > 0, "{text}");
        assert!(text.starts_with("Dry run: "), "{text}");
    }
}

/// What the first line of a recovery begins with, by its exit code.
fn expected(exit: Exit) -> &'static [&'static str] {
    match exit {
        Exit::Healthy => &["Recovered: ", "Healthy: "],
        Exit::Partial => &["Partial: ", "Interrupted: ", "Failed: ", "Refused: "],
        Exit::NotRestored => &["auto_failover was "],
        Exit::Error => &[
            "The run hit a bug",
            "The record is incomplete",
            "Stopped because the record could not be written",
            "Stopped because no nameserver answered",
        ],
        Exit::Locked => &["Stopped because the lock was lost"],
        Exit::Deadline => &["Stopped at the deadline"],
        Exit::Signal(_) => &["Stopped by signal "],
        Exit::Usage | Exit::Unhealthy | Exit::Refused | Exit::Checked(_) => &[],
    }
}

#[test]
fn the_first_line_of_a_recovery_is_about_what_its_exit_code_says() {
    let stops = [
        None,
        Some(Stop::Signal(15)),
        Some(Stop::Deadline),
        Some(Stop::LockLost),
        Some(Stop::Unrecorded),
        Some(Stop::NoNameserver),
    ];
    let text_or_none = |is: bool| is.then(|| "why".to_owned());
    for stopped in stops {
        for bits in 0..16 {
            let [not_restored, panicked, unrecorded] = [1, 2, 4].map(|bit| text_or_none(bits & bit != 0));
            for (verdict, blocked, failed) in [
                (Verdict::Recovered, 0, 0),
                (Verdict::Healthy, 0, 0),
                (Verdict::Partial, 1, 0),
                (Verdict::Interrupted, 0, 2),
                (Verdict::Failed, 0, 2),
            ] {
                let mut summary = summary(verdict, blocked, failed, 4);
                summary.auto_failover.after = bits & 8 == 0;
                let recovered = Recovered {
                    summary,
                    stopped,
                    not_restored: not_restored.clone(),
                    panicked: panicked.clone(),
                    unrecorded: unrecorded.clone(),
                    still_going_on: Vec::new(),
                };
                let text = recovered_text(&recovered, "by hand", Paint::Plain);
                let headline = text.lines().next().unwrap_or_default();
                let exit = exit_of(&recovered, String::new()).unwrap_or_else(|failure| failure.exit);
                assert!(
                    expected(exit).iter().any(|begins| headline.starts_with(begins)),
                    "{exit:?}: {headline} ({recovered:?})"
                );
            }
        }
    }
}
