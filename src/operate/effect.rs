//! How a step's effect is recognised, whatever was answered.

use crate::model::{
    Aggregator, Endpoint, Op, OpId, OpKind, OpStatus, Partition, PartitionId, Pid, Role, Seen, Snapshot, TableName,
    Tablet, Verb, counted, counted_that,
};
use crate::run::some_of;

/// What a step is to bring about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// auto_failover is so.
    AutoFailover(bool),
    /// The operation has ended.
    OpOver(OpId),
    /// The alive flags are so.
    Flag {
        /// The table.
        table: TableName,
        /// Of which partitions.
        pids: Vec<Pid>,
        /// On which tablet.
        endpoint: Endpoint,
        /// The flags' value.
        alive: bool,
    },
    /// The tablet holds the replica, loaded.
    Loaded {
        /// Which partition.
        partition: PartitionId,
        /// On which tablet.
        endpoint: Endpoint,
    },
    /// The replica is alive, loaded as follower, and its leader replicates to it.
    Recovered {
        /// The table.
        table: TableName,
        /// Which partition.
        partition: PartitionId,
        /// On which tablet.
        endpoint: Endpoint,
    },
    /// No replica on the tablet is flagged alive, but for those that nobody can stand in for.
    Offlined {
        /// The tablet.
        endpoint: Endpoint,
        /// Partitions of which no other replica is alive.
        but: Vec<(TableName, Pid)>,
    },
    /// Everything on the tablet is alive, loaded, and leads or is replicated to.
    TabletRecovered {
        /// The tablet.
        endpoint: Endpoint,
    },
    /// There is no such replica any more, neither for the nameserver nor on the tablet.
    Gone {
        /// The table.
        table: TableName,
        /// Which partition.
        partition: PartitionId,
        /// On which tablet.
        endpoint: Endpoint,
    },
    /// The replica is gone from one tablet, and alive on another.
    Migrated {
        /// The table.
        table: TableName,
        /// Which partition.
        partition: PartitionId,
        /// From where.
        from: Endpoint,
        /// To where.
        to: Endpoint,
    },
    /// The leader does not replicate to the tablet.
    Disconnected {
        /// Which partition.
        partition: PartitionId,
        /// The tablet.
        endpoint: Endpoint,
    },
    /// The tablet does not hold the partition.
    Dropped {
        /// Which partition.
        partition: PartitionId,
        /// The tablet.
        endpoint: Endpoint,
    },
    /// The replica is loaded as follower: it takes no writes.
    StoodDown {
        /// The table.
        table: TableName,
        /// Which partition.
        partition: PartitionId,
        /// On which tablet.
        endpoint: Endpoint,
    },
    /// The tablet aggregates into its replica.
    Aggregates {
        /// The table.
        table: TableName,
        /// Which partition.
        partition: PartitionId,
        /// On which tablet.
        endpoint: Endpoint,
    },
    /// The replica is flagged leader and alive, and leads in its tablet's memory.
    Leads {
        /// The table.
        table: TableName,
        /// Which partition.
        partition: PartitionId,
        /// On which tablet.
        endpoint: Endpoint,
    },
}

/// What is seen of an effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EffectStatus {
    /// It is so.
    Reached(String),
    /// Not yet.
    Waiting(String),
    /// What was to bring it about has ended, and it is not so.
    Missed {
        /// What was seen.
        text: String,
        /// What to do.
        hint: String,
    },
}

/// What is seen of an effect. `since` is the newest operation from before it was asked for.
pub fn effect_status(effect: &Effect, seen: &Snapshot, since: Option<OpId>) -> EffectStatus {
    match effect {
        Effect::AutoFailover(on) => {
            let text = format!("auto_failover is {}", if seen.auto_failover { "on" } else { "off" });
            if seen.auto_failover == *on { EffectStatus::Reached(text) } else { EffectStatus::Waiting(text) }
        }
        Effect::OpOver(id) => op_over(*id, seen),
        Effect::Flag { table, pids, endpoint, alive } => {
            let left: Vec<String> = pids
                .iter()
                .filter(|pid| flags(seen, table, **pid, endpoint).is_none_or(|flags| flags.alive != *alive))
                .map(|pid| format!("{table}/{pid}"))
                .collect();
            let word = if *alive { "alive" } else { "not alive" };
            match left.is_empty() {
                true => EffectStatus::Reached(format!("{endpoint} is {word} in {}", counted(pids.len(), "partition"))),
                false => EffectStatus::Waiting(format!("{endpoint} is not {word} yet in {}", left.join(", "))),
            }
        }
        Effect::Offlined { endpoint, but } => offlined(endpoint, but, seen, since),
        Effect::TabletRecovered { endpoint } => tablet_recovered(endpoint, seen),
        Effect::Loaded { partition, endpoint } => loaded(*partition, endpoint, seen),
        Effect::Recovered { table, partition, endpoint } => {
            let reached = is_recovered(seen, table, *partition, endpoint);
            let text = format!("{endpoint} is alive and follows the leader of {table}/{}", partition.pid);
            after_ops(seen, table, partition.pid, since, reached.then_some(text), endpoint)
        }
        Effect::Gone { table, partition, endpoint } => {
            let text = format!("{endpoint} has no replica of {table}/{} any more", partition.pid);
            let reached = is_gone(seen, table, *partition, endpoint).then_some(text);
            after_ops(seen, table, partition.pid, since, reached, endpoint)
        }
        Effect::Migrated { table, partition, from, to } => {
            let is_there = is_gone(seen, table, *partition, from) && is_recovered(seen, table, *partition, to);
            let text = format!("the replica of {table}/{} on {from} is on {to} now", partition.pid);
            after_ops(seen, table, partition.pid, since, is_there.then_some(text), to)
        }
        Effect::Disconnected { partition, endpoint } => disconnected(*partition, endpoint, seen),
        Effect::Dropped { partition, endpoint } => match seen.tablets.get(endpoint).map(|tablet| &tablet.held) {
            Some(Seen::Known(held)) if !held.contains_key(partition) => {
                EffectStatus::Reached(format!("{endpoint} does not hold {partition} any more"))
            }
            _ => EffectStatus::Waiting(format!("{endpoint} still holds {partition}, or does not answer")),
        },
        Effect::StoodDown { table, partition, endpoint } => match role(seen, *partition, endpoint) {
            Some(Role::Follower) => {
                EffectStatus::Reached(format!("{endpoint} takes no more writes to {table}/{}", partition.pid))
            }
            _ => EffectStatus::Waiting(format!("{endpoint} has not stood down from {table}/{} yet", partition.pid)),
        },
        Effect::Aggregates { table, partition, endpoint } => {
            let asked = seen.tablets.get(endpoint).map(|tablet| &tablet.probes(*partition).aggregator);
            let name = format!("{table}/{}", partition.pid);
            match asked.and_then(|asked| asked.known()) {
                Some(Aggregator::Present) => EffectStatus::Reached(format!("{endpoint} aggregates into {name}")),
                _ => EffectStatus::Waiting(format!("{endpoint} has no aggregator of {name} yet, or does not answer")),
            }
        }
        Effect::Leads { table, partition, endpoint } => {
            let flags = flags(seen, table, partition.pid, endpoint);
            let flagged = flags.is_some_and(|flags| flags.leader && flags.alive);
            let leads = role(seen, *partition, endpoint) == Some(Role::Leader);
            let text = format!("{endpoint} leads {table}/{}", partition.pid);
            after_ops(seen, table, partition.pid, since, (flagged && leads).then_some(text), endpoint)
        }
    }
}

struct Flags {
    leader: bool,
    alive: bool,
}

fn flags(seen: &Snapshot, table: &TableName, pid: Pid, endpoint: &Endpoint) -> Option<Flags> {
    let (_, partition) = seen.partition(table, pid)?;
    let replica = partition.replicas.iter().find(|replica| replica.endpoint == *endpoint)?;
    Some(Flags { leader: replica.is_leader, alive: replica.is_alive })
}

fn role(seen: &Snapshot, partition: PartitionId, endpoint: &Endpoint) -> Option<Role> {
    let held = seen.tablets.get(endpoint)?.held.known()?.get(&partition)?;
    held.state.is_loaded().then_some(held.role)
}

fn op_over(id: OpId, seen: &Snapshot) -> EffectStatus {
    match seen.ops.iter().find(|op| op.id == id) {
        Some(op) if op.status.is_in_flight() => EffectStatus::Waiting(format!("operation {id} {}", op.progress())),
        Some(op) if op.status == OpStatus::Canceled => EffectStatus::Reached(format!("operation {id} is cancelled")),
        Some(op) => EffectStatus::Missed {
            text: format!("operation {id} ended before it was cancelled ({:?})", op.status),
            hint: "see `openmldb-ops status` for what it has changed".to_owned(),
        },
        None => EffectStatus::Reached(format!("operation {id} is gone")),
    }
}

fn disconnected(partition: PartitionId, endpoint: &Endpoint, seen: &Snapshot) -> EffectStatus {
    let followers: Vec<_> =
        seen.tablets.values().filter_map(|tablet| tablet.probes(partition).followers.known()).collect();
    let is_followed = |endpoint: &Endpoint| {
        followers.iter().any(|known| known.followers.iter().any(|(follower, _)| follower == endpoint))
    };
    match followers.is_empty() || is_followed(endpoint) {
        true => EffectStatus::Waiting(format!(
            "the leader of {partition} still replicates to {endpoint}, or does not answer"
        )),
        false => EffectStatus::Reached(format!("the leader of {partition} does not replicate to {endpoint} any more")),
    }
}

fn loaded(partition: PartitionId, endpoint: &Endpoint, seen: &Snapshot) -> EffectStatus {
    let waiting = |text: String| EffectStatus::Waiting(format!("{endpoint} {text}"));
    match seen.tablets.get(endpoint).map(|tablet| &tablet.held) {
        Some(Seen::Known(held)) => match held.get(&partition) {
            // It is loaded for an instant before its offset is set
            // (docs/openmldb/load-table.md#what-a-load-looks-like).
            Some(held) if held.state.is_loaded() && (held.offset.0 > 0 || held.record_cnt == 0) => {
                EffectStatus::Reached(format!(
                    "{endpoint} has {partition} loaded at offset {}, {}",
                    held.offset,
                    counted(held.record_cnt, "row")
                ))
            }
            Some(held) => waiting(format!("is loading {partition} ({:?})", held.state)),
            None => waiting(format!("does not show {partition}")),
        },
        Some(Seen::Failed(error)) => waiting(format!("does not answer ({error})")),
        Some(Seen::Unasked) | None => waiting("was not asked".to_owned()),
    }
}

fn is_recovered(seen: &Snapshot, table: &TableName, partition: PartitionId, endpoint: &Endpoint) -> bool {
    let is_alive = flags(seen, table, partition.pid, endpoint).is_some_and(|flags| flags.alive && !flags.leader);
    let follows = role(seen, partition, endpoint) == Some(Role::Follower);
    let is_followed = |tablet: &Tablet| {
        let followers = tablet.probes(partition).followers.known();
        followers.is_some_and(|all| all.followers.iter().any(|(follower, _)| follower == endpoint))
    };
    is_alive && follows && seen.tablets.values().any(is_followed)
}

fn is_gone(seen: &Snapshot, table: &TableName, partition: PartitionId, endpoint: &Endpoint) -> bool {
    let held = seen.tablets.get(endpoint).and_then(|tablet| tablet.held.known());
    flags(seen, table, partition.pid, endpoint).is_none() && held.is_none_or(|held| !held.contains_key(&partition))
}

/// Partitions with a replica on a tablet.
fn placed<'a>(seen: &'a Snapshot, endpoint: &'a Endpoint) -> impl Iterator<Item = (&'a TableName, PartitionId)> {
    seen.tables.iter().flat_map(move |table| {
        let id = |partition: &Partition| PartitionId { tid: table.tid, pid: partition.pid };
        table.partitions_on(endpoint).map(move |partition| (&table.name, id(partition)))
    })
}

/// The leaders that have to say whom they replicate to before an effect can be seen, each with its partition.
pub(super) fn leaders_to_ask(effect: &Effect, seen: &Snapshot) -> Vec<(Endpoint, PartitionId)> {
    let ids: Vec<PartitionId> = match effect {
        Effect::Recovered { partition, .. }
        | Effect::Migrated { partition, .. }
        | Effect::Disconnected { partition, .. } => vec![*partition],
        Effect::TabletRecovered { endpoint } => placed(seen, endpoint).map(|(_, id)| id).collect(),
        Effect::AutoFailover(_)
        | Effect::OpOver(_)
        | Effect::Flag { .. }
        | Effect::Loaded { .. }
        | Effect::Offlined { .. }
        | Effect::Gone { .. }
        | Effect::StoodDown { .. }
        | Effect::Dropped { .. }
        | Effect::Aggregates { .. }
        | Effect::Leads { .. } => Vec::new(),
    };
    let leads = |(at, tablet): (&Endpoint, &Tablet), id: PartitionId| {
        let held = tablet.held.known()?.get(&id)?;
        (held.role == Role::Leader && held.state.is_loaded()).then(|| (at.clone(), id))
    };
    ids.into_iter().flat_map(|id| seen.tablets.iter().filter_map(move |tablet| leads(tablet, id))).collect()
}

fn offlined(endpoint: &Endpoint, but: &[(TableName, Pid)], seen: &Snapshot, since: Option<OpId>) -> EffectStatus {
    let is_left = |(name, id): &(&TableName, PartitionId)| {
        let is_spared = but.iter().any(|(table, pid)| table == *name && *pid == id.pid);
        !is_spared && flags(seen, name, id.pid, endpoint).is_some_and(|flags| flags.alive)
    };
    let left: Vec<String> =
        placed(seen, endpoint).filter(is_left).map(|(name, id)| format!("{name}/{}", id.pid)).collect();
    let running = seen.ops.iter().filter(|op| op.status.is_in_flight() && Some(op.id) > since).count();
    match (left.is_empty(), running) {
        (true, 0) => EffectStatus::Reached(format!("{endpoint} is offline: nothing on it is alive")),
        (true, running) => EffectStatus::Waiting(format!("{} under way", counted_that(running, "operation", Verb::Be))),
        (false, _) => EffectStatus::Waiting(format!("{} on {endpoint} is still alive", some_of(&left))),
    }
}

fn tablet_recovered(endpoint: &Endpoint, seen: &Snapshot) -> EffectStatus {
    let leads = |name: &TableName, id: PartitionId| {
        let flagged = flags(seen, name, id.pid, endpoint).is_some_and(|flags| flags.leader && flags.alive);
        flagged && role(seen, id, endpoint) == Some(Role::Leader)
    };
    let is_back = |(name, id): &(&TableName, PartitionId)| leads(name, *id) || is_recovered(seen, name, *id, endpoint);
    let left: Vec<String> = placed(seen, endpoint)
        .filter(|placed| !is_back(placed))
        .map(|(name, id)| format!("{name}/{}", id.pid))
        .collect();
    match left.is_empty() {
        true => EffectStatus::Reached(format!("everything on {endpoint} is back")),
        false => EffectStatus::Waiting(format!("{} on {endpoint} is not back yet", some_of(&left))),
    }
}

/// What an operation is to bring about: it may end without, and the one that was asked for begins another.
fn after_ops(
    seen: &Snapshot,
    table: &TableName,
    pid: Pid,
    since: Option<OpId>,
    reached: Option<String>,
    endpoint: &Endpoint,
) -> EffectStatus {
    if let Some(text) = reached {
        return EffectStatus::Reached(text);
    }
    let mine: Vec<&Op> =
        seen.ops.iter().filter(|op| op.table == *table && op.pid == pid && Some(op.id) > since).collect();
    if let Some(op) = mine.iter().find(|op| op.status.is_in_flight()) {
        return EffectStatus::Waiting(format!("operation {} ({}) {}", op.id, op.kind.name(), op.progress()));
    }
    let name = format!("{table}/{pid}");
    let hint = format!(
        "`openmldb-ops status --partition {name}` says how it is; about one operation in twenty fails for no reason"
    );
    match mine.iter().rfind(|op| op.status != OpStatus::Done) {
        Some(op) => EffectStatus::Missed {
            text: format!("operation {} ({}) {:?} at {}", op.id, op.kind.name(), op.status, op.task),
            hint,
        },
        None if mine.iter().any(|op| !matches!(op.kind, OpKind::RecoverTable)) => {
            EffectStatus::Waiting(format!("the operations of {name} have ended, {endpoint} is not there yet"))
        }
        None if mine.is_empty() => EffectStatus::Waiting(format!("no operation of {name} shows yet")),
        None => EffectStatus::Waiting(format!("operation {} has ended, what it began does not show yet", mine[0].id)),
    }
}
