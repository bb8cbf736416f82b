//! Worlds in which the hunt found something wrong once, written out: each is as small as it could be made while it still went wrong
//! without the rule that its test names. Those that are ignored are wrong today: run them with `--ignored` to see how.

use std::time::Duration;

use openmldb_ops::wire::common::StorageMode::{KHdd, KMemory, KSsd};

use super::hunted::Found;
use super::typed;
use super::written::{Written, changed_cluster, cluster};

/// So many actions of that kind were sent.
fn sent(found: &Found, call: &str) -> usize {
    let call = format!("\"call\":\"{call}\"");
    found.told.iter().filter(|line| line.contains("\"event\":\"action\"") && line.contains(&call)).count()
}

/// Seeds 190181, 190732 and 202548: a replica shows kTableNormal before its offset is set; with rows it is not empty. Here that instant lasts.
#[test]
fn a_load_that_shows_rows_and_no_offset_yet_has_not_ended() {
    for fault in ["0ms@tablet2=tablet-freezes-40ms", "LoadTable@tablet2:1=reset-after"] {
        let mut world = changed_cluster(2, 1, |settings| settings.tablet.normal_before_offset_ms = 60).by("fast");
        let [id] = world.table(KMemory, [&[1, 2]]);
        world.rows(id, 1, 10);
        world.passes(1_000);
        world.everything_dies();
        world.loses(8..=10, id, 1);
        world.everything_starts();
        let found = world.comes_right_after(&[&[fault]]);
        assert_eq!(sent(&found, "change_leader"), 1, "{fault}: the follower is longer");
        assert_eq!(found.blocked, Vec::<String>::new());
    }
}

/// Seed 20008648: the tablet of a replica that was to be dropped restarts before the operation begins, and so an old snapshot of its own
/// stays in place: its leader has none to send.
#[test]
fn a_snapshot_that_stays_under_the_leaders_log_is_replaced_after_all() {
    for playbook in ["recover", "fast", "leaders-first"] {
        let mut resent = 0;
        for fault in (200..2_000).step_by(200).map(|millis| format!("{millis}ms@tablet1=tablet-keeps-restarting")) {
            let mut world = cluster(2, 1).by(playbook);
            let [id] = world.table(KSsd, [&[1, 2]]);
            world.freeze([2], true);
            world.rows(id, 1, 2);
            world.snapshot(id, 1);
            world.dies([1]);
            world.freeze([2], false);
            world.passes(20_000);
            assert_eq!(world.led_by(id), 2);
            world.rows(id, 2, 6);
            world.everything_dies();
            world.everything_starts();
            resent += sent(&world.comes_right_after(&[&[&fault]]), "recover_table");
        }
        assert!(resent > 10, "{playbook}: {resent}");
    }
}

/// Seed 210197: two replicas of one tablet, dropped to be resent, are gone at the same time.
#[test]
fn a_tablet_whose_replicas_are_resent_at_once_was_not_restarted() {
    let mut world = cluster(4, 1).by("fast");
    world.table(KMemory, [&[3, 2, 4], &[3, 2, 4]]);
    world.dies([1, 4]);
    world.starts([1, 4]);
    let found = world.comes_right();
    assert_eq!(sent(&found, "recover_table"), 2);
}

/// Seeds 214729, 214790 and 250829: a tablet that holds nothing any more after loads began may have been restarted, or they failed.
#[test]
fn loads_that_fail_at_once_are_no_restart() {
    let mut world = changed_cluster(4, 1, |settings| settings.seed = 16_841_048_105_320_615_606).by("fast");
    let [one] = world.table(KMemory, [&[2, 3, 4]]);
    let [two, three] = world.table(KMemory, [&[4, 3], &[4, 3]]);
    world.dies([2, 3]);
    for id in [one, two, three] {
        world.spoils_manifest(id, 3);
    }
    world.starts([2]);
    world.passes(500);
    world.starts([3]);
    let found = world.comes_right();
    assert_eq!(found.blocked, ["load_timeout [damaged]", "load_timeout [damaged]"]);
}

/// Seeds 221480 and 238508: somebody names a leader that is behind, and it writes in the places of what the others hold.
#[test]
fn who_was_named_leader_while_behind_and_wrote_is_left_to_a_person() {
    let mut world = changed_cluster(3, 1, |settings| settings.nameserver.auto_failover = false).by("fast");
    let [id] = world.table(KHdd, [&[2, 3, 1]]);
    world.rows(id, 2, 2);
    world.freezes(1, 2_000);
    let behind = world.at(1);
    typed::change_leader(&mut world.world, id, &behind);
    world.rows(id, 1, 1);
    world.dies([1]);
    world.starts([1]);
    assert_eq!(world.comes_right().blocked, ["written_beside []"]);
}

/// Seeds 40016596 and 40031652: the same, and it writes as much as it lacked, so that all end right before its term began. Its followers were
/// taken for the beginning of its log.
#[test]
fn who_was_named_leader_while_behind_and_wrote_as_much_as_it_lacked_is_compared_with_the_others() {
    for playbook in ["recover", "fast", "leaders-first"] {
        for late in [None, Some("0s@tablet3=tablet-restarts-5s")] {
            let mut world = changed_cluster(3, 1, |settings| settings.nameserver.auto_failover = false).by(playbook);
            let [id] = world.table(KHdd, [&[2, 3, 1]]);
            world.rows(id, 2, 2);
            world.freezes(1, 2_000);
            let behind = world.at(1);
            typed::change_leader(&mut world.world, id, &behind);
            world.rows(id, 1, 2);
            world.everything_dies();
            world.everything_starts();
            let disturbed = [late.as_slice()];
            let found = world.comes_right_after(if late.is_some() { &disturbed } else { &[] });
            assert_eq!(found.blocked.len(), 1, "{playbook}, {late:?}: {:?}", found.blocked);
            assert!(found.blocked[0].starts_with("leader_lacks_rows"), "{playbook}, {late:?}: {:?}", found.blocked);
        }
    }
}

/// Seed 70002251: an old leader of a disk table is longer by rows that it has overwritten, and is chosen, for what the last one holds alone. A follower
/// of that one's holds it, too: it was taken for what its leader may have deleted, so that it followed, and auto_failover was given back.
#[test]
fn what_a_follower_shares_with_a_leader_that_was_given_up_is_kept_as_it_is() {
    for playbook in ["recover", "fast", "leaders-first"] {
        let mut world = cluster(3, 1).by(playbook);
        let [id] = world.table(KSsd, [&[1, 2, 3]]);
        let (old, new) = (world.at(1), world.at(3));
        world.rows(id, 1, 11);
        world.passes(1_000);
        world.freeze([2, 3], true);
        for _ in 0..5 {
            assert!(world.world.overwrite_row(&old, id));
        }
        world.dies([1]);
        world.freeze([2, 3], false);
        typed::set_auto_failover(&mut world.world, false);
        typed::change_leader(&mut world.world, id, &new);
        typed::until_operations_end(&mut world.world);
        typed::set_auto_failover(&mut world.world, true);
        world.passes(10_000);
        let leads = world.led_by(id);
        world.rows(id, leads, 1);
        world.passes(1_000);
        world.everything_dies();
        world.everything_starts();
        let found = world.comes_right();
        assert_eq!(found.blocked, ["leader_lacks_rows []"], "{playbook}");
        let kept_off = found.told.iter().filter(|line| line.contains("auto_failover stays off")).count();
        assert!(kept_off > 0, "{playbook}: the nameserver would replace what it holds alone");
    }
}

/// Seed 250639: the old leader lost its last entry, and another one was elected while it was away. Once that one serves, the last
/// term is not the old one's, and where it began says nothing about it.
#[test]
fn a_term_that_began_with_the_new_leader_is_not_held_against_the_old_one() {
    let mut world = cluster(2, 2);
    let [id] = world.table(KHdd, [&[1, 2]]);
    world.rows(id, 1, 28);
    world.passes(1_000);
    world.dies([1]);
    world.passes(1_000);
    world.nameservers_die([1]);
    world.loses(28..=28, id, 1);
    world.starts([1]);
    let found = world.comes_right();
    assert_eq!((sent(&found, "change_leader"), found.blocked), (1, Vec::new()));
}

/// Seed 333393: an earlier run had handed a replica over to be resent, and was killed. It came back, led, took rows, and lost its
/// last ones: it is not to be taken for empty because it was once handed over.
#[test]
fn what_was_handed_over_once_and_is_away_now_is_not_taken_for_empty() {
    let mut world = cluster(2, 2);
    let [id] = world.table(KSsd, [&[2, 1]]);
    world.dies([2]);
    world.passes(5_000);
    world.rows(id, 1, 4);
    world.everything_dies();
    world.everything_starts();
    world.a_recovery_is_killed(Duration::from_secs(10));
    world.passes(20_000);
    world.rows(id, 1, 14);
    world.passes(5_000);
    world.dies([1, 2]);
    world.nameservers_die([1, 2]);
    world.loses(18..=29, id, 1);
    world.starts([1]);
    world.a_nameserver_leads();
    assert_eq!(world.comes_right_after(&[&[]]).blocked, ["longer_than_leader [damaged]"]);
}

/// Seed 333486: the same, with the one that was handed over loaded when the next run begins, and its tablet restarted during it.
#[test]
fn what_was_handed_over_once_and_has_led_since_is_not_taken_for_empty() {
    let mut world = cluster(2, 1).by("leaders-first");
    let [id] = world.table(KSsd, [&[1, 2]]);
    let (one, two) = (world.at(1), world.at(2));
    typed::set_auto_failover(&mut world.world, false);
    typed::change_leader(&mut world.world, id, &two);
    world.rows(id, 2, 1);
    world.a_recovery_is_killed(Duration::from_secs(5));
    world.passes(10_000);
    typed::change_leader(&mut world.world, id, &one);
    world.world.start_writers(772, 1);
    world.dies([2]);
    world.starts([2]);
    world.comes_right_after(&[&["LoadTable@tablet2:1=late-5000ms", "500ms@tablet1=tablet-restarts-5000ms"]]);
}

/// Seed 348291: the leader that wrote last had been leader before, and so had one whose last term nobody knows.
#[test]
fn the_newest_term_wins_over_a_shorter_log_of_an_unknown_one() {
    let mut world = cluster(4, 1).by("fast");
    let [id] = world.table(KMemory, [&[4, 2, 3]]);
    let (two, four) = (world.at(2), world.at(4));
    world.dies([4]);
    world.passes(20_000);
    world.rows(id, 3, 1);
    world.starts([4]);
    world.passes(20_000);
    world.rows(id, 3, 2);
    typed::set_auto_failover(&mut world.world, false);
    typed::change_leader(&mut world.world, id, &four);
    typed::change_leader(&mut world.world, id, &two);
    world.rows(id, 2, 1);
    world.dies([2]);
    world.starts([2]);
    assert_eq!(world.comes_right().blocked, Vec::<String>::new());
}

/// Found while seed 2018905 was made smaller: a leader was changed, and the old one, which nobody told, was marked alive again and
/// takes rows too.
#[test]
fn who_leads_in_the_last_term_was_elected_last() {
    let mut world = cluster(2, 1).by("leaders-first");
    let [id] = world.table(KMemory, [&[1, 2]]);
    let (old, new) = (world.at(1), world.at(2));
    typed::set_auto_failover(&mut world.world, false);
    typed::change_leader(&mut world.world, id, &new);
    world.rows(id, 2, 1);
    typed::mark_alive(&mut world.world, id, &old, true);
    world.rows(id, 1, 1);
    assert_eq!(world.comes_right().blocked, Vec::<String>::new());
}

/// Another operator's ChangeLeader replaces the leader that the run has made, by a replica that is away for a while.
fn somebody_changes_the_leader_while(restarts: &str) -> Found {
    let mut world = changed_cluster(3, 1, |settings| settings.nameserver.auto_failover = false).by("fast");
    let [id, ..] = world.table(KMemory, [&[1, 2, 3], &[2, 1], &[2, 1]]);
    world.world.start_writers(937, 2);
    world.passes(20_000);
    world.dies([1, 2, 3]);
    world.nameservers_die([1]);
    world.loses(6..=7, id, 1);
    world.starts([1, 2, 3]);
    world.a_nameserver_leads();
    world.comes_right_after(&[&[restarts, "mutation:22=operator-changeleader"]])
}

/// Seed 344936.
#[test]
fn a_leader_that_somebody_else_replaced_is_not_made_leader_again() {
    let found = somebody_changes_the_leader_while("8000ms@tablet3=tablet-restarts-2000ms");
    assert_eq!(sent(&found, "change_leader"), 1, "the run's own, of the longer follower");
}

/// The new leader's log ends below the old one's, and grows past it before anybody compares the two.
#[test]
fn what_another_operators_change_of_leader_gives_up_is_not_discarded() {
    somebody_changes_the_leader_while("3000ms@tablet3=tablet-restarts-5000ms");
}

/// Seed 298753: an old leader gives up what it wrote after it had been replaced, and is away when it is to be resent. Later it is
/// loaded with its own snapshot and gets the rest from its leader: other rows at the same offset, as many, and no term that tells.
#[test]
fn what_gives_up_its_rows_and_is_away_meanwhile_holds_the_same_as_its_leader_in_the_end() {
    let mut world = cluster(2, 2);
    let [id] = world.table(KHdd, [&[2, 1]]);
    let other = world.at(1);
    world.rows(id, 2, 1);
    world.snapshot(id, 2);
    typed::set_auto_failover(&mut world.world, false);
    typed::change_leader(&mut world.world, id, &other);
    typed::set_auto_failover(&mut world.world, true);
    world.rows(id, 1, 1);
    world.dies([2]);
    world.nameservers_die([1, 2]);
    world.starts([2]);
    world.a_nameserver_leads();
    world.comes_right_after(&[&["1000ms@tablet2=tablet-restarts-30000ms"]]);
}

/// Seed 2018905: after a leader change everything restarts, and somebody brings back the old leader by the letter of the handbook,
/// without a term. It serves in the term that it knew, and grows past what the other one had written since.
fn a_leader_of_long_ago_serves(playbook: &'static str, rows: usize) -> Written {
    let mut world = cluster(2, 1).by(playbook);
    let [id] = world.table(KMemory, [&[1, 2]]);
    let (old, new) = (world.at(1), world.at(2));
    typed::set_auto_failover(&mut world.world, false);
    world.rows(id, 1, 5);
    world.passes(1_000);
    typed::change_leader(&mut world.world, id, &new);
    typed::until_operations_end(&mut world.world);
    world.passes(5_000);
    world.rows(id, 2, rows);
    world.everything_dies();
    world.everything_starts();
    typed::mark_alive(&mut world.world, id, &new, false);
    typed::load_as_leader(&mut world.world, id, &old);
    world.passes(3_000);
    typed::mark_alive(&mut world.world, id, &old, true);
    world.rows(id, 1, 20);
    world
}

#[test]
fn a_leader_of_long_ago_does_not_replace_what_was_written_after_its_term() {
    for playbook in ["recover", "fast", "leaders-first"] {
        a_leader_of_long_ago_serves(playbook, 8).comes_right();
    }
}

#[test]
fn a_leader_of_long_ago_replaces_those_who_wrote_nothing_after_its_term() {
    for playbook in ["recover", "fast", "leaders-first"] {
        let found = a_leader_of_long_ago_serves(playbook, 0).comes_right();
        assert_eq!(found.blocked, Vec::<String>::new(), "{playbook}");
    }
}

/// Seed 346628: the entries of a disk table do not tell their terms. A leader comes back with what it had alone, is taken for a
/// follower that is in step, and is elected once the others are away: it holds as many entries as anybody knows of, all of them
/// others. Its followers are resent, and what was acknowledged to them is gone. Rows compared before that would show it.
#[test]
fn a_disk_tables_leader_with_other_rows_than_its_followers_replaces_none_of_them() {
    let mut world = changed_cluster(4, 1, |settings| settings.seed = 12_871_583_792_278_461_799).by("fast");
    let [id] = world.table(KSsd, [&[2, 3, 4]]);
    world.rows(id, 2, 1);
    world.snapshot(id, 2);
    world.dies([2]);
    world.passes(10_000);
    world.rows(id, 3, 1);
    world.starts([2]);
    world.passes(20_000);
    world.dies([3, 4]);
    world.starts([3, 4]);
    world.passes(3_000);
    world.comes_right();
}

/// Seed 7002872: an old leader's tail was given up at a failover, and with it went, unlooked at, what its successor's log had lost from
/// before that.
#[test]
fn what_a_failover_gave_up_is_no_leave_to_discard_what_was_written_before_it() {
    for playbook in ["recover", "fast", "leaders-first"] {
        let mut world = cluster(2, 1).by(playbook);
        let [id] = world.table(KMemory, [&[1, 2]]);
        world.rows(id, 1, 40);
        // Counts say nothing from here on.
        world.deletes(id, 1, 4);
        world.passes(1_000);
        world.freeze([2], true);
        world.rows(id, 1, 8);
        world.dies([1]);
        world.freeze([2], false);
        world.passes(20_000);
        assert_eq!(world.led_by(id), 2);
        world.rows(id, 2, 12);
        world.deletes(id, 2, 9);
        world.everything_dies();
        world.loses(29..=32, id, 2);
        world.everything_starts();
        let found = world.comes_right();
        assert!(!found.blocked.is_empty(), "{playbook}");
    }
}

/// Seed 7007298: a leader had lost a row that was written once more, which one follower still holds: both show the same rows. What the
/// leader wrote in that place later on, that follower never got.
#[test]
fn what_one_holds_beyond_its_leader_is_in_the_way_of_what_that_one_writes_next() {
    for playbook in ["recover", "fast", "leaders-first"] {
        let mut world = cluster(3, 1).by(playbook);
        let [id] = world.table(KSsd, [&[1, 2, 3]]);
        world.rows(id, 1, 6);
        let leader = world.at(1);
        assert!(world.world.overwrite_row(&leader, id));
        world.passes(1_000);
        world.everything_dies();
        world.loses(7..=7, id, 1);
        world.loses(7..=7, id, 2);
        world.everything_starts();
        world.a_recovery_is_killed(Duration::from_millis(150));
        world.passes(5_000);
        world.world.start_writers(50, 1);
        world.passes(5_000);
        world.world.stop_writers();
        world.everything_dies();
        world.everything_starts();
        world.comes_right();
    }
}

/// Seen on real servers: a snapshot ends before an entry that is missing, and nothing tells that it will not go on. It was waited for for
/// half an hour, and nobody led.
#[test]
fn a_snapshot_that_its_log_does_not_allow_keeps_no_partition_down() {
    let mut world = cluster(3, 1).by("fast");
    let [id] = world.table(KMemory, [&[1, 2, 3]]);
    world.rows(id, 1, 10);
    world.passes(1_000);
    let two = world.at(2);
    typed::set_auto_failover(&mut world.world, false);
    typed::change_leader(&mut world.world, id, &two);
    typed::set_auto_failover(&mut world.world, true);
    world.rows(id, 2, 10);
    world.passes(2_000);
    world.everything_dies();
    world.loses(12..=12, id, 3);
    world.everything_starts();
    let found = world.comes_right();
    assert_eq!(found.blocked, Vec::<String>::new());
    assert!(found.virtual_time < Duration::from_secs(5 * 60), "{:?}", found.virtual_time);
}

/// Seen on real servers: everything was killed while tablets made snapshots, and within the same minute they were asked for others, which
/// they wrote behind what was there. The next restart brought a part of the rows.
#[test]
fn no_snapshot_is_written_behind_one_that_was_cut_off() {
    for playbook in ["recover", "fast", "leaders-first"] {
        let mut world = cluster(3, 1).by(playbook);
        let [id] = world.table(KMemory, [&[1, 2, 3]]);
        world.rows(id, 1, 10);
        world.passes(1_000);
        let two = world.at(2);
        typed::set_auto_failover(&mut world.world, false);
        typed::change_leader(&mut world.world, id, &two);
        typed::set_auto_failover(&mut world.world, true);
        world.rows(id, 2, 10);
        world.passes(60_000 - world.world.now() % 60_000);
        for at in [1, 2, 3].map(|tablet| world.at(tablet)) {
            assert!(world.world.begin_snapshot(&at, id));
        }
        world.everything_dies();
        world.everything_starts();
        world.is_recovered(|calm| calm);
        world.everything_dies();
        world.everything_starts();
        let found = world.comes_right();
        assert_eq!(found.blocked, Vec::<String>::new(), "all replicas hold all rows");
    }
}
