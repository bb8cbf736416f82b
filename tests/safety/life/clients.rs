//! What clients do: they write rows, delete them, and write the same ones again.

use openmldb_ops::model::{Endpoint, PartitionId};
use openmldb_ops::sandbox::tablet::Ttl;

use super::Life;
use crate::dice::Dice;

/// Milliseconds for which tables keep rows by age: their unit is a minute.
const MINUTE: u64 = 60_000;

/// How long a table keeps its rows.
pub(super) fn ttl(dice: &mut Dice) -> Ttl {
    let (age, newest) = (dice.between(1, 5) * MINUTE, dice.between(1, 4));
    let kinds = [Ttl::Absolute(age), Ttl::Latest(newest), Ttl::Both(age, newest), Ttl::Either(age, newest)];
    *dice.pick(&kinds).unwrap()
}

impl Life {
    fn led(&self) -> Vec<(PartitionId, Endpoint)> {
        let leaders = self.world.metadata().into_iter().filter_map(|(id, metas)| {
            let leader = metas.partition_meta.iter().find(|meta| meta.is_leader && meta.is_alive())?;
            Some((id, Endpoint::from(leader.endpoint.as_str())))
        });
        leaders.collect()
    }

    pub(super) fn write_somewhere(&mut self, most: u64) {
        for (id, leader) in self.led() {
            if self.dice.percent(60) {
                let rows = self.dice.between(1, most);
                let shares_keys = self.expiring.contains(&id.tid);
                let put = |world: &mut openmldb_ops::sandbox::World, nth: u64| match shares_keys {
                    true => world.put_row_under(&leader, id, 1 + nth % 3),
                    false => world.put_row(&leader, id),
                };
                let taken = (0..rows).filter(|nth| put(&mut self.world, *nth)).count();
                self.tell(format!("{taken} of {rows} rows to {id} at {leader}"));
            }
        }
        if let Some(dice) = self.choices.perhaps(10, "deletes") {
            self.delete_somewhere(dice);
        }
        if let Some(dice) = self.choices.perhaps(6, "overwrites") {
            self.overwrite_somewhere(dice);
        }
    }

    fn delete_somewhere(&mut self, mut dice: Dice) {
        for (id, leader) in self.led() {
            if dice.percent(40) {
                let rows = dice.between(1, 10);
                let taken = (0..rows).filter(|_| self.world.delete_row(&leader, id)).count();
                self.tell(format!("{taken} of {rows} rows deleted from {id} at {leader}"));
            }
        }
    }

    fn overwrite_somewhere(&mut self, mut dice: Dice) {
        for (id, leader) in self.led() {
            if dice.percent(40) {
                let rows = dice.between(1, 10);
                let taken = (0..rows).filter(|_| self.world.overwrite_row(&leader, id)).count();
                self.tell(format!("{taken} of {rows} times the oldest row again to {id} at {leader}"));
            }
        }
    }
}
