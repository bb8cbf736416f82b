//! The moments of the recordings: the documented recovery, and restarts that failover saw.

use super::ScenarioError;
use super::history::{History, PATIENCE};
use crate::{Millis, World};
use openmldb_model::Endpoint;
use openmldb_wire::api::{GetTableStatusRequest, LoadTableRequest, TableMeta, TableMode, TableState};
use openmldb_wire::call::{NameserverAnswer, NameserverCall, TabletAnswer, TabletCall};
use openmldb_wire::nameserver::{
    PartitionMeta, RecoverTableRequest, ShowOpStatusRequest, TableInfo, TablePartition, UpdateTableAliveRequest,
};

/// How long the tablets were away in the recordings 06 and 07 (tests/recordings/README.md).
const AWAY: Millis = 20_000;

/// Whether a table is the servers' own: the recordings' procedure brought those back last.
fn is_system(table: &TableInfo) -> bool {
    matches!(table.db(), "__INTERNAL_DB" | "INFORMATION_SCHEMA")
}

impl History {
    /// Recording 03: by the letter of the documented procedure, user tables only.
    pub(super) fn leaders_loaded(&mut self) -> Result<(), ScenarioError> {
        self.restart_everything()?;
        self.set_auto_failover(false)?;
        self.load_leaders(|table| !is_system(table))?;
        self.wait(2_500);
        Ok(())
    }

    /// Recording 04.
    pub(super) fn followers_recovering(&mut self) -> Result<(), ScenarioError> {
        self.leaders_loaded()?;
        self.recover_followers()?;
        self.wait(6_700);
        Ok(())
    }

    /// Recording 05.
    pub(super) fn recovered(&mut self) -> Result<(), ScenarioError> {
        self.followers_recovering()?;
        self.until_ops_are_over()?;
        self.load_leaders(is_system)?;
        self.set_auto_failover(true)?;
        self.wait(4_500);
        Ok(())
    }

    /// Recordings 06 and 07, depending on auto_failover: about 10 s after the tablets came back.
    pub(super) fn tablets_restarted(&mut self) -> Result<(), ScenarioError> {
        let tablets = self.world.tablet_endpoints().to_vec();
        for endpoint in &tablets {
            self.world.kill_tablet(endpoint);
        }
        self.wait(AWAY);
        // They come one by one. The nameserver deals with one after the other, which takes it a moment: it was through
        // with the first when the others were there
        // (tests/recordings/06-tablets-restarted-nameserver-alive-failover-on).
        if let Some((first, others)) = tablets.split_first() {
            self.world.start_tablets(std::slice::from_ref(first));
            self.wait(200);
            self.world.start_tablets(others);
        }
        self.wait(9_400);
        Ok(())
    }

    /// Recording 08: the first tablet's death is failed over, its successors are written to, everything is restarted.
    pub(super) fn two_leader_flags(&mut self) -> Result<(), ScenarioError> {
        let Some(first) = self.world.tablet_endpoints().first().cloned() else { return Ok(()) };
        self.fail_over(&first)?;
        for led in self.led().into_iter().filter(|led| !led.is_system) {
            if self.world.is_up(&led.leader) {
                self.write(&led, 10)?;
            }
        }
        self.wait(4_500);
        self.restart_everything()
    }

    /// Kills a tablet and waits until auto failover is through with it: every partition it led that has another replica
    /// has a new leader.
    pub(super) fn fail_over(&mut self, endpoint: &Endpoint) -> Result<(), ScenarioError> {
        self.world.kill_tablet(endpoint);
        self.wait_for_failover(endpoint)
    }

    /// As [`History::fail_over`], for a tablet that is dead already.
    pub(super) fn wait_for_failover(&mut self, endpoint: &Endpoint) -> Result<(), ScenarioError> {
        let dead = endpoint.clone();
        let led_elsewhere = move |world: &World| {
            world.metadata().values().all(|metas| {
                let metas = &metas.partition_meta;
                let here = metas.iter().any(|meta| meta.endpoint == dead.as_str() && meta.is_alive());
                let led = metas.iter().any(|meta| meta.is_leader && meta.is_alive());
                metas.len() == 1 || (!here && led)
            })
        };
        self.until("failover is through", led_elsewhere)?;
        self.until_ops_are_over()
    }

    /// Waits until the nameserver has nothing to do.
    pub(super) fn until_ops_are_over(&mut self) -> Result<(), ScenarioError> {
        // Each round asks, so this is no plain `until`.
        let began = self.world.now();
        while self.world.now() - began < PATIENCE {
            let answer = self.nameserver(NameserverCall::ShowOpStatus(ShowOpStatusRequest::default()))?;
            let NameserverAnswer::ShowOpStatus(answer) = answer else { break };
            if !answer.op_status.iter().any(|op| matches!(op.status.as_str(), "kInited" | "kDoing")) {
                return Ok(());
            }
            self.wait(500 + (self.world.now() - began) / 20);
        }
        Err(ScenarioError::History("the nameserver's ops do not end".to_owned()))
    }

    /// Marks every replica of these tables not alive, loads their leaders, waits, and marks those alive.
    fn load_leaders(&mut self, these: impl Fn(&TableInfo) -> bool) -> Result<(), ScenarioError> {
        let tables: Vec<TableInfo> = self.world.tables().into_iter().filter(these).collect();
        let mut leaders = Vec::new();
        for table in &tables {
            for (metas, meta) in replicas(table) {
                self.mark(table, metas.pid, meta, false)?;
                if meta.is_leader {
                    leaders.push((table, metas, meta));
                }
            }
        }
        for (table, metas, meta) in &leaders {
            self.load(table, metas, meta)?;
        }
        for (table, metas, meta) in leaders {
            self.until_normal(table, metas.pid, meta)?;
            self.mark(table, metas.pid, meta, true)?;
        }
        Ok(())
    }

    fn recover_followers(&mut self) -> Result<(), ScenarioError> {
        let tables: Vec<TableInfo> = self.world.tables().into_iter().filter(|table| !is_system(table)).collect();
        for table in &tables {
            for (metas, meta) in replicas(table).filter(|(_, meta)| !meta.is_leader) {
                self.nameserver(NameserverCall::RecoverTable(RecoverTableRequest {
                    name: table.name().to_owned(),
                    pid: metas.pid,
                    endpoint: meta.endpoint.clone(),
                    db: table.db.clone(),
                }))?;
            }
        }
        Ok(())
    }

    fn mark(&mut self, table: &TableInfo, pid: u32, meta: &PartitionMeta, alive: bool) -> Result<(), ScenarioError> {
        self.nameserver(NameserverCall::UpdateTableAliveStatus(UpdateTableAliveRequest {
            name: table.name.clone(),
            endpoint: Some(meta.endpoint.clone()),
            pid: Some(pid),
            is_alive: Some(alive),
            db: table.db.clone(),
        }))?;
        Ok(())
    }

    fn load(&mut self, table: &TableInfo, metas: &TablePartition, meta: &PartitionMeta) -> Result<(), ScenarioError> {
        let meta_to_load = TableMeta {
            tid: table.tid.and_then(|tid| i32::try_from(tid).ok()),
            name: table.name.clone(),
            pid: i32::try_from(metas.pid).ok(),
            seg_cnt: Some(8),
            mode: Some(TableMode::KTableLeader.into()),
            term: metas.term_offset.last().map(|term| term.term),
            storage_mode: Some(table.storage_mode().into()),
            ..TableMeta::default()
        };
        let request = LoadTableRequest { table_meta: Some(meta_to_load), task_info: None };
        self.tablet(&meta.endpoint.as_str().into(), TabletCall::LoadTable(request)).map(|_| ())
    }

    fn until_normal(&mut self, table: &TableInfo, pid: u32, meta: &PartitionMeta) -> Result<(), ScenarioError> {
        let request = GetTableStatusRequest { tid: table.tid, pid: Some(pid), need_schema: None };
        for _ in 0..36_000 {
            let call = TabletCall::GetTableStatus(request);
            let TabletAnswer::GetTableStatus(answer) = self.tablet(&meta.endpoint.as_str().into(), call)? else {
                break;
            };
            if answer.all_table_status.iter().any(|status| status.state() == TableState::KTableNormal) {
                return Ok(());
            }
            self.wait(100);
        }
        Err(ScenarioError::History(format!("{}/{pid} does not load", table.name())))
    }
}

fn replicas(table: &TableInfo) -> impl Iterator<Item = (&TablePartition, &PartitionMeta)> {
    table.table_partition.iter().flat_map(|metas| metas.partition_meta.iter().map(move |meta| (metas, meta)))
}
