//! What is known about runs, for read-only commands. Reads records and ZooKeeper; writes nothing.

use std::collections::BTreeSet;

use crate::model::{Endpoint, Snapshot};
use crate::recovery::LossKind;

use super::diagnosis::Runs;
use super::error::RecoverError;
use super::hold::standing;
use super::lock::{Lock, Note};
use super::record::{Archive, By, ClusterNames, LeftBefore, UnfinishedWork, Work, left_by_runs};
use super::run_id::RunId;

/// What is known of runs on a cluster.
///
/// # Errors
/// ZooKeeper or the records cannot be read.
pub async fn known_runs(
    lock: &dyn Lock,
    archive: &dyn Archive,
    cluster: &ClusterNames,
    seen: &Snapshot,
) -> Result<Runs, RecoverError> {
    known_runs_again(lock, archive, cluster, seen, &mut LeftBefore::default()).await
}

/// The same for whoever asks again and again.
///
/// # Errors
/// As [`known_runs`].
pub async fn known_runs_again(
    lock: &dyn Lock,
    archive: &dyn Archive,
    cluster: &ClusterNames,
    seen: &Snapshot,
    before: &mut LeftBefore,
) -> Result<Runs, RecoverError> {
    let holder = lock.holder().await?;
    let paused = lock.pause().await?.filter(|pause| pause.lasts(seen.taken_at_ms));
    let (note, left) = (lock.note().await?, before.read(archive, cluster)?);
    let left = but_settled(lock, note.as_ref(), left);
    let held_for = standing(&left, note.as_ref(), seen);
    let by = match (&note, left.owed_by.or(left.run)) {
        (Some(note), _) => Some(format!("run {} on {}", note.run, note.host)),
        (None, run) => run.map(|run| format!("run {run}")),
    };
    Ok(Runs {
        at_work: holder.map(|holder| holder.text()),
        unfinished: broken_off(&left, note.as_ref()).map(|(text, _)| text),
        broke_off: broken_off(&left, note.as_ref()).map(|(_, broke_off)| broke_off),
        paused,
        went_on_without: went_on_without(&left),
        left_alone_by: left.run.filter(|_| left.ended.as_deref() == Some("partial")),
        undertaking: None,
        held_by: by.filter(|_| !held_for.is_empty()),
        held_for,
        owes_failover: owed(&left, note.as_ref()) == Some(true),
        failover_set: left.failover_set,
    })
}

/// Where the replicas are that the newest recovery went on without.
fn went_on_without(left: &UnfinishedWork) -> Option<(RunId, BTreeSet<Endpoint>)> {
    let losses = left.accepted.values().flatten().filter(|loss| loss.kind == LossKind::OutOfReach);
    let without: BTreeSet<Endpoint> = losses.map(|loss| loss.endpoint.clone()).collect();
    left.run.filter(|_| !without.is_empty()).map(|run| (run, without))
}

/// A run that did not come to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BrokeOff {
    /// Which.
    pub run: RunId,
    /// What it was for.
    pub work: Work,
    /// Who had it run.
    pub by: By,
    /// How far it came.
    pub how: HowFar,
}

/// How far a run came that did not come to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HowFar {
    /// It was killed, or came to a fault.
    BrokeOff,
    /// Somebody told it to stop.
    Interrupted,
    /// It did all it could, and has not restored auto_failover.
    Owes,
}

/// The run that broke off, in a sentence and as data. One that did all it could, and left partitions that it may not touch, did not.
fn broken_off(left: &UnfinishedWork, note: Option<&Note>) -> Option<(String, BrokeOff)> {
    const OWES: &str = "has not restored auto_failover";
    let how_far = |ended: Option<&str>| match (ended, how_it_ended(ended)) {
        (Some("interrupted"), _) => HowFar::Interrupted,
        (_, Some(_)) => HowFar::BrokeOff,
        (_, None) => HowFar::Owes,
    };
    // An undertaking's goals are told of where they are written down.
    let is_told = |note: &&Note| note.work != Some(Work::Reconfiguration) || note.auto_failover == Some(true);
    if let Some(note) = note.filter(is_told) {
        let how = how_it_ended(note.ended.as_deref()).or(note.auto_failover.map(|_| OWES))?;
        let text = format!("run {} on {} {how}; its record is there: {}", note.run, note.host, note.record);
        let (run, work) = (note.run, note.work.unwrap_or(Work::Recovery));
        return Some((text, BrokeOff { run, work, by: note.by, how: how_far(note.ended.as_deref()) }));
    }
    let (work, by) = (Work::Recovery, left.by);
    if let (Some(run), Some(how)) = (left.run, how_it_ended(left.ended.as_deref())) {
        let text = format!("run {run} {how}; its record: {}", left.place);
        return Some((text, BrokeOff { run, work, by, how: how_far(left.ended.as_deref()) }));
    }
    let run = left.owed_by.filter(|_| left.auto_failover == Some(true))?;
    Some((format!("run {run} {OWES}"), BrokeOff { run, work, by, how: HowFar::Owes }))
}

/// How a run ended that has to be gone on with.
pub(super) fn how_it_ended(verdict: Option<&str>) -> Option<&'static str> {
    match verdict {
        None => Some("did not finish"),
        Some("interrupted") => Some("was interrupted"),
        Some("failed") => Some("failed"),
        Some(_) => None,
    }
}

/// What runs have left, and the note of the last of them. A run that was killed leaves a note where notes stay until they are
/// removed: if it is gone, a run on another host has settled what was left.
///
/// # Errors
/// ZooKeeper or the records cannot be read.
pub(super) async fn unsettled(
    lock: &dyn Lock,
    archive: &dyn Archive,
    cluster: &ClusterNames,
) -> Result<(UnfinishedWork, Option<Note>), RecoverError> {
    let (note, left) = (lock.note().await?, left_by_runs(archive, cluster)?);
    let left = but_settled(lock, note.as_ref(), left);
    Ok((UnfinishedWork { old_terms: lock.old_terms().await?, ..left }, note))
}

fn but_settled(lock: &dyn Lock, note: Option<&Note>, left: UnfinishedWork) -> UnfinishedWork {
    let is_settled = lock.keeps_notes() && note.is_none() && left.auto_failover.is_some();
    if is_settled { left.settled_elsewhere() } else { left }
}

/// What auto_failover was before a run that has not restored it. Where there is a note it decides, for whichever host
/// has given it back has put that right; unless the record of its run is here and says more.
pub(super) fn owed(left: &UnfinishedWork, note: Option<&Note>) -> Option<bool> {
    match note {
        Some(note) if left.known.contains(&note.run) => note.auto_failover.and(left.auto_failover),
        Some(note) => note.auto_failover,
        None => left.auto_failover,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::lock::{Holder, InMemoryLock};
    use super::super::made_up;
    use super::super::record::{Caller, MemoryArchive, Record, RunHeader};
    use super::*;

    fn nothing() -> Snapshot {
        Snapshot {
            cluster: "c".to_owned(),
            taken_at_ms: 0,
            zone: crate::model::Zone::Alone,
            identity: crate::model::Identity::Cluster,
            auto_failover: true,
            tables: Vec::new(),
            tablets: BTreeMap::new(),
            ops: Vec::new(),
        }
    }

    fn begun(at: u64, work: Work) -> RunHeader {
        let snapshot = Snapshot { taken_at_ms: at, ..nothing() };
        let caller = Caller { host: "ops1".to_owned(), ..Caller::default() };
        let run = RunId { began_ms: at, number: 0 };
        RunHeader { caller, work: Some(work), ..made_up::begun(run, "c", snapshot) }
    }

    /// What is known after a run that ended so, and restored auto_failover unless it did not end.
    async fn after(work: Work, ended: Option<&str>, lock: &dyn Lock) -> Runs {
        let shelf = MemoryArchive::default();
        let record = Record::begin(&shelf, begun(7, work)).unwrap();
        if let Some(verdict) = ended {
            record.end(verdict, true, false, Vec::new()).unwrap();
        }
        known_runs(lock, &shelf, &ClusterNames::called("c"), &nothing()).await.unwrap()
    }

    #[tokio::test]
    async fn partial_is_not_unfinished_and_interrupted_is_not_failed() {
        let told = async |ended| {
            let runs = after(Work::Recovery, ended, &InMemoryLock::default()).await;
            (runs.unfinished, runs.owes_failover)
        };
        let unfinished = |how: &str| Some(format!("run 7-0 {how}; its record: run 7-0 in memory"));
        assert_eq!(told(None).await, (unfinished("did not finish"), true));
        assert_eq!(told(Some("interrupted")).await, (unfinished("was interrupted"), false));
        assert_eq!(told(Some("failed")).await, (unfinished("failed"), false));
        assert_eq!(told(Some("partial")).await, (None, false), "it did what it may do");
        let left_alone = async |ended| after(Work::Recovery, ended, &InMemoryLock::default()).await.left_alone_by;
        assert_eq!(left_alone(Some("partial")).await, Some(RunId { began_ms: 7, number: 0 }));
        assert_eq!((left_alone(Some("interrupted")).await, left_alone(None).await), (None, None));
    }

    #[tokio::test]
    async fn the_same_is_told_of_a_run_on_another_host_by_its_note() {
        let told = async |work, ended: Option<&str>, auto_failover| {
            let lock = InMemoryLock::keeping_notes();
            let note = Note {
                run: RunId { began_ms: 9, number: 0 },
                host: "ops2".to_owned(),
                record: "there".to_owned(),
                auto_failover,
                work: Some(work),
                ended: ended.map(str::to_owned),
                by: By::Person,
                serves_early: false,
                unseen: Vec::new(),
                held_for: Vec::new(),
            };
            lock.write_note(Some(&note)).await.unwrap();
            let runs =
                known_runs(&lock, &MemoryArchive::default(), &ClusterNames::called("c"), &nothing()).await.unwrap();
            (runs.unfinished, runs.owes_failover)
        };
        let on_ops2 = |how: &str| Some(format!("run 9-0 on ops2 {how}; its record is there: there"));
        assert_eq!(told(Work::Recovery, None, Some(true)).await, (on_ops2("did not finish"), true));
        assert_eq!(told(Work::Recovery, Some("interrupted"), None).await, (on_ops2("was interrupted"), false));
        assert_eq!(told(Work::Recovery, Some("partial"), None).await, (None, false), "nobody has looked at a replica");
        let owes = on_ops2("has not restored auto_failover");
        assert_eq!(told(Work::Recovery, Some("partial"), Some(true)).await, (owes, true));
        assert_eq!(told(Work::Reconfiguration, None, Some(true)).await, (on_ops2("did not finish"), true));
        assert_eq!(told(Work::Reconfiguration, None, None).await, (None, false), "its host tells of its goals");
    }

    #[tokio::test]
    async fn a_run_at_work_is_told_as_such() {
        let caller =
            Caller { host: "ops1".to_owned(), pid: 5, command: "recover --all".to_owned(), ..Caller::default() };
        let lock = InMemoryLock::held_by(Holder { run: RunId { began_ms: 7, number: 0 }, caller });
        let runs = after(Work::Recovery, None, &lock).await;
        assert_eq!(runs.at_work.as_deref(), Some("run 7-0 on ops1, process 5: recover --all"));
    }

    #[tokio::test]
    async fn what_another_host_has_given_back_is_not_owed_by_the_record_here() {
        let shelf = MemoryArchive::default();
        let record = Record::begin(&shelf, begun(7, Work::Recovery)).unwrap();
        let lock = InMemoryLock::keeping_notes();
        let note = Note {
            run: record.run(),
            host: "ops1".to_owned(),
            record: "here".to_owned(),
            auto_failover: Some(true),
            work: Some(Work::Recovery),
            ended: None,
            by: By::Person,
            serves_early: false,
            unseen: Vec::new(),
            held_for: Vec::new(),
        };
        let owes = async |note: Option<&Note>| {
            lock.write_note(note).await.unwrap();
            let runs = known_runs(&lock, &shelf, &ClusterNames::called("c"), &nothing()).await.unwrap();
            (runs.owes_failover, runs.unfinished.is_some())
        };
        assert_eq!(owes(Some(&note)).await, (true, true));
        let given_back = note.clone().owes_nothing().unwrap();
        assert_eq!(owes(Some(&given_back)).await, (false, true), "the run is unfinished all the same");
        assert_eq!(owes(None).await, (false, false), "it was gone on with there");
        let handover = Note { work: Some(Work::Reconfiguration), ..note };
        assert_eq!(handover.owes_nothing(), None, "nothing else is to be known of it elsewhere");
    }

    /// A guard asks every few seconds: records are read again when there is something new in them.
    #[tokio::test]
    async fn records_that_have_not_changed_are_not_read_again() {
        let (shelf, lock) = (MemoryArchive::default(), InMemoryLock::default());
        let (names, mut before) = (ClusterNames::called("c"), LeftBefore::default());
        let record = Record::begin(&shelf, begun(7, Work::Recovery)).unwrap();
        let mut unfinished = async || {
            let known = known_runs_again(&lock, &shelf, &names, &nothing(), &mut before).await.unwrap();
            known.unfinished.is_some()
        };
        assert!(unfinished().await && unfinished().await);
        let text = shelf.text(record.run()).unwrap();
        let damaged = String::from_utf8(text.clone()).unwrap().replace("\"c\"", "\"x\"");
        shelf.put(record.run(), damaged.into_bytes());
        assert!(unfinished().await, "it is as long as before");
        shelf.put(record.run(), text);
        record.end("recovered", true, false, Vec::new()).unwrap();
        assert!(!unfinished().await, "it has grown");
    }
}
