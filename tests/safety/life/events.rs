//! What happens to a cluster in the course of its life.

use openmldb_ops::model::{Endpoint, PartitionId, Pid, Tid};
use openmldb_ops::wire::nameserver::TableInfo;

use super::Life;
use crate::calm::{auto_failover, await_nameserver};
use crate::dice::Dice;
use crate::typed;

impl Life {
    pub(super) fn a_tablet_dies(&mut self) {
        let victim = self.tablet();
        self.world.kill_tablet(&victim);
        self.tell(format!("{victim} killed"));
        self.wait(40_000);
        self.write_somewhere(15);
        self.wait(10_000);
        if self.dice.percent(70) {
            self.start_tablet(&victim);
            self.wait(60_000);
        }
    }

    /// Its followers are frozen while it takes rows; it dies; they go on.
    pub(super) fn a_leader_dies_with_a_tail(&mut self) {
        let victim = self.tablet();
        let mut others = self.world.tablet_endpoints().to_vec();
        others.retain(|endpoint| *endpoint != victim);
        if others.len() > 1 && self.dice.percent(40) {
            others.pop();
        }
        for endpoint in &others {
            self.world.freeze_tablet(endpoint, true);
        }
        self.tell(format!("{others:?} frozen"));
        self.write_somewhere(8);
        self.wait(3_000);
        if self.dice.percent(80) {
            self.world.kill_tablet(&victim);
            self.tell(format!("{victim} killed"));
        }
        for endpoint in &others {
            self.world.freeze_tablet(endpoint, false);
        }
        self.tell("thawed");
        self.wait(40_000);
        self.write_somewhere(12);
        if self.dice.percent(50) {
            self.start_tablet(&victim);
            self.wait(40_000);
        }
    }

    pub(super) fn a_tablet_freezes(&mut self) {
        let victim = self.tablet();
        self.world.freeze_tablet(&victim, true);
        self.tell(format!("{victim} frozen"));
        self.write_somewhere(10);
        self.wait(30_000);
        self.write_somewhere(5);
        self.world.freeze_tablet(&victim, false);
        self.tell(format!("{victim} thawed"));
        self.wait(20_000);
    }

    /// It answers nobody, and nobody takes it for dead.
    pub(super) fn a_tablet_hangs(&mut self, mut dice: Dice) {
        let victim = self.tablet_by(&mut dice);
        self.world.hang_tablet(&victim, true);
        self.tell(format!("{victim} hangs"));
        self.dice = dice;
        self.write_somewhere(10);
        self.wait(60_000);
        self.world.hang_tablet(&victim, false);
        self.tell(format!("{victim} goes on"));
        self.wait(10_000);
    }

    /// The one that leads, or one that does not.
    pub(super) fn a_nameserver_freezes(&mut self, mut dice: Dice) {
        let nameservers = self.world.nameserver_endpoints().to_vec();
        let victim = dice.pick(&nameservers).unwrap().clone();
        self.world.freeze_nameserver(&victim, true);
        self.tell(format!("nameserver {victim} frozen"));
        self.dice = dice;
        self.wait(15_000);
        self.write_somewhere(10);
        self.world.freeze_nameserver(&victim, false);
        self.tell(format!("nameserver {victim} thawed"));
        self.some_tablets_are_there();
        await_nameserver(&mut self.world);
        self.wait(10_000);
    }

    pub(super) fn a_leader_is_changed(&mut self) {
        let on = auto_failover(&mut self.world);
        typed::set_auto_failover(&mut self.world, false);
        let tables: Vec<TableInfo> = self.world.tables();
        for table in tables {
            for metas in &table.table_partition {
                let alive: Vec<&str> = metas
                    .partition_meta
                    .iter()
                    .filter(|meta| meta.is_alive() && !meta.is_leader)
                    .map(|meta| meta.endpoint.as_str())
                    .collect();
                let Some(candidate) = self.dice.pick(&alive) else { continue };
                self.tell(format!("changeleader {}/{} to {candidate}", table.name(), metas.pid));
                let id = PartitionId { tid: Tid(table.tid()), pid: Pid(metas.pid) };
                typed::change_leader(&mut self.world, id, &(*candidate).into());
                if self.dice.percent(50) {
                    break;
                }
            }
        }
        self.wait(15_000);
        typed::until_operations_end(&mut self.world);
        if on == Some(true) {
            typed::set_auto_failover(&mut self.world, true);
        }
        self.write_somewhere(10);
    }

    /// An election that failed half way, of which nothing else is left.
    pub(super) fn a_follower_hears_of_a_later_term(&mut self, mut dice: Dice) {
        for (id, metas) in self.world.metadata() {
            let followers: Vec<&str> = metas
                .partition_meta
                .iter()
                .filter(|meta| meta.is_alive() && !meta.is_leader)
                .map(|meta| meta.endpoint.as_str())
                .collect();
            let Some(follower) = dice.pick(&followers).filter(|_| dice.percent(30)) else { continue };
            let term = self.world.raise_term(&Endpoint::from(*follower), id);
            self.tell(format!("{follower} hears of term {term} of {id}"));
        }
    }

    pub(super) fn snapshots(&mut self) {
        for (id, metas) in self.world.metadata() {
            for meta in &metas.partition_meta {
                let endpoint = Endpoint::from(meta.endpoint.as_str());
                if self.dice.percent(50) && self.world.make_snapshot(&endpoint, id) {
                    let deleted = self.dice.percent(40)
                        && self.world.tablets_mut().delete_binlog_behind_snapshot(
                            endpoint.as_str(),
                            id.tid.0,
                            id.pid.0,
                        );
                    self.tell(format!("snapshot of {id} at {endpoint}, binlog behind it deleted: {deleted}"));
                }
            }
        }
        self.write_somewhere(10);
        self.wait(5_000);
    }

    pub(super) fn a_nameserver_dies(&mut self) {
        let Some(leader) = self.world.leader() else { return };
        self.world.kill_nameserver(&leader);
        self.tell(format!("nameserver {leader} killed"));
        self.wait(10_000);
        self.some_tablets_are_there();
        self.world.start_nameserver(&leader);
        await_nameserver(&mut self.world);
        self.wait(10_000);
    }

    /// No nameserver leads while it finds too few tablets for the system tables.
    fn some_tablets_are_there(&mut self) {
        let tablets = self.world.tablet_endpoints().to_vec();
        if !tablets.iter().any(|tablet| self.world.is_up(tablet)) {
            tablets.iter().for_each(|tablet| self.start_tablet(tablet));
        }
    }

    /// With auto_failover on, OpenMLDB tries to bring itself back, and gets somewhere.
    pub(super) fn everything_is_down_for_a_while(&mut self) {
        let tablets = self.world.tablet_endpoints().to_vec();
        for endpoint in &tablets {
            self.world.kill_tablet(endpoint);
            self.wait(200);
        }
        self.tell("all tablets killed");
        self.wait(30_000);
        for endpoint in &tablets {
            self.start_tablet(endpoint);
        }
        self.wait(90_000);
    }
}
