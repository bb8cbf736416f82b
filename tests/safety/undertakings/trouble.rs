//! What goes wrong during an undertaking, by chance.

use std::time::Duration;

use openmldb_ops::sandbox::World;
use openmldb_ops::sandbox::fault::Fault;

use crate::dice::Dice;
use crate::troubles;

/// How an undertaking is disturbed.
#[derive(Debug, Clone, Default)]
pub struct Trouble {
    pub faults: Vec<Fault>,
    pub killed_after: Option<Duration>,
    pub signal_after: Option<Duration>,
}

impl Trouble {
    /// These faults.
    pub fn of(faults: &[&str]) -> Self {
        Self { faults: faults.iter().map(|fault| fault.parse().unwrap()).collect(), ..Self::default() }
    }

    /// A tablet that dies takes what no follower has with it, once the nameserver has others lead: only where nobody writes.
    pub fn by_chance(dice: &mut Dice, world: &World, clients_write: bool) -> Self {
        let tablets = world.tablet_endpoints().len();
        let mut trouble = Self::default();
        let mut adds = |fault: String| trouble.faults.push(fault.parse().unwrap());
        if dice.percent(60) {
            adds(format!("*:{}%=slow-{}ms", dice.between(1, 100), dice.between(1, 60)));
        }
        if dice.percent(40) {
            for way in ["refused", "reset-after", "reset-before", "garbage"] {
                adds(format!("*:{}.{}%={way}", dice.between(0, 3), dice.between(0, 9)));
            }
        }
        if dice.percent(40) {
            let work = [
                "RecoverTable:N=op-fails",
                "ChangeLeader:N=op-fails",
                "ChangeLeader:N=op-not-created",
                "RecoverTable:N=op-not-created",
            ];
            adds(dice.pick(&work).unwrap().replace('N', &dice.between(1, 3).to_string()));
        }
        if dice.percent(15) {
            adds(format!("{}ms=nameserver-restarts-{}ms", dice.between(0, 30_000), dice.between(100, 10_000)));
        }
        if !clients_write && dice.percent(40) {
            let (at, tablet) = (dice.between(0, 30_000), dice.between(1, tablets as u64));
            let long = dice.between(100, 20_000);
            let what = ["restarts", "freezes"];
            adds(format!("{at}ms@tablet{tablet}=tablet-{}-{long}ms", dice.pick(&what).unwrap()));
        }
        if dice.percent(8) {
            let what = if dice.percent(50) { "lock-lost" } else { "lock-shaky" };
            adds(format!("mutation:{}={what}", dice.between(1, 20)));
        }
        if dice.percent(6) {
            adds(format!("mutation:{}=operator-failover-on", dice.between(1, 20)));
        }
        match dice.between(0, 5) {
            0 => trouble.killed_after = Some(Duration::from_millis(dice.between(0, 40_000))),
            1 => adds(format!("mutation:{}=tool-killed-before", dice.between(1, 15))),
            2 => adds(format!("mutation:{}=tool-killed-after", dice.between(1, 15))),
            3 => trouble.signal_after = Some(Duration::from_millis(dice.between(0, 40_000))),
            _ => {}
        }
        trouble.of_slow_servers(&mut dice.fork(), world, clients_write);
        trouble
    }

    /// Servers that are slow, not gone: nobody takes a tablet for dead that hangs or answers slowly, so clients may write meanwhile.
    fn of_slow_servers(&mut self, dice: &mut Dice, world: &World, clients_write: bool) {
        let mut adds = |fault: String| self.faults.push(fault.parse().unwrap());
        let tablet = dice.between(1, world.tablet_endpoints().len() as u64);
        if dice.percent(15) {
            adds(format!("{}=tablet-hangs-{}ms", troubles::when(dice, tablet), dice.between(100, 60_000)));
        }
        if dice.percent(15) {
            adds(format!("{}ms@tablet{tablet}=tablet-slows-{}ms", dice.between(0, 20_000), dice.between(10, 3_000)));
        }
        for which in ["nameserver", "standby"] {
            if dice.percent(10) {
                adds(format!("{}={which}-freezes-{}ms", troubles::when(dice, 0), dice.between(100, 20_000)));
            }
        }
        if world.names().is_empty() && dice.percent(5) {
            adds("0ms=names-are-addresses".to_owned());
        }
        if !world.names().is_empty() && !clients_write && dice.percent(20) {
            adds(format!("{}=tablet-address-taken", troubles::when(dice, tablet)));
        }
    }
}
