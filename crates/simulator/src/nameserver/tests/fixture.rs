//! A cluster to test with: the recorded one, with nameservers and scripted tablets, moved on together.

use std::path::PathBuf;

use base64::Engine;
use prost::Message;
use serde_json::Value;

use super::super::{Millis, Nameservers, Placement, Settings, TableSpec, TabletPort, system_tables};
use super::stub::{Stub, Tablet};
use openmldb_wire::call::{NameserverAnswer, NameserverCall};
use openmldb_wire::common::StorageMode;
use openmldb_wire::nameserver::{
    ConfSetRequest, OpStatus, Pair, PartitionMeta, RecoverTableRequest, ShowTableRequest, ShowTableResponse, TableInfo,
    TablePartition, UpdateTableAliveRequest,
};

pub(super) const NS: &str = "127.0.0.1:8527";
pub(super) const STANDBY: &str = "127.0.0.1:8528";
pub(super) const T1: &str = "127.0.0.1:11921";
pub(super) const T2: &str = "127.0.0.1:11922";
pub(super) const T3: &str = "127.0.0.1:11923";

/// tid of `shop.orders` in the recordings.
pub(super) const ORDERS: u32 = 7;

pub(super) struct Cluster {
    pub(super) ns: Nameservers,
    pub(super) tablets: Stub,
    pub(super) now: Millis,
}

/// A file of the recordings.
pub(super) fn recording(path: &str) -> Value {
    let file: PathBuf = [env!("CARGO_MANIFEST_DIR"), "../../tests/recordings", path].iter().collect();
    let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    serde_json::from_str(&text).unwrap()
}

/// The bytes of the recorded answer to a call without arguments that matter.
pub(super) fn recorded<M: Message + Default>(folder: &str, method: &str) -> M {
    let answers = recording(&format!("{folder}/answers.json"));
    let found = answers.as_array().unwrap().iter().find(|answer| answer["method"] == method);
    decode(&found.unwrap()["response_protobuf_base64"])
}

/// The tables of the cluster that tests/recordings/09-refusals and 10-recover-table-timelines were taken of.
pub(super) fn recorded_tables() -> ShowTableResponse {
    let answers = recording("09-refusals/answers.json");
    let number = |value: &Value| value.as_str().map(|digits| digits.parse().unwrap());
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let small = |value: &Value| u32::try_from(value.as_u64().unwrap()).unwrap();
    let meta = |meta: &Value| PartitionMeta {
        endpoint: meta["endpoint"].as_str().unwrap().to_owned(),
        is_leader: meta["is_leader"].as_bool().unwrap(),
        offset: number(&meta["offset"]),
        record_byte_size: number(&meta["record_byte_size"]),
        ..PartitionMeta::default()
    };
    let partition = |partition: &Value| TablePartition {
        pid: small(&partition["pid"]),
        partition_meta: list(&partition["partition_meta"]).iter().map(meta).collect(),
        ..TablePartition::default()
    };
    let table = |table: &Value| TableInfo {
        name: table["name"].as_str().map(str::to_owned),
        db: table["db"].as_str().map(str::to_owned),
        tid: Some(small(&table["tid"])),
        storage_mode: StorageMode::from_str_name(table["storage_mode"].as_str().unwrap()).map(i32::from),
        table_partition: list(&table["table_partition"]).iter().map(partition).collect(),
        ..TableInfo::default()
    };
    let table_info = list(&answers[0]["response"]["table_info"]).iter().map(table).collect();
    ShowTableResponse { table_info, ..ShowTableResponse::default() }
}

pub(super) fn decode<M: Message + Default>(base64: &Value) -> M {
    M::decode(bytes(base64).as_slice()).unwrap()
}

pub(super) fn bytes(base64: &Value) -> Vec<u8> {
    base64::engine::general_purpose::STANDARD.decode(base64.as_str().unwrap()).unwrap()
}

pub(super) fn recorded_settings() -> Settings {
    Settings { tablet_heartbeat_timeout_ms: 10_000, ..Settings::default() }
}

impl Cluster {
    /// The cluster as a recorded ShowTable describes it: the same tables on the same tablets with as many rows.
    pub(super) fn of(nameservers: &[&str], tables: &ShowTableResponse, settings: Settings) -> Self {
        let mut cluster = Self::empty(nameservers, settings);
        cluster.ns.create_database("shop").unwrap();
        let own = system_tables(|name| {
            let table = tables.table_info.iter().find(|table| table.name() == name);
            vec![table.map_or(T1, |table| &table.table_partition[0].partition_meta[0].endpoint).to_owned()]
        });
        for spec in own.iter().chain(&sql_tables(tables)) {
            let Cluster { ns, tablets, now } = &mut cluster;
            ns.create_table(*now, spec, tablets).unwrap();
        }
        for table in &tables.table_info {
            for partition in &table.table_partition {
                for meta in &partition.partition_meta {
                    let replica = cluster.tablets.replica(&meta.endpoint, table.tid(), partition.pid);
                    replica.offset = meta.offset();
                    replica.record_byte_size = meta.record_byte_size();
                }
            }
        }
        cluster.pass(10_000);
        cluster
    }

    /// The cluster of tests/recordings/01-healthy.
    pub(super) fn healthy() -> Self {
        Self::of(&[NS], &recorded("01-healthy", "ShowTable"), recorded_settings())
    }

    /// Three tablets, no table.
    pub(super) fn empty(nameservers: &[&str], settings: Settings) -> Self {
        let mut ns = Nameservers::new(nameservers, settings, 1);
        let mut tablets = Stub::default();
        for endpoint in [T1, T2, T3] {
            tablets.tablets.insert(endpoint.to_owned(), Tablet { up: true, ..Tablet::default() });
            ns.tablet_registered(endpoint, 0, true);
        }
        Self { ns, tablets, now: 0 }
    }

    /// Lets time pass.
    pub(super) fn pass(&mut self, millis: Millis) {
        self.now += millis;
        self.ns.advance_to(self.now, &mut self.tablets);
    }

    pub(super) fn call(&mut self, call: NameserverCall) -> NameserverAnswer {
        let leader = self.ns.leader().expect("somebody leads").to_owned();
        self.ns.call(&leader, self.now, call, &mut self.tablets).expect("the leader answers")
    }

    pub(super) fn show_tables(&mut self) -> ShowTableResponse {
        let request = ShowTableRequest { show_all: Some(true), ..ShowTableRequest::default() };
        match self.call(NameserverCall::ShowTable(request)) {
            NameserverAnswer::ShowTable(answer) => answer,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn auto_failover(&mut self, on: bool) {
        let conf = Pair { key: "auto_failover".to_owned(), value: on.to_string() };
        self.call(NameserverCall::ConfSet(ConfSetRequest { conf }));
    }

    pub(super) fn mark(&mut self, table: &str, pid: u32, endpoint: &str, alive: bool) {
        let answer = self.call(NameserverCall::UpdateTableAliveStatus(UpdateTableAliveRequest {
            name: Some(table.to_owned()),
            endpoint: Some(endpoint.to_owned()),
            pid: Some(pid),
            is_alive: Some(alive),
            db: Some("shop".to_owned()),
        }));
        let NameserverAnswer::UpdateTableAliveStatus(answer) = answer else { panic!("{answer:?}") };
        assert_eq!(answer.code, 0, "{table} {pid} {endpoint}: {answer:?}");
    }

    /// RecoverTable of `shop.orders`; the answer's code.
    pub(super) fn recover(&mut self, pid: u32, endpoint: &str) -> i32 {
        let answer = self.call(NameserverCall::RecoverTable(RecoverTableRequest {
            name: "orders".to_owned(),
            pid,
            endpoint: endpoint.to_owned(),
            db: Some("shop".to_owned()),
        }));
        let NameserverAnswer::RecoverTable(answer) = answer else { panic!("{answer:?}") };
        answer.code
    }

    /// A tablet process dies; its session ends with it.
    pub(super) fn kill_tablet(&mut self, endpoint: &str) {
        self.tablets.kill(endpoint);
        self.ns.tablet_session_lost(endpoint, self.now);
    }

    pub(super) fn start_tablet(&mut self, endpoint: &str) {
        self.tablets.tablets.get_mut(endpoint).unwrap().up = true;
        self.ns.tablet_registered(endpoint, self.now, true);
        self.pass(0);
    }

    /// Everything dies and comes back, tablets first.
    pub(super) fn restart_everything(&mut self) {
        for nameserver in [NS, STANDBY] {
            self.ns.kill(nameserver);
        }
        for tablet in [T1, T2, T3] {
            self.kill_tablet(tablet);
        }
        self.pass(15_000);
        for tablet in [T1, T2, T3] {
            self.start_tablet(tablet);
        }
        self.ns.start(NS, self.now);
        self.pass(5_000);
    }

    pub(super) fn meta(&self, pid: u32, endpoint: &str) -> PartitionMeta {
        let partition = self.ns.partition("shop", "orders", pid).unwrap();
        partition.partition_meta.iter().find(|meta| meta.endpoint == endpoint).unwrap().clone()
    }

    pub(super) fn op(&self, id: u64) -> OpStatus {
        self.ns.ops().into_iter().find(|op| op.op_id == id).unwrap_or_else(|| panic!("no op {id}"))
    }

    /// `kind status task` of every op, by number.
    pub(super) fn op_lines(&self) -> Vec<String> {
        let line = |op: OpStatus| format!("{} {} {} {}", op.op_id, op.op_type, op.status, op.task_type);
        self.ns.ops().into_iter().map(line).collect()
    }

    pub(super) fn call_tablet(&mut self, endpoint: &str, call: openmldb_wire::call::TabletCall) {
        self.tablets.call(endpoint, call).unwrap();
    }
}

fn sql_tables(tables: &ShowTableResponse) -> Vec<TableSpec> {
    let mut own: Vec<_> = tables.table_info.iter().filter(|table| table.db() == "shop").collect();
    own.sort_by_key(|table| table.tid());
    let placement = |metas: &[PartitionMeta]| {
        let endpoints: Vec<_> = metas.iter().map(|meta| &meta.endpoint).collect();
        Placement::at(&endpoints).led_by(metas.iter().position(|meta| meta.is_leader).unwrap())
    };
    let spec = |table: &&TableInfo| {
        let placed = table.table_partition.iter().map(|partition| placement(&partition.partition_meta)).collect();
        let storage = StorageMode::try_from(table.storage_mode.unwrap()).unwrap();
        TableSpec::sql(table.db(), table.name(), storage, placed)
    };
    own.iter().map(spec).collect()
}
