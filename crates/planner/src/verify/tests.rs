//! One test a finding.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use super::*;
use crate::recovery::{Lack, Read, RowsSeen};
use openmldb_model::{
    Followers, Held, Offset, Op, OpId, OpKind, OpStatus, Partition, Pid, Probes, Replica, Role, Seen, State,
    StorageMode, TableName, Term, TermStart,
};

/// A partition on `a`, its leader, and `b`, its follower: both loaded, connected, at offset 20 with 20 rows.
#[derive(Clone)]
struct Cluster(Snapshot);

const ID: PartitionId = PartitionId { tid: Tid(7), pid: Pid(0) };

fn name() -> TableName {
    TableName { db: "shop".to_owned(), table: "orders".to_owned() }
}

impl Cluster {
    fn new() -> Self {
        let replica = |endpoint: &str, is_leader| Replica {
            endpoint: endpoint.into(),
            is_leader,
            is_alive: true,
            offset: Some(Offset(20)),
        };
        let partition = Partition {
            pid: ID.pid,
            terms: vec![TermStart { term: Term(1), start: Offset(0) }],
            replicas: vec![replica("a", true), replica("b", false)],
            remotes: Vec::new(),
        };
        let table = Table {
            name: name(),
            tid: ID.tid,
            storage: StorageMode::Memory,
            has_ttl: false,
            replica_num: None,
            base_table: None,
            partitions: vec![partition],
        };
        let followers = Followers { leader_offset: Offset(20), followers: vec![("b".into(), Offset(20))] };
        let tablet = |role, followers| Tablet {
            held: Seen::Known(BTreeMap::from([(ID, held(role, 20, &[20]))])),
            probes: BTreeMap::from([(ID, Probes { followers, ..Probes::UNASKED })]),
            state: Some(TabletState::Healthy),
            in_zookeeper: Some(true),
            ..Tablet::unknown()
        };
        Self(Snapshot {
            cluster: "test".to_owned(),
            taken_at_ms: 0,
            zone: openmldb_model::Zone::Alone,
            identity: openmldb_model::Identity::Cluster,
            auto_failover: true,
            tables: vec![table],
            tablets: BTreeMap::from([
                ("a".into(), tablet(Role::Leader, Seen::Known(followers))),
                ("b".into(), tablet(Role::Follower, Seen::Unasked)),
            ]),
            ops: Vec::new(),
        })
    }

    fn with(mut self, change: impl FnOnce(&mut Snapshot)) -> Self {
        change(&mut self.0);
        self
    }

    fn replica(self, at: usize, change: impl FnOnce(&mut Replica)) -> Self {
        self.with(|snapshot| change(&mut snapshot.tables[0].partitions[0].replicas[at]))
    }

    fn tablet(self, endpoint: &str, change: impl FnOnce(&mut Tablet)) -> Self {
        self.with(|snapshot| change(snapshot.tablets.get_mut(&Endpoint::from(endpoint)).unwrap()))
    }

    fn held(self, endpoint: &str, change: impl FnOnce(&mut Held)) -> Self {
        self.tablet(endpoint, |tablet| {
            let Seen::Known(held) = &mut tablet.held else { panic!("{endpoint} holds nothing") };
            change(held.get_mut(&ID).unwrap());
        })
    }

    /// A replica's log ends there, as its leader knows it to.
    fn at(self, endpoint: &str, offset: u64, rows: u64) -> Self {
        let cluster = self.held(endpoint, |held| *held = self::held(held.role, offset, &[rows]));
        cluster.tablet("a", |tablet| {
            let Seen::Known(followers) = &mut tablet.probes.get_mut(&ID).unwrap().followers else { panic!() };
            let known = followers.followers.iter_mut().filter(|(follower, _)| follower.as_str() == endpoint);
            known.for_each(|(_, known)| *known = Offset(offset));
        })
    }

    fn op(self, id: u64, kind: OpKind, status: OpStatus) -> Self {
        let op = Op { id: OpId(id), kind, status, table: name(), pid: ID.pid, task: "kAddReplica".to_owned() };
        self.with(|snapshot| snapshot.ops.push(op))
    }

    /// What is found if both looks show the same.
    fn found(&self) -> (Standing, Vec<FindingKind>) {
        found(self, self)
    }
}

fn held(role: Role, offset: u64, rows: &[u64]) -> Held {
    Held {
        partition: ID,
        role,
        state: State::Normal,
        offset: Offset(offset),
        record_cnt: rows[0],
        index_rows: rows.to_vec(),
    }
}

fn found(then: &Cluster, now: &Cluster) -> (Standing, Vec<FindingKind>) {
    let found = verify(&then.0, &now.0, |_, _| true, &BTreeMap::new());
    (found.verdict, found.findings.iter().map(|finding| finding.kind).collect())
}

#[test]
fn what_is_as_it_should_be_is_complete() {
    assert_eq!(Cluster::new().found(), (Standing::Complete, vec![]));
}

#[test]
fn what_is_out_of_scope_is_not_looked_at() {
    let cluster = Cluster::new().replica(1, |b| b.is_alive = false);
    assert!(verify(&cluster.0, &cluster.0, |_, _| false, &BTreeMap::new()).is_complete());
}

#[test]
fn flags_roles_and_connections() {
    let stays = |cluster: Cluster, kind| assert_eq!(cluster.found(), (Standing::NotFullySucceeded, vec![kind]));
    let new = Cluster::new;
    stays(new().replica(1, |b| b.is_alive = false), FindingKind::NotAlive);
    stays(new().tablet("b", |b| b.held = Seen::Known(BTreeMap::new())), FindingKind::NotLoaded);
    stays(new().held("b", |held| held.role = Role::Leader), FindingKind::WrongRole);
    let alone = Followers { leader_offset: Offset(20), followers: Vec::new() };
    let lonely = |a: &mut Tablet| a.probes.get_mut(&ID).unwrap().followers = Seen::Known(alone);
    stays(new().tablet("a", lonely), FindingKind::NotConnected);
    let two = new().replica(1, |b| b.is_leader = true).held("b", |held| held.role = Role::Leader);
    stays(two, FindingKind::SecondLeader);
    let nobody = new().replica(0, |a| a.is_leader = false).held("a", |held| held.role = Role::Follower);
    stays(nobody, FindingKind::NoLeader);
}

#[test]
fn what_does_not_answer_leaves_everything_open() {
    let silent = Cluster::new().tablet("b", |b| b.held = Seen::Failed("refused".to_owned()));
    assert_eq!(silent.found(), (Standing::Undetermined, vec![FindingKind::NoAnswer]));
    let unasked = Cluster::new().tablet("a", |a| a.probes.clear());
    assert_eq!(unasked.found(), (Standing::Undetermined, vec![FindingKind::NoAnswer]));
    let also = silent.replica(0, |a| a.is_alive = false);
    assert_eq!(also.found().0, Standing::NotFullySucceeded, "what is wrong is wrong whoever answers");
}

#[test]
fn what_loads_or_has_an_operation_under_way_is_not_finished() {
    let loads = Cluster::new().held("b", |held| held.state = State::Loading);
    assert_eq!(loads.found(), (Standing::NotFinished, vec![FindingKind::Loading]));
    let op = Cluster::new().op(8, OpKind::ReAdd, OpStatus::Doing);
    assert_eq!(op.found(), (Standing::NotFinished, vec![FindingKind::OpRunning]));
    let unloaded = op.tablet("b", |b| b.held = Seen::Known(BTreeMap::new()));
    let expected = vec![FindingKind::OpRunning, FindingKind::NotLoaded];
    assert_eq!(unloaded.found(), (Standing::NotFinished, expected), "it may still be put right");
}

#[test]
fn a_follower_has_to_reach_where_its_leader_was_a_look_before() {
    let behind = Cluster::new().at("b", 15, 15);
    let nearer = Cluster::new().at("b", 18, 18);
    assert_eq!(found(&behind, &behind), (Standing::NotFullySucceeded, vec![FindingKind::Behind]));
    assert_eq!(found(&behind, &nearer), (Standing::NotFinished, vec![FindingKind::Behind]), "it moves");
    let further = Cluster::new().at("a", 30, 30).at("b", 20, 20);
    assert_eq!(found(&Cluster::new(), &further).0, Standing::Complete, "writers never stop");
}

#[test]
fn a_follower_ahead_of_its_leader_is_stuck_there() {
    let ahead = Cluster::new().at("b", 25, 25);
    assert_eq!(ahead.found().1, [FindingKind::Ahead]);
    let followed = Cluster::new().at("a", 25, 25);
    assert_eq!(found(&ahead, &followed).0, Standing::Complete, "the leader was looked at earlier than its follower");
}

#[test]
fn figures_that_move_make_no_other_finding() {
    let at = |offset| {
        let cluster = Cluster::new().at("a", offset, offset);
        verify(&cluster.0, &cluster.0, |_, _| true, &BTreeMap::new())
    };
    assert!(at(30) != at(31) && at(30).is_the_same(&at(31)) && !at(30).is_the_same(&at(20)));
}

#[test]
fn rows_have_to_agree_at_the_same_offset() {
    let hollow = Cluster::new().at("b", 20, 19);
    assert_eq!(hollow.found(), (Standing::NotFullySucceeded, vec![FindingKind::FewerRows]));
    assert_eq!(found(&hollow, &Cluster::new()).0, Standing::Complete, "a moment's difference is none");
    let ttl = |rows| Cluster::new().at("b", 20, rows).with(|snapshot| snapshot.tables[0].has_ttl = true);
    assert_eq!(ttl(18).found().0, Standing::Complete, "rows expire at different moments");
    assert_eq!(ttl(17).found().0, Standing::NotFullySucceeded);
}

#[test]
fn rows_missing_from_the_leader_are_found_too() {
    let hollow = Cluster::new().at("a", 20, 19);
    let found = verify(&hollow.0, &hollow.0, |_, _| true, &BTreeMap::new());
    assert_eq!(found.findings.iter().map(|finding| finding.endpoint.clone()).collect::<Vec<_>>(), [Some("a".into())]);
}

#[test]
fn rows_that_were_compared_decide_whatever_is_counted() {
    let cluster = Cluster::new().at("b", 20, 12);
    let seen = |lacking: &[(&str, &str, u64)]| {
        let read = Read { asked: Offset(20), to: Offset(20), hidden: 0 };
        let ends = ["a", "b"].map(|at| (Endpoint::from(at), read));
        let lacking = lacking.iter().map(|(x, y, rows)| {
            ((Endpoint::from(*x), Endpoint::from(*y)), Lack { rows: *rows, keys: *rows, ..Lack::default() })
        });
        let rows = Some(RowsSeen::compared(ends.into(), lacking.collect()));
        let memories = BTreeMap::from([(ID, Memory { rows, ..Memory::default() })]);
        verify(&cluster.0, &cluster.0, |_, _| true, &memories)
    };
    assert_eq!(seen(&[]).verdict, Standing::Complete);
    let found = seen(&[("b", "a", 3)]).findings;
    assert_eq!((found[0].kind, found[0].text.as_str()), (FindingKind::FewerRows, "lacks 3 rows that a holds"));
}

#[test]
fn rows_are_compared_index_by_index() {
    let rows = |b: &[u64]| {
        let cluster = Cluster::new().held("a", |held| held.index_rows = vec![20, 7]);
        cluster.held("b", |held| held.index_rows = b.to_vec())
    };
    assert_eq!(rows(&[20, 7]).found().0, Standing::Complete);
    assert_eq!(rows(&[20, 6]).found().1, [FindingKind::FewerRows]);
    assert_eq!(rows(&[20]).found().0, Standing::Complete, "an index that one does not report is not compared");
}

#[test]
fn while_clients_write_rows_are_compared_by_what_the_logs_lack() {
    let moving = |lag: u64, rows: u64| Cluster::new().at("a", 40, 40).at("b", 40 - lag, rows);
    let (then, now) = (moving(20, 20), moving(0, 40));
    assert_eq!(found(&then, &now).0, Standing::Complete);
    let (then, now) = (moving(20, 17), moving(1, 36).at("a", 60, 60));
    assert_eq!(found(&then, &now).1, [FindingKind::Behind, FindingKind::FewerRows]);
}

#[test]
fn a_snapshot_that_stays_paused_is_found() {
    let paused = Cluster::new().held("a", |held| held.state = State::SnapshotPaused);
    assert_eq!(paused.found(), (Standing::NotFullySucceeded, vec![FindingKind::SnapshotPaused]));
    assert_eq!(found(&Cluster::new(), &paused), (Standing::NotFinished, vec![FindingKind::SnapshotPaused]));
    let meant = paused.op(8, OpKind::ReAdd, OpStatus::Doing);
    assert_eq!(meant.found(), (Standing::NotFinished, vec![FindingKind::OpRunning]), "the operation resumes it");
}

#[test]
fn an_operation_that_kept_what_was_to_be_replaced_is_found() {
    let cluster = Cluster::new().op(8, OpKind::ReAddSimplify, OpStatus::Done);
    assert_eq!(cluster.found().0, Standing::Complete, "nobody meant a resend");
    let mut memory = Memory::default();
    let recovery = &mut memory.replica_mut(&"b".into()).recovery;
    (recovery.resend_meant, recovery.after_op) = (true, Some(OpId(7)));
    let found = verify(&cluster.0, &cluster.0, |_, _| true, &BTreeMap::from([(ID, memory)]));
    assert_eq!((found.verdict, found.findings[0].kind), (Standing::NotFullySucceeded, FindingKind::DataNotReplaced));
}

#[test]
fn a_tablet_that_the_nameserver_missed_is_found() {
    for state in [Some(TabletState::Offline), None] {
        let missed = Cluster::new().tablet("b", |b| b.state = state);
        assert_eq!(missed.found(), (Standing::NotFullySucceeded, vec![FindingKind::TabletOffline]));
    }
    let gone = Cluster::new().tablet("b", |b| b.in_zookeeper = Some(false));
    assert_eq!(gone.found().1, [FindingKind::RegistrationGone]);
    let idle = Cluster::new().with(|snapshot| {
        snapshot.tablets.insert("c".into(), Tablet { in_zookeeper: Some(true), ..Tablet::unknown() });
    });
    assert_eq!(idle.found().0, Standing::Complete, "nothing in scope is placed on it");
}
