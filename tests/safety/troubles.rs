//! What goes wrong during a run, by chance.

use std::time::Duration;

use openmldb_ops::model::Endpoint;
use openmldb_ops::sandbox::World;
use openmldb_ops::sandbox::fault::Fault;

use super::choices::Choices;
use super::dice::Dice;

/// How a run is disturbed.
#[derive(Debug, Clone, Default)]
pub struct Troubles {
    pub faults: Vec<Fault>,
    /// The process is killed then.
    pub killed_after: Option<Duration>,
    /// The process gets a signal then.
    pub signal_after: Option<Duration>,
    /// How long the run stays open for tablets that are away; none: as the playbook has it.
    pub waits: Option<Duration>,
}

impl Troubles {
    /// The way to the servers, the servers, other operators, the lock.
    pub fn of(choices: &Choices, world: &World, missing: &[Endpoint]) -> Self {
        let mut troubles = Self::default();
        if let Some(mut dice) = choices.perhaps(50, "slow") {
            troubles.adds(format!("*:{}%=slow-{}ms", dice.between(1, 100), dice.between(1, 60)));
        }
        if let Some(mut dice) = choices.perhaps(30, "weather") {
            let most = dice.between(1, 60);
            for way in ["refused", "reset-after", "reset-before", "garbage"] {
                troubles.adds(format!("*:{}%={way}", tenths(dice.between(0, most))));
            }
            let late = dice.between(0, 15_000);
            troubles.adds(format!("*:{}%=late-{late}ms", tenths(dice.between(0, most / 4))));
        }
        let servers = if choices.perhaps(40, "servers").is_some() { choices.dice("how many").between(1, 3) } else { 0 };
        for (_, mut dice) in choices.several(servers, "server") {
            troubles.adds(of_a_server(&mut dice, world, missing));
        }
        troubles.of_slow_servers(choices, world, missing);
        if let Some(mut dice) = choices.perhaps(12, "work") {
            let work = [
                "RecoverTable:N=op-fails",
                "RecoverTable:N=op-sticks",
                "RecoverTable:N=op-not-created",
                "ChangeLeader:1=op-fails",
                "ChangeLeader:1=op-sticks",
                "ChangeLeader:1=op-not-created",
                "LoadTable:N=load-sticks",
            ];
            let one = dice.pick(&work).unwrap().replace('N', &dice.between(1, 4).to_string());
            troubles.adds(one);
        }
        if let Some(mut dice) = choices.perhaps(10, "slow-load") {
            troubles.adds(format!("LoadTable:{}=load-lasts-{}s", dice.between(1, 6), dice.between(1, 400)));
        }
        if let Some(mut dice) = choices.perhaps(10, "long-away") {
            let there = there(world, missing);
            let tablet = dice.pick(&there).copied().unwrap_or(1);
            let (at, long) = (dice.between(0, 20_000), dice.between(20, 250));
            troubles.adds(format!("{at}ms@tablet{tablet}=tablet-restarts-{long}s"));
        }
        if let Some(mut dice) = choices.perhaps(40, "waits") {
            let seconds = *dice.pick(&[0, 0, 5, 30, 120]).unwrap();
            troubles.waits = Some(Duration::from_secs(seconds));
        }
        if let Some(mut dice) = choices.perhaps(6, "operator") {
            let deeds = ["failover-on", "marks-alive", "recovertable", "changeleader", "drops-table"];
            let deed = *dice.pick(&deeds).unwrap();
            troubles.adds(format!("mutation:{}=operator-{deed}", dice.between(1, 30)));
        }
        if let Some(mut dice) = choices.perhaps(4, "second-recovery") {
            troubles.adds(match dice.percent(50) {
                true => format!("mutation:{}=operator-recoverdata", dice.between(1, 30)),
                false => format!("{}ms=operator-recoverdata", dice.between(0, 3_000)),
            });
        }
        if let Some(mut dice) = choices.perhaps(8, "lock") {
            let what = if dice.percent(50) { "lock-lost" } else { "lock-shaky" };
            troubles.adds(format!("mutation:{}={what}", dice.between(1, 30)));
        }
        if let Some(mut dice) = choices.perhaps(8, "clients") {
            troubles.adds(format!("mutation:{}=clients-write", dice.between(1, 30)));
        }
        troubles
    }

    /// Servers that are slow and not gone, nameservers that stand still, and names that stand for no address or for another's.
    fn of_slow_servers(&mut self, choices: &Choices, world: &World, missing: &[Endpoint]) {
        let there = there(world, missing);
        let tablet = |dice: &mut Dice| dice.pick(&there).copied().unwrap_or(1) as u64;
        if let Some(mut dice) = choices.perhaps(8, "hangs") {
            let tablet = tablet(&mut dice);
            let most = if dice.percent(50) { 10_000 } else { 150_000 };
            self.adds(format!("{}=tablet-hangs-{}ms", when(&mut dice, tablet), dice.between(100, most)));
        }
        if let Some(mut dice) = choices.perhaps(8, "slow-tablet") {
            let (at, by) = (dice.between(0, 20_000), dice.between(10, 3_000));
            self.adds(format!("{at}ms@tablet{}=tablet-slows-{by}ms", tablet(&mut dice)));
        }
        for which in ["nameserver", "standby"] {
            if let Some(mut dice) = choices.perhaps(8, &format!("{which}-freezes")) {
                self.adds(format!("{}={which}-freezes-{}ms", when(&mut dice, 0), dice.between(100, 20_000)));
            }
        }
        if !world.names().is_empty()
            && let Some(mut dice) = choices.perhaps(25, "address-taken")
        {
            let tablet = tablet(&mut dice);
            self.adds(format!("{}=tablet-address-taken", when(&mut dice, tablet)));
        }
        if world.names().is_empty() && choices.perhaps(5, "names-are-addresses").is_some() {
            self.adds("0ms=names-are-addresses");
        }
    }

    /// The run does not get to its end.
    pub fn cut_off(mut self, choices: &Choices) -> Self {
        let Some(mut dice) = choices.perhaps(100, "cut-off") else { return self };
        let after = Duration::from_millis(match dice.between(0, 2) {
            0 => dice.between(0, 500),
            1 => dice.between(0, 5_000),
            _ => dice.between(0, 60_000),
        });
        match dice.between(0, 9) {
            0..=2 => self.killed_after = Some(after),
            3 | 4 => self.adds(format!("mutation:{}=tool-killed-before", dice.between(1, 40))),
            5 | 6 => self.adds(format!("mutation:{}=tool-killed-after", dice.between(1, 40))),
            _ => self.signal_after = Some(after),
        }
        self
    }

    /// Whether anything goes wrong with servers or on the way to them.
    pub fn disturb(&self) -> bool {
        !self.faults.is_empty()
    }

    /// One more.
    pub fn adds(&mut self, fault: impl AsRef<str>) {
        self.faults.push(fault.as_ref().parse().unwrap());
    }
}

/// The tablets that are there, or will be, by their places.
fn there(world: &World, missing: &[Endpoint]) -> Vec<usize> {
    let there = world.tablet_endpoints().iter().enumerate().filter(|(_, tablet)| !missing.contains(tablet));
    there.map(|(place, _)| place + 1).collect()
}

fn of_a_server(dice: &mut Dice, world: &World, missing: &[Endpoint]) -> String {
    let most = if dice.percent(50) { 3_000 } else { 60_000 };
    let at = dice.between(0, most);
    let there = there(world, missing);
    let tablet = dice.pick(&there).copied().unwrap_or(1);
    let long = dice.between(100, 20_000);
    match dice.between(0, 9) {
        0..=3 => format!("{at}ms@tablet{tablet}=tablet-restarts-{long}ms"),
        4 => format!("{at}ms@tablet{tablet}=tablet-keeps-restarting"),
        5 | 6 => format!("{at}ms@tablet{tablet}=tablet-freezes-{long}ms"),
        7 => format!("{at}ms@tablet{tablet}=tablet-session-expires"),
        _ => format!("{at}ms=nameserver-restarts-{long}ms"),
    }
}

/// At some time, or as something is about to be changed: at a tablet, by its number, or anywhere.
pub fn when(dice: &mut Dice, tablet: u64) -> String {
    let place = if tablet > 0 { format!("@tablet{tablet}") } else { String::new() };
    match dice.percent(50) {
        true => format!("{}ms{place}", dice.between(0, 20_000)),
        false => format!("mutation{place}:{}", dice.between(1, 20)),
    }
}

fn tenths(per_mille: u64) -> String {
    format!("{}.{}", per_mille / 10, per_mille % 10)
}
