//! What clients do: they write rows, delete them, and write the same ones again.

use openmldb_ops::model::{Endpoint, PartitionId};
use openmldb_ops::sandbox::World;
use openmldb_ops::sandbox::tablet::Ttl;

use super::Life;
use super::aggregates::is_written_by_clients;
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
        leaders.filter(|(id, _)| is_written_by_clients(&self.world, id.tid)).collect()
    }

    pub(super) fn write_somewhere(&mut self, most: u64) {
        for (id, leader) in self.led() {
            if self.dice.percent(60) {
                let rows = self.dice.between(1, most);
                let shares_keys = self.expiring.contains(&id.tid);
                let put = |world: &mut World, nth: u64| match shares_keys {
                    true => world.put_row_under(&leader, id, 1 + nth % 3),
                    false => world.put_row(&leader, id),
                };
                let taken = (0..rows).filter(|nth| put(&mut self.world, *nth)).count();
                self.tell(format!("{taken} of {rows} rows to {id} at {leader}"));
            }
        }
        if let Some(dice) = self.choices.perhaps(10, "deletes") {
            // Deletes of what has been aggregated are not modelled.
            let mut led = self.led();
            led.retain(|(id, _)| !self.aggregated.contains(&id.tid));
            self.each_leader_takes(led, dice, "deletes", World::delete_row);
        }
        if let Some(dice) = self.choices.perhaps(6, "overwrites") {
            let led = self.led();
            self.each_leader_takes(led, dice, "rows once more", World::overwrite_row);
        }
    }

    /// Some of these leaders, so many of these.
    fn each_leader_takes(
        &mut self,
        leaders: Vec<(PartitionId, Endpoint)>,
        mut dice: Dice,
        what: &str,
        write: fn(&mut World, &Endpoint, PartitionId) -> bool,
    ) {
        for (id, leader) in leaders {
            if dice.percent(40) {
                let wanted = dice.between(1, 10);
                let taken = (0..wanted).filter(|_| write(&mut self.world, &leader, id)).count();
                self.tell(format!("{taken} of {wanted} {what} to {id} at {leader}"));
            }
        }
    }
}
