//! A cluster's health as text: tablets first, then every partition that is not healthy.

use crate::model::{Role, TabletState, Verb, counted_that};
use crate::run::{PartitionState, PartitionStatus, ReplicaState, ReplicaStatus, Status, TabletStatus};

use super::color::{Paint, Tone};
use super::columns::{Cell, Columns};
use super::plan::flags;
use super::words::{moment, on_off, one_line};
use crate::model::counted;

/// The health of tablets and partitions; healthy partitions are counted, and listed only if `all`.
pub fn status_text(status: &Status, all: bool, paint: Paint) -> String {
    let mut out = format!(
        "{}\nAs seen at {}, auto_failover {}{}.\n\n",
        paint.tone(Tone::Strong, &format!("Status of {}", one_line(&status.cluster))),
        moment(status.taken_at_ms),
        on_off(status.auto_failover),
        match status.counts.ops_in_flight {
            0 => String::new(),
            ops => format!(", {} under way", counted(ops, "operation")),
        }
    );
    out += &tablets(&status.tablets, paint);
    let listed = |partition: &&PartitionStatus| all || partition.state != PartitionState::Healthy;
    for found in status.partitions.iter().filter(listed) {
        out.push('\n');
        out += &partition(found, paint);
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
        for problem in &tablet.problems {
            let label = paint.tone(Tone::Bad, tablet.endpoint.as_str());
            out += &format!("{label}: {}\n  hint: {}\n", one_line(&problem.text), one_line(&problem.hint));
        }
    }
    out
}

fn partition(partition: &PartitionStatus, paint: Paint) -> String {
    let name = format!("{}/{}", one_line(&partition.table.to_string()), partition.pid);
    let state = match partition.state {
        PartitionState::Healthy => paint.tone(Tone::Good, "healthy"),
        PartitionState::Serving => paint.tone(Tone::Warning, "serving, not redundant"),
        PartitionState::Down => paint.tone(Tone::Bad, "down"),
    };
    let problem = if partition.problems.is_empty() { "" } else { "problem" };
    let mut columns = Columns::headed(&["replica", "flags", "held", "offset", "rows", problem]);
    for replica in &partition.replicas {
        let problems = partition.problems.iter().filter(|problem| problem.endpoint == replica.endpoint);
        let problems: Vec<String> = problems.map(|problem| one_line(&problem.text)).collect();
        let number = |number: Option<u64>| number.map_or("-".to_owned(), |number| number.to_string());
        columns.row([
            replica.endpoint.as_str().into(),
            flags(replica.is_leader, replica.is_alive).into(),
            held(replica).into(),
            number(replica.offset.map(|offset| offset.0)).into(),
            number(replica.rows).into(),
            Cell::new(Tone::Bad, problems.join("; ")),
        ]);
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
        ReplicaState::OutOfReach => "out of reach".to_owned(),
        ReplicaState::NotLoaded => "not loaded".to_owned(),
        ReplicaState::Queued => format!("queued{role}"),
        ReplicaState::Loading => format!("loading{role}"),
        ReplicaState::Normal => format!("loaded{role}"),
        ReplicaState::MakingSnapshot => format!("loaded{role}, making a snapshot"),
        ReplicaState::SnapshotPaused => format!("loaded{role}, snapshots paused"),
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
    out
}
