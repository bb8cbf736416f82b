//! Tables whose rows expire: what has expired and what a log with a hole lacks look alike to whoever counts. Found by the hunt, once
//! its tables expired.

use openmldb_ops::model::PartitionId;
use openmldb_ops::sandbox::tablet::Ttl;
use openmldb_ops::wire::common::StorageMode::{KHdd, KMemory};

use super::dice::Dice;
use super::hunted::Found;
use super::written::{Written, cluster};

const PLAYBOOKS: [&str; 3] = ["recover", "fast", "leaders-first"];

/// Milliseconds; no row of these tests is that old.
const AN_HOUR: u64 = 3_600_000;

/// A partition on three tablets, led by the first, whose rows expire so; 67 rows of three keys.
fn with_rows(ttl: Ttl) -> (Written, PartitionId) {
    let mut world = cluster(3, 1);
    let [id] = world.expiring(KHdd, ttl, [&[1, 2, 3]]);
    world.rows_of_keys(id, 1, 3, 67);
    world.passes(1_000);
    (world, id)
}

fn restarted(mut world: Written, loses: impl FnOnce(&mut Written), playbook: &'static str) -> Found {
    world.everything_dies();
    loses(&mut world);
    world.everything_starts();
    world.by(playbook).comes_right()
}

/// World 708: a tenth fewer rows than the others at the same offset.
#[test]
fn a_leader_with_a_hole_does_not_lead_without_what_its_followers_hold() {
    for playbook in PLAYBOOKS {
        let (world, id) = with_rows(Ttl::Absolute(AN_HOUR));
        let found = restarted(world, |world| world.loses(46..=51, id, 1), playbook);
        assert_eq!((found.blocked, found.announced), (Vec::new(), 0), "{playbook}");
    }
}

/// World 6006542: one answer that makes no sense is no reason to believe counts.
#[test]
fn an_answer_that_makes_no_sense_is_asked_for_again() {
    for playbook in PLAYBOOKS {
        let (mut world, id) = with_rows(Ttl::Absolute(AN_HOUR));
        world.everything_dies();
        world.loses(46..=51, id, 1);
        world.everything_starts();
        world.by(playbook).comes_right_after(&[&["Traverse:1=garbage"]]);
    }
}

/// World 7008673: nor is it that a tablet is out of reach for a moment.
#[test]
fn a_tablet_that_does_not_answer_while_rows_are_compared_is_asked_again() {
    for playbook in PLAYBOOKS {
        let (mut world, id) = with_rows(Ttl::Absolute(AN_HOUR));
        world.everything_dies();
        world.loses(31..=67, id, 1);
        world.loses(31..=67, id, 2);
        world.loses(7..=9, id, 3);
        world.loses(50..=67, id, 3);
        world.everything_starts();
        world.by(playbook).comes_right_after(&[&["Traverse:every=refused"], &["Traverse:1=refused"]]);
    }
}

/// World 2561.
#[test]
fn a_follower_with_a_hole_is_not_taken_for_one_that_holds_the_same() {
    for playbook in PLAYBOOKS {
        let (world, id) = with_rows(Ttl::Both(AN_HOUR, 3));
        let found = restarted(world, |world| world.loses(20..=22, id, 2), playbook);
        assert_eq!((found.blocked, found.announced), (Vec::new(), 0), "{playbook}");
    }
}

/// Worlds 5010217 and 5005204: the leader is ahead by more entries than it lacks.
#[test]
fn a_leader_that_is_ahead_and_lacks_some_replaces_nobody_who_holds_them() {
    for playbook in PLAYBOOKS {
        let (mut world, id) = with_rows(Ttl::Absolute(AN_HOUR));
        world.freeze([2, 3], true);
        world.rows_of_keys(id, 1, 3, 9);
        let found = restarted(world, |world| world.loses(60..=62, id, 1), playbook);
        let left_alone = found.blocked.iter().any(|why| why.starts_with("leader_lacks_rows"));
        assert!(left_alone, "{playbook}: {:?}", found.blocked);
    }
}

/// A follower that is behind holds rows that its leader let expire for newer ones of the same keys.
#[test]
fn what_newer_rows_let_expire_is_not_what_a_leader_lacks() {
    for ttl in [Ttl::Latest(2), Ttl::Either(AN_HOUR, 2)] {
        for playbook in PLAYBOOKS {
            let (mut world, id) = with_rows(ttl);
            world.freeze([2, 3], true);
            world.rows_of_keys(id, 1, 3, 9);
            let found = restarted(world, |_| {}, playbook);
            assert_eq!((found.blocked, found.announced), (Vec::new(), 0), "{playbook} {ttl:?}");
        }
    }
}

const KINDS: [Ttl; 5] =
    [Ttl::Never, Ttl::Absolute(AN_HOUR), Ttl::Latest(3), Ttl::Both(AN_HOUR, 3), Ttl::Either(AN_HOUR, 3)];

/// A leader that lost the end of its log holds rows that this had deleted or pushed out. Another one leads, whose log continues its own,
/// and it takes the rest from there: nothing has to be discarded for it. So does a follower, while clients write and while they do not.
#[test]
fn one_that_lost_its_end_follows_one_that_continues_its_log() {
    let histories = 0..40;
    for (seed, ttl) in histories.flat_map(|seed| KINDS.map(|ttl| (seed, ttl))) {
        let mut dice = Dice::new(seed);
        let mut world = cluster(3, 1);
        let [id] = world.expiring(KMemory, ttl, [&[1, 2, 3]]);
        let (mut entries, keys) = (dice.between(10, 80), dice.between(1, 12));
        world.rows_of_keys(id, 1, keys, entries);
        let end = entries;
        for _ in 0..dice.between(1, 4) {
            let (deletes, rows) = (dice.between(0, 3), dice.between(0, 9));
            world.deletes(id, 1, deletes.try_into().unwrap());
            world.rows_of_keys(id, 1, keys, rows);
            entries += deletes + rows;
        }
        world.passes(1_000);
        world.everything_dies();
        {
            let mut cut = |tablet| world.loses(dice.between(end / 2, entries)..=entries, id, tablet);
            let whole = [1, 2, 3][usize::try_from(seed % 3).unwrap()];
            [1, 2, 3].into_iter().filter(|tablet| *tablet != whole).for_each(&mut cut);
        }
        world.everything_starts();
        if dice.percent(50) {
            world.world.start_writers(5, 1);
        }
        let playbook = ["recover", "fast"][usize::from(dice.percent(50))];
        let found = world.by(playbook).comes_right();
        assert_eq!(
            (found.blocked, found.announced),
            (Vec::new(), 0),
            "seed {seed}, {playbook}, {ttl:?}: {}",
            found.told.join("\n")
        );
    }
}

/// The same behind an election, where terms have to be proven: the snapshot that shows its leader's keeps it from nothing. One of three
/// tablets died, others went on, and then everything died.
#[test]
fn an_old_leader_behind_the_snapshot_that_proves_a_term_follows_as_it_is() {
    for (ttl, playbook) in KINDS.into_iter().flat_map(|ttl| PLAYBOOKS.map(|playbook| (ttl, playbook))) {
        let mut world = cluster(3, 1);
        let [id] = world.expiring(KMemory, ttl, [&[3, 1, 2]]);
        world.rows_of_keys(id, 3, 5, 30);
        world.passes(1_000);
        world.dies([3]);
        world.passes(20_000);
        let leader = world.led_by(id);
        world.deletes(id, leader, 3);
        world.rows_of_keys(id, leader, 5, 12);
        world.passes(1_000);
        let found = restarted(world, |_| {}, playbook);
        assert_eq!((found.blocked, found.announced), (Vec::new(), 0), "{playbook} {ttl:?}: {}", found.told.join("\n"));
    }
}

/// Seen on real servers: a tablet came back when its partitions had been led without it for a while, and rows that it held had been
/// deleted meanwhile. What it holds is the beginning of its leader's log all the same.
#[test]
fn one_that_came_late_follows_as_it_is_whatever_was_deleted_meanwhile() {
    for (ttl, playbook) in KINDS.into_iter().flat_map(|ttl| PLAYBOOKS.map(|playbook| (ttl, playbook))) {
        for deleted_before in [0, 2] {
            let mut world = cluster(3, 1).by(playbook);
            let [id] = world.expiring(KMemory, ttl, [&[1, 2, 3]]);
            world.rows_of_keys(id, 1, 5, 30);
            world.deletes(id, 1, deleted_before);
            world.passes(1_000);
            world.everything_dies();
            world.starts([1, 2]);
            let nameserver = world.world.nameserver_endpoints()[0].clone();
            world.world.start_nameserver(&nameserver);
            world.a_nameserver_leads();
            world.a_recovery_is_left_to_others(|run| run);
            world.deletes(id, 1, 3);
            world.rows_of_keys(id, 1, 5, 12);
            world.passes(1_000);
            world.starts([3]);
            let found = world.comes_right();
            let told = found.told.join("\n");
            assert_eq!((found.blocked, found.announced), (Vec::new(), 0), "{playbook} {ttl:?}: {told}");
            let is_resent = ["drop_table", "dropped and resent"].iter().any(|word| told.contains(word));
            assert!(!is_resent, "{playbook} {ttl:?}: {told}");
        }
    }
}

/// World 245: the same of rows that its log lacks. It shows fewer newer ones of their keys than are kept.
#[test]
fn a_row_that_fewer_newer_ones_follow_than_are_kept_has_not_expired() {
    for playbook in PLAYBOOKS {
        let mut world = cluster(3, 1);
        let [id] = world.expiring(KMemory, Ttl::Latest(3), [&[3, 1, 2]]);
        world.rows_of_keys(id, 3, 3, 20);
        world.passes(1_000);
        world.dies([3]);
        world.passes(20_000);
        let leader = world.led_by(id);
        world.freeze([3 - leader], true);
        world.rows_of_keys(id, leader, 3, 3);
        let found = restarted(world, |world| world.loses(15..=16, id, leader), playbook);
        let left_alone = found.blocked.iter().any(|why| why.starts_with("leader_lacks_rows"));
        assert!(left_alone, "{playbook}: {:?}", found.blocked);
    }
}
