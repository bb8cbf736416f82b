//! Pre-aggregate tables that are led by other tablets than their base tables (docs/openmldb/load-table.md#pre-aggregate-tables).

use super::ScenarioError;
use super::history::{History, Led};
use openmldb_model::{Endpoint, PartitionId, Tid};
use openmldb_wire::call::NameserverCall;
use openmldb_wire::nameserver::{ChangeLeaderRequest, RecoverTableRequest, TableInfo};

/// Rows that clients put into each partition of the base table meanwhile.
const ROWS: u64 = 20;

impl History {
    /// Somebody had another tablet lead every second partition of the pre-aggregate table, and the others of its base table; clients
    /// wrote; then everything was restarted.
    pub(super) fn aggregates_are_led_apart(&mut self) -> Result<(), ScenarioError> {
        let tables = self.world.tables();
        let Some(aggregate) = tables.iter().find(|table| table.base_table_tid() != 0) else {
            return Err(ScenarioError::Unfit { scenario: self.scenario.name(), needs: "a pre-aggregate table" });
        };
        let base = tables.iter().find(|table| table.tid() == aggregate.base_table_tid());
        let Some(base) = base else { return Err(ScenarioError::History("its base table is gone".to_owned())) };
        self.set_auto_failover(false)?;
        for led in self.led().into_iter().filter(|led| led.id.tid == Tid(base.tid())) {
            let of_aggregate = led.id.pid.0 % 2 == 0;
            let (table, tid) = if of_aggregate { (aggregate, aggregate.tid()) } else { (base, base.tid()) };
            let next = (led.replicas.iter().position(|at| *at == led.leader).unwrap_or(0) + 1) % led.replicas.len();
            if led.replicas[next] != led.leader {
                self.change_leader(table, &Led { id: PartitionId { tid: Tid(tid), ..led.id }, ..led.clone() }, next)?;
            }
        }
        self.set_auto_failover(true)?;
        for led in self.led().into_iter().filter(|led| led.id.tid == Tid(base.tid())) {
            self.write(&led, ROWS)?;
        }
        self.wait(4_500);
        self.restart_everything()
    }

    /// Another replica leads, and the old leader follows it.
    fn change_leader(&mut self, table: &TableInfo, led: &Led, to: usize) -> Result<(), ScenarioError> {
        let (name, db, pid) = (table.name().to_owned(), table.db.clone(), led.id.pid.0);
        let candidate_leader = Some(led.replicas[to].to_string());
        let elects = ChangeLeaderRequest { name: name.clone(), pid, candidate_leader, db: db.clone() };
        self.nameserver(NameserverCall::ChangeLeader(elects))?;
        let id = led.id;
        let (new, old) = (led.replicas[to].clone(), led.leader.clone());
        self.until("the other one leads", |world| flags(world, id, &new) == Some((true, true)))?;
        self.until_ops_are_over()?;
        let endpoint = old.to_string();
        self.nameserver(NameserverCall::RecoverTable(RecoverTableRequest { name, pid, endpoint, db }))?;
        self.until("the old leader follows", |world| flags(world, id, &old) == Some((false, true)))?;
        self.until_ops_are_over()
    }
}

/// Whether a replica is flagged leader, and alive.
fn flags(world: &crate::World, id: PartitionId, at: &Endpoint) -> Option<(bool, bool)> {
    let metadata = world.metadata();
    let found = metadata.get(&id)?.partition_meta.iter().find(|meta| meta.endpoint == at.as_str())?;
    Some((found.is_leader, found.is_alive()))
}
