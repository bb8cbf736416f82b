//! Reading the recordings.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use openmldb_ops::model::Endpoint;
use openmldb_ops::sandbox::World;
use openmldb_ops::wire::call::{NameserverAnswer, NameserverCall, TabletAnswer, TabletCall};
use openmldb_ops::wire::{api, common, nameserver};
use prost::Message;
use serde::Deserialize;
use serde_json::Value;

/// One recorded call.
#[derive(Debug, Deserialize)]
pub struct Recorded {
    pub endpoint: String,
    pub service: String,
    pub method: String,
    pub request: Value,
    #[serde(default)]
    pub response: Value,
    #[serde(default)]
    pub response_protobuf_base64: String,
    #[serde(default)]
    pub condition: String,
    pub grpc_status: Option<String>,
}

/// A node of a recorded ZooKeeper tree.
#[derive(Debug, Deserialize)]
pub struct RecordedNode {
    pub path: String,
    pub data_base64: Option<String>,
    pub ephemeral: bool,
}

/// An answer of either service.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "as the answers of a tablet are")]
pub enum Answer {
    Nameserver(NameserverAnswer),
    Tablet(TabletAnswer),
}

/// A file of the recordings.
pub fn read<T: serde::de::DeserializeOwned>(file: &str) -> T {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/recordings").join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn text(request: &Value, key: &str) -> Option<String> {
    request.get(key)?.as_str().map(str::to_owned)
}

fn number<T: TryFrom<i64>>(request: &Value, key: &str) -> Option<T> {
    let value = request.get(key)?;
    let number = value.as_i64().or_else(|| value.as_str()?.parse().ok())?;
    T::try_from(number).ok()
}

fn mode(request: &Value, key: &str) -> Option<i32> {
    api::TableMode::from_str_name(request.get(key)?.as_str()?).map(i32::from)
}

/// The storage mode of a table in the recordings; GetTermPair and GetManifest carried it although it is not written down.
fn storage(tid: Option<u32>) -> Option<i32> {
    Some(if tid == Some(8) { common::StorageMode::KHdd } else { common::StorageMode::KMemory }.into())
}

fn general(request: &Value) -> api::GeneralRequest {
    api::GeneralRequest {
        tid: number(request, "tid").unwrap_or_default(),
        pid: number(request, "pid").unwrap_or_default(),
        ..api::GeneralRequest::default()
    }
}

fn replica(request: &Value) -> api::ReplicaRequest {
    api::ReplicaRequest {
        tid: number(request, "tid"),
        pid: number(request, "pid"),
        endpoint: text(request, "endpoint"),
        ..api::ReplicaRequest::default()
    }
}

fn load(request: &Value) -> api::LoadTableRequest {
    let meta = &request["table_meta"];
    let storage_mode =
        meta.get("storage_mode").and_then(|mode| common::StorageMode::from_str_name(mode.as_str()?)).map(i32::from);
    let table_meta = api::TableMeta {
        tid: number(meta, "tid"),
        name: text(meta, "name"),
        pid: number(meta, "pid"),
        seg_cnt: number(meta, "seg_cnt"),
        mode: mode(meta, "mode"),
        storage_mode,
        ..api::TableMeta::default()
    };
    api::LoadTableRequest { table_meta: Some(table_meta), task_info: None }
}

fn nameserver_call(method: &str, request: &Value) -> NameserverCall {
    let (name, db) = (text(request, "name"), text(request, "db"));
    let required = |key: &str| text(request, key).unwrap_or_default();
    let pid = number(request, "pid");
    match method {
        "ShowTable" => NameserverCall::ShowTable(nameserver::ShowTableRequest {
            name,
            db,
            show_all: request.get("show_all").and_then(Value::as_bool),
        }),
        "ShowTablet" => NameserverCall::ShowTablet(nameserver::ShowTabletRequest::default()),
        "ShowDatabase" => NameserverCall::ShowDatabase(nameserver::GeneralRequest::default()),
        "ShowOPStatus" => NameserverCall::ShowOpStatus(nameserver::ShowOpStatusRequest::default()),
        "ConfGet" => NameserverCall::ConfGet(nameserver::ConfGetRequest::default()),
        "ConfSet" => {
            let conf = &request["conf"];
            let pair = |key: &str| text(conf, key).unwrap_or_default();
            let conf = nameserver::Pair { key: pair("key"), value: pair("value") };
            NameserverCall::ConfSet(nameserver::ConfSetRequest { conf })
        }
        "UpdateTableAliveStatus" => NameserverCall::UpdateTableAliveStatus(nameserver::UpdateTableAliveRequest {
            name,
            endpoint: text(request, "endpoint"),
            pid,
            is_alive: request.get("is_alive").and_then(Value::as_bool),
            db,
        }),
        "RecoverTable" => NameserverCall::RecoverTable(nameserver::RecoverTableRequest {
            name: required("name"),
            pid: pid.unwrap_or_default(),
            endpoint: required("endpoint"),
            db,
        }),
        "ChangeLeader" => NameserverCall::ChangeLeader(nameserver::ChangeLeaderRequest {
            name: required("name"),
            pid: pid.unwrap_or_default(),
            candidate_leader: text(request, "candidate_leader"),
            db,
        }),
        "OfflineEndpoint" => NameserverCall::OfflineEndpoint(nameserver::OfflineEndpointRequest {
            endpoint: required("endpoint"),
            concurrency: number(request, "concurrency"),
        }),
        "RecoverEndpoint" => NameserverCall::RecoverEndpoint(nameserver::RecoverEndpointRequest {
            endpoint: required("endpoint"),
            concurrency: number(request, "concurrency"),
            ..nameserver::RecoverEndpointRequest::default()
        }),
        "CancelOP" => NameserverCall::CancelOp(nameserver::CancelOpRequest { op_id: number(request, "op_id") }),
        "Migrate" => NameserverCall::Migrate(nameserver::MigrateRequest {
            src_endpoint: required("src_endpoint"),
            name: required("name"),
            pid: vec![0],
            des_endpoint: required("des_endpoint"),
            db,
        }),
        "AddReplicaNS" => NameserverCall::AddReplicaNs(nameserver::AddReplicaNsRequest {
            name: required("name"),
            pid: pid.unwrap_or_default(),
            endpoint: required("endpoint"),
            db,
            ..nameserver::AddReplicaNsRequest::default()
        }),
        "DelReplicaNS" => NameserverCall::DelReplicaNs(nameserver::DelReplicaNsRequest {
            name: required("name"),
            pid: pid.unwrap_or_default(),
            endpoint: required("endpoint"),
            db,
            ..nameserver::DelReplicaNsRequest::default()
        }),
        other => panic!("the recordings call NameServer.{other}, this test does not know how"),
    }
}

fn tablet_call(method: &str, request: &Value) -> TabletCall {
    let (tid, pid) = (number(request, "tid"), number(request, "pid"));
    match method {
        "Put" => TabletCall::Put(api::PutRequest {
            tid,
            pid,
            time: number(request, "time"),
            value: Some(Vec::new()),
            dimensions: vec![api::Dimension { key: Some("x".to_owned()), idx: Some(0) }],
            ..api::PutRequest::default()
        }),
        "LoadTable" => TabletCall::LoadTable(load(request)),
        "DropTable" => TabletCall::DropTable(api::DropTableRequest {
            tid: number(request, "tid"),
            pid: number(request, "pid"),
            task_info: None,
        }),
        "GetTableStatus" => TabletCall::GetTableStatus(api::GetTableStatusRequest { tid, pid, need_schema: None }),
        "GetTableFollower" => TabletCall::GetTableFollower(api::GetTableFollowerRequest { tid, pid }),
        "GetTermPair" => TabletCall::GetTermPair(api::GetTermPairRequest { tid, pid, storage_mode: storage(tid) }),
        "GetManifest" => TabletCall::GetManifest(api::GetManifestRequest { tid, pid, storage_mode: storage(tid) }),
        "ChangeRole" => TabletCall::ChangeRole(api::ChangeRoleRequest {
            tid,
            pid,
            term: number(request, "term"),
            mode: mode(request, "mode"),
            ..api::ChangeRoleRequest::default()
        }),
        "AddReplica" => TabletCall::AddReplica(replica(request)),
        "DelReplica" => TabletCall::DelReplica(replica(request)),
        "RecoverSnapshot" => TabletCall::RecoverSnapshot(general(request)),
        "PauseSnapshot" => TabletCall::PauseSnapshot(general(request)),
        other => panic!("the recordings call TabletServer.{other}, this test does not know how"),
    }
}

impl Recorded {
    pub fn is_nameserver(&self) -> bool {
        self.service.ends_with("NameServer")
    }

    /// What the real server answered.
    pub fn answer(&self) -> Answer {
        let bytes = STANDARD.decode(&self.response_protobuf_base64).unwrap();
        let bytes = bytes.as_slice();
        macro_rules! decoded {
            ($answer:ident :: $variant:ident) => {
                $answer::$variant(Message::decode(bytes).unwrap())
            };
        }
        match self.method.as_str() {
            "ShowTable" => Answer::Nameserver(decoded!(NameserverAnswer::ShowTable)),
            "ShowTablet" => Answer::Nameserver(decoded!(NameserverAnswer::ShowTablet)),
            "ShowDatabase" => Answer::Nameserver(decoded!(NameserverAnswer::ShowDatabase)),
            "ShowOPStatus" => Answer::Nameserver(decoded!(NameserverAnswer::ShowOpStatus)),
            "ConfGet" => Answer::Nameserver(decoded!(NameserverAnswer::ConfGet)),
            "GetTableStatus" => Answer::Tablet(decoded!(TabletAnswer::GetTableStatus)),
            "GetTableFollower" => Answer::Tablet(decoded!(TabletAnswer::GetTableFollower)),
            "GetTermPair" => Answer::Tablet(decoded!(TabletAnswer::GetTermPair)),
            "GetManifest" => Answer::Tablet(decoded!(TabletAnswer::GetManifest)),
            other => panic!("no moment was recorded with {other}"),
        }
    }

    /// The same call made to the world.
    pub fn replay(&self, world: &mut World) -> Answer {
        let endpoint = Endpoint::from(self.endpoint.as_str());
        if self.is_nameserver() {
            let call = nameserver_call(&self.method, &self.request);
            Answer::Nameserver(world.call_nameserver(&endpoint, call).unwrap())
        } else {
            let call = tablet_call(&self.method, &self.request);
            Answer::Tablet(world.call_tablet(&endpoint, call).unwrap())
        }
    }
}
