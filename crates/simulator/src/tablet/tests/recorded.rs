//! The recorded cluster, rebuilt: its tablets give the answers that real ones gave.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use prost::Message;
use serde_json::Value;

use super::fixture::*;
use openmldb_model::StorageMode;
use openmldb_wire::api;
use openmldb_wire::api::TableMode;
use openmldb_wire::common;

const SERVICE: &str = "openmldb.api.TabletServer";

fn recorded(folder: &str) -> Vec<Value> {
    let path = format!("{}/../../tests/recordings/{folder}/answers.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).expect(&path);
    let all: Vec<Value> = serde_json::from_str(&text).expect(&path);
    all.into_iter().filter(|answer| answer["service"] == SERVICE).collect()
}

/// A message that a recording can be read as: from the bytes where they were kept, else out of its JSON.
trait Recorded: Message + Default {
    fn from_json(json: &Value) -> Self;
}

fn expected<M: Recorded>(recorded: &Value) -> M {
    let Some(text) = recorded["response_protobuf_base64"].as_str() else { return M::from_json(&recorded["response"]) };
    M::decode(STANDARD.decode(text).expect("base64").as_slice()).expect("a message")
}

/// 64-bit numbers are strings in the recordings.
fn number(json: &Value) -> Option<u64> {
    json.as_u64().or_else(|| json.as_str()?.parse().ok())
}

fn code(json: &Value) -> Option<i32> {
    json["code"].as_i64().map(|code| code as i32)
}

fn text(json: &Value) -> Option<String> {
    json.as_str().map(str::to_owned)
}

macro_rules! recorded_as {
    ($($message:ident($json:ident) { $($field:ident: $value:expr),* })*) => { $(
        impl Recorded for api::$message {
            fn from_json($json: &Value) -> Self {
                let msg = text(&$json["msg"]);
                #[allow(clippy::needless_update)]
                Self { code: code($json), msg, $($field: $value,)* ..Default::default() }
            }
        }
    )* };
}

recorded_as! {
    GeneralResponse(json) {}
    DropTableResponse(json) {}
    ChangeRoleResponse(json) {}
    AddReplicaResponse(json) {}
    PutResponse(json) {}
    GetTableStatusResponse(json) {}
    GetTermPairResponse(json) {
        term: number(&json["term"]),
        offset: number(&json["offset"]),
        has_table: json["has_table"].as_bool(),
        is_leader: json["is_leader"].as_bool()
    }
    GetManifestResponse(json) {
        manifest: json.get("manifest").map(|json| api::Manifest {
            offset: number(&json["offset"]),
            name: text(&json["name"]),
            count: number(&json["count"]),
            term: number(&json["term"]),
        })
    }
    GetTableFollowerResponse(json) {
        offset: number(&json["offset"]),
        follower_info: json["follower_info"].as_array().into_iter().flatten().map(|json| api::FollowerInfo {
            endpoint: text(&json["endpoint"]),
            offset: number(&json["offset"]),
        }).collect()
    }
}

/// Checks one recorded call: same code, message, fields, values.
fn check(cluster: &mut Cluster, recorded: &Value) {
    let request = &recorded["request"];
    let endpoint = recorded["endpoint"].as_str().unwrap_or_default();
    let number = |key: &str| request[key].as_u64().map(|number| number as u32);
    let (tid, pid) = (number("tid"), number("pid"));
    let general =
        || api::GeneralRequest { tid: tid.unwrap_or(0) as i32, pid: pid.unwrap_or(0) as i32, ..Default::default() };
    let replica = || api::ReplicaRequest {
        tid,
        pid,
        endpoint: request["endpoint"].as_str().map(str::to_owned),
        ..Default::default()
    };
    // Requests for `clicks` carried its storage mode, which the recordings leave out.
    let storage_mode = (tid == Some(8)).then_some(common::StorageMode::KHdd as i32);
    macro_rules! same {
        ($call:ident, $request:expr) => {
            assert_eq!(ask!(cluster, endpoint, $call, $request), expected(recorded), "{recorded}")
        };
    }
    match recorded["method"].as_str().unwrap_or_default() {
        "LoadTable" => same!(LoadTable, load_of(&request["table_meta"])),
        "ChangeRole" => {
            let mode = Some(mode_of(&request["mode"]).unwrap_or(TableMode::KTableLeader) as i32);
            let term = request["term"].as_u64();
            same!(ChangeRole, api::ChangeRoleRequest { tid, pid, term, mode, ..Default::default() });
        }
        "AddReplica" => same!(AddReplica, replica()),
        "DelReplica" => same!(DelReplica, replica()),
        "GetTableFollower" => same!(GetTableFollower, api::GetTableFollowerRequest { tid, pid }),
        "GetTermPair" => same!(GetTermPair, api::GetTermPairRequest { tid, pid, storage_mode }),
        "GetManifest" => same!(GetManifest, api::GetManifestRequest { tid, pid, storage_mode }),
        "Put" => same!(Put, api::PutRequest { tid, pid, value: Some(Vec::new()), ..Default::default() }),
        "RecoverSnapshot" => same!(RecoverSnapshot, general()),
        "PauseSnapshot" => same!(PauseSnapshot, general()),
        "DropTable" => {
            let (tid, pid) = (tid.map(|tid| tid as i32), pid.map(|pid| pid as i32));
            same!(DropTable, api::DropTableRequest { tid, pid, task_info: None });
        }
        "GetTableStatus" => {
            let request = api::GetTableStatusRequest { tid, pid, need_schema: None };
            let mut got: api::GetTableStatusResponse = ask!(cluster, endpoint, GetTableStatus, request);
            let mut want: api::GetTableStatusResponse = expected(recorded);
            want.all_table_status.retain(|status| !status.name().chars().all(|c| c.is_uppercase() || c == '_'));
            got.all_table_status.iter_mut().chain(&mut want.all_table_status).for_each(without_what_is_made_up);
            assert_eq!(got, want, "{recorded}");
        }
        other => unreachable!("{other} is not checked"),
    }
}

/// Sizes, and how rows are spread over segments, are made up; that they are there, and what they add up to, is not.
fn without_what_is_made_up(status: &mut api::TableStatus) {
    let sizes = [&mut status.record_byte_size, &mut status.record_idx_byte_size, &mut status.record_pk_cnt];
    sizes.into_iter().flatten().for_each(|size| *size = (*size).min(1));
    for index in &mut status.ts_idx_status {
        assert_eq!(index.seg_cnts.len(), 8);
        index.seg_cnts = vec![index.seg_cnts.iter().sum()];
    }
}

fn load_of(meta: &Value) -> api::LoadTableRequest {
    let storage_mode = meta["storage_mode"].as_str().map(|mode| match mode {
        "kHDD" => common::StorageMode::KHdd as i32,
        _ => common::StorageMode::KMemory as i32,
    });
    let table_meta = api::TableMeta {
        name: meta["name"].as_str().map(str::to_owned),
        tid: meta["tid"].as_i64().map(|tid| tid as i32),
        pid: meta["pid"].as_i64().map(|pid| pid as i32),
        seg_cnt: meta["seg_cnt"].as_i64().map(|count| count as i32),
        mode: mode_of(&meta["mode"]).map(|mode| mode as i32),
        storage_mode,
        ..Default::default()
    };
    api::LoadTableRequest { table_meta: Some(table_meta), task_info: None }
}

fn mode_of(mode: &Value) -> Option<TableMode> {
    match mode.as_str()? {
        "kTableLeader" => Some(TableMode::KTableLeader),
        _ => Some(TableMode::KTableFollower),
    }
}

/// `orders`, `clicks` and `audit` as recorded, without the system tables. `orders` 0 has a snapshot of its first 75
/// rows, made at the given minute of the day; `audit` is on the given tablet.
fn shop(snapshot_at: (u64, u64), audit: &str) -> Cluster {
    let mut cluster = Cluster::new();
    let orders = [(C, [A, B], 105), (A, [B, C], 93), (B, [A, C], 116), (C, [A, B], 86)];
    for (pid, (leader, followers, rows)) in orders.into_iter().enumerate() {
        let pid = pid as u32;
        cluster.create(TID, pid, StorageMode::Memory, "orders", &[leader, followers[0], followers[1]]);
        cluster.put_rows(leader, TID, pid, if pid == 0 { 75 } else { rows });
    }
    cluster.create(8, 0, StorageMode::Hdd, "clicks", &[B, C]);
    cluster.put_rows(B, 8, 0, 160);
    cluster.create(8, 1, StorageMode::Hdd, "clicks", &[A, B]);
    cluster.put_rows(A, 8, 1, 140);
    cluster.create(9, 0, StorageMode::Memory, "audit", &[audit]);
    cluster.put_rows(audit, 9, 0, 300);
    cluster.pass((snapshot_at.0 * 60 + snapshot_at.1) * 60_000);
    assert!(cluster.tablets.make_snapshot_now(C, TID, 0));
    cluster.put_rows(C, TID, 0, 30);
    cluster.pass(1000);
    cluster
}

fn check_all(cluster: &mut Cluster, folder: &str) {
    let answers = recorded(folder);
    assert!(answers.len() > 20, "{folder}");
    for recorded in &answers {
        check(cluster, recorded);
    }
}

#[test]
fn a_healthy_cluster_answers_as_recorded() {
    check_all(&mut shop((20, 58), A), "01-healthy");
}

#[test]
fn restarted_tablets_answer_as_recorded() {
    let mut cluster = shop((20, 58), A);
    cluster.restart();
    check_all(&mut cluster, "02-everything-restarted");
}

#[test]
fn loaded_leaders_answer_as_recorded() {
    let mut cluster = shop((20, 58), A);
    cluster.restart();
    let leaders = [(C, TID, 0), (A, TID, 1), (B, TID, 2), (C, TID, 3), (B, 8, 0), (A, 8, 1), (A, 9, 0)];
    for (endpoint, tid, pid) in leaders {
        let storage = if tid == 8 { StorageMode::Hdd } else { StorageMode::Memory };
        let mut request = load_request(tid, pid, storage, Some(TableMode::KTableLeader));
        let meta = request.table_meta.get_or_insert_default();
        meta.name = Some(
            if tid == 8 {
                "clicks"
            } else if tid == 9 {
                "audit"
            } else {
                "orders"
            }
            .to_owned(),
        );
        assert_eq!(ask!(cluster, endpoint, LoadTable, request).code(), 0);
    }
    cluster.pass(1000);
    check_all(&mut cluster, "03-leaders-loaded");
}

#[test]
fn refusals_are_as_recorded() {
    check_all(&mut shop((21, 33), B), "09-refusals");
}
