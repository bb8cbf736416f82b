//! The data of a page. Every text is there once and named by its place, calls are lists of numbers: the page of ten thousand
//! partitions stays one that a browser opens at once.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Serialize;

use crate::model::{Action, Endpoint, PartitionId, Snapshot, Table};
use crate::recovery::{Choice, Memory, Outcome, PromotionMethod, ReplicaEvidence, View};
use crate::run::{Line, Milestone, RecordedRun};

use super::super::plan::gives_up;
use super::super::recorded_run::evidence_text;
use super::super::words::{Numbers, command, one_line};
use super::timeline::{Timeline, at_ms, tablets};

/// Where there are more calls than this, those that succeeded are left out.
const MOST_CALLS: usize = 300_000;
/// Stand for what differs between partitions in a call's words; no text has them.
const TABLE: &str = "\u{1}";
const TID: &str = "\u{2}";
const PID: &str = "\u{3}";
/// No text: a call that succeeded, and one that was not heard of again.
const DONE: i64 = -1;
const UNHEARD: i64 = -2;

/// Something that happened: milliseconds, its kind, a text, and of a call its step, why, how it went, and how long it took.
type Event = Vec<i64>;

#[derive(Serialize)]
struct Data<'a> {
    began_ms: u64,
    took_ms: u64,
    buckets: u64,
    bucket_ms: u64,
    tablets: Vec<&'a Endpoint>,
    /// What each tablet had under way, by kind, as lengths and values.
    lanes: Vec<[Vec<u64>; 3]>,
    /// Names of tables, with and without their databases.
    tables: Vec<[String; 2]>,
    texts: Vec<String>,
    partitions: Vec<Row>,
    cluster: Vec<Event>,
    left_out: usize,
}

/// A partition: its table's place, tid, pid, state, when it served and was redundant, why it was left alone, the evidence, the choice,
/// what happened, and whether a call failed.
#[derive(Serialize)]
struct Row(usize, u32, u32, u8, i64, i64, i64, Vec<(usize, usize)>, Option<Chosen>, Vec<Event>, bool);

/// When, who, how, why; why not the others; what they give up.
#[derive(Serialize)]
struct Chosen(u64, usize, usize, usize, Vec<(usize, usize)>, Vec<usize>);

/// Texts by their places.
#[derive(Default)]
struct Texts {
    places: HashMap<String, usize>,
    all: Vec<String>,
}

impl Texts {
    fn place(&mut self, text: &str) -> usize {
        if let Some(place) = self.places.get(text) {
            return *place;
        }
        let place = self.all.len();
        self.places.insert(text.to_owned(), place);
        self.all.push(text.to_owned());
        place
    }

    fn number(&mut self, text: &str) -> i64 {
        place(self.place(text))
    }
}

fn place(at: usize) -> i64 {
    i64::try_from(at).unwrap_or(i64::MAX)
}

fn ms(at: u64) -> i64 {
    i64::try_from(at).unwrap_or(i64::MAX)
}

/// What a record tells of a partition.
#[derive(Default)]
struct Told<'a> {
    state: Option<Milestone>,
    serving: Option<u64>,
    redundant: Option<u64>,
    blocked: Option<String>,
    choice: Option<(u64, &'a Choice)>,
    events: Vec<Event>,
    failed: bool,
}

/// How many partitions a run worked on.
pub(super) fn touched(recorded_run: &RecordedRun) -> usize {
    let of = |line: &Line| match line {
        Line::Chosen { partition, .. } | Line::Reached { partition, .. } => Some(*partition),
        Line::Sending { partition, .. } => *partition,
        _ => None,
    };
    recorded_run.lines.iter().filter_map(of).collect::<BTreeSet<PartitionId>>().len()
}

/// The data as JSON that may stand in an element.
pub(super) fn json(recorded_run: &RecordedRun) -> String {
    let tablets = tablets(recorded_run);
    let places: HashMap<&Endpoint, usize> = tablets.iter().enumerate().map(|(at, endpoint)| (endpoint, at)).collect();
    let mut timeline = Timeline::of(recorded_run);
    let whole = || vec![timeline.buckets, 0];
    let lanes = tablets.iter().map(|at| timeline.lanes.get(at).cloned().unwrap_or_else(|| [whole(), whole(), whole()]));
    let lanes = lanes.collect();
    timeline.lanes.clear();
    let mut writer =
        Writer { texts: Texts::default(), places: &places, tables: table_names(&recorded_run.begun.snapshot) };
    let (told, cluster, left_out) = writer.told(recorded_run);
    let partitions = writer.rows(&recorded_run.begun.snapshot, told);
    let data = Data {
        began_ms: recorded_run.begun.run.began_ms,
        took_ms: timeline.took_ms,
        buckets: timeline.buckets,
        bucket_ms: timeline.bucket_ms,
        tablets: tablets.iter().collect(),
        lanes,
        tables: writer.tables.into_values().map(|(_, names)| names).collect(),
        texts: writer.texts.all,
        partitions,
        cluster,
        left_out,
    };
    // Nothing in it can end the element that it stands in.
    serde_json::to_string(&data).unwrap_or_default().replace('<', "\\u003c")
}

/// By number: the place, and the names.
type Tables = BTreeMap<u32, (usize, [String; 2])>;

fn table_names(seen: &Snapshot) -> Tables {
    let by_tid: BTreeMap<u32, &Table> = seen.tables.iter().map(|table| (table.tid.0, table)).collect();
    let names = |table: &Table| [one_line(&table.name.to_string()), one_line(&table.name.table)];
    by_tid.into_iter().enumerate().map(|(at, (tid, table))| (tid, (at, names(table)))).collect()
}

struct Writer<'a> {
    texts: Texts,
    places: &'a HashMap<&'a Endpoint, usize>,
    tables: Tables,
}

impl Writer<'_> {
    /// What is told of each partition, and of the whole cluster; and how many calls are left out.
    fn told<'a>(&mut self, recorded_run: &'a RecordedRun) -> (BTreeMap<PartitionId, Told<'a>>, Vec<Event>, usize) {
        let calls =
            recorded_run.lines.iter().filter(|line| matches!(line, Line::Sending { .. } | Line::Command { .. }));
        let has_room = calls.count() <= MOST_CALLS;
        let mut partitions: BTreeMap<PartitionId, Told<'a>> = BTreeMap::new();
        let (mut cluster, mut left_out) = (Vec::new(), 0);
        // Calls that were sent, and their words.
        let mut under_way: BTreeMap<u64, (Option<PartitionId>, Event)> = BTreeMap::new();
        for line in &recorded_run.lines {
            let now = at_ms(line).map_or(0, ms);
            match line {
                Line::Chosen { at_ms, partition, choice, .. } => {
                    partitions.entry(*partition).or_default().choice = Some((*at_ms, choice));
                }
                Line::Waiting { partition, what, seen, .. } => {
                    let text = self.texts.number(&one_line(&format!("waits for {what}: {seen}")));
                    partitions.entry(*partition).or_default().events.push(vec![now, 1, text]);
                }
                Line::Sending { number, step, partition, action, why, .. } => {
                    let words = self.words(*partition, action);
                    let (step, why) = (self.texts.number(&one_line(step)), self.texts.number(&one_line(why)));
                    let event = vec![now, 0, self.texts.number(&words), step, why, UNHEARD, -1];
                    under_way.insert(*number, (*partition, event));
                }
                Line::Command { number, step, command, why, .. } => {
                    let (step, why) = (self.texts.number(&one_line(step)), self.texts.number(&one_line(why)));
                    let event = vec![now, 0, self.texts.number(&one_line(command)), step, why, UNHEARD, -1];
                    under_way.insert(*number, (None, event));
                }
                Line::Went { number, outcome, .. } => {
                    let Some((partition, mut event)) = under_way.remove(number) else { continue };
                    let error = match outcome {
                        Outcome::Applied => None,
                        Outcome::Refused { error, .. } => Some(format!("refused: {error}")),
                        Outcome::NotApplied(error) => Some(format!("not done: {error}")),
                        Outcome::Unknown(error) => Some(format!("nobody knows whether it was done: {error}")),
                    };
                    event[6] = now - event[0];
                    event[5] = error.as_ref().map_or(DONE, |error| self.texts.number(&one_line(error)));
                    match partition {
                        Some(_) if error.is_none() && !has_room => left_out += 1,
                        Some(partition) => {
                            let told = partitions.entry(partition).or_default();
                            told.failed |= error.is_some();
                            told.events.push(event);
                        }
                        None => cluster.push(event),
                    }
                }
                Line::Reached { at_ms, partition, state, blocked, .. } => {
                    let told = partitions.entry(*partition).or_default();
                    told.state = Some(*state);
                    match state {
                        Milestone::Serving => drop(told.serving.get_or_insert(*at_ms)),
                        Milestone::Redundant => {
                            told.serving.get_or_insert(*at_ms);
                            (told.redundant, told.blocked) = (Some(*at_ms), None);
                        }
                        Milestone::Blocked => {
                            let why = blocked.as_ref().map(|why| one_line(&format!("{why}; {}", why.hint)));
                            (told.redundant, told.blocked) = (None, why);
                        }
                    }
                }
                Line::Released { partition, endpoint, .. } => {
                    let text = format!("the nameserver may replace what {endpoint} holds, as accepted");
                    let event = vec![now, 3, self.texts.number(&one_line(&text))];
                    partitions.entry(*partition).or_default().events.push(event);
                }
                Line::Detached { partition, leader, .. } => {
                    let text = format!("{leader} does not replicate to the other cluster");
                    let event = vec![now, 3, self.texts.number(&one_line(&text))];
                    partitions.entry(*partition).or_default().events.push(event);
                }
                Line::FailoverWanted { .. } => {
                    cluster.push(vec![now, 3, self.texts.number("somebody else has switched auto_failover on")]);
                }
                Line::Note { text, .. } => cluster.push(vec![now, 3, self.texts.number(&one_line(text))]),
                Line::Begun(_)
                | Line::Remembered { .. }
                | Line::Expected { .. }
                | Line::Progress { .. }
                | Line::Arranging { .. }
                | Line::Ended { .. }
                | Line::Exited { .. }
                | Line::Dismissed { .. } => {}
            }
        }
        for (partition, event) in under_way.into_values() {
            match partition {
                Some(partition) => {
                    let told = partitions.entry(partition).or_default();
                    told.failed = true;
                    told.events.push(event);
                }
                None => cluster.push(event),
            }
        }
        // A call is known once it was heard of; it was sent before.
        partitions.values_mut().for_each(|told| told.events.sort_by_key(|event| event[0]));
        cluster.sort_by_key(|event| event[0]);
        (partitions, cluster, left_out)
    }

    /// The same words for each partition, as far as they can be.
    fn words(&self, partition: Option<PartitionId>, action: &Action) -> String {
        let words = command(action, Numbers::Known);
        let Some(PartitionId { tid, pid }) = partition else { return words };
        let table = self.tables.get(&tid.0).map_or("", |(_, [_, name])| name.as_str());
        let words = words.replacen(&format!(" {tid} {pid} "), &format!(" {TID} {PID} "), 1);
        let words = words.replacen(&format!(" {table} {pid} "), &format!(" {TABLE} {PID} "), 1);
        words.replacen(&format!(" {table} {TID} "), &format!(" {TABLE} {TID} "), 1)
    }

    fn at(&self, endpoint: &Endpoint) -> usize {
        self.places.get(endpoint).copied().unwrap_or(0)
    }

    fn rows(&mut self, seen: &Snapshot, mut told: BTreeMap<PartitionId, Told<'_>>) -> Vec<Row> {
        let mut rows = Vec::new();
        for table in &seen.tables {
            for partition in &table.partitions {
                let id = PartitionId { tid: table.tid, pid: partition.pid };
                let Some(told) = told.remove(&id) else { continue };
                let memory = Memory::at_start(seen, table, partition, &[]);
                let view = View::with_ops(&seen.tablets, table, partition, &memory, std::iter::empty());
                let evidence: Vec<ReplicaEvidence> = view.replicas.iter().map(ReplicaEvidence::of).collect();
                let evidence = evidence
                    .iter()
                    .map(|evidence| (self.at(&evidence.endpoint), self.texts.place(&evidence_text(evidence))));
                let evidence = evidence.collect();
                let state = match told.state {
                    None => 0,
                    Some(Milestone::Serving) => 1,
                    Some(Milestone::Redundant) => 2,
                    Some(Milestone::Blocked) => 3,
                };
                let blocked = told.blocked.map_or(-1, |why| self.texts.number(&why));
                let choice = told.choice.map(|(at, choice)| self.chosen(at, choice));
                let at = self.tables.get(&table.tid.0).map_or(0, |(at, _)| *at);
                let (serving, redundant) = (told.serving.map_or(-1, ms), told.redundant.map_or(-1, ms));
                let (tid, pid) = (table.tid.0, partition.pid.0);
                rows.push(Row(
                    at,
                    tid,
                    pid,
                    state,
                    serving,
                    redundant,
                    blocked,
                    evidence,
                    choice,
                    told.events,
                    told.failed,
                ));
            }
        }
        rows
    }

    fn chosen(&mut self, at_ms: u64, choice: &Choice) -> Chosen {
        let how = match choice.way {
            PromotionMethod::ChangeRole => "leads",
            PromotionMethod::ChangeLeader => "is promoted",
        };
        let rejected = choice.rejected.iter();
        let rejected = rejected.map(|not| (self.at(&not.endpoint), self.texts.place(&one_line(&not.why)))).collect();
        let lost = choice.given_up.iter().map(|lost| self.texts.place(&one_line(&gives_up(lost)))).collect();
        let (how, why) = (self.texts.place(how), self.texts.place(&one_line(&choice.why)));
        Chosen(at_ms, self.at(&choice.leader), how, why, rejected, lost)
    }
}
