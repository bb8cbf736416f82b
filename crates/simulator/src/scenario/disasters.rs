//! Restarts after which not everything is where it was.

use super::ScenarioError;
use super::history::{History, Led, PATIENCE};
use crate::World;
use crate::rng::Rng;
use openmldb_model::Endpoint;
use openmldb_wire::call::{NameserverAnswer, NameserverCall};
use openmldb_wire::nameserver::ShowTabletRequest;

/// Rows lost at the end of a binlog: what a power cut takes before it is synced
/// (docs/openmldb/logs-and-terms.md#what-a-power-cut-takes).
const UNSYNCED: u32 = 20;

/// Rows behind the snapshot of a leader that will be hollow.
const BEHIND_SNAPSHOT: u64 = 12;

/// World milliseconds between two rows of the clients that never stop.
const WRITE_EVERY: u64 = 20;

impl History {
    /// The binlogs of the victim's leaders are gone. What a snapshot holds is still there.
    pub(super) fn leader_lost_disk(&mut self) -> Result<(), ScenarioError> {
        self.restart_damaged(|world, victim, led| {
            world.tablets_mut().lose_binlog(victim.as_str(), led.id.tid.0, led.id.pid.0)
        })
    }

    /// The directories of the victim's leaders are gone.
    pub(super) fn leader_lost_directory(&mut self) -> Result<(), ScenarioError> {
        self.restart_damaged(|world, victim, led| {
            world.tablets_mut().lose_directory(victim.as_str(), led.id.tid.0, led.id.pid.0)
        })
    }

    /// The victim's leaders lost their last rows; all other replicas have them.
    pub(super) fn longer_follower(&mut self) -> Result<(), ScenarioError> {
        self.restart_damaged(|world, victim, led| {
            let last = world.log(victim, led.id).last().map_or(0, |entry| entry.index);
            let first = last.saturating_sub(u64::from(UNSYNCED).min(last / 2)) + 1;
            world.tablets_mut().lose_entries(victim.as_str(), led.id.tid.0, led.id.pid.0, first, last)
        })
    }

    /// Every tablet lost the last rows of its binlogs, each another number of them; and the victim had just loaded when the power failed.
    pub(super) fn power_cut(&mut self) -> Result<(), ScenarioError> {
        let (victim, _) = self.victim()?;
        let led = self.led();
        let mut dice = Rng::new(self.seed);
        let mut emptied = 0;
        self.restart_everything_but(&[], |world| {
            for endpoint in world.tablet_endpoints().to_vec() {
                for led in led.iter().filter(|led| led.replicas.contains(&endpoint)) {
                    let (tid, pid) = (led.id.tid.0, led.id.pid.0);
                    let last = world.log(&endpoint, led.id).last().map_or(0, |entry| entry.index);
                    let cut = u64::from(dice.below(UNSYNCED + 1)).min(last / 2);
                    let first = last - cut + 1;
                    world.tablets_mut().lose_entries(endpoint.as_str(), tid, pid, first, last);
                    let is_torn = endpoint == victim && world.tablets_mut().empty_table_meta(victim.as_str(), tid, pid);
                    emptied += usize::from(is_torn);
                }
            }
        })?;
        if emptied > 0 { Ok(()) } else { Err(ScenarioError::History("there was nothing to damage".to_owned())) }
    }

    /// Nothing is left of what the tablets had on their disks.
    pub(super) fn disks_are_emptied(&mut self) -> Result<(), ScenarioError> {
        let led = self.led();
        self.restart_everything_but(&[], |world| {
            for led in &led {
                for endpoint in &led.replicas {
                    world.tablets_mut().lose_directory(endpoint.as_str(), led.id.tid.0, led.id.pid.0);
                }
            }
        })
    }

    /// The victim's leaders have a MANIFEST whose snapshot file is missing.
    pub(super) fn hollow_leader(&mut self) -> Result<(), ScenarioError> {
        let (victim, partitions) = self.victim()?;
        for led in &partitions {
            self.world.make_snapshot(&victim, led.id);
        }
        for led in &partitions {
            self.write(led, BEHIND_SNAPSHOT)?;
        }
        self.wait(4_500);
        self.restart_damaged(|world, victim, led| {
            world.tablets_mut().lose_snapshot_file(victim.as_str(), led.id.tid.0, led.id.pid.0)
        })
    }

    fn restart_damaged(&mut self, how: impl Fn(&mut World, &Endpoint, &Led) -> bool) -> Result<(), ScenarioError> {
        let (victim, partitions) = self.victim()?;
        let mut damaged = true;
        self.restart_everything_but(&[], |world| {
            for led in &partitions {
                damaged &= how(world, &victim, led);
            }
        })?;
        if damaged { Ok(()) } else { Err(ScenarioError::History("there was nothing to damage".to_owned())) }
    }

    /// The victim died first and was failed over, its successors were written to; then everything died, and all but the
    /// victim came back.
    pub(super) fn tablet_missing(&mut self) -> Result<(), ScenarioError> {
        let (victim, _) = self.victim()?;
        self.fail_over(&victim)?;
        for led in self.led().into_iter().filter(|led| led.replicas.len() > 1) {
            self.write(&led, 5)?;
        }
        self.wait(4_500);
        self.restart_everything_but(&[victim], |_| {})
    }

    /// The victim's leaders took `tail` rows while their followers were frozen, and died; their successors took `since`
    /// more; then everything was restarted (docs/openmldb/experiments.md#divergence-made-on-purpose).
    pub(super) fn old_leader_died_with_a_tail(&mut self, tail: u64, since: u64) -> Result<(), ScenarioError> {
        let (victim, partitions) = self.victim()?;
        let others: Vec<Endpoint> =
            self.world.tablet_endpoints().iter().filter(|endpoint| **endpoint != victim).cloned().collect();
        for endpoint in &others {
            self.world.freeze_tablet(endpoint, true);
        }
        for led in &partitions {
            self.write(led, tail)?;
        }
        self.wait(500);
        self.world.kill_tablet(&victim);
        for endpoint in &others {
            self.world.freeze_tablet(endpoint, false);
        }
        self.wait_for_failover(&victim)?;
        for led in self.led().into_iter().filter(|led| partitions.iter().any(|old| old.id == led.id)) {
            self.write(&led, since)?;
        }
        self.wait(4_500);
        self.restart_everything()
    }

    /// Clients write, and nothing else happens.
    pub(super) fn clients_write(&mut self) -> Result<(), ScenarioError> {
        self.world.start_writers(WRITE_EVERY, self.seed);
        self.wait(5_000);
        Ok(())
    }

    /// The victim dies with auto_failover off, so nobody leads what it led.
    pub(super) fn node_lost(&mut self) -> Result<(), ScenarioError> {
        let (victim, _) = self.victim()?;
        self.set_auto_failover(false)?;
        self.world.kill_tablet(&victim);
        self.until_it_is("kOffline", &victim)
    }

    /// And comes back, which brings nothing back by itself.
    pub(super) fn node_back(&mut self) -> Result<(), ScenarioError> {
        let (victim, _) = self.victim()?;
        self.node_lost()?;
        self.world.start_tablets(std::slice::from_ref(&victim));
        self.until_it_is("kHealthy", &victim)
    }

    /// Waits for the nameserver's opinion of a tablet.
    fn until_it_is(&mut self, state: &str, at: &Endpoint) -> Result<(), ScenarioError> {
        // Each round asks, so this is no plain `until`.
        let began = self.world.now();
        while self.world.now() - began < PATIENCE {
            let answer = self.nameserver(NameserverCall::ShowTablet(ShowTabletRequest {}))?;
            let NameserverAnswer::ShowTablet(answer) = answer else { break };
            if answer.tablets.iter().any(|found| found.endpoint() == at.as_str() && found.state() == state) {
                return Ok(());
            }
            self.wait(500);
        }
        Err(ScenarioError::History(format!("{at} does not become {state}")))
    }

    /// Clients write before, through and after the restart.
    pub(super) fn leader_and_writers(&mut self) -> Result<(), ScenarioError> {
        self.world.start_writers(WRITE_EVERY, self.seed);
        self.wait(5_000);
        self.restart_everything()
    }
}
