//! A whole recovery: look, plan, write down what was, switch auto_failover off, drive, restore auto_failover, look
//! again.

use std::collections::{BTreeMap, BTreeSet};

use crate::cluster::{CallError, Cluster};
use crate::model::{PartitionId, Pid, Snapshot, TableName};
use crate::playbook::Playbook;
use crate::recovery::{Memory, serves_early};
use crate::snapshot::{collect, look_again};
use crate::verify::Verification;

use super::checking::{Checking, Compares, not_well, unhealthy_in};
use super::comparing::compare_all;
use super::driver::{Driven, Driver, Settings, Stop};
use super::early_leader_note::EarlyLeaderNote;
use super::error::RecoverError;
use super::event::Event;
use super::failover::{Before, StepError, Told, prepare};
use super::failover_restore::owed_by_an_earlier_run;
use super::hold::{HeldFor, is_fuller_in};
use super::kept::Consent;
use super::known_runs::unsettled;
use super::lane::Widths;
use super::leaving::{note_left, unseen};
use super::lock::Note;
use super::missing::Awaiting;
use super::outstanding::{OutstandingWork, still_going_on};
use super::panics::{caught, panic_text};
use super::prepared::{Prepared, prepare_plan};
use super::progress::Expected;
use super::record::{ClusterNames, Record, RecordError, RunHeader, Work};
use super::remote;
use super::report::{AutoFailoverSeen, Summary, Verdict};
use super::resume_snapshots::resume_left;
use super::scope::Scope;
use super::status::Status;
use super::stopping::{CALLS, Hurry, LOOKS, within_budget};
use super::verdict::{Seen, summary_of_plan, summary_of_run};
use super::work_session::{Ending, EndingSession, OpenSession, WorkSession};

/// What a recovery needs beside the cluster.
pub struct Recovery {
    /// Within which it is done.
    pub session: WorkSession,
    /// Which partitions.
    pub scope: Scope,
    /// The steps.
    pub playbook: Playbook,
    /// Their text, as a plan that is kept names it.
    pub playbook_text: String,
    /// What somebody has accepted.
    pub consent: Consent,
    /// It is a dry run: the plan is all that is wanted.
    pub only_plans: bool,
    /// How wide the lanes are.
    pub widths: Widths,
}

/// What came of it.
#[derive(Debug)]
pub struct Recovered {
    /// The summary.
    pub summary: Summary,
    /// Why the run stopped early, if it did.
    pub stopped: Option<Stop>,
    /// auto_failover could not be restored: what was seen last.
    pub not_restored: Option<String>,
    /// The run panicked, which is a bug: its message.
    pub panicked: Option<String>,
    /// The record could be written no more: why.
    pub unrecorded: Option<String>,
    /// What the cluster is still doing because of the run.
    pub still_going_on: Vec<OutstandingWork>,
}

/// Why the partitions were not driven to their end.
pub(super) enum Interruption {
    /// A cluster step failed.
    Step(StepError),
    /// A fault of our own.
    Panic(String),
}

impl Recovery {
    /// Looks at the cluster and plans. Changes nothing.
    ///
    /// # Errors
    /// See [`RecoverError`].
    pub async fn look(&self, cluster: &Cluster) -> Result<Prepared, RecoverError> {
        self.prepare(cluster, self.see(cluster).await?).await
    }

    /// Looks at the cluster.
    ///
    /// # Errors
    /// It does not answer; and what an earlier run owes it stays owed.
    pub async fn see(&self, cluster: &Cluster) -> Result<Snapshot, RecoverError> {
        let WorkSession { cluster_name, archive, lock, now_ms, .. } = &self.session;
        match collect(cluster, cluster_name, *now_ms).await {
            Ok(snapshot) => Ok(snapshot),
            Err(error) => {
                let left = unsettled(&**lock, &**archive, &ClusterNames::called(cluster_name)).await.ok();
                let owed = left.and_then(|(left, note)| owed_by_an_earlier_run(&left, note.as_ref()));
                Err(RecoverError::NotSeen { error, not_restored: owed })
            }
        }
    }

    /// Plans for what was seen of the cluster. Where the plan would rest on row counts, the rows are compared.
    ///
    /// # Errors
    /// See [`RecoverError`].
    pub async fn prepare(&self, cluster: &Cluster, snapshot: Snapshot) -> Result<Prepared, RecoverError> {
        let (left, note) = self.session.unsettled(&snapshot).await?;
        let mut prepared = prepare_plan(snapshot, &self.playbook, &self.scope, left, note)?;
        if serves_early(&self.playbook) && !self.session.lock.keeps_notes() {
            prepared = prepared.with_all_loaded_first(&self.playbook, &self.scope);
        }
        prepared = prepared.led_by(self.consent.leader.as_ref(), &self.playbook, &self.scope)?;
        // A run compares as it comes to it. What is accepted, or only looked at, has to be right from the start; and
        // where nothing else is to be done, nothing is begun for it.
        let consents = self.consent.named().is_some() || self.consent.leader.is_some();
        let from_the_start = self.only_plans || consents || !prepared.needs_doing();
        let wanted = prepared.to_compare();
        if from_the_start && !wanted.is_empty() {
            let seen = compare_all(cluster, wanted, self.playbook.compare_rows_up_to(), |_, _| {}).await;
            prepared = prepared.with_rows(seen, &self.playbook, &self.scope);
        }
        Ok(prepared.consented(&self.consent, &self.playbook, &self.playbook_text, &self.scope)?)
    }

    /// Does it.
    ///
    /// # Errors
    /// Why nothing was done to any partition.
    pub async fn run(self, cluster: &Cluster, prepared: Prepared) -> Result<Recovered, RecoverError> {
        let session = &self.session;
        if prepared.has_nothing_to_do() {
            let _hurry = Hurry::of(&session.stop, cluster);
            self.tell_of_what_is_there(&prepared);
            return session.unless_stopped(self.nothing_to_do(cluster, &prepared)).await?;
        }
        let stopped = |stop| RecoverError::Stopped { stop };
        session.locked(Some(cluster), stopped, Box::pin(self.run_locked(cluster, prepared))).await
    }

    /// With the lock held. What another run did while it was waited for is looked at again, and so is everything that
    /// was accepted.
    async fn run_locked(&self, cluster: &Cluster, mut prepared: Prepared) -> Result<Recovered, RecoverError> {
        let session = &self.session;
        let left = session.unless_stopped(session.unsettled(&prepared.snapshot)).await??;
        if left != (prepared.left.clone(), prepared.note.clone()) || prepared.consented.is_some() {
            prepared = session.unless_stopped(self.look(cluster)).await??;
        }
        self.tell_of_what_is_there(&prepared);
        if prepared.has_nothing_to_do() {
            return session.unless_stopped(self.nothing_to_do(cluster, &prepared)).await?;
        }
        let auto_failover = prepared.auto_failover_before();
        let record = self.begin_record(&prepared, auto_failover)?;
        self.save_metadata(&record).await;
        let noted_early = prepared.note.as_ref().is_some_and(|note| note.serves_early);
        let early = noted_early || serves_early(&self.playbook);
        let unseen_before = unseen(&prepared, &prepared.memories, &prepared.released);
        let note = Note { serves_early: early, ..session.note(&record, Work::Recovery, auto_failover) };
        let note = note.with_unseen(unseen_before).holding(&prepared.stands);
        let open = session.open(cluster, record.clone(), note, prepared.snapshot.auto_failover).await?;
        let driven = if prepared.needs_doing() {
            let driven = caught(self.drive(cluster, &prepared, &open)).await;
            driven.map_err(Interruption::Panic).flatten().map(Some)
        } else {
            Ok(None)
        };
        let mine = prepared.memories.keys().copied().collect();
        // Who was told to stop gives back first.
        let is_stopped = *session.stop.borrow() != Stop::No;
        if !is_stopped {
            let chosen =
                driven.as_ref().ok().and_then(Option::as_ref).map_or(&prepared.memories, |done| &done.memories);
            let told = open.told();
            let known = remote::Known { memories: chosen, led: &prepared.left.led };
            let last_steps = async {
                resume_left(cluster, &prepared.snapshot, &mine, &told).await;
                remote::attach(cluster, &prepared.snapshot, &self.scope, known, &told).await;
            };
            if let Err(panic) = caught(last_steps).await {
                (open.listener)(&Event::Note { text: format!("an internal error: {panic}") });
            }
        }
        let (held, released) = self.held(&prepared, driven.as_ref().map(Option::as_ref), &record);
        let mut ending = open.give_back(held).await;
        if is_stopped {
            let told = ending.told();
            within_budget(cluster, LOOKS, resume_left(cluster, &prepared.snapshot, &mine, &told)).await;
        }
        let panicked = matches!(driven, Err(Interruption::Panic(_)));
        let leaves =
            |ending: &EndingSession<'_>, word: &str, goes_on: bool, memories: &BTreeMap<PartitionId, Memory>| {
                let serves_early = noted_early && self.scope != Scope::All || panicked;
                note_left(ending, word, goes_on, serves_early, unseen(&prepared, memories, &released))
            };
        let (driven, panicked) = match driven {
            Ok(driven) => (driven, None),
            Err(Interruption::Step(error)) => {
                let note = leaves(&ending, "failed", false, &prepared.memories);
                let given_back = ending.end(Ending::failed(Vec::new(), note)).await.given_back;
                let (not_restored, held_for) = (given_back.failed(), given_back.held_for().into());
                return Err(RecoverError::Step { error, not_restored, held_for });
            }
            Err(Interruption::Panic(panic)) => (None, Some(panic)),
        };
        let mut stopped = driven.as_ref().and_then(|driven| driven.stopped);
        let memories = driven.as_ref().map_or(&prepared.memories, |driven| &driven.memories);
        let left_alone = match &driven {
            Some(driven) => driven.blocked.keys().copied().collect(),
            None => prepared.unhealthy(),
        };
        let looked = self.verify(cluster, &prepared, memories, left_alone).await;
        let told = *session.stop.borrow();
        let (seen, verification) = match looked {
            Ok(Some((seen, verification))) => (seen, Some(verification)),
            Err(error) if told == Stop::No => {
                let note = leaves(&ending, "failed", true, memories);
                let given_back = ending.end(Ending::failed(record.unanswered(), note)).await.given_back;
                let (not_restored, held_for) = (given_back.failed(), given_back.held_for().into());
                return Err(RecoverError::NotSeenAgain { error, not_restored, held_for });
            }
            unseen => {
                let why = unseen.err().map_or("no time is left".to_owned(), |error| error.to_string());
                let text = format!("the result could not be checked: {why}");
                ending.says(&Event::Note { text });
                stopped = stopped.or(Some(told));
                let after = auto_failover && ending.is_given_back();
                (Snapshot { auto_failover: after, ..prepared.snapshot.clone() }, None)
            }
        };
        // An operation of the nameserver's own may have ended since.
        let not_well = verification.as_ref().filter(|_| told == Stop::No).map(|found| not_well(&seen, found));
        let is_held = |held: &HeldFor| {
            let is_not_well = not_well.as_ref().is_none_or(|not_well| not_well.contains(&held.partition));
            // Nothing was compared of what is out of scope.
            is_not_well || !prepared.memories.contains_key(&held.partition) && is_fuller_in(&seen, held)
        };
        let seen = match ending.give_back_after_all(is_held).await {
            true => Snapshot { auto_failover: true, ..seen },
            false => seen,
        };
        let summary = summary_of_run(
            &self.playbook.name,
            cluster.rpc_counts().into(),
            &prepared,
            Seen { seen: &seen, verification, panicked: panicked.is_some() },
            AutoFailoverSeen::of(auto_failover, seen.auto_failover, ending.given_back.held_for()),
            driven.as_ref(),
        );
        let summary = match &summary.verification {
            Some(_) => summary.serving(&Status::of(&seen, &self.scope)),
            None => summary,
        };
        let finished = matches!(summary.verdict, Verdict::Recovered | Verdict::Healthy);
        if let Some(not_well) = &not_well {
            self.settle_old_terms(&prepared, &seen, not_well).await;
        }
        let going_on = still_going_on(&seen, &self.scope, memories, record.unanswered());
        for going_on in &going_on {
            ending.says(&Event::StillGoingOn { going_on: going_on.clone() });
        }
        let word = summary.verdict.word();
        let note = leaves(&ending, word, !going_on.is_empty(), memories);
        let end = ending.end(Ending { word: word.to_owned(), finished, going_on: going_on.clone(), note }).await;
        let (unrecorded, not_restored) = (record.broken(), end.given_back.failed());
        Ok(Recovered { summary, stopped, not_restored, panicked, unrecorded, still_going_on: going_on })
    }

    /// Looks again, and as often as it takes; if it was told to stop once, and not at all if there is no time for it.
    async fn verify(
        &self,
        cluster: &Cluster,
        prepared: &Prepared,
        memories: &BTreeMap<PartitionId, Memory>,
        left_alone: BTreeSet<PartitionId>,
    ) -> Result<Option<(Snapshot, Verification)>, CallError> {
        let looking = async {
            let first = look_again(cluster, &prepared.snapshot).await?;
            self.checking(memories, left_alone).until_it_stands(cluster, first).await
        };
        within_budget(cluster, LOOKS, looking).await.transpose()
    }

    fn checking<'a>(
        &'a self,
        memories: &'a BTreeMap<PartitionId, Memory>,
        known: BTreeSet<PartitionId>,
    ) -> Checking<'a> {
        Checking {
            scope: &self.scope,
            memories,
            known,
            pace: self.session.pace,
            compares: Compares::WhereCountsDiffer,
            compare_rows_up_to: self.playbook.compare_rows_up_to(),
            stop: self.session.stop.clone(),
        }
    }

    /// Nothing has to be done: what was seen is verified.
    async fn nothing_to_do(&self, cluster: &Cluster, prepared: &Prepared) -> Result<Recovered, RecoverError> {
        let checking = self.checking(&prepared.memories, prepared.unhealthy());
        let verified = checking.until_it_stands(cluster, prepared.snapshot.clone()).await;
        let (seen, verification) =
            verified.map_err(|error| RecoverError::NotSeenAgain { error, not_restored: None, held_for: [].into() })?;
        let rpc = cluster.rpc_counts().into();
        let summary = summary_of_plan(&prepared.plan, prepared.snapshot.auto_failover, rpc);
        debug_assert_eq!(summary.playbook.as_deref(), Some(self.playbook.name.as_str()));
        // What has healed meanwhile is healthy.
        let unhealthy = unhealthy_in(&seen, &self.scope);
        let healed = prepared.plan.partitions.iter().filter(|planned| !unhealthy.contains(&planned.partition));
        let summary = summary.without(healed.map(|planned| (&planned.table, planned.partition.pid)));
        Ok(Recovered {
            summary: summary.verified(verification).serving(&Status::of(&seen, &self.scope)),
            stopped: None,
            not_restored: None,
            panicked: None,
            unrecorded: None,
            still_going_on: Vec::new(),
        })
    }

    /// Writes down everything as it is, before the first change.
    fn begin_record(&self, prepared: &Prepared, auto_failover: bool) -> Result<Record, RecordError> {
        let (name, seen) = (self.playbook.name.clone(), prepared.snapshot.clone());
        let record = self.session.begin(RunHeader {
            all: self.scope == Scope::All,
            auto_failover,
            // What was accepted beside a named leader is for that leader: who goes on says it all again.
            plan: prepared.consented.clone().filter(|_| self.consent.leader.is_none()),
            accepted: prepared.accepted(),
            held_for: prepared.stands.clone(),
            after: prepared.left.run,
            before: prepared.before(),
            ..self.session.header(Work::Recovery, name, seen)
        })?;
        for table in &prepared.snapshot.tables {
            for partition in &table.partitions {
                let id = PartitionId { tid: table.tid, pid: partition.pid };
                let Some(memory) = prepared.memories.get(&id) else { continue };
                record.remember(id, memory);
                memory.choice.iter().for_each(|choice| record.chosen(&table.name, id, choice));
            }
        }
        prepared.released.iter().for_each(|(id, endpoint)| record.released(*id, endpoint));
        let expected = Expected::of(&prepared.plan, self.session.pace);
        record.expects(&expected);
        (self.session.listener)(&Event::Expected(expected));
        Ok(record)
    }

    /// The cluster's steps, then the partitions: a task of its own, so that even a panic in it comes back as a value
    /// and the caller goes on to restore auto_failover.
    async fn drive(
        &self,
        cluster: &Cluster,
        prepared: &Prepared,
        OpenSession { record, note, .. }: &OpenSession<'_>,
    ) -> Result<Driven, Interruption> {
        let WorkSession { lock, pace, listener, stop, .. } = self.session.clone();
        let early_leader_note = EarlyLeaderNote { told: note.serves_early, note: note.clone(), lock: lock.clone() };
        let unhealthy = prepared.plan.partitions.iter();
        let mine: BTreeSet<(TableName, Pid)> = unhealthy.map(|p| (p.table.clone(), p.partition.pid)).collect();
        let settings = Settings {
            playbook: self.playbook.clone(),
            widths: self.widths,
            pace,
            listener: listener.clone(),
            stop: stop.clone(),
            record: record.clone(),
            hold: lock.hold(),
            early_leader_note,
            awaiting: Awaiting {
                gone: self.consent.without.iter().cloned().collect(),
                ..Awaiting::from_now(&self.playbook, &prepared.snapshot)
            },
        };
        let (mut snapshot, mut memories) = (prepared.snapshot.clone(), prepared.memories.clone());
        let (first, seen, steps) = (cluster.clone(), snapshot.clone(), self.playbook.before.clone());
        let (writes, hold) = (record.clone(), lock.hold());
        let mut before = tokio::spawn(async move {
            let told = &Told { listener: &listener, record: &writes, hold };
            prepare(&first, &steps, &Before { snapshot: &seen, mine: &mine, pace, told, stop }).await
        });
        let done = within_budget(cluster, CALLS, &mut before).await;
        let is_stopped = *self.session.stop.borrow() != Stop::No;
        match done {
            Some(Ok(Ok(()))) => {}
            // No partition is touched any more; auto_failover is restored.
            Some(Ok(Err(error))) if is_stopped => (self.session.listener)(&Event::Note { text: error.to_string() }),
            Some(Ok(Err(error))) => return Err(Interruption::Step(error)),
            Some(Err(error)) => return Err(Interruption::Panic(panic_text(error))),
            None => before.abort(),
        }
        if prepared.stands_in_for_lost && !is_stopped {
            match self.session.unless_stopped(self.with_others_standing_in(cluster)).await {
                Ok(Ok(again)) => (snapshot, memories) = (again.snapshot, again.memories),
                Ok(Err(error)) => return Err(Interruption::Step(StepError::NotSeenAgain(error.to_string()))),
                Err(_stopped) => {}
            }
        }
        let cluster = cluster.clone();
        let driving = tokio::spawn(async move { Driver::new(cluster, settings, snapshot, memories).run().await });
        driving.await.map_err(|error| Interruption::Panic(panic_text(error)))
    }

    /// Others lead since the lost tablets were taken out of service. For what is remembered this run is its own predecessor.
    async fn with_others_standing_in(&self, cluster: &Cluster) -> Result<Prepared, RecoverError> {
        let snapshot = collect(cluster, &self.session.cluster_name, self.session.now_ms).await?;
        let (left, note) = self.session.unsettled(&snapshot).await?;
        prepare_plan(snapshot, &self.playbook, &self.scope, left, note)
    }
}
