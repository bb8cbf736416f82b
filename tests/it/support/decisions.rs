//! A plan's decisions in a few lines a partition: what was known, who leads and why, what is sent and why. How a plan looks on a
//! terminal is another matter, and has snapshots of its own; these change only when something is decided differently.

use std::collections::{BTreeMap, BTreeSet};

use openmldb_ops::model::{Action, Endpoint, PartitionId, Snapshot, StorageMode, TableName};
use openmldb_ops::playbook::Playbook;
use openmldb_ops::recovery::{Choice, LeaderPlan, PartitionPlan, Plan, PlannedStep, ReplicaEvidence};
use openmldb_ops::run::{PlannedClusterStep, cluster_steps};
use openmldb_ops::ui::{Numbers, command};

/// What is planned where nothing is special, of which other plans need not speak: whole partitions, and reasons of steps.
#[derive(Default)]
pub struct Usual {
    partitions: BTreeSet<String>,
    reasons: BTreeMap<String, String>,
    around: BTreeSet<String>,
}

impl Usual {
    pub fn of(plan: &Plan, snapshot: &Snapshot, playbook: &Playbook) -> Self {
        let mut usual = Self { around: around(plan, snapshot, playbook).into(), ..Self::default() };
        for step in plan.partitions.iter().flat_map(|planned| &planned.steps) {
            usual.reasons.entry(kind(step)).or_insert_with(|| step.why.clone());
        }
        usual.partitions = plan.partitions.iter().map(|planned| partition(planned, &usual)).collect();
        usual
    }
}

/// Everything that a plan decides, but for what is as usual.
pub fn decisions(plan: &Plan, snapshot: &Snapshot, playbook: &Playbook, usual: &Usual) -> String {
    let counts = &plan.counts;
    let mut lines = vec![format!(
        "auto_failover {}; {} in scope, {} replicas: {} healthy, {} blocked; {} calls, {} load; {} as they are, {} resent, {:.1} s",
        snapshot.auto_failover,
        counts.total,
        counts.replicas,
        counts.healthy,
        counts.blocked,
        counts.actions,
        counts.loads,
        counts.reattached,
        counts.resent,
        counts.redundant_after_s,
    )];
    lines.extend(around(plan, snapshot, playbook).into_iter().filter(|line| !usual.around.contains(line)));
    let all: Vec<String> = plan.partitions.iter().map(|planned| partition(planned, usual)).collect();
    let special: Vec<&String> = all.iter().filter(|planned| !usual.partitions.contains(*planned)).collect();
    lines.extend(special.iter().map(|planned| (*planned).clone()));
    match all.len() - special.len() {
        0 => {}
        as_usual => lines.push(format!("as after everything was restarted: {as_usual}")),
    }
    short(&lines.join("\n"))
}

/// The steps of the whole cluster, before and after.
fn around(plan: &Plan, snapshot: &Snapshot, playbook: &Playbook) -> [String; 2] {
    let steps = cluster_steps(snapshot, playbook, plan, snapshot.auto_failover, &[]);
    let line = |steps: &[PlannedClusterStep]| {
        let told = |step: &PlannedClusterStep| {
            let sent: Vec<String> = step.actions.iter().map(|action| command(action, Numbers::Known)).collect();
            format!("{} [{}] {}", step.step, sent.join(", "), step.why)
        };
        steps.iter().map(told).collect::<Vec<_>>().join("; ")
    };
    [format!("before: {}", line(&steps.before)), format!("after: {}", line(&steps.after))]
}

fn partition(planned: &PartitionPlan, usual: &Usual) -> String {
    let PartitionPlan { table, partition, evidence, .. } = planned;
    let evidence: Vec<String> = evidence.iter().map(known).collect();
    let mut out = format!("{table}/{} (tid {}): {}", partition.pid, partition.tid, evidence.join(" | "));
    out += &format!("\n  {}", leader(&planned.leader));
    let mut line = |label: &str, text: &str| out += &format!("\n  {label}: {text}");
    if !planned.steps.is_empty() {
        line("steps", &steps(planned, &planned.steps, usual));
    }
    planned.notes.iter().for_each(|note| line("note", note));
    if let Some(blocked) = &planned.blocked {
        line("blocked", &format!("{}, {} -> {}", blocked.reason, blocked.text, blocked.hint));
    }
    for loss in &planned.losses {
        let entries = loss.entries.map_or("unknown".to_owned(), |entries| entries.to_string());
        let stays = loss.directory.as_deref().unwrap_or("nowhere");
        line("lost", &format!("{} of {}, {entries}, stays in {stays}", loss.kind.code(), loss.endpoint));
    }
    if !planned.if_accepted.is_empty() {
        line("accepted", &steps(planned, &planned.if_accepted, usual));
    }
    if !planned.held.is_empty() {
        line("held", &format!("{:?}", planned.held));
    }
    out
}

fn known(replica: &ReplicaEvidence) -> String {
    let ReplicaEvidence { endpoint, is_leader, is_alive, held, offset, manifest } = replica;
    let (role, alive) = (if *is_leader { "leader" } else { "follower" }, if *is_alive { "" } else { " not alive" });
    let offset = offset.map_or("?".to_owned(), |offset| offset.to_string());
    format!("{endpoint} {role}{alive}, {held}, offset {offset}, {manifest}")
}

fn leader(leader: &LeaderPlan) -> String {
    match leader {
        LeaderPlan::Serving { endpoint } => format!("leader: {endpoint} serves"),
        LeaderPlan::Nobody => "leader: nobody".to_owned(),
        LeaderPlan::Chosen(choice) => format!("leader: {}", chosen(choice)),
        LeaderPlan::AfterLoading { among, expected } => {
            let expected = expected.as_ref().map_or("nobody".to_owned(), |choice| chosen(choice));
            format!("leader after loading, among {}, expected: {expected}", list(among))
        }
    }
}

fn chosen(choice: &Choice) -> String {
    let Choice { leader, way, offset, why, rejected, proven, doubted, unread, given_up, out_of_reach, seen_no_longer } =
        choice;
    let offset = offset.map_or("?".to_owned(), |offset| offset.to_string());
    let mut out = format!("{leader} by {way:?} at {offset}, {why}");
    for alike in rejected.chunk_by(|a, b| a.why == b.why) {
        let whom: Vec<Endpoint> = alike.iter().map(|rejected| rejected.endpoint.clone()).collect();
        out += &format!("; not {}, {}", list(&whom), alike[0].why);
    }
    for given_up in given_up {
        let term = given_up.term.map_or("?".to_owned(), |term| term.to_string());
        let most = if given_up.at_most { "at most " } else { "" };
        let (endpoint, entries, directory) = (&given_up.endpoint, given_up.entries, &given_up.directory);
        out += &format!("; given up: {most}{entries} of {endpoint}, term {term}, to {directory}");
    }
    let more = [
        ("proven", proven),
        ("doubted", doubted),
        ("unread", unread),
        ("away", out_of_reach),
        ("seen no longer", seen_no_longer),
    ];
    for (what, endpoints) in more.iter().filter(|(_, endpoints)| !endpoints.is_empty()) {
        out += &format!("; {what}: {}", list(endpoints));
    }
    out
}

/// Calls in their order; those that differ in nothing but whom they are sent for stand together. A `?` means that a step depends on
/// what loading brings. A reason that is the usual one of such a step, or that of choosing the leader, is left out.
fn steps(planned: &PartitionPlan, steps: &[PlannedStep], usual: &Usual) -> String {
    let calls: Vec<(String, Endpoint, &PlannedStep)> = steps.iter().map(|step| sent(planned, step)).collect();
    let mut out = Vec::new();
    for alike in calls.chunk_by(|a, b| a.0 == b.0 && a.2.why == b.2.why) {
        let (call, _, step) = &alike[0];
        let whom: Vec<Endpoint> = alike.iter().map(|(_, endpoint, _)| endpoint.clone()).collect();
        let is_usual = usual.reasons.get(&kind(step)) == Some(&step.why) || is_of_choice(planned, step);
        let why = if is_usual { String::new() } else { format!(" ({})", step.why) };
        out.push(format!("{call} {}{why}", list(&whom)));
    }
    out.join(", ")
}

fn is_of_choice(planned: &PartitionPlan, step: &PlannedStep) -> bool {
    match &planned.leader {
        LeaderPlan::Chosen(choice) => choice.why == step.why,
        LeaderPlan::AfterLoading { expected: Some(choice), .. } => choice.why == step.why,
        _ => false,
    }
}

/// A call without whom it is for, and that. It has to be about the partition that it is planned for.
fn sent<'a>(planned: &PartitionPlan, step: &'a PlannedStep) -> (String, Endpoint, &'a PlannedStep) {
    let in_table = |table: &TableName| assert_eq!(*table, planned.table);
    let in_partition = |partition: &PartitionId| assert_eq!(*partition, planned.partition);
    let on = |storage: &StorageMode| match storage {
        StorageMode::Memory => String::new(),
        other => format!(" {other:?}"),
    };
    let (call, endpoint) = match &step.action {
        Action::MarkAlive { table, pid, endpoint, alive } => {
            in_table(table);
            assert_eq!(*pid, Some(planned.partition.pid));
            (if *alive { "alive".to_owned() } else { "not alive".to_owned() }, endpoint)
        }
        Action::ChangeLeader { table, pid, candidate } => {
            in_table(table);
            assert_eq!(*pid, planned.partition.pid);
            ("ChangeLeader".to_owned(), candidate)
        }
        Action::RecoverTable { table, pid, endpoint } => {
            in_table(table);
            assert_eq!(*pid, planned.partition.pid);
            ("RecoverTable".to_owned(), endpoint)
        }
        Action::LoadTable { endpoint, table, partition, seg_cnt, storage }
        | Action::LoadWithSchema { endpoint, table, partition, seg_cnt, storage } => {
            in_table(table);
            in_partition(partition);
            assert_eq!(*seg_cnt, 8);
            let with = if matches!(step.action, Action::LoadTable { .. }) { "" } else { " with its schema" };
            (format!("LoadTable{with}{}", on(storage)), endpoint)
        }
        Action::ChangeRole { endpoint, partition, term, replicas } => {
            in_partition(partition);
            (format!("ChangeRole term {term} with [{}]", list(replicas)), endpoint)
        }
        Action::AddReplica { endpoint, partition, follower } => {
            in_partition(partition);
            (format!("AddReplica {follower} to"), endpoint)
        }
        Action::DelReplica { endpoint, partition, follower } => {
            in_partition(partition);
            (format!("DelReplica {follower} from"), endpoint)
        }
        Action::DropTable { endpoint, partition } => {
            in_partition(partition);
            ("DropTable".to_owned(), endpoint)
        }
        Action::MakeSnapshot { endpoint, partition, offset, storage } => {
            in_partition(partition);
            let at = if step.expected { String::new() } else { format!(" at {offset}") };
            (format!("MakeSnapshot{at}{}", on(storage)), endpoint)
        }
        Action::CreateAggregator { endpoint, table, partition } => {
            in_table(table);
            in_partition(partition);
            ("CreateAggregator".to_owned(), endpoint)
        }
        other => panic!("{other:?} is no call of a partition"),
    };
    (format!("{}{} {call}", step.step, if step.expected { "?" } else { "" }), endpoint.clone(), step)
}

/// What a step does, without to whom: such steps usually have one reason.
fn kind(step: &PlannedStep) -> String {
    let alive = matches!(step.action, Action::MarkAlive { alive: true, .. });
    format!("{} {} {alive} {:?}", step.step, step.expected, std::mem::discriminant(&step.action))
}

fn list(endpoints: &[Endpoint]) -> String {
    endpoints.iter().map(Endpoint::as_str).collect::<Vec<_>>().join(" ")
}

/// The recorded cluster's tablets as T1, T2 and T3.
fn short(text: &str) -> String {
    text.replace("127.0.0.1:1192", "T")
}
