//! While a partition has no leader because it was told to follow: nobody but its own servers is asked, nobody else can hold it up,
//! and if no other one leads within the limit the old one leads again. In virtual time, measured at the world itself.

use std::collections::BTreeSet;
use std::time::Duration;

use openmldb_ops::model::{Endpoint, Pid, TableName};
use openmldb_ops::operate::{JobReport, Undertaking};
use openmldb_ops::run::{Stop, stopping};
use openmldb_ops::sandbox::World;
use openmldb_ops::sandbox::scenario::{Generated, Scenario, Shape};
use openmldb_ops::sandbox::world::Leaderless;
use openmldb_ops::sandbox::{Addresses, Millis};

use super::calm::auto_failover;
use super::eyes::Eyes;
use super::undertakings::{Hearer, Hunted, LIMIT, Trouble};

/// What a handover takes when nobody is slow: two looks, and the election.
const QUICK: Millis = 200;
/// What servers take to answer (docs/openmldb/timings.md#measured).
const CALLS_TAKE: &str = "*:every=slow-1ms";

/// A partition that is to be led by another one.
struct Harness {
    hunted: Hunted,
    handover: Undertaking,
    leader: Endpoint,
    to: Endpoint,
    /// Tablets that it is not on.
    unrelated: Vec<Endpoint>,
}

impl Harness {
    /// In a cluster of four tablets, each partition of two replicas, and two nameservers.
    fn new() -> Self {
        Self::of(Generated { tables: 2, partitions: 4, replicas: 2, rows: 40 }, 4)
    }

    fn of(generated: Generated, tablets: usize) -> Self {
        let mut hunted = Hunted::new(0);
        let shape = Shape { tablets, generated: Some(generated), seed: 1 };
        hunted.world = Scenario::Healthy.bring_about(&shape, &Addresses::recorded(2, tablets)).unwrap();
        hunted.world.nameserver_settings_mut().op_fails_for_no_reason = None;
        let metadata = hunted.world.tables().into_iter().find(|table| table.name() == "t0").unwrap();
        let metas = &metadata.table_partition[0].partition_meta;
        let at = |leads: bool| Endpoint::from(metas.iter().find(|m| m.is_leader == leads).unwrap().endpoint.as_str());
        let (leader, to) = (at(true), at(false));
        let places: Vec<Endpoint> = metas.iter().map(|meta| meta.endpoint.as_str().into()).collect();
        let table = TableName { db: "shop".to_owned(), table: "t0".to_owned() };
        let unrelated = hunted.world.tablet_endpoints().iter().filter(|at| !places.contains(at)).cloned().collect();
        Self {
            handover: Undertaking::Handover { table, pids: vec![Pid(metadata.table_partition[0].pid)], to: to.clone() },
            hunted,
            leader,
            to,
            unrelated,
        }
    }

    /// With clients that write to everything, one row in so many milliseconds.
    fn written_to(mut self, every: Millis) -> Self {
        self.hunted.world.start_writers(every, 7);
        self
    }

    fn run_job(&mut self) -> JobReport {
        self.carry_with(&[])
    }

    /// Every call takes a millisecond, if a fault has it take no longer.
    fn carry_with(&mut self, faults: &[&str]) -> JobReport {
        let faults: Vec<&str> = [CALLS_TAKE].iter().chain(faults).copied().collect();
        let handover = self.handover.clone();
        self.hunted.run_job(&handover, Trouble::of(&faults)).expect("nothing kills it").unwrap()
    }

    /// The number of a tablet, as faults have it.
    fn number(&self, at: &Endpoint) -> usize {
        self.hunted.world.tablet_endpoints().iter().position(|other| other == at).unwrap() + 1
    }

    /// The last time in which nobody led. There may have been others: a leader that had an entry on its way when it stood down
    /// leads again at once, and stands down once more.
    fn span(&self) -> Leaderless {
        self.hunted.world.leaderless().last().expect("the leader stood down").clone()
    }

    /// The longest time in which nobody led.
    fn outage(&self) -> Millis {
        let spans = self.hunted.world.leaderless().iter();
        spans.map(|span| span.until.expect("somebody leads") - span.from).max().expect("the leader stood down")
    }

    /// Who leads the partition, on its tablet, too.
    fn leads(&mut self) -> Endpoint {
        let span = self.span();
        assert!(span.until.is_some(), "{span:?}");
        let metas = self.hunted.world.metadata().remove(&span.partition).unwrap();
        let leader = metas.partition_meta.into_iter().find(|meta| meta.is_leader && meta.is_alive()).unwrap();
        leader.endpoint.as_str().into()
    }

    /// Nothing was lost, and auto_failover is on again.
    fn is_well(&mut self) {
        assert_eq!(auto_failover(&mut self.hunted.world), Some(true));
        self.hunted.world.stop_writers();
        let rows = self.hunted.world.settle();
        assert_eq!(rows.rows_after, rows.rows_expected, "rows");
        assert_eq!(rows.partitions_with_two_alive_leaders, 0);
        assert_eq!(self.hunted.world.diverged(), Default::default());
    }

    fn why(report: &JobReport) -> String {
        report.left.iter().map(|(_, why)| why.text.clone()).collect::<Vec<_>>().join("; ")
    }
}

fn limit() -> Millis {
    LIMIT.as_millis() as Millis
}

#[test]
fn a_leader_hands_over_within_a_moment() {
    let mut harness = Harness::new().written_to(5);
    let report = harness.run_job();
    assert_eq!(report.left, []);
    assert!(harness.outage() <= QUICK, "{} ms", harness.outage());
    assert_eq!(harness.leads(), harness.to);
    harness.is_well();
}

/// On real servers nobody could write for two minutes (docs/openmldb/experiments.md#an-unrelated-tablet-hangs).
#[test]
fn an_unrelated_tablet_that_hangs_keeps_clients_from_writing_no_longer() {
    let mut harness = Harness::new().written_to(5);
    let hanging = harness.unrelated[0].clone();
    harness.hunted.world.hang_tablet(&hanging, true);
    let report = harness.run_job();
    assert!(harness.outage() <= QUICK, "{} ms", harness.outage());
    assert_eq!(harness.leads(), harness.to);
    // The nameserver puts no operation away that a tablet does not confirm, so the old leader is not back yet: that is said.
    assert!(Harness::why(&report).contains("kChangeLeaderOP"), "{}", Harness::why(&report));
    let calls = harness.hunted.world.trace().calls().count();
    assert!(calls < 2_000, "while an operation stands still nothing else is asked all the time: {calls} calls");
    harness.hunted.world.hang_tablet(&hanging, false);
    assert_eq!(harness.run_job().left, []);
    harness.is_well();
}

#[test]
fn an_unrelated_tablet_that_begins_to_hang_as_the_leader_stands_down_keeps_clients_from_writing_no_longer() {
    for frozen in [true, false] {
        let mut harness = Harness::new().written_to(5);
        let hanging = harness.unrelated[0].clone();
        harness.hunted.eyes = Eyes::before("ChangeRole", move |world| match frozen {
            true => world.freeze_tablet(&hanging, true),
            false => world.hang_tablet(&hanging, true),
        });
        harness.run_job();
        assert!(harness.outage() <= QUICK, "{} ms", harness.outage());
        assert_eq!(harness.leads(), harness.to);
    }
}

#[test]
fn unrelated_tablets_that_answer_slowly_keep_clients_from_writing_no_longer() {
    let mut harness = Harness::new().written_to(5);
    let slow = format!("0ms@tablet{}=tablet-slows-900ms", harness.number(&harness.unrelated[0]));
    let report = harness.carry_with(&[&slow]);
    assert!(report.left.is_empty(), "{}", Harness::why(&report));
    assert!(harness.outage() <= QUICK, "{} ms", harness.outage());
}

#[test]
fn a_nameserver_standby_that_hangs_keeps_clients_from_writing_no_longer() {
    let mut harness = Harness::new().written_to(5);
    let leader = harness.hunted.world.leader();
    let standby = harness.hunted.world.nameserver_endpoints().iter().find(|at| Some(*at) != leader.as_ref()).cloned();
    harness.hunted.world.freeze_nameserver(&standby.unwrap(), true);
    assert_eq!(harness.run_job().left, []);
    assert!(harness.outage() <= QUICK, "{} ms", harness.outage());
    harness.is_well();
}

#[test]
fn while_it_has_no_leader_nobody_but_its_own_servers_is_asked() {
    let mut harness = Harness::new().written_to(5);
    harness.run_job();
    let span = harness.span();
    let own: BTreeSet<Endpoint> =
        [harness.leader.clone(), harness.to.clone(), harness.hunted.world.leader().unwrap()].into();
    let during = |at: Millis| (span.from..=span.until.unwrap()).contains(&at);
    let asked: Vec<_> = harness.hunted.world.trace().calls().filter(|call| during(call.at)).collect();
    assert!(asked.len() > 4, "{asked:?}");
    let others: Vec<_> = asked.iter().filter(|call| !own.contains(&call.server)).collect();
    assert!(others.is_empty(), "{others:?}");
    let of_others = asked.iter().filter(|call| call.partitions.iter().any(|id| *id != span.partition));
    assert_eq!(of_others.count(), 0, "nor for anything but the partition");
    assert!(harness.hunted.eyes.asked_zookeeper().into_iter().all(|at| !during(at)), "nor ZooKeeper");
}

#[test]
fn the_follower_that_is_needed_begins_to_hang_and_the_old_leader_leads_again_within_the_limit() {
    let mut harness = Harness::new().written_to(5);
    let to = harness.to.clone();
    harness.hunted.eyes = Eyes::after("ChangeRole", move |world| world.hang_tablet(&to, true));
    let report = harness.run_job();
    assert!(harness.outage() <= limit(), "{} ms", harness.outage());
    assert_eq!(harness.leads(), harness.leader);
    let why = Harness::why(&report);
    assert!(why.contains("does not report what it holds") || why.contains("did not answer"), "{why}");
    let to = harness.to.clone();
    harness.hunted.world.hang_tablet(&to, false);
    harness.is_well();
}

#[test]
fn a_follower_that_hangs_already_is_noticed_before_the_leader_stands_down() {
    let mut harness = Harness::new().written_to(5);
    let to = harness.to.clone();
    harness.hunted.world.hang_tablet(&to, true);
    let report = harness.run_job();
    assert_eq!(harness.hunted.world.leaderless(), []);
    assert!(Harness::why(&report).contains(to.as_str()), "{}", Harness::why(&report));
}

#[test]
fn a_follower_that_answers_slowly_is_noticed_before_the_leader_stands_down() {
    let mut harness = Harness::new();
    let slow = format!("0ms@tablet{}=tablet-slows-1500ms", harness.number(&harness.to));
    let report = harness.carry_with(&[&slow]);
    assert_eq!(harness.hunted.world.leaderless(), []);
    assert_eq!(report.left.len(), 1);
}

/// World 8201743 of the undertakings: it was looked at again and again, without an end and without a word.
#[test]
fn a_tablet_that_is_to_get_a_replica_and_answers_slowly_holds_up_no_undertaking_for_ever() {
    let mut harness = Harness::new();
    let slow: Vec<String> =
        harness.unrelated.iter().map(|at| format!("0ms@tablet{}=tablet-slows-1500ms", harness.number(at))).collect();
    let faults: Vec<&str> = [CALLS_TAKE].into_iter().chain(slow.iter().map(String::as_str)).collect();
    let scale_in = Undertaking::ScaleIn { endpoints: vec![harness.leader.clone()] };
    let report = harness.hunted.run_job(&scale_in, Trouble::of(&faults)).expect("it ends").unwrap();
    assert!(!report.left.is_empty());
    assert_eq!(harness.hunted.world.leaderless(), [], "nobody stands down for an successor that may be held up");
}

#[test]
fn the_nameserver_begins_to_hang_and_the_old_leader_leads_again_within_the_limit() {
    let mut harness = Harness::new().written_to(5);
    harness.hunted.eyes = Eyes::before("ChangeRole", |world| {
        world.leader().into_iter().for_each(|leader| world.freeze_nameserver(&leader, true));
    });
    let report = harness.run_job();
    // Nothing of it had to wait for another nameserver: the first did not lead any more after four seconds.
    assert!(harness.hunted.world.leaderless()[0].until.unwrap() - harness.hunted.world.leaderless()[0].from <= limit());
    assert!(report.left.is_empty(), "another nameserver does it: {}", Harness::why(&report));
    harness.hunted.nobody_stands_by();
    harness.is_well();
}

/// Nobody knows then whether it was heard: nobody else may lead until that is known.
/// Calls take no time here: asked without a pause, it would be asked for ever.
#[test]
fn a_nameserver_that_dies_is_asked_again_after_a_pause() {
    let mut harness = Harness::new().written_to(5);
    harness.hunted.eyes = Eyes::before("ChangeRole", |world| {
        world.leader().into_iter().for_each(|leader| world.kill_nameserver(&leader));
    });
    let handover = harness.handover.clone();
    let report = harness.hunted.run_job(&handover, Trouble::default()).expect("nothing kills it").unwrap();
    assert!(report.left.is_empty(), "another nameserver does it: {}", Harness::why(&report));
    harness.is_well();
}

#[test]
fn the_nameserver_begins_to_hang_as_it_is_asked_for_an_election_and_never_two_lead() {
    for standby in [true, false] {
        let mut harness = Harness::new().written_to(5);
        if !standby {
            let leader = harness.hunted.world.leader();
            let standby = harness.hunted.world.nameserver_endpoints().iter().find(|at| Some(*at) != leader.as_ref());
            let standby = standby.cloned().unwrap();
            harness.hunted.world.kill_nameserver(&standby);
        }
        let report = harness.carry_with(&["ChangeLeader=nameserver-freezes-20s"]);
        assert!(report.left.is_empty(), "{}", Harness::why(&report));
        let spans = harness.hunted.world.leaderless();
        assert!(spans.iter().all(|span| span.until.is_some()), "{spans:?}");
        harness.hunted.nobody_stands_by();
        harness.is_well();
    }
}

#[test]
fn an_election_that_hangs_is_cancelled_and_the_old_leader_leads_again_within_the_limit() {
    let mut harness = Harness::new().written_to(5);
    let report = harness.carry_with(&["ChangeLeader:every=op-sticks"]);
    let spans = harness.hunted.world.leaderless().to_vec();
    assert!(spans.iter().all(|span| span.until.is_some_and(|until| until - span.from <= limit())), "{spans:?}");
    harness.hunted.nobody_stands_by();
    assert!(Harness::why(&report).contains("kChangeLeaderOP"), "{}", Harness::why(&report));
    harness.is_well();
}

/// The nameserver's lane was free when it was looked at, and is not any more.
#[test]
fn an_operation_that_would_keep_the_election_waiting_is_waited_for_before_the_leader_stands_down() {
    let mut harness = Harness::new().written_to(5);
    // A partition of the same parity is being recovered as the handover begins.
    let id = harness.hunted.world.metadata().into_iter().find(|(id, metas)| {
        let unrelated = |at: &str| harness.unrelated.iter().any(|unrelated| unrelated.as_str() == at);
        let metas = &metas.partition_meta;
        id.pid.0.is_multiple_of(2) && metas.len() > 1 && metas.iter().all(|meta| unrelated(&meta.endpoint))
    });
    let (id, metas) = id.expect("another seed");
    let follower = metas.partition_meta.iter().find(|meta| !meta.is_leader).unwrap().endpoint.clone();
    recovers(&mut harness.hunted.world, id, &follower);
    let report = harness.run_job();
    assert!(report.left.is_empty(), "{}", Harness::why(&report));
    assert!(harness.outage() <= QUICK, "{} ms", harness.outage());
}

/// Has the nameserver begin an operation on a replica that is well.
fn recovers(world: &mut World, id: openmldb_ops::model::PartitionId, at: &str) {
    use openmldb_ops::wire::call::NameserverCall;
    use openmldb_ops::wire::nameserver::{ConfSetRequest, Pair, RecoverTableRequest, UpdateTableAliveRequest};
    let table = world.tables().into_iter().find(|table| table.tid() == id.tid.0).unwrap();
    let leader = world.leader().unwrap();
    let conf = |value: &str| {
        let conf = Pair { key: "auto_failover".to_owned(), value: value.to_owned() };
        NameserverCall::ConfSet(ConfSetRequest { conf })
    };
    let (name, db) = (table.name().to_owned(), table.db.clone());
    let mark = UpdateTableAliveRequest {
        endpoint: Some(at.to_owned()),
        name: table.name.clone(),
        pid: Some(id.pid.0),
        is_alive: Some(false),
        db: db.clone(),
    };
    let recover = RecoverTableRequest { name, pid: id.pid.0, endpoint: at.to_owned(), db };
    for call in [
        conf("false"),
        NameserverCall::UpdateTableAliveStatus(mark),
        NameserverCall::RecoverTable(recover),
        conf("true"),
    ] {
        world.call_nameserver(&leader, call).unwrap();
    }
}

#[test]
fn the_old_leaders_tablet_dies_and_the_follower_that_holds_all_of_it_leads() {
    let mut harness = Harness::new();
    // Once two looks have said where its log ends.
    let at = harness.leader.clone();
    harness.hunted.eyes = Eyes::before("ChangeLeader", move |world| world.kill_tablet(&at));
    let report = harness.run_job();
    assert_eq!(harness.leads(), harness.to);
    assert!(harness.outage() <= limit(), "{} ms", harness.outage());
    assert_eq!(report.left.len(), 1, "it is not back yet");
}

#[test]
fn the_old_leaders_tablet_dies_before_anybody_knows_where_its_log_ends_and_it_is_said() {
    let mut harness = Harness::new();
    let at = harness.leader.clone();
    harness.hunted.eyes = Eyes::after("ChangeRole", move |world| world.kill_tablet(&at));
    let report = harness.run_job();
    let why = Harness::why(&report);
    assert!(why.contains("the end of its log is unknown"), "{why}");
    assert!(report.left[0].1.hint.contains("openmldb-ops recover --partition shop.t0/"), "{:?}", report.left);
}

#[test]
fn told_to_stop_it_has_the_old_leader_lead_again_at_once() {
    let mut harness = Harness::new().written_to(5);
    let to = harness.to.clone();
    harness.hunted.eyes = Eyes::after("ChangeRole", move |world| world.hang_tablet(&to, true));
    harness.hunted.hearer = Hearer::InterruptsAt("leader_stand_down");
    let report = harness.run_job();
    assert_eq!(report.stopped, Some(Stop::Signal(15)));
    assert!(harness.outage() <= 1_000, "{} ms", harness.outage());
    assert_eq!(harness.leads(), harness.leader);
}

#[test]
fn a_panic_leaves_no_partition_without_a_leader() {
    let mut harness = Harness::new().written_to(5);
    harness.hunted.hearer = Hearer::PanicsAt("leader_stand_down");
    let report = harness.run_job();
    assert!(report.panicked.is_some());
    assert!(harness.outage() <= limit(), "{} ms", harness.outage());
    harness.hunted.nobody_stands_by();
    harness.is_well();
}

#[test]
fn a_lock_that_is_lost_leaves_no_partition_without_a_leader() {
    let mut harness = Harness::new().written_to(5);
    let report = harness.carry_with(&["ChangeRole=lock-lost"]);
    assert_eq!(report.stopped, Some(Stop::LockLost));
    assert!(harness.outage() <= limit(), "{} ms", harness.outage());
    harness.hunted.nobody_stands_by();
}

/// Two are under way at a time: neither waits for the other one's servers.
#[test]
fn a_partition_is_without_a_leader_no_longer_because_another_one_is_slow() {
    let mut harness = Harness::of(Generated { tables: 1, partitions: 6, replicas: 2, rows: 40 }, 6).written_to(10);
    let tablets = harness.hunted.world.tablet_endpoints().to_vec();
    // Everything on two tablets is slow, but not too slow.
    let slow = Trouble::of(&[CALLS_TAKE, "0ms@tablet5=tablet-slows-900ms", "0ms@tablet6=tablet-slows-900ms"]);
    let leaving = Undertaking::ScaleIn { endpoints: vec![tablets[0].clone(), tablets[4].clone()] };
    harness.hunted.run_job(&leaving, slow).unwrap().unwrap();
    let slow = |span: &&Leaderless| {
        let metas = harness.hunted.world.metadata().remove(&span.partition).unwrap();
        span.leader == tablets[4]
            || metas.partition_meta.iter().any(|meta| tablets[4..].iter().any(|at| at.as_str() == meta.endpoint))
    };
    let quick: Vec<_> = harness.hunted.world.leaderless().iter().filter(|span| !slow(span)).cloned().collect();
    assert!(!quick.is_empty(), "{:?}", harness.hunted.world.leaderless());
    assert!(quick.iter().all(|span| span.until.unwrap() - span.from <= QUICK), "{quick:?}");
}

/// What a look costs does not depend on how much else there is.
#[test]
fn with_many_other_partitions_it_takes_as_long_and_as_many_calls() {
    let calls = |partitions: usize| {
        let mut harness = Harness::of(Generated { tables: 1 + partitions / 8, partitions: 8, replicas: 2, rows: 2 }, 4);
        harness.run_job();
        let span = harness.span();
        let during = |at: Millis| (span.from..=span.until.unwrap()).contains(&at);
        let (trace, outage) = (harness.hunted.world.trace(), harness.outage());
        (outage, trace.calls().filter(|call| during(call.at)).count(), trace.calls().count())
    };
    let (few, many) = (calls(8), calls(400));
    assert_eq!(few, many, "before and after, too");
    assert!(few.0 <= QUICK);
}

#[test]
fn the_limit_is_a_parameter() {
    let mut harness = Harness::new();
    let to = harness.to.clone();
    harness.hunted.limit = Duration::from_secs(2);
    harness.hunted.eyes = Eyes::after("ChangeRole", move |world| world.hang_tablet(&to, true));
    harness.run_job();
    assert!((900..=2_000).contains(&harness.outage()), "{} ms", harness.outage());
}

/// From some call on nobody answers any more, and then it is told to stop.
#[test]
fn told_to_stop_an_undertaking_is_gone_in_time_whatever_hangs() {
    let told_after = Duration::from_secs(20);
    for from in [2, 20, 40, 60, 80] {
        let mut harness = Harness::new();
        let began = harness.hunted.world.now();
        let faults = [CALLS_TAKE.to_owned(), format!("*:{from}+=late-86400s")];
        let trouble = Trouble { signal_after: Some(told_after), ..Trouble::of(&faults.each_ref().map(String::as_str)) };
        let handover = harness.handover.clone();
        let done = harness.hunted.run_job(&handover, trouble).expect("nothing kills it");
        let took = Duration::from_millis(harness.hunted.world.now() - began);
        assert!(took < told_after + stopping::END, "from call {from} on: {took:?}");
        if let Ok(report) = done {
            assert!(report.stopped.is_some() || report.left.is_empty(), "from call {from} on: {:?}", report.left);
        }
    }
}
