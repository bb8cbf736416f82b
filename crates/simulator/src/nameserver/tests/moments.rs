//! The cluster brought to recorded moments by what happened to the real one.

use std::collections::BTreeMap;

use super::super::{Nameservers, Settings};
use super::fixture::{Cluster, NS, ORDERS, T1, T2, T3, bytes, recorded, recording};
use super::stub::Stub;
use openmldb_wire::call::{NameserverAnswer, NameserverCall};
use openmldb_wire::nameserver::{
    OpStatus, ShowOpStatusResponse, ShowTableResponse, ShowTabletRequest, ShowTabletResponse, TableInfo, TermPair,
};

/// Compares ZooKeeper's tree with a recorded one, but for the op index: the recorded cluster had made a snapshot before.
fn assert_same_tree(cluster: &Cluster, folder: &str) {
    let tree: BTreeMap<_, _> = cluster.ns.zookeeper_tree().into_iter().map(|node| (node.path.clone(), node)).collect();
    let recorded = recording(&format!("{folder}/zookeeper.json"));
    let mut paths = Vec::new();
    for node in recorded.as_array().unwrap() {
        let Some(path) = node["path"].as_str().unwrap().strip_prefix("/openmldb/") else { continue };
        let ours = tree.get(path).unwrap_or_else(|| panic!("{path} is missing"));
        if path != "op/op_index" {
            assert_eq!(ours.data, bytes(&node["data_base64"]), "{folder} {path}");
        }
        assert_eq!(ours.ephemeral_owner.is_some(), node["ephemeral"].as_bool().unwrap(), "{path}");
        paths.push(path);
    }
    assert_eq!(tree.keys().collect::<Vec<_>>(), paths);
}

/// `db.table/pid endpoint leader alive` of every replica.
fn flags<'a>(tables: impl IntoIterator<Item = &'a TableInfo>) -> Vec<String> {
    let mut flags = Vec::new();
    for table in tables {
        for partition in &table.table_partition {
            for meta in &partition.partition_meta {
                let (leader, alive) = (meta.is_leader, meta.is_alive());
                flags.push(format!("{}/{} {} {leader} {alive}", table.name(), partition.pid, meta.endpoint));
            }
        }
    }
    flags
}

fn shop(tables: &ShowTableResponse) -> impl Iterator<Item = &TableInfo> {
    tables.table_info.iter().filter(|table| table.db() == "shop")
}

#[test]
fn a_healthy_cluster_shows_and_keeps_what_was_recorded() {
    let mut cluster = Cluster::healthy();
    assert_eq!(cluster.show_tables(), recorded::<ShowTableResponse>("01-healthy", "ShowTable"));
    assert_same_tree(&cluster, "01-healthy");
}

#[test]
fn after_a_restart_of_everything_no_offset_is_known_and_all_look_alive() {
    let mut cluster = Cluster::healthy();
    cluster.restart_everything();
    assert_eq!(cluster.show_tables(), recorded::<ShowTableResponse>("02-everything-restarted", "ShowTable"));
    assert_same_tree(&cluster, "02-everything-restarted");
    cluster.pass(60_000);
    assert!(cluster.ns.ops().is_empty(), "tablets that a nameserver meets for the first time are not recovered");
}

#[test]
fn leaders_loaded_by_the_documented_procedure_leave_the_recorded_metadata() {
    let mut cluster = Cluster::healthy();
    cluster.restart_everything();
    cluster.auto_failover(false);
    let before: ShowTableResponse = recorded("02-everything-restarted", "ShowTable");
    let each = |cluster: &mut Cluster, leaders_only: bool, alive: bool| {
        for table in shop(&before) {
            for partition in &table.table_partition {
                for meta in partition.partition_meta.iter().filter(|meta| meta.is_leader || !leaders_only) {
                    cluster.mark(table.name(), partition.pid, &meta.endpoint, alive);
                    if leaders_only {
                        cluster.tablets.load(&meta.endpoint, table.tid(), partition.pid, true);
                    }
                }
            }
        }
    };
    each(&mut cluster, false, false);
    each(&mut cluster, true, true);
    cluster.pass(2_000);
    assert_eq!(cluster.show_tables(), recorded::<ShowTableResponse>("03-leaders-loaded", "ShowTable"));
    assert_same_tree(&cluster, "03-leaders-loaded");
}

/// In the recording 21 ops had been created before.
const EARLIER_OPS: u64 = 21;

#[test]
fn tablets_down_with_auto_failover_on_leave_the_recorded_ops_and_flags() {
    let mut cluster = Cluster::healthy();
    for tablet in [T1, T2, T3] {
        cluster.kill_tablet(tablet);
    }
    cluster.pass(20_000);
    for tablet in [T1, T2, T3] {
        cluster.start_tablet(tablet);
        cluster.pass(220);
    }
    cluster.pass(60_000);

    let ops = |ops: Vec<OpStatus>, earlier: u64| -> BTreeMap<u64, (String, String, u32, String)> {
        let range = (EARLIER_OPS + 1 - earlier)..=(60 - earlier);
        let known = ops.into_iter().filter(|op| range.contains(&op.op_id));
        known.map(|op| (op.op_id + earlier, (op.op_type.clone(), op.name().to_owned(), op.pid(), op.status))).collect()
    };
    let folder = "06-tablets-restarted-nameserver-alive-failover-on";
    let theirs = ops(recorded::<ShowOpStatusResponse>(folder, "ShowOPStatus").op_status, 0);
    let ours = ops(cluster.ns.ops(), EARLIER_OPS);
    assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>(), "numbers have the same gaps");
    for (id, theirs) in &theirs {
        let ours = &ours[id];
        assert_eq!((&ours.0, &ours.1, ours.2), (&theirs.0, &theirs.1, theirs.2), "op {id}");
        if theirs.3 == "kDone" || theirs.3 == "kFailed" {
            assert_eq!(ours.3, theirs.3, "op {id} {ours:?}");
        }
    }
    let recorded: ShowTableResponse = recorded(folder, "ShowTable");
    let shown = cluster.show_tables();
    assert_eq!(flags(shop(&shown)), flags(shop(&recorded)));
    let healed = shown.table_info.iter().filter(|table| table.db() != "shop" || table.name() == "audit");
    for table in healed {
        let meta = &table.table_partition[0].partition_meta[0];
        assert!(meta.is_alive() && meta.tablet_has_partition(), "{} came back by itself", table.name());
    }
}

#[test]
fn tablets_down_with_auto_failover_off_change_nothing_that_shows() {
    let mut cluster = Cluster::healthy();
    cluster.auto_failover(false);
    let before = cluster.show_tables();
    for tablet in [T1, T2, T3] {
        cluster.kill_tablet(tablet);
    }
    cluster.pass(20_000);
    for tablet in [T1, T2, T3] {
        cluster.start_tablet(tablet);
    }
    cluster.pass(20_000);
    assert_eq!(cluster.show_tables(), before, "no tablet reports a table, so the last offsets stay");
    assert!(cluster.ns.ops().is_empty());
}

#[test]
fn a_dead_leader_keeps_its_flag_beside_the_new_one() {
    let mut cluster = Cluster::healthy();
    cluster.kill_tablet(T1);
    cluster.pass(20_000);
    let recorded: ShowTableResponse = recorded("08-two-leader-flags", "ShowTable");
    let orders = |pid: u32| {
        let partition = cluster.ns.partition("shop", "orders", pid).unwrap();
        partition.partition_meta.iter().map(|meta| (meta.endpoint.clone(), meta.is_alive())).collect::<Vec<_>>()
    };
    let recorded_orders = recorded.table_info.iter().find(|table| table.name() == "orders").unwrap();
    for partition in &recorded_orders.table_partition {
        let alive = partition.partition_meta.iter().map(|meta| (meta.endpoint.clone(), meta.is_alive()));
        assert_eq!(orders(partition.pid), alive.collect::<Vec<_>>(), "orders {}", partition.pid);
    }
    let partition = cluster.ns.partition("shop", "orders", 1).unwrap();
    let flagged: Vec<_> = partition.partition_meta.iter().filter(|meta| meta.is_leader).collect();
    assert_eq!(flagged.iter().map(|meta| meta.is_alive()).filter(|alive| *alive).count(), 1);
    assert!(flagged.iter().any(|meta| meta.endpoint == T1 && !meta.is_alive()));
    let terms = |table: &str| cluster.ns.partition("shop", table, 1).unwrap().term_offset.clone();
    assert_eq!(terms("clicks"), [TermPair { term: 1, offset: 0 }, TermPair { term: 3, offset: 141 }]);
    assert_eq!(terms("orders"), [TermPair { term: 1, offset: 0 }, TermPair { term: 5, offset: 94 }]);

    // Its followers no longer count on it either: where it followed, the leader stopped sending to it.
    assert!(!cluster.tablets.replica(T3, ORDERS, 0).followers.contains(T1));

    let before = flags(&cluster.show_tables().table_info);
    cluster.restart_everything();
    assert_eq!(flags(&cluster.show_tables().table_info), before);
    assert_eq!(cluster.ns.leader(), Some(NS));
}

#[test]
fn server_names_are_shown_with_the_addresses_behind_them() {
    let theirs: ShowTabletResponse = recorded("11-server-names", "ShowTablet");
    let mut ns = Nameservers::new(&["7353896300148744192"], Settings::default(), 1);
    ns.register_name("7353896300148744192", "127.0.0.1:8527");
    for tablet in &theirs.tablets {
        ns.register_name(tablet.endpoint(), tablet.real_endpoint());
        ns.tablet_registered(tablet.endpoint(), 0, true);
    }
    let ask = NameserverCall::ShowTablet(ShowTabletRequest {});
    let answer = ns.call("7353896300148744192", 5_000, ask, &mut Stub::default());
    let Ok(NameserverAnswer::ShowTablet(mut ours)) = answer else { panic!("{answer:?}") };
    for (ours, theirs) in ours.tablets.iter_mut().zip(&theirs.tablets) {
        assert_eq!(ours.age, Some(5_000));
        ours.age = theirs.age;
    }
    assert_eq!(ours, theirs);
    let tree = ns.zookeeper_tree();
    for node in recording("11-server-names/zookeeper.json").as_array().unwrap() {
        let Some(path) = node["path"].as_str().unwrap().strip_prefix("/openmldb/") else { continue };
        if ["map", "nodes"].iter().any(|part| path.starts_with(part)) {
            let ours = tree.iter().find(|ours| ours.path == path);
            assert_eq!(ours.map(|node| &node.data), Some(&bytes(&node["data_base64"])), "{path}");
        }
    }
}
