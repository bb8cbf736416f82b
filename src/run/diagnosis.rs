//! Which of the handbook's cases a cluster is in, what OpenMLDB promises for it, and what to type next. A pure function of what
//! was seen, and of what is known of unfinished runs.

mod left_alone;
mod partitions;
mod paused;
mod tablets;

use std::collections::BTreeSet;

use serde::Serialize;

use crate::model::{Endpoint, Identity, PartitionId, Snapshot, Tablet, TabletState, Verb, counted_that, moment};
use crate::recovery::WhyHeld;

use super::hold::{HeldFor, held_at, why_held};
use super::known_runs::BrokeOff;
use super::pause::Pause;
use super::record::{FailoverSet, Work};
use super::run_id::RunId;
use super::scope::some_of;
use super::status::{PartitionState, PartitionStatus, Status};

use partitions::{followers_stuck, led_apart, not_redundant, replica_count};

/// A case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnosis {
    /// Which.
    pub case: Case,
    /// What was seen.
    pub seen: String,
    /// What OpenMLDB promises for it, or does not.
    pub promise: &'static str,
    /// What to type, or to do, in order.
    pub next: Vec<String>,
}

/// The handbook's cases, and those it has no page for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Case {
    /// A nameserver without a ZooKeeper.
    Standalone,
    /// Who answers is not the cluster that was asked for.
    OtherEnd,
    /// No nameserver leads.
    NameserversGone,
    /// A run is at work.
    RunAtWork,
    /// A run, or an undertaking, did not come to its end.
    RunUnfinished,
    /// auto_failover is kept off, because the nameserver would replace what must not be replaced.
    FailoverKeptOff,
    /// A tablet is there, and the nameserver does not know.
    TabletMissed,
    /// Every tablet answers, and none holds anything.
    EverythingRestarted,
    /// Tablets do not answer.
    TabletLost,
    /// No replica of some partitions is within reach, or loaded.
    PartitionLost,
    /// A tablet answers, and nothing of what is placed on it is on its disks.
    TabletRebuilt,
    /// A tablet answers and holds nothing of what is placed on it.
    TabletRestarted,
    /// Followers take nothing from their leaders.
    FollowersStuck,
    /// Partitions are not as they should be for another reason.
    NotRedundant,
    /// Pre-aggregate tables are led elsewhere than what they aggregate.
    LedApart,
    /// Partitions have fewer or more replicas than their tables were made with.
    ReplicaCount,
    /// auto_failover is off, and nobody is known to owe it.
    FailoverOff,
    /// Somebody has told guards to do nothing for a while.
    GuardPaused,
}

/// What is known of runs beside what the cluster shows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Runs {
    /// Who holds the lock.
    pub at_work: Option<String>,
    /// What a run that did not finish left, in a sentence.
    pub unfinished: Option<String>,
    /// The newest recovery, if it has left partitions alone.
    pub left_alone_by: Option<RunId>,
    /// Tablets whose replicas the newest recovery went on without, as accepted, and which run that was.
    pub went_on_without: Option<(RunId, BTreeSet<Endpoint>)>,
    /// The undertaking that did not come to its end.
    pub undertaking: Option<Abandoned>,
    /// The run that `unfinished` tells of.
    pub broke_off: Option<BrokeOff>,
    /// Guards are to do nothing for a while.
    pub paused: Option<Pause>,
    /// An unfinished run had found auto_failover on.
    pub owes_failover: bool,
    /// The replicas that the nameserver would replace, were auto_failover on, ...
    pub held_for: Vec<HeldFor>,
    /// ... and the run that says so.
    pub held_by: Option<String>,
    /// The newest change of auto_failover that is written down.
    pub failover_set: Option<FailoverSet>,
}

/// An undertaking that did not come to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Abandoned {
    /// As it is typed.
    pub typed: String,
    /// The run that it was begun by; none in files of an earlier version of this program.
    pub run: Option<RunId>,
}

impl Diagnosis {
    /// No nameserver was found, for this reason.
    pub fn of_no_nameserver(why: &str) -> Self {
        Self {
            case: Case::NameserversGone,
            seen: why.to_owned(),
            promise: "clients that know the leaders keep reading and writing; nothing is failed over, recovered, \
                created or changed until a nameserver leads. A standby takes over automatically within seconds",
            next: vec![
                "start a nameserver, and see its log if it does not stay up: it waits for as many tablets as the system tables \
                 have replicas"
                    .to_owned(),
                "openmldb-ops status".to_owned(),
                "openmldb-ops recover --all # if tablets went down, too".to_owned(),
            ],
        }
    }
}

/// Every case that a cluster is in, the most pressing first; none if all is well.
pub fn diagnose(seen: &Snapshot, status: &Status, runs: &Runs) -> Vec<Diagnosis> {
    if let Some(other) = no_cluster(&seen.identity) {
        return vec![other];
    }
    let look = Look::at(seen, status);
    let mut found: Vec<Diagnosis> = Vec::new();
    found.extend(at_work(runs));
    found.extend(unfinished(runs));
    found.extend(kept_off(seen, runs));
    found.extend(look.tablets_missed());
    match look.everything_restarted() {
        Some(everything) => found.push(everything),
        None => {
            found.extend(look.tablets_lost(seen.auto_failover, runs));
            found.extend(look.partitions_lost());
            found.extend(look.tablets_rebuilt());
            found.extend(look.tablets_restarted(seen.auto_failover));
        }
    }
    found.extend(followers_stuck(status));
    let explained = found.iter().any(|diagnosis| diagnosis.case >= Case::EverythingRestarted);
    if !explained {
        found.extend(not_redundant(status));
    }
    found.extend(led_apart(status));
    found.extend(replica_count(status));
    found.extend(failover_off(seen, status, runs));
    found.extend(paused::guard_paused(runs));
    left_alone::point_to_why(&mut found, runs);
    found
}

/// What to do where somebody else than the cluster that was asked for answers.
pub fn what_to_do(identity: &Identity) -> &'static str {
    match identity {
        Identity::Cluster => "see `openmldb-ops status`",
        Identity::Standalone { .. } => {
            "there is nothing to fail over or to recover in it; if you meant a cluster, name its ZooKeeper: \
             --zk-cluster HOST:PORT --zk-root-path PATH"
        }
        Identity::OtherCluster { .. } => {
            "check which process listens at that address, and which root path it was started with (zk_root_path)"
        }
        Identity::OtherHost { .. } => {
            "run this on that host, or give the servers addresses that others can use (--endpoint in their flags)"
        }
        Identity::Unknown { .. } => {
            "start its tablets, or name the cluster by its ZooKeeper: --zk-cluster HOST:PORT --zk-root-path PATH"
        }
    }
}

/// If the server is not part of this cluster, nothing else is worth saying: nothing is sent to it.
fn no_cluster(identity: &Identity) -> Option<Diagnosis> {
    let (case, promise) = match identity {
        Identity::Cluster => return None,
        Identity::Standalone { .. } => (
            Case::Standalone,
            "nothing is failed over or recovered automatically, and what the nameserver knows of tables is in its \
             memory only",
        ),
        Identity::OtherCluster { .. } | Identity::OtherHost { .. } | Identity::Unknown { .. } => {
            (Case::OtherEnd, "unknown: the server that answers may not belong to the cluster you asked for")
        }
    };
    Some(Diagnosis { case, seen: identity.to_string(), promise, next: vec![what_to_do(identity).to_owned()] })
}

/// The tablets that something is placed on, by what they say.
struct Look<'a> {
    seen: &'a Snapshot,
    status: &'a Status,
    /// They do not answer.
    lost: Vec<&'a Endpoint>,
    /// They answer and hold none of what is placed on them.
    empty: Vec<&'a Endpoint>,
    /// They answer and hold some of it.
    holding: usize,
}

impl<'a> Look<'a> {
    fn at(seen: &'a Snapshot, status: &'a Status) -> Self {
        let mut look = Self { seen, status, lost: Vec::new(), empty: Vec::new(), holding: 0 };
        for (at, tablet) in &seen.tablets {
            let mut placed = placed_on(seen, at).peekable();
            if placed.peek().is_none() {
                continue;
            }
            match tablet.held.known() {
                None => look.lost.push(at),
                Some(held) if placed.any(|id| held.contains_key(&id)) => look.holding += 1,
                Some(_) => look.empty.push(at),
            }
        }
        look
    }

    fn tablets(&self) -> usize {
        self.lost.len() + self.empty.len() + self.holding
    }

    fn everything_restarted(&self) -> Option<Diagnosis> {
        let is_so = self.holding == 0 && !self.empty.is_empty() && (self.empty.len() > 1 || self.lost.is_empty());
        is_so.then(|| {
            let away = match self.lost.len() {
                0 => String::new(),
                lost => format!("; {} {} not answer", some_of(&names_of(&self.lost)), Verb::Do.after(lost)),
            };
            Diagnosis {
                case: Case::EverythingRestarted,
                seen: format!("every tablet that answers was restarted, and none has anything loaded{away}"),
                promise: "no automatic recovery: auto_failover cannot recover a cluster that went down all at once, \
                    and tablets load nothing on their own",
                next: vec!["openmldb-ops recover --all --dry-run".to_owned(), "openmldb-ops recover --all".to_owned()],
            }
        })
    }

    fn tablets_lost(&self, auto_failover: bool, runs: &Runs) -> Option<Diagnosis> {
        let (lost, all) = (self.lost.len(), self.tablets());
        let first = self.lost.first()?;
        let waiting = self.status.partitions.iter().filter(|found| found.state == PartitionState::Down).count();
        let seen = format!(
            "{lost} of {all} tablets {} not answer: {}; {} not serve",
            Verb::Do.after(lost),
            some_of(&names_of(&self.lost)),
            counted_that(waiting, "partition", Verb::Do)
        );
        let promise = match (lost, auto_failover) {
            (_, false) if waiting == 0 => {
                "with auto_failover off nothing happens automatically: every partition serves, some with fewer copies, \
                 until the tablet is back and recovered, or replaced"
            }
            (1, true) => {
                "where another replica is left, service continues: followers take over within the tablet's heartbeat \
                 timeout, and writes no follower had received may be lost; the tablet is recovered when it is back"
            }
            (1, false) => {
                "with auto_failover off nothing happens automatically: partitions that the tablet leads stay down \
                 until it is taken out of service by hand, and that may lose writes no follower has received"
            }
            (_, true) => {
                "with two of three replicas lost, service may continue where one is left; automatic recovery is not \
                 promised"
            }
            (_, false) => {
                "with auto_failover off nothing happens automatically; service continues only where the leader is left"
            }
        };
        let names = some_of(&names_of(&self.lost));
        let is_without = |(_, without): &&(RunId, BTreeSet<Endpoint>)| self.lost.iter().all(|at| without.contains(*at));
        let mut next = vec![match (runs.went_on_without.as_ref().filter(is_without), waiting) {
            // What is down may have its only copy there.
            (Some((run, _)), 0) => format!(
                "partitions go on without what {names} held, as accepted (`openmldb-ops record show {run} --summary`): replace it, or \
                 start it for one more copy"
            ),
            (None, 0) => format!("start {names} again if you can: every partition serves meanwhile"),
            (_, _) => format!("start {names} again if you can: waiting loses nothing"),
        }];
        if auto_failover {
            next.push("openmldb-ops show ops # what the nameserver does about it".to_owned());
        } else if waiting > 0 {
            next.push(format!(
                "openmldb-ops tablet offline {first} # if it stays away: others lead, without the writes only it had"
            ));
            next.push(
                "openmldb-ops recover --all --playbook node-loss # the same, then waits for it and brings it back"
                    .to_owned(),
            );
        }
        next.push("openmldb-ops recover --all # once it is back".to_owned());
        next.push(format!("openmldb-ops tablet replace {first} # if it is gone for good"));
        Some(Diagnosis { case: Case::TabletLost, seen, promise, next })
    }

    fn partitions_lost(&self) -> Option<Diagnosis> {
        let is_lost = |found: &&PartitionStatus| {
            found.replicas.iter().all(|replica| replica.role.is_none()) && !found.replicas.is_empty()
        };
        let lost: Vec<&PartitionStatus> = self.status.partitions.iter().filter(is_lost).collect();
        if lost.is_empty() {
            return None;
        }
        let names: Vec<String> = lost.iter().map(|found| format!("{}/{}", found.table, found.pid)).collect();
        let away =
            |found: &&&PartitionStatus| found.replicas.iter().any(|replica| self.lost.contains(&&replica.endpoint));
        let unreachable = lost.iter().filter(away).count();
        let mut next = Vec::new();
        if unreachable > 0 {
            next.push(format!(
                "start {}: unreachable replicas may hold the newest rows",
                some_of(&names_of(&self.lost))
            ));
        }
        next.push("openmldb-ops recover --all".to_owned());
        let away = match (unreachable, lost.len()) {
            (0, _) => String::new(),
            (_, 1) => "; one is on a tablet that does not answer".to_owned(),
            (more, _) => format!("; {more} of them {} one on a tablet that does not answer", Verb::Have.after(more)),
        };
        Some(Diagnosis {
            case: Case::PartitionLost,
            seen: format!("no replica of {} is loaded anywhere{away}", some_of(&names)),
            promise: "no automatic recovery of a partition whose replicas were all lost or restarted at once",
            next,
        })
    }

    fn tablets_missed(&self) -> Option<Diagnosis> {
        let is_missed = |tablet: &Tablet| {
            tablet.held.known().is_some()
                && tablet.state != Some(TabletState::Healthy)
                && tablet.in_zookeeper != Some(false)
        };
        let missed: Vec<&Endpoint> =
            self.seen.tablets.iter().filter(|(_, tablet)| is_missed(tablet)).map(|(at, _)| at).collect();
        (!missed.is_empty()).then(|| Diagnosis {
            case: Case::TabletMissed,
            seen: format!(
                "{} {} running and registered, but offline to the nameserver",
                some_of(&names_of(&missed)),
                Verb::Be.after(missed.len())
            ),
            promise: "no automatic recovery: a registration that the leading nameserver missed stays missed until \
                another one leads",
            next: vec![
                "restart the leading nameserver, or stop it where there is a standby".to_owned(),
                "openmldb-ops show tablets".to_owned(),
                "openmldb-ops recover --all".to_owned(),
            ],
        })
    }
}

fn names_of<'a>(endpoints: &[&'a Endpoint]) -> Vec<&'a str> {
    endpoints.iter().map(|at| at.as_str()).collect()
}

fn placed_on<'a>(seen: &'a Snapshot, at: &'a Endpoint) -> impl Iterator<Item = PartitionId> + 'a {
    seen.tables.iter().flat_map(move |table| {
        table.partitions_on(at).map(move |partition| PartitionId { tid: table.tid, pid: partition.pid })
    })
}

fn at_work(runs: &Runs) -> Option<Diagnosis> {
    let holder = runs.at_work.as_ref()?;
    Some(Diagnosis {
        case: Case::RunAtWork,
        seen: format!("a run is at work: {holder}"),
        promise: "it restores auto_failover however it ends",
        next: vec![
            "wait for it; another run would end with exit code 6".to_owned(),
            "openmldb-ops record follow # shows how far it is, on its own host".to_owned(),
        ],
    })
}

fn unfinished(runs: &Runs) -> Option<Diagnosis> {
    // What a live run has not finished is no case.
    if runs.at_work.is_some() || runs.unfinished.is_none() && runs.undertaking.is_none() {
        return None;
    }
    let mut next = Vec::new();
    if let Some(Abandoned { typed, run }) = &runs.undertaking {
        next.push(format!("openmldb-ops {typed}"));
        next.extend(run.map(|run| format!("openmldb-ops record dismiss {run} # if it should not be continued")));
    }
    next.extend(runs.unfinished.iter().map(|_| "openmldb-ops recover --all # continues it".to_owned()));
    if runs.owes_failover && runs.held_for.is_empty() {
        next.push("openmldb-ops failover restore # restores auto_failover, and does nothing else".to_owned());
    }
    let undertaking = runs.undertaking.as_ref().map(|Abandoned { typed, .. }| format!("`{typed}` did not finish"));
    let seen: Vec<String> = runs.unfinished.iter().cloned().chain(undertaking).collect();
    Some(Diagnosis {
        case: Case::RunUnfinished,
        seen: seen.join("; "),
        promise: "OpenMLDB does nothing; a second run continues where the first one stopped, and restores \
            auto_failover",
        next,
    })
}

fn kept_off(seen: &Snapshot, runs: &Runs) -> Option<Diagnosis> {
    let held = &runs.held_for;
    if held.is_empty() || runs.at_work.is_some() {
        return None;
    }
    let by = runs.held_by.as_deref().unwrap_or("a run");
    let now = match (seen.auto_failover, runs.owes_failover) {
        (false, true) => format!("auto_failover is kept off by {by}"),
        (false, false) => "auto_failover is off, as it was before, and must stay off".to_owned(),
        (true, _) => format!("auto_failover is on, although {by} kept it off"),
    };
    let tablets = held_at(held);
    let names: Vec<&str> = tablets.iter().map(Endpoint::as_str).collect();
    let mut next = Vec::new();
    if seen.auto_failover {
        next.push("openmldb-ops failover set off # before those tablets come back".to_owned());
    }
    if held.iter().any(|held| held.why == WhyHeld::Unseen) {
        next.push(format!("start {}", some_of(&names)));
    }
    next.push("openmldb-ops recover --all # checks them, and restores auto_failover".to_owned());
    let without: Vec<String> = tablets.iter().map(|at| format!("--without {at}")).collect();
    next.push(format!("openmldb-ops recover --all {} # if they are gone for good", without.join(" ")));
    next.push("openmldb-ops failover restore --release # whatever they hold".to_owned());
    Some(Diagnosis {
        case: Case::FailoverKeptOff,
        seen: format!("{now}: {}", why_held(held)),
        promise: "while it is on, the nameserver replaces a replica's data as soon as its tablet comes back, without \
            comparing it with anything; while it is off, nothing takes over from a lost tablet",
        next,
    })
}

fn failover_off(seen: &Snapshot, status: &Status, runs: &Runs) -> Option<Diagnosis> {
    let is_explained = runs.at_work.is_some() || runs.owes_failover || !runs.held_for.is_empty();
    (!seen.auto_failover && !is_explained).then(|| {
        let mut next = vec!["openmldb-ops record list # shows whether a run left it off".to_owned()];
        if !status.is_healthy() {
            next.push("openmldb-ops recover --all".to_owned());
        }
        next.push("openmldb-ops failover set on # unless it has to stay off".to_owned());
        Diagnosis {
            case: Case::FailoverOff,
            seen: who_switched_it_off(runs.failover_set.as_ref()),
            promise: "while it is off, nothing takes over from a lost tablet, and a tablet that comes back is not \
                recovered; switching it on does not recover what is already down",
            next,
        }
    })
}

/// auto_failover is off, and nobody owes it.
fn who_switched_it_off(set: Option<&FailoverSet>) -> String {
    let Some(set) = set else { return "auto_failover is off, and no known run left it off".to_owned() };
    let run = format!("run {} on {} at {}", set.run, set.host, moment(set.at_ms));
    match (set.on, set.work) {
        (false, Work::Step) => format!("auto_failover was switched off by `{}`, {run}", set.name),
        (false, Work::Recovery | Work::Reconfiguration | Work::FailoverRestore) => {
            format!("auto_failover was last switched off by `{}`, {run}, which has nothing left to restore", set.name)
        }
        (true, _) => {
            format!("auto_failover is off although {run} had switched it on: someone else has switched it off since")
        }
    }
}

#[cfg(test)]
#[path = "diagnosis_tests.rs"]
mod tests;
