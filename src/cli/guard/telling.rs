//! What a guard tells, and what it saves.

use std::time::Duration;

use tokio::time::Instant;

use crate::cluster::{Target, ZooKeeper};
use crate::guard::{Backups, Watch};
use crate::ui::GuardLine;

use super::super::failure::Failure;
use super::super::session::{Session, named, target};
use super::Guarding;

/// Why it cannot look is told again after so long at the earliest, if the reason is another one then.
const ANOTHER_REASON: Duration = Duration::from_secs(10 * 60);

impl Guarding<'_> {
    /// Saves the metadata, if they have changed.
    pub(super) async fn saves(&self, backups: &mut Option<Backups>) {
        let Some(dir) = &self.args.metadata_backup else { return };
        let saved = async {
            let Target::ZooKeeper { servers, root, credentials } = target(&named(&self.args.at, &self.out.waits())?)?
            else {
                return Ok(None);
            };
            let name = format!("{servers}{root}");
            let seen = ZooKeeper::connect(servers, root, credentials).await?.metadata().await?;
            let mut kept = match backups.take() {
                Some(kept) => kept,
                None => Backups::open(dir, &name).map_err(Failure::error)?,
            };
            let saved = kept.save(self.clock.now().wall_ms, seen).map_err(Failure::error);
            *backups = Some(kept);
            saved
        };
        match saved.await {
            Ok(saved) => {
                self.events.figures(|figures| figures.saved_at_ms = Some(self.clock.now().wall_ms));
                if let Some(path) = saved {
                    self.tell("saved", &format!("metadata saved: {}", path.display()), &[], None);
                }
            }
            Err(failure) => {
                let text = format!("metadata not saved: {failure}");
                self.tell("not_saved", &text, &[], None);
            }
        }
    }

    /// What is so now, for whoever asks.
    pub(super) fn draws(&self, watch: &Watch, session: &Session) {
        let calls = session.cluster.rpc_counts();
        self.events.figures(|figures| {
            figures.calls = (calls.reads, calls.mutations);
            if let Some(seen) = watch.seen() {
                figures.shape = Some(seen.shape.clone());
                figures.looked_at_ms = Some(seen.at_ms);
                figures.paused = seen.runs.paused.is_some();
            }
        });
    }

    /// It cannot look. The reason may be another one at each attempt: only the first is told, and another one after a while.
    pub(super) fn is_unseen(&mut self, why: &str) {
        let is_told = matches!(&self.told, Some(("unseen", _)));
        let is_other = matches!(&self.told, Some(("unseen", told)) if told != why);
        if !is_told || is_other && self.unseen_told.elapsed() >= ANOTHER_REASON {
            self.is("unseen", why, &[]);
            self.unseen_told = Instant::now();
        }
        self.state("unseen");
    }

    /// Something is so from now on: it is told once.
    pub(super) fn is(&mut self, state: &'static str, text: &str, next: &[String]) {
        self.state(state);
        let told = (state, text.to_owned());
        if self.told.as_ref() != Some(&told) {
            self.tell(state, text, next, None);
            self.told = Some(told);
        }
    }

    pub(super) fn state(&self, state: &'static str) {
        self.events.figures(|figures| figures.state = state);
    }

    pub(super) fn tell(&self, state: &'static str, text: &str, next: &[String], ended: Option<(&str, Option<&str>)>) {
        // What was seen before a recovery says nothing of what came of it.
        let service = match state {
            "waits" | "holds_back" | "asks" | "acts" | "would_act" => self.events.service(),
            _ => None,
        };
        self.tell_of(service, (state, text, next), ended);
    }

    pub(super) fn tell_of(
        &self,
        service: Option<String>,
        (state, text, next): (&'static str, &str, &[String]),
        ended: Option<(&str, Option<&str>)>,
    ) {
        let (verdict, record) = ended.map_or((None, None), |(verdict, record)| (Some(verdict), record));
        let (at_ms, acts) = (self.clock.now().wall_ms, self.args.act);
        let line = GuardLine { event: "guard", state, at_ms, acts, service, text, next, verdict, record };
        self.events.tell(&line, self.out);
    }
}
