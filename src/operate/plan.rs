//! What a step needs (reference 3.7), what is sent for it, and what that is to bring about.

use crate::model::{Action, Endpoint, OpId, Partition, PartitionId, Pid, Snapshot, Table, TableName, TabletState};
use crate::recovery::{Blocked, Memory, View, may_be_resent};

use super::effect::Effect;
use super::{Call, Step, handover, placement, replica, tablet};

/// A step that may be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// What is sent; nothing if it is so already.
    pub call: Option<Call>,
    /// What it is to bring about.
    pub effect: Effect,
    /// What somebody should know of it before or after.
    pub remarks: Vec<String>,
}

/// Why a step is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}{}", code.map_or(String::new(), |code| format!(" (OpenMLDB would answer {code})")))]
pub struct Refusal {
    /// The code OpenMLDB would answer; none if OpenMLDB would do it, and rows could be lost.
    pub code: Option<i32>,
    /// What was seen.
    pub text: String,
    /// What to do.
    pub hint: String,
}

impl Refusal {
    /// OpenMLDB would refuse it.
    pub(super) fn of(code: i32, text: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { code: Some(code), text: text.into(), hint: hint.into() }
    }

    /// OpenMLDB would do it; this tool does not.
    pub(super) fn unsafe_now(text: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { code: None, text: text.into(), hint: hint.into() }
    }
}

/// What is to be sent for a step, or why nothing is.
///
/// # Errors
/// What is in the way.
pub fn plan(step: &Step, seen: &Snapshot) -> Result<Planned, Refusal> {
    match step {
        Step::SetAutoFailover { on } => Ok(set_auto_failover(*on, seen)),
        Step::CancelOp { op } => cancel(*op, seen),
        Step::MarkAlive { table, pid, endpoint, alive } => replica::mark_alive(seen, table, *pid, endpoint, *alive),
        Step::LoadReplica { table, pid, endpoint } => replica::load(&Place::find(seen, table, *pid)?, endpoint),
        Step::RecoverReplica { table, pid, endpoint, led_until } => {
            replica::recover(&Place::find(seen, table, *pid)?, endpoint, *led_until)
        }
        Step::AddReplica { table, pid, endpoint } => placement::add(&Place::find(seen, table, *pid)?, endpoint),
        Step::RemoveReplica { table, pid, endpoint } => placement::remove(&Place::find(seen, table, *pid)?, endpoint),
        Step::MigrateReplica { table, pid, from, to } => placement::migrate(&Place::find(seen, table, *pid)?, from, to),
        Step::OfflineTablet { endpoint } => tablet::offline(seen, endpoint),
        Step::RecoverTablet { endpoint } => tablet::recover(seen, endpoint),
        Step::StandDown { table, pid, endpoint, heir } => {
            handover::stand_down(&Place::find(seen, table, *pid)?, endpoint, heir)
        }
        Step::StandUp { table, pid, endpoint } => handover::stand_up(&Place::find(seen, table, *pid)?, endpoint),
        Step::ChangeLeader { table, pid, to } => change_leader(&Place::find(seen, table, *pid)?, to.as_ref()),
    }
}

/// A partition in a snapshot.
pub(super) struct Place<'a> {
    pub(super) seen: &'a Snapshot,
    pub(super) table: &'a Table,
    pub(super) partition: &'a Partition,
}

impl<'a> Place<'a> {
    /// # Errors
    /// There is no such table, or it has no such partition.
    pub(super) fn find(seen: &'a Snapshot, name: &TableName, pid: Pid) -> Result<Self, Refusal> {
        let table = find_table(seen, name)?;
        let partition = table.partitions.iter().find(|partition| partition.pid == pid).ok_or_else(|| {
            let text = format!("{name} has no partition {pid}; it has {}, counted from 0", table.partitions.len());
            Refusal::of(308, text, "see `openmldb-ops status --full`")
        })?;
        Ok(Self { seen, table, partition })
    }

    pub(super) fn id(&self) -> PartitionId {
        PartitionId { tid: self.table.tid, pid: self.partition.pid }
    }

    /// `db.table/pid`.
    pub(super) fn name(&self) -> String {
        format!("{}/{}", self.table.name, self.partition.pid)
    }

    /// The leader clients are sent to: the first that is flagged so and alive (reference 3.3).
    pub(super) fn leader(&self) -> Option<&'a Endpoint> {
        let leader = self.partition.replicas.iter().find(|replica| replica.is_leader && replica.is_alive);
        leader.map(|replica| &replica.endpoint)
    }

    /// Whether a replica's data may be replaced by its leader's, or be taken away.
    ///
    /// # Errors
    /// What could be lost.
    pub(super) fn may_be_resent(&self, endpoint: &Endpoint) -> Result<bool, Blocked> {
        let memory = Memory::at_start(self.seen, self.table, self.partition, &[]);
        may_be_resent(&View::of(self.seen, self.table, self.partition, &memory), endpoint)
    }

    /// # Errors
    /// It has no replica there.
    pub(super) fn replica(&self, endpoint: &Endpoint) -> Result<&'a crate::model::Replica, Refusal> {
        let found = self.partition.replicas.iter().find(|replica| replica.endpoint == *endpoint);
        found.ok_or_else(|| {
            let places: Vec<&str> = self.partition.replicas.iter().map(|r| r.endpoint.as_str()).collect();
            let text = format!("{} has no replica on {endpoint}; it has some on {}", self.name(), places.join(", "));
            Refusal::of(308, text, "name one of these")
        })
    }
}

/// # Errors
/// There is no such table.
pub(super) fn find_table<'a>(seen: &'a Snapshot, name: &TableName) -> Result<&'a Table, Refusal> {
    let found = seen.tables.iter().find(|table| table.name == *name);
    found.ok_or_else(|| {
        let text = format!("there is no table {name}");
        Refusal::of(100, text, "see `openmldb-ops status --full` for the tables there are; names are case-sensitive")
    })
}

/// # Errors
/// auto_failover is on.
pub(super) fn failover_is_off(seen: &Snapshot) -> Result<(), Refusal> {
    if !seen.auto_failover {
        return Ok(());
    }
    let hint = "switch it off with `openmldb-ops failover set off`, and on again afterwards";
    Err(Refusal::of(301, "auto_failover is on, and the nameserver refuses to be told what to do meanwhile", hint))
}

/// # Errors
/// The nameserver does not know the tablet, or does not hear from it.
pub(super) fn tablet_is_healthy(seen: &Snapshot, endpoint: &Endpoint) -> Result<(), Refusal> {
    match seen.tablets.get(endpoint).and_then(|tablet| tablet.state) {
        Some(TabletState::Healthy) => Ok(()),
        Some(TabletState::Offline) => Err(Refusal::of(
            303,
            format!("the nameserver takes {endpoint} for offline"),
            "start that tablet; if it runs, make another nameserver leader (restart the leading one)",
        )),
        None => Err(unknown_tablet(endpoint)),
    }
}

pub(super) fn unknown_tablet(endpoint: &Endpoint) -> Refusal {
    let text = format!("the nameserver knows no tablet {endpoint}");
    Refusal::of(302, text, "start that tablet, or see `openmldb-ops show tablets` for the ones there are")
}

fn set_auto_failover(on: bool, seen: &Snapshot) -> Planned {
    let mut remarks = Vec::new();
    let running = seen.ops.iter().filter(|op| op.status.is_in_flight()).count();
    if !on && running > 0 {
        remarks.push(format!("{running} operations are under way; switching auto_failover off does not end them"));
    }
    if on {
        remarks.push(
            "switching it on brings back nothing that is down now; `openmldb-ops status` says what is".to_owned(),
        );
    }
    let call = (seen.auto_failover != on).then_some(Call::Action(Action::SetAutoFailover { on }));
    Planned { call, effect: Effect::AutoFailover(on), remarks }
}

fn cancel(op: OpId, seen: &Snapshot) -> Result<Planned, Refusal> {
    failover_is_off(seen)?;
    let Some(found) = seen.ops.iter().find(|found| found.id == op) else {
        let text = format!("there is no operation {op} (any more)");
        return Err(Refusal::of(312, text, "see `openmldb-ops show ops`"));
    };
    if !found.status.is_in_flight() {
        let text = format!("operation {op} ({}) has ended", found.kind.name());
        return Err(Refusal::of(312, text, "only what is queued or under way can be cancelled"));
    }
    let remarks = vec!["what a tablet has begun for it, a load for instance, goes on".to_owned()];
    Ok(Planned { call: Some(Call::Action(Action::CancelOp { op })), effect: Effect::OpOver(op), remarks })
}

pub(super) fn change_leader(place: &Place<'_>, to: Option<&Endpoint>) -> Result<Planned, Refusal> {
    failover_is_off(place.seen)?;
    let name = place.name();
    if place.partition.replicas.len() < 2 {
        return Err(Refusal::of(134, format!("{name} has a single replica"), "add one first, or recover that one"));
    }
    let leader = place.leader();
    if let Some(leader) = leader.filter(|_| to.is_none()) {
        let hint = "name who is to lead with --to";
        return Err(Refusal::of(309, format!("{name} has a leader that is alive, {leader}"), hint));
    }
    let leads = |endpoint: &Endpoint| Effect::Leads {
        table: place.table.name.clone(),
        partition: place.id(),
        endpoint: endpoint.clone(),
    };
    if let Some(leader) = leader.filter(|leader| to == Some(*leader)) {
        return Ok(Planned { call: None, effect: leads(leader), remarks: Vec::new() });
    }
    let candidate = replica::candidate(place, to)?;
    let (table, pid) = (place.table.name.clone(), place.partition.pid);
    let effect = leads(&candidate);
    let mut remarks = Vec::new();
    if let Some(leader) = leader {
        remarks.push(format!(
            "{leader} is not alive afterwards: bring it back with `openmldb-ops replica recover {name} {leader}`"
        ));
        remarks.push(format!(
            "what clients write at that moment and no follower has yet may be given up; `openmldb-ops leader handover {name} --to {candidate}` gives up nothing"
        ));
    }
    Ok(Planned { call: Some(Call::Action(Action::ChangeLeader { table, pid, candidate })), effect, remarks })
}
