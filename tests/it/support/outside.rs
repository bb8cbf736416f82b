//! A sandbox's world looked at from outside: flags as metadata has them, roles and states as the tablets tell them,
//! entries as they lie in the replicas.

use std::collections::{BTreeMap, BTreeSet};

use openmldb_ops::model::{Endpoint, PartitionId, Pid, Tid};
use openmldb_ops::sandbox::World;
use openmldb_ops::sandbox::world::Rows;
use openmldb_ops::wire::api::{GetTableStatusRequest, TableMode, TableState};
use openmldb_ops::wire::call::{NameserverAnswer, NameserverCall, TabletAnswer, TabletCall};
use openmldb_ops::wire::nameserver::{ConfGetRequest, ShowOpStatusRequest, ShowTabletRequest};

/// A replica as its tablet tells it: role and state; none if it is not held.
pub type Told = Option<(TableMode, TableState)>;

/// A replica's flags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flags {
    pub endpoint: Endpoint,
    pub leader: bool,
    pub alive: bool,
}

/// Whether auto_failover is on, as the leading nameserver answers.
pub fn auto_failover(world: &mut World) -> bool {
    let leader = world.leader().expect("a nameserver that leads");
    let answer = world.call_nameserver(&leader, NameserverCall::ConfGet(ConfGetRequest {})).unwrap();
    let NameserverAnswer::ConfGet(answer) = answer else { panic!("{answer:?}") };
    answer.conf.iter().find(|pair| pair.key == "auto_failover").unwrap().value == "true"
}

/// Whether the leading nameserver, if there is one, has a tablet in that state.
pub fn is(world: &mut World, at: &Endpoint, state: &str) -> bool {
    let Some(leading) = world.leader() else { return false };
    let call = NameserverCall::ShowTablet(ShowTabletRequest {});
    let Ok(NameserverAnswer::ShowTablet(answer)) = world.call_nameserver(&leading, call) else { return false };
    answer.tablets.iter().any(|tablet| tablet.endpoint() == at.as_str() && tablet.state() == state)
}

/// Whether the leading nameserver has operations queued or running.
pub fn has_ops_under_way(world: &mut World) -> bool {
    let leader = world.leader().expect("a nameserver that leads");
    let call = NameserverCall::ShowOpStatus(ShowOpStatusRequest::default());
    let NameserverAnswer::ShowOpStatus(answer) = world.call_nameserver(&leader, call).unwrap() else { panic!("asked") };
    answer.op_status.iter().any(|op| matches!(op.status.as_str(), "kInited" | "kDoing"))
}

/// The partition `shop.orders/pid`, the table of which the scenarios damage some partitions.
pub fn orders(world: &World, pid: u32) -> PartitionId {
    find(world, "orders", pid)
}

pub fn find(world: &World, table: &str, pid: u32) -> PartitionId {
    let tid = world.tables().iter().find(|found| found.name() == table).unwrap().tid();
    PartitionId { tid: Tid(tid), pid: Pid(pid) }
}

pub fn flags(world: &World, id: PartitionId) -> Vec<Flags> {
    let metas = world.metadata().remove(&id).unwrap().partition_meta;
    let flags = |endpoint: &str, leader, alive| Flags { endpoint: endpoint.into(), leader, alive };
    metas.iter().map(|meta| flags(&meta.endpoint, meta.is_leader, meta.is_alive())).collect()
}

/// The only replica that is flagged leader and alive.
pub fn leader(world: &World, id: PartitionId) -> Endpoint {
    let flags = flags(world, id);
    let leaders: Vec<&Flags> = flags.iter().filter(|flag| flag.leader && flag.alive).collect();
    assert_eq!(leaders.len(), 1, "{id}: {flags:?}");
    leaders[0].endpoint.clone()
}

pub fn told(world: &mut World, endpoint: &Endpoint, id: PartitionId) -> Told {
    let request = GetTableStatusRequest { tid: Some(id.tid.0), pid: Some(id.pid.0), need_schema: None };
    let answer = world.call_tablet(endpoint, TabletCall::GetTableStatus(request)).ok()?;
    let TabletAnswer::GetTableStatus(answer) = answer else { panic!("{answer:?}") };
    answer.all_table_status.first().map(|status| (status.mode(), status.state()))
}

/// One leader flag, every replica alive, and every tablet tells the role that is flagged.
pub fn assert_well(world: &mut World, id: PartitionId) {
    let flags = flags(world, id);
    assert_eq!(flags.iter().filter(|flag| flag.leader).count(), 1, "leader flags of {id}: {flags:?}");
    for flag in &flags {
        let role = if flag.leader { TableMode::KTableLeader } else { TableMode::KTableFollower };
        assert!(flag.alive, "{id}: {flags:?}");
        assert_eq!(told(world, &flag.endpoint, id), Some((role, TableState::KTableNormal)), "{id} at {flag:?}");
    }
    assert!(world.healthy().contains(&id), "{id}: a follower is not connected");
}

/// Every partition is well.
pub fn assert_all_well(world: &mut World) {
    for id in world.metadata().into_keys() {
        assert_well(world, id);
    }
}

/// The partition's leader is flagged, alive, and leads in its tablet's memory.
pub fn assert_serving(world: &mut World, id: PartitionId) {
    let leader = leader(world, id);
    assert_eq!(told(world, &leader, id), Some((TableMode::KTableLeader, TableState::KTableNormal)), "{id} at {leader}");
}

/// The partitions that have a replica there.
pub fn placed_on(world: &World, endpoint: &Endpoint) -> BTreeSet<PartitionId> {
    let there = |id: &PartitionId| flags(world, *id).iter().any(|flag| flag.endpoint == *endpoint);
    world.metadata().into_keys().filter(there).collect()
}

/// How many entries the longest replica of each partition holds, and how many each does.
pub fn lengths(rows: &Rows) -> BTreeMap<PartitionId, (usize, BTreeSet<usize>)> {
    let of = |replicas: &BTreeMap<Endpoint, Vec<_>>| {
        let lengths: BTreeSet<usize> = replicas.values().map(Vec::len).collect();
        (lengths.iter().copied().max().unwrap_or(0), lengths)
    };
    rows.iter().map(|(id, replicas)| (*id, of(replicas))).collect()
}
