//! The experiments made on real servers (docs/openmldb/experiments.md), made again in the sandbox: it loses and keeps
//! rows where OpenMLDB does.

use std::collections::{BTreeMap, BTreeSet};

use openmldb_ops::model::{Endpoint, PartitionId};
use openmldb_ops::sandbox::scenario::{Generated, Scenario, Shape};
use openmldb_ops::sandbox::tablet::RowId;
use openmldb_ops::sandbox::{Addresses, World};
use openmldb_ops::wire::api::{ChangeRoleRequest, LoadTableRequest, TableMeta, TableMode};
use openmldb_ops::wire::call::{NameserverAnswer, NameserverCall, TabletAnswer, TabletCall};
use openmldb_ops::wire::nameserver::{
    ChangeLeaderRequest, ConfSetRequest, Pair, RecoverTableRequest, TableInfo, TablePartition, UpdateTableAliveRequest,
};

/// Somebody who types commands.
struct Operator {
    world: World,
}

/// A partition as metadata has it.
#[derive(Clone)]
struct Found {
    table: TableInfo,
    id: PartitionId,
    metas: TablePartition,
}

impl Found {
    fn endpoints(&self) -> Vec<Endpoint> {
        self.metas.partition_meta.iter().map(|meta| meta.endpoint.as_str().into()).collect()
    }

    fn flagged(&self) -> Vec<Endpoint> {
        let flagged = self.metas.partition_meta.iter().filter(|meta| meta.is_leader);
        flagged.map(|meta| meta.endpoint.as_str().into()).collect()
    }

    fn is_memory(&self) -> bool {
        self.id.tid.0 != 8
    }
}

impl Operator {
    fn at(scenario: Scenario) -> Self {
        Self::in_shape(scenario, &Shape::default())
    }

    fn in_shape(scenario: Scenario, shape: &Shape) -> Self {
        let world = scenario.bring_about(shape, &Addresses::recorded(1, shape.tablets)).unwrap();
        let mut operator = Self { world };
        operator.world.nameserver_settings_mut().op_fails_for_no_reason = None;
        operator.auto_failover(false);
        operator
    }

    fn nameserver(&mut self, call: NameserverCall) -> i32 {
        let leader = self.world.leader().unwrap();
        match self.world.call_nameserver(&leader, call).unwrap() {
            NameserverAnswer::ConfSet(answer)
            | NameserverAnswer::UpdateTableAliveStatus(answer)
            | NameserverAnswer::RecoverTable(answer)
            | NameserverAnswer::ChangeLeader(answer) => answer.code,
            other => panic!("{other:?}"),
        }
    }

    fn auto_failover(&mut self, on: bool) {
        let conf = Pair { key: "auto_failover".to_owned(), value: on.to_string() };
        assert_eq!(self.nameserver(NameserverCall::ConfSet(ConfSetRequest { conf })), 0);
    }

    fn partitions(&self) -> Vec<Found> {
        let metadata: BTreeMap<PartitionId, TablePartition> = self.world.metadata();
        let tables: BTreeMap<u32, TableInfo> =
            self.world.tables().into_iter().map(|table| (table.tid(), table)).collect();
        metadata.into_iter().map(|(id, metas)| Found { table: tables[&id.tid.0].clone(), id, metas }).collect()
    }

    fn orders(&self, pid: u32) -> Found {
        self.partitions().into_iter().find(|found| found.id.tid.0 == 7 && found.id.pid.0 == pid).unwrap()
    }

    fn mark(&mut self, found: &Found, endpoint: &Endpoint, alive: bool) {
        let request = UpdateTableAliveRequest {
            name: found.table.name.clone(),
            db: found.table.db.clone(),
            endpoint: Some(endpoint.to_string()),
            pid: Some(found.id.pid.0),
            is_alive: Some(alive),
        };
        assert_eq!(self.nameserver(NameserverCall::UpdateTableAliveStatus(request)), 0);
    }

    fn load(&mut self, found: &Found, endpoint: &Endpoint, mode: TableMode) -> i32 {
        let meta = TableMeta {
            tid: Some(found.id.tid.0 as i32),
            name: found.table.name.clone(),
            pid: Some(found.id.pid.0 as i32),
            seg_cnt: Some(8),
            mode: Some(mode.into()),
            term: found.metas.term_offset.last().map(|term| term.term),
            storage_mode: Some(found.table.storage_mode().into()),
            ..TableMeta::default()
        };
        let request = LoadTableRequest { table_meta: Some(meta), task_info: None };
        match self.world.call_tablet(endpoint, TabletCall::LoadTable(request)).unwrap() {
            TabletAnswer::LoadTable(answer) => answer.code(),
            other => panic!("{other:?}"),
        }
    }

    fn lead(&mut self, found: &Found, leader: &Endpoint, followers: &[Endpoint]) {
        let request = ChangeRoleRequest {
            tid: Some(found.id.tid.0),
            pid: Some(found.id.pid.0),
            term: found.metas.term_offset.last().map(|term| term.term),
            mode: Some(TableMode::KTableLeader.into()),
            replicas: followers.iter().map(ToString::to_string).collect(),
            ..ChangeRoleRequest::default()
        };
        let answer = self.world.call_tablet(leader, TabletCall::ChangeRole(request)).unwrap();
        assert!(matches!(answer, TabletAnswer::ChangeRole(answer) if answer.code() == 0));
    }

    fn recover(&mut self, found: &Found, endpoint: &Endpoint) {
        let request = RecoverTableRequest {
            name: found.table.name().to_owned(),
            db: found.table.db.clone(),
            pid: found.id.pid.0,
            endpoint: endpoint.to_string(),
        };
        assert_eq!(self.nameserver(NameserverCall::RecoverTable(request)), 0);
    }

    /// Rows on each replica of `orders`.
    fn rows(&self, pid: u32) -> Vec<usize> {
        let found = self.orders(pid);
        found.endpoints().iter().map(|endpoint| self.world.log(endpoint, found.id).len()).collect()
    }
}

#[test]
fn by_the_letter_a_lost_disk_empties_the_partition() {
    let mut operator = Operator::at(Scenario::LeaderLostDisk);
    let found = operator.orders(3);
    let [leader] = &found.flagged()[..] else { panic!() };
    for endpoint in found.endpoints() {
        operator.mark(&found, &endpoint, false);
    }
    assert_eq!(operator.load(&found, leader, TableMode::KTableLeader), 0);
    operator.world.advance_by(2_000);
    operator.mark(&found, leader, true);
    for endpoint in found.endpoints().iter().filter(|endpoint| *endpoint != leader) {
        operator.recover(&found, endpoint);
    }
    operator.world.advance_by(60_000);
    assert_eq!(operator.rows(3), [0, 0, 0], "0 rows on all three");
    let binlogs =
        found.endpoints().iter().map(|at| operator.world.tablets_mut().recycle_bin(at.as_str()).len()).sum::<usize>();
    assert_eq!(binlogs, 2, "the followers' binlogs lie in the recycle bin");
}

#[test]
fn loaded_first_and_the_longest_made_leader_every_row_is_back() {
    let mut operator = Operator::at(Scenario::LeaderLostDisk);
    let found = operator.orders(3);
    let [old] = &found.flagged()[..] else { panic!() };
    for endpoint in found.endpoints() {
        operator.mark(&found, &endpoint, false);
        assert_eq!(operator.load(&found, &endpoint, TableMode::KTableFollower), 0);
    }
    operator.world.advance_by(2_000);
    let candidate = found.endpoints().into_iter().find(|endpoint| endpoint != old).unwrap();
    let other = found.endpoints().into_iter().find(|endpoint| endpoint != old && *endpoint != candidate).unwrap();
    // ChangeLeader makes the other an alive follower's target only if it is alive; here it comes back by RecoverTable.
    operator.mark(&found, &candidate, true);
    let request = ChangeLeaderRequest {
        name: "orders".to_owned(),
        pid: 3,
        candidate_leader: Some(candidate.to_string()),
        db: Some("shop".to_owned()),
    };
    assert_eq!(operator.nameserver(NameserverCall::ChangeLeader(request)), 0);
    operator.world.advance_by(5_000);
    assert_eq!(operator.orders(3).metas.term_offset.last().map(|term| term.offset), Some(87));
    for endpoint in [other, old.clone()] {
        operator.recover(&found, &endpoint);
    }
    operator.world.advance_by(60_000);
    assert_eq!(operator.rows(3), [86, 86, 86]);
    let alive = operator.orders(3).metas.partition_meta.iter().filter(|meta| meta.is_alive()).count();
    assert_eq!(alive, 3);
}

/// Loads everything as follower, makes the flagged (last elected) replica leader of the others, marks all alive.
fn reattach(operator: &mut Operator, choose: impl Fn(&Found) -> Option<(Endpoint, Vec<Endpoint>)>) {
    let partitions = operator.partitions();
    for found in &partitions {
        for endpoint in found.endpoints() {
            assert_eq!(operator.load(found, &endpoint, TableMode::KTableFollower), 0);
        }
    }
    operator.world.advance_by(3_000);
    for found in &partitions {
        let Some((leader, followers)) = choose(found) else { continue };
        operator.lead(found, &leader, &followers);
        operator.mark(found, &leader, true);
        for endpoint in &followers {
            operator.mark(found, endpoint, true);
        }
    }
    operator.world.advance_by(5_000);
}

fn others(found: &Found, leader: &Endpoint) -> Vec<Endpoint> {
    found.endpoints().into_iter().filter(|endpoint| endpoint != leader).collect()
}

#[test]
fn without_the_nameservers_ops_everything_is_back_in_seconds() {
    let mut operator = Operator::at(Scenario::EverythingRestarted);
    reattach(&mut operator, |found| {
        let leader = found.flagged().first()?.clone();
        Some((leader.clone(), others(found, &leader)))
    });
    let (world, count) = (&mut operator.world, 1_005);
    assert_eq!(world.healthy().len(), world.metadata().len());
    assert_eq!((world.row_count().rows_after, world.row_count().rows_expected), (count, count));
    assert!(world.diverged().is_empty());
}

#[test]
fn writers_lose_nothing_when_the_leader_is_made_after_loading() {
    let mut operator = Operator::at(Scenario::LeaderAndWriters);
    reattach(&mut operator, |found| {
        let leader = found.flagged().first()?.clone();
        Some((leader.clone(), others(found, &leader)))
    });
    operator.world.advance_by(10_000);
    let count = operator.world.settle();
    assert!(count.rows_expected > 1_500, "{count:?}");
    assert_eq!(count.rows_after, count.rows_expected);
    assert!(operator.world.diverged().is_empty());
}

#[test]
fn writers_lose_rows_when_the_leader_loads_as_leader() {
    // As large as the real experiment: 24 partitions, 20,000 rows, and more than one leader waiting to load.
    let generated = Generated { tables: 3, partitions: 8, replicas: 3, rows: 800 };
    let shape = Shape { generated: Some(generated), ..Shape::default() };
    let mut operator = Operator::in_shape(Scenario::LeaderAndWriters, &shape);
    operator.world.start_writers(1, 1);
    let partitions = operator.partitions();
    let leader = |found: &Found| found.flagged()[0].clone();
    let rows = |operator: &Operator, found: &Found| -> BTreeSet<RowId> {
        operator.world.log(&leader(found), found.id).iter().map(|entry| entry.row).collect()
    };
    let before: Vec<BTreeSet<RowId>> = partitions.iter().map(|found| rows(&operator, found)).collect();
    for found in &partitions {
        assert_eq!(operator.load(found, &leader(found), TableMode::KTableLeader), 0);
    }
    operator.world.advance_by(10_000);
    let lost: usize =
        partitions.iter().zip(&before).map(|(found, before)| before.difference(&rows(&operator, found)).count()).sum();
    assert!(lost > 0, "rows put into a leader that waits to load stand in the way of its own");
}

#[test]
fn the_longer_old_leader_with_connected_followers_diverges_and_nothing_notices() {
    let mut operator = Operator::at(Scenario::DeadOldLeaderLonger);
    reattach(&mut operator, |found| {
        if !found.is_memory() || found.flagged().len() != 2 {
            return None;
        }
        let flagged = found.metas.partition_meta.iter().filter(|meta| meta.is_leader);
        let old = flagged.into_iter().find(|meta| !meta.is_alive())?.endpoint.as_str().into();
        let followers = others(found, &old);
        Some((old, followers))
    });
    for pid in [0, 3] {
        let found = operator.orders(pid);
        for _ in 0..10 {
            let old = found.metas.partition_meta[0].endpoint.as_str().into();
            operator.world.put_row(&old, found.id);
        }
    }
    operator.world.advance_by(5_000);
    let diverged = operator.world.diverged();
    for pid in [0, 3] {
        let rows = operator.rows(pid);
        assert!(rows.iter().all(|count| *count == rows[0]), "equal counts: {rows:?}");
        assert!(diverged.contains(&operator.orders(pid).id), "and different rows");
    }
}
