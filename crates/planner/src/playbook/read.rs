//! From the tree to typed steps, each with its place in the text. Every key is required, since what a playbook does is all in it;
//! but for `turn` and `compare_rows_up_to`, which came later.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::error::Problem;
use super::keys::{Fault, Keys, spelling, word, wrong_kind};
use super::node::{Node, Place};
use super::{
    AutoFailover, COMPARE_ROWS_UP_TO, ClusterStep, LeaderBy, PartitionStep, TURN, VERSION, Which, WhichTablets, Word,
    span,
};

/// Bounds of `seg_cnt`. The documented procedure has 8; the upper bound catches a slip, not a limit of OpenMLDB.
const SEG_CNT: RangeInclusive<u64> = 1..=1024;
/// Bounds of `up_to_entries`: a snapshot of more than a billion entries is no quick proof on any machine.
const UP_TO_ENTRIES: RangeInclusive<u64> = 1..=1_000_000_000;
/// Bounds of `compare_rows_up_to`; 0 compares nothing.
const COMPARE_ROWS: RangeInclusive<u64> = 0..=1_000_000_000_000;
/// Bounds of a wait.
const WAIT: RangeInclusive<Duration> = Duration::from_millis(1)..=span::LONGEST;
/// Bounds of a poll interval.
const POLL: RangeInclusive<Duration> = span::SHORTEST_POLL..=Duration::from_secs(60);
/// Longest name and description, in characters: they are columns of a list.
const NAME_CHARS: usize = 64;
const DESCRIPTION_CHARS: usize = 200;
const NAME: &str = "at most 64 lowercase letters, digits and hyphens, starting with a letter";

const KEYS: &[&str] = &["version", "name", "description", "before", "partition", "after"];

/// A kind of step: its key and how its parameters are read.
type Kind<T> = (&'static str, fn(&'static str, &Node, &Place) -> Result<T, Fault>);

const CLUSTER_STEPS: &[Kind<ClusterStep>] = &[
    ("auto_failover", auto_failover),
    ("settle_ops", settle_ops),
    ("resume_snapshots", resume_snapshots),
    ("offline_tablets", offline_tablets),
    ("wait_for_tablets", wait_for_tablets),
];
const PARTITION_STEPS: &[Kind<PartitionStep>] = &[
    ("mark_alive", mark_alive),
    ("load_table", load_table),
    ("poll_table_status", poll_table_status),
    ("prove_terms", prove_terms),
    ("pick_leader", pick_leader),
    ("change_role", change_role),
    ("recover_table", recover_table),
    ("wait_until", wait_until),
];

/// A value and where it stands.
#[derive(Debug)]
pub(super) struct Placed<T> {
    pub(super) value: T,
    pub(super) place: Place,
}

/// A list of steps; each step's place is its key, the list's place the list's key.
pub(super) type Steps<T> = Placed<Vec<Placed<T>>>;

/// A playbook whose every step is well formed, not yet looked at as a whole.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) name: String,
    pub(super) description: String,
    pub(super) before: Steps<ClusterStep>,
    pub(super) partition: Steps<PartitionStep>,
    pub(super) after: Steps<ClusterStep>,
}

/// Reads a playbook. The version is looked at before anything else: another version has other keys.
pub(super) fn playbook(tree: &Node) -> Result<Draft, Fault> {
    let top = Place::top();
    if let Node::Map(entries) = tree {
        version(entries, &top)?;
    }
    let keys = Keys::of("playbook", tree, &top, KEYS)?;
    Ok(Draft {
        name: name(&keys)?,
        description: description(&keys)?,
        before: steps(&keys, "before", CLUSTER_STEPS)?,
        partition: steps(&keys, "partition", PARTITION_STEPS)?,
        after: steps(&keys, "after", CLUSTER_STEPS)?,
    })
}

fn version(entries: &[(Node, Node)], top: &Place) -> Result<(), Fault> {
    let found = entries.iter().position(|(key, _)| key.is_text("version"));
    let Some(nth) = found else { return Err(Fault { place: top.clone(), problem: Problem::NoVersion }) };
    match &entries[nth].1 {
        Node::Whole(VERSION) => Ok(()),
        Node::Whole(found) => Err(Fault { place: top.value(nth), problem: Problem::OtherVersion { found: *found } }),
        other => Err(wrong_kind(&top.value(nth), "version", "a whole number", other)),
    }
}

fn name(keys: &Keys<'_>) -> Result<String, Fault> {
    let (text, place) = keys.text("name", NAME)?;
    let fits = text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        && text.len() <= NAME_CHARS;
    if fits { Ok(text.to_owned()) } else { Err(wrong_kind(&place, "name", NAME, &Node::Text(text.to_owned()))) }
}

fn description(keys: &Keys<'_>) -> Result<String, Fault> {
    let (text, place) = keys.text("description", "a line of text")?;
    let one_line = !text.chars().any(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}'));
    let fits = one_line && text.trim() == text && !text.is_empty() && text.chars().count() <= DESCRIPTION_CHARS;
    if fits {
        Ok(text.to_owned())
    } else {
        Err(wrong_kind(&place, "description", "one line of 1 to 200 characters", &Node::Text(text.to_owned())))
    }
}

/// Reads the list of steps under a key.
fn steps<T>(keys: &Keys<'_>, key: &'static str, kinds: &[Kind<T>]) -> Result<Steps<T>, Fault> {
    let (node, list_key, list) = keys.entry(key)?;
    let Node::List(items) = node else { return Err(wrong_kind(&list, key, "a list of steps", node)) };
    let steps = items.iter().enumerate().map(|(nth, item)| step(item, &list.value(nth), kinds));
    Ok(Placed { value: steps.collect::<Result<_, _>>()?, place: list_key })
}

fn step<T>(item: &Node, place: &Place, kinds: &[Kind<T>]) -> Result<Placed<T>, Fault> {
    let allowed = || kinds.iter().map(|(key, _)| *key).collect::<Vec<_>>().join(", ");
    let not_a_step = |found| Fault { place: place.clone(), problem: Problem::NotAStep { found, allowed: allowed() } };
    let Node::Map(entries) = item else { return Err(not_a_step(item.described())) };
    let [(key, parameters)] = entries.as_slice() else { return Err(not_a_step(format!("{} keys", entries.len()))) };
    let Some((known, read)) = kinds.iter().find(|(known, _)| key.is_text(known)) else {
        let problem = Problem::UnknownStep { found: spelling(key), allowed: allowed() };
        return Err(Fault { place: place.key(0), problem });
    };
    Ok(Placed { value: read(known, parameters, &place.value(0))?, place: place.key(0) })
}

fn auto_failover(key: &'static str, node: &Node, place: &Place) -> Result<ClusterStep, Fault> {
    word(node, place, key, AutoFailover::WORDS, &[]).map(ClusterStep::AutoFailover)
}

fn settle_ops(key: &'static str, node: &Node, place: &Place) -> Result<ClusterStep, Fault> {
    let keys = Keys::of(key, node, place, &["timeout", "then"])?;
    Ok(ClusterStep::SettleOps { timeout: keys.duration("timeout", WAIT)?, then: keys.word("then")? })
}

fn resume_snapshots(key: &'static str, node: &Node, place: &Place) -> Result<ClusterStep, Fault> {
    Keys::of(key, node, place, &[]).map(|_| ClusterStep::ResumeSnapshots)
}

fn offline_tablets(key: &'static str, node: &Node, place: &Place) -> Result<ClusterStep, Fault> {
    let keys = Keys::of(key, node, place, &["which"])?;
    Ok(ClusterStep::OfflineTablets { which: keys.one_of("which", &[WhichTablets::Lost], &[])? })
}

fn wait_for_tablets(key: &'static str, node: &Node, place: &Place) -> Result<ClusterStep, Fault> {
    let keys = Keys::of(key, node, place, &["which", "timeout"])?;
    let none_or_more = Duration::ZERO..=span::LONGEST;
    Ok(ClusterStep::WaitForTablets { which: keys.word("which")?, timeout: keys.duration("timeout", none_or_more)? })
}

fn mark_alive(key: &'static str, node: &Node, place: &Place) -> Result<PartitionStep, Fault> {
    let keys = Keys::of(key, node, place, &["replicas", "alive"])?;
    let replicas = keys.one_of("replicas", &[Which::All, Which::Leader], &[Which::Connected])?;
    Ok(PartitionStep::MarkAlive { replicas, alive: keys.yes_or_no("alive")? })
}

fn load_table(key: &'static str, node: &Node, place: &Place) -> Result<PartitionStep, Fault> {
    let keys = Keys::of(key, node, place, &["replicas", "seg_cnt", "mode", "turn"])?;
    let replicas = keys.one_of("replicas", &[Which::All], &[Which::LeaderFlagged, Which::Followers])?;
    let (seg_cnt, mode) = (keys.small("seg_cnt", SEG_CNT)?, keys.word("mode")?);
    Ok(PartitionStep::LoadTable { replicas, seg_cnt, mode, turn: keys.duration_or("turn", WAIT, TURN)? })
}

fn poll_table_status(key: &'static str, node: &Node, place: &Place) -> Result<PartitionStep, Fault> {
    let keys = Keys::of(key, node, place, &["until", "every", "timeout"])?;
    let (until, every) = (keys.word("until")?, keys.duration("every", POLL)?);
    Ok(PartitionStep::PollTableStatus { until, every, timeout: keys.duration("timeout", every..=span::LONGEST)? })
}

fn prove_terms(key: &'static str, node: &Node, place: &Place) -> Result<PartitionStep, Fault> {
    let keys = Keys::of(key, node, place, &["by", "up_to_entries"])?;
    let (by, up_to_entries) = (keys.word("by")?, keys.whole("up_to_entries", UP_TO_ENTRIES)?);
    Ok(PartitionStep::ProveTerms { by, up_to_entries })
}

fn pick_leader(key: &'static str, node: &Node, place: &Place) -> Result<PartitionStep, Fault> {
    let keys = Keys::of(key, node, place, &["among", "by", "on_conflict", "promote", "compare_rows_up_to"])?;
    Ok(PartitionStep::PickLeader {
        among: keys.one_of("among", &[Which::LeaderFlagged], &[])?,
        by: keys.one_of("by", &[LeaderBy::MaxOffset], &[LeaderBy::Evidence])?,
        on_conflict: keys.word("on_conflict")?,
        promote: keys.word("promote")?,
        compare_rows_up_to: keys.whole_or("compare_rows_up_to", COMPARE_ROWS, COMPARE_ROWS_UP_TO)?,
    })
}

fn change_role(key: &'static str, node: &Node, place: &Place) -> Result<PartitionStep, Fault> {
    let keys = Keys::of(key, node, place, &["replica", "connect"])?;
    let replica = keys.one_of("replica", &[Which::Leader], &[])?;
    Ok(PartitionStep::ChangeRole { replica, connect: keys.word("connect")? })
}

fn recover_table(key: &'static str, node: &Node, place: &Place) -> Result<PartitionStep, Fault> {
    let keys = Keys::of(key, node, place, &["replicas", "turn"])?;
    let replicas = keys.one_of("replicas", &[Which::Followers], &[])?;
    Ok(PartitionStep::RecoverTable { replicas, turn: keys.duration_or("turn", WAIT, TURN)? })
}

fn wait_until(key: &'static str, node: &Node, place: &Place) -> Result<PartitionStep, Fault> {
    let keys = Keys::of(key, node, place, &["state", "timeout"])?;
    Ok(PartitionStep::WaitUntil { state: keys.word("state")?, timeout: keys.duration("timeout", WAIT)? })
}
