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
    /// A tablet dies, and nothing is left of its disk.
    DiskLost(Endpoint),
    /// All nameservers are started.
    StartNameservers,
    /// A nameserver dies.
    NameserverDies(Endpoint),
    /// A tablet stands still, or goes on.
    Freeze(Endpoint, bool),
    /// ZooKeeper goes, or comes back.
    ZooKeeper { is_away: bool },
    /// Calls go astray from now on, as those faults have it; none: they do not any more.
    Weather(Vec<String>),
    /// Somebody switches auto_failover.
    Failover(bool),
    /// The guard is killed, whatever it is at, and so is whatever people run.
    GuardIsKilled,
    /// Somebody pauses guards, for so many milliseconds.
    Pause(u64),
    /// Somebody types `recover --all`.
    SomebodyRecovers,
    /// Somebody upgrades a tablet.
    Upgrade(Endpoint),
}

impl Deed {
    /// It happens to the cluster.
    pub fn befalls(&self, world: &mut World) {
        match self {
            Self::Everything => world.kill_everything(),
            Self::Die(tablets) => tablets.iter().for_each(|tablet| world.kill_tablet(tablet)),
            Self::Start(tablets) => world.start_tablets(tablets),
            Self::DiskLost(tablet) => {
                world.kill_tablet(tablet);
                let ids: Vec<_> = world.metadata().into_keys().collect();
                for id in ids {
                    world.tablets_mut().lose_directory(tablet.as_str(), id.tid.0, id.pid.0);
                }
            }
            Self::StartNameservers => {
                world.nameserver_endpoints().to_vec().iter().for_each(|endpoint| world.start_nameserver(endpoint));
            }
            Self::NameserverDies(endpoint) => world.kill_nameserver(endpoint),
            Self::Freeze(tablet, frozen) => world.freeze_tablet(tablet, *frozen),
            Self::Weather(faults) => {
                let faults = faults.iter().map(|fault| fault.parse().unwrap()).collect();
                world.set_faults(faults, world.now());
            }
            Self::Failover(on) => {
                if world.leader().is_some() {
                    typed::set_auto_failover(world, *on);
                }
            }
            Self::ZooKeeper { .. }
            | Self::GuardIsKilled
            | Self::Pause(_)
            | Self::SomebodyRecovers
            | Self::Upgrade(_) => {}
        }
    }

    fn is_for_people(&self) -> bool {
        matches!(self, Self::SomebodyRecovers | Self::Upgrade(_))
    }
}

/// No nameserver leads where ZooKeeper is away; tablets go on, and register anew if their sessions have ended.
pub fn without_zookeeper(world: &mut World, is_away: bool, expired: bool) {
    if is_away {
        world.nameserver_endpoints().to_vec().iter().for_each(|endpoint| world.kill_nameserver(endpoint));
        return;
    }
    Deed::StartNameservers.befalls(world);
    if expired {
        world.tablet_endpoints().to_vec().iter().for_each(|endpoint| world.expire_session(endpoint));
    }
}

/// All that happens, in order.
#[derive(Debug)]
pub struct Script {
    /// When the last thing happens.
    pub ended: u64,
    deeds: Vec<(u64, Deed)>,
    done: usize,
    last_at: u64,
    for_people: Vec<(u64, Deed)>,
    pauses: Vec<(u64, u64)>,
    /// Since when auto_failover is off by somebody's hand.
    off_since: Option<u64>,
    weather: Vec<String>,
}

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

impl Script {
    /// A life of that length, in which in the end everything is started again.
    pub fn new(dice: &mut Dice, world: &World, long: u64) -> Self {
        let (began, tablets) = (world.now(), world.tablet_endpoints().to_vec());
        let nameservers = world.nameserver_endpoints().to_vec();
        let (mut deeds, mut at) = (Vec::new(), began + dice.between(MINUTE, 30 * MINUTE));
        while at < began + long {
            something(dice, at, (&tablets, &nameservers), &mut deeds);
            at +=
                if dice.percent(15) { dice.between(4 * HOUR, 16 * HOUR) } else { dice.between(15 * MINUTE, 4 * HOUR) };
        }
        let last = began + long;
        deeds.retain(|(at, _)| *at < last);
        deeds.push((last, Deed::Weather(Vec::new())));
        deeds.push((last, Deed::ZooKeeper { is_away: false }));
        for tablet in &tablets {
            deeds.push((last, Deed::Freeze(tablet.clone(), false)));
        }
        deeds.extend([
            (last, Deed::StartNameservers),
            (last, Deed::Start(tablets)),
            (last + MINUTE, Deed::Failover(true)),
        ]);
        deeds.sort_by_key(|(at, _)| *at);
        let (for_people, deeds) = deeds.into_iter().partition(|(_, deed)| deed.is_for_people());
        let (ended, last_at) = (last + MINUTE, began);
        let (pauses, weather) = (Vec::new(), Vec::new());
        Self { ended, deeds, done: 0, last_at, for_people, pauses, off_since: None, weather }
    }

    /// What is next.
    pub fn next(&self) -> Option<(u64, Deed)> {
        self.deeds.get(self.done).cloned()
    }

    /// What somebody does by now.
    pub fn next_for_people(&mut self, now: u64) -> Option<Deed> {
        let is_due = self.for_people.first().is_some_and(|(at, _)| *at <= now);
        is_due.then(|| {
            let (at, deed) = self.for_people.remove(0);
            self.last_at = self.last_at.max(at);
            deed
        })
    }

    /// Whether something has happened in the two hours before.
    pub fn is_restless(&self, now: u64) -> bool {
        now < self.last_at + 2 * HOUR || !self.weather.is_empty()
    }

    /// Whether something may come of what has just happened.
    pub fn is_soon_after(&self, now: u64) -> bool {
        now < self.last_at + 2 * MINUTE
    }

    /// It has happened. `was_on`: auto_failover before it, where somebody led. What is off already nobody sees being switched off.
    pub fn is_done(&mut self, was_on: Option<bool>) {
        let Some((at, deed)) = self.deeds.get(self.done) else { return };
        self.last_at = self.last_at.max(*at);
        match deed {
            Deed::Weather(faults) => self.weather.clone_from(faults),
            Deed::Failover(false) if was_on == Some(true) => self.off_since = Some(*at),
            // Where nobody leads there is nobody to tell.
            Deed::Failover(true) if was_on.is_some() => self.off_since = None,
            _ => {}
        }
        self.done += 1;
    }

    /// It happens a minute later.
    pub fn postpones(&mut self, deed: Deed) {
        let at = self.last_at + MINUTE;
        let place = self.done + self.deeds[self.done..].partition_point(|(other, _)| *other <= at);
        self.deeds.insert(place, (at, deed));
    }

    /// The weather is the same for the next process.
    pub fn brings_weather(&self, world: &mut World) {
        Deed::Weather(self.weather.clone()).befalls(world);
    }

    /// Somebody has paused guards.
    pub fn pause(&mut self, since: u64, until: u64) {
        self.pauses.push((since, until));
        self.last_at = self.last_at.max(until);
    }

    /// Since when guards are paused.
    pub fn paused_since(&self, now: u64) -> Option<u64> {
        self.pauses.iter().find(|(since, until)| (*since..*until).contains(&now)).map(|(since, _)| *since)
    }

    /// Since when auto_failover is off by somebody's hand.
    pub fn off_since(&self) -> Option<u64> {
        self.off_since
    }
}

fn something(
    dice: &mut Dice,
    at: u64,
    (tablets, nameservers): (&[Endpoint], &[Endpoint]),
    deeds: &mut Vec<(u64, Deed)>,
) {
    let one = dice.pick(tablets).unwrap().clone();
    match dice.between(0, 17) {
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
        11 | 12 => {
            deeds.push((at, Deed::Upgrade(one)));
            if dice.percent(25) {
                let later = at + dice.between(SECOND, 20 * MINUTE);
                power(dice, later, tablets, deeds);
            }
        }
        13 => {
            deeds.push((at, Deed::DiskLost(one.clone())));
            if dice.percent(30) {
                power(dice, at + MINUTE, tablets, deeds);
            }
            deeds.push((at + dice.between(SECOND, 60 * MINUTE), Deed::Start(vec![one])));
        }
        14 => zookeeper(dice, at, tablets, deeds),
        15 => crashes(dice, at, &one, deeds),
        16 => weather(dice, at, tablets, deeds),
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
    if dice.percent(8) {
        let one = dice.pick(tablets).unwrap().clone();
        deeds.push((back.saturating_sub(500), Deed::DiskLost(one.clone())));
    }
    if dice.percent(10) {
        let gone = soon(dice);
        deeds.push((gone, Deed::ZooKeeper { is_away: true }));
        deeds.push((gone + dice.between(SECOND, 3 * MINUTE), Deed::ZooKeeper { is_away: false }));
    }
}

/// ZooKeeper is away for a while; power may go, too.
fn zookeeper(dice: &mut Dice, at: u64, tablets: &[Endpoint], deeds: &mut Vec<(u64, Deed)>) {
    deeds.push((at, Deed::ZooKeeper { is_away: true }));
    let back =
        at + if dice.percent(30) { dice.between(SECOND, 9 * SECOND) } else { dice.between(10 * SECOND, 10 * MINUTE) };
    deeds.push((back, Deed::ZooKeeper { is_away: false }));
    if dice.percent(50) {
        let later = at + dice.between(0, 5 * MINUTE);
        power(dice, later, tablets, deeds);
    }
}

/// A tablet that crashes again and again, a minute or two after each start.
fn crashes(dice: &mut Dice, at: u64, one: &Endpoint, deeds: &mut Vec<(u64, Deed)>) {
    let mut at = at;
    for _ in 0..dice.between(2, 12) {
        deeds.push((at, Deed::Die(vec![one.clone()])));
        at += dice.between(15 * SECOND, MINUTE);
        deeds.push((at, Deed::Start(vec![one.clone()])));
        at += dice.between(10 * SECOND, 2 * MINUTE);
    }
}

/// For an hour or some, answers are lost, late, or make no sense, and operations fail; power goes meanwhile.
fn weather(dice: &mut Dice, at: u64, tablets: &[Endpoint], deeds: &mut Vec<(u64, Deed)>) {
    let mut faults = vec![format!("*:{}%=slow-{}ms", dice.between(1, 100), dice.between(1, 200))];
    for way in ["refused", "reset-after", "reset-before", "garbage", "times-out"] {
        if dice.percent(60) {
            faults.push(format!("*:{}.{}%={way}", dice.between(0, 3), dice.between(0, 9)));
        }
    }
    if dice.percent(30) {
        faults.push(format!("*:0.{}%=late-{}ms", dice.between(0, 9), dice.between(0, 15_000)));
    }
    if dice.percent(30) {
        faults.push(format!("RecoverTable:{}%=op-fails", dice.between(1, 20)));
    }
    deeds.push((at, Deed::Weather(faults)));
    deeds.push((at + dice.between(10 * MINUTE, 3 * HOUR), Deed::Weather(Vec::new())));
    let later = at + dice.between(0, 20 * MINUTE);
    power(dice, later, tablets, deeds);
}
