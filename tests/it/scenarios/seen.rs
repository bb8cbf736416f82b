//! A scenario before and after a run, and what holds after each, whatever it was about.

use std::collections::{BTreeMap, BTreeSet};

use openmldb_ops::model::{Endpoint, PartitionId};
use openmldb_ops::run::{PartitionCounts, ReplicaCounts, Verdict};
use openmldb_ops::sandbox::scenario::Scenario;
use openmldb_ops::sandbox::tablet::Entry;
use openmldb_ops::sandbox::world::Rows;
use openmldb_ops::wire::api::{TableMeta, TableMode};
use openmldb_ops::wire::call::TabletCall;
use openmldb_ops::wire::encode::Addressed;

use crate::support::harness::{Harness, Run, Setup};
use crate::support::outside::{assert_all_well, auto_failover, has_ops_under_way, orders};

/// A sandbox, as it was and what a run made of it.
pub(super) struct Seen {
    pub(super) scenario: Scenario,
    pub(super) harness: Harness,
    pub(super) before: Before,
    pub(super) run: Run,
}

/// A world before anything is done to it.
pub(super) struct Before {
    pub(super) rows: Rows,
    pub(super) rows_expected: u64,
    pub(super) healthy: BTreeSet<PartitionId>,
    /// Operations are under way, so that more may be healthy by the time the run looks.
    pub(super) is_moving: bool,
    pub(super) partitions: usize,
    pub(super) replicas: usize,
    pub(super) auto_failover: bool,
}

impl Before {
    pub(super) fn of(harness: &Harness) -> Self {
        harness.world(|world| Self {
            rows: world.rows(),
            rows_expected: world.row_count().rows_expected,
            healthy: world.healthy(),
            is_moving: has_ops_under_way(world),
            partitions: world.metadata().len(),
            replicas: world.metadata().values().map(|metas| metas.partition_meta.len()).sum(),
            auto_failover: auto_failover(world),
        })
    }
}

pub(super) async fn recover(scenario: Scenario, setup: Setup) -> Seen {
    let harness = Harness::in_memory(scenario).await;
    let before = Before::of(&harness);
    let run = harness.run_with(setup).await;
    Seen { scenario, harness, before, run }
}

impl Seen {
    /// A leader that lost its end serves before anybody has looked at the follower that kept it: that one is left alone then.
    pub(super) async fn assert_longer_follower_is_kept(self) {
        let summary = &self.run.recovered.summary;
        let reasons: BTreeSet<&str> = summary.blocked.iter().map(|blocked| blocked.reason).collect();
        assert_eq!((summary.verdict, reasons), (Verdict::Partial, BTreeSet::from(["longer_than_leader"])));
        self.harness.world(|world| {
            for (id, before) in &self.before.rows {
                let longest = before.values().max_by_key(|log| log.len()).unwrap();
                assert!(
                    world.rows()[id].values().any(|log| log == longest),
                    "{id}: what one replica held it still holds"
                );
            }
        });
        self.harness.stop().await;
    }

    /// Nothing is left of any replica: nobody leads, nothing is told to load, and each loss can be accepted.
    pub(super) async fn assert_nothing_begins_empty_unasked(self) {
        let summary = &self.run.recovered.summary;
        let reasons: BTreeSet<&str> = summary.blocked.iter().map(|blocked| blocked.reason).collect();
        assert_eq!((summary.verdict, reasons), (Verdict::Partial, BTreeSet::from(["no_data", "only_replica_lost"])));
        assert_eq!((summary.blocked.len(), self.loads()), (self.before.partitions, Vec::new()));
        let losses: usize = summary.blocked.iter().map(|blocked| blocked.losses.len()).sum();
        assert_eq!(losses, self.before.replicas, "each replica's");
        self.harness.stop().await;
    }

    /// The tablet that the disasters happen to: the last, which leads two partitions of `orders`.
    pub(super) fn victim(&self) -> Endpoint {
        self.harness.tablets()[2].clone()
    }

    /// What holds after every run, whatever it was about.
    pub(super) fn assert_safe(&self) {
        let count = self.harness.settle();
        assert_eq!(count.partitions_with_two_alive_leaders, 0);
        assert_eq!(count.healthy_partitions_touched, 0);
        let summary = &self.run.recovered.summary;
        // Replicas that nobody could look at: the nameserver must not replace them.
        let is_held = !summary.auto_failover.held_for.is_empty();
        self.harness.world(|world| {
            assert_eq!(world.diverged(), BTreeSet::new(), "replicas hold different entries");
            assert!(auto_failover(world) == self.before.auto_failover || is_held, "restored, or kept off for somebody");
            assert_eq!(world.trace().mutations(), summary.rpc.mutations, "what was counted is what arrived");
        });
        let (before, after) = (summary.auto_failover.before, summary.auto_failover.after);
        assert_eq!((before, after), (self.before.auto_failover, self.before.auto_failover && !is_held));
        assert!(self.run.recovered.not_restored.is_none() && self.run.recovered.panicked.is_none());
        assert!(self.run.recovered.stopped.is_none());
        assert_eq!(summary.replicas, ReplicaCounts { total: self.before.replicas });
        self.assert_loads();
    }

    /// Loads are sent as followers, with nothing that would replace what the tablet has on disk; system tables first.
    pub(super) fn assert_loads(&self) {
        for call in &self.run.sent {
            let Addressed::Tablet(_, TabletCall::LoadTable(request)) = call else { continue };
            let sent = request.table_meta.clone().unwrap();
            let TableMeta { tid, name, pid, seg_cnt, mode, storage_mode, .. } = sent.clone();
            let minimal = TableMeta { tid, name, pid, seg_cnt, mode, storage_mode, ..TableMeta::default() };
            let may_have_schema = self.scenario == Scenario::PowerCut && !sent.column_desc.is_empty();
            assert!(may_have_schema || sent == minimal, "more than a minimal meta: {sent:?}");
            assert_eq!((sent.mode, sent.seg_cnt), (Some(TableMode::KTableFollower.into()), Some(8)), "{sent:?}");
        }
        let systems: BTreeSet<u32> = self.harness.world(|world| {
            let is_system = |db: &str| matches!(db, "__INTERNAL_DB" | "INFORMATION_SCHEMA");
            world.tables().iter().filter(|table| is_system(table.db())).map(|table| table.tid()).collect()
        });
        let loads = self.loads();
        let is_system = |load: &(Endpoint, PartitionId)| systems.contains(&load.1.tid.0);
        let first_other = loads.iter().position(|load| !is_system(load)).unwrap_or(loads.len());
        assert!(loads[first_other..].iter().all(|load| !is_system(load)), "system tables come first: {loads:?}");
    }

    /// The LoadTable calls, in the order in which the tablets got them.
    pub(super) fn loads(&self) -> Vec<(Endpoint, PartitionId)> {
        self.harness.world(|world| {
            let calls = world.trace().calls().filter(|call| call.method == "LoadTable");
            calls.map(|call| (call.server.clone(), call.partitions[0])).collect()
        })
    }

    /// Everything is well, and no row that should be there is missing anywhere.
    pub(super) fn assert_whole(&self) {
        self.assert_safe();
        self.harness.world(assert_all_well);
        let count = self.harness.settle();
        assert_eq!(count.rows_after, count.rows_expected);
        let summary = &self.run.recovered.summary;
        let healthy_before = summary.partitions.healthy_before;
        let known = self.before.healthy.len();
        assert!(
            healthy_before == known || (self.before.is_moving && healthy_before > known),
            "{:?}",
            summary.partitions
        );
        let total = self.before.partitions;
        let counts =
            PartitionCounts { total, healthy_before, recovered: total - healthy_before, ..PartitionCounts::default() };
        assert_eq!(summary.partitions, counts);
        assert!(summary.blocked.is_empty(), "{:?}", summary.blocked);
        let verdict = if healthy_before == total { Verdict::Healthy } else { Verdict::Recovered };
        assert_eq!(summary.verdict, verdict);
    }

    /// A second run changes nothing, not even on disk unless it leaves auto_failover off, and comes to this verdict.
    pub(super) async fn assert_at_rest(&self, setup: Setup, verdict: Verdict) {
        let records = self.harness.records.count();
        let before = self.harness.world(|world| (world.trace().mutations(), world.metadata(), world.rows()));
        let again = self.harness.run_with(setup).await;
        assert!(again.sent.is_empty(), "the second run sends {:?}", again.sent);
        assert_eq!(again.recovered.summary.verdict, verdict);
        let after = self.harness.world(|world| (world.trace().mutations(), world.metadata(), world.rows()));
        assert_eq!(before, after);
        // One that leaves auto_failover off for somebody's sake has to be found by the next one.
        let is_held = !again.recovered.summary.auto_failover.held_for.is_empty();
        assert_eq!(
            records + usize::from(is_held),
            self.harness.records.count(),
            "a record of a run that changes nothing"
        );
    }

    /// The entries of every replica of a partition.
    pub(super) fn logs(&self, id: PartitionId) -> BTreeMap<Endpoint, Vec<Entry>> {
        self.harness.world(|world| world.rows().remove(&id).unwrap())
    }

    pub(super) fn order(&self, pid: u32) -> PartitionId {
        self.harness.world(|world| orders(world, pid))
    }
}
