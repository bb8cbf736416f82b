//! What a snapshot says of the partition that a pre-aggregate table's one aggregates.

use super::carrying_on::{Found, NOTHING};
use crate::recovery::Base;
use openmldb_model::{Endpoint, Offset, PartitionId, Pid, Role, Seen, Snapshot, State, Term, TermStart, Tid};

/// `shop.orders` on `a`, which leads it, and `b`, both with partition 0 loaded, and beside it a table that aggregates it.
fn found() -> Snapshot {
    let mut snapshot = Found { served: true, held: vec![0], ..NOTHING }.snapshot();
    let mut aggregate = snapshot.tables[0].clone();
    (aggregate.tid, aggregate.base_table) = (Tid(8), Some(Tid(7)));
    snapshot.tables.push(aggregate);
    snapshot
}

fn of(snapshot: &Snapshot) -> Base {
    Base::of(snapshot, &snapshot.tables[1], &snapshot.tables[1].partitions[0]).unwrap()
}

#[test]
fn it_takes_rows_where_its_leader_leads_in_memory() {
    assert!(of(&found()).takes_rows);
    for (role, state) in [(Role::Follower, State::Normal), (Role::Leader, State::Loading)] {
        let mut snapshot = found();
        let Seen::Known(held) = &mut snapshot.tablets.get_mut(&"a".into()).unwrap().held else { panic!() };
        held.values_mut().for_each(|held| (held.role, held.state) = (role, state));
        assert!(!of(&snapshot).takes_rows, "{role:?}, {state:?}");
    }
}

#[test]
fn clients_that_know_where_it_led_do_not_wait_until_it_is_flagged_alive() {
    let mut snapshot = found();
    snapshot.tables[0].partitions[0].replicas.iter_mut().for_each(|replica| replica.is_alive = false);
    assert!(of(&snapshot).takes_rows);
}

#[test]
fn it_is_registered_where_a_tablet_shows_it() {
    let mut snapshot = found();
    let everywhere = of(&snapshot).registered_at;
    assert_eq!(everywhere, ["a", "b"].map(Endpoint::from).into());
    let [base, aggregate] = [7, 8].map(|tid| PartitionId { tid: Tid(tid), pid: Pid(0) });
    let Seen::Known(held) = &mut snapshot.tablets.get_mut(&"b".into()).unwrap().held else { panic!() };
    let of_base = held.remove(&base).unwrap();
    held.insert(aggregate, of_base);
    assert_eq!(of(&snapshot).registered_at, ["a"].map(Endpoint::from).into(), "b has only what aggregates it");
}

#[test]
fn two_were_never_apart_if_neither_was_led_anew_and_one_tablet_is_flagged_leader_of_both() {
    assert!(!of(&found()).was_apart);
    for led_anew in [0, 1] {
        let mut snapshot = found();
        snapshot.tables[led_anew].partitions[0].terms.push(TermStart { term: Term(2), start: Offset(5) });
        assert!(of(&snapshot).was_apart, "table {led_anew}");
    }
    let mut snapshot = found();
    snapshot.tables[1].partitions[0].replicas.iter_mut().for_each(|replica| replica.is_leader = !replica.is_leader);
    assert!(of(&snapshot).was_apart);
}
