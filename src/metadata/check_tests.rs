//! What a check of metadata finds, and that it finds nothing in what real servers wrote.

use std::path::Path;

use base64::Engine as _;
use prost::Message as _;
use serde_json::Value;

use super::*;
use crate::wire::nameserver::{PartitionMeta, TableInfo, TablePartition, TermPair};
use crate::wire::node::OpInfo;

/// The tree of a recording of real servers, below its root path; those of sessions apart.
fn recorded(folder: &str) -> (MetadataTree, MetadataTree) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings").join(folder).join("zookeeper.json");
    let nodes: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let (mut tree, mut of_sessions) = (MetadataTree::default(), MetadataTree::default());
    for node in &nodes {
        let Some(path) = node["path"].as_str().unwrap().strip_prefix("/openmldb/") else { continue };
        let data = base64::engine::general_purpose::STANDARD.decode(node["data_base64"].as_str().unwrap()).unwrap();
        if node["ephemeral"].as_bool().unwrap() { &mut of_sessions } else { &mut tree }.insert(path, data);
    }
    (tree, of_sessions)
}

fn found(tree: &MetadataTree, of_sessions: &MetadataTree) -> Vec<(Code, String)> {
    check(tree, of_sessions).into_iter().map(|finding| (finding.code, finding.path)).collect()
}

#[test]
fn what_real_servers_wrote_contradicts_itself_nowhere() {
    let mut looked_at = 0;
    for folder in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings")).unwrap() {
        let folder = folder.unwrap();
        if folder.path().join("zookeeper.json").exists() {
            let (tree, of_sessions) = recorded(folder.file_name().to_str().unwrap());
            assert!(tree.children(super::super::tables::OF_DATABASES).count() > 4);
            assert_eq!(check(&tree, &of_sessions), [], "{:?}", folder.path());
            looked_at += 1;
        }
    }
    assert!(looked_at > 5, "only {looked_at}");
}

fn table(tid: u32, replicas: &[&str]) -> TableInfo {
    let meta = |endpoint: &&str| PartitionMeta { endpoint: (*endpoint).to_owned(), ..PartitionMeta::default() };
    TableInfo {
        name: Some(format!("t{tid}")),
        db: Some("d".to_owned()),
        tid: Some(tid),
        partition_num: Some(1),
        table_partition: vec![TablePartition {
            pid: 0,
            partition_meta: replicas.iter().map(meta).collect(),
            term_offset: vec![TermPair { term: 3, offset: 0 }],
            ..TablePartition::default()
        }],
        ..TableInfo::default()
    }
}

/// A tree with one table, number 7, and something done to it.
fn tree(change: impl FnOnce(&mut MetadataTree, TableInfo)) -> MetadataTree {
    let nodes = [("db/d", ""), ("table/table_index", "7"), ("table/term", "3"), ("op/op_index", "4")];
    let mut tree: MetadataTree = nodes.into_iter().collect();
    tree.insert("table/db_table_data/7", table(7, &["a:1", "b:1"]).encode_to_vec());
    change(&mut tree, table(7, &["a:1", "b:1"]));
    tree
}

fn put(tree: &mut MetadataTree, table: &TableInfo) {
    tree.insert("table/db_table_data/7", table.encode_to_vec());
}

fn op(id: u64, name: &str, pid: u32) -> Vec<u8> {
    let info =
        OpInfo { op_id: id, op_type: 14, db: Some("d".to_owned()), name: Some(name.to_owned()), ..OpInfo::default() };
    OpInfo { pid: Some(pid), ..info }.encode_to_vec()
}

/// What is found once that was done.
fn finds(change: impl FnOnce(&mut MetadataTree, TableInfo)) -> Vec<(Code, String)> {
    found(&tree(change), &MetadataTree::default())
}

fn of(code: Code, path: &str) -> Vec<(Code, String)> {
    vec![(code, path.to_owned())]
}

const TABLE: &str = "table/db_table_data/7";

#[test]
fn numbers_in_use_are_not_beyond_their_counters() {
    assert_eq!(finds(|_, _| {}), []);
    for (path, less) in [("table/table_index", "6"), ("table/term", "2")] {
        assert_eq!(finds(|tree, _| tree.insert(path, less)), of(Code::BeyondCounter, path));
        assert_eq!(finds(|tree, _| tree.insert(path, "7x")), of(Code::BadCounter, path));
    }
    assert_eq!(finds(|tree, _| tree.insert("op/op_data/5", op(5, "t7", 0))), of(Code::BeyondCounter, "op/op_index"));
    let nothing = MetadataTree::default();
    assert_eq!(found(&nothing, &nothing), [], "a root path that nobody has used");
    let alone: MetadataTree = [(TABLE, table(7, &["a:1"]).encode_to_vec()), ("db/d", Vec::new())].into_iter().collect();
    let missing = [(Code::NoCounter, "table/table_index".to_owned()), (Code::NoCounter, "table/term".to_owned())];
    assert_eq!(found(&alone, &nothing), missing);
}

#[test]
fn tables_have_what_they_say() {
    let with = |change: fn(&mut TableInfo)| {
        finds(|tree, mut table| {
            change(&mut table);
            put(tree, &table);
        })
    };
    assert_eq!(with(|table| table.table_partition.clear()), of(Code::NoPartitions, TABLE));
    assert_eq!(with(|table| table.partition_num = Some(2)), of(Code::NoPartitions, TABLE));
    assert_eq!(with(|table| table.table_partition[0].pid = 1), of(Code::NoPartitions, TABLE));
    assert_eq!(with(|table| table.table_partition[0].partition_meta.clear()), of(Code::NoReplicas, TABLE));
    assert_eq!(
        with(|table| table.table_partition[0].partition_meta[1].endpoint = "a:1".into()),
        of(Code::SameServer, TABLE)
    );
    assert_eq!(with(|table| table.tid = Some(6)), of(Code::OtherTid, TABLE));
    assert_eq!(with(|table| table.db = Some("e".into())), of(Code::NoDatabase, TABLE));
    assert_eq!(with(|table| table.base_table_tid = Some(5)), of(Code::NoBaseTable, TABLE));
    assert_eq!(finds(|tree, _| tree.insert(TABLE, [0xff_u8; 3])), of(Code::BadTable, TABLE));
    let twice = finds(|tree, table| {
        let other = TableInfo { tid: Some(6), ..table };
        tree.insert("table/db_table_data/6", other.encode_to_vec());
    });
    assert_eq!(twice, of(Code::SameName, TABLE));
}

#[test]
fn operations_are_about_what_is_there() {
    assert_eq!(finds(|tree, _| tree.insert("op/op_data/4", op(4, "t7", 0))), []);
    for about in [op(4, "t8", 0), op(4, "t7", 1)] {
        assert_eq!(finds(|tree, _| tree.insert("op/op_data/4", about)), of(Code::OpOnNothing, "op/op_data/4"));
    }
    assert_eq!(finds(|tree, _| tree.insert("op/op_data/4", [7_u8])), of(Code::BadOp, "op/op_data/4"));
}

#[test]
fn names_lead_to_servers_and_servers_have_names() {
    let named = |names: &[(&str, &str)], living: &[(&str, &str)]| {
        let tree = tree(|tree, _| {
            put(tree, &table(7, &["n1", "n2"]));
            names.iter().for_each(|(name, address)| tree.insert(format!("map/names/{name}"), *address));
        });
        found(&tree, &living.iter().copied().collect())
    };
    let all = [("n1", "a:1"), ("n2", "b:1"), ("n3", "c:1")];
    assert_eq!(named(&all, &[]), [], "nobody is registered, so that nobody can say");
    let living = [("leader/lock_request0000000000", "n3"), ("nodes/n1", "startup_n1")];
    assert_eq!(named(&all, &living), [], "one that is down has its replicas");
    assert_eq!(named(&all[..1], &[]), of(Code::NoAddress, "map/names/n2"));
    assert_eq!(named(&[all[0], ("n2", "a:1")], &[]), of(Code::SameAddress, "map/names/n2"));
    let left = [all[0], all[1], all[2], ("n4", "d:1")];
    assert_eq!(named(&left, &living), of(Code::UnusedName, "map/names/n4"));
}

#[test]
fn nobody_is_registered_without_a_session() {
    for path in ["leader/lock_request0000000000", "nodes/a:1"] {
        assert_eq!(finds(|tree, _| tree.insert(path, "a:1")), of(Code::DeadRegistration, path));
    }
    let off = finds(|tree, _| tree.insert("config/auto_failover", "yes"));
    assert_eq!(off, of(Code::BadAutoFailover, "config/auto_failover"));
}
