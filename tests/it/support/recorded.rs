//! A snapshot of a recorded moment: what looking at that cluster would have brought.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use openmldb_ops::model::{Endpoint, PartitionId, Pid, Probes, Seen, Snapshot, Tablet, Tid};
use openmldb_ops::wire::{api, decode, nameserver};
use prost::Message;
use serde_json::Value;

/// When the recordings are said to be taken: 2026-11-22 10:00:00 UTC.
pub const TAKEN_AT_MS: u64 = 1_795_341_600_000;

fn read(folder: &str, file: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings").join(folder).join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap()
}

fn message<M: Message + Default>(answer: &Value) -> M {
    let bytes = STANDARD.decode(answer["response_protobuf_base64"].as_str().unwrap()).unwrap();
    M::decode(bytes.as_slice()).unwrap()
}

fn partition(answer: &Value) -> PartitionId {
    let number = |key: &str| u32::try_from(answer["request"][key].as_u64().unwrap()).unwrap();
    PartitionId { tid: Tid(number("tid")), pid: Pid(number("pid")) }
}

/// The cluster at a recorded moment.
pub fn snapshot(folder: &str) -> Snapshot {
    let answers = read(folder, "answers.json");
    let one = |method: &str| answers.iter().find(|answer| answer["method"] == method).unwrap();
    let registered: Vec<String> = read(folder, "zookeeper.json")
        .iter()
        .filter_map(|node| Some(node["path"].as_str()?.strip_prefix("/openmldb/nodes/")?.to_owned()))
        .collect();
    let mut tablets: BTreeMap<Endpoint, Tablet> = BTreeMap::new();
    for found in decode::registrations(&message(one("ShowTablet"))).unwrap() {
        let mut tablet = Tablet::unknown();
        tablet.state = Some(found.state);
        tablet.in_zookeeper = Some(registered.iter().any(|name| name == found.endpoint.as_str()));
        tablet.real_endpoint = found.real_endpoint;
        tablets.insert(found.endpoint, tablet);
    }
    for answer in &answers {
        let at = answer["endpoint"].as_str().unwrap();
        let tablet = tablets
            .iter_mut()
            .find(|(name, tablet)| name.as_str() == at || tablet.real_endpoint.as_deref() == Some(at))
            .map(|(_, tablet)| tablet);
        if let Some(tablet) = tablet {
            note(tablet, answer);
        }
    }
    Snapshot {
        cluster: "127.0.0.1:2181/openmldb".to_owned(),
        taken_at_ms: TAKEN_AT_MS,
        zone: openmldb_ops::model::Zone::Alone,
        identity: openmldb_ops::model::Identity::Cluster,
        auto_failover: decode::auto_failover(&message(one("ConfGet"))).unwrap(),
        tables: decode::tables(&message::<nameserver::ShowTableResponse>(one("ShowTable"))).unwrap(),
        tablets,
        ops: decode::ops(&message(one("ShowOPStatus"))).unwrap(),
    }
}

/// Writes a tablet's answer into what is known of it.
fn note(tablet: &mut Tablet, answer: &Value) {
    match answer["method"].as_str().unwrap() {
        "GetTableStatus" => {
            let held = decode::held(&message(answer)).unwrap();
            tablet.held = Seen::Known(held.into_iter().map(|held| (held.partition, held)).collect());
        }
        "GetManifest" => {
            let manifest = decode::manifest(&message(answer)).unwrap();
            probes(tablet, answer).manifest = Seen::Known(manifest);
        }
        "GetTermPair" => {
            let pair = decode::term_pair(&message(answer)).unwrap();
            probes(tablet, answer).term_pair = Seen::Known(pair);
        }
        "GetTableFollower" => {
            let found: api::GetTableFollowerResponse = message(answer);
            if matches!(found.code, Some(0 | 134)) {
                probes(tablet, answer).followers = Seen::Known(decode::followers(&found).unwrap());
            }
        }
        _ => {}
    }
}

fn probes<'a>(tablet: &'a mut Tablet, answer: &Value) -> &'a mut Probes {
    tablet.probes.entry(partition(answer)).or_insert(Probes::UNASKED)
}
