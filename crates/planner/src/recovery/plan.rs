//! The plan: `decide` walked to its end through `predict`, so that it cannot drift from what a run does. The same
//! snapshot gives the same plan, byte for byte.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::playbook::Playbook;
use openmldb_model::{Action, Endpoint, Offset, PartitionId, Seen, Snapshot, State, Table, TableName, counted};

use super::blocked::{Blocked, Reason};
use super::choice::Choice;
use super::decide::decide;
use super::decision::{ComparedBefore, Decision, Intent, WaitFor};
use super::facts::Facts;
use super::gates::Gates;
use super::health::{Health, health};
use super::limits::LANE_MS;
use super::loss::Loss;
use super::memory::Memory;
use super::rows::RowsSeen;
use super::unseen::{WhyHeld, held_in};
use super::view::{Data, ReplicaView, View, list};

/// More decisions than any partition needs; a walk that long has gone in circles, which is a bug worth a message.
const MAX_DECISIONS: usize = 500;

/// What a run would do.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    /// Which playbook.
    pub playbook: String,
    /// Partitions in scope that are not healthy, in the order in which they are brought back.
    pub partitions: Vec<PartitionPlan>,
    /// Numbers.
    pub counts: Counts,
}

/// A plan in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Counts {
    /// Partitions in scope.
    pub total: usize,
    /// Of these, healthy ones, which are not touched.
    pub healthy: usize,
    /// Of these, blocked as far as is known.
    pub blocked: usize,
    /// Replicas in scope.
    pub replicas: usize,
    /// Mutating calls.
    pub actions: usize,
    /// LoadTable calls among them.
    pub loads: usize,
    /// Followers that come back as they are.
    pub reattached: usize,
    /// Replicas that get their leader's data.
    pub resent: usize,
    /// Estimated seconds from serving until redundant, in the busier of the nameserver's two lanes.
    pub redundant_after_s: f64,
}

/// What would happen to one partition.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PartitionPlan {
    /// Database and table.
    pub table: TableName,
    /// Its number on the tablets.
    pub partition: PartitionId,
    /// What is known of each replica now.
    pub evidence: Vec<ReplicaEvidence>,
    /// What it rests on.
    pub facts: Facts,
    /// Who leads, or how that is decided.
    pub leader: LeaderPlan,
    /// The steps, in order.
    pub steps: Vec<PlannedStep>,
    /// Why the partition does not become redundant, if so.
    pub blocked: Option<Blocked>,
    /// What has to be accepted for it to continue anyway.
    pub losses: Vec<Loss>,
    /// The steps that follow once it is.
    pub if_accepted: Vec<PlannedStep>,
    /// What to know beside.
    pub notes: Vec<String>,
    /// How long it waits, in ms at most, for its tablets to have been up for long enough to be asked for snapshots.
    #[serde(skip)]
    pub uptime_ms: u64,
    /// The replicas whose rows have to be compared before the plan can be sure.
    #[serde(skip)]
    pub to_compare: Vec<Endpoint>,
    /// The replicas that the nameserver must not replace at its end, as far as can be told now.
    pub held: Vec<(Endpoint, WhyHeld)>,
}

/// What is known of a replica before anything is done.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReplicaEvidence {
    /// Where it is.
    pub endpoint: Endpoint,
    /// Its flags: leader and alive.
    pub is_leader: bool,
    /// See above.
    pub is_alive: bool,
    /// What its tablet holds, in words.
    pub held: String,
    /// The largest offset known of it, if any: of its log if loaded, else the nameserver's last or MANIFEST's.
    pub offset: Option<Offset>,
    /// Its snapshot, in words.
    pub manifest: String,
}

/// Who leads.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum LeaderPlan {
    /// It serves already.
    Serving {
        /// The leader.
        endpoint: Endpoint,
    },
    /// Chosen on proven offsets.
    Chosen(Box<Choice>),
    /// Offsets are known only after loading.
    AfterLoading {
        /// The one of these that the rules pick.
        among: Vec<Endpoint>,
        /// Who that is if every replica stopped at the same offset.
        expected: Option<Box<Choice>>,
    },
    /// Nobody may lead.
    Nobody,
}

impl LeaderPlan {
    /// Who leads, or is expected to.
    fn endpoint(&self) -> Option<&Endpoint> {
        match self {
            Self::Serving { endpoint } => Some(endpoint),
            Self::Chosen(choice) => Some(&choice.leader),
            Self::AfterLoading { expected, .. } => expected.as_ref().map(|choice| &choice.leader),
            Self::Nobody => None,
        }
    }
}

/// One call of the plan.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlannedStep {
    /// The playbook's step.
    pub step: &'static str,
    /// The call and its arguments.
    pub action: Action,
    /// Why.
    pub why: String,
    /// Whether it depends on what loading brings.
    pub expected: bool,
}

/// Plans for the partitions that `in_scope` accepts. `memory` gives what a run would remember of each at its start.
pub fn plan(
    snapshot: &Snapshot,
    playbook: &Playbook,
    in_scope: impl Fn(&Table, PartitionId) -> bool,
    memory: impl Fn(PartitionId) -> Memory,
) -> Plan {
    let mut counts = Counts::default();
    let mut partitions: Vec<PartitionPlan> = Vec::new();
    // Base tables come before their pre-aggregate tables.
    let mut leaders: BTreeMap<PartitionId, Endpoint> = BTreeMap::new();
    for table in in_order(&snapshot.tables) {
        for partition in &table.partitions {
            let id = PartitionId { tid: table.tid, pid: partition.pid };
            if !in_scope(table, id) {
                continue;
            }
            let memory = memory(id);
            let mut view = View::of(snapshot, table, partition, &memory);
            view.expect_base_led_by(table, |base| leaders.get(&base).cloned());
            counts.total += 1;
            counts.replicas += view.replicas.len();
            if health(&view) == Health::Healthy && !memory.was_bringing_back() {
                counts.healthy += 1;
                continue;
            }
            let planned = walk(view, playbook);
            leaders.extend(planned.leader.endpoint().map(|leader| (id, leader.clone())));
            partitions.push(planned);
        }
    }
    let mut lanes = [0.0, 0.0];
    for planned in &partitions {
        let [even, odd] = &mut lanes;
        counts.add(planned, if planned.partition.pid.0 % 2 == 0 { even } else { odd });
    }
    counts.redundant_after_s = lanes.into_iter().fold(0.0, f64::max);
    Plan { playbook: playbook.name.clone(), partitions, counts }
}

/// Tables in the order in which they come back: OpenMLDB's own, then base tables, then pre-aggregates.
pub fn in_order(tables: &[Table]) -> Vec<&Table> {
    let mut sorted: Vec<&Table> = tables.iter().collect();
    sorted.sort_by_key(|table| (!table.is_system(), table.base_table.is_some(), table.tid));
    sorted
}

impl Counts {
    /// `lane`: the seconds of the nameserver's lane that the partition's operations run in.
    fn add(&mut self, planned: &PartitionPlan, lane: &mut f64) {
        self.blocked += usize::from(planned.blocked.is_some());
        self.actions += planned.steps.len();
        let [connected, resent] = [LANE_MS.0, LANE_MS.1].map(|ms| ms as f64 / 1000.0);
        for step in &planned.steps {
            match &step.action {
                Action::LoadTable { .. } | Action::LoadWithSchema { .. } => self.loads += 1,
                Action::RecoverTable { endpoint, .. } if planned.resends(endpoint) => {
                    self.resent += 1;
                    *lane += resent;
                }
                Action::RecoverTable { .. } => {
                    self.reattached += 1;
                    *lane += connected;
                }
                // Without the nameserver's lanes.
                Action::MarkAlive { endpoint, alive: true, .. } if planned.connects(endpoint) => self.reattached += 1,
                _ => {}
            }
        }
    }
}

impl PartitionPlan {
    /// Whether the replica gets its leader's data: it was not connected before RecoverTable.
    pub fn resends(&self, endpoint: &Endpoint) -> bool {
        !self.connects(endpoint)
    }

    /// Whether its leader takes the replica as it is.
    pub(super) fn connects(&self, endpoint: &Endpoint) -> bool {
        self.steps.iter().any(|step| match &step.action {
            Action::ChangeRole { replicas, .. } => replicas.contains(endpoint),
            Action::AddReplica { follower, .. } => follower == endpoint,
            _ => false,
        })
    }
}

pub(super) fn walk(mut view: View, playbook: &Playbook) -> PartitionPlan {
    let mut held = None;
    let mut planned = walk_through(&mut view, playbook, &mut held);
    planned.held = held.unwrap_or_else(|| held_in(&view, planned.blocked.as_ref(), false));
    planned
}

/// `held`: what the nameserver must not replace where the walk is blocked and continues as if the loss had been
/// accepted.
fn walk_through(view: &mut View, playbook: &Playbook, held: &mut Option<Vec<(Endpoint, WhyHeld)>>) -> PartitionPlan {
    let mut planned = PartitionPlan {
        table: view.table.clone(),
        partition: view.partition,
        evidence: view.replicas.iter().map(ReplicaEvidence::of).collect(),
        facts: Facts::of(view),
        leader: view
            .serving_leader()
            .map_or(LeaderPlan::Nobody, |l| LeaderPlan::Serving { endpoint: l.endpoint.clone() }),
        steps: Vec::new(),
        blocked: None,
        losses: Vec::new(),
        if_accepted: Vec::new(),
        notes: view
            .memory
            .named_leader
            .iter()
            .map(|named| format!("{named} was named as leader, overriding the rule"))
            .collect(),
        uptime_ms: 0,
        to_compare: Vec::new(),
        held: Vec::new(),
    };
    let mut expected = false;
    for _ in 0..MAX_DECISIONS {
        match decide(view, playbook, Gates::OPEN) {
            Decision::Done => return planned,
            Decision::Look(probes) => probes.iter().for_each(|probe| view.predict_unanswered(probe)),
            Decision::Compare { replicas, before } => {
                if !expected && planned.to_compare.is_empty() {
                    planned.to_compare.clone_from(&replicas);
                    if before == ComparedBefore::Judging {
                        let text = "their rows were not compared, so what follows relies on row counts";
                        planned.notes.push(format!("{}: {text}", list(&replicas)));
                    }
                }
                view.memory.rows = Some(RowsSeen::unknown(replicas, "a plan does not read rows"));
            }
            Decision::Choose(choice) => {
                if planned.blocked.is_none() {
                    planned.choose(&choice);
                }
                let last = view.terms.last().map(|start| start.term);
                view.memory.choose(*choice, last);
            }
            Decision::Act(intents) => {
                for intent in &intents {
                    view.predict(intent);
                    let steps = if planned.blocked.is_some() { &mut planned.if_accepted } else { &mut planned.steps };
                    steps.push(step(intent, expected));
                }
            }
            Decision::Unknown => {
                if view.serving_leader().is_none() {
                    let among = view.replicas.iter().filter(|r| r.loaded().is_some());
                    let among = among.map(|r| r.endpoint.clone()).collect();
                    planned.leader = LeaderPlan::AfterLoading { among, expected: None };
                }
                view.assume_equal();
                expected = true;
            }
            Decision::Wait(wait) => {
                if !matches!(wait.what, WaitFor::Loading | WaitFor::SlowLoad | WaitFor::CatchUp(_)) {
                    planned.notes.push(format!("waits: {}", wait.seen));
                }
                if wait.what == WaitFor::UpForAMinute {
                    planned.uptime_ms = u64::try_from(wait.timeout.as_millis()).unwrap_or(u64::MAX);
                }
                if !view.predict_waited(&wait) {
                    return planned;
                }
            }
            // The operator should know what would happen before accepting. What would be lost is known only
            // where offsets are proven: a guess cannot be accepted.
            Decision::Blocked(blocked) if !blocked.loss.is_empty() && !expected => {
                held.get_or_insert_with(|| held_in(view, Some(&blocked), false));
                view.memory.accepted.extend(blocked.loss.clone());
                planned.losses.extend(blocked.loss.clone());
                planned.blocked.get_or_insert(blocked);
            }
            Decision::Blocked(blocked) => {
                planned.blocked.get_or_insert(Blocked { loss: Vec::new(), ..blocked });
                return planned;
            }
        }
    }
    let text =
        format!("the plan does not end after {MAX_DECISIONS} decisions; this is a bug, please report the snapshot");
    planned.blocked = Some(Blocked::new(Reason::Interrupted, text, "save the snapshot with `openmldb-ops snapshot`"));
    planned
}

impl PartitionPlan {
    fn choose(&mut self, choice: &Choice) {
        match &mut self.leader {
            LeaderPlan::AfterLoading { expected, .. } => *expected = Some(Box::new(choice.clone())),
            other => *other = LeaderPlan::Chosen(Box::new(choice.clone())),
        }
    }
}

fn step(intent: &Intent, expected: bool) -> PlannedStep {
    PlannedStep { step: intent.step, action: intent.action.clone(), why: intent.why.clone(), expected }
}

impl ReplicaEvidence {
    /// Of a replica as it is seen.
    pub fn of(replica: &ReplicaView) -> Self {
        let held = match &replica.data {
            Data::OutOfReach(error) => format!("does not answer: {error}"),
            Data::Absent => "not loaded".to_owned(),
            Data::Loading(State::Queued) => "queued".to_owned(),
            Data::Loading(_) => "loading".to_owned(),
            Data::Loaded(loaded) => format!("loaded as {}, {}", loaded.role, counted(loaded.rows, "row")),
        };
        let manifest = match &replica.manifest {
            Seen::Known(manifest) if manifest.offset == Offset(0) => "no snapshot".to_owned(),
            Seen::Known(manifest) if replica.memory.snapshot_file_missing => {
                format!("snapshot at {}, its file is missing", manifest.offset)
            }
            Seen::Known(manifest) => match manifest.term {
                Some(term) => format!("snapshot at {}, term {term}", manifest.offset),
                None => format!("snapshot at {}", manifest.offset),
            },
            Seen::Failed(error) => format!("snapshot unknown: {error}"),
            Seen::Unasked => "snapshot unknown".to_owned(),
        };
        let known = replica.largest_known_offset();
        Self {
            endpoint: replica.endpoint.clone(),
            is_leader: replica.is_leader,
            is_alive: replica.is_alive,
            held,
            offset: replica.offset().or((known > Offset(0)).then_some(known)),
            manifest,
        }
    }
}
