//! Every action's call, field by field: what is not named here must not be sent.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use openmldb_model::{Offset, OpId, Tid};

fn orders() -> TableName {
    TableName { db: "shop".into(), table: "orders".into() }
}

const PARTITION: PartitionId = PartitionId { tid: Tid(7), pid: Pid(2) };

fn to_nameserver(an_action: Action) -> NameserverCall {
    match action(&an_action) {
        Addressed::Nameserver(call) => call,
        Addressed::Tablet(endpoint, call) => panic!("{} went to tablet {endpoint}", call.name()),
    }
}

fn to_tablet(an_action: Action) -> TabletCall {
    match action(&an_action) {
        Addressed::Tablet(endpoint, call) if endpoint.as_str() == "t1:1" => call,
        other => panic!("went elsewhere: {other:?}"),
    }
}

#[test]
fn alive_flags_name_a_partition_only_if_one_is_meant() {
    let mark = |table, pid| Action::MarkAlive { table, pid, endpoint: "t1:1".into(), alive: false };
    let expected = nameserver::UpdateTableAliveRequest {
        name: Some("orders".into()),
        endpoint: Some("t1:1".into()),
        pid: Some(2),
        is_alive: Some(false),
        db: Some("shop".into()),
    };
    let call = to_nameserver(mark(orders(), Some(Pid(2))));
    assert_eq!(call, NameserverCall::UpdateTableAliveStatus(expected.clone()));
    let old = TableName { db: String::new(), ..orders() };
    let expected = nameserver::UpdateTableAliveRequest { pid: None, db: None, ..expected };
    assert_eq!(to_nameserver(mark(old, None)), NameserverCall::UpdateTableAliveStatus(expected));
}

#[test]
fn the_nameservers_other_calls_say_what_is_meant() {
    let conf = nameserver::Pair { key: "auto_failover".into(), value: "false".into() };
    assert_eq!(
        to_nameserver(Action::SetAutoFailover { on: false }),
        NameserverCall::ConfSet(nameserver::ConfSetRequest { conf })
    );
    assert_eq!(
        to_nameserver(Action::CancelOp { op: OpId(5) }),
        NameserverCall::CancelOp(nameserver::CancelOpRequest { op_id: Some(5) })
    );
    assert_eq!(
        to_nameserver(Action::ChangeLeader { table: orders(), pid: Pid(2), candidate: "t1:1".into() }),
        NameserverCall::ChangeLeader(nameserver::ChangeLeaderRequest {
            name: "orders".into(),
            pid: 2,
            candidate_leader: Some("t1:1".into()),
            db: Some("shop".into()),
        })
    );
    assert_eq!(
        to_nameserver(Action::RecoverTable { table: orders(), pid: Pid(2), endpoint: "t1:1".into() }),
        NameserverCall::RecoverTable(nameserver::RecoverTableRequest {
            name: "orders".into(),
            pid: 2,
            endpoint: "t1:1".into(),
            db: Some("shop".into()),
        })
    );
    let NameserverCall::ShowTable(show) = show_all_tables() else { panic!() };
    assert_eq!((show.name, show.db, show.show_all), (None, None, Some(true)));
}

#[test]
fn a_load_is_minimal_and_as_follower() {
    let call = to_tablet(Action::LoadTable {
        endpoint: "t1:1".into(),
        table: orders(),
        partition: PARTITION,
        seg_cnt: 8,
        storage: StorageMode::Hdd,
    });
    let meta = api::TableMeta {
        tid: Some(7),
        name: Some("orders".into()),
        pid: Some(2),
        seg_cnt: Some(8),
        mode: Some(api::TableMode::KTableFollower as i32),
        storage_mode: Some(common::StorageMode::KHdd as i32),
        replicas: Vec::new(),
        term: None,
        compress_type: None,
        key_entry_max_height: None,
        column_desc: Vec::new(),
        column_key: Vec::new(),
        added_column_desc: Vec::new(),
        db: None,
        schema_versions: Vec::new(),
        table_partition: Vec::new(),
        base_table_tid: None,
    };
    assert_eq!(call, TabletCall::LoadTable(api::LoadTableRequest { table_meta: Some(meta), task_info: None }));
}

/// As the nameserver has it when it creates a replica, with what was added to the table since.
#[test]
fn a_load_with_a_schema_says_all_that_the_nameserver_knows_of_the_table() {
    let load = Action::LoadWithSchema {
        endpoint: "t1:1".into(),
        table: orders(),
        partition: PARTITION,
        seg_cnt: 8,
        storage: StorageMode::Memory,
    };
    let TabletCall::LoadTable(mut call) = to_tablet(load) else { panic!() };
    assert_eq!(call.table_meta.as_ref().unwrap().column_desc, [], "only the nameserver knows them");
    let column = |name: &str| common::ColumnDesc { name: name.to_owned(), ..Default::default() };
    let key = |flag| common::ColumnKey { index_name: Some("i".into()), flag: Some(flag), ..Default::default() };
    let version = common::VersionPair { id: Some(2), field_count: Some(3) };
    let replica = nameserver::PartitionMeta {
        endpoint: "t1:1".into(),
        is_leader: true,
        is_alive: Some(false),
        ..Default::default()
    };
    let partition = nameserver::TablePartition { pid: 2, partition_meta: vec![replica], ..Default::default() };
    let info = nameserver::TableInfo {
        db: Some("shop".into()),
        column_desc: vec![column("a"), column("b")],
        added_column_desc: vec![column("c")],
        column_key: vec![key(0), key(1)],
        schema_versions: vec![version],
        key_entry_max_height: Some(1),
        compress_type: Some(crate::r#type::CompressType::KSnappy as i32),
        base_table_tid: Some(6),
        table_partition: vec![partition],
        ..Default::default()
    };
    describe(&mut call, &info);
    let meta = call.table_meta.unwrap();
    assert_eq!((meta.column_desc, meta.added_column_desc), (info.column_desc, info.added_column_desc));
    assert_eq!(
        (meta.column_key, meta.schema_versions),
        (info.column_key, info.schema_versions),
        "deleted indexes, too"
    );
    assert_eq!((meta.db.as_deref(), meta.key_entry_max_height), (Some("shop"), Some(1)));
    assert_eq!((meta.compress_type, meta.base_table_tid), (info.compress_type, Some(6)));
    let placed = &meta.table_partition[0].partition_meta[0];
    assert_eq!((placed.endpoint(), placed.is_leader(), placed.is_alive()), ("t1:1", true, true));
    assert_eq!((meta.mode, meta.term), (Some(api::TableMode::KTableFollower as i32), None));
}

#[test]
fn a_role_comes_with_term_and_followers() {
    let call = to_tablet(Action::ChangeRole {
        endpoint: "t1:1".into(),
        partition: PARTITION,
        term: Term(3),
        replicas: vec!["t2:1".into(), "t3:1".into()],
    });
    assert_eq!(
        call,
        TabletCall::ChangeRole(api::ChangeRoleRequest {
            tid: Some(7),
            pid: Some(2),
            term: Some(3),
            mode: Some(api::TableMode::KTableLeader as i32),
            replicas: vec!["t2:1".into(), "t3:1".into()],
            endpoint_tid: Vec::new(),
        })
    );
}

#[test]
fn the_tablets_other_calls_say_what_is_meant() {
    let (endpoint, follower) = (Endpoint::from("t1:1"), Endpoint::from("t2:1"));
    let request = api::ReplicaRequest {
        tid: Some(7),
        pid: Some(2),
        endpoint: Some("t2:1".into()),
        task_info: None,
        remote_tid: None,
    };
    let add = Action::AddReplica { endpoint: endpoint.clone(), partition: PARTITION, follower: follower.clone() };
    assert_eq!(to_tablet(add), TabletCall::AddReplica(request.clone()));
    let delete = Action::DelReplica { endpoint: endpoint.clone(), partition: PARTITION, follower };
    assert_eq!(to_tablet(delete), TabletCall::DelReplica(request));
    assert_eq!(
        to_tablet(Action::DropTable { endpoint: endpoint.clone(), partition: PARTITION }),
        TabletCall::DropTable(api::DropTableRequest { tid: Some(7), pid: Some(2), task_info: None })
    );
    let plain = api::GeneralRequest { tid: 7, pid: 2, task_info: None, offset: None, storage_mode: None };
    assert_eq!(
        to_tablet(Action::RecoverSnapshot { endpoint: endpoint.clone(), partition: PARTITION }),
        TabletCall::RecoverSnapshot(plain.clone())
    );
    let storage = StorageMode::Memory;
    assert_eq!(
        to_tablet(Action::MakeSnapshot { endpoint, partition: PARTITION, offset: Offset(21), storage }),
        TabletCall::MakeSnapshot(api::GeneralRequest {
            offset: Some(21),
            storage_mode: Some(common::StorageMode::KMemory as i32),
            ..plain
        })
    );
}

#[test]
fn storage_picks_the_directory() {
    let TabletCall::GetManifest(call) = manifest(PARTITION, StorageMode::Ssd) else { panic!() };
    assert_eq!((call.tid, call.pid, call.storage_mode), (Some(7), Some(2), Some(common::StorageMode::KSsd as i32)));
    let TabletCall::GetTermPair(call) = term_pair(PARTITION, StorageMode::Memory) else { panic!() };
    assert_eq!(call.storage_mode, Some(common::StorageMode::KMemory as i32));
    let TabletCall::CheckFile(call) = check_file(ReplicaFile::Description, PARTITION, StorageMode::Hdd) else {
        panic!()
    };
    assert_eq!((call.file(), call.size(), call.storage_mode()), ("table_meta.txt", 0, common::StorageMode::KHdd));
    let TabletCall::GetTableStatus(call) = table_status() else { panic!() };
    assert_eq!((call.tid, call.pid), (None, None), "everything a tablet holds, in one call");
}

#[test]
fn what_only_a_command_makes_openmldb_do_says_what_is_meant() {
    let (table, pid, at) = (orders(), Pid(2), || "t1:1".into());
    assert_eq!(
        to_nameserver(Manual::AddReplica { table: table.clone(), pid, endpoint: at() }.into()),
        NameserverCall::AddReplicaNs(nameserver::AddReplicaNsRequest {
            name: "orders".into(),
            pid: 2,
            endpoint: "t1:1".into(),
            db: Some("shop".into()),
            ..Default::default()
        })
    );
    assert_eq!(
        to_nameserver(Manual::RemoveReplica { table: table.clone(), pid, endpoint: at() }.into()),
        NameserverCall::DelReplicaNs(nameserver::DelReplicaNsRequest {
            name: "orders".into(),
            pid: 2,
            endpoint: "t1:1".into(),
            db: Some("shop".into()),
            ..Default::default()
        })
    );
    assert_eq!(
        to_nameserver(Manual::MigrateReplica { table, pid, from: "t2:1".into(), to: at() }.into()),
        NameserverCall::Migrate(nameserver::MigrateRequest {
            src_endpoint: "t2:1".into(),
            name: "orders".into(),
            pid: vec![2],
            des_endpoint: "t1:1".into(),
            db: Some("shop".into()),
        })
    );
    let deletes = |which| match to_nameserver(Manual::DeleteOps { which }.into()) {
        NameserverCall::DeleteOp(request) => (request.op_id, request.status),
        other => panic!("{}", other.name()),
    };
    assert_eq!(deletes(WhichOps::One(OpId(5))), (Some(5), None));
    assert_eq!(deletes(WhichOps::Ended(OpEnd::Failed)), (None, Some(api::TaskStatus::KFailed as i32)));
    assert_eq!(
        to_tablet(Manual::Follow { endpoint: at(), partition: PARTITION }.into()),
        TabletCall::ChangeRole(api::ChangeRoleRequest {
            tid: Some(7),
            pid: Some(2),
            mode: Some(api::TableMode::KTableFollower as i32),
            ..Default::default()
        })
    );
    assert_eq!(
        to_tablet(Manual::MakeDiskSnapshot { endpoint: at(), partition: PARTITION }.into()),
        TabletCall::MakeSnapshot(api::GeneralRequest { tid: 7, pid: 2, ..Default::default() })
    );
}
