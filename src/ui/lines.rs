//! An event as one line for people.

use std::collections::BTreeMap;

use crate::model::{Action, Endpoint, PartitionId, Snapshot, TableName, Tid};
use crate::recovery::{Choice, PromotionMethod};
use crate::run::{Awaited, Event, Milestone, Named};

use super::color::{Paint, Tone};
use super::plan::gives_up;
use super::summary::going_on_text;
use super::words::{Numbers, command, elapsed, on_off, one_line, roughly, some_listed};
use crate::model::counted;

/// How much is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Detail {
    /// Leaders, milestones, failed calls, notes.
    Usual,
    /// Every call too.
    Verbose,
}

/// How long a replica has to load before it is said that it may never end (docs/openmldb/load-table.md#a-load-that-never-ends).
const SLOW_LOAD_MS: u64 = 10 * 60 * 1_000;

/// Tables by number, for events that carry nothing else.
#[derive(Debug, Default)]
pub(super) struct Names {
    tables: BTreeMap<Tid, TableName>,
}

impl Names {
    /// The names of a snapshot's tables.
    pub(super) fn of(snapshot: &Snapshot) -> Self {
        Self { tables: snapshot.tables.iter().map(|table| (table.tid, table.name.clone())).collect() }
    }

    /// `db.table/pid`, or the numbers where the name is not known.
    pub(super) fn partition(&self, id: Option<PartitionId>) -> String {
        match id {
            None => "cluster".to_owned(),
            Some(id) => match self.tables.get(&id.tid) {
                Some(table) => one_line(&format!("{table}/{}", id.pid)),
                None => id.to_string(),
            },
        }
    }
}

/// The event's line, if it is told at this detail.
pub(super) fn line(event: &Event, names: &Names, detail: Detail, paint: Paint) -> Option<String> {
    let text = match event {
        Event::Observed { partitions, replicas, healthy, auto_failover } => format!(
            "{} with {}: {healthy} healthy, {} to bring back; auto_failover is {}",
            counted(*partitions, "partition"),
            counted(*replicas, "replica"),
            partitions.saturating_sub(*healthy),
            on_off(*auto_failover)
        ),
        Event::Recorded { path } => format!("state saved to {path}"),
        Event::Waiting { what, endpoints, partitions, partition, for_ms, at_most_ms } => {
            waiting(*what, endpoints, *partitions, partition.as_ref(), (*for_ms, *at_most_ms))
        }
        // Shown as it changes, not line by line.
        Event::Expected(_) | Event::Progress(_) | Event::Arranging(_) => return None,
        Event::StillGoingOn { going_on } => {
            format!("{} {}", paint.tone(Tone::Warning, "still in progress:"), going_on_text(going_on))
        }
        Event::Note { text } => format!("{} {}", paint.tone(Tone::Warning, "note:"), one_line(text)),
        Event::LeaderChosen { table, pid, choice } => {
            let partition = one_line(&format!("{table}/{pid}"));
            format!("{partition}: {}", chosen(choice, paint))
        }
        // As it should be, in as many partitions as there may be.
        Event::RowsChecked { same: Some(true), .. } if detail < Detail::Verbose => return None,
        Event::RowsChecked { table, pid, text, .. } => one_line(&format!("{table}/{pid}: {text}")),
        Event::Action { .. } if detail < Detail::Verbose => return None,
        Event::Action { step, partition, action, why } => {
            let why = if why.is_empty() { String::new() } else { format!(" ({})", one_line(why)) };
            format!("{}: {}{why}", names.partition(*partition), call(step, action))
        }
        Event::ActionFailed { step, partition, action, error } => {
            let failed = paint.tone(Tone::Warning, "failed:");
            format!("{}: {} {failed} {}", names.partition(*partition), call(step, action), one_line(error))
        }
        Event::Partition { table, pid, state, after_ms, blocked } => {
            let partition = one_line(&format!("{table}/{pid}"));
            let word = match state {
                Milestone::Serving => "serving".to_owned(),
                Milestone::Redundant => paint.tone(Tone::Good, "redundant"),
                Milestone::Blocked => paint.tone(Tone::Bad, "blocked"),
            };
            let why = blocked.as_ref().map_or(String::new(), |why| one_line(&format!(", {why}; {}", why.hint)));
            format!("{partition}: {word} after {}{why}", elapsed(*after_ms))
        }
    };
    Some(text)
}

/// What is waited for, for whom, for how long: `shop.clicks/1 loading on 10.0.0.3:10921 for 4 min`.
pub(super) fn waiting(
    what: Awaited,
    endpoints: &[Endpoint],
    partitions: usize,
    longest: Option<&Named>,
    (for_ms, at_most_ms): (u64, Option<u64>),
) -> String {
    let at = some_listed(endpoints);
    let time = roughly(for_ms);
    let Some(Named { table, pid }) = longest else {
        let whom = if endpoints.is_empty() { "others" } else { &at };
        let (it, are) = if endpoints.len() == 1 { ("it", "it is") } else { ("them", "they are") };
        let there = match partitions {
            0 => String::new(),
            1 => "; 1 partition has a replica there".to_owned(),
            more => format!("; {more} partitions have replicas there"),
        };
        if what == Awaited::Answer {
            let there = there.trim_start_matches("; ");
            let open = if there.is_empty() { String::new() } else { format!(" ({there})") };
            return one_line(&format!("no answer from {whom} for {time}{open}"));
        }
        let limit = at_most_ms.map_or(String::new(), |at_most| format!(" of {}", roughly(at_most)));
        return one_line(&format!("waiting for {whom} ({time}{limit}): start {it} if {are} down{there}"));
    };
    let (on, by) = match endpoints.is_empty() {
        true => (String::new(), "a tablet".to_owned()),
        false => (format!(" on {at}"), at),
    };
    let does = match what {
        Awaited::Load => format!("loading{on}"),
        Awaited::Appear => format!("waiting to appear{on}"),
        Awaited::Snapshot => format!("waiting for a snapshot{on}"),
        Awaited::Uptime => {
            "waiting for its tablets to have been up for a minute, before they are asked for snapshots,".to_owned()
        }
        Awaited::Op => "waiting for the nameserver's operation".to_owned(),
        Awaited::CatchUp => format!("catching up{on}"),
        Awaited::Progress => format!("waiting for its replica{on} to accept what its leader sends"),
        Awaited::Rows => format!("waiting for its rows{on} to agree with its leader's"),
        Awaited::Drop => format!("waiting for its replica{on} to be dropped"),
        Awaited::Answer | Awaited::Tablet => format!("waiting for {by} to answer"),
        Awaited::Registration => format!("waiting for the nameserver to consider {by} healthy"),
        Awaited::Flags => "waiting for its flags to change".to_owned(),
        Awaited::Comparison => format!("comparing its rows{on}"),
        Awaited::Call if endpoints.is_empty() => "waiting for a call to be sent or answered".to_owned(),
        Awaited::Call => format!("waiting for other loads{on}"),
        Awaited::SystemTables => "waiting for OpenMLDB's own tables, which must come first,".to_owned(),
        Awaited::BaseTable => "waiting for its base table's leader".to_owned(),
        Awaited::Aggregates => "waiting for its pre-aggregate tables, which must come first,".to_owned(),
        Awaited::Leaders => "waiting for the leaders of other partitions, which must come first,".to_owned(),
    };
    let limit = at_most_ms.map_or(String::new(), |at_most| format!(" (at most {})", roughly(at_most)));
    let log = match what {
        Awaited::Load if for_ms >= SLOW_LOAD_MS => "; if its tablet's log repeats `no log part matched`, it never ends",
        _ => "",
    };
    let more = match partitions.saturating_sub(1) {
        0 => String::new(),
        1 => "; so is 1 more".to_owned(),
        more => format!("; so are {more} more"),
    };
    one_line(&format!("{table}/{pid} {does} for {time}{limit}{more}{log}"))
}

fn call(step: &str, action: &Action) -> String {
    format!("{step}: {}", command(action, Numbers::Known))
}

fn chosen(choice: &Choice, paint: Paint) -> String {
    let how = match choice.way {
        PromotionMethod::ChangeRole => "leads",
        PromotionMethod::ChangeLeader => "is promoted",
    };
    let mut text = format!("{} {how}: {}", choice.leader, one_line(&choice.why));
    for given_up in &choice.given_up {
        text += &format!("; {} {}", paint.tone(Tone::Warning, "given up:"), gives_up(given_up));
    }
    text
}

#[cfg(test)]
#[path = "lines_tests.rs"]
mod tests;
