//! When CreateAggregator may be sent, on snapshots made up for it.

use crate::model::{Action, Aggregator, Held, PartitionId, Pid, Probes, Role, Seen, Snapshot, TableName, Tid};

use super::super::super::tests::{ID, held_mut, replica_mut, well};
use super::super::super::{Step, plan};

const AGGREGATE: PartitionId = PartitionId { tid: Tid(8), pid: Pid(0) };

fn name() -> TableName {
    TableName { db: "shop".to_owned(), table: "by_day".to_owned() }
}

/// `shop.by_day/0`, which aggregates `shop.orders/0`: both are led by `a`, which has no aggregator.
fn without_aggregator() -> Snapshot {
    let mut seen = well();
    let mut table = seen.tables[0].clone();
    (table.name, table.tid, table.base_table) = (name(), AGGREGATE.tid, Some(ID.tid));
    seen.tables.push(table);
    for tablet in seen.tablets.values_mut() {
        let Seen::Known(held) = &mut tablet.held else { panic!("known") };
        let of_base = held[&ID].clone();
        held.insert(AGGREGATE, Held { partition: AGGREGATE, ..of_base });
        let aggregator = Seen::Known(Aggregator::Missing);
        tablet.probes.insert(AGGREGATE, Probes { aggregator, ..Probes::UNASKED });
    }
    seen
}

/// What is sent, or why nothing is.
fn after(change: impl FnOnce(&mut Snapshot)) -> Result<Option<Action>, String> {
    let mut seen = without_aggregator();
    change(&mut seen);
    let step = Step::Aggregate { table: name(), pid: Pid(0), endpoint: "a".into() };
    plan(&step, &seen).map(|planned| planned.call).map_err(|refused| refused.text)
}

fn refused(change: impl FnOnce(&mut Snapshot)) -> String {
    after(change).expect_err("it was to be refused")
}

#[test]
fn it_is_sent_only_to_a_tablet_that_says_that_it_has_no_aggregator() {
    let create = Action::CreateAggregator { endpoint: "a".into(), table: name(), partition: AGGREGATE };
    assert_eq!(after(|_| {}), Ok(Some(create)));
    let says = |aggregator: Seen<Aggregator>| {
        refused(|seen| {
            seen.tablets.get_mut(&"a".into()).unwrap().probes.get_mut(&AGGREGATE).unwrap().aggregator = aggregator
        })
    };
    assert!(says(Seen::Known(Aggregator::Present)).contains("a second one would write everything twice"));
    for unknown in [Seen::Unasked, Seen::Failed("timed out".to_owned())] {
        assert!(says(unknown).contains("does not say whether it has an aggregator"));
    }
    assert!(refused(|seen| seen.tablets.get_mut(&"a".into()).unwrap().probes.clear()).contains("does not say"));
}

#[test]
fn it_is_sent_only_to_the_tablet_that_leads_both() {
    let elsewhere = refused(|seen| {
        (replica_mut(seen, "a").is_leader, replica_mut(seen, "b").is_leader) = (false, true);
    });
    assert_eq!(elsewhere, "b leads shop.orders/0, not a");
    let nobody = refused(|seen| replica_mut(seen, "a").is_alive = false);
    assert_eq!(nobody, "no replica leads shop.orders/0");
    let of_base = refused(|seen| held_mut(seen, "a").role = Role::Follower);
    assert_eq!(of_base, "a is flagged leader of shop.orders/0 and has it loaded as follower");
    let of_it = refused(|seen| held(seen).role = Role::Follower);
    assert_eq!(of_it, "a is flagged leader of shop.by_day/0 and has it loaded as follower");
}

#[test]
fn it_is_not_sent_where_an_aggregator_wrote_while_it_was_loaded() {
    let written = refused(|seen| held(seen).record_cnt = 21);
    assert!(written.contains("holds 21 rows of shop.by_day/0 at offset 20"), "{written}");
}

fn held(seen: &mut Snapshot) -> &mut Held {
    let Seen::Known(held) = &mut seen.tablets.get_mut(&"a".into()).unwrap().held else { panic!("known") };
    held.get_mut(&AGGREGATE).unwrap()
}
