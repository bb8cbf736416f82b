//! A playbook for people: its canonical text, what each step does in a sentence, and a summary.

use std::fmt::{self, Write};

use super::span::written;
use super::{
    AutoFailover, ClusterStep, Connect, LeaderBy, OnConflict, PartitionStep, Playbook, PlaybookError, Promote,
    SettleThen, VERSION, Which, WhichTablets,
};

/// What a valid playbook amounts to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Its name.
    pub name: String,
    /// Its description.
    pub description: String,
    /// Steps before any partition.
    pub before: usize,
    /// Steps of every partition.
    pub partition: usize,
    /// Steps at the end.
    pub after: usize,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, before, partition, after, .. } = self;
        write!(
            f,
            "playbook `{name}`, version {VERSION}: steps before {before}, per partition {partition}, after {after}"
        )
    }
}

/// Reads a playbook and sums it up. `file` is what errors call the text.
///
/// # Errors
/// The first thing wrong with it, at its line and column.
pub fn check(file: &str, text: &str) -> Result<Summary, PlaybookError> {
    let Playbook { name, description, before, partition, after } = Playbook::parse(file, text)?;
    Ok(Summary { name, description, before: before.len(), partition: partition.len(), after: after.len() })
}

impl Playbook {
    /// The canonical text: every key, in order, without comments. Reading it gives the same playbook.
    pub fn to_yaml(&self) -> String {
        let mut out =
            format!("version: {VERSION}\nname: {}\ndescription: {}\n", plain(&self.name), plain(&self.description));
        list(&mut out, "before", &self.before);
        list(&mut out, "partition", &self.partition);
        list(&mut out, "after", &self.after);
        out
    }

    /// What each step does, in order, one sentence each, under a heading per list.
    pub fn explained(&self) -> String {
        let mut out = format!("{}: {}\n", self.name, self.description);
        sentences(&mut out, "Before any partition", self.before.iter().map(|step| (step.key(), step.sentence())));
        let partition = self.partition.iter().map(|step| (step.key(), step.sentence()));
        sentences(&mut out, "In every partition that is not healthy, all in parallel", partition);
        sentences(
            &mut out,
            "At the end, however the run ends",
            self.after.iter().map(|step| (step.key(), step.sentence())),
        );
        out
    }
}

/// A text as a YAML scalar, quoted where it has to be.
fn plain(text: &str) -> String {
    // Serialising a string cannot fail; its debug form is a YAML scalar as well.
    serde_yaml::to_string(text).map_or_else(|_| format!("{text:?}"), |yaml| yaml.trim_end().to_owned())
}

fn list(out: &mut String, key: &str, steps: &[impl fmt::Display]) {
    out.push_str(key);
    out.push_str(":\n");
    for step in steps {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "  - {step}");
    }
}

fn sentences(out: &mut String, heading: &str, steps: impl Iterator<Item = (&'static str, String)>) {
    let _ = writeln!(out, "\n{heading}:");
    for (nth, (key, sentence)) in steps.enumerate() {
        let _ = writeln!(out, "  {}. {key}: {sentence}", nth + 1);
    }
}

/// The step as a playbook spells it.
impl fmt::Display for ClusterStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = self.key();
        match self {
            Self::AutoFailover(what) => write!(f, "{key}: {what}"),
            Self::SettleOps { timeout, then } => write!(f, "{key}: {{ timeout: {}, then: {then} }}", written(*timeout)),
            Self::ResumeSnapshots => write!(f, "{key}: {{}}"),
            Self::OfflineTablets { which } => write!(f, "{key}: {{ which: {which} }}"),
            Self::WaitForTablets { which, timeout } => {
                write!(f, "{key}: {{ which: {which}, timeout: {} }}", written(*timeout))
            }
        }
    }
}

/// The step as a playbook spells it.
impl fmt::Display for PartitionStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {{ ", self.key())?;
        match self {
            Self::MarkAlive { replicas, alive } => {
                write!(f, "replicas: {replicas}, alive: {}", if *alive { "yes" } else { "no" })
            }
            Self::LoadTable { replicas, seg_cnt, mode, turn } => {
                write!(f, "replicas: {replicas}, seg_cnt: {seg_cnt}, mode: {mode}, turn: {}", written(*turn))
            }
            Self::PollTableStatus { until, every, timeout } => {
                write!(f, "until: {until}, every: {}, timeout: {}", written(*every), written(*timeout))
            }
            Self::ProveTerms { by, up_to_entries } => write!(f, "by: {by}, up_to_entries: {up_to_entries}"),
            Self::PickLeader { among, by, on_conflict, promote, compare_rows_up_to } => {
                write!(
                    f,
                    "among: {among}, by: {by}, on_conflict: {on_conflict}, promote: {promote}, compare_rows_up_to: \
                     {compare_rows_up_to}"
                )
            }
            Self::ChangeRole { replica, connect } => write!(f, "replica: {replica}, connect: {connect}"),
            Self::RecoverTable { replicas, turn } => write!(f, "replicas: {replicas}, turn: {}", written(*turn)),
            Self::WaitUntil { state, timeout } => write!(f, "state: {state}, timeout: {}", written(*timeout)),
        }?;
        f.write_str(" }")
    }
}

impl ClusterStep {
    /// What the step does.
    pub fn sentence(&self) -> String {
        match self {
            Self::AutoFailover(AutoFailover::Off) => {
                "Record the value of auto_failover and switch it off, so that the nameserver moves nothing on its own \
                 meanwhile."
                    .to_owned()
            }
            Self::AutoFailover(AutoFailover::Restore) => {
                "Restore auto_failover to the value it had before the run.".to_owned()
            }
            Self::SettleOps { timeout, then } => format!(
                "Wait up to {} for operations of the nameserver that are still running, then {}.",
                written(*timeout),
                match then {
                    SettleThen::Cancel => "cancel what is left (CancelOP)",
                    SettleThen::Block => "stop without touching any partition if some are left",
                }
            ),
            Self::ResumeSnapshots => {
                "Let leaders that an operation left unable to write snapshots write them again (RecoverSnapshot)."
                    .to_owned()
            }
            Self::OfflineTablets { .. } => {
                "Take tablets that are lost out of service (OfflineEndpoint): other replicas become leaders; writes no \
                 follower had received are lost."
                    .to_owned()
            }
            Self::WaitForTablets { which, timeout } => format!(
                "Keep the run open for up to {} from its start while {}; everything else continues meanwhile.",
                written(*timeout),
                match which {
                    WhichTablets::Lost => "they are not back",
                    WhichTablets::Missing =>
                        "a tablet that metadata names does not answer, if a partition with a replica there is down or \
                         being worked on",
                }
            ),
        }
    }
}

impl PartitionStep {
    /// What the step does.
    pub fn sentence(&self) -> String {
        match self {
            Self::MarkAlive { replicas, alive } => format!(
                "Mark {} {} (UpdateTableAliveStatus).",
                name_of(*replicas),
                if *alive { "alive, so that clients find it" } else { "not alive, so that no client is sent there" }
            ),
            Self::LoadTable { replicas, seg_cnt, mode, turn } => format!(
                "Load {} as {mode} with {seg_cnt} segments per index (LoadTable); a replica loaded as leader would \
                 take writes before its data is there. Tables that come first (system tables, base tables) are waited \
                 for up to {}.",
                name_of(*replicas),
                written(*turn)
            ),
            Self::PollTableStatus { every, timeout, .. } => format!(
                "Ask the tablets every {} until all that was to be loaded is loaded, for up to {} (GetTableStatus).",
                written(*every),
                written(*timeout)
            ),
            Self::ProveTerms { up_to_entries, .. } => format!(
                "Where the choice needs the term of a replica's last entry and it is unknown, have the replica write a \
                 snapshot that names it, if it has at most {up_to_entries} entries (MakeSnapshot)."
            ),
            Self::PickLeader { by, on_conflict, promote, compare_rows_up_to, .. } => {
                picking(*by, *on_conflict, *promote) + &comparing(*compare_rows_up_to)
            }
            Self::ChangeRole { connect, .. } => format!(
                "Make the chosen replica the leader (ChangeRole), replicating at first to {}.",
                match connect {
                    Connect::ProvenPrefixes => "the followers whose log is proven to be the beginning of its own",
                    Connect::Nobody => "nobody",
                }
            ),
            Self::RecoverTable { replicas, turn } => format!(
                "Have the nameserver bring back {} that are not alive (RecoverTable), none that holds rows the leader \
                 lacks, unless the choice of the leader gave those up. The leaders of other partitions are waited for up to {}.",
                name_of(*replicas),
                written(*turn)
            ),
            Self::WaitUntil { timeout, .. } => format!(
                "Wait up to {} until every replica is loaded, alive, in its role, connected and caught up.",
                written(*timeout)
            ),
        }
    }
}

fn picking(by: LeaderBy, on_conflict: OnConflict, promote: Promote) -> String {
    format!(
        "Choose the leader-flagged replica with the largest offset {}; of several flags {}; a longer follower {}.",
        match by {
            LeaderBy::MaxOffset => "after loading",
            LeaderBy::Evidence =>
                "after loading, unless evidence of another one reaches beyond it (then all are loaded)",
        },
        match on_conflict {
            OnConflict::LastElected => "the one elected last counts, as far as terms are known",
            OnConflict::MaxOffset => "the largest offset alone decides",
            OnConflict::Block => "none is chosen and the partition is left to the operator",
        },
        match promote {
            Promote::WhenProven => "leads instead where it is proven to hold all the other holds",
            Promote::Never => "never leads, it blocks the partition",
        }
    )
}

fn comparing(rows: u64) -> String {
    match rows {
        0 => " Where row counts differ, they decide.".to_owned(),
        _ => format!(
            " Where row counts differ, and replicas hold at most {rows} rows, they are compared row by row before any \
             is kept from leading, resent or left alone because of it (Traverse)."
        ),
    }
}

fn name_of(which: Which) -> &'static str {
    match which {
        Which::All => "every replica",
        Which::Leader => "the leader",
        Which::Followers => "the followers",
        Which::LeaderFlagged => "the leader-flagged replicas",
        Which::Connected => "followers that are connected and caught up",
    }
}
