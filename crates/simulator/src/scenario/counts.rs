//! Restarts after which equal replicas count their rows differently (docs/openmldb/tablet.md#row-counts-are-not-rows).

use super::ScenarioError;
use super::history::{History, Led};
use super::shape::AGE;
use crate::Millis;

/// After so many world milliseconds garbage collection has passed over everything: `gc_interval` is two hours.
const COLLECTED_AFTER: Millis = 7_300_000;

impl History {
    /// Clients deleted half of the rows of every partition, and all of some.
    pub(super) fn rows_were_deleted(&mut self) -> Result<(), ScenarioError> {
        let led = self.user_partitions();
        for (nth, led) in led.iter().enumerate() {
            let rows = self.world.log(&led.leader, led.id).len();
            let deletes = if nth % 4 == 3 { rows } else { rows / 2 };
            for _ in 0..deletes {
                if !self.world.delete_row(&led.leader, led.id) {
                    return Err(ScenarioError::History(format!("{} deletes nothing of {}", led.leader, led.id)));
                }
            }
        }
        self.wait(4_500);
        self.some_make_snapshots(&led);
        self.restart_everything()
    }

    /// Rows of a few keys were written, an hour passed, and as many more were written.
    pub(super) fn rows_have_expired(&mut self) -> Result<(), ScenarioError> {
        let led = self.user_partitions();
        self.write_under_keys(&led)?;
        self.wait(AGE);
        self.write_under_keys(&led)?;
        self.wait(4_500);
        self.some_make_snapshots(&led);
        self.restart_everything()
    }

    /// Half of the rows were put again, and garbage collection came between on tablets that had made a snapshot.
    pub(super) fn rows_were_overwritten(&mut self) -> Result<(), ScenarioError> {
        let led = self.user_partitions();
        for led in &led {
            for _ in 0..self.world.log(&led.leader, led.id).len() / 2 {
                if !self.world.overwrite_row(&led.leader, led.id) {
                    return Err(ScenarioError::History(format!("{} overwrites nothing of {}", led.leader, led.id)));
                }
            }
        }
        self.wait(COLLECTED_AFTER);
        self.some_make_snapshots(&led);
        self.restart_everything()
    }

    fn user_partitions(&self) -> Vec<Led> {
        self.led().into_iter().filter(|led| !led.is_system).collect()
    }

    /// Of each four partitions the leader of the first, a follower of the second and all replicas of the third make a snapshot:
    /// equal replicas then count differently.
    fn some_make_snapshots(&mut self, partitions: &[Led]) {
        for (nth, led) in partitions.iter().enumerate() {
            for endpoint in &led.replicas {
                let makes = match nth % 4 {
                    0 => *endpoint == led.leader,
                    1 => *endpoint != led.leader,
                    2 => true,
                    _ => false,
                };
                if makes {
                    self.world.make_snapshot(endpoint, led.id);
                }
            }
        }
    }

    /// Ten rows under each of three keys of every partition.
    fn write_under_keys(&mut self, partitions: &[Led]) -> Result<(), ScenarioError> {
        for led in partitions {
            for nth in 0..30 {
                if !self.world.put_row_under(&led.leader, led.id, 1 + nth % 3) {
                    return Err(ScenarioError::History(format!("{} does not take rows for {}", led.leader, led.id)));
                }
            }
        }
        Ok(())
    }
}
