//! Scaling, upgrading and handing over in clusters that are well, while clients write: disturbed, killed and typed again, until
//! everything is where it is to be. No acknowledged row is lost, and auto_failover is what it was.
//!
//! `OPENMLDB_OPS_WORLDS=N` and `OPENMLDB_OPS_SEED=S` are as for the other hunt.

mod repairs;
mod trouble;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use openmldb_ops::cluster::{Cluster, Hold, Options};
use openmldb_ops::model::{Endpoint, Pid, TableName};
use openmldb_ops::operate::{Job, JobError, JobReport, StateDir, Undertaking};
use openmldb_ops::run::Stop;
use openmldb_ops::sandbox::fault::FaultKind;
use openmldb_ops::sandbox::scenario::{Generated, Scenario, Shape};
use openmldb_ops::sandbox::world::Settings;
use openmldb_ops::sandbox::{Addresses, Live, World, in_virtual_time};
use openmldb_ops::wire::api::{GetTableStatusRequest, TableMode};
use openmldb_ops::wire::call::{TabletAnswer, TabletCall};
use tokio::sync::watch;

use super::calm::{auto_failover, await_nameserver, calm_down};
use super::choices::Choices;
use super::dice::Dice;
use super::eyes::Eyes;
use super::judge::Judge;
use super::papers::Papers;
use super::run::{Host, Run, tool_trouble, work_session};

pub use trouble::Trouble;

/// Worlds of a usual test run.
const WORLDS: u64 = 400;
/// No undertaking takes longer, in virtual time.
const FOREVER: Duration = Duration::from_secs(6 * 60 * 60);
/// Times an undertaking is typed again when nothing disturbs it any more.
const TIMES: u64 = 4;
/// How long a partition may be without a leader.
pub const LIMIT: Duration = Duration::from_secs(5);
/// Answers that get lost, and calls that take their time, on the way back.
const SLACK: Duration = Duration::from_secs(1);

pub struct Hunted {
    dice: Dice,
    pub world: World,
    host: Host,
    papers: Papers,
    judge: Arc<Mutex<Judge>>,
    pub told: Vec<String>,
    runs: u64,
    clients_write: bool,
    /// What does not come back.
    gone: Vec<Endpoint>,
    pub hearer: Hearer,
    pub eyes: Eyes,
    pub limit: Duration,
}

/// What whoever hears of the steps does about them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Hearer {
    Listens,
    Panics,
    /// When a step of this kind is sent.
    PanicsAt(&'static str),
    /// Interrupts it when a step of this kind is sent.
    InterruptsAt(&'static str),
}

/// And whether clients write to it.
fn world(dice: &mut Dice, named: bool, aggregated: bool) -> (World, bool) {
    let tablets = dice.between(2, 6);
    let shape = Shape {
        tablets: usize::try_from(tablets).unwrap(),
        generated: Some(Generated {
            tables: usize::try_from(dice.between(1, 3)).unwrap(),
            partitions: usize::try_from(dice.between(1, 4)).unwrap(),
            replicas: usize::try_from(dice.between(1, tablets.min(3))).unwrap(),
            rows: dice.between(1, 60),
        }),
        seed: dice.roll(),
    };
    let joining = usize::try_from(dice.between(0, 2)).unwrap();
    let addresses = Addresses::recorded(2, shape.tablets + joining);
    let scenario = match (dice.percent(20), named) {
        (true, _) => Scenario::DiskTables,
        (false, true) => Scenario::ServerNames,
        (false, false) if aggregated => Scenario::PreAggregate,
        (false, false) => Scenario::Healthy,
    };
    let mut world = scenario.bring_about(&shape, &addresses).unwrap();
    if scenario != Scenario::Healthy {
        let (recovered, _) = Run::calm("recover", &Host::new(true), 1).on(world, &Arc::default());
        world = recovered;
    }
    let clients_write = dice.percent(70);
    if clients_write {
        world.start_writers(dice.between(3, 60), dice.roll());
    }
    world.advance_by(dice.between(0, 5_000));
    (world, clients_write)
}

/// One that makes sense in that world.
fn undertaking(dice: &mut Dice, world: &World) -> Undertaking {
    let tablets = world.tablet_endpoints().to_vec();
    let one = dice.pick(&tablets).cloned().unwrap();
    match dice.between(0, 3) {
        0 => Undertaking::ScaleOut { leaders: dice.percent(70) },
        1 => {
            let endpoints = tablets.iter().filter(|_| dice.percent(30)).cloned().collect::<Vec<_>>();
            Undertaking::ScaleIn { endpoints: if endpoints.is_empty() { vec![one] } else { endpoints } }
        }
        2 => Undertaking::UpgradePre { endpoint: one, allow_unavailable: dice.percent(20) },
        _ => {
            let tables = world.tables();
            let user: Vec<_> = tables.iter().filter(|table| table.db() == "shop").collect();
            let table = dice.pick(&user).copied().unwrap();
            let metas = dice.pick(&table.table_partition).unwrap();
            let to: Endpoint = dice.pick(&metas.partition_meta).unwrap().endpoint.as_str().into();
            let name = TableName { db: table.db().to_owned(), table: table.name().to_owned() };
            Undertaking::Handover { table: name, pids: vec![Pid(metas.pid)], to }
        }
    }
}

impl Hunted {
    pub fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let choices = Choices::new(seed, &BTreeSet::new());
        let [named, aggregated] =
            [(10, "names"), (15, "aggregates")].map(|(of, what)| choices.perhaps(of, what).is_some());
        let (world, clients_write) = world(&mut dice.fork(), named, aggregated);
        let host = Host::new(dice.percent(70));
        Self {
            dice,
            world,
            host,
            papers: Papers::new(),
            judge: Arc::default(),
            told: Vec::new(),
            runs: 0,
            clients_write,
            gone: Vec::new(),
            hearer: Hearer::Listens,
            eyes: Eyes::default(),
            limit: LIMIT,
        }
    }

    /// None if it was killed.
    pub fn run_job(&mut self, undertaking: &Undertaking, trouble: Trouble) -> Option<Result<JobReport, JobError>> {
        self.runs += 1;
        self.told.push(format!("{undertaking} with {trouble:?}"));
        let empty = World::new(Settings::default(), &Addresses::recorded(1, 1));
        let mut world = std::mem::replace(&mut self.world, empty);
        world.set_faults(trouble.faults.clone(), self.runs);
        let (host, told, hearer) = (self.host.clone(), Arc::new(Mutex::new(Vec::new())), self.hearer);
        let (state_dir, heard, eyes) = (StateDir::new(&self.papers.0, "in memory"), told.clone(), self.eyes.clone());
        let limit = self.limit;
        let spans = world.leaderless().len();
        let (world, done) = in_virtual_time(world, async |live: &Arc<Live>| {
            let (stop, stopped) = watch::channel(Stop::No);
            let (signal_after, stop) = (trouble.signal_after, Arc::new(stop));
            let signal = stop.clone();
            tokio::spawn(async move {
                tokio::time::sleep(signal_after.unwrap_or(FOREVER)).await;
                signal.send_replace(Stop::Signal(15));
            });
            host.lock.becomes(Hold::Held);
            let session = work_session(&host.archive, host.lock.clone(), stopped, live.now());
            let job = Job {
                undertaking: undertaking.clone(),
                session,
                room: openmldb_ops::run::Room::default(),
                state_dir: state_dir.clone(),
                step_timeout: Duration::from_secs(600),
                leaderless_limit: limit,
                told: Arc::new(move |moved| {
                    assert_ne!(hearer, Hearer::Panics, "a fault of our own");
                    assert_ne!(hearer, Hearer::PanicsAt(moved.step), "a fault of our own");
                    if hearer == Hearer::InterruptsAt(moved.step) {
                        stop.send_replace(Stop::Signal(15));
                    }
                    heard.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{moved:?}"));
                }),
            };
            let cluster = Cluster::new(Arc::new(eyes.on(live)), Options::default());
            tokio::select! {
                done = job.perform(&cluster) => Some(done),
                () = tool_trouble(live, &host.lock) => None,
                () = tokio::time::sleep(trouble.killed_after.unwrap_or(FOREVER)) => {
                    let told = told.lock().unwrap_or_else(PoisonError::into_inner);
                    let last: Vec<&String> = told.iter().rev().take(5).rev().collect();
                    assert!(trouble.killed_after.is_some(), "it does not end; last: {last:#?}");
                    None
                }
            }
        })
        .unwrap();
        self.world = world;
        self.somebody_leads_in_time(spans, done.is_none());
        self.told.append(&mut told.lock().unwrap_or_else(PoisonError::into_inner));
        self.told.push(match &done {
            None => "killed".to_owned(),
            Some(Err(error)) => format!("error: {error}"),
            Some(Ok(report)) => {
                format!("left {:?}, stopped {:?}, {:?}", report.left, report.stopped, report.arrangement)
            }
        });
        done
    }

    /// What a person would do: type it again, and recover what it points at.
    fn until_it_is_done(&mut self, undertaking: &Undertaking) {
        for _ in 0..TIMES {
            match self.run_job(undertaking, Trouble::default()).expect("nothing kills it") {
                Ok(report) if report.left.is_empty() => return,
                // Written to faster than replication takes, a leader never finds the moment: it says so, and clients pause.
                Ok(report) if report.left.iter().any(|(_, why)| why.hint.contains("let them pause")) => {
                    self.world.stop_writers();
                }
                Ok(_) => {}
                Err(JobError::Refused(refusal)) => panic!("refused on the way: {refusal}"),
                Err(error) => panic!("{error}"),
            }
            let empty = World::new(Settings::default(), &Addresses::recorded(1, 1));
            let world = std::mem::replace(&mut self.world, empty);
            let run = Run { number: 1_000 + self.runs, ..Run::calm("recover", &self.host, 1) };
            let (world, ran) = run.on(world, &self.judge);
            self.told.push(format!(
                "recovered: {}",
                ran.recovered().map_or("no".to_owned(), |ran| format!("{:?}", ran.summary))
            ));
            self.world = world;
            self.world.advance_by(5_000);
        }
        panic!("typed {TIMES} times, it is not done");
    }

    /// A partition is without a leader because of us for the limit at most, however slow whoever else is: only where nobody but a
    /// server that does not answer could help it takes longer. A run that is killed leaves it as it is.
    fn somebody_leads_in_time(&self, spans: usize, killed: bool) {
        let (now, longest) = (self.world.now(), (LIMIT + SLACK).as_millis() as u64);
        for span in &self.world.leaderless()[spans..] {
            assert!(killed || span.until.is_some() || span.beyond_help > 0, "nobody leads: {span:?}");
            assert!(killed && span.until.is_none() || span.avoidable(now) <= longest, "too long: {span:?}");
        }
    }

    fn trouble(&mut self) -> Trouble {
        // Whoever dies beside one that is gone takes what nobody else has.
        let spares = self.clients_write || !self.gone.is_empty();
        Trouble::by_chance(&mut self.dice.fork(), &self.world, spares)
    }

    fn undertaking(&mut self) -> Undertaking {
        match self.dice.between(0, 5) {
            0 => self.is_miscounted(),
            1 => match self.loses_a_tablet() {
                Some(replace) => replace,
                None => self.is_miscounted(),
            },
            _ => undertaking(&mut self.dice.fork(), &self.world),
        }
    }

    fn live(&mut self) {
        let before = auto_failover(&mut self.world);
        assert_eq!(before, Some(true));
        let undertaking = self.undertaking();
        let fails = if self.dice.percent(30) { 4 } else { 22 };
        self.world.nameserver_settings_mut().op_fails_for_no_reason = std::num::NonZeroU32::new(fails);
        for _ in 0..self.dice.between(0, 2) {
            let trouble = self.trouble();
            let is_served = !trouble.faults.iter().any(|fault| matches!(fault.kind, FaultKind::Server(_)));
            match self.run_job(&undertaking, trouble) {
                // There are worlds that have no room for it; then nothing is changed.
                Some(Err(JobError::Refused(refusal))) => {
                    assert!(self.runs == 1 || !refusal.text.is_empty());
                    return self.is_left_as_it_is(before);
                }
                Some(Ok(report)) => {
                    assert_eq!(report.panicked, None);
                    if is_served && matches!(report.stopped, None | Some(Stop::Signal(_))) {
                        self.nobody_stands_by();
                    }
                }
                Some(Err(_)) | None => {}
            }
            calm_down(&mut self.world, &self.gone);
            await_nameserver(&mut self.world);
            self.world.advance_by(self.dice.between(0, 20_000));
        }
        self.world.nameserver_settings_mut().op_fails_for_no_reason = None;
        if let Some(Err(JobError::Refused(_))) = self.run_job(&undertaking, Trouble::default()) {
            return self.is_left_as_it_is(before);
        }
        self.until_it_is_done(&undertaking);
        self.is_there(&undertaking);
        if let Undertaking::UpgradePre { endpoint, .. } = &undertaking {
            let post = Undertaking::UpgradePost { endpoint: endpoint.clone(), gone: false };
            for _ in 0..self.dice.between(0, 1) {
                let trouble = self.trouble();
                drop(self.run_job(&post, trouble));
                calm_down(&mut self.world, &[]);
            }
            if !matches!(self.run_job(&post, Trouble::default()), Some(Err(JobError::Refused(_)))) {
                self.run_job(&undertaking, Trouble::default());
                self.until_it_is_done(&post);
            }
        }
        self.is_well(before);
    }

    /// Whoever is flagged leader and alive, and has it loaded, leads: none has stood down for nobody. (One whose tablet was restarted
    /// in an earlier run has nothing loaded.)
    pub fn nobody_stands_by(&mut self) {
        for (id, metas) in self.world.metadata() {
            let Some(leader) = metas.partition_meta.iter().find(|meta| meta.is_leader && meta.is_alive()) else {
                continue;
            };
            let at = Endpoint::from(leader.endpoint.as_str());
            let request = GetTableStatusRequest { tid: Some(id.tid.0), pid: Some(id.pid.0), ..Default::default() };
            let answer = self.world.call_tablet(&at, TabletCall::GetTableStatus(request));
            let Ok(TabletAnswer::GetTableStatus(answer)) = answer else { panic!("{at} does not answer") };
            let follows = answer.all_table_status.iter().any(|status| status.mode() == TableMode::KTableFollower);
            assert!(!follows, "{at} is flagged leader of {id}, and has stood down");
        }
    }

    fn is_there(&mut self, undertaking: &Undertaking) {
        let metadata = self.world.metadata();
        let metas = || metadata.values().flat_map(|metas| &metas.partition_meta);
        match undertaking {
            Undertaking::ScaleIn { endpoints } => {
                let left = metas().filter(|meta| endpoints.iter().any(|at| at.as_str() == meta.endpoint)).count();
                assert_eq!(left, 0, "replicas are left on the tablets");
            }
            Undertaking::Repair => self.are_as_many_as_there_should_be(),
            Undertaking::Replace { endpoint, .. } => self.is_forgotten(endpoint),
            Undertaking::UpgradePre { endpoint, allow_unavailable: false } => {
                let led =
                    metas().filter(|meta| meta.is_leader && meta.is_alive() && meta.endpoint == endpoint.as_str());
                assert_eq!(led.count(), 0, "it still leads");
            }
            _ => {}
        }
    }

    /// What was gone is started after all.
    fn is_left_as_it_is(&mut self, before: Option<bool>) {
        if !self.gone.is_empty() {
            self.is_gone(Vec::new());
            calm_down(&mut self.world, &[]);
        }
        self.is_well(before);
    }

    fn is_well(&mut self, before: Option<bool>) {
        // What was refused because of what a killed one left is not the question here.
        let empty = World::new(Settings::default(), &Addresses::recorded(1, 1));
        let world = std::mem::replace(&mut self.world, empty);
        let run = Run { number: 5_000 + self.runs, ..Run::calm("recover", &self.host, 1) };
        let (world, ran) = run.on(world, &self.judge);
        self.world = world;
        let recovered = ran.recovered().map(|recovered| recovered.summary.blocked.clone());
        assert_eq!(recovered, Some(Vec::new()), "everything can be brought back");
        assert_eq!(auto_failover(&mut self.world), before, "auto_failover");
        let rows = self.world.settle();
        assert_eq!(rows.rows_after, rows.rows_expected, "rows");
        assert_eq!(rows.partitions_with_two_alive_leaders, 0);
        assert_eq!(self.world.diverged(), Default::default(), "diverged");
    }
}

/// A table of one partition with two replicas, one of them to lead in place of the other.
pub fn one_handover() -> (Hunted, Undertaking) {
    let mut hunted = Hunted::new(0);
    let generated = Some(Generated { tables: 1, partitions: 1, replicas: 2, rows: 20 });
    let shape = Shape { tablets: 2, generated, seed: 1 };
    hunted.world = Scenario::Healthy.bring_about(&shape, &Addresses::recorded(1, 2)).unwrap();
    hunted.world.nameserver_settings_mut().op_fails_for_no_reason = None;
    let table = TableName { db: "shop".to_owned(), table: "t0".to_owned() };
    let metadata = hunted.world.tables().into_iter().find(|table| table.name() == "t0").unwrap();
    let metas = &metadata.table_partition[0].partition_meta;
    let to = metas.iter().find(|meta| !meta.is_leader).unwrap().endpoint.as_str().into();
    (hunted, Undertaking::Handover { table, pids: vec![Pid(0)], to })
}

/// A write that had begun when its leader stood down may end after the first look: the log has to be the same at the second.
#[test]
fn a_leader_that_stood_down_is_looked_at_twice_before_another_one_leads() {
    let (mut hunted, handover) = one_handover();
    let report = hunted.run_job(&handover, Trouble::default()).unwrap().unwrap();
    assert_eq!(report.left, []);
    let calls: Vec<_> = hunted.world.trace().calls().map(|call| (call.method, call.server.clone())).collect();
    let at = |method: &str| calls.iter().position(|(found, _)| *found == method).unwrap();
    let (stood_down, elected) = (at("ChangeRole"), at("ChangeLeader"));
    let old = &calls[stood_down].1;
    let looks =
        calls[stood_down..elected].iter().filter(|(method, server)| *method == "GetTableStatus" && server == old);
    assert!(looks.count() >= 2, "{:?}", &calls[stood_down..=elected]);
}

#[test]
fn interrupted_as_its_leader_stands_down_it_ends_with_one_that_leads() {
    let (mut hunted, handover) = one_handover();
    hunted.hearer = Hearer::InterruptsAt("leader_stand_down");
    let report = hunted.run_job(&handover, Trouble::default()).unwrap().unwrap();
    assert_eq!(report.stopped, Some(Stop::Signal(15)));
    hunted.nobody_stands_by();
    assert_eq!(auto_failover(&mut hunted.world), Some(true));
}

#[test]
fn an_undertaking_that_panics_gives_auto_failover_back() {
    let (mut hunted, handover) = one_handover();
    hunted.hearer = Hearer::Panics;
    let report = hunted.run_job(&handover, Trouble::default()).unwrap().unwrap();
    assert!(report.panicked.is_some_and(|text| text.contains("a fault of our own")));
    assert_eq!((report.not_restored, auto_failover(&mut hunted.world)), (None, Some(true)));
    assert_eq!(report.left.len(), 1, "it says what was not done");
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap())
}

#[test]
fn no_undertaking_loses_a_row() {
    let (seed, worlds) = (number("OPENMLDB_OPS_SEED"), number("OPENMLDB_OPS_WORLDS"));
    let first = seed.unwrap_or(1);
    let worlds = worlds.unwrap_or(if seed.is_some() { 1 } else { WORLDS });
    let (next, failed) = (AtomicU64::new(first), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, |n| n.get()) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + worlds {
                        return;
                    }
                    let mut hunted = Hunted::new(seed);
                    let lived = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| hunted.live()));
                    if let Err(panic) = lived {
                        let text = panic.downcast_ref::<String>().cloned();
                        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
                        failed.lock().unwrap().push((seed, text.unwrap_or_default()));
                    }
                    if worlds == 1 {
                        hunted.told.iter().for_each(|line| println!("{line}"));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    failed.iter().for_each(|(seed, text)| println!("OPENMLDB_OPS_SEED={seed}: {text}"));
    assert!(failed.is_empty(), "{} of {worlds} worlds", failed.len());
}
