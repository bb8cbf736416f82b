//! What a guard does when it acts, and what it says of it.

use std::time::Duration;

use tokio::sync::watch;

use crate::guard::{Acted, Watch};
use crate::model::counted;
use crate::run::{RecoverError, Recovered, Stop};
use crate::ui::{by_hand, serve_text, was_switched_off};

use super::super::beside::lead_beside;
use super::super::failure::Failure;
use super::super::session::Session;
use super::super::signal::Signals;
use super::{Ended, Guarding, TURN};

/// As whoever ends a service tells it.
const TERMINATE: i32 = 15;

impl Guarding<'_> {
    /// Says what would be done.
    pub(super) async fn would(&mut self, why: &str, watch: &mut Watch, session: &Session) {
        let text = match watch.plan(&session.cluster, self.clock.now()).await {
            Ok(would) if would.something => format!(
                "would run the recovery now: {why}; it would work on {}, and leave {} blocked",
                counted(would.partitions, "partition"),
                would.blocked
            ),
            Ok(_) => return,
            Err(error) => format!("would run the recovery now: {why}; what it would do is unknown: {error}"),
        };
        self.tell("would_act", &text, &["openmldb-ops recover --all --dry-run".to_owned()], None);
        self.state("acts");
        self.told = Some(("acts", why.to_owned()));
    }

    /// Recovers, unless and until it is stopped or paused.
    pub(super) async fn acts(
        &mut self,
        why: &str,
        watch: &mut Watch,
        session: &Session,
        signals: &Signals,
    ) -> Result<Option<Ended>, Failure> {
        let (stopper, stop) = watch::channel(Stop::No);
        let signalled = signals.anew(stop.clone());
        let (now, lock) = (self.clock.now(), watch.lock.clone());
        self.events.comes_round(true);
        let stops = async {
            let mut told = signals.stop.clone();
            loop {
                let heard = tokio::time::timeout(TURN, told.wait_for(|stop| *stop != Stop::No)).await;
                if let Ok(Ok(stop)) = heard {
                    stopper.send_replace(*stop);
                    return std::future::pending::<()>().await;
                }
                // Where ZooKeeper does not answer, the lock's own watch tells.
                if let Ok(Some(pause)) = lock.pause().await
                    && pause.lasts(self.clock.now().wall_ms)
                {
                    stopper.send_replace(Stop::Signal(TERMINATE));
                }
            }
        };
        let begins = || {
            self.state("acts");
            self.tell("acts", why, &[], None);
        };
        let acted = tokio::select! {
            acted = watch.act(&session.cluster, now, stop.clone(), signalled.record.clone(), begins) => acted,
            () = stops => return Ok(None),
        };
        self.out.finish();
        let record = signalled.record.get().map(|record| record.place().to_owned());
        let is_stopped = *stop.borrow() != Stop::No;
        match acted {
            Ok(Acted::Nothing) => {}
            Ok(Acted::Overtaken(run)) => self.is("holds_back", &format!("a run is at work: {run}"), &[]),
            Ok(Acted::Recovered(recovered)) => {
                self.has_recovered(&recovered, session, record.as_deref());
                if !is_stopped {
                    self.leads_beside(*recovered, session, &signalled).await;
                }
            }
            Err(RecoverError::Stopped { .. }) => {}
            Err(error) => {
                self.events.figures(|figures| *figures.recoveries.entry("failed".to_owned()).or_default() += 1);
                let text = format!("the recovery did not finish: {error}");
                self.tell("failed", &text, &[], Some(("failed", record.as_deref())));
            }
        }
        // Nothing of it is under way any more.
        let _idle = signals.anew(signals.stop.clone());
        self.told = None;
        self.events.comes_round(false);
        Ok(match *signals.stop.borrow() {
            Stop::No if is_stopped => Some(Ended::UsedUp),
            Stop::No => None,
            stop => Some(Ended::Stopped(stop)),
        })
    }

    /// Hands over what is led apart, as a person's run does. A guard goes on whatever comes of it.
    async fn leads_beside(&self, recovered: Recovered, session: &Session, signals: &Signals) {
        let dir = match self.dir(session) {
            Ok(dir) => dir,
            Err(failure) => return self.tell("failed", &failure.to_string(), &[], None),
        };
        let up_to = self.playbook.compare_rows_up_to();
        let led = lead_beside(recovered, (&self.scope, up_to), &dir, session, signals, self.out).await;
        let (why, next) = match led {
            Ok(Recovered { not_restored: None, .. }) => return,
            Ok(Recovered { not_restored: Some(error), summary, .. }) => {
                let next = by_hand(&session.reach, summary.auto_failover.before);
                (format!("auto_failover could not be restored: {error}"), vec![next])
            }
            Err(failure) => (failure.to_string(), vec![failure.next()]),
        };
        self.tell(
            "failed",
            &format!("leaders of pre-aggregate tables could not be moved to the leaders of their base tables: {why}"),
            &next,
            None,
        );
    }

    fn has_recovered(&self, recovered: &Recovered, session: &Session, record: Option<&str>) {
        let summary = &recovered.summary;
        let verdict = summary.verdict.word();
        self.events.figures(|figures| {
            *figures.recoveries.entry(verdict.to_owned()).or_default() += 1;
            (figures.serving_ms, figures.redundant_ms) = (summary.serving_after_ms, summary.redundant_after_ms);
        });
        let counts = &summary.partitions;
        let mut text = format!(
            "the recovery ended, {verdict}: {} recovered, {} blocked, {} not finished",
            counted(counts.recovered, "partition"),
            counts.blocked,
            counts.failed
        );
        for (what, ms) in [("serving", summary.serving_after_ms), ("redundant", summary.redundant_after_ms)] {
            if let Some(ms) = ms {
                text += &format!(", {what} after {:.1} s", Duration::from_millis(ms).as_secs_f64());
            }
        }
        let mut next = Vec::new();
        if let Some(error) = &recovered.not_restored {
            text += &format!("; auto_failover could not be restored: {error}");
            next.push(by_hand(&session.reach, summary.auto_failover.before));
        } else if was_switched_off(summary) {
            text += "; auto_failover stays off";
        }
        if let Some(panic) = &recovered.panicked {
            text += &format!("; it hit an internal error: {panic}");
        }
        next.extend(summary.blocked.first().map(|blocked| blocked.hint.clone()));
        let service = summary.service.as_ref().map(|service| serve_text(service.serving, service.partitions));
        self.tell_of(service, ("recovered", &text, &next), Some((verdict, record)));
    }
}
