//! A tablet's upgrade: before it, others lead what it leads; after it, it leads that again.

use serde::{Deserialize, Serialize};

use crate::model::{Endpoint, Pid, Replica, Snapshot, Table, TableName};
use crate::run::{Sizes, some_of};

use super::super::goal::{Arrangement, Goal};
use super::super::partition_context::{Refusal, tablet_is_healthy};
use super::aggregates;
use super::closed::Closed;
use super::replica_counts::ReplicaCounts;

/// The version of the notes written.
pub const VERSION: u32 = 1;

/// What `upgrade pre` writes down for `upgrade post`, before it changes anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpgradeNote {
    /// The notes' version.
    pub version: u32,
    /// What the cluster is called.
    pub cluster: String,
    /// The tablet.
    pub endpoint: Endpoint,
    /// What it led.
    pub led: Vec<Led>,
}

/// A partition that the tablet led.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Led {
    /// The table.
    pub table: TableName,
    /// The partition.
    pub pid: Pid,
    /// Where a replica was added for the time being, because there was no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub added: Option<Endpoint>,
}

impl UpgradeNote {
    /// The note with what is to be moved now, too: an earlier `upgrade pre` may have moved some already.
    pub fn with(earlier: Option<Self>, cluster: &str, endpoint: &Endpoint, goals: &[Goal], seen: &Snapshot) -> Self {
        let blank = Self { version: VERSION, cluster: cluster.to_owned(), endpoint: endpoint.clone(), led: Vec::new() };
        let mut note = earlier.unwrap_or(blank);
        for goal in goals {
            if note.led.iter().any(|moved| moved.table == goal.table && moved.pid == goal.pid) {
                continue;
            }
            let Some((_, now)) =
                seen.partition(&goal.table, goal.pid).filter(|(_, now)| now.leader() == Some(endpoint))
            else {
                continue;
            };
            let places = now.places();
            let added = goal.replicas.iter().find(|at| !places.contains(at)).cloned();
            note.led.push(Led { table: goal.table.clone(), pid: goal.pid, added });
        }
        note
    }
}

/// Another replica leads each partition that the tablet leads.
///
/// # Errors
/// There is no such tablet, or nobody could stand in.
pub(super) fn pre(
    seen: &Snapshot,
    endpoint: &Endpoint,
    allow_unavailable: bool,
    closed: &Closed,
    sizes: &Sizes,
) -> Result<Arrangement, Refusal> {
    tablet_is_healthy(seen, endpoint)?;
    let mut arrangement = Arrangement::default();
    let away: Vec<Endpoint> = closed.tablets().into_iter().chain([endpoint.clone()]).collect();
    let mut replica_counts = ReplicaCounts::of(seen, &away, sizes, |_| true);
    let (mut alone, mut skipped) = (Vec::new(), Vec::new());
    let (bases, aggregates): (Vec<&Table>, Vec<&Table>) =
        seen.tables.iter().partition(|table| table.base_table.is_none());
    for table in bases.into_iter().chain(aggregates) {
        for partition in table.partitions_on(endpoint) {
            let like = Goal::of_base(seen, table, partition, &arrangement.goals).cloned();
            let mut goal = Goal {
                table: table.name.clone(),
                pid: partition.pid,
                replicas: partition.places(),
                leader: None,
                beside: like.as_ref().map(|goal| goal.table.clone()),
                successor_holds_all: false,
                replaces: None,
                why: format!("{endpoint} should lead nothing"),
            };
            if partition.leader() != Some(endpoint) {
                // What an earlier one left half done is finished, too: an old leader that nobody brought back.
                let is_down = |replica: &Replica| replica.endpoint == *endpoint && !replica.is_alive;
                if partition.replicas.iter().any(is_down) {
                    goal.why = format!("{endpoint} has a replica of it that is not alive");
                    arrangement.goals.push(goal);
                }
                continue;
            }
            let others = || goal.replicas.iter().filter(|at| *at != endpoint && !closed.has(at));
            let with_base = like.and_then(|goal| goal.leader).filter(|at| others().any(|other| other == at));
            let leader = match with_base.or_else(|| replica_counts.leads_least(others()).cloned()) {
                Some(leader) => leader,
                None if allow_unavailable => {
                    skipped.push(goal.name());
                    continue;
                }
                None => {
                    let Some(added) = replica_counts.emptiest(&goal.replicas, table.storage) else {
                        alone.push(goal.name());
                        continue;
                    };
                    replica_counts.give(&added, replica_counts.piece(table, partition));
                    goal.replicas.push(added.clone());
                    added
                }
            };
            replica_counts.leader(&leader, 1);
            goal.leader = Some(leader);
            arrangement.goals.push(goal);
        }
    }
    if !alone.is_empty() {
        let text = format!("only {endpoint} has a replica of {}, and no other tablet is healthy", some_of(&alone));
        let hint = "start another tablet, or accept that it is unavailable meanwhile with --allow-unavailable";
        return Err(Refusal::unsafe_now(text, hint));
    }
    if !skipped.is_empty() {
        arrangement.remarks.push(format!(
            "{} has a single replica: unavailable from when {endpoint} is stopped until it is recovered",
            some_of(&skipped)
        ));
    }
    Ok(arrangement)
}

/// The tablet leads again what it led, and replicas added for the time being are gone.
///
/// # Errors
/// There is no such tablet, or nothing is written down of it.
pub(super) fn post(seen: &Snapshot, endpoint: &Endpoint, noted: Option<&UpgradeNote>) -> Result<Arrangement, Refusal> {
    tablet_is_healthy(seen, endpoint)?;
    let note = begun(endpoint, noted)?;
    let mut arrangement = Arrangement::default();
    for moved in &note.led {
        let name = format!("{}/{}", moved.table, moved.pid);
        let Some((_, partition)) = seen.partition(&moved.table, moved.pid) else {
            arrangement.remarks.push(format!("{name} no longer exists"));
            continue;
        };
        if partition.replicas.iter().all(|replica| replica.endpoint != *endpoint) {
            arrangement
                .remarks
                .push(format!("{endpoint} no longer has a replica of {name}, and will not lead it again"));
            continue;
        }
        let replicas: Vec<Endpoint> =
            partition.places().into_iter().filter(|at| Some(at) != moved.added.as_ref()).collect();
        let is_so = partition.leader() == Some(endpoint)
            && replicas.len() == partition.replicas.len()
            && partition.replicas.iter().all(|replica| replica.is_alive);
        if !is_so {
            let why = format!("{endpoint} led it before");
            let (table, pid) = (moved.table.clone(), moved.pid);
            let leader = Some(endpoint.clone());
            let (beside, replaces) = (None, None);
            arrangement.goals.push(Goal {
                table,
                pid,
                replicas,
                leader,
                beside,
                successor_holds_all: false,
                replaces,
                why,
            });
        }
    }
    arrangement.goals = aggregates::first_where_written(seen, endpoint, arrangement.goals);
    Ok(arrangement)
}

/// The tablet never comes back: its upgrade is over, and everything stays where it is.
///
/// # Errors
/// It is there, or nothing is written down of it.
pub(super) fn gone(seen: &Snapshot, endpoint: &Endpoint, noted: Option<&UpgradeNote>) -> Result<Arrangement, Refusal> {
    let note = begun(endpoint, noted)?;
    let answers = seen.tablets.get(endpoint).is_some_and(|tablet| tablet.held.known().is_some());
    if answers || seen.hears_from(endpoint) {
        let text = match answers {
            true => format!("{endpoint} is there: it answers"),
            false => format!("the nameserver takes {endpoint} for healthy"),
        };
        let hint = format!("`openmldb-ops upgrade post {endpoint}` moves its leaders back and ends its upgrade");
        return Err(Refusal::unsafe_now(text, hint));
    }
    let led: Vec<String> = note.led.iter().map(|led| format!("{}/{}", led.table, led.pid)).collect();
    let on_it = |table: &Table| {
        table.partitions_on(endpoint).map(|on| format!("{}/{}", table.name, on.pid)).collect::<Vec<_>>()
    };
    let has: Vec<String> = seen.tables.iter().flat_map(on_it).collect();
    let mut arrangement = Arrangement::default();
    arrangement.remarks.push(match led.is_empty() {
        true => format!("the upgrade of {endpoint} is over"),
        false => format!("the upgrade of {endpoint} is over; what it led before stays where it is: {}", some_of(&led)),
    });
    if !has.is_empty() {
        arrangement.remarks.push(format!(
            "{endpoint} still has a replica of {}: `openmldb-ops tablet replace {endpoint}` brings them up elsewhere",
            some_of(&has)
        ));
    }
    Ok(arrangement)
}

/// What `upgrade pre` wrote down.
fn begun<'a>(endpoint: &Endpoint, noted: Option<&'a UpgradeNote>) -> Result<&'a UpgradeNote, Refusal> {
    noted.ok_or_else(|| {
        let text = format!("there is no record of an `upgrade pre {endpoint}`");
        let hint = "run it on the same host and with the same --record-dir as `upgrade pre`; or move leaders with \
            `openmldb-ops leader handover`";
        Refusal::unsafe_now(text, hint)
    })
}
