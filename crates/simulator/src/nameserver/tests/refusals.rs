//! Every refusal of tests/recordings/09-refusals that a nameserver gave.

use serde_json::Value;

use super::fixture::{Cluster, NS, STANDBY, recorded_settings, recorded_tables, recording};
use openmldb_wire::call::{NameserverAnswer, NameserverCall};
use openmldb_wire::nameserver as wire;

#[test]
fn recorded_calls_get_the_recorded_answers() {
    let recorded = recording("09-refusals/answers.json");
    let recorded = recorded.as_array().unwrap();
    let mut cluster = Cluster::of(&[NS, STANDBY], &recorded_tables(), recorded_settings());
    let mut compared = 0;
    let asked = |entry: &&Value| entry["service"] == "openmldb.nameserver.NameServer" && entry["response"].is_object();
    for entry in recorded.iter().filter(asked) {
        let endpoint = entry["endpoint"].as_str().unwrap();
        assert!([NS, STANDBY].contains(&endpoint));
        let call = call_of(entry);
        let Cluster { ns, tablets, now } = &mut cluster;
        let answer = ns.call(endpoint, *now, call, tablets).unwrap();
        let theirs = &entry["response"];
        let (code, msg, rows) = parts(answer);
        assert_eq!(i64::from(code), theirs["code"].as_i64().unwrap(), "{} {}", entry["method"], entry["request"]);
        assert_eq!(msg.as_deref(), theirs["msg"].as_str());
        let recorded_rows = ["table_info", "tablets", "op_status", "conf", "db"].map(|list| theirs[list].as_array());
        assert_eq!(rows, recorded_rows.into_iter().flatten().map(Vec::len).sum::<usize>());
        compared += 1;
    }
    assert_eq!(compared, 42);
    assert!(cluster.ns.ops().is_empty(), "nothing refused leaves an op behind");
}

fn call_of(entry: &Value) -> NameserverCall {
    let request = &entry["request"];
    let text = |key: &str| request.get(key).and_then(Value::as_str).map(str::to_owned);
    let number = |key: &str| request.get(key).and_then(Value::as_u64);
    let pid = number("pid").map(|pid| u32::try_from(pid).unwrap());
    let (name, endpoint, db) = (text("name").unwrap_or_default(), text("endpoint").unwrap_or_default(), text("db"));
    let concurrency = number("concurrency").map(|concurrency| u32::try_from(concurrency).unwrap());
    match entry["method"].as_str().unwrap() {
        "ShowTable" => NameserverCall::ShowTable(wire::ShowTableRequest { name: text("name"), db, show_all: None }),
        "ShowTablet" => NameserverCall::ShowTablet(wire::ShowTabletRequest {}),
        "ShowDatabase" => NameserverCall::ShowDatabase(wire::GeneralRequest {}),
        "ShowOPStatus" => NameserverCall::ShowOpStatus(wire::ShowOpStatusRequest::default()),
        "ConfGet" => NameserverCall::ConfGet(wire::ConfGetRequest {}),
        "ConfSet" => {
            let conf = |key: &str| request["conf"][key].as_str().unwrap().to_owned();
            NameserverCall::ConfSet(wire::ConfSetRequest {
                conf: wire::Pair { key: conf("key"), value: conf("value") },
            })
        }
        "UpdateTableAliveStatus" => NameserverCall::UpdateTableAliveStatus(wire::UpdateTableAliveRequest {
            name: text("name"),
            endpoint: text("endpoint"),
            pid,
            is_alive: request["is_alive"].as_bool(),
            db,
        }),
        "RecoverTable" => {
            NameserverCall::RecoverTable(wire::RecoverTableRequest { name, pid: pid.unwrap(), endpoint, db })
        }
        "ChangeLeader" => {
            let candidate_leader = text("candidate_leader");
            NameserverCall::ChangeLeader(wire::ChangeLeaderRequest { name, pid: pid.unwrap(), candidate_leader, db })
        }
        "OfflineEndpoint" => NameserverCall::OfflineEndpoint(wire::OfflineEndpointRequest { endpoint, concurrency }),
        "RecoverEndpoint" => {
            NameserverCall::RecoverEndpoint(wire::RecoverEndpointRequest { endpoint, need_restore: None, concurrency })
        }
        "CancelOP" => NameserverCall::CancelOp(wire::CancelOpRequest { op_id: number("op_id") }),
        "Migrate" => NameserverCall::Migrate(wire::MigrateRequest {
            src_endpoint: text("src_endpoint").unwrap(),
            name,
            pid: vec![0],
            des_endpoint: text("des_endpoint").unwrap(),
            db,
        }),
        "AddReplicaNS" => NameserverCall::AddReplicaNs(wire::AddReplicaNsRequest {
            name,
            pid: pid.unwrap(),
            endpoint,
            db,
            ..Default::default()
        }),
        "DelReplicaNS" => NameserverCall::DelReplicaNs(wire::DelReplicaNsRequest {
            name,
            pid: pid.unwrap(),
            endpoint,
            db,
            ..Default::default()
        }),
        other => panic!("{other}"),
    }
}

/// Code, message and number of rows of an answer.
fn parts(answer: NameserverAnswer) -> (i32, Option<String>, usize) {
    use NameserverAnswer as A;
    match answer {
        A::ShowTable(answer) => (answer.code, answer.msg, answer.table_info.len()),
        A::GetTablePartition(answer) => (answer.code.unwrap_or(-1), answer.msg, 0),
        A::ShowTablet(answer) => (answer.code(), answer.msg, answer.tablets.len()),
        A::ShowDatabase(answer) => (answer.code(), answer.msg, answer.db.len()),
        A::ShowReplicaCluster(answer) => (answer.code(), answer.msg, answer.replicas.len()),
        A::ShowOpStatus(answer) => (answer.code(), answer.msg, answer.op_status.len()),
        A::ConfGet(answer) => (answer.code, answer.msg, answer.conf.len()),
        A::ConfSet(answer)
        | A::CancelOp(answer)
        | A::DeleteOp(answer)
        | A::ChangeLeader(answer)
        | A::RecoverTable(answer)
        | A::UpdateTableAliveStatus(answer)
        | A::OfflineEndpoint(answer)
        | A::RecoverEndpoint(answer)
        | A::Migrate(answer)
        | A::AddReplicaNs(answer)
        | A::DelReplicaNs(answer)
        | A::SetTablePartition(answer) => (answer.code, answer.msg, 0),
    }
}
