//! A run as a page for a browser, in one file that needs no network: the verdict first, then what was left alone and given up, a
//! timeline of each tablet, and the story of each partition. What there may be much of is data that a script in the page shows as
//! it is asked for; everything else is there without it.

mod data;
mod timeline;

use std::fmt::Write as _;

use crate::model::{Pid, counted};
use crate::run::{AcceptedEntry, Calls, LeftAlone, Line, Lost, Outline, RecordedRun, RunState, Work, why_held};

use super::color::Tone;
use super::named::named;
use super::outline::{accepted, by_reason, name_of};
use super::plan::gives_up;
use super::recorded_run::{end_of, typed};
use super::summary::going_on_text;
use super::words::{elapsed, moment, on_off, one_line};

/// Rows of a table that are there without a script, at most.
const ROWS: usize = 500;
/// What may be loaded, and from where: nothing, from nowhere.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// The page of a run that is so far.
pub fn page(recorded_run: &RecordedRun, state: RunState) -> String {
    let outline = Outline::of(recorded_run);
    let run = recorded_run.begun.run;
    let (tone, sentence) = verdict(recorded_run, state, &outline);
    let title = format!("{sentence} - run {run}");
    let mut body = format!("<p class=\"verdict {}\">{}</p>\n", class(tone), escaped(&sentence));
    body += &facts(recorded_run, state, &outline);
    body += &left_alone(&outline.blocked);
    body += &accepted_losses(&outline.accepted);
    body += &given_up(&outline.given_up);
    body += &calls(&outline);
    body += include_str!("body.html");
    let data = data::json(recorded_run);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <title>{}</title>\n<style>\n{}</style>\n</head>\n<body>\n<main>\n{body}</main>\n\
         <footer>openmldb-ops {}; times of day are UTC</footer>\n\
         <script type=\"application/json\" id=\"data\">{data}</script>\n<script>\n{}</script>\n</body>\n</html>\n",
        escaped(&title),
        include_str!("style.css"),
        escaped(env!("OPENMLDB_OPS_VERSION")),
        include_str!("script.js"),
    )
}

/// Text that is only text, in an element or an attribute.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

fn class(tone: Tone) -> &'static str {
    match tone {
        Tone::Good => "good",
        Tone::Warning => "warning",
        Tone::Bad => "bad",
        Tone::Usual | Tone::Strong | Tone::Faint => "usual",
    }
}

/// How it ended, and whether clients could read and write then.
fn verdict(recorded_run: &RecordedRun, state: RunState, outline: &Outline) -> (Tone, String) {
    let (tone, end) = end_of(recorded_run, state);
    let mut letters = end.chars();
    let end: String = letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect();
    if recorded_run.begun.work() != Work::Recovery {
        return (tone, format!("{end}: {}", one_line(&recorded_run.begun.playbook)));
    }
    let touched = data::touched(recorded_run);
    let mut sentence = match (outline.serving, touched) {
        (_, 0) => "no partition had to be brought back".to_owned(),
        (serving, all) if serving == all => format!("all {} that it brought back serve", counted(all, "partition")),
        (serving, all) => format!("{serving} of {} that it worked on serve", counted(all, "partition")),
    };
    let lacking = outline.serving.saturating_sub(outline.redundant);
    if lacking > 0 {
        let _ = write!(sentence, ", {lacking} of them without all of their copies");
    }
    (tone, format!("{end}: {sentence}"))
}

fn facts(recorded_run: &RecordedRun, state: RunState, outline: &Outline) -> String {
    let begun = &recorded_run.begun;
    let caller = &begun.caller;
    let mut rows = vec![
        ("cluster", one_line(&begun.cluster)),
        ("command", one_line(typed(&caller.command))),
        ("began", moment(begun.run.began_ms)),
        ("took", recorded_run.took_ms().map_or("it has no end".to_owned(), elapsed)),
    ];
    if let Some(code) = recorded_run.exit_code() {
        rows.push(("exit code", code.to_string()));
    }
    if begun.work() == Work::Recovery {
        let after = |ms: Option<u64>| ms.map_or(String::new(), |ms| format!(" after {}", elapsed(ms)));
        rows.push(("serving", format!("{}{}", counted(outline.serving, "partition"), after(outline.serving_after_ms))));
        let redundant = counted(outline.redundant, "partition");
        rows.push(("redundant", format!("{redundant}{}", after(outline.redundant_after_ms))));
        rows.push(("playbook", one_line(&begun.playbook)));
        if let Some(expected) = &outline.expected {
            let (serving, redundant) = (elapsed(expected.serving_after_ms), elapsed(expected.redundant_after_ms));
            rows.push(("expected", format!("serving after {serving}, redundant after {redundant}")));
        }
        rows.push((
            "in scope",
            format!("{} with {}", counted(outline.partitions, "partition"), counted(outline.replicas, "replica")),
        ));
    }
    rows.push(("auto_failover", auto_failover(recorded_run, state)));
    rows.push(("run", format!("{} on {}, process {}", begun.run, one_line(&caller.host), caller.pid)));
    if let Some(after) = &begun.after {
        rows.push(("goes on after", format!("run {after}")));
    }
    let mut out = "<dl>\n".to_owned();
    for (name, text) in rows {
        let _ = writeln!(out, "<dt>{name}</dt><dd>{}</dd>", escaped(&text));
    }
    out += "</dl>\n";
    if let Some(Line::Ended { still_going_on, .. }) = recorded_run.ended().filter(|_| state != RunState::Running) {
        for going_on in still_going_on {
            let _ = writeln!(
                out,
                "<p class=\"warning\">still going on at its end: {}</p>",
                escaped(&going_on_text(going_on))
            );
        }
    }
    out
}

fn auto_failover(recorded_run: &RecordedRun, state: RunState) -> String {
    let before = on_off(recorded_run.begun.auto_failover);
    let after = match recorded_run.ended() {
        Some(Line::Ended { held_for, .. }) if !held_for.is_empty() => format!("kept off: {}", why_held(held_for)),
        Some(Line::Ended { restored: true, .. }) => "restored".to_owned(),
        Some(_) => "not restored".to_owned(),
        None if state == RunState::Running => "the run is at work".to_owned(),
        None => "whether it was restored is not recorded".to_owned(),
    };
    one_line(&format!("{before} before; {after}"))
}

fn left_alone(blocked: &[LeftAlone]) -> String {
    if blocked.is_empty() {
        return String::new();
    }
    let mut out = format!("<section>\n<h2>Left alone: {}</h2>\n", counted(blocked.len(), "partition"));
    for (_, partitions) in by_reason(blocked) {
        let Some(first) = partitions.first() else { continue };
        let names = named(partitions.iter().map(|left| (&left.table, left.partition.pid)));
        let (reason, text) = (first.blocked.reason.code(), one_line(&first.blocked.text));
        let _ = writeln!(
            out,
            "<div class=\"card\"><p><b>{}</b> <code>{}</code></p><p>{}</p><p class=\"hint\">What to do: {}</p></div>",
            escaped(&names),
            escaped(reason),
            escaped(&text),
            escaped(&one_line(&first.blocked.hint))
        );
    }
    out + "</section>\n"
}

fn accepted_losses(entries: &[AcceptedEntry]) -> String {
    if entries.is_empty() {
        return String::new();
    }
    let mut out = "<section>\n<h2>Accepted as lost before the run began</h2>\n<ul>\n".to_owned();
    for (loss, partitions) in accepted(entries).into_iter().take(ROWS) {
        let names = named(partitions.iter().map(|(table, pid)| (table, *pid)));
        let _ = writeln!(out, "<li>{}</li>", escaped(&one_line(&format!("{names}: {loss}"))));
    }
    out + "</ul>\n</section>\n"
}

fn given_up(lost: &[Lost]) -> String {
    if lost.is_empty() {
        return String::new();
    }
    let mut out = "<section>\n<h2>Given up, and where it lies</h2>\n<ul>\n".to_owned();
    for Lost { table, partition, given_up } in lost.iter().take(ROWS) {
        let Pid(pid) = partition.pid;
        let text = format!("{}: {}", name_of(table, pid), gives_up(given_up));
        let _ = writeln!(out, "<li>{}</li>", escaped(&one_line(&text)));
    }
    if lost.len() > ROWS {
        let _ = writeln!(out, "<li>and {}: see the partitions below</li>", counted(lost.len() - ROWS, "more replica"));
    }
    out + "</ul>\n</section>\n"
}

fn calls(outline: &Outline) -> String {
    if outline.calls.is_empty() {
        return "<p>Nothing was sent that changes anything.</p>\n".to_owned();
    }
    let sent: usize = outline.calls.values().map(|calls| calls.sent).sum();
    let mut out = format!("<details>\n<summary>{} by step</summary>\n<table>\n", counted(sent, "call"));
    out += "<tr><th>step</th><th>sent</th><th>failed</th><th>not heard of again</th></tr>\n";
    for (step, Calls { sent, failed, unheard }) in &outline.calls {
        let step = escaped(&one_line(step));
        let _ = writeln!(out, "<tr><td>{step}</td><td>{sent}</td><td>{failed}</td><td>{unheard}</td></tr>");
    }
    out + "</table>\n</details>\n"
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
