//! Scaling out and in, a tablet's upgrade, a handover: through a real ZooKeeper, with real processes, and with clients writing.

use std::collections::BTreeMap;

use openmldb_ops::model::Endpoint;
use openmldb_ops::sandbox::World;
use openmldb_ops::sandbox::scenario::{Generated, Scenario, Shape};
use openmldb_ops::wire::api::ReplicaRequest;
use openmldb_ops::wire::call::TabletCall;
use serde_json::Value;

use crate::support::cli_harness::CliHarness;
use crate::support::outside::{auto_failover, flags, is, leader, orders};
use crate::support::zookeeper::needs_zookeeper;

/// Replicas on each tablet, those with none included.
fn shares(world: &mut World) -> BTreeMap<Endpoint, usize> {
    let mut shares: BTreeMap<Endpoint, usize> = world.tablet_endpoints().iter().map(|at| (at.clone(), 0)).collect();
    for metas in world.metadata().values().flat_map(|metas| &metas.partition_meta) {
        *shares.get_mut(&Endpoint::from(metas.endpoint.as_str())).unwrap() += 1;
    }
    shares
}

/// Partitions that a tablet leads.
fn led(world: &mut World, at: &Endpoint) -> usize {
    let leads = |metas: &&_| {
        let metas: &openmldb_ops::wire::nameserver::TablePartition = metas;
        metas.partition_meta.iter().any(|meta| meta.is_leader && meta.is_alive() && meta.endpoint == at.as_str())
    };
    world.metadata().values().filter(leads).count()
}

fn lines(said: &str) -> Vec<Value> {
    said.lines().filter(|line| line.starts_with('{')).map(|line| serde_json::from_str(line).unwrap()).collect()
}

impl CliHarness {
    fn sent(&self) -> u64 {
        self.harness.world(|world| world.trace().mutations())
    }

    /// Every row is where it should be, and the program finds nothing to complain of.
    async fn all_is_well(self) {
        self.says(0, "status");
        assert!(self.harness.world(auto_failover), "auto_failover is restored");
        let rows = self.harness.settle();
        assert_eq!(rows.rows_after, rows.rows_expected);
        assert_eq!(rows.partitions_with_two_alive_leaders, 0);
        assert_eq!(self.harness.world(|world| world.diverged()), Default::default());
        self.ends().await;
    }

    /// Where else `shop.orders/0` has a replica.
    fn other_than(&self, those: &[&Endpoint]) -> Endpoint {
        let on = self.harness.world(|world| flags(world, orders(world, 0)));
        on.into_iter().map(|flags| flags.endpoint).find(|at| !those.contains(&at)).unwrap()
    }

    /// A follower of `shop.orders/0` that its leader does not send the last row to. All others have it.
    async fn lags(&self, leader: &Endpoint, follower: &Endpoint) {
        let id = self.harness.world(|world| {
            let id = orders(world, 0);
            let (tid, pid, endpoint) = (Some(id.tid.0), Some(id.pid.0), Some(follower.to_string()));
            let forgets = ReplicaRequest { tid, pid, endpoint, ..ReplicaRequest::default() };
            world.call_tablet(leader, TabletCall::DelReplica(forgets)).unwrap();
            assert!(world.put_row(leader, id));
            id
        });
        let others = self.tablets().into_iter().filter(|at| at != follower).collect::<Vec<_>>();
        let have = |world: &mut World| {
            let all = world.log(leader, id).len();
            others.iter().all(|at| world.log(at, id).len() == all)
        };
        self.harness.until("the others have the row", have).await;
        assert!(self.harness.world(|world| world.log(follower, id).len() < world.log(leader, id).len()));
    }

    fn tablets(&self) -> Vec<Endpoint> {
        self.harness.world(|world| world.tablet_endpoints().to_vec())
    }
}

/// While a tablet's upgrade is open, or it is being emptied, it is given nothing, and no other tablet's upgrade is begun.
#[tokio::test(flavor = "multi_thread")]
async fn a_tablet_that_is_upgraded_is_given_nothing_and_no_second_one_is() {
    needs_zookeeper!();
    let cli_harness = CliHarness::with(Scenario::TabletsAdded).await;
    let tablets = cli_harness.tablets();
    let (upgraded, other) = (&tablets[0], &tablets[1]);
    cli_harness.says(0, &format!("upgrade pre {upgraded}"));
    let had = cli_harness.harness.world(|world| (shares(world)[upgraded], led(world, upgraded)));
    assert_eq!(had.1, 0);
    cli_harness.refuses(&format!("upgrade pre {other}"), "two tablets would be without leaders at once");
    cli_harness.says(0, &format!("upgrade pre {upgraded}"));
    let (table, pid) = cli_harness.harness.world(|world| {
        let id = orders(world, 0);
        (flags(world, id).iter().any(|flags| flags.endpoint == *upgraded), id.pid)
    });
    if table {
        let handover = format!("leader handover shop.orders/{pid} --to {upgraded}");
        cli_harness.refuses(&handover, "no leaders are moved to");
    }
    let said = cli_harness.says(0, "scale out");
    assert!(said.contains(&format!("nothing is moved to {upgraded}: `upgrade pre {upgraded}` was started")), "{said}");
    let has = cli_harness.harness.world(|world| (shares(world)[upgraded], led(world, upgraded)));
    assert_eq!(has, had, "it neither gets nor gives anything");
    cli_harness.says(0, &format!("upgrade post {upgraded}"));
    cli_harness.says(0, &format!("upgrade pre {other}"));
    cli_harness.says(0, &format!("upgrade post {other}"));
    cli_harness.all_is_well().await;
}

/// The follower that is to lead lacks a row, and the one on a tablet that is upgraded has them all.
#[tokio::test(flavor = "multi_thread")]
async fn a_tablet_that_is_upgraded_does_not_lead_in_place_of_one_that_lags() {
    needs_zookeeper!();
    let cli_harness = CliHarness::with(Scenario::Healthy).await;
    let upgraded = cli_harness.leader_and_follower().1;
    cli_harness.says(0, &format!("upgrade pre {upgraded}"));
    let old = cli_harness.leader_and_follower().0;
    let successor = cli_harness.other_than(&[&old, &upgraded]);
    cli_harness.lags(&old, &successor).await;
    let said = cli_harness.says(0, &format!("leader handover shop.orders/0 --to {successor}"));
    let again = format!("{old} leads shop.orders/0 again: no follower held all of its entries");
    assert!(said.contains(&again) && !said.contains(&format!("changeleader orders 0 {upgraded}")), "{said}");
    assert_eq!(cli_harness.leader_and_follower().0, successor);
    assert_eq!(cli_harness.harness.world(|world| led(world, &upgraded)), 0);
    cli_harness.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_upgrade_of_a_tablet_that_is_gone_for_good_is_ended() {
    needs_zookeeper!();
    let cli_harness = CliHarness::with(Scenario::TabletsAdded).await;
    let tablets = cli_harness.tablets();
    let (gone, other) = (&tablets[0], &tablets[1]);
    let ends = format!("upgrade post {gone} --gone");
    cli_harness.refuses(&ends, "there is no record of an `upgrade pre");
    cli_harness.says(0, &format!("upgrade pre {gone}"));
    cli_harness.refuses(&ends, "is there: it answers");
    cli_harness.harness.world(|world| world.kill_tablet(gone));
    cli_harness.harness.until("the nameserver misses it", |world| is(world, gone, "kOffline")).await;
    let next = format!("upgrade pre {other}");
    let refused = cli_harness.says(5, &next);
    assert!(refused.contains(&format!("if that tablet is gone for good, `openmldb-ops {ends}`")), "{refused}");
    cli_harness.says(5, &format!("upgrade post {gone}"));
    let sent = cli_harness.sent();
    cli_harness.says(0, &format!("{ends} --dry-run"));
    assert!(
        cli_harness.says(5, &next).contains("two tablets would be without leaders at once"),
        "a dry run ends nothing"
    );
    let said = cli_harness.says(0, &ends);
    assert!(said.contains(&format!("the upgrade of {gone} is over")), "{said}");
    assert!(said.contains(&format!("{gone} still has a replica of ")), "{said}");
    assert_eq!(cli_harness.sent(), sent, "everything stays where it is");
    let planned = cli_harness.home.run(&["record", "list"]);
    assert!(!planned.stdout.contains("--gone"), "nothing was sent, and nothing is recorded: {}", planned.stdout);
    let begins = cli_harness.tells(&format!("{next} --dry-run"));
    assert!(begins.contains("Plan of upgrade pre"), "{begins}");
    cli_harness.refuses(&ends, "there is no record of an `upgrade pre");
    cli_harness.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_are_spread_over_tablets_that_were_added() {
    needs_zookeeper!();
    let cli_harness = CliHarness::with(Scenario::TabletsAdded).await;
    let before = cli_harness.harness.world(shares);
    assert_eq!((before.len(), before.values().filter(|count| **count == 0).count()), (5, 2));
    let sent = cli_harness.sent();
    let plan = cli_harness.says(0, "scale out --dry-run");
    assert!(plan.contains("Plan of scale out") && plan.contains("migrate "), "{plan}");
    assert_eq!(cli_harness.sent(), sent, "a dry run sends nothing");
    insta::assert_snapshot!(cli_harness.transcript());
    let planned = lines(&cli_harness.says(0, "scale out --dry-run --output json")).pop().unwrap();
    let shares_after = |line: &Value| -> Vec<(String, u64)> {
        let share = |tablet: &Value| {
            let count = tablet.get("replicas_after").unwrap_or(&tablet["replicas"]);
            (tablet["endpoint"].as_str().unwrap().to_owned(), count.as_u64().unwrap())
        };
        line["tablets"].as_array().unwrap().iter().map(share).collect()
    };

    let done = lines(&cli_harness.says(0, "scale out --output json")).pop().unwrap();
    assert_eq!((&done["event"], &done["left"]), (&"arranged".into(), &Value::Array(Vec::new())));
    assert_eq!(shares_after(&done), shares_after(&planned), "what was planned is what came of it");
    let after = cli_harness.harness.world(shares);
    assert!(after.values().all(|count| *count > 0), "{after:?}");
    let recorded_run = cli_harness.home.run(&["record", "show", "last"]).expect(0).stdout.clone();
    let (asked, done): (Vec<_>, Vec<_>) =
        recorded_run.lines().filter(|line| line.contains(": ")).partition(|line| line.contains(" (it is being spread"));
    assert!(recorded_run.contains("scale out") && !asked.is_empty(), "{recorded_run}");
    let answered = done.iter().filter(|line| line.ends_with(": done")).count();
    assert!(answered >= asked.len(), "each call is written down, and so is its answer: {recorded_run}");
    let again = cli_harness.says(0, "scale out");
    assert!(again.contains("scale out: nothing had to be done"), "{again}");
    cli_harness.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_scaled_in_from_five_tablets_to_three_by_a_run_that_is_killed_and_another() {
    needs_zookeeper!();
    let generated = Generated { tables: 2, partitions: 5, replicas: 2, rows: 30 };
    let shape = Shape { tablets: 5, generated: Some(generated), ..Shape::default() };
    let cli_harness = CliHarness::shaped(Scenario::ClientsWriting, shape).await;
    let leaving = cli_harness.tablets()[3..].to_vec();
    let command = format!("scale in {} {}", leaving[0], leaving[1]);
    // Two partitions at a time: the third is come to when one is where it is to be.
    cli_harness.harness.hold_at(&["Migrate", "AddReplicaNs"], 3);
    let mut run = cli_harness.begins(&command);
    run.wait_for_progress(|line| line.contains(" is on ") || line.contains(" leads "));
    run.signal("KILL");
    assert!(!run.ended_by_itself());
    assert!(!cli_harness.harness.world(auto_failover), "it was killed");
    let half = cli_harness.harness.world(shares);
    cli_harness.harness.release();
    assert!(leaving.iter().any(|at| half[at] > 0), "{half:?}");

    let said = cli_harness.says(0, &command);
    assert!(said.contains("an earlier `scale in` did not finish; this continues it"), "{said}");
    assert!(said.contains("reached their goals"), "{said}");
    let after = cli_harness.harness.world(shares);
    assert!(leaving.iter().all(|at| after[at] == 0), "{after:?}");
    let metas = cli_harness
        .harness
        .world(|world| world.metadata().values().map(|m| m.partition_meta.len()).collect::<Vec<_>>());
    assert!(metas.iter().all(|count| *count <= 2), "as many replicas as before: {metas:?}");
    assert!(cli_harness.says(0, &command).contains("nothing had to be done"));
    cli_harness.all_is_well().await;
}

/// What they say when nothing goes wrong.
#[tokio::test(flavor = "multi_thread")]
async fn undertakings_word_for_word() {
    needs_zookeeper!();
    let cli_harness = CliHarness::with(Scenario::TabletsAdded).await;
    cli_harness.harness.world(|world| world.nameserver_settings_mut().op_fails_for_no_reason = None);
    let tablets = cli_harness.tablets();
    let said = cli_harness.says(0, "scale out");
    assert!(said.contains(": done, 1 of 5") && said.contains(": done, 5 of 5"), "{said}");
    cli_harness.says(0, &format!("scale in {} {}", tablets[3], tablets[4]));
    cli_harness.says(0, &format!("upgrade pre {}", tablets[0]));
    cli_harness.says(0, &format!("upgrade pre {}", tablets[0]));
    cli_harness.says(0, &format!("upgrade post {}", tablets[0]));
    let (_, new) = cli_harness.leader_and_follower();
    cli_harness.says(0, &format!("leader handover shop.orders/0 --to {new}"));
    cli_harness.says(0, &format!("leader handover shop.orders/0 --to {new}"));
    insta::assert_snapshot!(cli_harness.transcript());
    cli_harness.all_is_well().await;
}

/// Every tablet is restarted once, one after the other.
#[tokio::test(flavor = "multi_thread")]
async fn all_tablets_are_upgraded_under_clients_that_write_and_no_acknowledged_row_is_lost() {
    needs_zookeeper!();
    let cli_harness = CliHarness::with(Scenario::ClientsWriting).await;
    let before: BTreeMap<Endpoint, usize> = cli_harness
        .tablets()
        .into_iter()
        .map(|at| (at.clone(), cli_harness.harness.world(|world| led(world, &at))))
        .collect();
    for at in cli_harness.tablets() {
        let said = cli_harness.says(0, &format!("upgrade pre {at}"));
        assert!(said.contains("What it led is saved for `upgrade post`"), "{said}");
        assert_eq!(cli_harness.harness.world(|world| led(world, &at)), 0);
        cli_harness.harness.world(|world| world.kill_tablet(&at));
        cli_harness.harness.until("the nameserver misses it", |world| is(world, &at, "kOffline")).await;
        cli_harness.harness.world(|world| world.start_tablets(std::slice::from_ref(&at)));
        cli_harness.harness.until("the nameserver hears of it", |world| is(world, &at, "kHealthy")).await;
        cli_harness.says(0, "recover --all");
        let said = cli_harness.says(0, &format!("upgrade post {at}"));
        assert!(said.contains("upgrade post: "), "{said}");
        assert_eq!(cli_harness.harness.world(|world| led(world, &at)), before[&at]);
    }
    let writers = cli_harness.harness.world(World::stop_writers).unwrap();
    assert!(writers.acknowledged() > 100, "{writers:?}");
    cli_harness.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_hands_over_while_clients_write() {
    needs_zookeeper!();
    let cli_harness = CliHarness::with(Scenario::ClientsWriting).await;
    let (old, new) = cli_harness.leader_and_follower();
    let plan = cli_harness.says(0, &format!("leader handover shop.orders/0 --to {new} --dry-run"));
    assert!(plan.contains(&format!("follower on {old}")) && plan.contains("changeleader orders 0"), "{plan}");
    assert_eq!(cli_harness.leader_and_follower().0, old);
    cli_harness.is_mistyped("leader handover shop.orders/0 --to a:1", "has no replica on a:1");
    cli_harness.is_mistyped(&format!("leader handover shop.orders/9 --to {new}"), "has no partition 9");
    cli_harness.says(0, &format!("leader handover shop.orders/0 --to {new}"));
    cli_harness.harness.world(|world| {
        let id = orders(world, 0);
        assert_eq!(leader(world, id), new);
        assert!(flags(world, id).iter().all(|flags| flags.alive), "the old one follows");
    });
    cli_harness.all_is_well().await;
}

/// Killed between the two halves of a handover, it leaves a partition whose flagged leader leads nothing.
#[tokio::test(flavor = "multi_thread")]
async fn how_long_nobody_may_lead_is_what_was_typed() {
    needs_zookeeper!();
    let cli_harness = CliHarness::with(Scenario::Healthy).await;
    let (_, new) = cli_harness.leader_and_follower();
    cli_harness.harness.world(|world| world.set_faults(vec!["ChangeLeader:1=op-sticks".parse().unwrap()], 1));
    let said = cli_harness.says(0, &format!("leader handover shop.orders/0 --to {new} --leaderless-limit 8s"));
    let within = said.split("again: no other replica led within ").nth(1).and_then(|rest| rest.split(' ').next());
    let seconds: f64 = within.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{said}"));
    // Two seconds before the limit at the earliest; where it is 5 s as usual, after three.
    assert!(seconds > 5.0, "{said}");
    cli_harness.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handover_that_was_broken_off_is_finished() {
    needs_zookeeper!();
    let cli_harness = CliHarness::with(Scenario::ClientsWriting).await;
    let (old, new) = cli_harness.leader_and_follower();
    let command = format!("leader handover shop.orders/0 --to {new}");
    cli_harness.harness.hold_at(&["ChangeRole"], 1);
    let mut run = cli_harness.begins(&command);
    run.wait_for_progress(|line| line.contains(&format!("follower on {old}")));
    run.signal("KILL");
    assert!(!run.ended_by_itself());
    cli_harness.harness.release();
    cli_harness.says(0, &command);
    assert_eq!(cli_harness.leader_and_follower().0, new);
    cli_harness.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn interrupted_it_finishes_its_step_gives_auto_failover_back_and_goes_on_later() {
    needs_zookeeper!();
    let cli_harness = CliHarness::with(Scenario::TabletsAdded).await;
    cli_harness.harness.hold_at(&["Migrate", "AddReplicaNs"], 1);
    let mut run = cli_harness.begins("scale out");
    run.wait_for_progress(|line| line.contains("addreplica") || line.contains("migrate"));
    run.signal("INT");
    run.wait_for_progress(|line| line.contains("interrupted: waiting for steps in progress"));
    cli_harness.harness.release();
    let ran = run.end().expect(130);
    assert!(ran.stderr.contains("interrupted: waiting for steps in progress"), "{}", ran.stderr);
    assert!(ran.stdout.contains("not started"), "{}", ran.stdout);
    assert!(cli_harness.harness.world(auto_failover));
    let said = cli_harness.says(0, "scale out");
    assert!(said.contains("this continues it"), "{said}");
    cli_harness.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_arranged_is_refused_in_words() {
    needs_zookeeper!();
    let cli_harness = CliHarness::with(Scenario::Healthy).await;
    let at = cli_harness.tablets()[0].clone();
    // shop.orders has three replicas.
    cli_harness
        .refuses(&format!("scale in {at}"), "2 healthy tablets would be left, too few for shop.orders (3 replicas)");
    cli_harness.is_mistyped("scale in a:1", "the nameserver knows no tablet a:1");
    cli_harness.is_mistyped("upgrade pre a:1", "the nameserver knows no tablet a:1");
    cli_harness.refuses(&format!("upgrade post {at}"), "there is no record of an `upgrade pre");
    cli_harness.harness.world(|world| world.kill_tablet(&at));
    cli_harness.harness.until("the nameserver misses it", |world| is(world, &at, "kOffline")).await;
    cli_harness.refuses(&format!("scale in {at}"), " offline");
    cli_harness.refuses(&format!("upgrade pre {at}"), " offline");
    insta::assert_snapshot!(cli_harness.transcript());
    cli_harness.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_tablet_can_neither_share_nor_be_stood_in_for() {
    needs_zookeeper!();
    let generated = Generated { tables: 1, partitions: 2, replicas: 1, rows: 10 };
    let shape = Shape { tablets: 1, generated: Some(generated), ..Shape::default() };
    let cli_harness = CliHarness::shaped(Scenario::Healthy, shape).await;
    let at = cli_harness.tablets()[0].clone();
    cli_harness.refuses("scale out", "considers only 1 tablet healthy; spreading replicas needs two");
    cli_harness.refuses(&format!("upgrade pre {at}"), "no other tablet is healthy");
    let said = cli_harness.says(0, &format!("upgrade pre {at} --allow-unavailable"));
    assert!(said.contains("has a single replica: unavailable") || said.contains("more has a single replica"), "{said}");
    assert!(cli_harness.says(0, &format!("upgrade post {at}")).contains("nothing had to be done"));
    cli_harness.refuses(&format!("upgrade post {at}"), "there is no record of");
    insta::assert_snapshot!(cli_harness.transcript());
    cli_harness.all_is_well().await;
}

/// The handbook's node loss in manual mode, as one command.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_tablet_is_stood_in_for_waited_for_and_brought_back_by_a_playbook() {
    needs_zookeeper!();
    let cli_harness = CliHarness::with(Scenario::NodeLost).await;
    let lost =
        cli_harness.harness.world(|world| world.tablet_endpoints().iter().find(|at| !world.is_up(at)).unwrap().clone());
    assert!(cli_harness.harness.world(|world| led(world, &lost)) > 0);
    let sent = cli_harness.sent();
    let plan = cli_harness.says(4, "recover --all --playbook node-loss --dry-run");
    assert!(plan.contains(&format!("offlineendpoint {lost}")) && plan.contains("wait_for_tablets: "), "{plan}");
    assert_eq!(cli_harness.sent(), sent);

    let mut run = cli_harness.begins("recover --all --playbook node-loss");
    run.wait_for_progress(|line| line.contains(&format!("waiting for {lost} (")));
    assert_eq!(cli_harness.harness.world(|world| led(world, &lost)), 0, "others lead what it led");
    let again = cli_harness.says(4, "recover --all --playbook node-loss --dry-run");
    assert!(again.contains("no replica on a lost tablet is flagged alive any more"), "{again}");
    assert!(!again.contains("offlineendpoint"), "what is so already is not sent again: {again}");
    cli_harness.harness.world(|world| world.start_tablets(std::slice::from_ref(&lost)));
    let ran = run.end().expect(0);
    assert!(ran.stdout.contains("healthy") || ran.stdout.contains("recovered"), "{}", ran.stdout);
    cli_harness.says(0, "status");
    assert!(!cli_harness.harness.world(auto_failover), "it was off before");
    let rows = cli_harness.harness.settle();
    assert_eq!(rows.rows_after, rows.rows_expected);
    cli_harness.ends().await;
}

/// Where no tablet is lost it is the same as `recover`.
#[tokio::test(flavor = "multi_thread")]
async fn node_loss_without_a_lost_tablet_recovers_what_there_is() {
    needs_zookeeper!();
    let cli_harness = CliHarness::with(Scenario::NodeBack).await;
    let plan = cli_harness.says(0, "recover --all --playbook node-loss --dry-run");
    assert!(plan.contains("no tablet is lost"), "{plan}");
    cli_harness.says(0, "recover --all --playbook node-loss");
    cli_harness.says(0, "status");
    cli_harness.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_partitions_are_handed_over_by_one_command() {
    needs_zookeeper!();
    let cli_harness = CliHarness::with(Scenario::Healthy).await;
    let (_, new) = cli_harness.leader_and_follower();
    let leaders = || cli_harness.harness.world(|world| [0, 1, 2, 3].map(|pid| leader(world, orders(world, pid))));
    let before = leaders();
    let (led, others) = (new.clone(), before.iter().filter(|at| **at != new).count());
    let planned = cli_harness.says(0, &format!("leader handover shop.orders/0-2,3 --to {new} --dry-run"));
    assert_eq!(planned.matches("will lead").count(), others, "{planned}");
    cli_harness.says(2, &format!("leader handover shop.orders/3-0 --to {new}"));
    cli_harness.says(2, &format!("leader handover shop.orders/0,9 --to {new}"));
    assert_eq!(leaders(), before, "where one is not there, nothing is begun");
    cli_harness.says(0, &format!("leader handover shop.orders/0-2,3 --to {new}"));
    assert_eq!(leaders(), [led.clone(), led.clone(), led.clone(), led]);
    assert!(cli_harness.harness.world(auto_failover), "and it is on again");
    cli_harness.ends().await;
}
