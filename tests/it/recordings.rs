//! Answers of real OpenMLDB servers (`tests/recordings`): every one decodes into our messages and encodes to the same
//! bytes again, so a field or a presence that our subset of the contract lacks would show. Then into the model.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine;
use openmldb_ops::cluster::{NOT_LEADER, done_codes};
use openmldb_ops::model::{
    Action, Endpoint, Offset, OpId, OpStatus, PartitionId, Pid, Role, State, StorageMode, Table, TabletState, Term, Tid,
};
use openmldb_ops::wire::call::{NameserverAnswer, NameserverCall, TabletAnswer, TabletCall};
use openmldb_ops::wire::{api, decode, nameserver};
use prost::Message;
use serde_json::Value;

/// One recorded answer.
struct Recorded {
    folder: String,
    index: usize,
    json: Value,
}

impl Recorded {
    fn text(&self, key: &str) -> &str {
        self.json[key].as_str().unwrap_or_default()
    }

    fn place(&self) -> String {
        format!("{}[{}] {} of {}", self.folder, self.index, self.text("method"), self.text("endpoint"))
    }

    fn bytes(&self) -> Option<Vec<u8>> {
        let text = self.json["response_protobuf_base64"].as_str()?;
        Some(base64::engine::general_purpose::STANDARD.decode(text).unwrap())
    }
}

fn recordings() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings")
}

/// Every file of this name in the recordings, with its folder's name.
fn files(name: &str) -> Vec<(String, Value)> {
    let mut found: Vec<_> = std::fs::read_dir(recordings())
        .unwrap()
        .filter_map(|entry| {
            let folder = entry.unwrap();
            let text = std::fs::read_to_string(folder.path().join(name)).ok()?;
            Some((folder.file_name().into_string().unwrap(), serde_json::from_str(&text).unwrap()))
        })
        .collect();
    found.sort_by(|(a, _), (b, _)| a.cmp(b));
    found
}

fn recorded() -> Vec<Recorded> {
    let of = |(folder, list): (String, Value)| {
        let Value::Array(list) = list else { panic!("{folder} is no list") };
        list.into_iter().enumerate().map(move |(index, json)| Recorded { folder: folder.clone(), index, json })
    };
    files("answers.json").into_iter().flat_map(of).collect()
}

macro_rules! answer_of {
    ($call:ident $answer:ident $messages:ident $service:literal;
     $($variant:ident $snake:ident $request:ident => $response:ident $effect:ident;)*) => {
        impl Decoded for $answer {
            fn decode(method: &str, bytes: &[u8]) -> Option<Self> {
                // OpenMLDB writes ShowOPStatus where prost writes ShowOpStatus.
                $(if method.eq_ignore_ascii_case(stringify!($variant)) {
                    return Some(Self::$variant($messages::$response::decode(bytes).unwrap()));
                })*
                None
            }
        }
    };
}

trait Decoded: Sized {
    fn decode(method: &str, bytes: &[u8]) -> Option<Self>;
}

openmldb_ops::wire::nameserver_methods!(answer_of);
openmldb_ops::wire::tablet_methods!(answer_of);

fn nameserver_answer(recorded: &Recorded) -> Option<NameserverAnswer> {
    let bytes = recorded.bytes()?;
    (recorded.text("service") == NameserverCall::SERVICE)
        .then(|| NameserverAnswer::decode(recorded.text("method"), &bytes).unwrap())
}

fn tablet_answer(recorded: &Recorded) -> Option<TabletAnswer> {
    let bytes = recorded.bytes()?;
    (recorded.text("service") == TabletCall::SERVICE)
        .then(|| TabletAnswer::decode(recorded.text("method"), &bytes).unwrap())
}

#[test]
fn every_answer_survives_decoding_and_encoding() {
    let mut checked = 0;
    for recorded in recorded() {
        let Some(bytes) = recorded.bytes() else { continue };
        let again = match (nameserver_answer(&recorded), tablet_answer(&recorded)) {
            (Some(answer), None) => answer.encode(),
            (None, Some(answer)) => answer.encode(),
            _ => panic!("{}: which service is {}?", recorded.place(), recorded.text("service")),
        };
        assert_eq!(again, bytes, "{} is not what it was after decoding and encoding", recorded.place());
        checked += 1;
    }
    assert_eq!(checked, 443, "as many answers as were recorded with their bytes");
}

/// The tables whose metadata are in a recording of ZooKeeper, checked to survive decoding and encoding.
fn table_znodes(folder: &str, tree: &Value) -> Vec<nameserver::TableInfo> {
    let mut found = Vec::new();
    for node in tree.as_array().unwrap() {
        let path = node["path"].as_str().unwrap();
        if !path.contains("/table/db_table_data/") {
            continue;
        }
        let bytes = base64::engine::general_purpose::STANDARD.decode(node["data_base64"].as_str().unwrap()).unwrap();
        let table = nameserver::TableInfo::decode(bytes.as_slice()).unwrap();
        assert_eq!(table.encode_to_vec(), bytes, "{folder} {path} is not what it was after decoding and encoding");
        found.push(table);
    }
    found
}

#[test]
fn every_table_in_zookeeper_survives_too_and_reads_as_a_table() {
    let mut checked = 0;
    for (folder, tree) in files("zookeeper.json") {
        for info in table_znodes(&folder, &tree) {
            let table = decode::table(&info).unwrap_or_else(|error| panic!("{folder}: {error}"));
            assert_eq!(Some(table.tid.0), info.tid);
            checked += 1;
        }
    }
    assert_eq!(checked, 72, "8 tables in each of 9 recordings");
}

/// What one moment's answers say, in the words of the model.
#[derive(Default)]
struct Moment {
    tables: Vec<Table>,
    registrations: Vec<openmldb_ops::model::Registration>,
    ops: Vec<openmldb_ops::model::Op>,
    auto_failover: Option<bool>,
    held: BTreeMap<Endpoint, Vec<openmldb_ops::model::Held>>,
}

fn moments() -> BTreeMap<String, Moment> {
    let mut moments: BTreeMap<String, Moment> = BTreeMap::new();
    for recorded in recorded().iter().filter(|recorded| recorded.bytes().is_some()) {
        let moment = moments.entry(recorded.folder.clone()).or_default();
        let place = recorded.place();
        let fine = |error: decode::Garbage| -> ! { panic!("{place}: {error}") };
        if let Some(answer) = nameserver_answer(recorded) {
            match &answer {
                NameserverAnswer::ShowTable(answer) => {
                    moment.tables = decode::tables(answer).unwrap_or_else(|error| fine(error));
                }
                NameserverAnswer::ShowTablet(answer) => {
                    moment.registrations = decode::registrations(answer).unwrap_or_else(|error| fine(error));
                }
                NameserverAnswer::ShowOpStatus(answer) => {
                    moment.ops = decode::ops(answer).unwrap_or_else(|error| fine(error));
                }
                NameserverAnswer::ConfGet(answer) => {
                    moment.auto_failover = Some(decode::auto_failover(answer).unwrap_or_else(|error| fine(error)));
                }
                _ => {}
            }
        } else if let Some(answer) = tablet_answer(recorded) {
            match (&answer, answer.code()) {
                (TabletAnswer::GetTableStatus(answer), _) => {
                    let held = decode::held(answer).unwrap_or_else(|error| fine(error));
                    moment.held.insert(recorded.text("endpoint").into(), held);
                }
                (TabletAnswer::GetTermPair(answer), Some(0)) => {
                    decode::term_pair(answer).unwrap_or_else(|error| fine(error));
                }
                (TabletAnswer::GetManifest(answer), Some(0)) => {
                    decode::manifest(answer).unwrap_or_else(|error| fine(error));
                }
                (TabletAnswer::GetTableFollower(answer), Some(0 | 134)) => {
                    decode::followers(answer).unwrap_or_else(|error| fine(error));
                }
                (TabletAnswer::GetTableFollower(_), Some(100 | 103)) => {}
                (_, code) => panic!("{place} has the unexpected code {code:?}"),
            }
        }
    }
    moments
}

fn table<'a>(moment: &'a Moment, name: &str) -> &'a Table {
    moment.tables.iter().find(|table| table.name.to_string() == name).unwrap()
}

#[test]
fn every_moment_reads_as_a_cluster() {
    let moments = moments();
    assert_eq!(moments.len(), 9);
    for (folder, moment) in &moments {
        assert_eq!(moment.tables.len(), 8, "{folder}: all databases, system databases included");
        assert_eq!(moment.tables.iter().filter(|table| table.is_system()).count(), 5, "{folder}");
        assert_eq!(moment.registrations.len(), 3, "{folder}");
        assert_eq!(moment.held.len(), 3, "{folder}");
        assert!(moment.auto_failover.is_some(), "{folder}");
        let orders = table(moment, "shop.orders");
        assert_eq!((orders.partitions.len(), orders.storage), (4, StorageMode::Memory), "{folder}");
        assert!(orders.partitions.iter().all(|partition| partition.replicas.len() == 3), "{folder}");
        assert_eq!(table(moment, "shop.clicks").storage, StorageMode::Hdd, "{folder}");
    }
}

#[test]
fn a_full_restart_leaves_flags_without_offsets_and_tablets_without_replicas() {
    let moments = moments();
    let restarted = &moments["02-everything-restarted"];
    let replicas = || restarted.tables.iter().flat_map(|table| &table.partitions).flat_map(|p| &p.replicas);
    assert!(replicas().all(|replica| replica.is_alive));
    assert!(replicas().all(|replica| replica.offset.is_none()));
    assert!(restarted.held.values().all(Vec::is_empty));
    assert!(restarted.registrations.iter().all(|tablet| tablet.state == TabletState::Healthy));

    let healthy = &moments["01-healthy"];
    let leader = table(healthy, "shop.orders").partitions[0].replicas.iter().find(|r| r.is_leader).unwrap();
    assert_eq!((leader.endpoint.as_str(), leader.offset), ("127.0.0.1:11923", Some(Offset(105))));
    let held = &healthy.held[&leader.endpoint];
    let orders_0 = PartitionId { tid: Tid(7), pid: Pid(0) };
    let leading = held.iter().find(|held| held.partition == orders_0).unwrap();
    assert_eq!(
        (leading.role, leading.state, leading.offset, leading.record_cnt),
        (Role::Leader, State::Normal, Offset(105), 105)
    );
}

#[test]
fn two_leader_flags_and_their_terms_are_read() {
    let moments = moments();
    let orders = table(&moments["08-two-leader-flags"], "shop.orders");
    let flagged: Vec<_> = orders.partitions[1].replicas.iter().filter(|replica| replica.is_leader).collect();
    assert_eq!(flagged.iter().map(|replica| replica.is_alive).collect::<Vec<_>>(), [false, true]);
    let terms: Vec<_> = orders.partitions[1].terms.iter().map(|began| (began.term, began.start)).collect();
    assert_eq!(terms, [(Term(1), Offset(0)), (Term(15), Offset(94))]);
}

#[test]
fn operations_and_server_names_are_read() {
    let moments = moments();
    let ops = &moments["04-followers-recovering"].ops;
    assert!(ops.iter().any(|op| op.status == OpStatus::Queued && op.kind.name() == "kRecoverTableOP"));
    assert!(ops.iter().any(|op| op.status == OpStatus::Doing));
    let failed = &moments["06-tablets-restarted-nameserver-alive-failover-on"].ops;
    assert!(failed.iter().any(|op| op.status == OpStatus::Failed));

    let named = &moments["11-server-names"].registrations[0];
    assert_eq!(named.endpoint.as_str(), "7353896297468489728");
    assert_eq!(named.real_endpoint.as_deref(), Some("127.0.0.1:11921"));
    assert_eq!(moments["01-healthy"].registrations[0].real_endpoint, None);
}

/// The codes we give a meaning to are the ones real servers gave in those situations.
#[test]
fn codes_mean_what_real_servers_meant_by_them() {
    let refusals: Vec<_> = recorded().into_iter().filter(|recorded| recorded.folder == "09-refusals").collect();
    let given = |condition: &str, method: &str| -> Vec<i64> {
        let said = |r: &&Recorded| r.text("condition") == condition && r.text("method") == method;
        refusals.iter().filter(said).filter_map(|r| r.json["response"]["code"].as_i64()).collect()
    };
    let (endpoint, follower) = (Endpoint::from("leader:1"), Endpoint::from("follower:1"));
    let partition = PartitionId { tid: Tid(7), pid: Pid(0) };
    let done = |action: Action, condition: &str, method: &str| {
        let given = given(condition, method);
        let known = done_codes(&action);
        assert!(
            known.iter().all(|code| given.contains(&i64::from(*code))) && !known.is_empty(),
            "{method} under \"{condition}\" gave {given:?}, we take {known:?} for done"
        );
    };
    done(Action::AddReplica { endpoint: endpoint.clone(), partition, follower }, "tablet, table loaded", "AddReplica");
    let replicas = Vec::new();
    done(
        Action::ChangeRole { endpoint: endpoint.clone(), partition, term: Term(1), replicas },
        "tablet, table loaded",
        "ChangeRole",
    );
    done(Action::DropTable { endpoint, partition }, "tablet, no such table", "DropTable");
    done(Action::CancelOp { op: OpId(999_999) }, "auto_failover off, healthy", "CancelOP");
    let standby = refusals.iter().filter(|r| r.text("condition") == "standby nameserver");
    assert!(standby.clone().count() > 0);
    assert!(standby.clone().all(|r| r.json["response"]["code"] == NOT_LEADER));
}
