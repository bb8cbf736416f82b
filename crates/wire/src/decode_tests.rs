//! Each rule of decoding on a message of its own; whole answers of real servers are in `tests/it/recordings.rs`.
#![allow(clippy::unwrap_used)]

use super::*;

fn replica_of(endpoint: &str) -> nameserver::PartitionMeta {
    nameserver::PartitionMeta { endpoint: endpoint.into(), is_leader: true, ..Default::default() }
}

fn table_of(replicas: Vec<nameserver::PartitionMeta>) -> nameserver::TableInfo {
    nameserver::TableInfo {
        name: Some("orders".into()),
        db: Some("shop".into()),
        tid: Some(7),
        table_partition: vec![nameserver::TablePartition { pid: 0, partition_meta: replicas, ..Default::default() }],
        ..Default::default()
    }
}

fn key(flag: Option<u32>, abs_ttl: Option<u64>, lat_ttl: Option<u64>) -> common::ColumnKey {
    let ttl = Some(common::TtlSt { ttl_type: None, abs_ttl, lat_ttl });
    common::ColumnKey { flag, ttl, ..Default::default() }
}

#[test]
fn what_a_table_leaves_out_has_openmldbs_meaning() {
    let read = table(&table_of(vec![replica_of("t1:1")])).unwrap();
    assert_eq!(read.storage, StorageMode::Memory);
    assert_eq!(read.base_table, None);
    assert!(!read.has_ttl);
    let replica = &read.partitions[0].replicas[0];
    assert!(replica.is_alive, "absent is_alive means alive");
    assert_eq!(replica.offset, None, "absent is not 0");

    let loading = nameserver::PartitionMeta { offset: Some(0), is_alive: Some(false), ..replica_of("t1:1") };
    let read = table(&table_of(vec![loading])).unwrap();
    assert_eq!(read.partitions[0].replicas[0].offset, Some(Offset(0)));
    assert!(!read.partitions[0].replicas[0].is_alive);
}

#[test]
fn a_table_without_a_database_is_one_older_than_databases() {
    let read = table(&nameserver::TableInfo { db: None, ..table_of(Vec::new()) }).unwrap();
    assert_eq!(read.name.to_string(), "orders");
}

#[test]
fn rows_expire_by_any_index_that_is_not_deleted() {
    let of = |keys| table(&nameserver::TableInfo { column_key: keys, ..table_of(Vec::new()) }).unwrap().has_ttl;
    assert!(of(vec![key(None, Some(0), None), key(Some(0), Some(10), None)]));
    assert!(of(vec![key(None, None, Some(1))]));
    assert!(!of(vec![key(Some(1), Some(10), Some(10))]), "a deleted index expires nothing");
    assert!(!of(vec![key(None, Some(0), Some(0))]));
    assert!(!of(vec![common::ColumnKey::default()]));
}

#[test]
fn newer_rows_let_older_ones_expire_where_their_number_is_enough() {
    use r#type::TtlType::{KAbsAndLat, KAbsOrLat, KAbsoluteTime, KLatestTime};
    let of = |ttl_type: r#type::TtlType, lat_ttl| {
        let ttl = common::TtlSt { ttl_type: Some(ttl_type.into()), abs_ttl: Some(10), lat_ttl: Some(lat_ttl) };
        let key = common::ColumnKey { ttl: Some(ttl), ..common::ColumnKey::default() };
        let info = nameserver::TableInfo { column_key: vec![key], ..table_of(Vec::new()) };
        schema(&info).unwrap().indexes[0].keeps_newest
    };
    assert_eq!((of(KLatestTime, 3), of(KAbsOrLat, 3)), (Some(3), Some(3)));
    assert_eq!((of(KLatestTime, 0), of(KAbsoluteTime, 3)), (None, None));
    assert_eq!(of(KAbsAndLat, 3), None, "they have to be of age, too");
}

#[test]
fn garbage_in_a_table_names_its_field() {
    let with = |change: fn(&mut nameserver::TableInfo)| {
        let mut info = table_of(vec![replica_of("t1:1"), replica_of("t2:1")]);
        change(&mut info);
        let answer =
            nameserver::ShowTableResponse { table_info: vec![table_of(Vec::new()), info], ..Default::default() };
        tables(&answer).unwrap_err().to_string()
    };
    assert_eq!(with(|info| info.tid = None), "table_info[1].tid is missing");
    assert_eq!(with(|info| info.name = Some(String::new())), "table_info[1].name is missing");
    assert_eq!(
        with(|info| info.storage_mode = Some(9)),
        "table_info[1].storage_mode holds 9, which is no number of its enum"
    );
    assert_eq!(
        with(|info| info.table_partition[0].partition_meta[1].endpoint.clear()),
        "table_info[1].table_partition[0].partition_meta[1].endpoint is missing"
    );
}

fn status(state: api::TableState) -> api::TableStatus {
    api::TableStatus {
        tid: Some(7),
        pid: Some(1),
        mode: Some(api::TableMode::KTableFollower as i32),
        state: Some(state as i32),
        offset: Some(100),
        record_cnt: Some(90),
        ..Default::default()
    }
}

fn held_one(status: api::TableStatus) -> Result<Held, Garbage> {
    let answer = api::GetTableStatusResponse { all_table_status: vec![status], ..Default::default() };
    held(&answer).map(|mut held| held.remove(0))
}

#[test]
fn rows_are_counted_in_the_first_index_where_there_is_one() {
    let index = |counts: &[u64]| api::TsIdxStatus { idx_name: None, seg_cnts: counts.to_vec() };
    let memory = api::TableStatus {
        ts_idx_status: vec![index(&[40, 43]), index(&[1])],
        ..status(api::TableState::KTableNormal)
    };
    assert_eq!(held_one(memory).unwrap().record_cnt, 83);
    assert_eq!(held_one(status(api::TableState::KTableNormal)).unwrap().record_cnt, 90);
}

#[test]
fn a_replica_that_is_not_loaded_may_lack_its_numbers() {
    let bare = |state| api::TableStatus { offset: None, record_cnt: None, ..status(state) };
    assert_eq!(held_one(bare(api::TableState::KTableUndefined)).unwrap().offset, Offset(0));
    assert_eq!(held_one(bare(api::TableState::KTableLoading)).unwrap().state, State::Loading);
    let error = held_one(bare(api::TableState::KSnapshotPaused)).unwrap_err();
    assert_eq!(error.to_string(), "all_table_status[0].offset is missing");
}

#[test]
fn unknown_roles_and_states_are_garbage() {
    let error = held_one(api::TableStatus { mode: Some(3), ..status(api::TableState::KTableNormal) }).unwrap_err();
    assert_eq!(error.to_string(), "all_table_status[0].mode holds 3, which is no number of its enum");
    let error = held_one(api::TableStatus { state: Some(5), ..status(api::TableState::KTableNormal) }).unwrap_err();
    assert_eq!(error.to_string(), "all_table_status[0].state holds 5, which is no number of its enum");
    let error = held_one(api::TableStatus { mode: None, ..status(api::TableState::KTableNormal) }).unwrap_err();
    assert_eq!(error.to_string(), "all_table_status[0].mode is missing");
}

#[test]
fn a_tablets_address_is_unknown_where_the_nameserver_says_so() {
    let read = |state: &str, real: Option<&str>| {
        let tablet = nameserver::TabletStatus {
            endpoint: Some("name".into()),
            state: Some(state.into()),
            real_endpoint: real.map(str::to_owned),
            age: None,
        };
        let answer = nameserver::ShowTabletResponse { tablets: vec![tablet], ..Default::default() };
        registrations(&answer).map(|mut tablets| tablets.remove(0))
    };
    assert_eq!(read("kOffline", Some("-")).unwrap().real_endpoint, None);
    assert_eq!(read("kOffline", None).unwrap().state, TabletState::Offline);
    assert_eq!(read("kHealthy", Some("h:1")).unwrap().real_endpoint.as_deref(), Some("h:1"));
    assert_eq!(
        read("kAsleep", None).unwrap_err().to_string(),
        "tablets[0].state holds \"kAsleep\", which is none of the words it may hold"
    );
}

#[test]
fn ops_of_unknown_types_are_kept_and_unknown_statuses_are_not() {
    let read = |op_type: &str, status: &str| {
        let op = nameserver::OpStatus {
            op_id: 3,
            op_type: op_type.into(),
            status: status.into(),
            task_type: "-".into(),
            name: Some("orders".into()),
            pid: Some(2),
            ..Default::default()
        };
        ops(&nameserver::ShowOpStatusResponse { op_status: vec![op], ..Default::default() })
            .map(|mut ops| ops.remove(0))
    };
    assert_eq!(read("kDeployOP", "kCanceled").unwrap().kind, OpKind::Other("kDeployOP".into()));
    assert_eq!(
        read("kDeployOP", "kOdd").unwrap_err().to_string(),
        "op_status[0].status holds \"kOdd\", which is none of the words it may hold"
    );
}

#[test]
fn auto_failover_is_on_off_or_garbage() {
    let read = |key: &str, value: &str| {
        let conf = vec![nameserver::Pair { key: key.into(), value: value.into() }];
        auto_failover(&nameserver::ConfGetResponse { conf, ..Default::default() })
    };
    assert_eq!(read("auto_failover", "true"), Ok(true));
    assert_eq!(read("auto_failover", "false"), Ok(false));
    assert!(read("auto_failover", "maybe").is_err());
    assert_eq!(read("other", "true").unwrap_err().to_string(), "conf.auto_failover is missing");
}

#[test]
fn a_file_of_another_size_is_there() {
    let says = |code, msg: &str| {
        file(&api::GeneralResponse { code: Some(code), msg: Some(msg.to_owned()), ..Default::default() })
    };
    assert_eq!(says(-1, "check size failed"), Ok(FileSeen::Written));
    assert_eq!(says(0, "ok"), Ok(FileSeen::Empty));
    assert_eq!(says(-1, "get size failed"), Ok(FileSeen::Missing));
    assert!(says(-1, "no idea").is_err(), "that it is missing has to be said");
}

#[test]
fn no_manifest_is_an_empty_one() {
    let none = manifest(&api::GetManifestResponse::default()).unwrap();
    assert_eq!(none, Manifest { offset: Offset(0), term: None, count: 0 });
    let odd = api::GetManifestResponse { manifest: Some(api::Manifest::default()), ..Default::default() };
    assert_eq!(manifest(&odd).unwrap_err().to_string(), "manifest.offset is missing");
}

#[test]
fn a_held_replica_has_a_role() {
    let pair =
        api::GetTermPairResponse { has_table: Some(false), term: Some(0), offset: Some(75), ..Default::default() };
    assert_eq!(
        term_pair(&pair).unwrap(),
        TermPair { has_table: false, is_leader: false, term: Term(0), offset: Offset(75) }
    );
    let held = api::GetTermPairResponse { has_table: Some(true), ..pair };
    assert_eq!(term_pair(&held).unwrap_err().to_string(), "is_leader is missing");
}

#[test]
fn followers_come_with_their_offsets() {
    let info = |offset| api::FollowerInfo { endpoint: Some("t2:1".into()), offset };
    let answer = |offset| api::GetTableFollowerResponse {
        offset: Some(9),
        follower_info: vec![info(offset)],
        ..Default::default()
    };
    let read = followers(&answer(Some(8))).unwrap();
    assert_eq!((read.leader_offset, read.followers), (Offset(9), vec![(Endpoint::from("t2:1"), Offset(8))]));
    assert_eq!(followers(&answer(None)).unwrap_err().to_string(), "follower_info[0].offset is missing");
}

#[test]
fn an_operation_has_no_time_that_has_not_come() {
    let status = |start_time, end_time| nameserver::OpStatus {
        op_id: 3,
        op_type: "kMigrateOP".into(),
        status: "kDoing".into(),
        task_type: "-".into(),
        name: Some("orders".into()),
        pid: Some(0),
        start_time,
        end_time,
        ..Default::default()
    };
    let op_status = vec![status(0, 0), status(5, 0), status(5, 9)];
    let read = timed_ops(&nameserver::ShowOpStatusResponse { op_status, ..Default::default() }).unwrap();
    let times: Vec<_> = read.iter().map(|timed| (timed.started_s, timed.ended_s)).collect();
    assert_eq!(times, [(None, None), (Some(5), None), (Some(5), Some(9))]);
}
