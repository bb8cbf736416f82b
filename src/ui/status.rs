//! A cluster's health as text: whether clients can read and write, the case and its causes, tablets, and what is wrong with each partition
//! where these are few.

use crate::model::{Role, TabletState, Verb, counted_that};
use crate::run::{
    Diagnosis, PartitionState, PartitionStatus, ReplicaState, ReplicaStatus, Service, Status, TabletStatus,
};

use super::causes::causes;
use super::color::{Paint, Tone};
use super::columns::{Cell, Columns};
use super::diagnosis::diagnoses_text;
use super::named::LISTED;
use super::plan::flags;
use super::remotes::{followed_text, follows_text};
use super::service::service_text;
use super::words::{moment, on_off, one_line, silence};
use crate::model::counted;

/// Which partitions are listed, and how much of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listed {
    /// Those that are not healthy.
    Unhealthy,
    /// All of them.
    All,
    /// All of them, and of each replica what others know of it.
    Wide,
}

/// The names of the partitions that are not healthy, or of all, one a line.
pub fn names_text(status: &Status, listed: Listed) -> String {
    let partitions = status.partitions.iter().filter(|partition| listed.has(partition));
    partitions.map(|partition| format!("{}/{}\n", one_line(&partition.table.to_string()), partition.pid)).collect()
}

impl Listed {
    fn has(self, partition: &PartitionStatus) -> bool {
        self != Self::Unhealthy || partition.state != PartitionState::Healthy
    }
}

/// Whether clients can read and write; the causes and the cases; tablets; partitions. Healthy partitions are counted, and listed only if
/// asked for; of many others it is told what is wrong with them.
pub fn status_text(status: &Status, cases: &[Diagnosis], listed: Listed, paint: Paint) -> String {
    let mut out = service_text(&Service::of(status), paint);
    out += &format!(
        "{}, as seen at {}, auto_failover {}{}.\n\n",
        paint.tone(Tone::Strong, &format!("Status of {}", one_line(&status.cluster))),
        moment(status.taken_at_ms),
        on_off(status.auto_failover),
        match status.counts.ops_in_flight {
            0 => String::new(),
            ops => format!(", {} under way", counted(ops, "operation")),
        }
    );
    out += &follows_text(&status.zone);
    out += &causes(&status.partitions, paint);
    out += &diagnoses_text(cases, paint);
    out += &tablets(&status.tablets, paint);
    let unhealthy = status.partitions.len() - status.counts.healthy;
    if unhealthy > LISTED && listed == Listed::Unhealthy {
        out += "\n`openmldb-ops status --full` shows every partition.\n\n";
        return out + &totals(status, paint);
    }
    for found in status.partitions.iter().filter(|partition| listed.has(partition)) {
        out.push('\n');
        out += &partition(found, listed, paint);
    }
    out.push('\n');
    out += &totals(status, paint);
    out
}

fn tablets(tablets: &[TabletStatus], paint: Paint) -> String {
    let named = tablets.iter().any(|tablet| tablet.real_endpoint.is_some());
    let mut names = vec!["tablet", "nameserver", "zookeeper", "replicas"];
    if named {
        names.insert(1, "address");
    }
    let mut columns = Columns::headed(&names);
    for tablet in tablets {
        let mut cells = vec![Cell::from(tablet.endpoint.as_str())];
        if named {
            cells.push(tablet.real_endpoint.as_deref().unwrap_or("-").into());
        }
        cells.push(match tablet.nameserver {
            Some(TabletState::Healthy) => "healthy".into(),
            Some(TabletState::Offline) => Cell::new(Tone::Bad, "offline"),
            None => Cell::new(Tone::Bad, "not listed"),
        });
        cells.push(match tablet.in_zookeeper {
            Some(true) => "registered".into(),
            Some(false) => Cell::new(Tone::Bad, "not registered"),
            None => "not asked".into(),
        });
        cells.push(match tablet.replicas_held {
            Some(held) => format!("holds {held}, {} placed", tablet.replicas_placed).into(),
            None => format!("unknown, {} placed", tablet.replicas_placed).into(),
        });
        columns.row(cells);
    }
    let mut out = columns.text(0, paint);
    for tablet in tablets {
        // That the nameserver does not list it either is in the table above, and what to do is the same.
        let is_silent = tablet.error.is_some() && tablet.nameserver.is_none() && tablet.in_zookeeper != Some(true);
        let told = if is_silent { 1 } else { tablet.problems.len() };
        for problem in tablet.problems.iter().take(told) {
            let label = paint.tone(Tone::Bad, tablet.endpoint.as_str());
            out += &format!("{label}: {}\n  hint: {}\n", one_line(&problem.text), one_line(&problem.hint));
        }
    }
    out
}

/// Why a tablet does not answer is said of the tablet.
fn shortly(text: String) -> String {
    silence(&text).map_or(text, |silence| silence.short)
}

fn partition(partition: &PartitionStatus, listed: Listed, paint: Paint) -> String {
    let name = format!("{}/{}", one_line(&partition.table.to_string()), partition.pid);
    let state = match partition.state {
        PartitionState::Healthy => paint.tone(Tone::Good, "healthy"),
        PartitionState::Serving if partition.only_counts() => {
            paint.tone(Tone::Warning, "serving, not with as many replicas as there should be")
        }
        PartitionState::Serving => paint.tone(Tone::Warning, "serving, not redundant"),
        PartitionState::Down => paint.tone(Tone::Bad, "down"),
    };
    let problem = if partition.problems.is_empty() { "" } else { "problem" };
    let mut names = vec!["replica", "flags", "held", "offset", "rows"];
    if listed == Listed::Wide {
        names.extend(["replicated to", "nameserver's offset"]);
    }
    names.push(problem);
    let mut columns = Columns::headed(&names);
    for replica in &partition.replicas {
        let problems = partition.problems.iter().filter(|problem| problem.endpoint == replica.endpoint);
        let problems: Vec<String> = problems.map(|problem| shortly(one_line(&problem.text))).collect();
        let number = |number: Option<u64>| number.map_or("-".to_owned(), |number| number.to_string());
        let mut cells: Vec<Cell> = vec![
            replica.endpoint.as_str().into(),
            flags(replica.is_leader, replica.is_alive).into(),
            held(replica).into(),
            number(replica.offset.map(|offset| offset.0)).into(),
            number(replica.rows).into(),
        ];
        if listed == Listed::Wide {
            let known = [replica.replicated_to, replica.nameserver_offset];
            cells.extend(known.map(|offset| number(offset.map(|offset| offset.0)).into()));
        }
        cells.push(Cell::new(Tone::Bad, problems.join("; ")));
        columns.row(cells);
    }
    format!("{}: {state}\n{}", paint.tone(Tone::Strong, &name), columns.text(2, paint))
}

pub(super) fn held(replica: &ReplicaStatus) -> String {
    let role = match replica.role {
        Some(Role::Leader) => " as leader",
        Some(Role::Follower) => " as follower",
        None => "",
    };
    match replica.state {
        ReplicaState::OutOfReach => "unreachable".to_owned(),
        ReplicaState::NotLoaded => "not loaded".to_owned(),
        ReplicaState::Queued => format!("queued{role}"),
        ReplicaState::Loading => format!("loading{role}"),
        ReplicaState::Normal => format!("loaded{role}"),
        ReplicaState::MakingSnapshot => format!("loaded{role}, making a snapshot"),
        ReplicaState::SnapshotPaused => format!("loaded{role}, snapshots paused"),
        ReplicaState::Elsewhere => "in another cluster".to_owned(),
    }
}

fn totals(status: &Status, paint: Paint) -> String {
    let counts = &status.counts;
    let tone = |count: usize, tone: Tone, word: &str| {
        let text = format!("{count} {word}");
        if count == 0 { text } else { paint.tone(tone, &text) }
    };
    let mut out = format!(
        "{} ({}): {}, {}, {}.\n",
        counted(counts.partitions, "partition"),
        counted(counts.replicas, "replica"),
        tone(counts.healthy, Tone::Good, "healthy"),
        tone(counts.serving, Tone::Warning, "serving but not redundant"),
        tone(counts.down, Tone::Bad, "down"),
    );
    match counts.tablets_with_problems {
        0 => {}
        some => out += &format!("{} a problem.\n", counted_that(some, "tablet", Verb::Have)),
    }
    out + &followed_text(status, paint)
}
