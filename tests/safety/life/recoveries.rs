//! Recoveries that somebody ran earlier: with this tool, and by the letter of the handbook.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use openmldb_ops::sandbox::world::Settings;
use openmldb_ops::sandbox::{Addresses, World};
use openmldb_ops::wire::api::{LoadTableRequest, TableMeta};
use openmldb_ops::wire::call::{NameserverCall, TabletCall};
use openmldb_ops::wire::nameserver::{RecoverTableRequest, TableInfo, TablePartition, UpdateTableAliveRequest};

use super::Life;
use crate::calm::{auto_failover, await_nameserver};
use crate::judge::Judge;
use crate::run::{Ended, Run};

impl Life {
    /// Everything dies and comes back whole; somebody runs the recovery, may be cut off, and life goes on.
    pub(super) fn everything_is_recovered(&mut self) {
        self.everything_restarts();
        self.runs += 1;
        let mut run = Run::calm(self.playbook, &self.host, self.runs);
        if let Some(mut dice) = self.choices.perhaps(40, "cut-off") {
            run.killed_after = Some(Duration::from_millis(dice.between(0, 20_000)));
        }
        self.tell(format!("recovery {}, killed after {:?}", self.runs, run.killed_after));
        let before = auto_failover(&mut self.world);
        let judge = Arc::new(Mutex::new(Judge::default()));
        let empty = World::new(Settings::default(), &Addresses::recorded(1, 1));
        let (world, ran) = run.on(std::mem::replace(&mut self.world, empty), &judge);
        self.world = world;
        self.told.extend(ran.told);
        let mut judge = judge.lock().unwrap();
        self.violations.append(&mut judge.violations);
        for (id, entries) in &judge.announced {
            *self.announced.entry(*id).or_default() += entries;
        }
        drop(judge);
        match ran.ended {
            Ended::Itself(_) => self.owed = None,
            Ended::Killed | Ended::Never => self.owed = self.owed.or(before),
        }
        self.wait(60_000);
        self.write_somewhere(15);
        self.wait(10_000);
    }

    fn everything_restarts(&mut self) {
        self.world.kill_everything();
        self.wait(20_000);
        self.world.start_everything();
        await_nameserver(&mut self.world);
        self.wait(10_000);
    }

    /// The documented steps, with leaders picked by their flags and loaded as leaders.
    pub(super) fn somebody_recovers_by_the_letter(&mut self) {
        self.everything_restarts();
        self.tell("by the letter:");
        let on = auto_failover(&mut self.world);
        self.set_auto_failover(false);
        for table in self.world.tables() {
            for metas in &table.table_partition {
                self.partition_by_the_letter(&table, metas);
            }
        }
        self.until_ops_are_over();
        if on == Some(true) {
            self.set_auto_failover(true);
        }
        self.wait(20_000);
        self.write_somewhere(15);
        self.wait(10_000);
    }

    fn partition_by_the_letter(&mut self, table: &TableInfo, metas: &TablePartition) {
        let (name, db, pid) = (table.name.clone(), table.db.clone(), metas.pid);
        let mark = |endpoint: &str, alive| {
            let (endpoint, name, db) = (Some(endpoint.to_owned()), name.clone(), db.clone());
            let request = UpdateTableAliveRequest { name, db, pid: Some(pid), endpoint, is_alive: Some(alive) };
            NameserverCall::UpdateTableAliveStatus(request)
        };
        for meta in &metas.partition_meta {
            self.nameserver(mark(&meta.endpoint, false));
        }
        let Some(leader) = metas.partition_meta.iter().find(|meta| meta.is_leader) else { return };
        let signed = |number: u32| i32::try_from(number).ok();
        let mut meta = TableMeta {
            name: name.clone(),
            tid: signed(table.tid()),
            pid: signed(pid),
            seg_cnt: Some(8),
            ..TableMeta::default()
        };
        meta.storage_mode = table.storage_mode;
        let load = LoadTableRequest { table_meta: Some(meta), ..LoadTableRequest::default() };
        let _ = self.world.call_tablet(&leader.endpoint.as_str().into(), TabletCall::LoadTable(load));
        self.world.advance_by(3_000);
        self.nameserver(mark(&leader.endpoint, true));
        for follower in metas.partition_meta.iter().filter(|meta| meta.endpoint != leader.endpoint) {
            let endpoint = follower.endpoint.clone();
            let request = RecoverTableRequest { name: name.clone().unwrap_or_default(), db: db.clone(), pid, endpoint };
            self.nameserver(NameserverCall::RecoverTable(request));
        }
    }
}
