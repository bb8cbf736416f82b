//! What must hold after every run, each by its name. What is judged while a run is under way is in `judge`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use openmldb_ops::model::{Endpoint, PartitionId, Tid};
use openmldb_ops::run::{BlockedEntry, RecoverError, Summary, stopping};
use openmldb_ops::sandbox::World;
use openmldb_ops::sandbox::tablet::{Entry, RowId};
use openmldb_ops::sandbox::world::Traced;
use openmldb_ops::verify::{Finding, FindingKind};
use openmldb_ops::wire::call::Effect;
use openmldb_ops::wire::common::{ColumnKey, StorageMode};
use openmldb_ops::wire::nameserver::TableInfo;

use super::judge::{Judge, Violation};
use super::ledger::logs;
use super::life::of_dropped_tables;
use super::run::{Ended, Ran};
use super::shown::{is_same, lacks_nothing, show_the_same};

/// After its first signal a run cleans up and ends by itself, in virtual time: before the program ends it wherever it is, two seconds
/// before those are over that a supervisor is promised.
const CLEANING_UP: Duration = stopping::END;

/// What a run's summary says, and what may not be seen from outside.
pub struct Reported<'a> {
    pub summary: &'a Summary,
    /// The partitions that were healthy when it was said. What auto_failover, restored, makes of them later is its own
    /// doing, and the next run's to mend.
    pub healthy: &'a BTreeSet<PartitionId>,
    /// Partitions that an earlier run reported for what nothing shows later on.
    pub lacking: &'a BTreeSet<PartitionId>,
    /// A follower that lost its end and was loaded by a run that was cut off before it looked again: its leader does not
    /// know, and nothing that a later run could see tells it from one that is caught up.
    pub may_be_behind: bool,
}

fn violation(invariant: &'static str, text: String) -> Violation {
    Violation { invariant, text }
}

/// The partition that a summary's entry is about.
pub fn id_of(world: &World, blocked: &BlockedEntry) -> Option<PartitionId> {
    let tables = world.tables();
    let table = tables.iter().find(|table| table.name() == blocked.table && table.db() == blocked.db)?;
    Some(PartitionId { tid: Tid(table.tid()), pid: blocked.pid })
}

/// The partitions in which something was found at the end that a run can do nothing about.
fn found(world: &World, summary: &Summary) -> BTreeSet<PartitionId> {
    let (metadata, tables) = (world.metadata(), world.tables());
    let hopeless =
        |finding: &&Finding| matches!(finding.kind, FindingKind::Behind | FindingKind::Ahead | FindingKind::FewerRows);
    let findings = summary.verification.iter().flat_map(|verification| &verification.findings).filter(hopeless);
    let named = findings.filter_map(|finding| finding.table.as_ref().zip(finding.pid));
    let ids = named.filter_map(|(name, pid)| {
        let table = tables.iter().find(|table| table.name() == name.table && table.db() == name.db)?;
        Some(PartitionId { tid: Tid(table.tid()), pid })
    });
    ids.filter(|id| metadata.contains_key(id)).collect()
}

/// Terms of a disk table's entries cannot be known, so the larger offset decides and says what it gives up. So it is for
/// logs that parted and came together again before anybody looked: only the term of a last entry can be known.
fn on_disk(world: &World) -> BTreeSet<u32> {
    let disk = world.tables().into_iter().filter(|table| table.storage_mode() != StorageMode::KMemory);
    disk.map(|table| table.tid()).collect()
}

/// Every row that some reachable replica held when the first run began and no failover had given up, and every row that a
/// client was told is written, is still held by some replica, unless a choice announced that it gives it up. Gives how many
/// losses were announced, too. What happens beside a run that changes nothing is OpenMLDB's doing.
pub fn no_row_is_lost(judge: &mut Judge, world: &World) -> (Vec<Violation>, usize) {
    let (mut lost, mut announced) = (Vec::new(), 0);
    if !judge.changed_anything() {
        return (lost, announced);
    }
    judge.what_others_ruined(world);
    let (disk, metadata) = (on_disk(world), world.metadata());
    let expected = judge.ledger.close(world).clone();
    // What was dropped is no longer anybody's.
    let nobody_knows = |id: &PartitionId| judge.ledger.untold_by_terms.contains(id) || judge.forgotten.contains(id);
    let can_be_known = |id: &PartitionId| metadata.contains_key(id) && !nobody_knows(id);
    for (id, rows) in expected.iter().filter(|(id, _)| can_be_known(id)) {
        let mut held: BTreeSet<_> =
            logs(world, *id, &judge.missing).values().flatten().map(|entry| entry.row).collect();
        let given_back = judge.given_back.get(id);
        held.extend(given_back.into_iter().flat_map(|given_back| &given_back.held));
        let since = |row: &RowId| given_back.is_some_and(|then| then.may_have_gone_in_an_election(world, *id, *row));
        let gone: BTreeSet<RowId> = rows.difference(&held).filter(|row| !since(row)).copied().collect();
        let there: Vec<Entry> = logs(world, *id, &judge.missing).into_values().flatten().collect();
        let gone = judge.ledger.missed(world, *id, &there, gone);
        if gone.is_empty() {
            continue;
        }
        let said = judge.announced.get(id).copied().unwrap_or_default();
        let (on_disk, parted) = (disk.contains(&id.tid.0), judge.ledger.diverged.contains(id));
        // No term tells the entries of a disk table apart, so where its replicas had parted unseen nobody can say so.
        if on_disk && parted {
            continue;
        }
        let is_unknowable = on_disk || parted;
        if is_unknowable && said >= gone.len() as u64 {
            announced += 1;
        } else {
            lost.push(violation("no_row_is_lost", format!("{id}: {} rows are nowhere: {gone:?}", gone.len())));
        }
    }
    (lost, announced)
}

/// Every run ends: soon after a signal, and never by a panic.
pub fn every_run_ends(ran: &Ran) -> Vec<Violation> {
    let mut wrong = Vec::new();
    if matches!(ran.ended, Ended::Never) {
        wrong.push("it does not end".to_owned());
    }
    if ran.stopping.is_some_and(|stopping| stopping > CLEANING_UP) {
        wrong.push(format!("ended {:?} after its signal", ran.stopping));
    }
    if let Some(panic) = ran.recovered().and_then(|recovered| recovered.panicked.clone()) {
        wrong.push(format!("panicked: {panic}"));
    }
    wrong.into_iter().map(|text| violation("every_run_ends", text)).collect()
}

/// auto_failover is as it was before the first run that did not finish, unless the run says that it could not restore
/// it, or that it keeps it off.
pub fn auto_failover_is_given_back(ran: &Ran, before: Option<bool>, now: Option<bool>) -> Option<Violation> {
    let owed = match &ran.ended {
        Ended::Itself(result) => match result.as_ref() {
            Ok(recovered) => {
                let kept_off = before == Some(true) && !recovered.summary.auto_failover.held_for.is_empty();
                recovered.not_restored.is_none() && !(kept_off && now == Some(false))
            }
            // It found what an earlier run had left, and leaves that as it is.
            Err(RecoverError::Stopped { .. }) => false,
            Err(error) => {
                let error = format!("{error:?}");
                !error.contains("not_restored: Some") && !error.contains("held_for: [HeldFor")
            }
        },
        Ended::Killed | Ended::Never => false,
    };
    let differs = before.is_some() && now.is_some() && now != before;
    let text = || format!("it was {before:?} and is {now:?} after: {}", ran.ending());
    (owed && differs).then(|| violation("auto_failover_is_given_back", text()))
}

/// A run that was stopped before it changed anything leaves auto_failover as it found it.
pub fn a_run_that_was_stopped_first_changes_nothing(
    ran: &Ran,
    found: Option<bool>,
    now: Option<bool>,
) -> Option<Violation> {
    let Ended::Itself(result) = &ran.ended else { return None };
    let is_stopped = matches!(result.as_ref(), Err(RecoverError::Stopped { .. }));
    let differs = found.is_some() && now.is_some() && now != found;
    let text = || format!("auto_failover was {found:?} and is {now:?} after: {}", ran.ending());
    (is_stopped && differs).then(|| violation("a_run_that_was_stopped_first_changes_nothing", text()))
}

/// It is kept off only because of replicas in partitions that are not healthy, or whose replicas do not hold the same.
pub fn auto_failover_is_kept_off_for_a_reason(ran: &Ran, world: &mut World) -> Vec<Violation> {
    let healthy: BTreeSet<PartitionId> = world.healthy().difference(&world.diverged()).copied().collect();
    let held = ran.recovered().into_iter().flat_map(|recovered| &recovered.summary.auto_failover.held_for);
    let without_reason = held.filter(|held| healthy.contains(&held.partition));
    without_reason.map(|held| violation("auto_failover_is_kept_off_for_a_reason", format!("{held:?}"))).collect()
}

/// Flags, roles, rows: everything that a run may change.
pub fn looks_like(world: &World, missing: &[Endpoint]) -> Vec<String> {
    let mut seen = Vec::new();
    for (id, metas) in world.metadata() {
        for meta in &metas.partition_meta {
            seen.push(format!("{id} {} {} {}", meta.endpoint, meta.is_leader, meta.is_alive()));
        }
        seen.push(format!("{id} {:?} {:?}", metas.term_offset, logs(world, id, missing)));
    }
    seen
}

fn changed(world: &World, missing: &[Endpoint], before: &[String]) -> Option<String> {
    let after = looks_like(world, missing);
    let differs = before.iter().zip(&after).find(|(before, after)| before != after);
    differs.map(|(before, after)| format!("{before} became {after}"))
}

fn mutations(world: &World, but: &[&str]) -> Vec<String> {
    mutations_but(world, but, |_| false)
}

fn mutations_but(world: &World, but: &[&str], and: impl Fn(&Traced) -> bool) -> Vec<String> {
    let counts = |call: &&Traced| call.effect == Effect::Mutate && !but.contains(&call.method) && !and(call);
    let calls = world.trace().calls().filter(counts);
    calls.map(|call| format!("{} {} {:?}", call.server, call.method, call.partitions)).collect()
}

fn expires_with_time(table: &TableInfo) -> bool {
    let ages = |key: &ColumnKey| key.ttl.as_ref().is_some_and(|ttl| ttl.abs_ttl() > 0);
    table.column_key.iter().any(ages)
}

/// A run after a calm one.
pub struct Second {
    /// It sent something that may change something, and the trace holds its calls alone.
    pub opened: bool,
    /// Partitions on which operations failed in it, as for the first one.
    pub failed: BTreeSet<PartitionId>,
    /// Partitions that the runs before it meant to change.
    pub touched: BTreeSet<PartitionId>,
}

/// A run after a calm one may ask again whether something can be loaded, whether an operation still fails, what a refused call shows,
/// and, of what is not well, for a snapshot that would show a term. Nothing else.
pub fn a_second_run_changes_nothing(
    world: &mut World,
    missing: &[Endpoint],
    before: &[String],
    second: Second,
) -> Option<Violation> {
    // Without a run's doing, what changes is OpenMLDB's.
    if !second.opened {
        return None;
    }
    // In which replicas differed may have expired since.
    if world.tables().iter().any(expires_with_time) {
        return None;
    }
    let harmless = ["ConfSet", "LoadTable", "UpdateTableAliveStatus"];
    // It is asked for again, and fails again: what it leaves paused goes on.
    let fails = |call: &Traced| {
        matches!(call.method, "RecoverTable" | "RecoverSnapshot")
            && call.partitions.iter().all(|id| second.failed.contains(id))
    };
    // What an operation of OpenMLDB's own has left paused since.
    let resumed = |call: &Traced| {
        call.method == "RecoverSnapshot" && call.partitions.iter().all(|id| !second.touched.contains(id))
    };
    let healthy = world.healthy();
    let proves =
        |call: &Traced| call.method == "MakeSnapshot" && call.partitions.iter().all(|id| !healthy.contains(id));
    let calls = mutations_but(world, &harmless, |call| resumed(call) || fails(call) || proves(call));
    let sent = (!calls.is_empty()).then(|| format!("{calls:?}"));
    changed(world, missing, before).or(sent).map(|text| violation("a_second_run_changes_nothing", text))
}

/// A dry run sends nothing that may change anything.
pub fn looking_changes_nothing(world: &World) -> Option<Violation> {
    let calls = mutations(world, &[]);
    (!calls.is_empty()).then(|| violation("looking_changes_nothing", format!("{calls:?}")))
}

/// What the summary says of each partition is so: those that are not blocked are healthy, and their replicas hold the same
/// entries, term by term, and every row that has to be there. Gives how many are behind unseen, too.
pub fn what_is_reported_is_so(
    world: &mut World,
    judge: &mut Judge,
    reported: &Reported<'_>,
) -> (Vec<Violation>, usize) {
    let (mut wrong, mut unseen) = (Vec::new(), 0);
    let still_healthy = world.healthy();
    let expected = judge.ledger.close(world).clone();
    let mut blocked: BTreeSet<PartitionId> =
        reported.summary.blocked.iter().filter_map(|blocked| id_of(world, blocked)).collect();
    // Found by two looks at the end.
    blocked.extend(found(world, reported.summary));
    let of_nothing = of_dropped_tables(world);
    for id in world.metadata().into_keys().filter(|id| !of_nothing.contains(id)) {
        // What looked healthy all the time is none of its business.
        if blocked.contains(&id) || reported.lacking.contains(&id) || !judge.touched.contains(&id) {
            continue;
        }
        if !reported.healthy.contains(&id) {
            let seen = looks_like(world, &judge.missing).into_iter().filter(|seen| seen.starts_with(&format!("{id} ")));
            let seen: Vec<String> = seen.collect();
            let text = format!("{id} is reported healthy and is not: {}", seen.join(", "));
            wrong.push(violation("what_is_reported_is_so", text));
        }
        if judge.ledger.diverged.contains(&id) || !still_healthy.contains(&id) {
            continue;
        }
        let logs = logs(world, id, &judge.missing);
        if reported.may_be_behind && some_are_behind(&logs) {
            unseen += 1;
            continue;
        }
        if !show_the_same(world, id, &logs) {
            wrong.extend(replicas_hold_the_same(id, &logs));
        }
        // What nobody holds is another invariant's.
        let held = |log: &[Entry]| log.iter().map(|entry| entry.row).collect::<BTreeSet<_>>();
        let anywhere = logs.values().flat_map(|log| held(log)).collect();
        let rows: BTreeSet<_> = expected.get(&id).into_iter().flatten().copied().collect();
        for (at, log) in &logs {
            let lost = &(&rows & &anywhere) - &held(log);
            let others: Vec<Entry> = logs.values().flatten().filter(|e| lost.contains(&e.row)).copied().collect();
            if !lacks_nothing(world, id, log, &others) {
                let text = format!("{id}: {at} lacks {} rows", lost.len());
                wrong.push(violation("every_replica_holds_every_row", text));
            }
        }
    }
    (wrong, unseen)
}

fn some_are_behind(logs: &BTreeMap<Endpoint, Vec<Entry>>) -> bool {
    let longest = logs.values().max_by_key(|log| log.len()).cloned().unwrap_or_default();
    logs.values().any(|log| log.len() < longest.len() && longest.starts_with(log))
}

fn replicas_hold_the_same(id: PartitionId, logs: &BTreeMap<Endpoint, Vec<Entry>>) -> Option<Violation> {
    let first = logs.values().next()?;
    let is_first = |log: &Vec<Entry>| log.len() == first.len() && log.iter().zip(first).all(|(a, b)| is_same(a, b));
    if logs.values().all(is_first) {
        return None;
    }
    let text = |log: &Vec<Entry>| {
        let entries: Vec<String> = log.iter().map(|e| format!("{}:{}:{}", e.term, e.index, e.row.0)).collect();
        entries.join(" ")
    };
    let told: Vec<String> = logs.iter().map(|(at, log)| format!("{at} [{}]", text(log))).collect();
    Some(violation("replicas_hold_the_same", format!("{id}: {}", told.join(" / "))))
}
