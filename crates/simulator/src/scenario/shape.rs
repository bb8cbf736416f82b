//! How big a sandbox is, and which tables it has.

use openmldb_model::StorageMode;

use super::ScenarioError;
use crate::Millis;
use crate::tablet::Ttl;

/// How long rows that expire by age are kept, in milliseconds: an hour.
pub(super) const AGE: Millis = 3_600_000;
/// The ways in which rows expire.
const KEPT: [Ttl; 4] = [Ttl::Absolute(AGE), Ttl::Latest(4), Ttl::Both(AGE, 4), Ttl::Either(AGE, 4)];

/// A sandbox's size and seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Tablets; the recordings' 3 by default.
    pub tablets: usize,
    /// Tables made up in place of the recordings' shop.
    pub generated: Option<Generated>,
    /// Decides everything that is left to chance.
    pub seed: u64,
}

/// Tables made up, all alike: memory tables in database `shop`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Generated {
    /// How many tables.
    pub tables: usize,
    /// Partitions of each.
    pub partitions: usize,
    /// Replicas of each partition.
    pub replicas: usize,
    /// Rows of each partition.
    pub rows: u64,
}

impl Default for Shape {
    fn default() -> Self {
        Self { tablets: 3, generated: None, seed: 1 }
    }
}

impl Default for Generated {
    /// OpenMLDB's own defaults of `partition_num` and `replica_num`
    /// (docs/openmldb/timings.md#settings-and-their-defaults).
    fn default() -> Self {
        Self { tables: 3, partitions: 8, replicas: 3, rows: 100 }
    }
}

/// A table of a sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) db: &'static str,
    pub(super) name: String,
    pub(super) storage: StorageMode,
    pub(super) base: Option<&'static str>,
    pub(super) ttl: Ttl,
    pub(super) partitions: Vec<PlannedPartition>,
}

/// A partition: where its replicas are, by the tablets' places in their list, in metadata's order; which of those leads;
/// and how many rows it gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PlannedPartition {
    pub(super) on: Vec<usize>,
    pub(super) leader: usize,
    pub(super) rows: u64,
}

fn at(on: &[usize], leader: usize, rows: u64) -> PlannedPartition {
    PlannedPartition { on: on.to_vec(), leader, rows }
}

fn plan(name: &str, storage: StorageMode, partitions: Vec<PlannedPartition>) -> Plan {
    Plan { db: "shop", name: name.to_owned(), storage, base: None, ttl: Ttl::Never, partitions }
}

/// Which variety of the recordings' tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Variety {
    /// Recordings 01-10.
    Recorded,
    /// Recording 11, where two tables lie elsewhere.
    Named,
    /// `clicks` twice, on both kinds of disk, and no memory table of one replica.
    Disk,
    /// With a pre-aggregate table of `orders`.
    PreAggregate,
    /// With rows that expire, in each of the four ways.
    Expiring,
}

impl Shape {
    /// A standalone OpenMLDB of about this shape: one tablet, with the only replica of every table's only partition.
    pub(crate) fn standalone(&self) -> Self {
        let Generated { tables, rows, .. } = self.generated.unwrap_or_default();
        let generated = Some(Generated { tables, partitions: 1, replicas: 1, rows });
        Self { tablets: 1, generated, ..*self }
    }

    /// Whether this shape can be had.
    pub(super) fn check(&self) -> Result<(), ScenarioError> {
        let replicas = self.generated.map_or(3, |generated| generated.replicas);
        if replicas == 0 || self.tablets < replicas {
            return Err(ScenarioError::TooFewTablets { tablets: self.tablets, replicas });
        }
        Ok(())
    }

    /// The user tables.
    pub(super) fn plans(&self, variety: Variety) -> Vec<Plan> {
        match self.generated {
            Some(generated) => generated.plans(self.tablets, variety),
            None => shop(variety),
        }
    }
}

/// The recordings' own tables.
fn shop(variety: Variety) -> Vec<Plan> {
    let everywhere = |leader, rows| at(&[2, 0, 1], leader, rows);
    let orders = vec![everywhere(0, 105), everywhere(1, 93), everywhere(2, 116), everywhere(0, 86)];
    let (clicks, audit) = match variety {
        Variety::Named => (vec![at(&[0, 2], 0, 160), at(&[1, 0], 0, 140)], 1),
        _ => (vec![at(&[1, 2], 0, 160), at(&[0, 1], 0, 140)], 0),
    };
    let mut plans = vec![
        plan("orders", StorageMode::Memory, orders.clone()),
        plan("clicks", StorageMode::Hdd, clicks),
        plan("audit", StorageMode::Memory, vec![at(&[audit], 0, 300)]),
    ];
    match variety {
        Variety::Recorded | Variety::Named => {}
        Variety::Disk => plans.push(plan("views", StorageMode::Ssd, vec![at(&[2, 0], 0, 120), at(&[0, 1, 2], 1, 90)])),
        Variety::PreAggregate => plans.push(aggregate("orders", orders)),
        Variety::Expiring => {
            let kept = |name, storage, ttl| Plan {
                ttl,
                ..plan(name, storage, vec![at(&[0, 1, 2], 1, 40), at(&[1, 2], 0, 40)])
            };
            plans.push(kept("newest", StorageMode::Memory, KEPT[1]));
            plans.push(kept("both", StorageMode::Memory, KEPT[2]));
            plans.push(kept("either", StorageMode::Memory, KEPT[3]));
            plans[0].ttl = KEPT[0];
            plans[1].ttl = KEPT[0];
        }
    }
    plans
}

/// A pre-aggregate table with its partitions where its base table's are. What is in it is written by their leaders.
fn aggregate(base: &'static str, partitions: Vec<PlannedPartition>) -> Plan {
    let partitions = partitions.into_iter().map(|found| PlannedPartition { rows: 0, ..found });
    Plan {
        db: "__PRE_AGG_DB",
        name: format!("pre_shop_{base}_w_sum_amt"),
        storage: StorageMode::Memory,
        base: Some(base),
        ttl: Ttl::Never,
        partitions: partitions.collect(),
    }
}

impl Generated {
    fn plans(self, tablets: usize, variety: Variety) -> Vec<Plan> {
        let storage = |table: usize| match (variety, table % 2) {
            (Variety::Disk, 0) => StorageMode::Hdd,
            (Variety::Disk, _) => StorageMode::Ssd,
            _ => StorageMode::Memory,
        };
        let partitions = |table: usize| {
            let on =
                |pid: usize| (0..self.replicas).map(|replica| (table + pid + replica) % tablets).collect::<Vec<_>>();
            (0..self.partitions).map(|pid| at(&on(pid), 0, self.rows)).collect::<Vec<_>>()
        };
        let mut plans: Vec<Plan> =
            (0..self.tables).map(|table| plan(&format!("t{table}"), storage(table), partitions(table))).collect();
        if variety == Variety::Expiring {
            plans.iter_mut().zip(KEPT.iter().cycle()).for_each(|(plan, ttl)| plan.ttl = *ttl);
        }
        if variety == Variety::PreAggregate && self.tables > 0 {
            plans.push(aggregate("t0", partitions(0)));
        }
        plans
    }
}
