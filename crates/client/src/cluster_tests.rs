//! What is repeated, what is not, and how a lost leader is found again: against servers that follow a script, on a
//! paused clock.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use super::{
    CallError, CallErrorKind, Cluster, DiscoveryError, NOT_LEADER, Options, Outcome, Patience, Pending, Rpc, RpcCounts,
};
use openmldb_model::{Action, Endpoint, Followers, Offset, OpId, PartitionId, Pid, StorageMode, TableName, Term, Tid};
use openmldb_wire::call::{Effect, NameserverAnswer, NameserverCall, TabletAnswer, TabletCall};
use openmldb_wire::{api, nameserver};

/// The nameserver's and the tablets' answers to the n-th call of all, counted from 0.
pub(super) type Says<C, A> = Box<dyn Fn(usize, C) -> Result<A, CallErrorKind> + Send + Sync>;

pub(super) struct Scripted {
    pub(super) calls: AtomicUsize,
    pub(super) searches: AtomicUsize,
    pub(super) nameserver: Says<NameserverCall, NameserverAnswer>,
    pub(super) tablet: Says<TabletCall, TabletAnswer>,
    pub(super) find: Box<dyn Fn(usize) -> Result<String, DiscoveryError> + Send + Sync>,
}

impl Scripted {
    pub(super) fn new() -> Self {
        Self {
            calls: AtomicUsize::new(0),
            searches: AtomicUsize::new(0),
            nameserver: Box::new(|_, call| panic!("nobody expected {}", call.name())),
            tablet: Box::new(|_, call| panic!("nobody expected {}", call.name())),
            find: Box::new(|_| Ok("ns:1".into())),
        }
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    fn searches(&self) -> usize {
        self.searches.load(Ordering::Relaxed)
    }
}

impl Rpc for Scripted {
    fn nameserver(&self, call: NameserverCall) -> Pending<'_, NameserverAnswer> {
        let (name, n) = (call.name(), self.calls.fetch_add(1, Ordering::Relaxed));
        let answer = (self.nameserver)(n, call).map_err(|kind| CallError::new("nameserver ns:1", name, kind));
        Box::pin(async move {
            tokio::task::yield_now().await;
            answer
        })
    }

    fn tablet<'a>(&'a self, endpoint: &'a Endpoint, call: TabletCall) -> Pending<'a, TabletAnswer> {
        let (name, n) = (call.name(), self.calls.fetch_add(1, Ordering::Relaxed));
        let answer = (self.tablet)(n, call).map_err(|kind| CallError::new(format!("tablet {endpoint}"), name, kind));
        Box::pin(std::future::ready(answer))
    }

    fn find_nameserver(&self) -> Pending<'_, String> {
        let found = (self.find)(self.searches.fetch_add(1, Ordering::Relaxed));
        Box::pin(std::future::ready(found.map_err(|error| CallError::discovery("find_nameserver", error))))
    }
}

/// Who is there was found out before: what that takes has tests of its own.
fn known() -> Options {
    Options { identity: Some(openmldb_model::Identity::Cluster), ..Options::default() }
}

pub(super) fn cluster(rpc: Scripted) -> (Arc<Scripted>, Cluster) {
    let rpc = Arc::new(rpc);
    (rpc.clone(), Cluster::new(rpc, known()))
}

fn hung_up() -> CallErrorKind {
    CallErrorKind::HungUp { seen: "connection closed".into() }
}

fn unreachable() -> CallErrorKind {
    CallErrorKind::Unreachable { seen: "connection refused".into() }
}

pub(super) fn deadline() -> CallErrorKind {
    CallErrorKind::DeadlineExceeded { after: Duration::from_secs(20) }
}

/// ConfGet's and ConfSet's answers with a code.
fn conf(call: &NameserverCall, code: i32) -> NameserverAnswer {
    match call {
        NameserverCall::ConfGet(_) => NameserverAnswer::ConfGet(nameserver::ConfGetResponse {
            code,
            msg: Some("said so".into()),
            conf: vec![nameserver::Pair { key: "auto_failover".into(), value: "true".into() }],
        }),
        NameserverCall::ConfSet(_) => {
            NameserverAnswer::ConfSet(nameserver::GeneralResponse { code, msg: Some("said so".into()) })
        }
        NameserverCall::CancelOp(_) => {
            NameserverAnswer::CancelOp(nameserver::GeneralResponse { code, msg: Some("said so".into()) })
        }
        other => panic!("nobody expected {}", other.name()),
    }
}

fn followers(code: i32) -> TabletAnswer {
    TabletAnswer::GetTableFollower(api::GetTableFollowerResponse {
        code: Some(code),
        msg: Some("said so".into()),
        offset: Some(300),
        follower_info: Vec::new(),
    })
}

pub(super) const PARTITION: PartitionId = PartitionId { tid: Tid(7), pid: Pid(0) };

fn load() -> Action {
    Action::LoadTable {
        endpoint: "t1:1".into(),
        table: TableName { db: "shop".into(), table: "orders".into() },
        partition: PARTITION,
        seg_cnt: 8,
        storage: StorageMode::Memory,
    }
}

pub(super) fn loaded(code: i32) -> TabletAnswer {
    TabletAnswer::LoadTable(api::GeneralResponse { code: Some(code), msg: None, ..Default::default() })
}

#[tokio::test(start_paused = true)]
async fn a_read_is_repeated_whatever_went_wrong_on_the_way() {
    let (rpc, cluster) = cluster(Scripted {
        tablet: Box::new(|n, _| match n {
            0 => Err(hung_up()),
            1 => Err(unreachable()),
            _ => Ok(followers(0)),
        }),
        ..Scripted::new()
    });
    let began = Instant::now();
    cluster.followers(&"t1:1".into(), PARTITION).await.unwrap();
    assert_eq!((rpc.calls(), began.elapsed()), (3, Duration::from_millis(100 + 200)));
    assert_eq!(cluster.rpc_counts(), RpcCounts { reads: 3, mutations: 0 });
}

#[tokio::test(start_paused = true)]
async fn a_read_is_not_repeated_for_ever() {
    let times = async |kind: fn() -> CallErrorKind| {
        let (rpc, cluster) = cluster(Scripted { tablet: Box::new(move |_, _| Err(kind())), ..Scripted::new() });
        cluster.followers(&"t1:1".into(), PARTITION).await.unwrap_err();
        rpc.calls()
    };
    assert_eq!(times(hung_up).await, 4);
    assert_eq!(times(deadline).await, 2, "a deadline costs its whole length");
    assert_eq!(times(|| CallErrorKind::Unimplemented).await, 1, "what will not pass is not repeated");
}

#[tokio::test(start_paused = true)]
async fn a_mutation_is_repeated_only_if_it_was_certainly_not_applied() {
    let (rpc, reached) = cluster(Scripted {
        tablet: Box::new(|n, _| if n < 2 { Err(unreachable()) } else { Ok(loaded(0)) }),
        ..Scripted::new()
    });
    reached.act(&load()).await.unwrap();
    assert_eq!(rpc.calls(), 3);
    assert_eq!(reached.rpc_counts(), RpcCounts { reads: 0, mutations: 3 });

    for unknown in [hung_up as fn() -> CallErrorKind, deadline] {
        let (rpc, cluster) = cluster(Scripted { tablet: Box::new(move |_, _| Err(unknown())), ..Scripted::new() });
        let error = cluster.act(&load()).await.unwrap_err();
        assert_eq!((rpc.calls(), error.outcome()), (1, Outcome::Unknown));
    }
}

#[tokio::test(start_paused = true)]
async fn a_mutation_that_a_standby_refused_is_carried_out_by_the_leader() {
    let (rpc, cluster) = cluster(Scripted {
        nameserver: Box::new(|n, call| Ok(conf(&call, if n == 0 { NOT_LEADER } else { 0 }))),
        ..Scripted::new()
    });
    cluster.act(&Action::SetAutoFailover { on: false }).await.unwrap();
    assert_eq!((rpc.searches(), rpc.calls()), (1, 3), "refused, probed, carried out");
    assert_eq!(cluster.rpc_counts(), RpcCounts { reads: 1, mutations: 2 });
    assert_eq!(cluster.leader(), "ns:1");
}

#[tokio::test(start_paused = true)]
async fn a_mutation_whose_nameserver_hung_up_is_the_callers_to_judge() {
    let (rpc, cluster) = cluster(Scripted { nameserver: Box::new(|_, _| Err(hung_up())), ..Scripted::new() });
    let error = cluster.act(&Action::SetAutoFailover { on: false }).await.unwrap_err();
    assert_eq!((rpc.searches(), rpc.calls(), error.outcome()), (0, 1, Outcome::Unknown));
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_not_up_yet_is_waited_for() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let hears = told.clone();
    let rpc = Arc::new(Scripted {
        nameserver: Box::new(|n, call| match n {
            0..10 => Err(unreachable()),
            10..20 => Ok(conf(&call, NOT_LEADER)),
            _ => Ok(conf(&call, 0)),
        }),
        ..Scripted::new()
    });
    let progress: super::Progress = Arc::new(move |said: &str| hears.lock().unwrap().push(said.to_owned()));
    let cluster = Cluster::new(rpc, Options { progress: Some(progress), ..known() });
    let began = Instant::now();
    assert_eq!(cluster.find_leader().await.unwrap(), "ns:1");
    assert_eq!(began.elapsed(), Duration::from_secs(10));
    let told = told.lock().unwrap();
    assert_eq!(told.len(), 2, "once per thing seen: {told:?}");
    assert!(told[0].contains("ns:1") && told[0].contains("connection refused"), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_leader_is_not_waited_for_longer_than_told() {
    let (_, closed) = cluster(Scripted { nameserver: Box::new(|_, _| Err(unreachable())), ..Scripted::new() });
    let began = Instant::now();
    let error = closed.find_leader().await.unwrap_err();
    assert_eq!(began.elapsed(), Duration::from_secs(60));
    assert_eq!(
        error.to_string(),
        "the leading nameserver is ns:1, but it could not be reached within 60s: connection refused"
    );
    let (_, standby) =
        cluster(Scripted { nameserver: Box::new(|_, call| Ok(conf(&call, NOT_LEADER))), ..Scripted::new() });
    let error = standby.find_leader().await.unwrap_err();
    assert!(matches!(error, DiscoveryError::NotLeading { .. }), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn nobody_registered_is_an_error_at_first_and_waited_for_later() {
    let nobody = || DiscoveryError::NoNameserver { servers: "zk:1".into(), root: "/openmldb".into() };
    let (_, fresh) = cluster(Scripted { find: Box::new(move |_| Err(nobody())), ..Scripted::new() });
    let began = Instant::now();
    assert!(matches!(fresh.find_leader().await.unwrap_err(), DiscoveryError::NoNameserver { .. }));
    assert_eq!(began.elapsed(), Duration::ZERO);

    let (_, lost) = cluster(Scripted {
        nameserver: Box::new(|n, call| if n == 0 { Err(unreachable()) } else { Ok(conf(&call, 0)) }),
        find: Box::new(move |n| if n < 8 { Err(nobody()) } else { Ok("ns:2".into()) }),
        ..Scripted::new()
    });
    assert!(lost.auto_failover().await.unwrap());
    assert_eq!(lost.leader(), "ns:2");
}

#[tokio::test(start_paused = true)]
async fn the_node_of_a_dead_leader_may_go_before_that_of_the_next_one_comes() {
    let nobody = || DiscoveryError::NoNameserver { servers: "zk:1".into(), root: "/openmldb".into() };
    let (rpc, starting) = cluster(Scripted {
        nameserver: Box::new(|n, call| if n < 3 { Err(unreachable()) } else { Ok(conf(&call, 0)) }),
        find: Box::new(move |n| if (3..9).contains(&n) { Err(nobody()) } else { Ok("ns:2".into()) }),
        ..Scripted::new()
    });
    assert_eq!(starting.find_leader().await.unwrap(), "ns:2");
    assert_eq!(rpc.searches(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_run_started_together_with_the_cluster_waits_for_a_nameserver_to_register() {
    let nobody = || DiscoveryError::NoNameserver { servers: "zk:1".into(), root: "/openmldb".into() };
    let found = async |after: usize| {
        let find = move |n| if n < after { Err(nobody()) } else { Ok("ns:1".into()) };
        let nameserver: Says<NameserverCall, NameserverAnswer> = Box::new(|_, call| Ok(conf(&call, 0)));
        let rpc = Scripted { find: Box::new(find), nameserver, ..Scripted::new() };
        Cluster::new(Arc::new(rpc), Options { patience: Patience::Starting, ..known() }).find_leader().await
    };
    assert_eq!(found(20).await.unwrap(), "ns:1");
    let began = Instant::now();
    let never = found(usize::MAX).await.unwrap_err();
    assert!(matches!(never, DiscoveryError::NoNameserver { .. }), "{never:?}");
    assert_eq!(began.elapsed(), Duration::from_secs(60));
    let (rpc, wrong) = cluster(Scripted {
        find: Box::new(|_| {
            Err(DiscoveryError::WrongRoot {
                servers: "zk:1".into(),
                root: "/x".into(),
                parent: "/".into(),
                there: None,
            })
        }),
        ..Scripted::new()
    });
    assert!(matches!(wrong.find_leader().await.unwrap_err(), DiscoveryError::WrongRoot { .. }));
    assert_eq!(rpc.searches(), 1);
}

#[tokio::test(start_paused = true)]
async fn calls_that_lose_the_leader_together_share_one_search() {
    let (rpc, cluster) = cluster(Scripted {
        nameserver: Box::new(|n, call| if n < 50 { Err(unreachable()) } else { Ok(conf(&call, 0)) }),
        ..Scripted::new()
    });
    let calls: Vec<_> = (0..50)
        .map(|_| {
            let cluster = cluster.clone();
            tokio::spawn(async move { cluster.auto_failover().await })
        })
        .collect();
    for call in calls {
        assert!(call.await.unwrap().unwrap());
    }
    assert_eq!((rpc.searches(), rpc.calls()), (1, 50 + 1 + 50));
}

#[tokio::test]
async fn already_so_is_done() {
    let answer = |action: &Action| match action {
        Action::AddReplica { .. } => {
            TabletAnswer::AddReplica(api::AddReplicaResponse { code: Some(119), ..Default::default() })
        }
        Action::ChangeRole { .. } => {
            TabletAnswer::ChangeRole(api::ChangeRoleResponse { code: Some(102), ..Default::default() })
        }
        Action::DropTable { .. } => {
            TabletAnswer::DropTable(api::DropTableResponse { code: Some(100), ..Default::default() })
        }
        _ => loaded(101),
    };
    let endpoint = Endpoint::from("t1:1");
    let act = async |action: Action| {
        let answer = answer(&action);
        let (_, cluster) = cluster(Scripted { tablet: Box::new(move |_, _| Ok(answer.clone())), ..Scripted::new() });
        cluster.act(&action).await
    };
    let follower = Endpoint::from("t2:1");
    act(Action::AddReplica { endpoint: endpoint.clone(), partition: PARTITION, follower }).await.unwrap();
    let replicas = Vec::new();
    act(Action::ChangeRole { endpoint: endpoint.clone(), partition: PARTITION, term: Term(1), replicas })
        .await
        .unwrap();
    act(Action::DropTable { endpoint, partition: PARTITION }).await.unwrap();
    let error = act(load()).await.unwrap_err();
    assert_eq!(error.code(), Some(101), "loaded, or loading, as something: the caller has to look");
    assert_eq!(error.to_string(), "tablet t1:1 refused LoadTable with code 101");

    let (_, ended) = cluster(Scripted { nameserver: Box::new(|_, call| Ok(conf(&call, 312))), ..Scripted::new() });
    ended.act(&Action::CancelOp { op: OpId(3) }).await.unwrap();
    let (_, on) = cluster(Scripted { nameserver: Box::new(|_, call| Ok(conf(&call, 301))), ..Scripted::new() });
    let error = on.act(&Action::CancelOp { op: OpId(3) }).await.unwrap_err();
    assert_eq!(error.to_string(), "nameserver refused CancelOp: said so (code 301)");
}

#[tokio::test]
async fn a_leader_without_followers_has_an_offset() {
    let (_, lonely) = cluster(Scripted { tablet: Box::new(|_, _| Ok(followers(134))), ..Scripted::new() });
    let found = lonely.followers(&"t1:1".into(), PARTITION).await.unwrap();
    assert_eq!(found, Followers { leader_offset: Offset(300), followers: Vec::new() });
    let (_, follower) = cluster(Scripted { tablet: Box::new(|_, _| Ok(followers(103))), ..Scripted::new() });
    assert_eq!(follower.followers(&"t1:1".into(), PARTITION).await.unwrap_err().code(), Some(103));
}

#[tokio::test]
async fn answers_that_make_no_sense_are_garbage() {
    let status = |code, status| {
        let all_table_status = vec![status];
        TabletAnswer::GetTableStatus(api::GetTableStatusResponse { all_table_status, code, msg: None })
    };
    let odd = status(Some(0), api::TableStatus::default());
    let without_code = status(None, api::TableStatus::default());
    for (answer, says) in [(odd, "all_table_status[0].state is missing"), (without_code, "code is missing")] {
        let (_, cluster) = cluster(Scripted { tablet: Box::new(move |_, _| Ok(answer.clone())), ..Scripted::new() });
        let error = cluster.table_status(&"t1:1".into()).await.unwrap_err();
        let sentence = format!("tablet t1:1 answered GetTableStatus with something that makes no sense: {says}");
        assert_eq!(error.to_string(), sentence);
    }
}

#[tokio::test]
async fn every_attempt_is_traced_with_its_effect() {
    let traced = Arc::new(Mutex::new(Vec::new()));
    let sees = traced.clone();
    let trace: super::Trace = Arc::new(move |service: &str, method: &str, effect: Effect| {
        sees.lock().unwrap().push((service.to_owned(), method.to_owned(), effect));
    });
    let rpc = Arc::new(Scripted {
        nameserver: Box::new(|_, call| Ok(conf(&call, 0))),
        tablet: Box::new(|_, _| Ok(loaded(0))),
        ..Scripted::new()
    });
    let cluster = Cluster::new(rpc, Options { trace: Some(trace), ..known() });
    cluster.auto_failover().await.unwrap();
    cluster.act(&load()).await.unwrap();
    let expected = [
        ("openmldb.nameserver.NameServer".to_owned(), "ConfGet".to_owned(), Effect::Read),
        ("openmldb.api.TabletServer".to_owned(), "LoadTable".to_owned(), Effect::Mutate),
    ];
    assert_eq!(*traced.lock().unwrap(), expected);
}
