//! Row counts lie after a DELETE (docs/openmldb/tablet.md#row-counts-are-not-rows): what replicas hold is compared, and decides.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use openmldb_ops::cluster::{Cluster, Options};
use openmldb_ops::model::{PartitionId, TableName};
use openmldb_ops::playbook::COMPARE_ROWS_UP_TO;
use openmldb_ops::rows::rows_seen;
use openmldb_ops::run::{Checking, Compares, Scope, Stop, Verdict};
use openmldb_ops::sandbox::tablet::Ttl;
use openmldb_ops::sandbox::{InProcess, World, in_virtual_time};
use openmldb_ops::snapshot;
use openmldb_ops::verify::{FindingKind, Standing, Verification};
use openmldb_ops::wire::common::StorageMode::{KHdd, KMemory};
use tokio::sync::watch;

use super::minimal::recovered;
use super::run::{Host, Ran, Run};
use super::typed;
use super::written::{Written, changed_cluster, cluster};

const PLAYBOOKS: [&str; 3] = ["recover", "fast", "leaders-first"];

/// One partition on three tablets, led by the first, with 60 rows of which 24 were deleted; a snapshot on these tablets leaves out
/// what was deleted, and everything was restarted.
fn after_deletes(snapshots: &[usize]) -> (Written, PartitionId) {
    let mut world = cluster(3, 1);
    let [id] = world.table(KMemory, [&[1, 2, 3]]);
    world.rows(id, 1, 60);
    world.passes(1_000);
    world.deletes(id, 1, 24);
    world.passes(1_000);
    snapshots.iter().for_each(|tablet| world.snapshot(id, *tablet));
    world.passes(20_000);
    world.rows(id, 1, 3);
    world.passes(1_000);
    (world, id)
}

fn restarted(mut world: Written) -> World {
    world.everything_dies();
    world.everything_starts();
    world.passes(3_000);
    world.world
}

fn run(playbook: &str, world: World) -> (World, Ran) {
    Run::calm(playbook, &Host::new(true), 1).on(world, &Arc::default())
}

fn told(ran: &Ran, what: &str) -> usize {
    ran.told.iter().filter(|line| line.contains(what)).count()
}

#[test]
fn a_restart_after_deletes_is_healthy_without_a_question_and_without_a_resend() {
    for snapshots in [&[1][..], &[2], &[3], &[2, 3], &[1, 2]] {
        for playbook in PLAYBOOKS {
            let (_, ran) = run(playbook, restarted(after_deletes(snapshots).0));
            let seen = format!("{playbook}, snapshots on {snapshots:?}");
            assert_eq!(told(&ran, "resent"), 0, "{seen}");
            assert!(told(&ran, "\"event\":\"rows_checked\"") > 0, "{seen}: counts differ");
            let summary = recovered(ran).summary;
            assert_eq!((summary.verdict, summary.blocked.len()), (Verdict::Recovered, 0), "{seen}");
        }
    }
}

/// Only the leader has heard of the deletes when everything goes down, or only what is not the leader's tablet.
#[test]
fn deletes_that_a_follower_has_not_heard_of_keep_nobody_from_coming_back() {
    for spared in [None, Some(1)] {
        for playbook in PLAYBOOKS {
            let (mut world, id) = after_deletes(&[]);
            typed::set_auto_failover(&mut world.world, false);
            world.freeze([2, 3], true);
            world.deletes(id, 1, 8);
            world.dies((1..=3).filter(|tablet| Some(*tablet) != spared));
            if spared.is_some() {
                world.rows(id, 1, 14);
            }
            world.freeze([2, 3], false);
            world.starts((1..=3).filter(|tablet| Some(*tablet) != spared));
            world.passes(5_000);
            let found = world.by(playbook).comes_right();
            assert_eq!((found.blocked, found.announced), (Vec::new(), 0), "{playbook}, spared {spared:?}");
        }
    }
}

/// What was put while rows were read hid how many a replica counts and does not show: deletes looked like lost rows.
#[test]
fn deletes_are_told_from_lost_rows_while_clients_write() {
    for playbook in PLAYBOOKS {
        let (mut world, id) = after_deletes(&[]);
        typed::set_auto_failover(&mut world.world, false);
        world.freeze([2, 3], true);
        world.deletes(id, 1, 8);
        world.dies([2, 3]);
        world.rows(id, 1, 14);
        world.snapshot(id, 1);
        world.passes(1_000);
        world.freeze([2, 3], false);
        world.starts([2, 3]);
        world.passes(5_000);
        world.world.start_writers(20, 1);
        let faults = vec!["*:every=slow-3ms".parse().unwrap()];
        let (_, ran) = Run { faults, ..Run::calm(playbook, &Host::new(true), 1) }.on(world.world, &Arc::default());
        assert!(told(&ran, "\"event\":\"rows_checked\"") > 0, "{playbook}: nobody asked for rows");
        let seen = format!("{playbook}: {:#?}", ran.told);
        assert_eq!(recovered(ran).summary.verdict, Verdict::Recovered, "{seen}");
    }
}

/// Nobody had to choose a leader, and no count tells of what was deleted where rows may expire, nor on disk.
#[test]
fn deletes_that_a_follower_missed_while_its_tablet_alone_was_away_are_no_question() {
    let tables =
        [(KMemory, Ttl::Absolute(3_600_000)), (KMemory, Ttl::Latest(3)), (KHdd, Ttl::Never), (KHdd, Ttl::Latest(3))];
    for (storage, ttl) in tables {
        for (playbook, elections) in PLAYBOOKS.into_iter().flat_map(|playbook| [(playbook, 0), (playbook, 1)]) {
            let mut world = cluster(3, 1);
            let [id] = world.expiring(storage, ttl, [&[1, 2, 3]]);
            world.rows(id, 1, 40);
            world.passes(1_000);
            if elections > 0 {
                world.dies([1]);
                world.passes(20_000);
                world.starts([1]);
                world.passes(60_000);
            }
            typed::set_auto_failover(&mut world.world, false);
            let leader = world.led_by(id);
            world.rows(id, leader, 20);
            world.passes(1_000);
            let away = leader % 3 + 1;
            world.dies([away]);
            world.deletes(id, leader, 8);
            world.rows(id, leader, 14);
            world.starts([away]);
            world.passes(5_000);
            world.world.start_writers(50, 1);
            let found = world.by(playbook).comes_right();
            let seen = format!("{playbook}, {storage:?}, {ttl:?}, {elections} elections");
            assert_eq!((found.blocked, found.announced), (Vec::new(), 0), "{seen}");
        }
    }
}

/// Nobody had to choose a leader: it served all the time.
#[test]
fn a_follower_whose_tablet_alone_was_restarted_is_connected_and_not_resent() {
    for storage in [KMemory, KHdd] {
        for playbook in PLAYBOOKS {
            let mut world = changed_cluster(3, 1, |settings| settings.nameserver.auto_failover = false);
            let [id] = world.table(storage, [&[1, 2, 3]]);
            world.rows(id, 1, 60);
            world.passes(1_000);
            world.dies([3]);
            world.starts([3]);
            world.passes(3_000);
            let (_, ran) = run(playbook, world.world);
            let seen = format!("{playbook}, {storage:?}: {:#?}", ran.told);
            assert_eq!((told(&ran, "add_replica"), told(&ran, "resent")), (1, 0), "{seen}");
            assert_eq!(recovered(ran).summary.verdict, Verdict::Recovered, "{seen}");
        }
    }
}

/// What is not compared is decided as before: the cost of not comparing.
#[test]
fn without_comparing_counts_decide() {
    let never = |snapshots: &[usize]| {
        let changed = |playbook: openmldb_ops::playbook::Playbook| playbook.comparing_rows_up_to(0);
        let world = restarted(after_deletes(snapshots).0);
        Run { changed, ..Run::calm("recover", &Host::new(true), 1) }.on(world, &Arc::default())
    };
    let (_, ran) = never(&[1]);
    assert!(told(&ran, "more than the 0 that are compared (--compare-rows-up-to)") > 0);
    assert!(told(&ran, "\"way\":\"change_leader\"") > 0, "a follower that counts more rows is promoted");
    assert!(told(&never(&[2]).1, "resent") > 0, "a follower that counts fewer rows is resent");
}

/// Everything is loaded, and there is nothing to be done but to compare.
#[test]
fn what_was_left_alone_for_its_counts_is_compared_by_the_next_run() {
    let (mut world, id) = after_deletes(&[1]);
    world.freeze([2, 3], true);
    world.rows(id, 1, 3);
    world.dies([1, 2, 3]);
    world.freeze([2, 3], false);
    let host = Host::new(true);
    let changed = |playbook: openmldb_ops::playbook::Playbook| playbook.comparing_rows_up_to(0);
    let (world, ran) = Run { changed, ..Run::calm("recover", &host, 1) }.on(restarted(world), &Arc::default());
    let reasons = |ran: Ran| recovered(ran).summary.blocked.iter().map(|blocked| blocked.reason).collect::<Vec<_>>();
    assert_eq!(reasons(ran), ["suspect_is_longest"]);
    let (_, ran) = Run::calm("recover", &host, 2).on(world, &Arc::default());
    assert_eq!(reasons(ran), Vec::<&str>::new());
}

/// Deletes do not hide that a replica lost something beside.
#[test]
fn a_replica_that_lacks_rows_beside_what_was_deleted_does_not_lead() {
    for playbook in PLAYBOOKS {
        let (mut world, id) = after_deletes(&[2]);
        world.everything_dies();
        world.loses(5..=35, id, 1);
        world.everything_starts();
        world.passes(3_000);
        let found = world.by(playbook).comes_right();
        assert_eq!((found.blocked, found.announced), (Vec::new(), 0), "{playbook}");
    }
}

/// What the last look at a healthy cluster comes to, and the different row counts that the partition's replicas report.
fn looked_at(world: World, id: PartitionId) -> (Verification, BTreeSet<u64>) {
    let looking = in_virtual_time(world, async |live| {
        let cluster = Cluster::new(Arc::new(InProcess::new(live.clone())), Options::default());
        cluster.find_leader().await.unwrap();
        let first = snapshot::collect(&cluster, "in memory", 0).await.unwrap();
        let held = first.tablets.values().filter_map(|tablet| tablet.held.known()?.get(&id));
        let counts = held.map(|held| held.record_cnt).collect();
        let checking = Checking {
            scope: &Scope::All,
            memories: &BTreeMap::new(),
            known: BTreeSet::new(),
            pace: 1.0,
            compares: Compares::WhereCountsDiffer,
            compare_rows_up_to: COMPARE_ROWS_UP_TO,
            stop: watch::channel(Stop::No).1,
        };
        (checking.until_it_stands(&cluster, first).await.unwrap().1, counts)
    });
    looking.unwrap().1
}

#[test]
fn a_healthy_cluster_that_clients_deleted_from_is_complete() {
    let (world, id) = after_deletes(&[2]);
    let (world, _) = run("fast", restarted(world));
    let (found, counts) = looked_at(world, id);
    assert_eq!(counts.len(), 2, "the replicas count differently: {counts:?}");
    assert_eq!((found.verdict, found.findings), (Standing::Complete, Vec::new()));
}

/// Its tablet lost entries while it was down, and somebody loaded it by hand.
#[test]
fn a_follower_that_lacks_rows_is_reported_with_how_many() {
    let (mut world, id) = after_deletes(&[2]);
    let at = world.at(3);
    typed::set_auto_failover(&mut world.world, false);
    world.dies([3]);
    world.loses(85..=86, id, 3);
    world.starts([3]);
    world.passes(3_000);
    typed::load_as_follower(&mut world.world, id, &at);
    world.passes(3_000);
    typed::mark_alive(&mut world.world, id, &at, true);
    world.passes(3_000);
    let (found, _) = looked_at(world.world, id);
    assert_eq!(found.findings.iter().map(|finding| finding.kind).collect::<Vec<_>>(), [FindingKind::FewerRows]);
    assert!(found.findings[0].text.starts_with("lacks 2 rows that "), "{}", found.findings[0].text);
}

/// What comparing both replicas shows while clients write a row every 20 ms and every answer takes longer than that.
fn read_under_writers(world: World, id: PartitionId) -> String {
    let at = world.tablet_endpoints()[0].clone();
    let (world, seen) = read_under(world, id, "*:every=slow-30ms", true);
    assert!(world.log(&at, id).len() > 20, "clients wrote meanwhile");
    seen
}

/// What comparing both replicas shows under such a fault.
fn read_under(world: World, id: PartitionId, fault: &str, writers: bool) -> (World, String) {
    let at = world.tablet_endpoints().to_vec();
    let table = world.tables().into_iter().find(|table| table.tid() == id.tid.0).unwrap();
    let table = TableName { db: table.db().to_owned(), table: table.name().to_owned() };
    in_virtual_time(world, async |live| {
        live.with(|world| {
            world.set_faults(vec![fault.parse().unwrap()], 1);
            if writers {
                world.start_writers(20, 1);
            }
        });
        let cluster = Cluster::new(Arc::new(InProcess::new(live.clone())), Options::default());
        rows_seen(&cluster, &table, id, &at, COMPARE_ROWS_UP_TO).await.to_string()
    })
    .unwrap()
}

/// World 20002384: a replica that showed as loaded was loading, was not compared, and its partition was left to a person.
#[test]
fn a_replica_that_is_not_quite_loaded_is_compared_a_little_later() {
    let read = |fault| {
        let mut world = cluster(2, 1);
        let [id] = world.table(KMemory, [&[1, 2]]);
        world.rows(id, 1, 12);
        world.passes(3_000);
        read_under(world.world, id, fault, false).1
    };
    assert!(read("Traverse:1=code-104").ends_with("are the same"));
    assert!(read("Traverse:every=code-104").contains("could not be compared"));
}

/// What has not come to a follower yet when it is read is asked for again: a leader that is written to is compared all the same.
#[test]
fn a_follower_is_compared_with_a_leader_that_takes_rows_meanwhile() {
    let mut world = cluster(2, 1);
    let [id] = world.table(KMemory, [&[1, 2]]);
    world.rows(id, 1, 12);
    world.passes(3_000);
    let seen = read_under_writers(world.world, id);
    assert!(seen.ends_with("are the same"), "{seen}");
}

/// A follower that its leader does not replicate to lacks all that clients write; what its leader lacks shows beside that.
#[test]
fn what_a_leader_that_takes_rows_lacks_of_a_follower_apart_from_it_is_seen() {
    let mut world = changed_cluster(2, 1, |settings| settings.nameserver.auto_failover = false);
    let [id] = world.table(KMemory, [&[1, 2]]);
    world.rows(id, 1, 12);
    world.passes(3_000);
    world.everything_dies();
    world.loses(5..=6, id, 1);
    world.everything_starts();
    let (one, two) = (world.at(1), world.at(2));
    typed::load_as_leader(&mut world.world, id, &one);
    typed::load_as_follower(&mut world.world, id, &two);
    world.passes(3_000);
    let seen = read_under_writers(world.world, id);
    assert!(seen.contains(&format!("{one} lacks 2 rows of {two}")), "{seen}");
    assert!(seen.contains(&format!("{two} lacks ")), "{seen}");
}
