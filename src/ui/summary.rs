//! The end of a command, for people: a verdict in a sentence, what is blocked and what to do, what was given up, times.

use std::collections::{BTreeMap, BTreeSet};

use crate::recovery::{Loss, WhyHeld};
use crate::run::{
    AcceptedEntry, BlockedEntry, GivenUpEntry, HeldFor, OutstandingWork, Recovered, RowsCompared, Stop, Summary,
    Verdict, held_at, why_held,
};
use crate::verify::Standing;

use super::color::{Paint, Tone};
use super::named::{LISTED, named};
use super::plan::losses;
use super::service::service_text;
use super::verification::verification_text;
use super::words::{Numbers, Silence, command, elapsed, entries_lost, on_off, one_line, silence};
use crate::model::{TableName, counted};

/// Which command a summary is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// A recovery, which may have changed something.
    Recovery,
    /// A dry run.
    Plan,
    /// A look: `status`.
    Look,
    /// A snapshot that was saved, which says nothing by its exit code.
    Saved,
}

/// The summary.
pub fn summary_text(summary: &Summary, about: About, paint: Paint) -> String {
    // A look and a plan have said it before.
    let service = if about == About::Recovery { serves(summary, paint) } else { String::new() };
    service + &rest_text(summary, about, paint)
}

/// Whether clients can read and write, if that was seen.
fn serves(summary: &Summary, paint: Paint) -> String {
    summary.service.as_ref().map_or(String::new(), |service| service_text(service, paint))
}

fn rest_text(summary: &Summary, about: About, paint: Paint) -> String {
    let (tone, sentence) = verdict(summary, about);
    let mut out = format!("{}\n", paint.tone(tone, &sentence));
    if about == About::Recovery {
        out += &numbers(summary);
    }
    let mut details = String::new();
    if about == About::Recovery {
        blocked(&mut details, &summary.blocked, paint);
    }
    if about == About::Recovery {
        accepted(&mut details, &summary.accepted, paint);
    }
    if matches!(about, About::Recovery | About::Plan) {
        given_up(&mut details, &summary.given_up, about, paint);
    }
    if !details.is_empty() {
        out += &details;
        out.push('\n');
    }
    if let Some(found) = &summary.verification {
        let told = summary.blocked.iter().filter(|_| about == About::Recovery);
        let told = told.map(|entry| (entry.db.clone(), entry.table.clone(), entry.pid)).collect();
        out += &verification_text(found, &told, paint);
    }
    if let Some(rows) = &summary.rows_compared {
        out += &format!("{}\n", rows_text(rows, paint));
    }
    out += &format!("Calls: {}, {}.\n", counted(summary.rpc.reads, "read"), counted(summary.rpc.mutations, "mutation"));
    if about == About::Recovery {
        let seen = &summary.auto_failover;
        let (before, after) = (on_off(seen.before), on_off(seen.after));
        let tone = if seen.before && !seen.after { Tone::Bad } else { Tone::Usual };
        out += &format!("{}\n", paint.tone(tone, &format!("auto_failover was {before} before and is {after} now.")));
    }
    out
}

/// What came of comparing all rows.
fn rows_text(rows: &RowsCompared, paint: Paint) -> String {
    let RowsCompared { same, differ, not_compared, alone } = *rows;
    let told = [
        (differ, "where replicas differ (`openmldb-ops replica diff D.T/PID` shows how)", Tone::Bad),
        (not_compared, "that could not be compared", Tone::Warning),
        (alone, "with fewer than two replicas loaded, and nothing to compare", Tone::Usual),
    ];
    let beside = told.into_iter().filter(|(partitions, ..)| *partitions > 0);
    let beside = beside.map(|(partitions, what, tone)| paint.tone(tone, &format!("; {partitions} {what}")));
    let tone = if same > 0 && differ == 0 { Tone::Good } else { Tone::Usual };
    let all = format!("Rows compared: in {} all replicas hold the same", counted(same, "partition"));
    format!("{}{}.", paint.tone(tone, &all), beside.collect::<String>())
}

/// Whether somebody has switched auto_failover off although the run restored it.
pub fn was_switched_off(summary: &Summary) -> bool {
    let seen = &summary.auto_failover;
    seen.before && !seen.after && seen.held_for.is_empty()
}

/// Why auto_failover stays off, and what to do about it.
pub fn kept_off_text(held: &[HeldFor]) -> String {
    let tablets = held_at(held);
    let names = |of: &dyn Fn(&HeldFor) -> bool| {
        let these: Vec<HeldFor> = held.iter().filter(|held| of(held)).cloned().collect();
        held_at(&these).iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    };
    let unseen = names(&|held| held.why == WhyHeld::Unseen);
    let seen = names(&|held| held.why == WhyHeld::HoldsMore);
    let start = if unseen.is_empty() { String::new() } else { format!("bring {unseen} back, then ") };
    let settle = match seen.is_empty() {
        true => String::new(),
        false => format!(" (first settle the extra entries on {seen}: see above)"),
    };
    let without: Vec<String> = tablets.iter().map(|at| format!("--without {at}")).collect();
    format!(
        "auto_failover stays off: {}. What to do: {start}run the same command again{settle}; or, if it is gone for \
         good, run it with `{}`; or restore auto_failover and accept the loss: `openmldb-ops failover restore \
         --release`",
        why_held(held),
        without.join(" ")
    )
}

pub(super) fn verdict(summary: &Summary, about: About) -> (Tone, String) {
    let counts = &summary.partitions;
    let all = match counts.total {
        1 => "the partition in scope is healthy".to_owned(),
        total => format!("all {total} partitions in scope are healthy"),
    };
    let unhealthy = counts.total - counts.healthy_before;
    let of_all = format!("{} of {}", counts.blocked + counts.failed, counted(counts.total, "partition"));
    match (summary.verdict, about) {
        (_, About::Look) => look(summary, &all, &of_all),
        (_, About::Saved) if unhealthy == 0 => (Tone::Usual, format!("Saved: {all}.")),
        (_, About::Saved) => (Tone::Usual, format!("Saved: {of_all} unhealthy.")),
        (Verdict::Refused, _) => (Tone::Bad, "Refused: the cluster no longer matches the plan.".to_owned()),
        (Verdict::Healthy, About::Plan) => (Tone::Good, format!("Dry run: {all}; there is nothing to do.")),
        (Verdict::Recovered | Verdict::Healthy, About::Recovery) if was_switched_off(summary) => {
            (Tone::Warning, format!("Partial: {all}, but someone else switched auto_failover off."))
        }
        (Verdict::Healthy, _) => (Tone::Good, format!("Healthy: {all}.")),
        (_, About::Plan) => {
            let blocked = match counts.blocked {
                0 => "none blocked as far as is known".to_owned(),
                blocked => format!("{blocked} blocked"),
            };
            let of = counted(counts.total, "partition");
            (Tone::Strong, format!("Dry run: {unhealthy} of {of} to bring back, {blocked}. Nothing was changed."))
        }
        (Verdict::Recovered, _) => (Tone::Good, format!("Recovered: {all}.")),
        (Verdict::Partial, _) if counts.blocked + counts.failed == 0 && !summary.auto_failover.held_for.is_empty() => {
            (Tone::Warning, format!("Partial: {all}, but auto_failover stays off."))
        }
        (Verdict::Partial, _) if counts.blocked + counts.failed == 0 => {
            (Tone::Warning, format!("Partial: {all} by their flags, but there are other problems."))
        }
        (Verdict::Partial, _) => (Tone::Warning, format!("Partial: {of_all} not recovered or not redundant.")),
        (Verdict::Interrupted, _) => (Tone::Bad, format!("Interrupted: {of_all} not finished.")),
        (Verdict::Failed, _) => (Tone::Bad, format!("Failed: {of_all} not finished.")),
    }
}

/// The end of a look: what is wrong is what it is called unhealthy for, and nothing is called healthy beside it.
fn look(summary: &Summary, all: &str, of_all: &str) -> (Tone, String) {
    if summary.beside.other_end {
        return (Tone::Bad, "Unhealthy: the server that answers is not part of the cluster you asked for.".to_owned());
    }
    if summary.partitions.blocked + summary.partitions.failed > 0 {
        return (Tone::Bad, format!("Unhealthy: {of_all}."));
    }
    match summary.beside.tablets_with_problems {
        0 => {}
        1 => return (Tone::Warning, "Unhealthy: one tablet has a problem; no partition has one yet.".to_owned()),
        more => return (Tone::Warning, format!("Unhealthy: {more} tablets have a problem; no partition has one yet.")),
    }
    let by_flags = "flags and roles are right";
    match summary.verification.as_ref().map(|found| (found.verdict, found.findings.len())) {
        None | Some((Standing::Complete, _)) => (Tone::Good, format!("Healthy: {all}.")),
        Some((Standing::NotFullySucceeded, findings)) => {
            (Tone::Bad, format!("Unhealthy: {by_flags}, but a second look found {}.", counted(findings, "problem")))
        }
        Some((Standing::NotFinished, _)) => {
            (Tone::Warning, format!("Unsettled: {by_flags}, but something is still in progress."))
        }
        Some((Standing::Undetermined, _)) => {
            (Tone::Warning, format!("Unclear: {by_flags}, but not every server answered."))
        }
    }
}

fn numbers(summary: &Summary) -> String {
    let counts = &summary.partitions;
    let mut out = format!(
        "{} ({}): {} healthy before, {} recovered, {} blocked, {} not finished.\n",
        counted(counts.total, "partition"),
        counted(summary.replicas.total, "replica"),
        counts.healthy_before,
        counts.recovered,
        counts.blocked,
        counts.failed
    );
    // Nobody should take times of those that came back for times at which all was well.
    let is_all = counts.blocked + counts.failed == 0;
    let whose = if is_all { "Serving" } else { "Those that came back: serving" };
    if let Some(serving) = summary.serving_after_ms {
        out += &format!("{whose} after {}", elapsed(serving));
        if let Some(redundant) = summary.redundant_after_ms.filter(|_| is_all || counts.recovered > 0) {
            out += &format!(", redundant after {}", elapsed(redundant));
        }
        out += ".\n";
    }
    out
}

pub(super) fn blocked(out: &mut String, entries: &[BlockedEntry], paint: Paint) {
    if entries.is_empty() {
        return;
    }
    *out += &format!("\n{}\n", paint.tone(Tone::Strong, "Problems:"));
    let mut alike: Vec<Vec<&BlockedEntry>> = Vec::new();
    for entry in entries {
        let says_the_same = |other: &BlockedEntry| {
            (other.reason, &other.text, &other.hint, &other.losses)
                == (entry.reason, &entry.text, &entry.hint, &entry.losses)
        };
        match alike.iter_mut().find(|group| group.first().is_some_and(|first| says_the_same(first))) {
            Some(group) => group.push(entry),
            None => alike.push(vec![entry]),
        }
        if alike.len() > LISTED {
            break;
        }
    }
    let is_cut = alike.len() > LISTED;
    if is_cut {
        let mut by_reason: BTreeMap<&str, Vec<&BlockedEntry>> = BTreeMap::new();
        entries.iter().for_each(|entry| by_reason.entry(entry.reason).or_default().push(entry));
        alike = by_reason.into_values().collect();
    }
    let mut silent = BTreeSet::new();
    for group in &alike {
        let Some(first) = group.first() else { continue };
        if is_cut && group.len() > 1 {
            *out += &format!("  {} like this one:\n", counted(group.len(), "partition"));
        }
        let tables: Vec<TableName> = group.iter().map(|entry| named_table(&entry.db, &entry.table)).collect();
        let names = named(tables.iter().zip(group.iter().map(|entry| entry.pid)));
        *out += &blocked_one(&names, first, &mut silent, paint);
    }
    if is_cut {
        *out += "  --output json lists each\n";
    }
    if entries.iter().any(|entry| !entry.losses.is_empty()) {
        *out +=
            "To accept these losses and no others, run the same command with --dry-run: it prints the id to accept.\n";
    }
}

/// `silent`: the servers of which it has been told why they do not answer.
fn blocked_one(names: &str, entry: &BlockedEntry, silent: &mut BTreeSet<String>, paint: Paint) -> String {
    let BlockedEntry { reason, text, hint, losses: would_be_lost, .. } = entry;
    let reason = paint.tone(Tone::Bad, reason);
    let text = match silence(text) {
        Some(Silence { who, short, .. }) if !silent.insert(who.clone()) => short,
        Some(_) | None => text.clone(),
    };
    let mut out = format!("  {names}: {reason}: {}\n    hint: {}\n", one_line(&text), one_line(hint));
    for loss in losses(would_be_lost) {
        out += &format!("    would be lost: {loss}\n");
    }
    out
}

fn accepted(out: &mut String, entries: &[AcceptedEntry], paint: Paint) {
    if entries.is_empty() {
        return;
    }
    *out += &format!("\n{}\n", paint.tone(Tone::Bad, "Lost, as accepted:"));
    let of_one = |a: &AcceptedEntry, b: &AcceptedEntry| (&a.db, &a.table, a.pid) == (&b.db, &b.table, b.pid);
    for of_one in entries.chunk_by(of_one) {
        let Some(AcceptedEntry { db, table, pid, .. }) = of_one.first() else { continue };
        let lost: Vec<Loss> = of_one.iter().map(|entry| entry.loss.clone()).collect();
        for loss in losses(&lost) {
            *out += &format!("  {}/{pid}: {loss}\n", one_line(&dotted(db, table)));
        }
    }
}

fn given_up(out: &mut String, entries: &[GivenUpEntry], about: About, paint: Paint) {
    if entries.is_empty() {
        return;
    }
    let heading = match about {
        About::Plan => "To be given up: only that replica holds it (its directory is kept):",
        About::Recovery | About::Look | About::Saved => "Given up: only that replica held it (its directory is kept):",
    };
    *out += &format!("\n{}\n", paint.tone(Tone::Warning, heading));
    if entries.len() > LISTED {
        let tables: Vec<TableName> = entries.iter().map(|e| named_table(&e.db, &e.table)).collect();
        let partitions = named(tables.iter().zip(entries.iter().map(|entry| entry.pid)));
        let (sum, at_most) = (entries.iter().map(|e| e.entries).sum(), entries.iter().any(|e| e.at_most));
        let lost = entries_lost(sum, at_most, None);
        *out +=
            &format!("  {lost} of {}, {partitions}\n  --output json lists each\n", counted(entries.len(), "replica"));
        return;
    }
    for GivenUpEntry { db, table, pid, endpoint, entries, at_most, term, directory } in entries {
        let name = one_line(&format!("{}/{pid}", dotted(db, table)));
        let lost = entries_lost(*entries, *at_most, *term);
        *out += &format!("  {name}: {endpoint}, {lost}; directory {directory}\n");
    }
}

fn named_table(db: &str, table: &str) -> TableName {
    TableName { db: db.to_owned(), table: table.to_owned() }
}

fn dotted(db: &str, table: &str) -> String {
    if db.is_empty() { table.to_owned() } else { format!("{db}.{table}") }
}

/// A recovery's summary with how it ended. If auto_failover could not be restored, `by_hand` is the last line.
pub fn recovered_text(recovered: &Recovered, by_hand: &str, paint: Paint) -> String {
    let mut out = serves(&recovered.summary, paint);
    // Then what the exit code is about, then what became of partitions.
    if recovered.not_restored.is_some() {
        let was = on_off(recovered.summary.auto_failover.before);
        let text = format!("auto_failover was {was} before and could not be restored: see the last line.");
        out += &format!("{}\n", paint.tone(Tone::Bad, &text));
    }
    if let Some(why) = recovered.unrecorded.as_ref().filter(|_| recovered.stopped != Some(Stop::Unrecorded)) {
        let text = format!("The record is incomplete: {}", one_line(why));
        out += &format!("{}\n", paint.tone(Tone::Bad, &text));
    }
    if let Some(message) = &recovered.panicked {
        let text = format!("The run hit a bug in this program, please report it: {}", one_line(message));
        out += &format!("{}\n", paint.tone(Tone::Bad, &text));
    }
    match recovered.stopped {
        None | Some(Stop::No) => {}
        Some(Stop::Signal(number)) => {
            out += &format!(
                "Stopped by signal {number}: calls in progress were allowed to finish, nothing new was started.\n"
            );
        }
        Some(Stop::Deadline) => {
            out += "Stopped at the deadline: calls in progress were allowed to finish, nothing new was started.\n"
        }
        Some(Stop::NoNameserver) => {
            out +=
                "Stopped because no nameserver answered for ten minutes: start one, then run the same command again.\n"
        }
        Some(Stop::LockLost) => {
            out += "Stopped because the lock was lost and another run may be active: calls in progress were allowed to \
                finish, nothing new was started.\n"
        }
        Some(Stop::Unrecorded) => {
            out += "Stopped because the record could not be written: calls in progress were allowed to finish, nothing \
                new was started.\n"
        }
    }
    out += &rest_text(&recovered.summary, About::Recovery, paint);
    if recovered.stopped.is_some_and(|stop| stop != Stop::No) || recovered.panicked.is_some() {
        out += "Run the same command again to continue.\n";
    }
    for going_on in recovered.still_going_on.iter().take(LISTED) {
        out += &format!("Still in progress: {}.\n", going_on_text(going_on));
    }
    match recovered.still_going_on.len().saturating_sub(LISTED) {
        0 => {}
        more => out += &format!("Still in progress: {more} more, which `openmldb-ops record show last` lists.\n"),
    }
    if was_switched_off(&recovered.summary) && recovered.not_restored.is_none() {
        let text = "auto_failover was restored, but someone has switched it off since: run `openmldb-ops failover set \
            on` unless it has to stay off";
        out += &format!("{}\n", paint.tone(Tone::Bad, text));
    }
    let held = &recovered.summary.auto_failover.held_for;
    if !held.is_empty() && recovered.not_restored.is_none() {
        out += &format!("{}\n", paint.tone(Tone::Bad, &kept_off_text(held)));
    }
    if let Some(seen) = &recovered.not_restored {
        let text = format!("auto_failover could not be restored ({}). Do it by hand:", one_line(seen));
        out += &format!("{}\n{by_hand}\n", paint.tone(Tone::Bad, &text));
    }
    out
}

/// What goes on, in a sentence.
pub fn going_on_text(going_on: &OutstandingWork) -> String {
    match going_on {
        OutstandingWork::Call { action } => {
            format!("`{}` was sent but not answered, and may still take effect", command(action, Numbers::Known))
        }
        OutstandingWork::Command { command } => {
            format!("`{}` was sent but not answered, and may still take effect", one_line(command))
        }
        OutstandingWork::Load { endpoint, table, pid, seen: true } => format!("{endpoint} loads {table}/{pid}"),
        OutstandingWork::Load { endpoint, table, pid, seen: false } => {
            format!("{endpoint} was told to load {table}/{pid}; a queued load is not visible")
        }
        OutstandingWork::Op { op, kind, table, pid, task } => match task.as_str() {
            // The nameserver names none before the first one, and none after the last.
            "-" => format!("operation {op} ({kind}) on {table}/{pid} has not ended"),
            task => format!("operation {op} ({kind}) on {table}/{pid} is at {task}"),
        },
    }
}

/// The command that sets auto_failover by hand. `reach` is what it needs to find the cluster: ` --zk-cluster A --zk-root-path R`.
pub fn by_hand(reach: &str, auto_failover: bool) -> String {
    format!("openmldb-ops failover set {}{reach}", on_off(auto_failover))
}

#[cfg(test)]
#[path = "summary_tests.rs"]
mod tests;
