//! Taking a snapshot: concurrent, bounded, and partial where a tablet does not answer. Sends nothing but reads.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::task::JoinSet;

use crate::cluster::{CallError, CallErrorKind, Cluster};
use crate::model::{Endpoint, Held, PartitionId, Pid, Probes, Role, Seen, Snapshot, StorageMode, Table, Tablet};
use crate::recovery::{Probe, Question};

use super::watch::watch;

/// Questions to one tablet at a time: enough to fill a connection, few enough not to be a load test.
const PROBES_IN_FLIGHT: usize = 32;
/// A replica that may be asked about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subject {
    pub(super) partition: PartitionId,
    pub(super) storage: StorageMode,
    /// Whether it is of a pre-aggregate table.
    pub(super) is_aggregate: bool,
}

/// Which partitions a look is about: their replicas are asked about one by one, and watched where they are behind.
pub type About = BTreeSet<PartitionId>;

/// All that is asked about a replica.
pub(super) const EVERYTHING: &[Question] =
    &[Question::Manifest, Question::TermPair, Question::Directory, Question::Followers, Question::Aggregator];

/// Looks at the whole cluster. `cluster_name` and `now_ms` (since 1970) are only written down.
///
/// # Errors
/// A nameserver that does not answer. A tablet that does not is a value in the snapshot.
pub async fn collect(cluster: &Cluster, cluster_name: &str, now_ms: u64) -> Result<Snapshot, CallError> {
    collect_of(cluster, cluster_name, now_ms, None, |_| None).await
}

/// The same; a tablet that takes longer than that to say all of it is one that does not answer.
///
/// # Errors
/// See [`collect`].
pub async fn collect_within(
    cluster: &Cluster,
    cluster_name: &str,
    now_ms: u64,
    answers: Duration,
) -> Result<Snapshot, CallError> {
    collect_of(cluster, cluster_name, now_ms, Some(answers), |_| None).await
}

/// The same, with evidence about some partitions only, which metadata tell; none means about all.
///
/// # Errors
/// See [`collect`].
pub async fn collect_about(
    cluster: &Cluster,
    cluster_name: &str,
    now_ms: u64,
    answers: Duration,
    about: impl FnOnce(&Snapshot) -> Option<About>,
) -> Result<Snapshot, CallError> {
    collect_of(cluster, cluster_name, now_ms, Some(answers), about).await
}

async fn collect_of(
    cluster: &Cluster,
    cluster_name: &str,
    now_ms: u64,
    answers: Option<Duration>,
    about: impl FnOnce(&Snapshot) -> Option<About>,
) -> Result<Snapshot, CallError> {
    let seen = metadata(cluster, cluster_name, now_ms).await?;
    let about = about(&seen);
    let mut seen = look_at_tablets(cluster, seen, EVERYTHING, answers, about.as_ref()).await;
    watch(cluster, &mut seen, about.as_ref()).await;
    Ok(seen)
}

/// The whole cluster without evidence about single replicas: one call per tablet.
///
/// # Errors
/// See [`collect`].
pub async fn collect_state(cluster: &Cluster, cluster_name: &str, now_ms: u64) -> Result<Snapshot, CallError> {
    look(cluster, cluster_name, now_ms, &[]).await
}

/// The whole cluster as it serves: one call per tablet, and one per leader.
///
/// # Errors
/// See [`collect`].
pub async fn collect_serving(cluster: &Cluster, cluster_name: &str, now_ms: u64) -> Result<Snapshot, CallError> {
    look(cluster, cluster_name, now_ms, &[Question::Followers]).await
}

/// The same cluster again, without what is evidence before loading only: one call per tablet, one per replica, and one per
/// leader.
///
/// # Errors
/// See [`collect`].
pub async fn look_again(cluster: &Cluster, before: &Snapshot) -> Result<Snapshot, CallError> {
    let questions = &[Question::TermPair, Question::Followers, Question::Aggregator];
    look(cluster, &before.cluster, before.taken_at_ms, questions).await
}

/// What the nameserver and ZooKeeper say of the cluster; no tablet is asked, so none is waited for.
///
/// # Errors
/// See [`collect`].
pub async fn metadata(cluster: &Cluster, cluster_name: &str, now_ms: u64) -> Result<Snapshot, CallError> {
    let (tables, registrations, ops, auto_failover, registered, zone) = tokio::try_join!(
        cluster.tables(),
        cluster.tablets(),
        cluster.ops(),
        cluster.auto_failover(),
        registered_tablets(cluster),
        async { Ok(cluster.zone().await) }
    )?;
    let identity = cluster.identify(&tables, &registrations, registered.as_deref()).await;
    let mut tablets: BTreeMap<Endpoint, Tablet> = BTreeMap::new();
    for registration in registrations {
        let tablet = tablets.entry(registration.endpoint).or_insert_with(Tablet::unknown);
        tablet.state = Some(registration.state);
        tablet.unchanged_ms = registration.unchanged_ms;
        tablet.real_endpoint = registration.real_endpoint;
    }
    for endpoint in registered.iter().flatten() {
        tablets.entry(endpoint.clone()).or_insert_with(Tablet::unknown);
    }
    for replica in tables.iter().flat_map(|table| &table.partitions).flat_map(|partition| &partition.replicas) {
        tablets.entry(replica.endpoint.clone()).or_insert_with(Tablet::unknown);
    }
    if let Some(registered) = &registered {
        let registered: BTreeSet<&Endpoint> = registered.iter().collect();
        for (endpoint, tablet) in &mut tablets {
            tablet.in_zookeeper = Some(registered.contains(endpoint));
        }
    }
    for (endpoint, tablet) in &mut tablets {
        // The nameserver may not have heard of a new address yet.
        tablet.real_endpoint = cluster.address_of(endpoint).or(tablet.real_endpoint.take());
    }
    let (cluster, taken_at_ms) = (cluster_name.to_owned(), now_ms);
    Ok(Snapshot { cluster, taken_at_ms, identity, zone, auto_failover, tables, tablets, ops })
}

async fn look(
    cluster: &Cluster,
    cluster_name: &str,
    now_ms: u64,
    questions: &'static [Question],
) -> Result<Snapshot, CallError> {
    let seen = metadata(cluster, cluster_name, now_ms).await?;
    Ok(look_at_tablets(cluster, seen, questions, None, None).await)
}

async fn look_at_tablets(
    cluster: &Cluster,
    mut seen: Snapshot,
    questions: &'static [Question],
    answers: Option<Duration>,
    about: Option<&About>,
) -> Snapshot {
    let mut wanted: BTreeMap<Endpoint, Vec<Subject>> = BTreeMap::new();
    for table in &seen.tables {
        for partition in &table.partitions {
            let subject = Subject::of(table, partition.pid);
            if about.is_some_and(|about| !about.contains(&subject.partition)) {
                continue;
            }
            for replica in &partition.replicas {
                wanted.entry(replica.endpoint.clone()).or_default().push(subject);
            }
        }
    }
    let mut looks = JoinSet::new();
    for endpoint in seen.tablets.keys().cloned() {
        let replicas = wanted.remove(&endpoint).unwrap_or_default();
        let cluster = cluster.clone();
        looks.spawn(async move {
            let look = look_closely(cluster, endpoint.clone(), replicas, questions);
            let Some(answers) = answers else { return look.await };
            let late = |_| (endpoint, Seen::Failed(format!("it did not answer within {answers:?}")), BTreeMap::new());
            tokio::time::timeout(answers, look).await.unwrap_or_else(late)
        });
    }
    while let Some(look) = looks.join_next().await {
        if let Ok((endpoint, held, probes)) = look
            && let Some(tablet) = seen.tablets.get_mut(&endpoint)
        {
            tablet.held = held;
            tablet.probes = probes;
        }
    }
    seen
}

/// One tablet again: what it holds, and what its disk shows of these replicas.
pub async fn look_for_evidence(
    cluster: &Cluster,
    endpoint: &Endpoint,
    replicas: Vec<(PartitionId, StorageMode)>,
) -> (Seen<BTreeMap<PartitionId, Held>>, BTreeMap<PartitionId, Probes>) {
    let questions = &[Question::Manifest, Question::TermPair, Question::Directory];
    let subject = |(partition, storage)| Subject { partition, storage, is_aggregate: false };
    let replicas = replicas.into_iter().map(subject).collect();
    let (_, held, probes) = look_closely(cluster.clone(), endpoint.clone(), replicas, questions).await;
    (held, probes)
}

/// Evidence about the replicas of some partitions, added to a glance.
pub async fn collect_evidence(cluster: &Cluster, seen: &mut Snapshot, partitions: &[PartitionId]) {
    let mut wanted = Vec::new();
    for table in &seen.tables {
        for partition in &table.partitions {
            let id = PartitionId { tid: table.tid, pid: partition.pid };
            if partitions.contains(&id) {
                let holds = |(at, tablet): (&Endpoint, &Tablet)| {
                    tablet.held.known().is_some_and(|held| held.contains_key(&id)).then(|| at.clone())
                };
                let placed = partition.replicas.iter().map(|replica| replica.endpoint.clone());
                // What no metadata names is looked at, too.
                let at: BTreeSet<Endpoint> = placed.chain(seen.tablets.iter().filter_map(holds)).collect();
                wanted.extend(at.into_iter().map(|endpoint| (endpoint, Subject::of(table, partition.pid))));
            }
        }
    }
    for (endpoint, subject) in wanted {
        let id = subject.partition;
        let Some(held) = seen.tablets.get(&endpoint).and_then(|tablet| tablet.held.known()) else { continue };
        let held = held.get(&id);
        let mut probes = Probes::UNASKED;
        for question in EVERYTHING.iter().copied() {
            if subject.is_worth_asking(question, held) {
                let probe_of = Probe { endpoint: endpoint.clone(), question };
                probe(cluster, &probe_of, id, subject.storage, &mut probes).await;
            }
        }
        if let Some(tablet) = seen.tablets.get_mut(&endpoint) {
            tablet.probes.insert(id, probes);
        }
    }
}

/// The tablets that are registered; unknown if ZooKeeper has gone since the cluster was found through it: the servers
/// themselves can still be seen and worked with.
async fn registered_tablets(cluster: &Cluster) -> Result<Option<Vec<Endpoint>>, CallError> {
    match cluster.registered_tablets().await {
        Err(error) if matches!(error.kind, CallErrorKind::Discovery(_)) => {
            tracing::warn!(%error, "which tablets are registered is unknown");
            Ok(None)
        }
        answered => answered,
    }
}

/// One tablet's replicas, in one call.
pub async fn look_at_tablet(cluster: &Cluster, endpoint: &Endpoint) -> Seen<BTreeMap<PartitionId, Held>> {
    by_partition(cluster.table_status(endpoint).await)
}

/// The same, with one attempt: a poll is repeated anyway, so it needs no retries of its own.
pub async fn poll_tablet(cluster: &Cluster, endpoint: &Endpoint) -> Seen<BTreeMap<PartitionId, Held>> {
    by_partition(cluster.table_status_once(endpoint).await)
}

fn by_partition(answer: Result<Vec<Held>, CallError>) -> Seen<BTreeMap<PartitionId, Held>> {
    match answer {
        Ok(held) => Seen::Known(held.into_iter().map(|held| (held.partition, held)).collect()),
        Err(error) => Seen::Failed(error.to_string()),
    }
}

type Look = (Endpoint, Seen<BTreeMap<PartitionId, Held>>, BTreeMap<PartitionId, Probes>);

/// What a tablet holds, and the evidence it has of every replica that metadata places on it.
async fn look_closely(
    cluster: Cluster,
    endpoint: Endpoint,
    replicas: Vec<Subject>,
    questions: &'static [Question],
) -> Look {
    let held = look_at_tablet(&cluster, &endpoint).await;
    let Seen::Known(holds) = &held else { return (endpoint, held, BTreeMap::new()) };
    let mut waiting = replicas.into_iter().filter_map(|subject| {
        let questions = questions.iter().copied();
        let held = holds.get(&subject.partition);
        let questions: Vec<Question> = questions.filter(|question| subject.is_worth_asking(*question, held)).collect();
        (!questions.is_empty()).then_some((subject, questions))
    });
    let (mut asked, mut probes) = (JoinSet::new(), BTreeMap::new());
    loop {
        // One after another: what is under way takes some kilobytes, and there may be thousands of replicas.
        while asked.len() < PROBES_IN_FLIGHT
            && let Some((Subject { partition, storage, .. }, questions)) = waiting.next()
        {
            let (cluster, endpoint) = (cluster.clone(), endpoint.clone());
            asked.spawn(async move {
                let mut probes = Probes::UNASKED;
                for question in questions {
                    let probe_of = Probe { endpoint: endpoint.clone(), question };
                    probe(&cluster, &probe_of, partition, storage, &mut probes).await;
                }
                (partition, probes)
            });
        }
        match asked.join_next().await {
            Some(answer) => probes.extend(answer.ok()),
            None => break,
        }
    }
    drop(waiting);
    (endpoint, held, probes)
}

impl Subject {
    pub(super) fn of(table: &Table, pid: Pid) -> Self {
        let partition = PartitionId { tid: table.tid, pid };
        Self { partition, storage: table.storage, is_aggregate: table.base_table.is_some() }
    }

    /// Whether a question says anything about a replica that its tablet holds like that, or does not hold.
    pub(super) fn is_worth_asking(self, question: Question, held: Option<&Held>) -> bool {
        match question {
            Question::Manifest | Question::TermPair => true,
            Question::Directory => held.is_none(),
            Question::Followers => held.is_some_and(|held| held.role == Role::Leader && held.state.is_loaded()),
            Question::Aggregator => self.is_aggregate,
        }
    }
}

/// Asks one question and writes the answer into `probes`.
pub async fn probe(
    cluster: &Cluster,
    probe: &Probe,
    partition: PartitionId,
    storage: StorageMode,
    probes: &mut Probes,
) {
    let endpoint = &probe.endpoint;
    match probe.question {
        Question::Manifest => probes.manifest = seen(cluster.manifest(endpoint, partition, storage).await),
        Question::TermPair => probes.term_pair = seen(cluster.term_pair(endpoint, partition, storage).await),
        Question::Directory => probes.directory = seen(cluster.directory(endpoint, partition, storage).await),
        Question::Followers => probes.followers = seen(cluster.followers(endpoint, partition).await),
        Question::Aggregator => probes.aggregator = seen(cluster.aggregator(endpoint, partition, storage).await),
    }
}

fn seen<T>(answer: Result<T, CallError>) -> Seen<T> {
    match answer {
        Ok(value) => Seen::Known(value),
        Err(error) => Seen::Failed(error.to_string()),
    }
}
