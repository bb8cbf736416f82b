//! A world's history, step by step: what an operator, a client or bad luck does to it, and waiting for it to show.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use super::shape::{Plan, Variety};
use super::{Scenario, ScenarioError, Shape};
use crate::nameserver::{Placement, TableSpec, system_tables};
use crate::world::{Settings, partition};
use crate::{Addresses, Millis, World};
use openmldb_model::{Endpoint, PartitionId, StorageMode, Tid};
use openmldb_wire::call::{NameserverAnswer, NameserverCall, TabletAnswer, TabletCall};
use openmldb_wire::common::StorageMode as WireStorage;
use openmldb_wire::nameserver::{ConfSetRequest, Pair, TableInfo};

/// How long an outage lasts: start.sh waits this long between stop and start
/// (docs/openmldb/metadata-in-zookeeper.md#tablets-register-themselves).
const OUTAGE: Millis = 15_000;

/// What polls every 2 s has been seen after this.
const TWO_POLLS: Millis = 4_500;

/// One op in so many fails for no reason (docs/openmldb/operations.md#operations-fail-for-no-reason).
const FAILS_FOR_NO_REASON: u32 = 22;

/// No step of a history takes longer: ten thousand partitions are failed over in a few hours, two ops at a time.
pub(super) const PATIENCE: Millis = 86_400_000;

/// A history in the making.
pub(super) struct History {
    pub(super) world: World,
    pub(super) scenario: Scenario,
    pub(super) seed: u64,
}

/// A partition with its leader.
#[derive(Debug, Clone)]
pub(super) struct Led {
    pub(super) id: PartitionId,
    pub(super) leader: Endpoint,
    pub(super) replicas: Vec<Endpoint>,
    pub(super) storage: StorageMode,
    pub(super) is_system: bool,
}

impl History {
    /// A cluster with its tables and rows, everything well.
    pub(super) fn begin(scenario: Scenario, shape: &Shape, addresses: &Addresses) -> Result<Self, ScenarioError> {
        let mut settings =
            Settings { use_name: scenario == Scenario::ServerNames, seed: shape.seed, ..Settings::default() };
        // The recordings' clusters were run with a timeout of 10 s (observed, head).
        settings.nameserver.tablet_heartbeat_timeout_ms = 10_000;
        let mut history = Self { world: World::new(settings, addresses), scenario, seed: shape.seed };
        history.world.start_everything();
        history.until("a nameserver leads", |world| world.leader().is_some())?;
        history.create_tables(shape)?;
        history.wait(TWO_POLLS);
        Ok(history)
    }

    fn create_tables(&mut self, shape: &Shape) -> Result<(), ScenarioError> {
        let there = self.world.tablet_endpoints().iter().take(shape.tablets);
        let tablets: Vec<String> = there.map(ToString::to_string).collect();
        let variety = match self.scenario {
            Scenario::ServerNames => Variety::Named,
            Scenario::DiskTables | Scenario::PowerCut | Scenario::EmptiedDisks | Scenario::DiskOverwrites => {
                Variety::Disk
            }
            Scenario::ExpiredRows => Variety::Expiring,
            Scenario::PreAggregate | Scenario::AggregateApart => Variety::PreAggregate,
            _ => Variety::Recorded,
        };
        // Where the recordings have them; two replicas each, the template's default, where a tablet is not to come back.
        let copies = if self.scenario.is_whole() { 1 } else { 2 };
        let place = |name: &str| {
            let first = match name {
                "USER" => 2,
                "PRE_AGG_META_INFO" => 0,
                _ => 1,
            };
            (0..copies).map(|copy| tablets[(first + copy) % tablets.len()].clone()).collect()
        };
        for spec in system_tables(place) {
            self.create(&spec)?;
        }
        let plans = shape.plans(variety);
        if !plans.is_empty() {
            let created = self.world.create_database("shop");
            created.map_err(|error| ScenarioError::History(error.to_string()))?;
        }
        for plan in &plans {
            let base = plan.base.and_then(|base| self.find("shop", base)).and_then(|base| base.tid);
            let spec = spec(plan, &tablets);
            match base {
                None => self.create(&spec)?,
                Some(base) => {
                    self.create(&spec.aggregating(base))?;
                    self.deploy(plan, base)?;
                }
            }
        }
        self.fill(&plans, shape.generated.is_none())
    }

    /// A deployment has each leader of the base table aggregate into the partition of the same number beside it.
    fn deploy(&mut self, plan: &Plan, base: u32) -> Result<(), ScenarioError> {
        let aggregate = self.find(plan.db, &plan.name).and_then(|table| table.tid).unwrap_or(0);
        for led in self.led().into_iter().filter(|led| led.id.tid.0 == base) {
            let into = PartitionId { tid: Tid(aggregate), ..led.id };
            if !self.world.tablets_mut().create_aggregator(led.leader.as_str(), led.id, into) {
                return Err(ScenarioError::History(format!("{} does not have {into}", led.leader)));
            }
        }
        Ok(())
    }

    /// Rows for every partition; pre-aggregate tables get theirs from their base tables. In the recordings' own tables, orders has a snapshot of its first 75 rows in partition 0.
    fn fill(&mut self, plans: &[Plan], recorded: bool) -> Result<(), ScenarioError> {
        let led: BTreeMap<PartitionId, Led> = self.led().into_iter().map(|led| (led.id, led)).collect();
        let mut wanted: BTreeMap<PartitionId, u64> = BTreeMap::new();
        let tables = self.world.tables();
        let tid = |db: &str, name: &str| {
            tables.iter().find(|table| table.db() == db && table.name() == name).map_or(0, TableInfo::tid)
        };
        wanted.insert(partition(tid("INFORMATION_SCHEMA", "GLOBAL_VARIABLES"), 0), 4);
        wanted.insert(partition(tid("__INTERNAL_DB", "USER"), 0), 1);
        for plan in plans.iter().filter(|plan| plan.base.is_none()) {
            let tid = tid(plan.db, &plan.name);
            wanted.extend((0..).zip(&plan.partitions).map(|(pid, planned)| (partition(tid, pid), planned.rows)));
        }
        if recorded && let Some(orders) = led.get(&partition(tid("shop", "orders"), 0)) {
            self.write(orders, 75)?;
            self.world.make_snapshot(&orders.leader, orders.id);
            wanted.entry(orders.id).and_modify(|rows| *rows = rows.saturating_sub(75));
        }
        for (id, rows) in wanted {
            let led = led.get(&id).ok_or_else(|| ScenarioError::History(format!("{id} has no leader")))?;
            self.write(led, rows)?;
        }
        self.wait(1_500);
        Ok(())
    }

    fn create(&mut self, spec: &TableSpec) -> Result<(), ScenarioError> {
        let created = self.world.create_table(spec);
        created.map(|_| ()).map_err(|error| ScenarioError::History(format!("{}.{}: {error}", spec.db, spec.name)))
    }

    /// The metadata of a table.
    pub(super) fn find(&self, db: &str, name: &str) -> Option<TableInfo> {
        self.world.tables().into_iter().find(|table| table.db() == db && table.name() == name)
    }

    /// Puts rows to a partition's leader.
    pub(super) fn write(&mut self, led: &Led, rows: u64) -> Result<(), ScenarioError> {
        for _ in 0..rows {
            if !self.world.put_row(&led.leader, led.id) {
                return Err(ScenarioError::History(format!("{} does not take rows for {}", led.leader, led.id)));
            }
        }
        Ok(())
    }

    /// Every partition that has an alive leader, with it.
    pub(super) fn led(&self) -> Vec<Led> {
        let mut found = Vec::new();
        for table in self.world.tables() {
            let storage = match table.storage_mode() {
                WireStorage::KSsd => StorageMode::Ssd,
                WireStorage::KHdd => StorageMode::Hdd,
                WireStorage::KMemory | WireStorage::KUnknown => StorageMode::Memory,
            };
            let is_system = matches!(table.db(), "__INTERNAL_DB" | "INFORMATION_SCHEMA");
            for metas in &table.table_partition {
                let leader = metas.partition_meta.iter().find(|meta| meta.is_leader && meta.is_alive());
                let Some(leader) = leader else { continue };
                found.push(Led {
                    id: partition(table.tid(), metas.pid),
                    leader: leader.endpoint.as_str().into(),
                    replicas: metas.partition_meta.iter().map(|meta| meta.endpoint.as_str().into()).collect(),
                    storage,
                    is_system,
                });
            }
        }
        found
    }

    /// The tablet that leads most memory partitions of several replicas, and those partitions: the victim of disasters.
    pub(super) fn victim(&self) -> Result<(Endpoint, Vec<Led>), ScenarioError> {
        let mut by_leader: BTreeMap<Endpoint, Vec<Led>> = BTreeMap::new();
        let fit = |led: &Led| led.storage == StorageMode::Memory && led.replicas.len() > 1 && !led.is_system;
        for led in self.led().into_iter().filter(fit) {
            by_leader.entry(led.leader.clone()).or_default().push(led);
        }
        let most = by_leader.into_iter().max_by_key(|(_, led)| led.len());
        most.ok_or(ScenarioError::Unfit {
            scenario: self.scenario.name(),
            needs: "a memory partition with several replicas",
        })
    }

    /// Lets time pass.
    pub(super) fn wait(&mut self, millis: Millis) {
        self.world.advance_by(millis);
    }

    /// Lets time pass until something is so.
    pub(super) fn until(&mut self, what: &str, so: impl Fn(&World) -> bool) -> Result<(), ScenarioError> {
        let began = self.world.now();
        while !so(&self.world) {
            let waited = self.world.now() - began;
            if waited >= PATIENCE {
                return Err(ScenarioError::History(format!("waited a day until {what}")));
            }
            // Looking at a big cluster is not free: the longer it takes, the less often.
            self.world.advance_by(100 + waited / 20);
        }
        Ok(())
    }

    /// Kills nameservers and tablets at once and starts them again, with `meanwhile` happening while they are down.
    pub(super) fn restart_everything_but(
        &mut self,
        missing: &[Endpoint],
        meanwhile: impl FnOnce(&mut World),
    ) -> Result<(), ScenarioError> {
        self.world.kill_everything();
        self.wait(OUTAGE / 2);
        meanwhile(&mut self.world);
        self.wait(OUTAGE / 2);
        let mut tablets = self.world.tablet_endpoints().to_vec();
        tablets.retain(|endpoint| !missing.contains(endpoint));
        self.world.start_tablets(&tablets);
        for endpoint in self.world.nameserver_endpoints().to_vec() {
            self.world.start_nameserver(&endpoint);
        }
        self.until("a nameserver leads", |world| world.leader().is_some())?;
        self.wait(TWO_POLLS);
        Ok(())
    }

    /// Kills nameservers and tablets at once and starts them again.
    pub(super) fn restart_everything(&mut self) -> Result<(), ScenarioError> {
        self.restart_everything_but(&[], |_| {})
    }

    /// ConfSet of auto_failover.
    pub(super) fn set_auto_failover(&mut self, on: bool) -> Result<(), ScenarioError> {
        let conf = Pair { key: "auto_failover".to_owned(), value: on.to_string() };
        self.nameserver(NameserverCall::ConfSet(ConfSetRequest { conf })).map(|_| ())
    }

    /// Calls the leading nameserver; a code other than 0 is an error.
    pub(super) fn nameserver(&mut self, call: NameserverCall) -> Result<NameserverAnswer, ScenarioError> {
        let name = call.name();
        let failed = |why: String| ScenarioError::History(format!("{name}: {why}"));
        let leader = self.world.leader().ok_or_else(|| failed("no nameserver leads".to_owned()))?;
        let answer = self.world.call_nameserver(&leader, call).map_err(|error| failed(error.to_string()))?;
        let refused = match &answer {
            NameserverAnswer::ConfSet(answer)
            | NameserverAnswer::RecoverTable(answer)
            | NameserverAnswer::UpdateTableAliveStatus(answer)
            | NameserverAnswer::ChangeLeader(answer) => Some(answer).filter(|answer| answer.code != 0),
            _ => None,
        };
        match refused {
            Some(refused) => Err(failed(format!("code {} {}", refused.code, refused.msg()))),
            None => Ok(answer),
        }
    }

    /// Calls a tablet; a code other than 0 is an error where the answer is a general one.
    pub(super) fn tablet(&mut self, endpoint: &Endpoint, call: TabletCall) -> Result<TabletAnswer, ScenarioError> {
        let name = call.name();
        let failed = |why: String| ScenarioError::History(format!("{name} on {endpoint}: {why}"));
        let answer = self.world.call_tablet(endpoint, call).map_err(|error| failed(error.to_string()))?;
        match &answer {
            TabletAnswer::LoadTable(answer) if answer.code() != 0 => {
                Err(failed(format!("code {} {}", answer.code(), answer.msg())))
            }
            _ => Ok(answer),
        }
    }

    /// The world, with its books opened. From here on ops fail now and then for no reason; the history itself was spared.
    pub(super) fn end(mut self) -> World {
        self.world.nameserver_settings_mut().op_fails_for_no_reason = NonZeroU32::new(FAILS_FOR_NO_REASON);
        self.world.open_books();
        self.world
    }
}

/// What the nameserver is told of a planned table.
fn spec(plan: &Plan, tablets: &[String]) -> TableSpec {
    let storage = match plan.storage {
        StorageMode::Memory => WireStorage::KMemory,
        StorageMode::Ssd => WireStorage::KSsd,
        StorageMode::Hdd => WireStorage::KHdd,
    };
    let placement = plan.partitions.iter().map(|partition| {
        let on: Vec<&String> = partition.on.iter().map(|at| &tablets[at % tablets.len()]).collect();
        Placement::at(&on).led_by(partition.leader)
    });
    TableSpec::sql(plan.db, &plan.name, storage, placement.collect()).keeping(plan.ttl)
}
