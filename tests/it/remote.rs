//! Clusters that follow another one: what is said of them, and what a recovery does about them.

use std::sync::Arc;

use openmldb_ops::cluster::Trace;
use openmldb_ops::model::{Endpoint, PartitionId, Pid};
use openmldb_ops::run::Event;
use openmldb_ops::sandbox::scenario::Scenario;
use openmldb_ops::sandbox::{Options, World};
use openmldb_ops::wire::api::{GetTableFollowerRequest, ReplicaRequest};
use openmldb_ops::wire::call::{TabletAnswer, TabletCall};

use crate::support::cli_harness::CliHarness;
use crate::support::harness::{Harness, Setup};
use crate::support::outside::{auto_failover, leader, orders};
use crate::support::relay::method;
use crate::support::zookeeper::needs_zookeeper;

/// A tablet of the other cluster.
const THERE: &str = "127.0.0.1:12011";

fn there() -> Endpoint {
    THERE.into()
}

/// Everything was restarted in a cluster that another one follows.
async fn followed() -> Harness {
    let harness = Harness::in_memory(Scenario::EverythingRestarted).await;
    harness.world(|world| world.be_followed("dr", &there()));
    harness
}

/// A row is put to a partition's leader, and comes to the other cluster.
async fn arrives(harness: &Harness, id: PartitionId) {
    let before = harness.world(|world| world.remote_offset(&there(), id.tid.0, id.pid.0)).unwrap();
    harness.world(|world| {
        let leads = leader(world, id);
        assert!(world.put_row(&leads, id));
    });
    let so = |world: &mut World| world.remote_offset(&there(), id.tid.0, id.pid.0) == Some(before + 1);
    harness.until("a row comes to the other cluster", so).await;
}

fn notes(events: &[Event]) -> Vec<String> {
    let text = |event: &Event| if let Event::Note { text } = event { Some(text.clone()) } else { None };
    events.iter().filter_map(text).collect()
}

#[tokio::test(start_paused = true)]
async fn leaders_replicate_to_the_other_cluster_again_once_they_are_recovered() {
    let harness = followed().await;
    let (id, partitions) = harness.world(|world| (orders(world, 0), world.metadata().len()));
    let run = harness.run().await;
    assert_eq!(run.recovered.summary.verdict.word(), "recovered");
    let told: Vec<String> =
        run.sent.iter().map(|call| format!("{call:?}")).filter(|call| call.contains(THERE)).collect();
    assert_eq!(told.len(), partitions, "{told:?}");
    arrives(&harness, id).await;
    let again = harness.run().await;
    assert!(again.sent.is_empty(), "{:?}", again.sent);
}

#[tokio::test(start_paused = true)]
async fn what_an_earlier_run_could_not_attach_is_attached_by_the_next() {
    let harness = followed().await;
    harness.world(|world| world.tablets_mut().freeze(THERE, true));
    let run = harness.run().await;
    assert_eq!(run.recovered.summary.verdict.word(), "recovered", "this cluster is whole all the same");
    let said = notes(&run.events).join("\n");
    assert!(said.contains("not replicated to the cluster dr (") && said.contains(THERE), "{said}");
    let findings = &run.recovered.summary.verification.as_ref().unwrap().findings;
    assert!(findings.iter().all(|finding| finding.kind.code() == "remote_detached") && !findings.is_empty());
    harness.world(|world| world.tablets_mut().freeze(THERE, false));
    let again = harness.run().await;
    assert!(again.sent.iter().all(|call| method(call) == "AddReplica") && !again.sent.is_empty(), "{:?}", again.sent);
    let id = harness.world(|world| orders(world, 0));
    arrives(&harness, id).await;
}

#[tokio::test(start_paused = true)]
async fn a_fault_of_our_own_while_they_are_attached_does_not_leave_auto_failover_off() {
    let harness = followed().await;
    let trace: Trace = Arc::new(|_: &str, method: &str, _| assert_ne!(method, "AddReplica", "a fault of our own"));
    let run = harness.run_with(Setup { trace: Some(trace), ..Setup::new() }).await;
    let said = notes(&run.events).join("\n");
    assert!(said.contains("an internal error: ") && said.contains("a fault of our own"), "{said}");
    assert!(run.recovered.not_restored.is_none() && harness.world(auto_failover));
    let again = harness.run().await;
    assert_eq!(again.recovered.summary.verdict.word(), "healthy", "every partition was recovered before");
}

/// The same, where every replica here of a partition has lost the end of its log, and the other cluster has not.
async fn followed_by_one_that_holds_more() -> (Harness, PartitionId) {
    let harness = followed().await;
    let id = harness.world(|world| {
        let id = orders(world, 1);
        for at in world.tablet_endpoints().to_vec() {
            let log = world.tablets_mut().log_on_disk(at.as_str(), id.tid.0, id.pid.0).unwrap();
            let end = log.last().unwrap().index;
            world.tablets_mut().lose_entries(at.as_str(), id.tid.0, id.pid.0, end - 2, end);
        }
        id
    });
    (harness, id)
}

#[tokio::test(start_paused = true)]
async fn one_that_holds_more_than_the_leader_is_left_alone_and_that_is_said() {
    let (harness, id) = followed_by_one_that_holds_more().await;
    let run = harness.run().await;
    let said = notes(&run.events).join("\n");
    assert!(said.contains("1 partition not replicated to the cluster dr (shop.orders/1)"), "{said}");
    assert!(said.contains("would be passed over there"), "{said}");
    let attached = run.sent.iter().filter(|call| format!("{call:?}").contains(THERE)).count();
    assert_eq!(attached, harness.world(|world| world.metadata().len()) - 1);
    arrives(&harness, PartitionId { pid: Pid(0), ..id }).await;
}

/// The leader passes the replica there with other entries, and offsets are equal afterwards: how far it was is in the record.
#[tokio::test(start_paused = true)]
async fn what_clients_have_written_since_a_leader_was_chosen_is_no_proof_for_a_later_run() {
    let (harness, id) = followed_by_one_that_holds_more().await;
    harness.run().await;
    let passes = |harness: &Harness| {
        harness.world(|world| {
            let leads = leader(world, id);
            (0..10).for_each(|_| assert!(world.put_row(&leads, id)));
        });
    };
    passes(&harness);
    // Two more: what the second knows it has from the first.
    for _ in 0..2 {
        let run = harness.run().await;
        let said = notes(&run.events).join("\n");
        assert!(said.contains("1 partition not replicated to the cluster dr (shop.orders/1)"), "{said}");
        assert!(said.contains("would be passed over there"), "{said}");
        assert!(run.sent.iter().all(|call| !format!("{call:?}").contains(THERE)), "{:?}", run.sent);
        passes(&harness);
    }
    // Nor is it one for a run that makes it the leader anew.
    harness.world(|world| {
        world.kill_everything();
        world.start_everything();
    });
    harness.until("a nameserver leads", |world| world.leader().is_some()).await;
    let run = harness.run().await;
    let said = notes(&run.events).join("\n");
    assert!(said.contains("not replicated to the cluster dr (shop.orders/1)"), "{said}");
}

/// How far a leader was when an earlier run had it replicate there says nothing once it has: both have come further since.
#[tokio::test(start_paused = true)]
async fn a_cluster_that_goes_down_again_is_attached_again() {
    let harness = followed().await;
    let id = harness.world(|world| orders(world, 0));
    harness.run().await;
    for round in 0..2 {
        for _ in 0..3 {
            arrives(&harness, id).await;
        }
        harness.world(|world| {
            world.kill_everything();
            world.start_everything();
            world.tablets_mut().freeze(THERE, round == 0);
        });
        harness.until("a nameserver leads", |world| world.leader().is_some()).await;
        // The second time only the run after next reaches it.
        harness.run().await;
        harness.world(|world| world.tablets_mut().freeze(THERE, false));
        let run = harness.run().await;
        assert_eq!(run.sent.is_empty(), round == 1, "{:?}", run.sent);
        arrives(&harness, id).await;
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_record_nobody_knows_whether_the_other_cluster_holds_the_beginning_of_a_leaders_log() {
    let (harness, id) = followed_by_one_that_holds_more().await;
    harness.run().await;
    std::fs::read_dir(harness.records.path())
        .unwrap()
        .for_each(|file| std::fs::remove_file(file.unwrap().path()).unwrap());
    let run = harness.run().await;
    let said = notes(&run.events).join("\n");
    assert!(said.contains("(shop.orders/1)") && said.contains("no record here says how far the leader was"), "{said}");
    assert!(harness.world(|world| world.remote_offset(&there(), id.tid.0, id.pid.0)).is_some());
    assert!(run.sent.iter().all(|call| !format!("{call:?}").contains(THERE)), "{:?}", run.sent);
}

#[tokio::test(start_paused = true)]
async fn one_that_an_election_has_attached_and_that_holds_more_is_said() {
    let (harness, id) = followed_by_one_that_holds_more().await;
    harness.world(|world| world.tablets_mut().freeze(THERE, true));
    harness.run().await;
    let others = harness.world(|world| {
        world.tablets_mut().freeze(THERE, false);
        let leads = leader(world, id);
        world.tablets_mut().replicate_to_remote(leads.as_str(), id, THERE, id.tid.0 + 1_000);
        world.metadata().len() - 1
    });
    let have_agreed = |world: &mut World| {
        let request = GetTableFollowerRequest { tid: Some(id.tid.0), pid: Some(id.pid.0) };
        let leads = leader(world, id);
        let answer = world.call_tablet(&leads, TabletCall::GetTableFollower(request)).unwrap();
        let TabletAnswer::GetTableFollower(answer) = answer else { return false };
        answer.follower_info.iter().any(|info| info.endpoint() == THERE && info.offset() > 0)
    };
    harness.until("leader and replica have agreed on an offset", have_agreed).await;
    let run = harness.run().await;
    let said = notes(&run.events).join("\n");
    assert!(said.contains("1 partition behind what is held in the cluster dr (shop.orders/1)"), "{said}");
    assert!(said.contains(&format!("{others} partitions are replicated to the cluster dr again")), "{said}");
}

/// It led on, and somebody had it let go of a replica that a run had attached: how far it was then is in no record.
#[tokio::test(start_paused = true)]
async fn how_far_a_leader_was_before_it_was_attached_is_no_proof_once_it_has_lost_touch_again() {
    let harness = followed().await;
    let id = harness.world(|world| orders(world, 0));
    harness.run().await;
    harness.world(|world| {
        let request = ReplicaRequest {
            tid: Some(id.tid.0),
            pid: Some(id.pid.0),
            endpoint: Some(THERE.to_owned()),
            ..ReplicaRequest::default()
        };
        let leads = leader(world, id);
        world.call_tablet(&leads, TabletCall::DelReplica(request)).unwrap();
    });
    let run = harness.run().await;
    let said = notes(&run.events).join("\n");
    assert!(said.contains("no record here says how far the leader was when that one lost touch with it"), "{said}");
    assert!(run.sent.is_empty(), "{:?}", run.sent);
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_follows_is_recovered_and_what_may_be_missing_is_said() {
    let harness = Harness::in_memory(Scenario::EverythingRestarted).await;
    harness.world(|world| world.follow("10.1.0.1:7527/openmldb", "dr"));
    let run = harness.run_with(Setup::new()).await;
    assert_eq!(run.recovered.summary.verdict.word(), "recovered");
    let said = notes(&run.events).join("\n");
    assert!(said.contains("this cluster follows another one"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn status_and_show_tables_tell_of_other_clusters() {
    needs_zookeeper!();
    let cli_harness = CliHarness::made(
        Scenario::EverythingRestarted,
        Options { followed_by: Some("dr".to_owned()), ..Options::default() },
    )
    .await;
    let plan = cli_harness.says(0, "recover --all --dry-run");
    assert!(plan.contains("replicated to dr: leaders that are made here know nothing of that"), "{plan}");
    cli_harness.says(0, "recover --all");
    let status = cli_harness.says(0, "status");
    assert!(status.contains("The cluster dr follows this one: 12 of 12 partitions replicated to it."), "{status}");
    let tables = cli_harness.says(0, "show tables shop.orders");
    assert_eq!(tables.matches("in dr").count(), 4, "{tables}");
    let remote = cli_harness
        .harness
        .world(|world| world.metadata()[&orders(world, 0)].remote_partition_meta[0].endpoint.clone());
    let mistyped = remote.replace(':', ":1");
    cli_harness.is_mistyped(
        &format!("replica disconnect shop.orders/0 {mistyped}"),
        &format!("no replica of shop.orders/0 is on {mistyped}; in other clusters it has some on {remote}"),
    );
    let said = cli_harness.says(2, &format!("replica disconnect shop.orders/0 {mistyped}"));
    assert!(said.contains(&format!("did you mean {remote}?")), "{said}");
    for again in ["", " already: nothing is sent"] {
        let freed = cli_harness.says(0, &format!("replica disconnect shop.orders/0 {remote}"));
        let text = format!("the leader of shop.orders/0 does not replicate to {remote} any more{again}\n");
        assert!(freed.contains(&text), "{freed}");
    }
    let status = cli_harness.says(0, "status");
    assert!(status.contains("Not replicated to it: shop.orders/0. `openmldb-ops recover --all` attaches"), "{status}");
    let again = cli_harness.says(0, "recover --all");
    assert!(again.contains("1 partition is replicated to the cluster dr again"), "{again}");
    let json = cli_harness.says(0, "status --output json");
    assert!(json.contains("\"zone\":{\"leads\"") && json.contains("\"attached\":true"), "{json}");
    cli_harness.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn status_says_that_a_cluster_follows_another_one() {
    needs_zookeeper!();
    let follows = Some("10.1.0.1:7527/openmldb".to_owned());
    let cli_harness = CliHarness::made(Scenario::Healthy, Options { follows, ..Options::default() }).await;
    let status = cli_harness.says(0, "status");
    assert!(
        status.contains("It follows 10.1.0.1:7527/openmldb, as sandbox: its leaders take that one's entries"),
        "{status}"
    );
    cli_harness.ends().await;
}
