//! How long what people read is, however many partitions there are: status, plan and result fit two screens.

use std::sync::Arc;

use openmldb_ops::cluster::{Cluster, Options};
use openmldb_ops::model::{Snapshot, TableName, Tid};
use openmldb_ops::playbook::{DEFAULT, Playbook};
use openmldb_ops::recovery::{Loss, Plan};
use openmldb_ops::run::{
    AcceptedEntry, BlockedEntry, Caller, LeftAlone, Outline, PlanId, RecordedRun, Rpc, RunHeader, RunState, Scope,
    Service, Status, Summary, UnfinishedWork, Work, diagnose, prepare_plan, summary_of_plan, summary_of_status,
};
use openmldb_ops::sandbox::scenario::{Generated, Scenario, Shape};
use openmldb_ops::sandbox::{Addresses, InProcess, Live, TimeScale};
use openmldb_ops::snapshot::collect;
use openmldb_ops::ui::{About, Listed, Paint, PlanContext, outline_text, plan_text, status_text, summary_text};
use openmldb_ops::verify::{Finding, FindingKind, Persistence, Standing, Verification};

/// Lines of two screens.
const TWO_SCREENS: usize = 80;

/// Tables and partitions of each, beside six of the system's and the scenario's own.
const SIZES: [(usize, usize); 3] = [(1, 3), (4, 40), (6, 160)];

async fn seen(scenario: Scenario, size: (usize, usize)) -> Snapshot {
    seen_if_fit(scenario, size).await.unwrap()
}

/// None where what has happened can happen only to the tables that a scenario makes by itself.
async fn seen_if_fit(scenario: Scenario, (tables, partitions): (usize, usize)) -> Option<Snapshot> {
    let shape = Shape { generated: Some(Generated { tables, partitions, replicas: 3, rows: 2 }), ..Shape::default() };
    let world = scenario.bring_about(&shape, &Addresses::recorded(1, 3)).ok()?;
    let live = Arc::new(Live::new(world, TimeScale::default()));
    let cluster = Cluster::new(Arc::new(InProcess::new(live)), Options::default());
    Some(collect(&cluster, scenario.name(), 1_795_392_000_000).await.unwrap())
}

/// The same with so many times as many tables; they hold nothing in either.
fn times(snapshot: &Snapshot, times: u32) -> Snapshot {
    let mut larger = snapshot.clone();
    for time in 1..times {
        larger.tables.extend(snapshot.tables.iter().filter(|table| table.name.db == "shop").cloned().map(
            |mut table| {
                table.tid = Tid(table.tid.0 + 1_000 * time);
                table.name.table = format!("{}_{time}", table.name.table);
                table
            },
        ));
    }
    larger
}

fn planned(snapshot: &Snapshot) -> Plan {
    let playbook = Playbook::find(DEFAULT).unwrap();
    prepare_plan(snapshot.clone(), &playbook, &Scope::All, UnfinishedWork::default(), None).unwrap().plan
}

fn text_of_plan(snapshot: &Snapshot, plan: &Plan, full: bool) -> String {
    let id: PlanId = "0123456789abcdef".parse().unwrap();
    let context = PlanContext {
        snapshot,
        playbook: &Playbook::find(DEFAULT).unwrap(),
        auto_failover_before: snapshot.auto_failover,
        stands: &[],
        id: Some(&id),
        service: &Service::of(&Status::of(snapshot, &Scope::All)),
        full,
        paint: Paint::Plain,
    };
    plan_text(plan, &context)
}

fn text_of_status(snapshot: &Snapshot, full: bool) -> String {
    let status = Status::of(snapshot, &Scope::All);
    let cases = diagnose(snapshot, &status, &Default::default());
    let summary = summary_of_status(&status, Rpc::default());
    status_text(&status, &cases, if full { Listed::All } else { Listed::Unhealthy }, Paint::Plain)
        + &summary_text(&summary, About::Look, Paint::Plain)
}

/// The lines of each at each size. Of a few partitions each is told in full.
#[tokio::test(start_paused = true)]
async fn at_any_size_status_and_plan_fit_two_screens() {
    let scenarios = [
        Scenario::EverythingRestarted,
        Scenario::TabletMissing,
        Scenario::LongerFollower,
        Scenario::TwoLeaderFlags,
        Scenario::EmptiedDisks,
    ];
    for scenario in scenarios {
        let mut sizes = Vec::new();
        for size in SIZES {
            sizes.push(seen(scenario, size).await);
        }
        if scenario == Scenario::EverythingRestarted {
            sizes.push(times(&sizes[1], 62));
        }
        for snapshot in sizes {
            let plan = planned(&snapshot);
            let partitions = plan.counts.total;
            let of = |text: &str| text.lines().count();
            let (status, plan_lines) =
                (of(&text_of_status(&snapshot, false)), of(&text_of_plan(&snapshot, &plan, false)));
            println!("{} {partitions} partitions: status {status} lines, plan {plan_lines}", scenario.name());
            assert!(status <= TWO_SCREENS && plan_lines <= TWO_SCREENS, "{} {partitions}", scenario.name());
        }
    }
}

/// Whatever has happened: an operation may be queued for every replica, and each partition may be wrong in another way.
#[tokio::test(start_paused = true)]
async fn whatever_has_happened_status_and_plan_fit_two_screens_and_begin_with_whether_clients_can_read_and_write() {
    let mut looked_at = 0;
    for scenario in Scenario::ALL {
        let Some(snapshot) = seen_if_fit(*scenario, SIZES[1]).await else { continue };
        looked_at += 1;
        let (status, plan) = (text_of_status(&snapshot, false), planned(&snapshot));
        let plan = text_of_plan(&snapshot, &plan, false);
        for text in [&status, &plan] {
            assert!(text.lines().count() <= TWO_SCREENS, "{}: {text}", scenario.name());
            assert!(text.lines().next().unwrap().contains(" partitions serve"), "{}: {text}", scenario.name());
        }
    }
    assert!(looked_at > 15, "only {looked_at}");
}

/// What a run says at its end that has left alone whatever its plan would, and what its record says of it in numbers; and the cases
/// that `status` and guards name.
#[tokio::test(start_paused = true)]
async fn at_any_size_result_record_and_cases_fit_two_screens() {
    let of = |text: &str| text.lines().count();
    for scenario in [Scenario::TabletMissing, Scenario::LongerFollower, Scenario::EmptiedDisks] {
        let mut sizes = Vec::new();
        for size in SIZES {
            sizes.push(seen(scenario, size).await);
        }
        sizes.push(times(&sizes[1], 62));
        for snapshot in sizes {
            let plan = planned(&snapshot);
            let (name, partitions) = (scenario.name(), plan.counts.total);
            let status = Status::of(&snapshot, &Scope::All);
            let result = of(&summary_text(&result(&plan, &status), About::Recovery, Paint::Plain));
            let record = of(&record_in_numbers(&snapshot, &plan));
            println!("{name} {partitions} partitions: result {result} lines, record {record}");
            assert!(result <= TWO_SCREENS && record <= TWO_SCREENS, "{name} {partitions}");
            for case in diagnose(&snapshot, &status, &Default::default()) {
                let longest = case.next.iter().chain([&case.seen]).map(String::len).max().unwrap();
                assert!(longest < 500 && case.next.len() < 9, "{name} {partitions}: {case:?}");
            }
        }
    }
}

fn result(plan: &Plan, status: &Status) -> Summary {
    let mut summary = summary_of_plan(plan, true, Rpc::default()).serving(status);
    let finding = |entry: &BlockedEntry| Finding {
        kind: FindingKind::NotAlive,
        table: Some(TableName { db: entry.db.clone(), table: entry.table.clone() }),
        pid: Some(entry.pid),
        endpoint: None,
        nature: Persistence::Stays,
        text: "not alive".to_owned(),
        hint: FindingKind::NotAlive.hint().to_owned(),
    };
    let findings = summary.blocked.iter().map(finding).collect();
    summary.verification = Some(Verification { verdict: Standing::NotFullySucceeded, findings });
    summary
}

fn record_in_numbers(snapshot: &Snapshot, plan: &Plan) -> String {
    let mut outline = Outline::default();
    for planned in &plan.partitions {
        let (table, partition) = (planned.table.clone(), planned.partition);
        let entry = |loss: &Loss| {
            let (db, table, pid, loss) = (table.db.clone(), table.table.clone(), partition.pid, loss.clone());
            AcceptedEntry { db, table, pid, loss }
        };
        outline.accepted.extend(planned.losses.iter().map(entry));
        let left = planned.blocked.clone().map(|blocked| LeftAlone { table: table.clone(), partition, blocked });
        outline.blocked.extend(left);
    }
    let header = RunHeader::new(0, &Caller::default(), Work::Recovery, "recover".to_owned(), snapshot.clone());
    let recorded_run = RecordedRun { begun: header, lines: Vec::new(), unreadable: 0 };
    outline_text(&recorded_run, RunState::Ended, &outline, Paint::Plain)
}

/// What is left out can be had, and what has to be known is there.
#[tokio::test(start_paused = true)]
async fn what_is_told_together_is_whole() {
    let snapshot = seen(Scenario::TabletMissing, (4, 40)).await;
    let plan = planned(&snapshot);
    let status = text_of_status(&snapshot, false);
    let first = status.lines().next().unwrap();
    assert!(first.starts_with("0 of ") && first.ends_with("clients can neither read nor write."), "{first}");
    let text = text_of_plan(&snapshot, &plan, false);
    assert_eq!(text.lines().next(), Some(first));
    // Every partition to bring back is counted in one block or is blocked.
    let counted: usize = text
        .lines()
        .filter(|line| !line.starts_with(' '))
        .filter_map(|line| line.split_once(" partition"))
        .filter(|(_, rest)| rest.trim_start_matches('s').starts_with(": ") || rest.contains(" blocked, "))
        .map(|(count, _)| count.parse::<usize>().unwrap())
        .sum();
    assert_eq!(counted, plan.partitions.len(), "{text}");
    let full = text_of_plan(&snapshot, &plan, true);
    for planned in &plan.partitions {
        let name = format!("{}/{} (tid", planned.table, planned.partition.pid);
        assert!(full.contains(&name), "{name}");
    }
    let losses = plan.partitions.iter().flat_map(|planned| &planned.losses).count();
    assert_eq!(losses > 0, text.contains("--accept-data-loss 0123456789abcdef"), "{text}");
}
