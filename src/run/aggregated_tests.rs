//! What is said of pre-aggregate tables that may be ahead of their base tables.

use std::sync::Arc;

use super::*;
use crate::cluster::Options;
use crate::model::{Offset, Pid, Tid};
use crate::run::Selector;
use crate::sandbox::nameserver::{Placement, TableSpec};
use crate::sandbox::world::Settings;
use crate::sandbox::{Addresses, InProcess, Live, World, in_virtual_time};
use crate::snapshot::collect;
use crate::wire::common::StorageMode;

/// The key under which a tablet puts aggregates.
const AGGREGATES: u64 = 0xA66;
/// More rows than there are.
const PLENTY: u64 = 1_000;

/// `shop.t/0` with 40 rows, led by one tablet, and what that aggregates of it, led by another.
struct Shop {
    world: World,
    base: PartitionId,
    aggregate: PartitionId,
    leads: Endpoint,
    leads_aggregate: Endpoint,
}

impl Shop {
    fn open() -> Self {
        let mut world = World::new(Settings { seed: 1, ..Settings::default() }, &Addresses::recorded(1, 2));
        world.start_everything();
        while world.leader().is_none() {
            world.advance_by(100);
        }
        world.create_database("shop").unwrap();
        let at = world.tablet_endpoints().to_vec();
        let (leads, leads_aggregate) = (at[0].clone(), at[1].clone());
        let spec = |db: &str, name: &str, at: &Endpoint| {
            TableSpec::sql(db, name, StorageMode::KMemory, vec![Placement::at(&[at.as_str()])])
        };
        let base = world.create_table(&spec("shop", "t", &leads)).unwrap();
        let of_it = spec("__PRE_AGG_DB", "pre_shop_t", &leads_aggregate).aggregating(base);
        let aggregate = world.create_table(&of_it).unwrap();
        let [base, aggregate] = [base, aggregate].map(|tid| PartitionId { tid: Tid(tid), pid: Pid(0) });
        for _ in 0..40 {
            assert!(world.put_row(&leads, base));
        }
        world.advance_by(5_000);
        Self { world, base, aggregate, leads, leads_aggregate }
    }

    /// One aggregate, of the base table's log up to a row that it does not have.
    fn ahead(mut self) -> Self {
        assert!(self.world.put_row_under(&self.leads_aggregate, self.aggregate, AGGREGATES));
        self
    }

    /// The base table's log goes on, and the aggregate with it.
    fn caught_up(mut self) -> Self {
        self = self.ahead();
        assert!(self.world.put_row(&self.leads, self.base));
        self
    }

    /// What is found within a scope where so many rows are read at most, while calls go wrong like that once it was looked at.
    fn found_in(self, scope: &Scope, up_to: u64, wrong: &[&str]) -> Vec<Finding> {
        let faults = wrong.iter().map(|fault| fault.parse().unwrap()).collect();
        let (_, found) = in_virtual_time(self.world, async |live: &Arc<Live>| {
            let cluster = Cluster::new(Arc::new(InProcess::new(live.clone())), Options::default());
            let seen = collect(&cluster, "in memory", live.now()).await.unwrap();
            live.with(|world| world.set_faults(faults, 1));
            with_aggregates(&cluster, &seen, scope, up_to, Verification::of(Vec::new())).await
        })
        .unwrap();
        found.findings
    }

    fn found(self, up_to: u64, wrong: &[&str]) -> Vec<Finding> {
        self.found_in(&Scope::All, up_to, wrong)
    }
}

#[test]
fn what_is_made_of_rows_that_the_base_table_does_not_hold_is_found() {
    let shop = Shop::open().ahead();
    let (at, leads) = (shop.leads_aggregate.clone(), shop.leads.clone());
    let found = shop.found(PLENTY, &[]);
    let [one] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(
        (one.kind, one.nature, one.endpoint.as_ref()),
        (FindingKind::AggregateAhead, Persistence::Stays, Some(&at))
    );
    let (reaches, holds) = (Offset(41), Offset(40));
    let text = format!("is made of shop.t/0 up to offset {reaches}, and {leads} holds that up to {holds}");
    assert!(one.text.starts_with(&text), "{}", one.text);
    assert_eq!(one.table.as_ref().map(ToString::to_string), Some("__PRE_AGG_DB.pre_shop_t".to_owned()));
}

#[test]
fn what_reaches_just_to_the_end_of_its_base_table_is_well() {
    assert_eq!(Shop::open().found(PLENTY, &[]), [], "nothing is aggregated");
    assert_eq!(Shop::open().caught_up().found(PLENTY, &[]), []);
}

#[test]
fn where_nobody_can_tell_it_is_said_why_and_nothing_is_held_against_it() {
    let told = |shop: Shop, up_to: u64, wrong: &[&str]| {
        let found = shop.found(up_to, wrong);
        let [one] = found.as_slice() else { panic!("{wrong:?}: {found:?}") };
        assert_eq!((one.kind, one.nature), (FindingKind::AggregateAhead, Persistence::Remark), "{wrong:?}");
        let begins = "it is unknown whether it is ahead of shop.t/0, which would make every Put there fail: ";
        assert!(one.text.starts_with(begins), "{}", one.text);
        one.text[begins.len()..].to_owned()
    };
    assert_eq!(told(Shop::open().ahead(), 0, &[]), "it has 1 row");
    assert_eq!(
        Shop::open().ahead().found(1, &[]).first().map(|found| found.nature),
        Some(Persistence::Stays),
        "not too many"
    );
    for wrong in ["Traverse@tablet2:every=refused", "ShowTable:every=refused", "GetTableStatus@tablet1:every=refused"] {
        let why = told(Shop::open().ahead(), PLENTY, &[wrong]);
        assert!(!why.is_empty() && !why.contains("row"), "{wrong}: {why}");
    }
}

#[test]
fn only_what_is_in_scope_and_loaded_is_read() {
    let of = |db: &str, table: &str| {
        Scope::Some(vec![Selector { db: db.to_owned(), table: Some(table.to_owned()), pid: None }])
    };
    assert_eq!(Shop::open().ahead().found_in(&of("shop", "t"), PLENTY, &[]), []);
    assert_eq!(Shop::open().ahead().found_in(&of("__PRE_AGG_DB", "pre_shop_t"), PLENTY, &[]).len(), 1);
    for gone in [0, 1] {
        let mut shop = Shop::open().ahead();
        let at = shop.world.tablet_endpoints()[gone].clone();
        shop.world.kill_tablet(&at);
        shop.world.start_tablets(&[at]);
        let traverses = "Traverse:every=garbage";
        assert_eq!(shop.found(PLENTY, &[traverses]), [], "that it is not loaded is found elsewhere");
    }
}
