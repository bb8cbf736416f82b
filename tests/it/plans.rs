//! What is planned for every scenario: cold, as after everything was restarted, and again once every replica is loaded as a
//! follower. What is planned as in `everything-restarted` is only counted in the others.

use std::sync::Arc;
use std::time::Duration;

use openmldb_ops::cluster::{Cluster, Options};
use openmldb_ops::model::{Action, PartitionId, Seen, Snapshot, State};
use openmldb_ops::playbook::{DEFAULT, Playbook};
use openmldb_ops::recovery::{PartitionPlan, Plan};
use openmldb_ops::run::{Scope, Service, Status, UnfinishedWork, prepare_plan};
use openmldb_ops::sandbox::scenario::{Scenario, Shape};
use openmldb_ops::sandbox::{Addresses, InProcess, Live, TimeScale};
use openmldb_ops::snapshot::{collect, poll_tablet};
use openmldb_ops::ui::{Paint, PlanContext, plan_text};

use crate::support::decisions::{Usual, decisions};

/// When every snapshot was taken: 2026-11-23, 00:00 UTC.
const TAKEN_AT: u64 = 1_795_392_000_000;

/// A cluster in this condition, whose servers have the addresses of the recordings and whose calls need no sockets.
fn cluster(scenario: Scenario) -> Cluster {
    let world = scenario.bring_about(&Shape::default(), &Addresses::recorded(1, 3)).unwrap();
    Cluster::new(Arc::new(InProcess::new(Arc::new(Live::new(world, TimeScale::default())))), Options::default())
}

async fn look(cluster: &Cluster, scenario: Scenario) -> Snapshot {
    collect(cluster, scenario.name(), TAKEN_AT).await.unwrap()
}

fn playbook() -> Playbook {
    Playbook::find(DEFAULT).unwrap()
}

fn plan(snapshot: &Snapshot) -> Plan {
    prepare_plan(snapshot.clone(), &playbook(), &Scope::All, UnfinishedWork::default(), None).unwrap().plan
}

/// Loads every replica as a follower, and waits until what can be loaded is.
async fn load_everything(cluster: &Cluster, cold: &Snapshot) {
    let mut accepted = Vec::new();
    for table in &cold.tables {
        for partition in &table.partitions {
            for replica in &partition.replicas {
                let load = Action::LoadTable {
                    endpoint: replica.endpoint.clone(),
                    table: table.name.clone(),
                    partition: PartitionId { tid: table.tid, pid: partition.pid },
                    seg_cnt: 8,
                    storage: table.storage,
                };
                // One that has lost its directory refuses, one that is gone does not answer: the plan is to say so.
                if cluster.act(&load).await.is_ok() {
                    accepted.push((replica.endpoint.clone(), PartitionId { tid: table.tid, pid: partition.pid }));
                }
            }
        }
    }
    for _ in 0..6_000 {
        let mut loading = 0;
        for (endpoint, partition) in &accepted {
            let Seen::Known(held) = poll_tablet(cluster, endpoint).await else { panic!("{endpoint} went away") };
            loading += usize::from(held.get(partition).is_some_and(|held| held.state != State::Normal));
        }
        if loading == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("not loaded");
}

/// The cluster cold, and with everything loaded.
async fn looks(scenario: Scenario) -> [Snapshot; 2] {
    let cluster = cluster(scenario);
    let cold = look(&cluster, scenario).await;
    assert_eq!(plan(&cold), plan(&cold), "the same snapshot, the same plan");
    load_everything(&cluster, &cold).await;
    [cold, look(&cluster, scenario).await]
}

async fn check(scenario: Scenario) {
    let usual = match scenario {
        Scenario::EverythingRestarted => Default::default(),
        _ => looks(Scenario::EverythingRestarted).await.map(|look| Usual::of(&plan(&look), &look, &playbook())),
    };
    let [cold, loaded] = looks(scenario).await;
    let [cold, loaded] = [(&cold, &usual[0]), (&loaded, &usual[1])]
        .map(|(look, usual)| decisions(&plan(look), look, &playbook(), usual));
    insta::assert_snapshot!(scenario.name(), format!("cold: {cold}\n\nloaded: {loaded}"));
}

/// Some partitions of a plan as a terminal shows them.
fn shown(snapshot: &Snapshot, tables: &[(&str, u32)]) -> String {
    let mut plan = plan(snapshot);
    let wanted = |(table, pid): &(&str, u32), planned: &PartitionPlan| {
        planned.table.table == *table && planned.partition.pid.0 == *pid
    };
    plan.partitions.retain(|planned| tables.iter().any(|table| wanted(table, planned)));
    assert_eq!(plan.partitions.len(), tables.len());
    let context = PlanContext {
        snapshot,
        playbook: &playbook(),
        auto_failover_before: snapshot.auto_failover,
        stands: &[],
        id: None,
        service: &Service::of(&Status::of(snapshot, &Scope::All)),
        full: true,
        paint: Paint::Plain,
    };
    plan_text(&plan, &context)
}

/// What a page of a plan may say and those of `texts` do not: losses and what follows once they are accepted, a snapshot whose file is
/// missing, terms that are proven now, a leader promoted, a stray replica dropped.
#[tokio::test(start_paused = true)]
async fn what_is_rare_is_shown_word_for_word() {
    let mut out = String::new();
    for (scenario, is_loaded, partitions) in [
        (Scenario::EmptiedDisks, false, &[("USER", 0), ("orders", 0)][..]),
        (Scenario::HollowLeader, false, &[("orders", 0)]),
        (Scenario::DeadOldLeaderLonger, true, &[("orders", 0)]),
        (Scenario::NodeLost, false, &[("orders", 0)]),
        (Scenario::NodeBack, false, &[("orders", 1)]),
        (Scenario::TwoLeaderFlags, false, &[("orders", 1)]),
        (Scenario::PowerCut, true, &[("orders", 1)]),
    ] {
        out += &format!("{}\n", shown(&looks(scenario).await[usize::from(is_loaded)], partitions));
    }
    insta::assert_snapshot!("word_for_word", out);
}

macro_rules! plans {
    ($($name:ident $scenario:ident;)*) => {
        $(#[tokio::test(start_paused = true)]
        async fn $name() {
            check(Scenario::$scenario).await;
        })*

        #[test]
        fn there_is_a_plan_for_every_scenario() {
            let planned = [$(Scenario::$scenario,)*];
            assert_eq!(planned, Scenario::ALL);
        }
    };
}

plans! {
    healthy Healthy;
    everything_restarted EverythingRestarted;
    leaders_loaded LeadersLoaded;
    followers_recovering FollowersRecovering;
    recovered Recovered;
    tablets_restarted_failover_on TabletsRestartedFailoverOn;
    tablets_restarted_failover_off TabletsRestartedFailoverOff;
    two_leader_flags TwoLeaderFlags;
    server_names ServerNames;
    leader_lost_disk LeaderLostDisk;
    leader_lost_directory LeaderLostDirectory;
    longer_follower LongerFollower;
    hollow_leader HollowLeader;
    tablet_missing TabletMissing;
    dead_old_leader_longer DeadOldLeaderLonger;
    diverged_tail DivergedTail;
    disk_tables DiskTables;
    pre_aggregate PreAggregate;
    leader_and_writers LeaderAndWriters;
    tablets_added TabletsAdded;
    clients_writing ClientsWriting;
    node_lost NodeLost;
    node_back NodeBack;
    power_cut PowerCut;
    emptied_disks EmptiedDisks;
    deleted_rows DeletedRows;
    expired_rows ExpiredRows;
    disk_overwrites DiskOverwrites;
    aggregate_apart AggregateApart;
}
