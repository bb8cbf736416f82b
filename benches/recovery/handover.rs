//! How long nobody can write to a partition while another replica is made its leader: alone, beside servers that hang, and in a cluster
//! with many other partitions. In virtual time, at the world itself; every call takes a millisecond (observed on real servers).

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use openmldb_ops::cluster::{Cluster, Hold, Options};
use openmldb_ops::model::{Endpoint, Pid, TableName};
use openmldb_ops::operate::{Job, StateDir, Undertaking};
use openmldb_ops::run::{Caller, Directory, InMemoryLock, Stop, WorkSession};
use openmldb_ops::sandbox::scenario::{Generated, Scenario, Shape};
use openmldb_ops::sandbox::{Addresses, InProcess, Live, World, in_virtual_time};
use tokio::sync::watch;

use super::table::{Book, rounded};

/// How often each is measured: elections wait for the nameserver's clock.
const TIMES: u64 = 20;
const CALLS_TAKE: &str = "*:every=slow-1ms";

/// What else is the matter.
#[derive(Debug, Clone, Copy)]
enum Beside {
    Nothing,
    HangingTablet,
    HangingStandby,
    ManyPartitions,
}

impl Beside {
    const ALL: [Self; 4] = [Self::Nothing, Self::HangingTablet, Self::HangingStandby, Self::ManyPartitions];

    fn name(self) -> &'static str {
        match self {
            Self::Nothing => "alone",
            Self::HangingTablet => "an unrelated tablet hangs",
            Self::HangingStandby => "a standby of the nameserver hangs",
            Self::ManyPartitions => "1,000 other partitions",
        }
    }
}

/// Runs it.
pub fn run(book: &mut Book, quick: bool) {
    book.begin("handover", "virtual ms without a leader in a handover, one row written every 5 ms");
    for beside in Beside::ALL {
        let mut outages = Vec::new();
        let (mut done, mut calls, mut to_others) = (0_u64, 0_usize, 0_usize);
        let times = if quick { 3 } else { TIMES };
        for seed in 1..=times {
            let world = hand_over(beside, seed);
            calls += world.trace().calls().count();
            to_others += asked_meanwhile(&world);
            let spans = world.leaderless().iter();
            outages.extend(spans.map(|span| span.until.expect("somebody leads at the end") - span.from));
            done +=
                u64::from(world.leaderless().first().is_some_and(|span| leads(&world) != Some(span.leader.clone())));
        }
        outages.sort_unstable();
        let median = outages[outages.len() / 2];
        book.row(
            "handover",
            &[
                beside.name().into(),
                times.into(),
                median.into(),
                outages.last().copied().into(),
                rounded(outages.len() as f64 / times as f64),
                done.into(),
                rounded(calls as f64 / times as f64),
                to_others.into(),
            ],
        );
    }
}

/// Calls, while the partition had no leader, to servers that have no part in it: tablets without a replica of it, and nameservers
/// that do not lead.
fn asked_meanwhile(world: &World) -> usize {
    let table = world.tables().into_iter().find(|table| table.name() == "t0").expect("the first table");
    let places: Vec<String> =
        table.table_partition[0].partition_meta.iter().map(|meta| meta.endpoint.clone()).collect();
    let leader = world.leader();
    let has_part =
        |server: &Endpoint| places.iter().any(|place| place == server.as_str()) || Some(server) == leader.as_ref();
    let meanwhile =
        |at: u64| world.leaderless().iter().any(|span| span.from <= at && span.until.is_none_or(|end| at < end));
    world.trace().calls().filter(|call| meanwhile(call.at) && !has_part(&call.server)).count()
}

fn table_of(world: &World) -> (TableName, Pid, Endpoint, Endpoint, Vec<Endpoint>) {
    let table = world.tables().into_iter().find(|table| table.name() == "t0").expect("the first table");
    let metas = &table.table_partition[0];
    let at = |leads: bool| {
        let meta = metas.partition_meta.iter().find(|meta| meta.is_leader == leads).expect("a replica");
        Endpoint::from(meta.endpoint.as_str())
    };
    let places = metas.partition_meta.iter().map(|meta| Endpoint::from(meta.endpoint.as_str())).collect();
    let name = TableName { db: table.db().to_owned(), table: table.name().to_owned() };
    (name, Pid(metas.pid), at(true), at(false), places)
}

/// Who is flagged leader and alive.
fn leads(world: &World) -> Option<Endpoint> {
    let table = world.tables().into_iter().find(|table| table.name() == "t0")?;
    let metas = &table.table_partition.first()?.partition_meta;
    metas.iter().find(|meta| meta.is_leader && meta.is_alive()).map(|meta| meta.endpoint.as_str().into())
}

fn hand_over(beside: Beside, seed: u64) -> World {
    let partitions = if matches!(beside, Beside::ManyPartitions) { 500 } else { 4 };
    let generated = Some(Generated { tables: 2, partitions, replicas: 2, rows: 40 });
    let shape = Shape { tablets: 4, generated, seed };
    let mut world = Scenario::Healthy.bring_about(&shape, &Addresses::recorded(2, 4)).expect("a healthy cluster");
    world.nameserver_settings_mut().op_fails_for_no_reason = None;
    world.start_writers(5, seed);
    let (table, pid, _, to, places) = table_of(&world);
    let unrelated = world.tablet_endpoints().iter().find(|at| !places.contains(at)).cloned();
    match (beside, unrelated) {
        (Beside::HangingTablet, Some(at)) => world.hang_tablet(&at, true),
        (Beside::HangingStandby, _) => {
            let faults = [CALLS_TAKE, "0ms=standby-freezes-600s"];
            world.set_faults(faults.iter().map(|fault| fault.parse().expect("a fault")).collect(), seed);
        }
        _ => {}
    }
    if !matches!(beside, Beside::HangingStandby) {
        world.set_faults(vec![CALLS_TAKE.parse().expect("a fault")], seed);
    }
    let papers = std::env::temp_dir().join(format!("openmldb-ops-bench-{}-{seed}", std::process::id()));
    let played = in_virtual_time(world, async |live: &Arc<Live>| {
        job(live, Undertaking::Handover { table, pids: vec![pid], to }, papers.clone()).await
    });
    let (world, report) = played.expect("virtual time");
    // There may be none.
    let _ = std::fs::remove_dir_all(&papers);
    report.expect("a handover");
    world
}

async fn job(live: &Arc<Live>, undertaking: Undertaking, papers: PathBuf) -> Result<(), String> {
    let (_never, stop) = watch::channel(Stop::No);
    let lock = Arc::new(InMemoryLock::default());
    lock.becomes(Hold::Held);
    let session = WorkSession {
        cluster_name: "in memory".to_owned(),
        archive: Arc::new(Directory(papers.clone())),
        caller: Caller::default(),
        lock,
        pace: 1.0,
        listener: Arc::new(|_| {}),
        stop,
        record: Arc::default(),
        now_ms: live.now(),
    };
    let job = Job {
        undertaking,
        session,
        room: openmldb_ops::run::Room::default(),
        state_dir: StateDir::new(&papers, "in memory"),
        step_timeout: Duration::from_secs(600),
        leaderless_limit: Duration::from_secs(5),
        told: Arc::new(|_| {}),
    };
    let cluster = Cluster::new(Arc::new(InProcess::new(live.clone())), Options::default());
    job.perform(&cluster).await.map(drop).map_err(|error| error.to_string())
}
