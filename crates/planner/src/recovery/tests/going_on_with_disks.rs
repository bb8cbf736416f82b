//! Going on after a run that did not finish, with disk tables, which load unseen.

use crate::recovery::{Data, Load, PersistedMemory, ReplicaMemory};
use openmldb_model::{Directory, Seen};

use super::carrying_on::{DISK, Found, NOTHING, loaded, none, restarted, same, told};

/// Found by the matrix: the tablet was back and recognised as restarted, but the partition was not brought back in that run.
/// It holds something again, so the next run could not see that it had been restarted.
#[test]
fn a_disk_table_whose_tablet_was_seen_restarted_is_told_again_by_the_next_run() {
    let mut seen = ReplicaMemory { load: Load::Interrupted, loads: 1, ..ReplicaMemory::new() };
    let found = Found { storage: DISK, held: vec![1], ..NOTHING };
    let load = |seen: &ReplicaMemory| found.load(false, [PersistedMemory::of(seen), told(Load::Loaded), none()]);
    assert_eq!(load(&seen), Load::Interrupted, "the same process, as far as anybody knows");
    seen.note_restart();
    assert_eq!(load(&seen), Load::NotSent);
}

/// Found by the matrix: the tablet died while the replica was loaded, and auto failover had loaded another one on it before the
/// next run looked, so that the tablet did not look restarted.
#[test]
fn a_disk_table_that_was_loaded_when_its_tablet_died_is_told_again_by_the_next_run() {
    let mut seen = ReplicaMemory { load: Load::Loaded, held: true, loads: 1, ..ReplicaMemory::new() };
    seen.note_held(DISK, &Data::OutOfReach("gone".to_owned()));
    let found = Found { storage: DISK, held: vec![1], ..NOTHING };
    assert_eq!(found.load(false, [PersistedMemory::of(&seen), told(Load::Loaded), none()]), Load::NotSent);
    let mut loading = ReplicaMemory { load: Load::Accepted, loads: 1, ..ReplicaMemory::new() };
    loading.note_held(DISK, &Data::OutOfReach("gone".to_owned()));
    let load = found.load(false, [PersistedMemory::of(&loading), told(Load::Loaded), none()]);
    assert_eq!(load, Load::Interrupted, "it may still be loading, if the tablet was only slow");
}

/// What its tablet has in place was asked now, and says more than how far loading it had come.
#[test]
fn a_replica_of_which_nothing_is_in_place_is_gone_whatever_became_of_its_load() {
    let loads = [Load::Accepted, Load::Interrupted, Load::InDoubt, Load::NeverAppeared];
    for load in loads {
        let bare = Found { directory: Seen::Known(Directory::Bare), storage: DISK, ..NOTHING };
        assert_eq!(bare.load(false, [told(load.clone()), none(), none()]), Load::NeverAppeared, "{load:?}");
    }
    for load in [Load::Vanished, Load::NeverAppeared] {
        let missing = Found { directory: Seen::Known(Directory::Missing), ..NOTHING };
        assert_eq!(missing.load(false, [told(load), none(), none()]), Load::NotSent);
    }
}

/// Columns that are sent once more are in its description once more.
#[test]
fn that_a_replica_was_told_the_tables_columns_is_known_until_its_tablet_is_restarted() {
    let seen = ReplicaMemory { load: Load::Refused("131".to_owned()), told_schema: true, ..ReplicaMemory::new() };
    let told_schema = |found: Found| {
        let carried = found.carried(false, [PersistedMemory::of(&seen), loaded(), none()]);
        carried.replica(&"b".into()).told_schema
    };
    assert!(told_schema(same(DISK)));
    assert!(!told_schema(restarted(DISK)));
}
