//! What an earlier run or an operation has left half done, and nobody else goes on with.

use std::time::Duration;

use openmldb_ops::wire::common::StorageMode::{KHdd, KMemory};

use super::written::cluster;

const PLAYBOOKS: [&str; 3] = ["recover", "fast", "leaders-first"];

/// Seeds 40004946 and 62002997: the leader goes away while an old leader is resent. Its replica was left as it was, since it was to be its leader's,
/// and known to have held more than that one; only the run after the next looked at what it has.
#[test]
fn what_was_being_resent_as_its_leader_went_away_is_looked_at_by_the_next_run() {
    for playbook in PLAYBOOKS {
        for millis in (500..9_000).step_by(500) {
            let mut world = cluster(2, 1).by(playbook);
            let [id] = world.table(KMemory, [&[1, 2]]);
            world.rows(id, 1, 20);
            world.passes(1_000);
            world.freeze([2], true);
            world.rows(id, 1, 7);
            world.dies([1]);
            world.freeze([2], false);
            world.passes(20_000);
            assert_eq!(world.led_by(id), 2);
            world.everything_dies();
            world.everything_starts();
            let found = world.comes_right_after(&[&[&format!("{millis}ms@tablet2=tablet-dies")]]);
            assert_eq!(found.blocked, Vec::<String>::new(), "{playbook}, the leader dies after {millis} ms");
        }
    }
}

/// Seeds 20070431 and 62010451: a disk table that was never written to was perhaps told to load, by a run of which nobody has a record. That its
/// tablet has nothing to load only the next run found out.
#[test]
fn what_has_nothing_to_load_is_sent_its_leaders_data_by_the_run_that_has_waited_for_it() {
    for playbook in PLAYBOOKS {
        for millis in (5..60).step_by(5) {
            let mut world = cluster(2, 2).by(playbook);
            world.table(KHdd, [&[1, 2]]);
            world.passes(1_000);
            world.everything_dies();
            world.everything_starts();
            world.a_recovery_is_killed(Duration::from_millis(millis));
            world.is_gone_on_with_from_another_host();
            let found = world.comes_right();
            assert_eq!(found.blocked, Vec::<String>::new(), "{playbook}, killed after {millis} ms");
        }
    }
}
