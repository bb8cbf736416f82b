//! The goals of an undertaking over many partitions: those with the same way there are told together, and what is left by its reasons.

use std::collections::BTreeMap;

use crate::model::{Pid, TableName, counted};

use super::arrangement::{GoalLine, LeftLine};
use super::color::{Paint, Tone};
use super::named::{LISTED, named};
use super::words::one_line;

/// What stands for a partition where a text is about several.
const ANY: &str = "D.T/PID";

/// Each goal with its steps; of many, a block for each way that several have.
pub(super) fn goals(goals: &[GoalLine], each: bool, paint: Paint) -> String {
    if each || goals.len() <= LISTED {
        return goals.iter().map(|line| goal(line, paint)).collect();
    }
    let mut out = String::new();
    for (way, alike) in alike(goals, way) {
        let heading = paint.tone(Tone::Strong, &counted(alike.len(), "partition"));
        out += &format!("\n{heading}: {way}\n  {}\n", names(&alike, |line| (&line.table, line.pid)));
        let Some(first) = alike.first() else { continue };
        out += &format!("  the first: {}\n", one_line(&first.why));
        if let Some(text) = &first.stops_at {
            out += &format!("  {} {}\n", paint.tone(Tone::Bad, "stops:"), one_line(text));
        }
    }
    out + "\nWith -v every partition is listed, with every step and why.\n"
}

fn goal(line: &GoalLine, paint: Paint) -> String {
    let name = one_line(&format!("{}/{}", line.table, line.pid));
    let mut out = format!("\n{}: {}\n", paint.tone(Tone::Strong, &name), one_line(&line.why));
    for (number, step) in line.steps.iter().enumerate() {
        out += &format!("  {}. {}\n", number + 1, one_line(step));
    }
    if let Some(text) = &line.stops_at {
        out += &format!("  {} {}\n", paint.tone(Tone::Bad, "stops:"), one_line(text));
    }
    out
}

/// The steps to a goal by their commands: `addreplica, changeleader, delreplica`.
fn way(line: &GoalLine) -> String {
    let commands: Vec<&str> = line.steps.iter().filter_map(|step| step.split_whitespace().next()).collect();
    let stops = line.stops_at.is_some().then_some("stops");
    commands.into_iter().chain(stops).collect::<Vec<_>>().join(", ")
}

/// What did not reach its goal, and why; of many, each reason once.
pub(super) fn left(left: &[LeftLine], each: bool, paint: Paint) -> String {
    let reason = |line: &LeftLine| {
        let name = format!("{}/{}", line.table, line.pid);
        let of_any = |text: &str| one_line(&text.replace(&name, ANY));
        format!("{}\n  hint: {}\n", of_any(&line.text), of_any(&line.hint))
    };
    if each || left.len() <= LISTED {
        let told = left.iter().map(|line| {
            let name = one_line(&format!("{}/{}", line.table, line.pid));
            let (text, hint) = (one_line(&line.text), one_line(&line.hint));
            format!("{}: {text}\n  hint: {hint}\n", paint.tone(Tone::Bad, &name))
        });
        return told.collect();
    }
    let by_reason = alike(left, reason);
    let told = by_reason.iter().take(LISTED).map(|(reason, alike)| {
        let heading = paint.tone(Tone::Bad, &format!("{}:", counted(alike.len(), "partition")));
        let (text, hint) = reason.split_once('\n').unwrap_or((reason, ""));
        format!("{heading} {text}\n  {}\n{hint}", names(alike, |line| (&line.table, line.pid)))
    });
    let told: String = told.collect();
    let more = by_reason.iter().skip(LISTED).map(|(_, alike)| alike.len()).sum::<usize>();
    match more {
        0 => told,
        more => format!("{told}{} for other reasons: --output json lists each\n", counted(more, "more partition")),
    }
}

/// What is told alike, the most first.
fn alike<T>(lines: &[T], told: impl Fn(&T) -> String) -> Vec<(String, Vec<&T>)> {
    let mut by_text: BTreeMap<String, Vec<&T>> = BTreeMap::new();
    lines.iter().for_each(|line| by_text.entry(told(line)).or_default().push(line));
    let mut by_text: Vec<(String, Vec<&T>)> = by_text.into_iter().collect();
    by_text.sort_by(|(a, most), (b, other)| other.len().cmp(&most.len()).then_with(|| a.cmp(b)));
    by_text
}

fn names<'a, T>(alike: &[&'a T], of: impl Fn(&'a T) -> (&'a TableName, Pid)) -> String {
    named(alike.iter().map(|line| of(line)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(nth: u32) -> TableName {
        TableName { db: "shop".to_owned(), table: format!("t{}", nth % 4) }
    }

    #[test]
    fn many_partitions_with_one_way_or_one_reason_are_one_block() {
        let goal = |nth: u32| GoalLine {
            table: table(nth),
            pid: Pid(nth / 4),
            replicas: Vec::new(),
            leader: None,
            why: "tablets differ".to_owned(),
            steps: vec![format!("migrate 10.0.0.1:10921 t{} {} 10.0.0.4:10921", nth % 4, nth / 4)],
            stops_at: None,
        };
        let left_line = |nth: u32| LeftLine {
            table: table(nth),
            pid: Pid(nth / 4),
            text: "not started".to_owned(),
            hint: format!("check `openmldb-ops status --partition {}/{}`, then run this again", table(nth), nth / 4),
        };
        let few: Vec<GoalLine> = (0..4).map(goal).collect();
        assert_eq!(goals(&few, false, Paint::Plain).matches("1. migrate").count(), 4);
        let many: Vec<GoalLine> = (0..960).map(goal).collect();
        let text = goals(&many, false, Paint::Plain);
        assert!(text.starts_with("\n960 partitions: migrate\n  shop.t0/0-239, "), "{text}");
        assert!(text.lines().count() < 10 && goals(&many, true, Paint::Plain).lines().count() > 960, "{text}");
        let many: Vec<LeftLine> = (0..960).map(left_line).collect();
        let text = left(&many, false, Paint::Plain);
        assert!(text.starts_with("960 partitions: not started\n  shop.t0/0-239, "), "{text}");
        assert!(
            text.ends_with("\n  hint: check `openmldb-ops status --partition D.T/PID`, then run this again\n"),
            "{text}"
        );
        assert_eq!(text.lines().count(), 3);
    }
}
