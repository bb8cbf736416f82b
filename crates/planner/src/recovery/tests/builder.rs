//! Views in a line or two: `a_partition().terms([(1, 0), (3, 15)]).replica("a", |r| r.leader().loaded(21).last_term(1))`.

use std::ops::{Deref, DerefMut};

use crate::playbook::{OnConflict, Playbook, Promote, built_in};
use crate::recovery::{
    Blocked, Choice, Data, Decision, Gates, Intent, Load, Loaded, Memory, Reason, ReplicaMemory, ReplicaView, RowsSeen,
    View, choose, decide,
};
use openmldb_model::{
    Action, Aggregator, Directory, Endpoint, Followers, Manifest, Offset, Op, OpId, OpKind, OpStatus, PartitionId, Pid,
    Role, Seen, State, StorageMode, TableName, TabletState, Term, TermPair, TermStart, Tid,
};

/// A view being described.
#[derive(Debug, Clone)]
pub struct Built(pub View);

impl Deref for Built {
    type Target = View;

    fn deref(&self) -> &View {
        &self.0
    }
}

impl DerefMut for Built {
    fn deref_mut(&mut self) -> &mut View {
        &mut self.0
    }
}

/// A memory table's partition 7_0 without replicas, written under term 1 alone.
pub fn a_partition() -> Built {
    Built(View {
        table: TableName { db: "db".to_owned(), table: "t".to_owned() },
        partition: PartitionId { tid: Tid(7), pid: Pid(0) },
        storage: StorageMode::Memory,
        has_ttl: false,
        base: None,
        terms: vec![TermStart { term: Term(1), start: Offset(0) }],
        replicas: Vec::new(),
        ops_in_flight: Vec::new(),
        ops_ended: Vec::new(),
        memory: Memory::default(),
    })
}

impl Built {
    pub fn terms<const N: usize>(mut self, terms: [(u64, u64); N]) -> Self {
        self.terms = terms.map(|(term, start)| TermStart { term: Term(term), start: Offset(start) }).to_vec();
        self
    }

    pub fn on_disk(mut self) -> Self {
        self.storage = StorageMode::Ssd;
        self
    }

    pub fn ttl(mut self) -> Self {
        self.has_ttl = true;
        self
    }

    /// A replica: no flags, not loaded, its tablet healthy, no snapshot, everything asked, nothing sent yet.
    pub fn replica(self, endpoint: &str, build: impl FnOnce(Replica) -> Replica) -> Self {
        self.has(build(Replica::blank(endpoint)))
    }

    fn has(mut self, Replica(replica): Replica) -> Self {
        self.memory.replicas.insert(replica.endpoint.clone(), replica.memory.clone());
        self.replicas.push(replica);
        self
    }

    pub fn op(mut self, id: u64, kind: OpKind, status: OpStatus) -> Self {
        let (table, pid) = (self.table.clone(), self.partition.pid);
        let op = Op { id: OpId(id), kind, status, table, pid, task: "-".to_owned() };
        if status.is_in_flight() {
            self.ops_in_flight.push(op)
        } else {
            self.ops_ended.push(op)
        }
        self
    }

    pub fn get(&self, endpoint: &str) -> &ReplicaView {
        self.replicas.iter().find(|r| r.endpoint.as_str() == endpoint).unwrap()
    }

    pub fn get_mut(&mut self, endpoint: &str) -> &mut ReplicaView {
        self.replicas.iter_mut().find(|r| r.endpoint.as_str() == endpoint).unwrap()
    }

    pub fn choice(&self) -> Choice {
        choose(self, OnConflict::LastElected, Promote::WhenProven).unwrap()
    }

    pub fn chooses(&self) -> String {
        self.choice().leader.to_string()
    }

    pub fn nobody(&self) -> Blocked {
        choose(self, OnConflict::LastElected, Promote::WhenProven).unwrap_err()
    }

    pub fn reason(&self) -> Reason {
        self.nobody().reason
    }

    pub fn decided(&self) -> Decision {
        by_counts(self, &recover(), Gates::OPEN)
    }

    /// The actions decided on, each in a few words.
    pub fn acts(&self) -> Vec<String> {
        match self.decided() {
            Decision::Act(intents) => intents.iter().map(said).collect(),
            other => panic!("no action: {other:?}"),
        }
    }

    pub fn blocked(&self) -> Blocked {
        match self.decided() {
            Decision::Blocked(blocked) => blocked,
            other => panic!("not blocked: {other:?}"),
        }
    }
}

pub fn recover() -> Playbook {
    Playbook::parse("recover", built_in("recover").unwrap()).unwrap()
}

/// An action in a few words: `recover_table c (resend)`.
pub fn said(intent: &Intent) -> String {
    match &intent.action {
        Action::MarkAlive { endpoint, alive, .. } => format!("mark {endpoint} {}", if *alive { "yes" } else { "no" }),
        Action::ChangeLeader { candidate, .. } => format!("change_leader {candidate}"),
        Action::RecoverTable { endpoint, .. } if intent.resends => format!("recover_table {endpoint} (resend)"),
        Action::RecoverTable { endpoint, .. } => format!("recover_table {endpoint}"),
        Action::LoadTable { endpoint, .. } => format!("load {endpoint}"),
        Action::LoadWithSchema { endpoint, .. } => format!("load {endpoint} with its schema"),
        Action::ChangeRole { endpoint, term, replicas, .. } => {
            let replicas: Vec<&str> = replicas.iter().map(Endpoint::as_str).collect();
            format!("change_role {endpoint} term {term} replicas [{}]", replicas.join(" "))
        }
        Action::AddReplica { endpoint, follower, .. } => format!("add_replica {endpoint} {follower}"),
        Action::DelReplica { endpoint, follower, .. } => format!("del_replica {endpoint} {follower}"),
        Action::DropTable { endpoint, .. } => format!("drop {endpoint}"),
        Action::MakeSnapshot { endpoint, offset, .. } => format!("make_snapshot {endpoint} {offset}"),
        Action::CreateAggregator { endpoint, .. } => format!("create_aggregator {endpoint}"),
        other => format!("{other:?}"),
    }
}

/// A replica being described.
#[derive(Debug)]
pub struct Replica(pub ReplicaView);

impl Replica {
    fn blank(endpoint: &str) -> Self {
        Self(ReplicaView {
            endpoint: Endpoint::from(endpoint),
            address: None,
            is_leader: false,
            is_alive: false,
            tablet_state: Some(TabletState::Healthy),
            is_new: false,
            data: Data::Absent,
            manifest: Seen::Known(Manifest { offset: Offset(0), term: None, count: 0 }),
            term_pair: Seen::Known(TermPair { has_table: false, is_leader: false, term: Term(0), offset: Offset(0) }),
            directory: Seen::Known(Directory::InPlace),
            followers: Seen::Unasked,
            aggregator: Seen::Known(Aggregator::Missing),
            tablet_makes_snapshot: false,
            memory: ReplicaMemory::new().into(),
        })
    }

    pub fn leader(mut self) -> Self {
        self.0.is_leader = true;
        self
    }

    pub fn alive(mut self) -> Self {
        self.0.is_alive = true;
        self.alive_before()
    }

    pub fn alive_before(mut self) -> Self {
        (self.0.memory.alive_before, self.0.memory.found_alive) = (true, true);
        self
    }

    /// Loaded as a follower at an offset, a row an entry, not contacted by any leader.
    pub fn loaded(mut self, offset: u64) -> Self {
        let data = Loaded { role: Role::Follower, state: State::Normal, offset: Some(Offset(offset)), rows: offset };
        self.0.data = Data::Loaded(data);
        self.0.memory.load = Load::Loaded;
        self.0.memory.largest_offset = self.0.memory.largest_offset.max(Offset(offset));
        self.heard(0)
    }

    pub fn rows(mut self, rows: u64) -> Self {
        self.data().rows = rows;
        self
    }

    pub fn state(mut self, state: State) -> Self {
        self.data().state = state;
        self
    }

    fn data(&mut self) -> &mut Loaded {
        match &mut self.0.data {
            Data::Loaded(loaded) => loaded,
            other => panic!("{other:?}"),
        }
    }

    pub fn queued(mut self) -> Self {
        self.0.data = Data::Loading(State::Queued);
        self.0.memory.load = Load::Seen;
        self
    }

    pub fn out_of_reach(mut self) -> Self {
        self.0.data = Data::OutOfReach("connection refused".to_owned());
        self.0.tablet_state = Some(TabletState::Offline);
        (self.0.manifest, self.0.term_pair) = (Seen::Unasked, Seen::Unasked);
        self
    }

    /// 131, and nothing in place.
    pub fn refused(self) -> Self {
        self.no_directory().load(Load::Refused("131 fail to init table".to_owned()))
    }

    /// The same with a binlog in place.
    pub fn undescribed(self) -> Self {
        self.load(Load::Refused("131 fail to init table".to_owned()))
    }

    /// Nothing on its tablet's disk.
    pub fn no_directory(mut self) -> Self {
        self.0.directory = Seen::Known(Directory::Missing);
        self
    }

    pub fn load(mut self, load: Load) -> Self {
        self.0.memory.load = load;
        self
    }

    /// A load that failed has taken its directory away.
    pub fn vanished(self) -> Self {
        self.load(Load::Vanished).no_directory()
    }

    /// The largest offset the nameserver knew of it.
    pub fn known_at(mut self, offset: u64) -> Self {
        self.0.memory.largest_offset = Offset(offset);
        self
    }

    pub fn manifest(mut self, offset: u64, term: u64) -> Self {
        self.0.manifest = Seen::Known(Manifest { offset: Offset(offset), term: Some(Term(term)), count: offset });
        self
    }

    /// MANIFEST reaches the end of its log and names this term.
    pub fn last_term(mut self, term: u64) -> Self {
        let offset = self.data().offset.unwrap().0;
        self.manifest(offset, term)
    }

    /// MANIFEST reaches the end of its log and names the term of the last put; so many rows are left of it.
    pub fn last_put(self, term: u64, count: u64) -> Self {
        let with_count = |r: &mut ReplicaView| {
            if let Seen::Known(manifest) = &mut r.manifest {
                manifest.count = count;
            }
        };
        self.last_term(term).with(with_count)
    }

    /// The term it has heard of from a leader.
    pub fn heard(mut self, term: u64) -> Self {
        let offset = self.0.offset().unwrap_or(Offset(0));
        self.0.term_pair = Seen::Known(TermPair { has_table: true, is_leader: false, term: Term(term), offset });
        self
    }

    /// Leading in that term, by its own account.
    pub fn in_term(mut self, term: u64) -> Self {
        let offset = self.0.offset().unwrap_or(Offset(0));
        self.0.term_pair = Seen::Known(TermPair { has_table: true, is_leader: true, term: Term(term), offset });
        self
    }

    /// Leader in memory, replicating to these followers.
    pub fn leads_to<const N: usize>(mut self, followers: [(&str, u64); N]) -> Self {
        self.data().role = Role::Leader;
        let leader_offset = self.data().offset.unwrap();
        let followers = followers.map(|(endpoint, offset)| (Endpoint::from(endpoint), Offset(offset))).to_vec();
        self.0.followers = Seen::Known(Followers { leader_offset, followers });
        self
    }

    pub fn with(mut self, change: impl FnOnce(&mut ReplicaView)) -> Self {
        change(&mut self.0);
        self
    }
}

/// The decision where rows cannot be compared.
pub fn by_counts(view: &View, playbook: &Playbook, gates: Gates) -> Decision {
    match decide(view, playbook, gates) {
        Decision::Compare { replicas, .. } => {
            let mut view = view.clone();
            view.memory.rows = Some(RowsSeen::unknown(replicas, "they are too many"));
            decide(&view, playbook, gates)
        }
        other => other,
    }
}
