//! People at work on a cluster that is guarded: one recovers by hand, one upgrades tablets.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use openmldb_ops::cluster::{Cluster, Options};
use openmldb_ops::model::Endpoint;
use openmldb_ops::operate::{Job, StateDir, Undertaking};
use openmldb_ops::run::{Room, Stop};
use openmldb_ops::sandbox::{InProcess, Live};
use tokio::sync::watch;

use crate::judge::Judge;
use crate::run::{Host, Run, watched, work_session};

use super::deeds::Deed;
use super::{Guarded, locked};

/// How far somebody is with the upgrade of a tablet.
#[derive(Debug, Clone)]
pub(super) struct Upgrade {
    tablet: Endpoint,
    step: Step,
    /// How often the step was tried in vain.
    tried: u32,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Step {
    Pre,
    Stop,
    Start,
    Recover,
    Post,
}

/// Whoever tries for so long gives up, and has the tablet lead again as it is.
const PATIENCE: u32 = 4;

impl Guarded {
    pub(super) fn state_dir(&self) -> StateDir {
        StateDir::new(&self.papers.0, "in memory")
    }

    /// What people do, as somebody tells them to.
    pub(super) async fn people(&self, live: &Arc<Live>) {
        loop {
            let next = locked(&self.script).next_for_people(live.now());
            match next {
                Some(Deed::SomebodyRecovers) => self.somebody_recovers(live).await,
                Some(Deed::Upgrade(tablet)) => {
                    locked(&self.upgrade).get_or_insert(Upgrade { tablet, step: Step::Pre, tried: 0 });
                }
                _ => {}
            }
            let under_way = locked(&self.upgrade).clone();
            let pause = match under_way {
                Some(upgrade) => self.upgrades_on(live, upgrade).await,
                None => 10,
            };
            tokio::time::sleep(Duration::from_secs(pause)).await;
        }
    }

    /// The next step; gives how many seconds go by until the one after.
    async fn upgrades_on(&self, live: &Arc<Live>, mut upgrade: Upgrade) -> u64 {
        let tablet = upgrade.tablet.clone();
        let undertaking = match upgrade.step {
            Step::Pre => Undertaking::UpgradePre { endpoint: tablet.clone(), allow_unavailable: false },
            _ => Undertaking::UpgradePost { endpoint: tablet.clone(), gone: false },
        };
        let done = match upgrade.step {
            Step::Pre | Step::Post => self.undertakes(live, undertaking).await,
            Step::Stop => {
                live.with(|world| world.kill_tablet(&tablet));
                true
            }
            Step::Start if self.lock.is_away() => false,
            Step::Start => {
                live.with(|world| world.start_tablets(std::slice::from_ref(&tablet)));
                true
            }
            Step::Recover => {
                self.somebody_recovers(live).await;
                live.with(|world| world.is_up(&tablet))
            }
        };
        self.tell(live.now(), format!("upgrade of {tablet}, {:?}: {done}", upgrade.step));
        upgrade.tried = if done { 0 } else { upgrade.tried + 1 };
        upgrade.step = match (upgrade.step, done) {
            (Step::Pre, false) if upgrade.tried >= PATIENCE => Step::Post,
            (Step::Pre, true) => Step::Stop,
            (Step::Stop, true) => Step::Start,
            (Step::Start, true) => Step::Recover,
            (Step::Recover, true) => Step::Post,
            // What is in the way is recovered.
            (Step::Recover | Step::Post, false) => Step::Start,
            (Step::Post, true) => {
                self.upgrades.fetch_add(1, Ordering::Relaxed);
                *locked(&self.upgrade) = None;
                return 10;
            }
            (step, false) => step,
        };
        let pause = if upgrade.step == Step::Start { 240 } else { 45 };
        *locked(&self.upgrade) = Some(upgrade);
        pause
    }

    /// Types `upgrade pre` or `upgrade post`; says whether it has come to its end.
    async fn undertakes(&self, live: &Arc<Live>, undertaking: Undertaking) -> bool {
        let is_post = matches!(undertaking, Undertaking::UpgradePost { .. });
        let (_stop, stopped) = watch::channel(Stop::No);
        let session = work_session(&self.archive, self.lock.process(), stopped, live.now());
        let job = Job {
            undertaking,
            session,
            room: Room::default(),
            state_dir: self.state_dir(),
            step_timeout: Duration::from_secs(600),
            leaderless_limit: Duration::from_secs(5),
            told: Arc::new(|_| {}),
        };
        let cluster = Cluster::new(Arc::new(InProcess::new(live.clone())), Options::default());
        match job.perform(&cluster).await {
            Ok(report) => {
                let left: Vec<String> = report.left.iter().map(|(_, why)| format!("{why}")).collect();
                self.tell(live.now(), format!("left: {left:?}, not restored: {:?}", report.not_restored));
                left.is_empty() && report.not_restored.is_none()
            }
            Err(error) => {
                self.tell(live.now(), format!("error: {error}"));
                // There is none to end.
                is_post && self.state_dir().open_upgrades().unwrap().is_empty()
            }
        }
    }

    /// At the same moment as a guard may, and kept apart by the same lock.
    async fn somebody_recovers(&self, live: &Arc<Live>) {
        let judge: Arc<Mutex<Judge>> = Arc::default();
        locked(&judge).a_run_begins(&[]);
        let cluster = watched(live, &judge, None);
        let (_stop, stopped) = watch::channel(Stop::No);
        let host = Host { archive: self.archive.clone(), lock: self.lock.inner.clone() };
        let run = Run::calm("recover", &host, self.seed);
        let mut recovery = run.recovery(live.now(), stopped, Arc::new(|_: &_| {}));
        recovery.session.lock = self.lock.process();
        let ran = async {
            let prepared = recovery.look(&cluster).await?;
            recovery.run(&cluster, prepared).await
        }
        .await;
        match ran {
            Ok(recovered) => self.tell(live.now(), format!("somebody recovered: {:?}", recovered.summary.verdict)),
            Err(error) => self.tell(live.now(), format!("somebody could not: {error}")),
        }
        self.has_lost_nothing(live, &judge);
    }
}
