//! Recoveries that somebody ran earlier: with this tool, and by the letter of the handbook.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use openmldb_ops::model::{PartitionId, Pid, Tid};
use openmldb_ops::sandbox::world::Settings;
use openmldb_ops::sandbox::{Addresses, World};
use openmldb_ops::wire::nameserver::TablePartition;

use super::Life;
use crate::calm::{auto_failover, await_nameserver};
use crate::judge::Judge;
use crate::run::{Ended, Run};
use crate::typed;

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
            // What it keeps off for a reason is restored by whoever puts that right.
            Ended::Itself(result) => {
                let kept_off = result.is_ok_and(|recovered| !recovered.summary.auto_failover.held_for.is_empty());
                self.owed = if kept_off { self.owed.or(before) } else { None };
            }
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
        typed::set_auto_failover(&mut self.world, false);
        for table in self.world.tables() {
            for metas in &table.table_partition {
                let id = PartitionId { tid: Tid(table.tid()), pid: Pid(metas.pid) };
                self.partition_by_the_letter(id, metas);
            }
        }
        typed::until_operations_end(&mut self.world);
        if on == Some(true) {
            typed::set_auto_failover(&mut self.world, true);
        }
        self.wait(20_000);
        self.write_somewhere(15);
        self.wait(10_000);
    }

    fn partition_by_the_letter(&mut self, id: PartitionId, metas: &TablePartition) {
        let world = &mut self.world;
        for meta in &metas.partition_meta {
            typed::mark_alive(world, id, &meta.endpoint.as_str().into(), false);
        }
        let Some(leader) = metas.partition_meta.iter().find(|meta| meta.is_leader) else { return };
        let at = leader.endpoint.as_str().into();
        typed::load_as_leader(world, id, &at);
        world.advance_by(3_000);
        typed::mark_alive(world, id, &at, true);
        for follower in metas.partition_meta.iter().filter(|meta| meta.endpoint != leader.endpoint) {
            typed::recover_table(world, id, &follower.endpoint.as_str().into());
        }
    }
}
