//! Other clusters that follow this one: at the end of a run, leaders replicate to them again where nothing speaks against it. A leader
//! that is made by ChangeRole knows nothing of them (docs/openmldb/remote-clusters.md#what-a-leader-knows).

use std::collections::BTreeMap;

use crate::cluster::Cluster;
use crate::model::{Action, Endpoint, Held, Offset, PartitionId, Snapshot, Table, Verb, counted, counted_that};
use crate::recovery::{Apart, Attach, Memory, Reach, Remote, may_attach, remotes};
use crate::snapshot::collect_serving;

use super::event::Event;
use super::failover::{Told, act};
use super::record::LedBeside;
use super::scope::Scope;

/// What a run calls it.
pub(super) const STEP: &str = "attach_remotes";
/// Partitions that are named in a note; of more, how many there are.
const NAMED: usize = 3;

/// The partitions in scope whose leader does not replicate to a replica that another cluster has of them.
pub(super) fn detached(seen: &Snapshot, scope: &Scope) -> Vec<Remote> {
    let all = remotes(seen, |table, id| scope.covers(table, id));
    all.into_iter().filter(|remote| remote.detached_from().is_some()).collect()
}

/// What is known of leaders.
#[derive(Clone, Copy)]
pub(super) struct Known<'a> {
    /// Where this run has chosen them.
    pub(super) memories: &'a BTreeMap<PartitionId, Memory>,
    /// How far they were when replicas of other clusters lost touch with them, by earlier records.
    pub(super) led: &'a LedBeside,
}

impl Known<'_> {
    /// Where the leader was before it took anything that the other cluster may not have: clients may have written to it since it was
    /// chosen, in this run or in an earlier one.
    fn led_from(self, remote: &Remote, leader: &Endpoint, now: Offset) -> Option<Offset> {
        let leads = |memory: &&Memory| memory.choice.as_ref().is_some_and(|choice| choice.leader == *leader);
        let chosen = self.memories.get(&remote.partition).filter(leads).and_then(|memory| memory.led_from);
        let from = match (chosen, self.led.get(&(remote.partition, remote.replica.endpoint.clone()))) {
            (Some(chosen), None) => Some(chosen),
            (Some(chosen), Some(led)) => led.from.map(|from| from.min(chosen)),
            (None, Some(led)) => led.from.filter(|_| led.leader == *leader),
            (None, None) => None,
        };
        from.map(|from| from.min(now))
    }
}

/// Has leaders replicate to other clusters again, and says where one cannot.
pub(super) async fn attach(cluster: &Cluster, before: &Snapshot, scope: &Scope, known: Known<'_>, told: &Told<'_>) {
    if remotes(before, |table, id| scope.covers(table, id)).is_empty() {
        return;
    }
    let note = |text: String| (told.listener)(&Event::Note { text });
    let seen = match collect_serving(cluster, &before.cluster, before.taken_at_ms).await {
        Ok(seen) => seen,
        Err(error) => return note(format!("whether leaders replicate to other clusters is unknown: {error}")),
    };
    let mut apart: BTreeMap<(String, String), Vec<Remote>> = BTreeMap::new();
    let mut ahead: BTreeMap<(String, String), Vec<Remote>> = BTreeMap::new();
    let mut again: BTreeMap<String, usize> = BTreeMap::new();
    let mut there = There::default();
    for remote in remotes(&seen, |table, id| scope.covers(table, id)) {
        if let Some((at, leader_at)) = remote.ahead() {
            // The nameserver's own elections attach it whatever it holds.
            let why = explained(&Apart::Ahead { remote: at, led_from: leader_at });
            ahead.entry((remote.replica.alias.clone(), why)).or_default().push(remote);
        }
    }
    for remote in detached(&seen, scope) {
        let alias = remote.replica.alias.clone();
        match attach_one(cluster, &seen, &remote, known, &mut there, told).await {
            Ok(()) => *again.entry(alias).or_default() += 1,
            Err(why) => {
                stays_detached(&seen, &remote, known, told);
                apart.entry((alias, why)).or_default().push(remote);
            }
        }
    }
    for (alias, many) in again {
        note(format!("{} replicated to the cluster {alias} again", counted_that(many, "partition", Verb::Be)));
    }
    let told_of = |what: &'static str| {
        move |((alias, why), remotes): ((String, String), Vec<Remote>)| {
            note(about(&remotes, what, &alias, &why));
        }
    };
    ahead.into_iter().for_each(told_of("behind what is held in"));
    apart.into_iter().for_each(told_of("not replicated to"));
}

/// What tablets of other clusters hold, each asked once: one that does not answer is not waited for again.
#[derive(Default)]
struct There(BTreeMap<Endpoint, Result<BTreeMap<PartitionId, Held>, String>>);

impl There {
    async fn ask(&mut self, cluster: &Cluster, endpoint: &Endpoint) -> &Result<BTreeMap<PartitionId, Held>, String> {
        if !self.0.contains_key(endpoint) {
            let held = cluster.table_status_once(endpoint).await;
            let held = held.map(|held| held.into_iter().map(|held| (held.partition, held)).collect());
            self.0.insert(endpoint.clone(), held.map_err(|error| error.to_string()));
        }
        &self.0[endpoint]
    }
}

async fn attach_one(
    cluster: &Cluster,
    seen: &Snapshot,
    remote: &Remote,
    known: Known<'_>,
    there: &mut There,
    told: &Told<'_>,
) -> Result<(), String> {
    let id = remote.partition;
    let (Some(leader), Some(table)) = (remote.detached_from(), table_of(seen, id)) else { return Ok(()) };
    let Some(held) = seen.tablets.get(leader).and_then(|tablet| tablet.held.known()?.get(&id)) else { return Ok(()) };
    // Asked after the leader: what it takes meanwhile cannot have got there, since nobody sends it.
    let theirs = there.ask(cluster, &remote.replica.endpoint).await.as_ref().map_err(Clone::clone)?;
    let manifest = cluster.manifest(leader, id, table.storage).await.map_err(|error| error.to_string())?;
    let reach = Reach { snapshot: manifest.offset, led_from: known.led_from(remote, leader, held.offset) };
    let attach = may_attach(reach, held, theirs.get(&remote.there()), table.has_ttl);
    let attach = attach.map_err(|apart| explained(&apart))?;
    let action = Action::AttachRemote {
        endpoint: leader.clone(),
        partition: id,
        remote: remote.replica.endpoint.clone(),
        remote_tid: remote.replica.tid,
    };
    let why =
        format!("it leads, and does not replicate to {}, where this is the beginning of its log", remote.replica.alias);
    act(cluster, STEP, action, &why, told).await.map_err(|error| error.to_string())?.map_or(Ok(()), Err)?;
    if let Attach::MayStay { at } = attach {
        let text = format!(
            "{}/{} is at {at} in the cluster {}, behind its leader's snapshot here: if it stays there, what it lacks is in no log any \
             more, and it has to be copied anew",
            remote.table, id.pid, remote.replica.alias
        );
        (told.listener)(&Event::Note { text });
    }
    Ok(())
}

/// The next run has to know how far the leader was: clients write to it meanwhile.
fn stays_detached(seen: &Snapshot, remote: &Remote, known: Known<'_>, told: &Told<'_>) {
    let id = remote.partition;
    let Some(leader) = remote.detached_from() else { return };
    let held = seen.tablets.get(leader).and_then(|tablet| tablet.held.known()?.get(&id));
    let led_from = held.and_then(|held| known.led_from(remote, leader, held.offset));
    told.record.detached(id, &remote.replica.endpoint, leader, led_from);
}

fn table_of(seen: &Snapshot, id: PartitionId) -> Option<&Table> {
    seen.tables.iter().find(|table| table.tid == id.tid)
}

/// Why not, and what to do about it.
fn explained(apart: &Apart) -> String {
    let hint = match apart {
        Apart::NotLoaded => {
            "bring it back there first (`openmldb-ops recover --all` on that cluster), then run again here"
        }
        Apart::NotHeld => "bring it back there, or have it copied there anew, then run again here",
        Apart::Ahead { .. } | Apart::Hollow { .. } | Apart::Unproven { .. } => {
            "compare the two before anything else; then have it copied there anew (docs/openmldb/remote-clusters.md)"
        }
    };
    format!("{apart}; {hint}")
}

fn about(remotes: &[Remote], what: &str, alias: &str, why: &str) -> String {
    let names = remotes.iter().take(NAMED).map(|remote| format!("{}/{}", remote.table, remote.partition.pid));
    let mut names: Vec<String> = names.collect();
    if remotes.len() > NAMED {
        names.push(format!("{} more", remotes.len() - NAMED));
    }
    let names = names.join(", ");
    format!("{} {what} the cluster {alias} ({names}): {why}", counted(remotes.len(), "partition"))
}
