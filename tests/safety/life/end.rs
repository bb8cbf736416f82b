//! How a life ends: everything dies, disks are lost, most of it comes back.

use openmldb_ops::model::{Endpoint, PartitionId, Pid, Tid};
use openmldb_ops::wire::common::StorageMode;

use super::Life;
use crate::calm::await_nameserver;
use crate::dice::Dice;

impl Life {
    /// Everything dies, disks are lost, most of it comes back. Gives the tablets that do not, and one that does while somebody
    /// is at work already.
    pub(super) fn end(&mut self) -> (Vec<Endpoint>, Option<Endpoint>) {
        let tablets = self.world.tablet_endpoints().to_vec();
        if let Some(mut dice) = self.choices.perhaps(25, "writers") {
            let every = dice.between(50, 1000);
            let seed = dice.roll();
            self.world.start_writers(every, seed);
            self.tell(format!("writers, a row every {every} ms"));
            self.wait(20_000);
        }
        if let Some(dice) = self.choices.perhaps(30, "frozen-to-the-end") {
            self.dice = dice;
            // The last rows reach the leader alone.
            let frozen = self.tablet();
            self.world.freeze_tablet(&frozen, true);
            self.write_somewhere(10);
            self.tell(format!("{frozen} frozen to the end"));
            self.wait(500);
        }
        self.dice = self.choices.dice("how it ends");
        let with_nameservers = self.choices.perhaps(75, "nameservers-die").is_some();
        let spared = self.choices.perhaps(12, "spared").map(|mut dice| self.tablet_by(&mut dice));
        for endpoint in tablets.iter().filter(|endpoint| Some(*endpoint) != spared.as_ref()) {
            self.world.kill_tablet(endpoint);
            if self.dice.percent(30) {
                self.wait(2_000);
            }
        }
        self.tell(format!("killed, with nameservers: {with_nameservers}, spared {spared:?}"));
        if with_nameservers {
            for endpoint in self.world.nameserver_endpoints().to_vec() {
                self.world.kill_nameserver(&endpoint);
            }
        }
        self.wait(20_000);
        if let Some(dice) = self.choices.perhaps(40, "damage") {
            self.dice = dice;
            self.damage();
        }
        if let Some(dice) = self.choices.perhaps(15, "power-cut") {
            self.power_is_cut(dice);
        }
        self.dice = self.choices.dice("how it comes back");
        let missing = self.choices.perhaps(12, "missing").map(|mut dice| self.tablet_by(&mut dice));
        let missing: Vec<Endpoint> = missing.into_iter().filter(|endpoint| Some(endpoint) != spared.as_ref()).collect();
        let late = self.choices.perhaps(12, "late").map(|mut dice| self.tablet_by(&mut dice));
        let late = late.filter(|late| Some(late) != spared.as_ref() && !missing.contains(late));
        self.tell(format!("missing: {missing:?}, late: {late:?}"));
        let mut there: Vec<&Endpoint> = tablets.iter().filter(|endpoint| !missing.contains(endpoint)).collect();
        if there.len() > 1 {
            there.retain(|endpoint| Some(*endpoint) != late.as_ref());
        }
        let late = late.filter(|late| !there.contains(&late));
        for endpoint in there {
            self.start_tablet(endpoint);
            if self.dice.percent(20) {
                self.wait(5_000);
            }
        }
        for endpoint in tablets.iter().filter(|endpoint| !missing.contains(endpoint)) {
            self.world.freeze_tablet(endpoint, false);
        }
        for endpoint in self.world.nameserver_endpoints().to_vec() {
            self.world.start_nameserver(&endpoint);
        }
        await_nameserver(&mut self.world);
        self.wait(20_000);
        self.an_address_is_taken(&missing);
        (missing, late)
    }

    /// The address of a tablet that is away is given to another one, which its name goes on standing for.
    fn an_address_is_taken(&mut self, missing: &[Endpoint]) {
        let Some(away) = missing.first().filter(|_| !self.world.names().is_empty()) else { return };
        let Some(mut dice) = self.choices.perhaps(50, "address-taken") else { return };
        let by = self.tablet_by(&mut dice);
        let address = self.world.address_of(&by);
        self.world.map_name(away, address.as_str());
        self.tell(format!("the name {away} stands for {address}, which is {by}'s"));
    }

    fn is_disk(&self, id: PartitionId) -> bool {
        let tables = self.world.tables();
        tables.iter().any(|table| table.tid() == id.tid.0 && table.storage_mode() != StorageMode::KMemory)
    }

    /// What was not synced is gone: the last rows of every log, and here and there a replica's description.
    fn power_is_cut(&mut self, mut dice: Dice) {
        for at in self.world.tablet_endpoints().to_vec() {
            if self.world.is_up(&at) || self.world.is_frozen(&at) {
                continue;
            }
            for id in self.world.metadata().into_keys().collect::<Vec<PartitionId>>() {
                let (tid, pid) = (id.tid.0, id.pid.0);
                let last = self.world.log(&at, id).last().map_or(0, |entry| entry.index);
                let cut = dice.between(0, 20).min(last / 2);
                let loses_description = dice.percent(20);
                let tablets = self.world.tablets_mut();
                let lost = cut > 0 && tablets.lose_entries(at.as_str(), tid, pid, last - cut + 1, last);
                let torn = loses_description && tablets.empty_table_meta(at.as_str(), tid, pid);
                if lost || torn {
                    self.damaged = true;
                    self.tell(format!(
                        "power cut: {at} lost {cut} entries of {id} (last {last}), its description {torn}"
                    ));
                }
            }
        }
    }

    /// One tablet's disk.
    fn damage(&mut self) {
        let victim = self.tablet();
        if self.world.is_up(&victim) || self.world.is_frozen(&victim) {
            return;
        }
        let everywhere = self.dice.percent(50);
        let how = self.dice.between(0, 6);
        for id in self.world.metadata().into_keys().collect::<Vec<PartitionId>>() {
            if !everywhere && self.dice.percent(50) {
                continue;
            }
            let PartitionId { tid: Tid(tid), pid: Pid(pid) } = id;
            // RecoverTable asks the leader for its MANIFEST; a disk table loads without one and can then never be sent.
            if how == 4 && self.is_disk(id) {
                continue;
            }
            let log = self.world.log(&victim, id);
            let last = log.last().map_or(0, |entry| entry.index);
            let cut = self.dice.between(1, last.clamp(1, 20));
            let at = self.dice.between(1, last.max(1));
            let tablets = self.world.tablets_mut();
            let (name, done) = match how {
                0 => ("binlog", tablets.lose_binlog(victim.as_str(), tid, pid)),
                1 => ("directory", tablets.lose_directory(victim.as_str(), tid, pid)),
                2 => ("snapshot file", tablets.lose_snapshot_file(victim.as_str(), tid, pid)),
                3 => ("snapshot", tablets.lose_snapshot(victim.as_str(), tid, pid)),
                4 => ("MANIFEST", tablets.spoil_manifest(victim.as_str(), tid, pid)),
                5 => ("last entries", tablets.lose_entries(victim.as_str(), tid, pid, last - cut.min(last) + 1, last)),
                _ => ("some entries", tablets.lose_entries(victim.as_str(), tid, pid, at, at + cut)),
            };
            if done {
                self.damaged = true;
                if how == 4 {
                    self.spoiled.insert((victim.clone(), id));
                }
                self.tell(format!("{victim} lost {name} of {id} (last {last}, cut {cut}, at {at})"));
            }
        }
    }
}
