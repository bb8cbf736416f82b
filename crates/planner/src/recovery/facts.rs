//! The facts that one partition's plan rests on: what a plan that is kept has to find again before it may be applied.

use serde::{Deserialize, Serialize};

use openmldb_model::{Endpoint, Offset, StorageMode, TabletState, Term, TermStart};

use super::memory::Load;
use super::shared::ByEndpoint;
use super::view::{Data, ReplicaView, View};

/// Everything of a partition that decides what happens to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    /// Where its rows live.
    pub storage: StorageMode,
    /// Whether rows may expire.
    pub has_ttl: bool,
    /// When each term began, oldest first.
    pub terms: Vec<TermStart>,
    /// The leader that serves.
    pub serving: Option<Endpoint>,
    /// Its replicas.
    pub replicas: ByEndpoint<ReplicaFacts>,
}

/// One replica.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplicaFacts {
    /// Its leader flag.
    pub is_leader: bool,
    /// Its alive flag.
    pub is_alive: bool,
    /// The nameserver's opinion of its tablet; null if it does not list it.
    pub tablet: Option<TabletState>,
    /// What its tablet holds, in a word or two.
    pub held: String,
    /// Its numbers; null where clients write: there they grow all the time, and nothing is decided on them.
    pub numbers: Option<Numbers>,
    /// Whom it replicates to, if it leads in memory and was asked.
    pub replicates_to: Option<Vec<Endpoint>>,
    /// How far an earlier run came with loading it.
    pub load: Load,
}

/// What is known of a replica's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Numbers {
    /// The end of its log, if it is loaded.
    pub offset: Option<Offset>,
    /// Its rows, if it is loaded.
    pub rows: Option<u64>,
    /// The largest offset ever known of it.
    pub known: Offset,
    /// Its newest snapshot's last entry; null if nobody knows.
    pub snapshot: Option<Offset>,
    /// That entry's term.
    pub snapshot_term: Option<Term>,
    /// The term it last heard of; null if it was not asked.
    pub heard: Option<Term>,
}

impl Facts {
    /// The facts of a view.
    pub fn of(view: &View) -> Self {
        let leader = view.serving_leader();
        let takes_writes = |replica: &ReplicaView| {
            let follows = || leader.is_some_and(|leader| leader.is_followed_by(replica));
            leader.is_some_and(|leader| leader.endpoint == replica.endpoint) || follows()
        };
        let replicas = view.replicas.iter();
        Self {
            storage: view.storage,
            has_ttl: view.has_ttl,
            terms: view.terms.clone(),
            serving: leader.map(|leader| leader.endpoint.clone()),
            replicas: replicas.map(|r| (r.endpoint.clone(), ReplicaFacts::of(r, takes_writes(r)))).collect(),
        }
    }
}

impl ReplicaFacts {
    fn of(replica: &ReplicaView, takes_writes: bool) -> Self {
        let followers = replica.followers.known().filter(|_| replica.leads_in_memory());
        let names = |known: &openmldb_model::Followers| {
            let mut names: Vec<Endpoint> = known.followers.iter().map(|(endpoint, _)| endpoint.clone()).collect();
            names.sort_unstable();
            names
        };
        Self {
            is_leader: replica.is_leader,
            is_alive: replica.is_alive,
            tablet: replica.tablet_state,
            held: held(&replica.data).to_owned(),
            numbers: (!takes_writes).then(|| Numbers::of(replica)),
            replicates_to: followers.map(names),
            load: replica.memory.load.clone(),
        }
    }
}

impl Numbers {
    fn of(replica: &ReplicaView) -> Self {
        let manifest = replica.manifest.known();
        Self {
            offset: replica.offset(),
            rows: replica.loaded().map(|loaded| loaded.rows),
            known: replica.largest_known_offset(),
            snapshot: manifest.map(|manifest| manifest.offset),
            snapshot_term: manifest.and_then(|manifest| manifest.term),
            heard: replica.term_pair.known().map(|pair| pair.term),
        }
    }
}

/// What a tablet holds of a replica. How its silence shows differs from one look to the next, and is no fact.
fn held(data: &Data) -> &'static str {
    use openmldb_model::Role::{Follower, Leader};
    match data {
        Data::OutOfReach(_) => "does not answer",
        Data::Absent => "not loaded",
        Data::Loading(_) => "loading",
        Data::Loaded(loaded) if loaded.role == Leader => "loaded as leader",
        Data::Loaded(loaded) => {
            debug_assert_eq!(loaded.role, Follower);
            "loaded as follower"
        }
    }
}
