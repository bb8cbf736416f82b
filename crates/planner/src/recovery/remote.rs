//! Replicas in clusters that follow this one: whether leaders replicate to them, and when one may be taken as it is
//! (docs/design/followers.md#replicas-of-other-clusters).

use openmldb_model::{Endpoint, Held, Offset, Partition, PartitionId, RemoteReplica, Role, Snapshot, Table, TableName};

/// A partition's replica in another cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// The table, here.
    pub table: TableName,
    /// The partition, here.
    pub partition: PartitionId,
    /// The replica, there.
    pub replica: RemoteReplica,
    /// Whether its leader here replicates to it.
    pub link: Link,
}

/// Whether a leader replicates to a replica of another cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Link {
    /// No leader serves that could.
    Unled,
    /// The leader was not asked, or does not say.
    Unknown(Endpoint),
    /// It does.
    Attached {
        /// The leader.
        leader: Endpoint,
        /// How far it has got there.
        at: Offset,
        /// How far it is itself. One that is further there is sent nothing, and passes over what is written here in these places.
        leader_at: Offset,
    },
    /// It does not.
    Detached(Endpoint),
}

impl Remote {
    /// The partition as the other cluster numbers it.
    pub fn there(&self) -> PartitionId {
        PartitionId { tid: self.replica.tid, pid: self.partition.pid }
    }

    /// Where it is, and where its leader here is, if that replicates to it and is behind.
    pub fn ahead(&self) -> Option<(Offset, Offset)> {
        match self.link {
            Link::Attached { at, leader_at, .. } if at > leader_at => Some((at, leader_at)),
            Link::Unled | Link::Unknown(_) | Link::Attached { .. } | Link::Detached(_) => None,
        }
    }

    /// The leader that does not replicate to it; none if it does, or nobody knows.
    pub fn detached_from(&self) -> Option<&Endpoint> {
        match &self.link {
            Link::Detached(leader) => Some(leader),
            Link::Unled | Link::Unknown(_) | Link::Attached { .. } => None,
        }
    }
}

/// The replicas that a partition has in other clusters.
pub fn remotes_of(snapshot: &Snapshot, table: &Table, partition: &Partition) -> Vec<Remote> {
    let id = PartitionId { tid: table.tid, pid: partition.pid };
    let one = |replica: &RemoteReplica| Remote {
        table: table.name.clone(),
        partition: id,
        replica: replica.clone(),
        link: link(snapshot, partition, id, &replica.endpoint),
    };
    partition.remotes.iter().map(one).collect()
}

/// The same of every partition in scope.
pub fn remotes(snapshot: &Snapshot, in_scope: impl Fn(&Table, PartitionId) -> bool) -> Vec<Remote> {
    let mut found = Vec::new();
    for table in &snapshot.tables {
        for partition in &table.partitions {
            if in_scope(table, PartitionId { tid: table.tid, pid: partition.pid }) {
                found.extend(remotes_of(snapshot, table, partition));
            }
        }
    }
    found
}

fn link(snapshot: &Snapshot, partition: &Partition, id: PartitionId, remote: &Endpoint) -> Link {
    let Some(leader) = partition.leader() else { return Link::Unled };
    let Some(tablet) = snapshot.tablets.get(leader) else { return Link::Unled };
    let held = tablet.held.known().and_then(|held| held.get(&id));
    if !held.is_some_and(|held| held.role == Role::Leader && held.state.is_loaded()) {
        return Link::Unled;
    }
    let Some(followers) = tablet.probes(id).followers.known() else { return Link::Unknown(leader.clone()) };
    match followers.followers.iter().find(|(endpoint, _)| endpoint == remote) {
        Some((_, at)) => Link::Attached { leader: leader.clone(), at: *at, leader_at: followers.leader_offset },
        None => Link::Detached(leader.clone()),
    }
}

/// How far a leader's own log reaches that is to be continued there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach {
    /// The end of its newest snapshot: entries up to there may be gone from its log files.
    pub snapshot: Offset,
    /// Where it was before it took anything that the other cluster has not had from those before it; none where nobody knows.
    pub led_from: Option<Offset>,
}

/// Why a leader must not go on where a replica of another cluster has got to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Apart {
    /// There is none.
    #[error("the other cluster's tablet does not hold it")]
    NotHeld,
    /// It is not loaded yet.
    #[error("the other cluster has not loaded it yet")]
    NotLoaded,
    /// What the leader writes in these places would be passed over there.
    #[error(
        "it holds entries up to {remote}, and the leader here began to lead at {led_from}: what was written here since would be passed over there"
    )]
    Ahead {
        /// Where it is.
        remote: Offset,
        /// Where the leader was.
        led_from: Offset,
    },
    /// How far the leader was nobody knows.
    #[error(
        "it holds entries up to {remote}, and no record here says how far the leader was when that one lost touch with it: nobody can \
         tell whether they are the leader's"
    )]
    Unproven {
        /// Where it is.
        remote: Offset,
    },
    /// It lacks rows that its offset promises.
    #[error("it holds {rows} rows at offset {offset}, and should hold {due}: entries are missing there")]
    Hollow {
        /// Its rows.
        rows: u64,
        /// Its offset.
        offset: Offset,
        /// The rows that the leader has, or had, at that offset.
        due: u64,
    },
}

/// How a leader goes on there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attach {
    /// What is missing is in the leader's log.
    GoesOn,
    /// It is behind the leader's snapshot, so what is missing may be in no log file any more. Then nothing is sent, which does no
    /// harm, and it stays where it is.
    MayStay {
        /// Where it is.
        at: Offset,
    },
}

/// Whether a leader may go on where a replica of another cluster has got to.
///
/// # Errors
/// Why not.
pub fn may_attach(reach: Reach, leader: &Held, remote: Option<&Held>, has_ttl: bool) -> Result<Attach, Apart> {
    let remote = remote.ok_or(Apart::NotHeld)?;
    if !remote.state.is_loaded() {
        return Err(Apart::NotLoaded);
    }
    match reach.led_from {
        Some(led_from) if remote.offset > led_from => return Err(Apart::Ahead { remote: remote.offset, led_from }),
        None if remote.offset > Offset(0) => return Err(Apart::Unproven { remote: remote.offset }),
        Some(_) | None => {}
    }
    // Where every entry of the leader is a row, so is every one of those there.
    let are_rows = !has_ttl && leader.record_cnt == leader.offset.0;
    let is_even = !has_ttl && remote.offset == leader.offset;
    let due = if is_even { leader.record_cnt } else { remote.offset.0 };
    if (is_even || are_rows) && remote.record_cnt < due {
        return Err(Apart::Hollow { rows: remote.record_cnt, offset: remote.offset, due });
    }
    Ok(match remote.offset < reach.snapshot {
        true => Attach::MayStay { at: remote.offset },
        false => Attach::GoesOn,
    })
}
