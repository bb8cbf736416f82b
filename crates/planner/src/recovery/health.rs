//! Whether a partition is well, from what is seen of it alone.

use std::cmp::Ordering;

use openmldb_model::{Endpoint, Partition, Role, Seen, State, Table, counted};

use super::base::written_to;
use super::decision::{Probe, Question};
use super::stuck::stuck;
use super::view::{Data, ReplicaView, View};

/// How a partition is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// One alive leader; every replica alive, loaded, in its flagged role, connected, and none known to take nothing.
    Healthy,
    /// Its leader is loaded and alive, but some replicas are not as they should be.
    Serving(Vec<Problem>),
    /// No leader serves.
    Down(Vec<Problem>),
    /// It looks healthy, but its leader has not been asked for its followers.
    Unknown(Probe),
}

/// Something wrong with a replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub endpoint: Endpoint,
    /// Which.
    pub kind: ProblemKind,
    /// What, in a few words.
    pub text: String,
}

/// What may be wrong with a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProblemKind {
    /// Its tablet does not answer, or not this question.
    NoAnswer,
    /// Its alive flag is not set.
    NotAlive,
    /// Its tablet does not hold it.
    NotLoaded,
    /// It is queued or loading.
    Loading,
    /// Its role in memory is not the one its flag says.
    WrongRole,
    /// It leads, or is flagged so and alive, as another one does.
    SecondLeader,
    /// Its leader does not replicate to it.
    NotConnected,
    /// Its leader replicates to it, and it takes nothing.
    Stuck,
    /// It leads a pre-aggregate table's partition, and another tablet leads what that aggregates. Service does not depend on it.
    LedApart,
    /// Its aggregator wrote to it while it was loading: its log does not match its rows.
    WrittenWhileLoading,
    /// Its partition has fewer replicas than its table was made with.
    TooFewReplicas,
    /// Its partition has more replicas than its table was made with.
    TooManyReplicas,
}

impl Health {
    /// What is wrong.
    pub fn problems(&self) -> &[Problem] {
        match self {
            Self::Serving(problems) | Self::Down(problems) => problems,
            Self::Healthy | Self::Unknown(_) => &[],
        }
    }
}

/// Looks at a partition.
pub fn health(view: &View) -> Health {
    let problems = |also: Option<Problem>| {
        let each = view.replicas.iter().flat_map(|r| problems_of(view, r));
        also.into_iter().chain(each).collect::<Vec<_>>()
    };
    let Some(leader) = view.serving_leader() else {
        return Health::Down(problems(no_leader(view)));
    };
    let found = problems(None);
    if !found.is_empty() {
        return Health::Serving(found);
    }
    if view.replicas.len() == 1 {
        return Health::Healthy;
    }
    let followers = match &leader.followers {
        Seen::Unasked => {
            return Health::Unknown(Probe { endpoint: leader.endpoint.clone(), question: Question::Followers });
        }
        Seen::Failed(error) => {
            let text = format!("does not report its followers ({error})");
            let (endpoint, kind) = (leader.endpoint.clone(), ProblemKind::NoAnswer);
            return Health::Serving(vec![Problem { endpoint, kind, text }]);
        }
        Seen::Known(followers) => &followers.followers,
    };
    let lonely = view.replicas.iter().filter(|r| r.endpoint != leader.endpoint);
    let lonely: Vec<Problem> = lonely
        .filter(|r| !followers.iter().any(|(endpoint, _)| *endpoint == r.endpoint))
        .map(|r| Problem {
            endpoint: r.endpoint.clone(),
            kind: ProblemKind::NotConnected,
            text: "not connected to its leader".to_owned(),
        })
        .collect();
    let stuck = view.replicas.iter().filter(|r| r.endpoint != leader.endpoint).filter_map(|r| {
        let text = stuck(view, leader, r)?.to_string();
        Some(Problem { endpoint: r.endpoint.clone(), kind: ProblemKind::Stuck, text })
    });
    let found: Vec<Problem> = lonely.into_iter().chain(stuck).collect();
    if found.is_empty() { Health::Healthy } else { Health::Serving(found) }
}

/// A partition that has fewer, or more, replicas than its table was made with (`replica_num`), told of its leader, or of its first
/// replica. Service does not depend on it, and no recovery changes it.
pub fn replica_count(table: &Table, partition: &Partition) -> Option<Problem> {
    let wanted = usize::try_from(table.replica_num?).ok().filter(|wanted| *wanted > 0)?;
    let count = partition.replicas.len();
    let kind = match count.cmp(&wanted) {
        Ordering::Less => ProblemKind::TooFewReplicas,
        Ordering::Greater => ProblemKind::TooManyReplicas,
        Ordering::Equal => return None,
    };
    let first = partition.leader().or_else(|| partition.replicas.first().map(|replica| &replica.endpoint));
    let text = format!("one of {}, and the table was made with {wanted}", counted(count, "replica"));
    first.map(|endpoint| Problem { endpoint: endpoint.clone(), kind, text })
}

fn no_leader(view: &View) -> Option<Problem> {
    let alive: Vec<&ReplicaView> = view.replicas.iter().filter(|r| r.is_leader && r.is_alive).collect();
    match alive.as_slice() {
        [first, second, ..] => {
            let text = format!("flagged leader and alive, as is {}", second.endpoint);
            Some(Problem { endpoint: first.endpoint.clone(), kind: ProblemKind::SecondLeader, text })
        }
        _ => None,
    }
}

fn problems_of(view: &View, replica: &ReplicaView) -> Vec<Problem> {
    let serving = view.serving_leader().is_some_and(|leader| leader.endpoint == replica.endpoint);
    let mut found = Vec::new();
    if !replica.is_alive {
        found.push((ProblemKind::NotAlive, "not alive".to_owned()));
    }
    match &replica.data {
        Data::OutOfReach(error) => found.push((ProblemKind::NoAnswer, format!("does not answer ({error})"))),
        Data::Absent => found.push((ProblemKind::NotLoaded, "not loaded".to_owned())),
        Data::Loading(State::Queued) => found.push((ProblemKind::Loading, "queued to load".to_owned())),
        Data::Loading(_) => found.push((ProblemKind::Loading, "still loading".to_owned())),
        Data::Loaded(loaded) => {
            let flagged = if replica.is_leader { Role::Leader } else { Role::Follower };
            if loaded.role != flagged {
                let text = format!("flagged {flagged}, loaded as {}", loaded.role);
                found.push((ProblemKind::WrongRole, text));
            } else if replica.is_leader && !serving && view.serving_leader().is_some() {
                found.push((ProblemKind::SecondLeader, "a second leader".to_owned()));
            }
        }
    }
    let problem = |(kind, text)| Problem { endpoint: replica.endpoint.clone(), kind, text };
    found.into_iter().map(problem).chain(written_to(view, replica)).collect()
}
