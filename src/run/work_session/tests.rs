//! The ways out of a session: each gives auto_failover back, and none keeps another from being said.

use std::sync::Mutex;

use super::super::lock::InMemoryLock;
use super::super::made_up::{Drawer, ID, Short, begun, note, orders, seen};
use super::super::panics::caught;
use super::super::reconfiguration::{Ended, NotDone, SessionHandle};
use super::super::record::{MemoryArchive, left_by_runs};
use super::*;
use crate::cluster::{Options, Pending, Rpc};
use crate::model::{Endpoint, Identity};
use crate::recovery::WhyHeld;
use crate::wire::call::{NameserverAnswer, NameserverCall, TabletAnswer, TabletCall};
use crate::wire::nameserver::{ConfGetResponse, GeneralResponse, Pair};

/// A nameserver whose auto_failover is off, and may be switched on; or which refuses that.
#[derive(Default)]
struct Nameserver {
    is_on: Mutex<bool>,
    refuses: bool,
}

impl Rpc for Nameserver {
    fn nameserver(&self, call: NameserverCall) -> Pending<'_, NameserverAnswer> {
        let mut is_on = self.is_on.lock().unwrap();
        let answer = match call {
            NameserverCall::ConfGet(_) => {
                let conf = vec![Pair { key: "auto_failover".to_owned(), value: is_on.to_string() }];
                NameserverAnswer::ConfGet(ConfGetResponse { code: 0, msg: None, conf })
            }
            NameserverCall::ConfSet(request) => {
                *is_on = request.conf.value == "true" && !self.refuses;
                let (code, msg) = if self.refuses { (304, "refused") } else { (0, "ok") };
                NameserverAnswer::ConfSet(GeneralResponse { code, msg: Some(msg.to_owned()) })
            }
            other => panic!("nobody asks for {}", other.name()),
        };
        Box::pin(std::future::ready(Ok(answer)))
    }

    fn tablet<'a>(&'a self, endpoint: &'a Endpoint, _: TabletCall) -> Pending<'a, TabletAnswer> {
        panic!("nobody asks {endpoint}");
    }

    fn find_nameserver(&self) -> Pending<'_, String> {
        Box::pin(std::future::ready(Ok("ns:1".into())))
    }
}

fn cluster(nameserver: &Arc<Nameserver>) -> Cluster {
    Cluster::new(nameserver.clone(), Options { identity: Some(Identity::Cluster), ..Options::default() })
}

fn session(archive: Arc<dyn Archive>, lock: &Arc<InMemoryLock>, listener: Listener) -> WorkSession {
    let (_, stop) = watch::channel(Stop::No);
    WorkSession {
        cluster_name: "test".to_owned(),
        archive,
        caller: Caller::default(),
        lock: lock.clone(),
        pace: 1.0,
        listener,
        stop,
        record: Arc::default(),
        now_ms: 1,
    }
}

fn begins(session: &WorkSession) -> Record {
    session.begin(begun(RunId { began_ms: 1, number: 0 }, "test", seen())).unwrap()
}

fn over(note: Option<Note>) -> Ending {
    Ending { word: "ended".to_owned(), finished: true, going_on: Vec::new(), note }
}

#[tokio::test(start_paused = true)]
async fn whoever_has_the_lock_by_now_keeps_its_note() {
    let (nameserver, lock) = (Arc::default(), Arc::new(InMemoryLock::keeping_notes()));
    let (cluster, session) =
        (cluster(&nameserver), session(Arc::new(MemoryArchive::default()), &lock, Arc::new(|_| {})));
    let open = session.open(&cluster, begins(&session), note(), false).await.unwrap();
    let others = Note { host: "another".to_owned(), ..note() };
    lock.write_note(Some(&others)).await.unwrap();
    lock.becomes(Hold::Lost);
    let ended = open.give_back(Vec::new()).await.end(over(None)).await;
    assert_eq!((ended.given_back, *nameserver.is_on.lock().unwrap()), (GivenBack::Done, true));
    assert_eq!(lock.note().await.unwrap(), Some(others));
}

#[tokio::test(start_paused = true)]
async fn a_listener_that_panics_at_whatever_it_hears_keeps_nothing_from_being_given_back() {
    let (nameserver, lock) = (Arc::default(), Arc::new(InMemoryLock::keeping_notes()));
    let listener: Listener = Arc::new(|event| assert!(matches!(event, Event::Recorded { .. }), "a fault of our own"));
    let (cluster, session) = (cluster(&nameserver), session(Arc::new(MemoryArchive::default()), &lock, listener));
    let open = session.opened(&cluster, begins(&session), note());
    let ended = open.give_back(Vec::new()).await.end(over(None)).await;
    assert_eq!((ended.given_back, *nameserver.is_on.lock().unwrap()), (GivenBack::Done, true));
}

/// What cannot be written down hides neither that auto_failover is owed from whoever asked, nor from other hosts.
#[tokio::test(start_paused = true)]
async fn on_a_full_disk_it_is_given_back_and_where_it_cannot_be_everybody_is_told() {
    for refuses in [false, true] {
        let nameserver = Arc::new(Nameserver { refuses, ..Nameserver::default() });
        let lock = Arc::new(InMemoryLock::keeping_notes());
        // It takes the first line of a record, and no other.
        let disk = Drawer(|| Short { writes: 1, syncs: usize::MAX });
        let (cluster, session) = (cluster(&nameserver), session(Arc::new(disk), &lock, Arc::new(|_| {})));
        let open = session.open(&cluster, begins(&session), note(), false).await.unwrap();
        let ending = open.give_back(Vec::new()).await;
        let left = (!ending.is_given_back()).then(|| ending.note("failed"));
        let ended = ending.end(over(left)).await;
        assert!(ended.recorded.is_err());
        assert_eq!(ended.given_back.failed().is_some(), refuses);
        assert_eq!(*nameserver.is_on.lock().unwrap(), !refuses);
        let owed = lock.note().await.unwrap().and_then(|note| note.auto_failover);
        assert_eq!(owed, refuses.then_some(true));
    }
}

/// The nameserver's own operations go on while a run takes its last looks.
#[tokio::test(start_paused = true)]
async fn what_it_was_kept_off_for_and_is_well_by_the_last_look_has_it_given_back_after_all() {
    for is_well in [false, true] {
        let (nameserver, lock, archive) =
            (Arc::default(), Arc::new(InMemoryLock::keeping_notes()), Arc::new(MemoryArchive::default()));
        let (cluster, session) = (cluster(&nameserver), session(archive, &lock, Arc::new(|_| {})));
        let open = session.open(&cluster, begins(&session), note(), false).await.unwrap();
        let (db, table) = (orders().db, orders().table);
        let held = vec![HeldFor { db, table, pid: ID.pid, partition: ID, endpoint: "b".into(), why: WhyHeld::Unseen }];
        let mut ending = open.give_back(held.clone()).await;
        assert_eq!(ending.given_back, GivenBack::KeptOff(held.clone()));
        assert_eq!(ending.give_back_after_all(|held| held.partition == ID && !is_well).await, is_well);
        let ended = ending.end(over(None)).await;
        assert_eq!((ended.given_back.held_for().is_empty(), *nameserver.is_on.lock().unwrap()), (is_well, is_well));
    }
}

/// It stays off for one of two: nobody is told to bring back the other one, nor is a later run.
#[tokio::test(start_paused = true)]
async fn what_is_well_by_the_last_look_is_not_named_beside_what_it_stays_off_for() {
    let (nameserver, lock, archive) =
        (Arc::default(), Arc::new(InMemoryLock::keeping_notes()), Arc::new(MemoryArchive::default()));
    let (cluster, session) = (cluster(&nameserver), session(archive.clone(), &lock, Arc::new(|_| {})));
    let open = session.open(&cluster, begins(&session), note(), false).await.unwrap();
    let held = |endpoint: &str| {
        let (db, table, why) = (orders().db, orders().table, WhyHeld::Unseen);
        HeldFor { db, table, pid: ID.pid, partition: ID, endpoint: endpoint.into(), why }
    };
    let stays = [held("b")];
    let mut ending = open.give_back(vec![held("b"), held("c")]).await;
    assert!(!ending.give_back_after_all(|held| held.endpoint == "b".into()).await);
    let ended = ending.end(over(None)).await;
    assert_eq!((ended.given_back.held_for(), *nameserver.is_on.lock().unwrap()), (&stays[..], false));
    let left = left_by_runs(&*archive, &ClusterNames::called("test")).unwrap();
    assert_eq!((left.auto_failover, left.held_for), (Some(true), stays.to_vec()));
}

#[tokio::test]
async fn a_panic_between_the_two_is_a_value() {
    let broken = caught(async {
        tokio::task::yield_now().await;
        assert_eq!(1, 2, "a fault of our own");
    });
    assert!(broken.await.unwrap_err().contains("a fault of our own"));
    assert_eq!(caught(std::future::ready(7)).await, Ok(7));
}

struct Done;

impl Ended for Done {
    fn ended(&self) -> &'static str {
        "ended"
    }
}

#[tokio::test(start_paused = true)]
async fn work_that_panics_before_it_begins_gives_back_what_was_switched_off_for_it() {
    let (nameserver, lock) = (Arc::new(Nameserver::default()), Arc::new(InMemoryLock::keeping_notes()));
    *nameserver.is_on.lock().unwrap() = true;
    let (cluster, session) =
        (cluster(&nameserver), session(Arc::new(MemoryArchive::default()), &lock, Arc::new(|_| {})));
    let seen = Snapshot { auto_failover: true, ..seen() };
    let found = session.start(&seen).await.unwrap();
    let work = |_: SessionHandle| -> std::future::Ready<Done> {
        assert!(!*nameserver.is_on.lock().unwrap(), "it was switched off");
        panic!("a fault of our own")
    };
    let report = session.reconfigure((&cluster, &seen), "scale out", found, work).await.unwrap();
    assert!(matches!(&report.done, Err(NotDone::Panicked(text)) if text == "a fault of our own"));
    assert!(*nameserver.is_on.lock().unwrap() && report.not_restored.is_none());
    assert_eq!(lock.note().await.unwrap(), None);
}
