//! One of each event, call and line of data, as a run could tell it.

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
use openmldb_ops::ui::{OddRowLine, Paint, PlanContext, RowsComparedLine};
use openmldb_ops::verify::{Finding, FindingKind, Persistence, Verification};

use crate::support::recorded;

use super::lines;

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
pub(super) fn events() -> Vec<Event> {
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

pub(super) fn summary() -> Summary {
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
pub(super) fn data() -> Vec<String> {
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
pub(super) fn rows() -> Vec<String> {
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

/// One of each call; a new one does not compile until it stands here.
pub(super) fn calls() -> Vec<Action> {
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
