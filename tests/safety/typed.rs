//! What somebody types into OpenMLDB's own client, past the tool, whatever comes of it.

use openmldb_ops::model::{Endpoint, PartitionId};
use openmldb_ops::sandbox::World;
use openmldb_ops::wire::api::{LoadTableRequest, TableMeta, TableMode};
use openmldb_ops::wire::call::{NameserverAnswer, NameserverCall, TabletCall};
use openmldb_ops::wire::nameserver::{
    ChangeLeaderRequest, ConfSetRequest, Pair, RecoverTableRequest, ShowOpStatusRequest, TableInfo,
    UpdateTableAliveRequest,
};

fn call(world: &mut World, call: NameserverCall) -> Option<NameserverAnswer> {
    let leader = world.leader()?;
    world.call_nameserver(&leader, call).ok()
}

fn table(world: &World, id: PartitionId) -> TableInfo {
    world.tables().into_iter().find(|table| table.tid() == id.tid.0).unwrap()
}

pub fn set_auto_failover(world: &mut World, on: bool) {
    let conf = Pair { key: "auto_failover".to_owned(), value: on.to_string() };
    call(world, NameserverCall::ConfSet(ConfSetRequest { conf }));
}

pub fn change_leader(world: &mut World, id: PartitionId, to: &Endpoint) {
    let table = table(world, id);
    let request = ChangeLeaderRequest {
        name: table.name().to_owned(),
        pid: id.pid.0,
        candidate_leader: Some(to.to_string()),
        db: table.db,
    };
    call(world, NameserverCall::ChangeLeader(request));
}

pub fn mark_alive(world: &mut World, id: PartitionId, at: &Endpoint, alive: bool) {
    let TableInfo { name, db, .. } = table(world, id);
    let (pid, endpoint) = (Some(id.pid.0), Some(at.to_string()));
    let request = UpdateTableAliveRequest { name, db, pid, endpoint, is_alive: Some(alive) };
    call(world, NameserverCall::UpdateTableAliveStatus(request));
}

pub fn recover_table(world: &mut World, id: PartitionId, at: &Endpoint) {
    let TableInfo { name, db, .. } = table(world, id);
    let request = RecoverTableRequest { name: name.unwrap_or_default(), db, pid: id.pid.0, endpoint: at.to_string() };
    call(world, NameserverCall::RecoverTable(request));
}

/// Without a mode and without a term, as OpenMLDB's own client does it.
pub fn load_as_leader(world: &mut World, id: PartitionId, at: &Endpoint) {
    load(world, id, at, None);
}

pub fn load_as_follower(world: &mut World, id: PartitionId, at: &Endpoint) {
    load(world, id, at, Some(TableMode::KTableFollower));
}

fn load(world: &mut World, id: PartitionId, at: &Endpoint, mode: Option<TableMode>) {
    let TableInfo { name, storage_mode, .. } = table(world, id);
    let signed = |number: u32| i32::try_from(number).ok();
    let meta = TableMeta {
        name,
        tid: signed(id.tid.0),
        pid: signed(id.pid.0),
        seg_cnt: Some(8),
        storage_mode,
        mode: mode.map(i32::from),
        ..TableMeta::default()
    };
    let load = LoadTableRequest { table_meta: Some(meta), ..LoadTableRequest::default() };
    let _ = world.call_tablet(at, TabletCall::LoadTable(load));
}

/// Until the nameserver has no operation under way, for 50 seconds at most.
pub fn until_operations_end(world: &mut World) {
    for _ in 0..100 {
        let answer = call(world, NameserverCall::ShowOpStatus(ShowOpStatusRequest::default()));
        let Some(NameserverAnswer::ShowOpStatus(answer)) = answer else { return };
        if !answer.op_status.iter().any(|op| matches!(op.status.as_str(), "kInited" | "kDoing")) {
            return;
        }
        world.advance_by(500);
    }
}
