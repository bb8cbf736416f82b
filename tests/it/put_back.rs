//! Metadata that are put back while something comes between: against a real ZooKeeper, at a chosen node.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use openmldb_ops::cluster::{Hold, LockNodes, ZooKeeper};
use openmldb_ops::model::MetadataTree;
use openmldb_ops::operate::{PutBack, PutBackError};
use openmldb_ops::run::{
    Archive as _, Caller, Holder, InMemoryLock, Lock, LockFuture, MemoryArchive, Note, RecordedRun, Stop, WorkSession,
};
use tokio::sync::watch;
use zookeeper_client::{Acls, Client, CreateMode};

use crate::support::zookeeper::{ZooKeeperServer, needs_zookeeper};

/// What is put back, in this order.
const NODES: [(&str, &str); 7] = [
    ("config", ""),
    ("config/auto_failover", "true"),
    ("db", ""),
    ("nodes", ""),
    ("table", ""),
    ("table/table_index", "7"),
    ("table/term", "3"),
];

/// What comes between.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Deed {
    Nothing,
    ToldToStop,
    LockLost,
    Created(&'static str, &'static str),
    Registered,
    /// Where nobody had a place to register.
    Started,
}

/// A lock that is asked whether it is held before each node is created: before the one of that number, something happens.
pub struct Meanwhile {
    lock: InMemoryLock,
    asked: AtomicUsize,
    before: usize,
    deed: Deed,
    root: String,
    client: Client,
    stop: watch::Sender<Stop>,
    released: AtomicUsize,
}

impl Meanwhile {
    /// A lock, and what tells to stop. It happens before the lock is asked so often whether it is held.
    pub async fn of(
        server: &ZooKeeperServer,
        root: &str,
        before: usize,
        deed: Deed,
    ) -> (Arc<Self>, watch::Receiver<Stop>) {
        let (stop, stopped) = watch::channel(Stop::No);
        let lock = Self {
            lock: InMemoryLock::default(),
            asked: AtomicUsize::new(0),
            before,
            deed,
            root: root.to_owned(),
            client: server.client().await,
            stop,
            released: AtomicUsize::new(0),
        };
        (Arc::new(lock), stopped)
    }

    /// How often it was released.
    pub fn released(&self) -> usize {
        self.released.load(Ordering::Relaxed)
    }

    fn happens(&self) {
        let create = |path: &str, data: &str, mode: CreateMode| {
            let path = format!("{}/{path}", self.root);
            let created = self.client.create(&path, data.as_bytes(), &mode.with_acls(Acls::anyone_all()));
            tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(created)).map(drop).unwrap();
        };
        match self.deed {
            Deed::Nothing => {}
            Deed::ToldToStop => drop(self.stop.send_replace(Stop::Signal(15))),
            Deed::LockLost => self.lock.becomes(Hold::Lost),
            Deed::Created(path, data) => create(path, data, CreateMode::Persistent),
            Deed::Registered => create("nodes/a:1", "", CreateMode::Ephemeral),
            Deed::Started => {
                create("nodes", "", CreateMode::Persistent);
                create("nodes/a:1", "", CreateMode::Ephemeral);
            }
        }
    }
}

impl Lock for Meanwhile {
    fn acquire<'a>(&'a self, holder: &'a Holder) -> LockFuture<'a, ()> {
        self.lock.acquire(holder)
    }

    fn hold(&self) -> watch::Receiver<Hold> {
        if self.asked.fetch_add(1, Ordering::Relaxed) + 1 == self.before {
            self.happens();
        }
        self.lock.hold()
    }

    fn holder(&self) -> LockFuture<'_, Option<Holder>> {
        self.lock.holder()
    }

    fn release(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        self.released.fetch_add(1, Ordering::Relaxed);
        self.lock.release()
    }

    fn note(&self) -> LockFuture<'_, Option<Note>> {
        self.lock.note()
    }

    fn write_note<'a>(&'a self, note: Option<&'a Note>) -> LockFuture<'a, ()> {
        self.lock.write_note(note)
    }
}

/// How putting back ended, how its record says that it did, and what is there then.
struct Ended {
    done: Result<usize, PutBackError>,
    verdict: String,
    there: MetadataTree,
}

async fn put_back(server: &ZooKeeperServer, root: &str, before: usize, deed: Deed) -> Ended {
    let (lock, stopped) = Meanwhile::of(server, root, before, deed).await;
    let archive = MemoryArchive::default();
    let session = WorkSession {
        cluster_name: "a test".to_owned(),
        archive: Arc::new(archive.clone()),
        caller: Caller::default(),
        lock: lock.clone(),
        pace: 1.0,
        listener: Arc::new(|_| {}),
        stop: stopped,
        record: Arc::default(),
        now_ms: 1,
    };
    let putting = PutBack {
        session,
        wanted: NODES.into_iter().collect(),
        source: "a backup".to_owned(),
        is_of_the_past: true,
        nodes: Arc::new(LockNodes::new(server.address(), root, None).unwrap()),
    };
    let zookeeper = ZooKeeper::connect(server.address(), root.to_owned(), None).await.unwrap();
    let done = putting.perform(&zookeeper).await;
    assert_eq!(lock.released(), 1, "the lock is restored, {deed:?}");
    let run = archive.runs().unwrap()[0];
    let recorded_run = RecordedRun::read(archive.read(run).unwrap()).unwrap();
    let verdict = recorded_run.verdict().unwrap().to_owned();
    Ended { done, verdict, there: zookeeper.metadata().await.unwrap().tree }
}

fn first(nodes: usize) -> MetadataTree {
    NODES.into_iter().take(nodes).collect()
}

/// It ended early, after so many nodes, for that reason; and goes on where it ended.
async fn ends_early(root: &str, before: usize, deed: Deed, after: usize, stop: Stop, verdict: &str) -> String {
    let server = ZooKeeperServer::shared().await;
    let ended = put_back(&server, root, before, deed).await;
    let Err(PutBackError::Unfinished { made, of, why, stop: stopped }) = ended.done else {
        panic!("{deed:?}: {:?}", ended.done)
    };
    assert_eq!((made, of, stopped, ended.verdict.as_str()), (after, NODES.len(), stop, verdict), "{deed:?}");
    if !matches!(deed, Deed::Created(..)) {
        assert_eq!(ended.there, first(after), "{deed:?}");
        let again = put_back(&server, root, 0, Deed::Nothing).await;
        assert_eq!(again.done.unwrap(), NODES.len() - after);
        assert_eq!((again.there, again.verdict.as_str()), (first(NODES.len()), "reached"));
    }
    why
}

#[tokio::test(flavor = "multi_thread")]
async fn told_to_stop_it_ends_behind_the_node_that_it_is_at_and_goes_on_there() {
    needs_zookeeper!();
    for before in [1, 4] {
        let root = format!("/told-{before}");
        let why = ends_early(&root, before, Deed::ToldToStop, before, Stop::Signal(15), "interrupted").await;
        assert_eq!(why, "it was stopped");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_lock_not_one_more_node_is_created() {
    needs_zookeeper!();
    for before in [1, 4] {
        let root = format!("/unlocked-{before}");
        let why = ends_early(&root, before, Deed::LockLost, before - 1, Stop::LockLost, "interrupted").await;
        assert_eq!(why, "the lock was lost");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_somebody_creates_meanwhile_is_left_as_it_is_and_the_same_one_is_no_obstacle() {
    needs_zookeeper!();
    // Kept, so that it is the same one all the time.
    let server = ZooKeeperServer::shared().await;
    let deed = Deed::Created("table/table_index", "8");
    let why = ends_early("/otherwise", 6, deed, 5, Stop::No, "failed").await;
    assert_eq!(why, "someone else created table/table_index with different data");
    let there = server.client().await.get_data("/otherwise/table/table_index").await.unwrap().0;
    assert_eq!(there, b"8");
    let same = put_back(&server, "/same", 6, Deed::Created("table/table_index", "7")).await;
    assert_eq!((same.done.unwrap(), same.there, same.verdict.as_str()), (NODES.len(), first(NODES.len()), "reached"));
}

/// It was all created, and is not what the backup has.
#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_adds_meanwhile_is_seen_at_the_end() {
    needs_zookeeper!();
    let server = ZooKeeperServer::shared().await;
    let added = put_back(&server, "/added", 6, Deed::Created("db/other", "")).await;
    let Err(PutBackError::Touched { difference, servers }) = added.done else { panic!("{:?}", added.done) };
    assert_eq!((difference.beyond, servers, added.verdict.as_str()), (vec!["db/other".to_owned()], vec![], "missed"));
    let registered = put_back(&server, "/put-back-registered", 6, Deed::Registered).await;
    let Err(PutBackError::Touched { difference, servers }) = registered.done else { panic!("{:?}", registered.done) };
    assert_eq!((difference.is_none(), servers), (true, vec!["nodes/a:1".to_owned()]), "every node is right");
}
