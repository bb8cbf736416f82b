//! Waiting for operations before a run, and restoring auto_failover after an unanswered ConfSet.

use std::sync::Arc;

use super::super::made_up::{orders, record, seen};
use super::*;
use crate::cluster::{CallError, CallErrorKind, Options, Pending, Rpc};
use crate::model::{Endpoint, Identity};
use crate::wire::call::{NameserverAnswer, NameserverCall, TabletAnswer, TabletCall};
use crate::wire::nameserver::{ConfGetResponse, GeneralResponse, OpStatus, Pair, ShowOpStatusResponse};

/// A nameserver with an operation that never ends.
struct Busy;

impl Rpc for Busy {
    fn nameserver(&self, call: NameserverCall) -> Pending<'_, NameserverAnswer> {
        assert_eq!(call.name(), "ShowOpStatus");
        let op = OpStatus {
            op_id: 3,
            op_type: "kReAddReplicaOP".to_owned(),
            status: "kDoing".to_owned(),
            task_type: "kSendSnapshot".to_owned(),
            name: Some(orders().table),
            pid: Some(0),
            db: Some(orders().db),
            ..OpStatus::default()
        };
        let answer = ShowOpStatusResponse { op_status: vec![op], code: Some(0), ..ShowOpStatusResponse::default() };
        Box::pin(std::future::ready(Ok(NameserverAnswer::ShowOpStatus(answer))))
    }

    fn tablet<'a>(&'a self, endpoint: &'a Endpoint, _: TabletCall) -> Pending<'a, TabletAnswer> {
        panic!("nobody asks {endpoint}");
    }

    fn find_nameserver(&self) -> Pending<'_, String> {
        Box::pin(std::future::ready(Ok("ns:1".into())))
    }
}

/// A nameserver that is on, and has not come to the ConfSet that it does not answer yet. It comes to it, if at all, so long after it has
/// answered the second one.
#[derive(Default)]
struct Slow {
    set: Mutex<Vec<String>>,
    comes_after: Option<Duration>,
    second: Mutex<Option<Instant>>,
}

impl Slow {
    fn is_on(&self, sets: usize) -> bool {
        let came = self.second.lock().unwrap().zip(self.comes_after).is_some_and(|(at, after)| at.elapsed() >= after);
        sets != 2 || !came
    }
}

impl Rpc for Slow {
    fn nameserver(&self, call: NameserverCall) -> Pending<'_, NameserverAnswer> {
        let mut set = self.set.lock().unwrap();
        let answer = match call {
            NameserverCall::ConfGet(_) => {
                let conf = vec![Pair { key: "auto_failover".to_owned(), value: self.is_on(set.len()).to_string() }];
                Ok(NameserverAnswer::ConfGet(ConfGetResponse { code: 0, msg: None, conf }))
            }
            NameserverCall::ConfSet(request) => {
                set.push(request.conf.value);
                if set.len() == 2 {
                    *self.second.lock().unwrap() = Some(Instant::now());
                }
                let ok = GeneralResponse { code: 0, msg: Some("ok".to_owned()) };
                let kind = CallErrorKind::DeadlineExceeded { after: Duration::from_secs(1) };
                let silent = || CallError::new("nameserver ns:1", "ConfSet", kind);
                if set.len() > 1 { Ok(NameserverAnswer::ConfSet(ok)) } else { Err(silent()) }
            }
            other => panic!("nobody asks for {}", other.name()),
        };
        Box::pin(std::future::ready(answer))
    }

    fn tablet<'a>(&'a self, endpoint: &'a Endpoint, _: TabletCall) -> Pending<'a, TabletAnswer> {
        panic!("nobody asks {endpoint}");
    }

    fn find_nameserver(&self) -> Pending<'_, String> {
        Box::pin(std::future::ready(Ok("ns:1".into())))
    }
}

/// Found by the hunt (world 6001254): told to stop while a nameserver hung, a run read that auto_failover was on, and ended; then
/// the nameserver came to switch it off.
#[tokio::test(start_paused = true)]
async fn a_confset_that_nobody_answered_is_followed_by_another_whatever_is_read() {
    let listener: Listener = Arc::new(|_| {});
    let (_keeps, hold) = watch::channel(Hold::Held);
    let record = record();
    let told = Told { listener: &listener, record: &record, hold };
    let slow = Arc::new(Slow::default());
    let cluster = Cluster::new(slow.clone(), Options { identity: Some(Identity::Cluster), ..Options::default() });
    let off = Action::SetAutoFailover { on: false };
    assert!(act(&cluster, "auto_failover", off, "", &told).await.unwrap().is_some());
    restore(&cluster, true, "", 1.0, &told).await.unwrap();
    restore(&cluster, true, "", 1.0, &told).await.unwrap();
    assert_eq!(*slow.set.lock().unwrap(), ["false", "true"]);
}

/// The one that was not answered is carried out even after the one that follows it.
#[tokio::test(start_paused = true)]
async fn what_a_confset_that_nobody_answered_does_last_is_put_right() {
    for (comes_after, sets) in [(Duration::from_millis(100), 3), (Duration::from_secs(100), 2)] {
        let listener: Listener = Arc::new(|_| {});
        let (_keeps, hold) = watch::channel(Hold::Held);
        let record = record();
        let told = Told { listener: &listener, record: &record, hold };
        let slow = Arc::new(Slow { comes_after: Some(comes_after), ..Slow::default() });
        let cluster = Cluster::new(slow.clone(), Options { identity: Some(Identity::Cluster), ..Options::default() });
        let off = Action::SetAutoFailover { on: false };
        assert!(act(&cluster, "auto_failover", off, "", &told).await.unwrap().is_some());
        let began = Instant::now();
        restore(&cluster, true, "", 1.0, &told).await.unwrap();
        assert!(began.elapsed() <= Duration::from_secs(1), "nobody waits for ever");
        let set = slow.set.lock().unwrap().clone();
        assert_eq!((set.len(), set.last().map(String::as_str)), (sets, Some("true")));
    }
}

#[tokio::test(start_paused = true)]
async fn operations_that_are_waited_for_at_the_start_are_said() {
    let heard: Arc<Mutex<Vec<Event>>> = Arc::default();
    let hears = heard.clone();
    let listener: Listener = Arc::new(move |event| hears.lock().unwrap().push(event.clone()));
    let (_keeps, hold) = watch::channel(Hold::Held);
    let (_tells, stop) = watch::channel(Stop::No);
    let (snapshot, record, mine) = (seen(), record(), BTreeSet::new());
    let told = Told { listener: &listener, record: &record, hold };
    let before = Before { snapshot: &snapshot, mine: &mine, pace: 1.0, told: &told, stop };
    let options = Options { identity: Some(Identity::Cluster), ..Options::default() };
    let cluster = Cluster::new(Arc::new(Busy), options);
    let left = OpsToEnd::new(&cluster, Duration::from_secs(300), &before, |_| true).left().await.unwrap();
    assert_eq!(left.len(), 1);
    let said: Vec<u64> = heard
        .lock()
        .unwrap()
        .iter()
        .map(|event| match event {
            Event::Waiting { what: Awaited::Op, partition, for_ms, at_most_ms: Some(300_000), .. } => {
                assert_eq!(*partition, Some(Named { table: orders(), pid: 0 }));
                for_ms / 1_000
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(said, [30, 60, 120, 240]);
}
