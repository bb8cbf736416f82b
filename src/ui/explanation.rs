//! One partition explained: what is known of it, what would be done, and why, in sentences.

use serde::Serialize;

use crate::model::{Endpoint, Op, Pid, Snapshot, StorageMode, Table, TableName, TermStart, Tid, counted};
use crate::recovery::{Choice, LeaderPlan, LossKind, PartitionPlan, PlannedStep, ReplicaEvidence};
use crate::run::{PartitionState, PartitionStatus, PlanId, ReplicaStatus};

use super::color::{Paint, Tone};
use super::plan::{LeaderRule, expected_rejections, flags, gives_up, losses, reason_of, way};
use super::status::held;
use super::words::{Numbers, command, listed, one_line};

/// Everything there is to say of one partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename = "explanation")]
pub struct Explanation {
    /// Database and table.
    #[serde(flatten)]
    pub table: TableName,
    /// Table number.
    pub tid: Tid,
    /// Partition number.
    pub pid: Pid,
    /// In a word.
    pub state: PartitionState,
    /// What is known of it.
    pub known: Vec<String>,
    /// Who leads, or how that is decided, and why.
    pub leader: Vec<String>,
    /// What would be done, in order, each with its reason.
    pub done: Vec<String>,
    /// Why it would not become redundant.
    pub in_the_way: Vec<String>,
    /// What to do next.
    pub next: Vec<String>,
}

/// What an explanation is made of.
#[derive(Debug, Clone, Copy)]
pub struct Explaining<'a> {
    /// The cluster as it was seen.
    pub snapshot: &'a Snapshot,
    /// How the partition is.
    pub status: &'a PartitionStatus,
    /// What would be done; nothing if it is healthy.
    pub planned: Option<&'a PartitionPlan>,
    /// By which rule a leader is chosen.
    pub rule: LeaderRule,
    /// The id by which its losses are accepted.
    pub id: &'a PlanId,
}

impl Explanation {
    /// The explanation of a partition.
    pub fn of(explaining: &Explaining<'_>) -> Self {
        let Explaining { snapshot, status, planned, rule, .. } = *explaining;
        let PartitionStatus { table, tid, pid, state, .. } = status.clone();
        let leader = match planned {
            Some(planned) => leader(planned, rule),
            None => status.leader.iter().map(|leader| format!("{leader} leads, and stays")).collect(),
        };
        let done = planned.map(|planned| steps(&planned.steps)).unwrap_or_default();
        let in_the_way = planned.map(in_the_way).unwrap_or_default();
        let known = known(snapshot, status, planned);
        Self { table, tid, pid, state, known, leader, done, in_the_way, next: next(explaining) }
    }
}

/// The explanation as text: a heading, and below it what belongs to it.
pub fn explanation_text(explanation: &Explanation, paint: Paint) -> String {
    let state = match explanation.state {
        PartitionState::Healthy => "healthy",
        PartitionState::Serving => "serving, not redundant",
        PartitionState::Down => "down",
    };
    let Explanation { table, tid, pid, .. } = explanation;
    let title = format!("{}/{pid}", one_line(&table.to_string()));
    let mut out = format!("{} (tid {tid}): {state}\n", paint.tone(Tone::Strong, &title));
    let parts = [
        ("What is known", &explanation.known),
        ("Who leads, and why", &explanation.leader),
        ("What would be done, and why", &explanation.done),
        ("What is in the way", &explanation.in_the_way),
        ("What to do next", &explanation.next),
    ];
    for (heading, sentences) in parts.into_iter().filter(|(_, sentences)| !sentences.is_empty()) {
        out += &format!("\n{}\n", paint.tone(Tone::Strong, heading));
        sentences.iter().for_each(|sentence| out += &format!("  {}\n", one_line(sentence)));
    }
    out
}

fn known(snapshot: &Snapshot, status: &PartitionStatus, planned: Option<&PartitionPlan>) -> Vec<String> {
    let table = snapshot.tables.iter().find(|table| table.tid == status.tid);
    let mut known: Vec<String> = table.iter().map(|table| kept(table)).collect();
    let partition = table.and_then(|table| table.partitions.iter().find(|partition| partition.pid == status.pid));
    known.push(terms(partition.map_or(&[][..], |partition| &partition.terms)));
    for replica in &status.replicas {
        let evidence = planned.into_iter().flat_map(|planned| &planned.evidence);
        let evidence = evidence.into_iter().find(|evidence| evidence.endpoint == replica.endpoint);
        let wrong = status.problems.iter().filter(|problem| problem.endpoint == replica.endpoint);
        let wrong: Vec<&str> = wrong.map(|problem| problem.text.as_str()).collect();
        known.push(of_replica(replica, evidence, &wrong));
    }
    let ops =
        snapshot.ops.iter().filter(|op| op.status.is_in_flight() && op.table == status.table && op.pid == status.pid);
    known.extend(ops.map(under_way));
    known.extend(planned.into_iter().flat_map(|planned| planned.notes.clone()));
    known
}

fn kept(table: &Table) -> String {
    let storage = match table.storage {
        StorageMode::Memory => "in memory",
        StorageMode::Ssd => "on disk (SSD)",
        StorageMode::Hdd => "on disk (HDD)",
    };
    let ttl = if table.has_ttl {
        "rows may expire, so equal logs may hold different numbers of rows"
    } else {
        "they do not expire"
    };
    format!("its rows are kept {storage}, and {ttl}")
}

fn terms(terms: &[TermStart]) -> String {
    if terms.is_empty() {
        return "the nameserver knows no term for it".to_owned();
    }
    let began: Vec<String> = terms.iter().map(|start| format!("{} at offset {}", start.term, start.start)).collect();
    format!("leaderships so far, by term: {}", began.join(", "))
}

fn of_replica(replica: &ReplicaStatus, evidence: Option<&ReplicaEvidence>, wrong: &[&str]) -> String {
    let mut said = vec![format!("flagged {}", flags(replica.is_leader, replica.is_alive)), held(replica)];
    if let Some(offset) = replica.offset {
        said.push(format!("log up to offset {offset}"));
    }
    if let Some(rows) = replica.rows {
        said.push(counted(rows, "row"));
    }
    if let Some(offset) = replica.replicated_to {
        said.push(format!("its leader last saw it at {offset}"));
    }
    match evidence {
        Some(evidence) => {
            said.push(format!("on disk {}", evidence.manifest));
            if let (None, Some(offset)) = (replica.offset, evidence.offset) {
                said.push(format!("its largest known offset is {offset}"));
            }
        }
        None => said.extend(replica.nameserver_offset.map(|offset| format!("the nameserver last knew it at {offset}"))),
    }
    let wrong = if wrong.is_empty() { String::new() } else { format!("; problems: {}", wrong.join(", ")) };
    format!("{}: {}{wrong}", replica.endpoint, said.join(", "))
}

fn under_way(op: &Op) -> String {
    format!("the nameserver has operation {} ({}) in progress on it, at {}", op.id, op.kind.name(), op.task)
}

fn leader(planned: &PartitionPlan, rule: LeaderRule) -> Vec<String> {
    match &planned.leader {
        LeaderPlan::Serving { endpoint } => vec![format!("{endpoint} already serves, and stays")],
        LeaderPlan::Nobody => vec!["none, for the reason below".to_owned()],
        LeaderPlan::Chosen(choice) => {
            let mut said = vec![format!("{}, {}: {}", choice.leader, way(choice.way), choice.why)];
            said.extend(choice.rejected.iter().map(|other| format!("not {}: {}", other.endpoint, other.why)));
            said.extend(choice.given_up.iter().map(|given_up| format!("given up: {}", gives_up(given_up))));
            said
        }
        LeaderPlan::AfterLoading { among, expected } => {
            let mut said = vec![format!(
                "it is chosen once they are loaded, among {}: offsets are proven only then",
                listed(among)
            )];
            said.extend(rule.sentences(among.len(), planned.evidence.len()));
            said.extend(expected.iter().flat_map(|choice| expectation(planned, choice, among)));
            said
        }
    }
}

fn expectation(planned: &PartitionPlan, choice: &Choice, among: &[Endpoint]) -> Vec<String> {
    let condition = if among.len() > 1 { "if all stopped at the same offset" } else { "if it has data" };
    let mut said = vec![format!("expected: {}, {}, {condition}", choice.leader, way(choice.way))];
    let others = expected_rejections(planned, choice, among);
    said.extend(others.iter().map(|other| format!("not {}: {}", other.endpoint, other.why)));
    said
}

fn steps(steps: &[PlannedStep]) -> Vec<String> {
    let numbered = steps.iter().enumerate().map(|(nth, step)| {
        let numbers = if step.expected { Numbers::Assumed } else { Numbers::Known };
        let expected = if step.expected { " (expected)" } else { "" };
        format!("{}. {}{expected}: {}", nth + 1, command(&step.action, numbers), reason_of(step))
    });
    numbered.collect()
}

fn in_the_way(planned: &PartitionPlan) -> Vec<String> {
    let blocked = planned.blocked.iter().map(|blocked| format!("{}: {}", blocked.reason, blocked.text));
    let lost = losses(&planned.losses).into_iter().map(|loss| format!("continuing would lose {loss}"));
    blocked.chain(lost).collect()
}

fn next(explaining: &Explaining<'_>) -> Vec<String> {
    let PartitionStatus { table, pid, .. } = explaining.status;
    let Some(planned) = explaining.planned else { return vec!["nothing has to be done".to_owned()] };
    let recover = format!("openmldb-ops recover --partition {table}/{pid}");
    let Some(blocked) = &planned.blocked else { return vec![recover] };
    let mut said = vec![blocked.hint.clone(), format!("openmldb-ops explain {}", blocked.reason)];
    if !planned.losses.is_empty() {
        let away = planned.losses.iter().filter(|loss| loss.kind == LossKind::OutOfReach);
        let without: String = away.map(|loss| format!(" --without {}", loss.endpoint)).collect();
        said.push(format!(
            "{recover} --accept-data-loss {}{without} # accepts exactly these losses, and continues",
            explaining.id
        ));
    } else if !planned.steps.is_empty() {
        said.push(format!("{recover} # does what it can, and leaves the rest alone"));
    }
    said
}
