//! docs/output.md is what scripts are written from: every kind of event stands in it with a line that this build writes,
//! and every field of it is explained.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use openmldb_ops::model::{
    Action, Column, ColumnKind, Endpoint, Offset, OpId, PartitionId, Pid, Row, Schema, Seen, Snapshot, StorageMode,
    TableName, Term, Tid,
};
use openmldb_ops::playbook::{DEFAULT, Playbook, load};
use openmldb_ops::recovery::{Blocked, Choice, GivenUp, PromotionMethod, Reason, Rejected, WhyHeld};
use openmldb_ops::rows::{OddRow, RowsRead};
use openmldb_ops::run::{
    Arranging, AutoFailoverSeen, Awaited, BlockedEntry, Event, Expected, GivenUpEntry, HeldFor, Lacking, Milestone,
    Named, OutstandingWork, PartitionCounts, PartitionUnderWay, Progress, Queue, ReplicaCounts, RowsCompared, Rpc,
    Scope, Selector, Service, Status, Summary, UnfinishedWork, Verdict, WaitedFor, prepare_plan,
};
use openmldb_ops::ui::{JsonLines, OddRowLine, Paint, PlanContext, RowsComparedLine};
use openmldb_ops::verify::{Finding, FindingKind, Persistence, Verification};
use serde_json::Value;

use crate::support::{recorded, schema};

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub fn document() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/output.md");
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The lines that a writer wrote.
fn lines(write: impl FnOnce(&JsonLines<Kept>) -> io::Result<()>) -> Vec<String> {
    let kept = Kept::default();
    write(&JsonLines::new(kept.clone())).unwrap();
    let bytes = kept.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect()
}

fn orders() -> TableName {
    TableName { db: "shop".to_owned(), table: "orders".to_owned() }
}

fn id() -> PartitionId {
    PartitionId { tid: Tid(7), pid: Pid(1) }
}

fn endpoint(last: u32) -> Endpoint {
    Endpoint::from(format!("10.0.0.{last}:10921"))
}

fn given_up() -> GivenUp {
    GivenUp {
        endpoint: endpoint(2),
        entries: 8,
        at_most: false,
        term: Some(Term(1)),
        directory: "7_1_<time> in the tablet's recycle bin".to_owned(),
    }
}

fn choice() -> Box<Choice> {
    Box::new(Choice {
        leader: endpoint(1),
        way: PromotionMethod::ChangeRole,
        offset: Some(Offset(93)),
        why: "elected last of the leader-flagged (last term 3), offset 93, 93 rows".to_owned(),
        rejected: vec![
            Rejected { endpoint: endpoint(2), why: "leader flag, offset 98, 98 rows, last term 1".to_owned() },
            Rejected { endpoint: endpoint(3), why: "no leader flag, same offset".to_owned() },
        ],
        proven: vec![endpoint(3)],
        doubted: Vec::new(),
        unread: Vec::new(),
        given_up: vec![given_up()],
        out_of_reach: Vec::new(),
        seen_no_longer: Vec::new(),
    })
}

fn blocked() -> Blocked {
    let text = "10.0.0.3:10921 does not answer (connection refused); the partition serves without it";
    Blocked::new(Reason::NotRedundant, text, "bring the tablet back, then run again")
}

fn progress() -> Progress {
    let waits = WaitedFor {
        what: Awaited::Load,
        endpoints: vec![endpoint(3)],
        partitions: 1,
        partition: Some(Named { table: TableName { db: "shop".to_owned(), table: "clicks".to_owned() }, pid: 1 }),
        for_ms: 64_000,
        at_most_ms: Some(7_200_000),
    };
    Progress {
        after_ms: 64_000,
        partitions: 165,
        serving: 164,
        redundant: 12,
        blocked: 0,
        replicas: 495,
        loaded: 492,
        followers: 330,
        followers_back: 24,
        ops_done: 24,
        ops_under_way: 8,
        ops_queued: 120,
        tablets: vec![Queue { endpoint: endpoint(3), loading: 3, queued: 0 }],
        waits: vec![waits],
    }
}

fn arranging() -> Arranging {
    let (partition, for_ms) = ("shop.orders/0".to_owned(), 12_000);
    let text = "migrate 10.0.0.2:10921 orders 0 10.0.0.4:10921: operation 17 is under way".to_owned();
    Arranging {
        after_ms: 64_000,
        partitions: 24,
        done: 5,
        skipped: 1,
        steps: 51,
        steps_done: 14,
        under_way: vec![PartitionUnderWay { partition, text, for_ms }],
    }
}

/// One of each kind; a new kind does not compile until it stands here.
fn events() -> Vec<Event> {
    let complete = |event: &Event| match event {
        Event::Observed { .. }
        | Event::Recorded { .. }
        | Event::Note { .. }
        | Event::LeaderChosen { .. }
        | Event::RowsChecked { .. }
        | Event::Action { .. }
        | Event::ActionFailed { .. }
        | Event::Waiting { .. }
        | Event::Expected(_)
        | Event::Progress(_)
        | Event::Arranging(_)
        | Event::StillGoingOn { .. }
        | Event::Partition { .. } => {}
    };
    let recover = || Action::RecoverTable { table: orders(), pid: Pid(1), endpoint: endpoint(2) };
    let load = Action::LoadTable {
        endpoint: endpoint(1),
        table: orders(),
        partition: id(),
        seg_cnt: 8,
        storage: StorageMode::Memory,
    };
    let milestone = |state, after_ms, blocked| Event::Partition { table: orders(), pid: 1, state, after_ms, blocked };
    let events = vec![
        Event::Observed { partitions: 165, replicas: 495, healthy: 3, auto_failover: true },
        Event::Recorded { path: "/var/lib/openmldb-ops/run-1795341600000-0.jsonl".to_owned() },
        Event::Note { text: "an earlier run did not finish; its record is used".to_owned() },
        Event::LeaderChosen { table: orders(), pid: 1, choice: choice() },
        Event::RowsChecked {
            table: orders(),
            pid: 1,
            replicas: vec![endpoint(1), endpoint(2)],
            same: Some(false),
            text: "the rows of 10.0.0.1:10921, 10.0.0.2:10921 differ: 10.0.0.2:10921 lacks 12 rows of 10.0.0.1:10921"
                .to_owned(),
        },
        Event::Action {
            step: "load_table",
            partition: Some(id()),
            action: load,
            why: "its offset is known only once it is loaded; as a follower it takes no writes meanwhile".to_owned(),
        },
        Event::ActionFailed {
            step: "recover_table",
            partition: Some(id()),
            action: recover(),
            error: "code 303: tablet is not healthy".to_owned(),
        },
        milestone(Milestone::Serving, 2345, None),
        milestone(Milestone::Redundant, 18_400, None),
        milestone(Milestone::Blocked, 2345, Some(blocked())),
        Event::Waiting {
            what: Awaited::Load,
            endpoints: vec![endpoint(3)],
            partitions: 3,
            partition: Some(Named { table: orders(), pid: 1 }),
            for_ms: 240_000,
            at_most_ms: Some(7_200_000),
        },
        Event::Waiting {
            what: Awaited::Tablet,
            endpoints: vec![endpoint(3)],
            partitions: 110,
            partition: None,
            for_ms: 60_000,
            at_most_ms: Some(300_000),
        },
        Event::Expected(Expected {
            playbook: "recover".to_owned(),
            serving_after_ms: 500,
            redundant_after_ms: 720_000,
            operations: 330,
        }),
        Event::Progress(Box::new(progress())),
        Event::Arranging(Box::new(arranging())),
        Event::StillGoingOn {
            going_on: OutstandingWork::Call {
                action: Action::RecoverTable { table: orders(), pid: Pid(1), endpoint: endpoint(2) },
            },
        },
        Event::StillGoingOn {
            going_on: OutstandingWork::Load { endpoint: endpoint(1), table: orders(), pid: Pid(1), seen: true },
        },
        Event::StillGoingOn {
            going_on: OutstandingWork::Op {
                op: OpId(31),
                kind: "kReAddReplicaOP".to_owned(),
                table: orders(),
                pid: Pid(1),
                task: "kSendSnapshot".to_owned(),
            },
        },
    ];
    events.iter().for_each(complete);
    events
}

fn finding() -> Finding {
    let kind = FindingKind::NotAlive;
    Finding {
        kind,
        table: Some(orders()),
        pid: Some(Pid(2)),
        endpoint: Some(endpoint(3)),
        nature: Persistence::Stays,
        text: "not alive".to_owned(),
        hint: kind.hint().to_owned(),
    }
}

/// A replica that nobody had looked at when its leader was chosen.
fn unseen() -> HeldFor {
    HeldFor {
        db: "shop".to_owned(),
        table: "orders".to_owned(),
        pid: Pid(2),
        partition: PartitionId { tid: Tid(7), pid: Pid(2) },
        endpoint: "10.0.0.3:10921".into(),
        why: WhyHeld::Unseen,
    }
}

fn summary() -> Summary {
    Summary {
        verdict: Verdict::Partial,
        service: Some(Service {
            partitions: 165,
            serving: 165,
            lacking: 1,
            lacking_on: vec![Lacking { endpoint: Endpoint::from("10.0.0.3:10921"), partitions: 1, no_answer: true }],
            fewer: 0,
        }),
        playbook: Some("recover".to_owned()),
        auto_failover: AutoFailoverSeen::of(true, false, &[unseen()]),
        partitions: PartitionCounts { total: 165, healthy_before: 3, recovered: 161, blocked: 1, failed: 0 },
        replicas: ReplicaCounts { total: 495 },
        accepted: Vec::new(),
        given_up: vec![GivenUpEntry::new(&orders(), Pid(1), &given_up())],
        serving_after_ms: Some(2345),
        redundant_after_ms: Some(18_400),
        rpc: Rpc { reads: 4711, mutations: 1630 },
        blocked: vec![BlockedEntry::new(&orders(), Pid(2), &blocked())],
        verification: Some(Verification::of(vec![finding()])),
        rows_compared: Some(RowsCompared::default()),
        beside: openmldb_ops::run::Beside::default(),
    }
}

/// One partition, half of whose replicas are back.
fn audit() -> (Snapshot, Scope) {
    let mut snapshot = recorded::snapshot("02-everything-restarted");
    snapshot.tablets.values_mut().last().unwrap().held = Seen::Failed("connection refused".to_owned());
    (snapshot, Scope::Some(vec![Selector::table("shop.audit").unwrap()]))
}

/// The lines of data that are not a run's events.
fn data() -> Vec<String> {
    let (snapshot, scope) = audit();
    let (file, text) = load(DEFAULT).unwrap();
    let playbook = Playbook::parse(&file, &text).unwrap();
    let plan = prepare_plan(snapshot.clone(), &playbook, &scope, UnfinishedWork::default(), None).unwrap().plan;
    let paint = Paint::Plain;
    let context = PlanContext {
        snapshot: &snapshot,
        playbook: &playbook,
        auto_failover_before: true,
        stands: &[],
        id: None,
        service: &Service::of(&Status::of(&snapshot, &scope)),
        full: true,
        paint,
    };
    lines(|out| {
        out.plan(&plan, &context)?;
        out.status(&Status::of(&snapshot, &scope))?;
        out.snapshot(&snapshot, Some("before.yaml"))?;
        out.error(
            "no nameserver is registered under /openmldb",
            Some("start a nameserver, or check the root path"),
            &[],
        )?;
        out.summary(&summary())
    })
}

/// An index of two replicas, one of which holds a row more.
fn rows() -> Vec<String> {
    let replicas = [(endpoint(1), true), (endpoint(2), false)];
    let read = [RowsRead { rows: 93, bytes: 2139 }, RowsRead { rows: 94, bytes: 2162 }];
    let compared = RowsComparedLine::of(&orders(), 1, "idx", &replicas, &read, 1);
    // A header of six bytes (versions, length), one byte of nulls, and a column of eight bytes.
    let value = [&[1, 1, 15, 0, 0, 0, 0][..], &7_u64.to_le_bytes()].concat();
    let columns = vec![Column { name: "id".to_owned(), kind: ColumnKind::BigInt }];
    let schema = Schema { columns, versions: Vec::new(), indexes: Vec::new() };
    let row = Row { key: b"k7".to_vec(), time: 1_795_341_600_000, value };
    let odd = OddRowLine::of(&compared, &OddRow { row, held: vec![0, 1] }, &schema);
    vec![serde_json::to_string(&odd).unwrap(), serde_json::to_string(&compared).unwrap()]
}

fn all_lines() -> Vec<String> {
    let events = lines(|out| events().iter().try_for_each(|event| out.event(event)));
    events.into_iter().chain(rows()).chain(data()).collect()
}

#[test]
fn every_kind_of_event_stands_in_the_document_as_this_build_writes_it() {
    let document = document();
    let missing: Vec<String> = all_lines().into_iter().filter(|line| !document.contains(line.as_str())).collect();
    assert!(missing.is_empty(), "not in docs/output.md, or not like this:\n{}", missing.join("\n"));
}

#[test]
fn every_line_is_as_the_schema_says_and_so_is_every_example() {
    let document = document();
    let examples = document.lines().filter(|line| line.starts_with("{\"event\":")).map(str::to_owned);
    for line in all_lines().into_iter().chain(examples) {
        let problem = schema::problem(&serde_json::from_str(&line).unwrap());
        assert_eq!(problem, None);
    }
}

/// What stands in the schema is what is promised; nothing of it may be wrong unnoticed.
#[test]
fn a_line_that_is_not_as_the_schema_says_is_noticed() {
    let good: Value = serde_json::from_str(lines(|out| out.summary(&summary())).first().unwrap()).unwrap();
    assert_eq!(schema::problem(&good), None);
    let spoilt = |spoil: fn(&mut Value)| {
        let mut line = good.clone();
        spoil(&mut line);
        schema::problem(&line).unwrap_or_else(|| panic!("not noticed: {line}"))
    };
    assert!(spoilt(|line| line["verdict"] = "fine".into()).contains("is none of"));
    assert!(spoilt(|line| line["colour"] = "red".into()).contains("`colour` is not described"));
    assert!(spoilt(|line| line["rpc"]["reads"] = "many".into()).contains("is no \"integer\""));
    assert!(spoilt(|line| line["blocked"][0]["pid"] = Value::Null).contains("blocked_entry: `pid`"));
    assert!(spoilt(|line| drop(line.as_object_mut().unwrap().remove("playbook"))).contains("\"playbook\" is missing"));
    assert!(spoilt(|line| line["event"] = "end".into()).contains("knows no `end`"));
}

#[test]
fn the_schema_has_a_version_and_the_document_says_which() {
    let id = schema::SCHEMA["$id"].as_str().unwrap();
    let version = schema::SCHEMA["x-version"].to_string();
    assert!(id.ends_with(&format!("/v{version}")), "{id}");
    assert!(document().contains(&format!("[output.schema.json](output.schema.json), version {version}")));
    let named: Vec<&str> =
        schema::SCHEMA["oneOf"].as_array().unwrap().iter().map(|of| of["$ref"].as_str().unwrap()).collect();
    let described = schema::SCHEMA["$defs"].as_object().unwrap().keys().filter(|name| name.starts_with("event_"));
    let described: Vec<String> = described.map(|name| format!("#/$defs/{name}")).collect();
    assert!(described.iter().all(|name| named.contains(&name.as_str())) && described.len() == named.len());
}

/// The names of all fields below a value.
fn fields(value: &Value, names: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                names.push(name.clone());
                fields(value, names);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| fields(item, names)),
        _ => {}
    }
}

#[test]
fn every_field_is_explained() {
    let document = document();
    let mut names = Vec::new();
    all_lines().iter().for_each(|line| fields(&serde_json::from_str(line).unwrap(), &mut names));
    names.retain(|name| !document.contains(&format!("`{name}`")));
    names.sort();
    names.dedup();
    assert!(names.is_empty(), "not explained in docs/output.md: {}", names.join(", "));
}

/// One of each call; a new one does not compile until it stands here.
fn calls() -> Vec<Action> {
    let complete = |action: &Action| match action {
        Action::SetAutoFailover { .. }
        | Action::OfflineEndpoint { .. }
        | Action::CancelOp { .. }
        | Action::MarkAlive { .. }
        | Action::ChangeLeader { .. }
        | Action::RecoverTable { .. }
        | Action::LoadTable { .. }
        | Action::LoadWithSchema { .. }
        | Action::ChangeRole { .. }
        | Action::AddReplica { .. }
        | Action::AttachRemote { .. }
        | Action::DelReplica { .. }
        | Action::DropTable { .. }
        | Action::MakeSnapshot { .. }
        | Action::CreateAggregator { .. }
        | Action::RecoverSnapshot { .. } => {}
        // In records it is a step's words.
        Action::Manual(_) => {}
    };
    let (table, pid, partition) = (orders(), Pid(1), id());
    let storage = StorageMode::Memory;
    let (a, b) = (endpoint(1), endpoint(2));
    let calls = vec![
        Action::SetAutoFailover { on: false },
        Action::CancelOp { op: OpId(12) },
        Action::MarkAlive { table: table.clone(), pid: Some(pid), endpoint: a.clone(), alive: false },
        Action::ChangeLeader { table: table.clone(), pid, candidate: b.clone() },
        Action::RecoverTable { table: table.clone(), pid, endpoint: b.clone() },
        Action::LoadTable { endpoint: a.clone(), table: table.clone(), partition, seg_cnt: 8, storage },
        Action::LoadWithSchema { endpoint: a.clone(), table, partition, seg_cnt: 8, storage },
        Action::ChangeRole { endpoint: a.clone(), partition, term: Term(3), replicas: vec![b.clone()] },
        Action::AddReplica { endpoint: a.clone(), partition, follower: b.clone() },
        Action::AttachRemote { endpoint: a.clone(), partition, remote: b.clone(), remote_tid: Tid(1007) },
        Action::DelReplica { endpoint: a.clone(), partition, follower: b.clone() },
        Action::DropTable { endpoint: b.clone(), partition },
        Action::MakeSnapshot { endpoint: b, partition, offset: Offset(93), storage },
        Action::CreateAggregator { endpoint: a.clone(), table: orders(), partition },
        Action::RecoverSnapshot { endpoint: a, partition },
    ];
    calls.iter().for_each(complete);
    calls
}

#[test]
fn every_call_stands_in_the_document_with_its_fields() {
    let document = document();
    for action in calls() {
        let value = serde_json::to_value(&action).unwrap();
        let call = value["call"].as_str().unwrap();
        let row = document.lines().find(|line| line.starts_with(&format!("| `{call}` |")));
        let row = row.unwrap_or_else(|| panic!("docs/output.md has no row for the call `{call}`"));
        for name in value.as_object().unwrap().keys().filter(|name| *name != "call") {
            assert!(row.contains(&format!("`{name}`")), "{name} is missing in: {row}");
        }
    }
}

#[test]
fn every_reason_stands_in_the_document() {
    let document = document();
    let missing: Vec<&str> = Reason::ALL
        .iter()
        .map(|reason| reason.code())
        .filter(|code| !document.contains(&format!("| `{code}` |")))
        .collect();
    assert!(missing.is_empty(), "not in docs/output.md: {}", missing.join(", "));
}

/// As `explain` says it.
#[test]
fn reasons_and_findings_mean_what_the_document_says() {
    let document = document();
    let reasons = Reason::ALL.iter().map(|reason| (reason.code(), reason.means()));
    let findings = FindingKind::ALL.iter().map(|kind| (kind.code(), kind.means()));
    for (code, means) in reasons.chain(findings) {
        let row = format!("| `{code}` | {means} |");
        assert!(document.lines().any(|line| line == row), "not in docs/output.md: {row}");
    }
}

#[test]
fn every_kind_of_finding_stands_in_the_document() {
    let document = document();
    let name = |kind: &FindingKind| serde_json::to_value(kind).unwrap().as_str().unwrap().to_owned();
    let names = FindingKind::ALL.iter().map(name);
    let missing: Vec<String> = names.filter(|name| !document.contains(&format!("| `{name}` |"))).collect();
    assert!(missing.is_empty(), "not in docs/output.md: {}", missing.join(", "));
}

#[test]
fn the_summary_has_the_fields_that_scripts_rely_on() {
    let value: Value = serde_json::from_str(data().last().unwrap()).unwrap();
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<std::collections::BTreeSet<_>>();
    let expect = |value: &Value, names: &[&str]| {
        let missing: Vec<&&str> = names.iter().filter(|name| !keys(value).contains(**name)).collect();
        assert!(missing.is_empty(), "{missing:?} missing in {value}");
    };
    expect(&value, &["event", "verdict", "playbook", "auto_failover", "partitions", "replicas", "given_up"]);
    expect(&value, &["serving_after_ms", "redundant_after_ms", "rpc", "blocked"]);
    expect(&value["auto_failover"], &["before", "after"]);
    expect(&value["partitions"], &["total", "healthy_before", "recovered", "blocked", "failed"]);
    expect(&value["replicas"], &["total"]);
    expect(&value["rpc"], &["reads", "mutations"]);
    expect(&value["given_up"][0], &["db", "table", "pid", "endpoint", "entries", "term"]);
    expect(&value["blocked"][0], &["db", "table", "pid", "reason", "text", "hint"]);
}
