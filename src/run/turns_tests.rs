//! Whose turn it is among a base table's partition and the one that aggregates it, and when those that wait are looked at again.
#![allow(clippy::panic)]

use std::collections::BTreeMap;

use super::super::made_up::{self, ID as BASE, seen};
use super::super::partition_task::End;
use super::*;
use crate::model::{
    Directory, Held, Manifest, Offset, Pid, Probes, Role, Seen, Snapshot, State, StorageMode, TableName, Tid,
};
use crate::recovery::{Blocked, Choice, PromotionMethod, Reason, Wait};

const AGGREGATE: PartitionId = PartitionId { tid: Tid(8), pid: Pid(0) };
/// How long a turn lasts here.
const LASTS: Duration = Duration::from_secs(180);

/// A base table's partition and one that aggregates it, on `a`, which leads both, and `b`. Nothing is loaded.
fn restarted() -> Snapshot {
    let mut snapshot = seen();
    let base = &mut snapshot.tables[0];
    base.partitions[0].replicas[1].is_alive = true;
    let name = TableName { db: "__PRE_AGG_DB".to_owned(), table: "sums".to_owned() };
    let aggregate = Table { name, tid: AGGREGATE.tid, base_table: Some(BASE.tid), ..base.clone() };
    snapshot.tables.push(aggregate);
    for tablet in snapshot.tablets.values_mut() {
        (tablet.held, tablet.probes) = (Seen::Known(BTreeMap::new()), BTreeMap::new());
    }
    snapshot
}

fn driver_of(snapshot: Snapshot) -> Driver {
    let mut driver = made_up::driver_of(snapshot, LASTS);
    driver.stirred.clear();
    driver
}

fn driver() -> Driver {
    driver_of(restarted())
}

impl Driver {
    fn of(&mut self, id: PartitionId) -> &mut PartitionTask {
        self.partitions.get_mut(&id).unwrap()
    }

    fn load(&mut self, id: PartitionId, at: &str, load: Load) {
        self.of(id).memory.replica_mut(&at.into()).load = load;
    }

    fn ends(&mut self, id: PartitionId) {
        self.of(id).end(End::Blocked(Blocked::new(Reason::Refused, "of a test", "")), Duration::ZERO);
    }

    /// It waits for its turn behind those.
    fn waits(&mut self, id: PartitionId, ahead: Ahead) {
        let (what, seen, catch_up_to) = (WaitFor::Turn(ahead), String::new(), None);
        let wait = Wait { what, seen, timeout: LASTS, stall: LASTS, catch_up_to };
        assert!(!self.of(id).wait(StorageMode::Memory, wait, 1.0));
        self.turns.insert(id);
    }

    /// The leader of a partition is chosen: `a`.
    fn chooses(&mut self, id: PartitionId) {
        self.of(id).memory.choice = Some(chosen().into());
    }

    /// What that tablet has in place of the aggregates.
    fn finds(&mut self, at: &str, directory: Option<Directory>) {
        let directory = directory.map_or(Seen::Unasked, Seen::Known);
        let manifest = Seen::Known(Manifest { offset: Offset(0), term: None, count: 0 });
        let probes = Probes { directory, manifest, ..Probes::UNASKED };
        self.snapshot.tablets.get_mut(&Endpoint::from(at)).unwrap().probes.insert(AGGREGATE, probes);
    }

    /// That tablet has it loaded.
    fn holds(&mut self, at: &str, id: PartitionId) {
        let (role, state, offset) = (Role::Follower, State::Normal, Offset(20));
        let found = Held { partition: id, role, state, offset, record_cnt: offset.0, index_rows: Vec::new() };
        match &mut self.snapshot.tablets.get_mut(&Endpoint::from(at)).unwrap().held {
            Seen::Known(held) => drop(held.insert(id, found)),
            other => panic!("{other:?}"),
        }
    }

    /// Whom a look at turns has found, a while later.
    async fn later(&mut self, after: Duration) -> Vec<PartitionId> {
        tokio::time::advance(after).await;
        self.end_turns();
        std::mem::take(&mut self.stirred).into_iter().collect()
    }
}

fn chosen() -> Choice {
    Choice {
        leader: "a".into(),
        way: PromotionMethod::ChangeRole,
        offset: Some(Offset(20)),
        why: String::new(),
        rejected: Vec::new(),
        proven: Vec::new(),
        doubted: Vec::new(),
        unread: Vec::new(),
        given_up: Vec::new(),
        out_of_reach: Vec::new(),
        seen_no_longer: Vec::new(),
    }
}

/// What keeps the base table's partition from being loaded.
fn ahead(driver: &Driver) -> Option<Ahead> {
    driver.gates(BASE).comes_first
}

/// What LoadTable says of a memory table whose description is lost.
const NO_COLUMNS: &str = "tablet a refused LoadTable: fail to init table (code 131)";

#[tokio::test(start_paused = true)]
async fn a_base_tables_partition_is_loaded_once_what_aggregates_it_is_loaded_or_will_not_be() {
    use Directory::{Bare, InPlace, Missing, Undescribed};
    let refused = || Load::Refused(NO_COLUMNS.to_owned());
    let missing = Some(Missing);
    for (is_coming, load, directory) in [
        (true, Load::NotSent, None),
        (false, Load::NotSent, missing),
        (true, Load::Accepted, None),
        (true, Load::Seen, None),
        (true, Load::Loaded, None),
        (true, refused(), None),
        (true, refused(), Some(InPlace)),
        (true, refused(), Some(Undescribed)),
        (false, refused(), missing),
        (false, refused(), Some(Bare)),
        (false, Load::Refused("no memory".to_owned()), Some(InPlace)),
        (true, Load::Vanished, None),
        (true, Load::Vanished, Some(InPlace)),
        (false, Load::Vanished, missing),
        (false, Load::Interrupted, None),
        (false, Load::NeverAppeared, None),
        (false, Load::HandedOver, None),
    ] {
        for (at, other) in [("a", "b"), ("b", "a")] {
            let mut driver = driver();
            driver.load(AGGREGATE, at, load.clone());
            driver.finds(at, directory);
            driver.holds(other, AGGREGATE);
            let seen = format!("{load:?}, {directory:?} on {at}");
            assert_eq!(ahead(&driver), is_coming.then_some(Ahead::Aggregates), "{seen}, and not there");
            driver.holds(at, AGGREGATE);
            // What its aggregator writes into it while it loads is not what it shows in the end: that is believed once it lasts.
            driver.of(AGGREGATE).memory.replica_mut(&at.into()).odd_looks = 3;
            assert_eq!(ahead(&driver), None, "{seen}, and loaded");
        }
    }
}

/// Found by the hunt (world 9300378): refused for want of a description, it was told again with one, after its base table.
#[tokio::test(start_paused = true)]
async fn one_that_was_told_with_the_tables_columns_and_refused_all_the_same_is_waited_for_no_longer() {
    let mut driver = driver();
    driver.holds("b", AGGREGATE);
    driver.load(AGGREGATE, "a", Load::Refused(NO_COLUMNS.to_owned()));
    driver.finds("a", Some(Directory::InPlace));
    assert_eq!(ahead(&driver), Some(Ahead::Aggregates));
    driver.of(AGGREGATE).memory.replica_mut(&"a".into()).told_schema = true;
    assert_eq!(ahead(&driver), None);
}

#[tokio::test(start_paused = true)]
async fn it_waits_only_where_it_may_be_loaded_itself_and_for_nobody_who_waits_for_it_or_has_ended() {
    let mut held = driver();
    assert_eq!(ahead(&held), Some(Ahead::Aggregates));
    held.holds("a", BASE);
    assert_eq!(ahead(&held), Some(Ahead::Aggregates), "b does not have it");
    held.holds("b", BASE);
    assert_eq!(ahead(&held), None, "it is there everywhere");
    let mut away = driver();
    for at in ["a", "b"] {
        let tablet = away.snapshot.tablets.get_mut(&Endpoint::from(at)).unwrap();
        tablet.held = Seen::Failed("connection refused".to_owned());
    }
    assert_eq!(ahead(&away), None, "nothing can be loaded there");
    let mut waiting = driver();
    waiting.waits(AGGREGATE, Ahead::BaseTable);
    assert_eq!(ahead(&waiting), None, "it waits for its base table's leader");
    let mut ended = driver();
    ended.ends(AGGREGATE);
    assert_eq!(ahead(&ended), None);
    assert_eq!(held.gates(AGGREGATE).comes_first, None, "nothing aggregates that");
}

/// Found by the hunt (world 9100871): its tablet was restarted, and a base table's partition was loaded first because what aggregates
/// it had served before.
#[tokio::test(start_paused = true)]
async fn who_comes_first_is_asked_again_once_those_that_served_are_gone() {
    let mut driver = driver();
    for id in [AGGREGATE, BASE] {
        driver.settle(id);
    }
    let gates = driver.gates(BASE);
    assert_eq!((gates.comes_first, gates.is_aggregated), (Some(Ahead::Aggregates), false));
    assert!(!driver.gates(AGGREGATE).base_is_chosen);
    assert!(gates.may_recover_followers, "that is another matter");
}

#[tokio::test(start_paused = true)]
async fn a_pre_aggregate_tables_partition_waits_until_it_is_known_who_leads_what_it_aggregates() {
    let is_chosen = |change: fn(&mut Driver)| {
        let mut driver = driver();
        change(&mut driver);
        driver.gates(AGGREGATE).base_is_chosen
    };
    assert!(!is_chosen(|_| {}));
    assert!(is_chosen(|driver| driver.chooses(BASE)));
    assert!(is_chosen(|driver| driver.of(BASE).serves = true));
    assert!(is_chosen(|driver| driver.ends(BASE)), "nobody will, in this run");
    assert!(is_chosen(|driver| drop(driver.partitions.remove(&BASE))), "it is out of scope");
    assert!(driver().gates(BASE).base_is_chosen, "it aggregates nothing");
}

#[tokio::test(start_paused = true)]
async fn who_is_to_lead_a_base_tables_partition_counts_as_long_as_nobody_does() {
    let leader = |change: fn(&mut Driver)| {
        let mut driver = driver();
        change(&mut driver);
        let table = driver.snapshot.tables[1].clone();
        driver.chosen_base_leader(&table, AGGREGATE)
    };
    assert_eq!(leader(|_| {}), None);
    assert_eq!(leader(|driver| driver.chooses(BASE)), Some(Endpoint::from("a")));
    let serves = |driver: &mut Driver| {
        driver.chooses(BASE);
        driver.of(BASE).serves = true;
    };
    assert_eq!(leader(serves), None, "then metadata say who leads");
    let ended = |driver: &mut Driver| {
        driver.chooses(BASE);
        driver.ends(BASE);
    };
    assert_eq!(leader(ended), None);
    let driver = driver();
    assert_eq!(driver.chosen_base_leader(&driver.snapshot.tables[0], BASE), None, "it aggregates nothing");
}

/// A base table's partition takes no rows before what aggregates it is led, and has its aggregator.
#[tokio::test(start_paused = true)]
async fn a_base_tables_partition_leads_after_what_aggregates_it() {
    let mut driver = driver();
    assert!(!driver.gates(BASE).is_aggregated);
    driver.of(AGGREGATE).end(End::Healthy, Duration::ZERO);
    assert!(driver.gates(BASE).is_aggregated);
    assert!(driver.gates(AGGREGATE).is_aggregated, "nothing aggregates it");
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_its_relatives_is_looked_at_again_as_soon_as_they_are_so_far() {
    let mut driver = driver();
    driver.waits(AGGREGATE, Ahead::BaseTable);
    assert_eq!(driver.later(RELATED).await, [], "nobody is chosen");
    driver.chooses(BASE);
    assert_eq!(driver.later(RELATED / 2).await, [], "they were looked at a moment ago");
    assert_eq!(driver.later(RELATED).await, [AGGREGATE]);
    let mut loads = self::driver();
    loads.waits(BASE, Ahead::Aggregates);
    assert_eq!(loads.later(RELATED).await, []);
    for at in ["a", "b"] {
        loads.holds(at, AGGREGATE);
    }
    assert_eq!(loads.later(RELATED).await, [BASE], "it may be loaded");
    loads.chooses(BASE);
    assert_eq!(loads.later(RELATED).await, [], "it may not lead yet");
    loads.of(AGGREGATE).end(End::Healthy, Duration::ZERO);
    assert_eq!(loads.later(RELATED).await, [BASE]);
}

#[tokio::test(start_paused = true)]
async fn whoever_has_waited_for_its_turn_for_long_enough_is_looked_at_again_whatever_others_do() {
    for (id, ahead) in [(AGGREGATE, Ahead::SystemTables), (AGGREGATE, Ahead::BaseTable), (BASE, Ahead::Aggregates)] {
        let mut driver = driver();
        driver.waits(id, ahead);
        assert_eq!(driver.later(LASTS - TURNS).await, [], "{ahead:?}");
        assert_eq!(driver.later(2 * TURNS).await, [id], "{ahead:?}");
        assert_eq!(driver.later(TURNS / 2).await, [], "{ahead:?}: a moment later");
    }
}

/// The clock of a sandbox runs faster.
#[tokio::test(start_paused = true)]
async fn a_turn_is_measured_on_the_clusters_clock() {
    let mut driver = driver();
    driver.settings.pace = 20.0;
    driver.waits(AGGREGATE, Ahead::SystemTables);
    assert_eq!(driver.later(LASTS / 25).await, []);
    assert_eq!(driver.later(LASTS / 50).await, [AGGREGATE]);
}

#[tokio::test(start_paused = true)]
async fn once_nobody_has_to_wait_for_a_partition_those_that_did_are_looked_at_again() {
    let stirred = |waits: &[PartitionId], settles: &[PartitionId]| {
        let mut driver = driver();
        waits.iter().for_each(|id| driver.waits(*id, Ahead::BaseTable));
        settles.iter().for_each(|id| driver.settle(*id));
        driver.stirred.into_iter().collect::<Vec<_>>()
    };
    assert_eq!(stirred(&[AGGREGATE], &[BASE]), [AGGREGATE]);
    assert_eq!(stirred(&[], &[BASE]), [], "it waits for something else");
    assert_eq!(stirred(&[BASE], &[AGGREGATE]), [BASE]);
    assert_eq!(stirred(&[BASE, AGGREGATE], &[BASE, AGGREGATE]), [BASE, AGGREGATE], "the last one that was waited for");
}

/// A system table's partition whose leader may be serving on a tablet that hangs kept every other partition waiting for a minute; one
/// damaged replica of a disk table kept their followers waiting for two (real servers).
#[tokio::test(start_paused = true)]
async fn whoever_waits_for_an_answer_or_a_replica_keeps_its_place_for_a_moment_only() {
    for what in [WaitFor::Answer("a".into()), WaitFor::Appearing("a".into())] {
        let mut snapshot = restarted();
        snapshot.tables[0].name.db = "__INTERNAL_DB".to_owned();
        let mut driver = driver_of(snapshot);
        driver.waits(AGGREGATE, Ahead::SystemTables);
        let minute = Duration::from_secs(60);
        let wait = Wait { what, seen: String::new(), timeout: minute, stall: minute, catch_up_to: None };
        assert!(!driver.of(BASE).wait(StorageMode::Memory, wait, 1.0));
        driver.step_aside_if_silent(BASE);
        assert_eq!(driver.later(SILENCE - TURNS).await, [], "it may be a moment");
        driver.step_aside_if_silent(BASE);
        assert_eq!(driver.later(TURNS).await, []);
        assert_eq!(driver.gates(AGGREGATE).comes_first, Some(Ahead::SystemTables));
        driver.step_aside_if_silent(BASE);
        assert_eq!(driver.later(Duration::ZERO).await, [AGGREGATE]);
        assert_eq!(driver.gates(AGGREGATE).comes_first, None);
        assert!(!driver.gates(AGGREGATE).base_is_chosen, "who leads what it aggregates is waited for all the same");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_seen_of_those_that_have_waited_is_old() {
    let mut driver = driver();
    let found = |directory| Probes { directory: Seen::Known(directory), ..Probes::UNASKED };
    for (at, directory) in [("a", Directory::Missing), ("b", Directory::InPlace)] {
        let tablet = driver.snapshot.tablets.get_mut(&Endpoint::from(at)).unwrap();
        tablet.probes.insert(AGGREGATE, found(directory));
    }
    let (before, far) = (driver.now, Instant::now() + LASTS);
    driver.next_look.due = far;
    driver.look_again(Vec::new());
    assert_eq!((driver.now, driver.next_look.due), (before, far), "nobody has waited");
    driver.look_again(vec![AGGREGATE]);
    assert!(driver.now > before && driver.next_look.due < far && driver.stirred.contains(&AGGREGATE));
    let directory = |at: &str| driver.snapshot.tablets[&Endpoint::from(at)].probes[&AGGREGATE].directory.clone();
    assert_eq!(
        (directory("a"), directory("b")),
        (Seen::Unasked, Seen::Known(Directory::InPlace)),
        "a disk may be mounted"
    );
}
