//! Clients that delete: a delete that was acknowledged is missed as a row would be. No call shows the term of one
//! (docs/openmldb/logs-and-terms.md#the-term-of-a-replicas-last-entry).

use openmldb_ops::model::PartitionId;
use openmldb_ops::sandbox::tablet::Ttl;
use openmldb_ops::wire::common::StorageMode::{KHdd, KMemory};

use super::hunted::Found;
use super::written::{Written, changed_cluster, cluster};

const PLAYBOOKS: [&str; 3] = ["recover", "fast", "leaders-first"];

/// One partition on three tablets, led by the first, with 30 rows.
fn with_rows() -> (Written, PartitionId) {
    let mut world = cluster(3, 1);
    let [id] = world.table(KMemory, [&[1, 2, 3]]);
    world.rows(id, 1, 30);
    world.passes(1_000);
    (world, id)
}

fn restarted(mut world: Written, playbook: &'static str) -> Found {
    world.passes(1_000);
    world.everything_dies();
    world.everything_starts();
    world.by(playbook).comes_right()
}

/// The leader dies after `last`, which nobody else has received; from its successor rows are only deleted.
fn led_again_and_then_deleted_from(last: impl Fn(&mut Written, PartitionId), deletes: usize) -> Written {
    let (mut world, id) = with_rows();
    world.freeze([2, 3], true);
    last(&mut world, id);
    world.dies([1]);
    world.freeze([2, 3], false);
    world.passes(20_000);
    let leader = world.led_by(id);
    world.deletes(id, leader, deletes);
    world
}

#[test]
fn a_healthy_cluster_that_clients_deleted_from_is_brought_back() {
    for playbook in PLAYBOOKS {
        let (mut world, id) = with_rows();
        world.deletes(id, 1, 12);
        assert_eq!(restarted(world, playbook).blocked, Vec::<String>::new(), "{playbook}");
    }
}

/// World 7002218: by the time that somebody looked at the follower's rows, its leader was further ahead than its log was short of them.
#[test]
fn a_hole_in_a_followers_log_is_not_forgotten_while_clients_write() {
    for playbook in PLAYBOOKS {
        let (mut world, id) = with_rows();
        world.deletes(id, 1, 12);
        world.rows(id, 1, 20);
        world.passes(1_000);
        world.everything_dies();
        world.loses(36..=40, id, 3);
        world.everything_starts();
        world.world.start_writers(5, 1);
        let found = world.by(playbook).comes_right();
        assert_eq!((found.blocked, found.announced), (Vec::new(), 0), "{playbook}");
    }
}

/// docs/openmldb/experiments.md#a-log-that-ends-with-deletes
#[test]
fn equal_logs_that_end_with_deletes_of_a_later_term_are_brought_back_and_no_loss_is_told() {
    for playbook in PLAYBOOKS {
        let (mut world, id) = with_rows();
        world.dies([1]);
        world.passes(20_000);
        world.starts([1]);
        world.passes(60_000);
        let leader = world.led_by(id);
        assert_ne!(leader, 1, "a later term");
        world.deletes(id, leader, 12);
        let found = restarted(world, playbook);
        assert_eq!((found.blocked, found.announced), (Vec::new(), 0), "{playbook}");
    }
}

/// The old leader has rows that nobody received: more than the new one has deletes, fewer, or as many.
#[test]
fn deletes_of_a_later_leader_are_not_given_up_for_the_tail_of_an_old_one() {
    // Where the new one is longer, the third one, which agrees with it, shows that it has deleted what it lacks: it leads.
    for (tail, deletes, left_alone) in
        [(8, 3, "leader_lacks_rows"), (3, 8, "leader_lacks_rows"), (8, 8, "suspect_is_longest")]
    {
        for playbook in PLAYBOOKS {
            let world = led_again_and_then_deleted_from(|world, id| world.rows(id, 1, tail), deletes);
            let found = restarted(world, playbook);
            assert_eq!(
                (found.blocked, found.announced),
                (vec![format!("{left_alone} []")], 0),
                "{playbook} {tail} {deletes}"
            );
        }
    }
}

/// The same where both have nothing but deletes.
#[test]
fn of_two_leaders_that_may_end_with_deletes_none_is_given_up_by_a_guess() {
    for (tail, deletes) in [(8, 3), (3, 8), (8, 8)] {
        for playbook in PLAYBOOKS {
            let world = led_again_and_then_deleted_from(|world, id| world.deletes(id, 1, tail), deletes);
            let found = restarted(world, playbook);
            assert_eq!(
                (found.blocked, found.announced),
                (vec!["leader_conflict []".to_owned()], 0),
                "{playbook} {tail} {deletes}"
            );
        }
    }
}

/// World 20078510: what the others hold shows that none of the old leader's deletes is of the newest term, and nobody asked them.
#[test]
fn an_old_leader_whose_tail_has_deletes_is_resent_where_the_others_tell_that_they_are_its_own() {
    for playbook in PLAYBOOKS {
        let (mut world, id) = with_rows();
        world.deletes(id, 1, 8);
        world.passes(1_000);
        world.freeze([2, 3], true);
        world.rows(id, 1, 5);
        world.deletes(id, 1, 8);
        world.rows(id, 1, 4);
        world.dies([1]);
        world.freeze([2, 3], false);
        world.passes(20_000);
        let leader = world.led_by(id);
        world.rows(id, leader, 9);
        world.passes(1_000);
        world.freeze([5 - leader], true);
        world.rows(id, leader, 13);
        world.everything_dies();
        world.freeze([5 - leader], false);
        world.everything_starts();
        world.passes(3_000);
        let found = world.by(playbook).comes_right();
        assert_eq!(found.blocked, Vec::<String>::new(), "{playbook}");
    }
}

/// Nobody had to choose the leader, and a follower's tablet was away. Where rows expire and on disk nobody can tell what was deleted
/// meanwhile from what was lost before the follower has the deletes, too.
#[test]
fn one_that_was_away_while_clients_deleted_follows_again() {
    for (storage, ttl) in [(KMemory, Ttl::Absolute(3_600_000)), (KHdd, Ttl::Never), (KHdd, Ttl::Absolute(3_600_000))] {
        for playbook in PLAYBOOKS {
            let mut world = changed_cluster(3, 1, |settings| settings.nameserver.auto_failover = false);
            let [id] = world.expiring(storage, ttl, [&[1, 2, 3]]);
            world.rows(id, 1, 30);
            world.passes(1_000);
            world.dies([3]);
            world.rows(id, 1, 20);
            world.deletes(id, 1, 12);
            world.rows(id, 1, 20);
            world.passes(12_000);
            world.starts([3]);
            world.passes(3_000);
            let found = world.by(playbook).comes_right();
            let told = |what: &str| found.told.iter().filter(|line| line.contains(what)).count();
            let seen = format!("{playbook} {storage:?} {ttl:?}");
            assert_eq!((found.blocked.len(), told("resent"), told("\"call\":\"add_replica\"")), (0, 0, 1), "{seen}");
        }
    }
}
