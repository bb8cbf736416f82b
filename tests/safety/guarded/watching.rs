//! The guard, as a process that loops.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use openmldb_ops::guard::{Acted, Decision, Limits, Now, Watch};
use openmldb_ops::playbook::Playbook;
use openmldb_ops::run::{Caller, Case, RecoverError, Scope, Stop};
use openmldb_ops::sandbox::Live;
use openmldb_ops::wire::call::Effect;
use tokio::sync::watch;

use crate::judge::Judge;
use crate::run::watched;

use super::{GRACE, Guarded, locked};

/// How often a guard looks.
const EVERY: Duration = Duration::from_secs(10);
/// Where all is well nothing comes of a look until something happens: the test's time is saved. A guard looks at least so often.
const QUIET: Duration = Duration::from_secs(25 * 60);
/// While nothing is done about what is seen.
const IDLE: Duration = Duration::from_secs(60);

impl Guarded {
    /// One guard after the other: one that was told to end is started again.
    pub(super) async fn guards(&self, live: &Arc<Live>) {
        loop {
            self.guard(live).await;
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
    }

    /// A guard, until it is told to end.
    async fn guard(&self, live: &Arc<Live>) {
        let began = live.now();
        let judge: Arc<Mutex<Judge>> = Arc::default();
        let cluster = watched(live, &judge, Some(self.trace(live)));
        let process = self.lock.process();
        let mut watch = Watch::new(
            ("in memory".to_owned(), Caller::default()),
            (Playbook::find("recover").unwrap(), String::new()),
            Scope::All,
            Limits::default(),
            (Arc::new(self.archive.clone()), Some(self.state_dir())),
            (process.clone(), process),
            (1.0, self.listener(&judge)),
        );
        let now = || Now { steady_ms: live.now(), wall_ms: live.now() };
        let mut has_taken_over = false;
        loop {
            has_taken_over = has_taken_over || watch.takes_over(now()).await.is_ok();
            if !has_taken_over {
                *locked(&self.said) = "unseen";
                tokio::time::sleep(EVERY).await;
                continue;
            }
            let mut pause = EVERY;
            match watch.tick(&cluster, now()).await {
                Ok(Decision::Acts(why)) => {
                    self.tell(live.now(), format!("GUARD acts: {why}"));
                    *locked(&self.said) = "acts";
                    self.is_nobody_elses(&watch, began, live);
                    if self.acts(live, &cluster, &mut watch, &judge).await {
                        // Told to end, its connections are of no use any more: as a process, it is another one.
                        return;
                    }
                }
                Ok(decision) => {
                    let code = decision.code();
                    if std::mem::replace(&mut *locked(&self.said), code) != code {
                        self.tell(live.now(), format!("guard {code}: {}", decision.text()));
                    }
                    pause = match decision {
                        Decision::Well if locked(&self.upgrade).is_none() => self.until_something_happens(live),
                        Decision::Asks(_) | Decision::HoldsBack(_) => IDLE,
                        _ => EVERY,
                    };
                }
                Err(error) => {
                    if std::mem::replace(&mut *locked(&self.said), "unseen") != "unseen" {
                        self.tell(live.now(), format!("guard unseen: {error}"));
                    }
                }
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Acts, unless it is paused. Says whether it was told to end.
    async fn acts(
        &self,
        live: &Arc<Live>,
        cluster: &openmldb_ops::cluster::Cluster,
        watch: &mut Watch,
        judge: &Arc<Mutex<Judge>>,
    ) -> bool {
        let now = Now { steady_ms: live.now(), wall_ms: live.now() };
        locked(judge).a_run_begins(&[]);
        let (stop, stopped) = watch::channel(Stop::No);
        let pauses = async {
            while self.pause(live).is_none() {
                tokio::time::sleep(Duration::from_secs(2)).await;
            }
            stop.send_replace(Stop::Signal(15));
            std::future::pending::<()>().await;
        };
        let acted = tokio::select! {
            acted = watch.act(cluster, now, stopped, Arc::default(), || {}) => acted,
            () = pauses => return false,
        };
        self.tell(live.now(), format!("GUARD acted: {}", in_words(&acted)));
        self.recoveries.fetch_add(u64::from(matches!(acted, Ok(Acted::Recovered(_)))), Ordering::Relaxed);
        self.has_lost_nothing(live, judge);
        *stop.borrow() != Stop::No
    }

    fn until_something_happens(&self, live: &Arc<Live>) -> Duration {
        let (script, now) = (locked(&self.script), live.now());
        if script.is_soon_after(now) {
            return EVERY;
        }
        let next = script.next().map_or(u64::MAX, |(at, _)| at + 1_000);
        Duration::from_millis(next.saturating_sub(now)).clamp(EVERY, QUIET)
    }

    /// Sees what is sent by guards.
    fn trace(&self, live: &Arc<Live>) -> openmldb_ops::cluster::Trace {
        let (script, wrong, now) = (self.script.clone(), self.wrong.clone(), Arc::downgrade(live));
        Arc::new(move |_, method, effect| {
            let Some(now) = now.upgrade().map(|live| live.now()) else { return };
            let since = locked(&script).paused_since(now);
            if effect == Effect::Mutate && since.is_some_and(|since| now > since + GRACE) {
                locked(&wrong)
                    .push(format!("{method} was sent {} s into a pause", (now - since.unwrap_or(now)) / 1000));
            }
        })
    }

    fn listener(&self, judge: &Arc<Mutex<Judge>>) -> openmldb_ops::run::Listener {
        let judge = judge.clone();
        Arc::new(move |event| locked(&judge).hears(event))
    }

    /// What OpenMLDB is at, or may still begin, is not done by a guard; nor what a person has begun, or does not want.
    fn is_nobody_elses(&self, watch: &Watch, began: u64, live: &Arc<Live>) {
        let Some(seen) = watch.seen() else { return };
        let only_a_recovery =
            [Case::EverythingRestarted, Case::PartitionLost, Case::RunUnfinished, Case::FailoverKeptOff];
        let is_for_openmldb = seen.shape.auto_failover && !only_a_recovery.iter().any(|case| seen.is(*case));
        if is_for_openmldb && seen.shape.ops > 0 {
            self.is_wrong(live.now(), format!("a recovery is begun while OpenMLDB is at it: {:?}", seen.shape));
        }
        let open = self.state_dir().open_upgrades().unwrap();
        if !open.is_empty() {
            self.is_wrong(live.now(), format!("a recovery is begun in the upgrade of {open:?}"));
        }
        // It has seen it on, and off since.
        let off = locked(&self.script).off_since().filter(|since| began + 30 * 60_000 < *since);
        let is_seen = off.is_some_and(|since| since + 120_000 < live.now());
        if is_seen && !seen.shape.auto_failover && !seen.runs.owes_failover {
            self.is_wrong(live.now(), "a recovery is begun although somebody has switched auto_failover off");
        }
    }
}

fn in_words(acted: &Result<Acted, RecoverError>) -> String {
    match acted {
        Ok(Acted::Recovered(recovered)) => format!("{:?}, {:?}", recovered.summary.verdict, recovered.summary.blocked),
        Ok(other) => format!("{other:?}"),
        Err(error) => format!("error: {error}"),
    }
}
