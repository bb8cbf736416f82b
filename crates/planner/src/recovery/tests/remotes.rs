//! Replicas of clusters that follow this one: which may be taken as they are.

use openmldb_model::{Held, Offset, PartitionId, Pid, Role, State, Tid};

use crate::recovery::{Apart, Attach, Reach, may_attach};

fn held(offset: u64, rows: u64, state: State) -> Held {
    Held {
        partition: PartitionId { tid: Tid(9), pid: Pid(0) },
        role: Role::Leader,
        state,
        offset: Offset(offset),
        record_cnt: rows,
        index_rows: Vec::new(),
    }
}

fn judged(snapshot: u64, led_from: u64, leader: (u64, u64), remote: (u64, u64)) -> Result<Attach, Apart> {
    let reach = Reach { snapshot: Offset(snapshot), led_from: Some(Offset(led_from)) };
    may_attach(reach, &held(leader.0, leader.1, State::Normal), Some(&held(remote.0, remote.1, State::Normal)), false)
}

#[test]
fn one_that_holds_the_beginning_of_the_leaders_log_is_taken() {
    assert_eq!(judged(0, 20, (20, 20), (20, 20)), Ok(Attach::GoesOn), "all of it");
    assert_eq!(judged(5, 20, (30, 30), (12, 12)), Ok(Attach::GoesOn), "what is missing is in the log");
    assert_eq!(judged(12, 20, (30, 30), (12, 12)), Ok(Attach::GoesOn), "just behind the snapshot");
}

#[test]
fn one_that_holds_more_than_the_leader_did_when_it_began_to_lead_is_not() {
    let ahead = Err(Apart::Ahead { remote: Offset(25), led_from: Offset(20) });
    assert_eq!(judged(0, 20, (20, 20), (25, 25)), ahead);
    assert_eq!(judged(0, 20, (40, 40), (25, 25)), ahead, "the leader has passed it, with other entries");
}

#[test]
fn one_that_the_leaders_log_may_not_reach_is_taken_and_may_stay_where_it_is() {
    assert_eq!(judged(12, 20, (20, 20), (11, 11)), Ok(Attach::MayStay { at: Offset(11) }));
}

#[test]
fn one_that_lacks_entries_in_between_is_not() {
    let hollow = |offset, rows, due| Err(Apart::Hollow { rows, offset: Offset(offset), due });
    assert_eq!(judged(0, 20, (20, 20), (20, 15)), hollow(20, 15, 20));
    assert_eq!(judged(0, 30, (30, 30), (20, 15)), hollow(20, 15, 20), "every entry of the leader is a row");
    assert_eq!(judged(0, 20, (20, 12), (20, 9)), hollow(20, 9, 12), "some are deletes, and both are at the same entry");
    assert_eq!(judged(0, 30, (30, 22), (20, 15)), Ok(Attach::GoesOn), "which of them nobody knows");
}

#[test]
fn of_rows_that_may_expire_their_number_says_nothing() {
    let of = |leader: (u64, u64), remote: (u64, u64)| {
        let reach = Reach { snapshot: Offset(0), led_from: Some(Offset(leader.0)) };
        let normal = |(offset, rows)| held(offset, rows, State::Normal);
        may_attach(reach, &normal(leader), Some(&normal(remote)), true)
    };
    assert_eq!(of((20, 20), (20, 15)), Ok(Attach::GoesOn), "at the same entry");
    assert_eq!(of((30, 30), (20, 15)), Ok(Attach::GoesOn), "behind");
}

#[test]
fn one_that_is_not_loaded_or_not_there_is_not() {
    let reach = Reach { snapshot: Offset(0), led_from: Some(Offset(20)) };
    let leader = held(20, 20, State::Normal);
    assert_eq!(may_attach(reach, &leader, None, false), Err(Apart::NotHeld));
    assert_eq!(may_attach(reach, &leader, Some(&held(0, 0, State::Loading)), false), Err(Apart::NotLoaded));
}

#[test]
fn where_nobody_knows_how_far_the_leader_was_only_one_that_is_empty_is_taken() {
    let leader = held(40, 40, State::Normal);
    let of = |at: u64| {
        let reach = Reach { snapshot: Offset(0), led_from: None };
        may_attach(reach, &leader, Some(&held(at, at, State::Normal)), false)
    };
    assert_eq!(of(25), Err(Apart::Unproven { remote: Offset(25) }));
    assert_eq!(of(0), Ok(Attach::GoesOn));
}
