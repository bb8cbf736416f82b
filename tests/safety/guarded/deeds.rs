//! What happens to a guarded cluster, and when.

use openmldb_ops::model::Endpoint;
use openmldb_ops::sandbox::World;

use crate::dice::Dice;
use crate::typed;

/// Something that happens.
#[derive(Debug, Clone)]
pub enum Deed {
    /// Power goes, everywhere.
    Everything,
    /// These tablets die.
    Die(Vec<Endpoint>),
    /// These tablets are started.
    Start(Vec<Endpoint>),
    /// All nameservers are started.
    StartNameservers,
    /// A nameserver dies.
    NameserverDies(Endpoint),
    /// A tablet stands still, or goes on.
    Freeze(Endpoint, bool),
    /// Somebody switches auto_failover.
    Failover(bool),
    /// The guard is killed, whatever it is at.
    GuardIsKilled,
    /// Somebody pauses guards, for so many milliseconds.
    Pause(u64),
    /// Somebody types `recover --all`.
    SomebodyRecovers,
}

impl Deed {
    /// It happens to the cluster.
    pub fn befalls(&self, world: &mut World) {
        match self {
            Self::Everything => world.kill_everything(),
            Self::Die(tablets) => tablets.iter().for_each(|tablet| world.kill_tablet(tablet)),
            Self::Start(tablets) => world.start_tablets(tablets),
            Self::StartNameservers => {
                world.nameserver_endpoints().to_vec().iter().for_each(|endpoint| world.start_nameserver(endpoint));
            }
            Self::NameserverDies(endpoint) => world.kill_nameserver(endpoint),
            Self::Freeze(tablet, frozen) => world.freeze_tablet(tablet, *frozen),
            Self::Failover(on) => {
                if world.leader().is_some() {
                    typed::set_auto_failover(world, *on);
                }
            }
            Self::GuardIsKilled | Self::Pause(_) | Self::SomebodyRecovers => {}
        }
    }
}

/// All that happens, in order.
#[derive(Debug)]
pub struct Script {
    pub began: u64,
    deeds: Vec<(u64, Deed)>,
    done: usize,
    pauses: Vec<(u64, u64)>,
}

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;

impl Script {
    /// A life of that length, in which in the end everything is started again.
    pub fn new(dice: &mut Dice, world: &World, long: u64) -> Self {
        let (began, tablets) = (world.now(), world.tablet_endpoints().to_vec());
        let nameservers = world.nameserver_endpoints().to_vec();
        let (mut deeds, mut at) = (Vec::new(), began + dice.between(MINUTE, 30 * MINUTE));
        while at < began + long {
            something(dice, at, (&tablets, &nameservers), &mut deeds);
            at += dice.between(20 * MINUTE, 240 * MINUTE);
        }
        let last = began + long;
        deeds.retain(|(at, _)| *at < last);
        for tablet in &tablets {
            deeds.push((last, Deed::Freeze(tablet.clone(), false)));
        }
        deeds.extend([
            (last, Deed::StartNameservers),
            (last, Deed::Start(tablets)),
            (last + MINUTE, Deed::Failover(true)),
        ]);
        deeds.sort_by_key(|(at, _)| *at);
        Self { began, deeds, done: 0, pauses: Vec::new() }
    }

    /// What is next.
    pub fn next(&self) -> Option<(u64, Deed)> {
        self.deeds.get(self.done).cloned()
    }

    /// It has happened.
    pub fn is_done(&mut self) {
        self.done += 1;
    }

    /// Somebody has paused guards.
    pub fn pause(&mut self, since: u64, until: u64) {
        self.pauses.push((since, until));
    }

    /// Since when guards are paused.
    pub fn paused_since(&self, now: u64) -> Option<u64> {
        self.pauses.iter().find(|(since, until)| (*since..*until).contains(&now)).map(|(since, _)| *since)
    }
}

fn something(
    dice: &mut Dice,
    at: u64,
    (tablets, nameservers): (&[Endpoint], &[Endpoint]),
    deeds: &mut Vec<(u64, Deed)>,
) {
    let one = dice.pick(tablets).unwrap().clone();
    match dice.between(0, 11) {
        0..=3 => power(dice, at, tablets, deeds),
        4 | 5 => {
            deeds.push((at, Deed::Die(vec![one.clone()])));
            deeds.push((at + dice.between(SECOND, 90 * MINUTE), Deed::Start(vec![one])));
        }
        6 => {
            let dead: Vec<Endpoint> = tablets.iter().filter(|_| dice.percent(60)).cloned().collect();
            deeds.push((at, Deed::Die(dead.clone())));
            for tablet in dead {
                deeds.push((at + dice.between(SECOND, 20 * MINUTE), Deed::Start(vec![tablet])));
            }
        }
        7 => {
            let nameserver = dice.pick(nameservers).unwrap().clone();
            deeds.push((at, Deed::NameserverDies(nameserver)));
            deeds.push((at + dice.between(SECOND, 30 * MINUTE), Deed::StartNameservers));
        }
        8 => {
            deeds.push((at, Deed::Freeze(one.clone(), true)));
            deeds.push((at + dice.between(SECOND, 5 * MINUTE), Deed::Freeze(one, false)));
        }
        9 => {
            deeds.push((at, Deed::Pause(dice.between(10 * MINUTE, 180 * MINUTE))));
            let later = at + dice.between(0, 10 * MINUTE);
            power(dice, later, tablets, deeds);
        }
        10 => {
            deeds.push((at, Deed::Failover(false)));
            if dice.percent(50) {
                power(dice, at + MINUTE, tablets, deeds);
            }
            deeds.push((at + dice.between(10 * MINUTE, 60 * MINUTE), Deed::Failover(true)));
        }
        _ => deeds.push((at, Deed::GuardIsKilled)),
    }
}

/// Power goes and comes back; everybody boots at his own pace. Somebody, or something, may come in between.
fn power(dice: &mut Dice, at: u64, tablets: &[Endpoint], deeds: &mut Vec<(u64, Deed)>) {
    deeds.push((at, Deed::Everything));
    let back = at + dice.between(SECOND, 10 * MINUTE);
    deeds.push((back + dice.between(0, MINUTE), Deed::StartNameservers));
    for tablet in tablets {
        let late = if dice.percent(10) { dice.between(0, 40 * MINUTE) } else { dice.between(0, 90 * SECOND) };
        deeds.push((back + late, Deed::Start(vec![tablet.clone()])));
    }
    let soon = |dice: &mut Dice| back + dice.between(20 * SECOND, 4 * MINUTE);
    if dice.percent(30) {
        deeds.push((soon(dice), Deed::GuardIsKilled));
    }
    if dice.percent(20) {
        deeds.push((soon(dice), Deed::SomebodyRecovers));
    }
    if dice.percent(15) {
        deeds.push((soon(dice), Deed::Pause(dice.between(5 * MINUTE, 60 * MINUTE))));
    }
    if dice.percent(15) {
        let one = dice.pick(tablets).unwrap().clone();
        let dies = soon(dice);
        deeds.push((dies, Deed::Die(vec![one.clone()])));
        deeds.push((dies + dice.between(SECOND, 5 * MINUTE), Deed::Start(vec![one])));
    }
}
