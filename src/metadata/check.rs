//! What in a cluster's metadata contradicts itself. Why each matters is in the source of the nameserver that reads it
//! (docs/openmldb/metadata-in-zookeeper.md#what-a-nameserver-reads).

use std::collections::{BTreeMap, BTreeSet};

use crate::model::MetadataTree;
use crate::wire::node;

use super::OF_THE_LIVING;
use super::finding::{Code, Finding};
use super::tables::{TableNode, tables};

const NAMES: &str = "map/names";
const OUTSIDE: &str = "map/sdkendpoints";
const OPS: &str = "op/op_data";

/// Checks a tree. `of_sessions` are the nodes that go with the session of a server; empty where nobody knows, as of a backup.
pub fn check(tree: &MetadataTree, of_sessions: &MetadataTree) -> Vec<Finding> {
    let (tables, unreadable) = tables(tree);
    let bad = unreadable.into_iter().map(|path| {
        Code::BadTable.at(path, "it does not contain a table: a nameserver skips it, and the table is gone")
    });
    let mut found: Vec<Finding> = bad.collect();
    found.extend(counters(tree, &tables));
    found.extend(auto_failover(tree));
    found.extend(same_names(&tables));
    tables.iter().for_each(|table| found.extend(of_table(tree, table, &tables)));
    found.extend(ops(tree, &tables));
    found.extend(names(tree, &tables, of_sessions));
    found.extend(registrations(tree));
    found.sort_by(|one, other| (one.code, &one.path).cmp(&(other.code, &other.path)));
    found
}

/// A counter, what it counts, and the largest number of it in use, with who uses it.
type Counted = (&'static str, &'static str, Option<(u64, String)>);

fn counted(tree: &MetadataTree, tables: &[TableNode]) -> [Counted; 3] {
    let tids = tables.iter().filter_map(|table| Some((u64::from(table.tid()?.0), table.called())));
    let partitions = tables.iter().flat_map(|table| table.table.table_partition.iter().map(move |p| (table, p)));
    let terms = partitions.flat_map(|(table, partition)| {
        partition.term_offset.iter().map(move |pair| (pair.term, format!("{}/{}", table.called(), partition.pid)))
    });
    let ops = tree.children(OPS).filter_map(|(name, _)| Some((name.parse::<u64>().ok()?, format!("operation {name}"))));
    [
        ("table/table_index", "table number", tids.max()),
        ("table/term", "term", terms.max()),
        ("op/op_index", "operation number", ops.max()),
    ]
}

/// The largest number in use that a counter counts.
pub(super) fn in_use(tree: &MetadataTree, counter: &str) -> Option<u64> {
    let found = counted(tree, &tables(tree).0).into_iter().find(|(path, ..)| *path == counter);
    found.and_then(|(.., largest)| largest).map(|(number, _)| number)
}

/// A nameserver gives out the number after the one in the node, whatever is in use.
fn counters(tree: &MetadataTree, tables: &[TableNode]) -> Vec<Finding> {
    let counters = counted(tree, tables).into_iter();
    counters.filter_map(|(path, what, largest)| counter(tree, path, what, largest)).collect()
}

fn counter(tree: &MetadataTree, path: &str, what: &str, largest: Option<(u64, String)>) -> Option<Finding> {
    let Some(data) = tree.get(path) else {
        let (in_use, by) = largest?;
        let text = format!(
            "the counter is missing, but {by} has {what} {in_use}: a nameserver starts again from the first one"
        );
        return Some(Code::NoCounter.at(path, text));
    };
    let number = std::str::from_utf8(data).ok().and_then(|text| text.parse::<u64>().ok());
    let Some(given_out) = number else {
        let text =
            format!("it holds {:?}, which is not a number: a nameserver crashes on it", String::from_utf8_lossy(data));
        return Some(Code::BadCounter.at(path, text));
    };
    let (in_use, by) = largest.filter(|(in_use, _)| *in_use > given_out)?;
    let text = format!("the last {what} assigned is {given_out}, but {by} has {in_use}: it will be assigned again");
    Some(Code::BeyondCounter.at(path, text))
}

fn auto_failover(tree: &MetadataTree) -> Option<Finding> {
    let path = "config/auto_failover";
    let data = tree.get(path)?;
    let text = || format!("it holds {:?}, which a nameserver reads as off", String::from_utf8_lossy(data));
    (!matches!(data, b"true" | b"false")).then(|| Code::BadAutoFailover.at(path, text()))
}

fn same_names(tables: &[TableNode]) -> Vec<Finding> {
    let mut first: BTreeMap<String, &str> = BTreeMap::new();
    let mut found = Vec::new();
    for table in tables {
        match first.get(&table.called()) {
            Some(path) => {
                let text =
                    format!("{} is also the table of {path}: a nameserver knows only one of them", table.called());
                found.push(Code::SameName.at(&table.path, text));
            }
            None => drop(first.insert(table.called(), &table.path)),
        }
    }
    found
}

fn of_table(tree: &MetadataTree, node: &TableNode, tables: &[TableNode]) -> Vec<Finding> {
    let (table, path, called) = (&node.table, node.path.as_str(), node.called());
    let mut found = Vec::new();
    if node.has_database {
        match node.tid() {
            Some(tid) if tid.to_string() == node.name => {}
            Some(tid) => found.push(Code::OtherTid.at(path, format!("{called} has the number {tid} there"))),
            None => found.push(Code::OtherTid.at(path, format!("{called} has no number"))),
        }
        if !tree.contains(&format!("db/{}", table.db())) {
            let text = format!("{called}: there is no database of that name, so a nameserver skips the table");
            found.push(Code::NoDatabase.at(path, text));
        }
    }
    let pids: Vec<u32> = table.table_partition.iter().map(|partition| partition.pid).collect();
    let says = table.partition_num.unwrap_or(pids.len() as u32);
    if pids.is_empty() {
        found.push(Code::NoPartitions.at(path, format!("{called} has no partition")));
    } else if !pids.iter().copied().eq(0..says) {
        let listed: Vec<String> = pids.iter().map(u32::to_string).collect();
        let text = format!("{called} says that it has {says}, and lists those of number {}", listed.join(", "));
        found.push(Code::NoPartitions.at(path, text));
    }
    for partition in &table.table_partition {
        let (name, mut seen) = (format!("{called}/{}", partition.pid), BTreeSet::new());
        if partition.partition_meta.is_empty() {
            found.push(Code::NoReplicas.at(path, format!("{name} has no replica")));
        }
        for replica in &partition.partition_meta {
            if !seen.insert(replica.endpoint.as_str()) {
                found.push(Code::SameServer.at(path, format!("{name} has two replicas on {}", replica.endpoint)));
            }
        }
    }
    let base = table.base_table_tid();
    if base != 0 && !tables.iter().any(|other| other.tid().is_some_and(|tid| tid.0 == base)) {
        found.push(Code::NoBaseTable.at(path, format!("{called} aggregates table {base}, which does not exist")));
    }
    found
}

fn ops(tree: &MetadataTree, tables: &[TableNode]) -> Vec<Finding> {
    let mut found = Vec::new();
    for (name, data) in tree.children(OPS) {
        let path = format!("{OPS}/{name}");
        let Ok(op) = node::op(data) else {
            found.push(Code::BadOp.at(path, "it does not contain an operation: a nameserver skips it"));
            continue;
        };
        let (db, table) = (op.db.unwrap_or_default(), op.name.unwrap_or_default());
        let Some(pid) = op.pid.filter(|_| !table.is_empty()) else { continue };
        let of_it = tables.iter().find(|node| node.table.db() == db && node.table.name() == table);
        let is_there = of_it.is_some_and(|node| node.table.table_partition.iter().any(|p| p.pid == pid));
        if !is_there {
            let text = format!("operation {} is about {db}.{table}/{pid}, which does not exist", op.op_id);
            found.push(Code::OpOnNothing.at(path, text));
        }
    }
    found
}

/// Server names, docs/openmldb/metadata-in-zookeeper.md#server-names.
fn names(tree: &MetadataTree, tables: &[TableNode], of_sessions: &MetadataTree) -> Vec<Finding> {
    let replicas: BTreeSet<&str> = tables
        .iter()
        .flat_map(|node| node.table.table_partition.iter().flat_map(|partition| &partition.partition_meta))
        .map(|replica| replica.endpoint.as_str())
        .collect();
    let mut found = Vec::new();
    for server in replicas.iter().filter(|server| !server.contains(':')) {
        let path = format!("{NAMES}/{server}");
        if tree.text(&path).is_none_or(str::is_empty) {
            let text =
                format!("replicas are on the server {server}, but that name has no address: it cannot be reached");
            found.push(Code::NoAddress.at(path, text));
        }
    }
    let mut first: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, address) in tree.children(NAMES) {
        let Some(address) = std::str::from_utf8(address).ok().filter(|address| !address.is_empty()) else { continue };
        match first.get(address) {
            Some(other) => {
                let text =
                    format!("{address} is also the address of {other}: one of the two would be mistaken for the other");
                found.push(Code::SameAddress.at(format!("{NAMES}/{name}"), text));
            }
            None => drop(first.insert(address, name)),
        }
    }
    let leading: BTreeSet<&[u8]> = of_sessions.children("leader").map(|(_, server)| server).collect();
    if leading.is_empty() {
        // Everything is down, and nobody can say whose name is of use.
        return found;
    }
    for parent in [NAMES, OUTSIDE] {
        for (name, _) in tree.children(parent) {
            let lives = of_sessions.contains(&format!("nodes/{name}")) || leading.contains(name.as_bytes());
            if !lives && !replicas.contains(name) {
                let text = format!("{name} is not registered, and no replica is on it");
                found.push(Code::UnusedName.at(format!("{parent}/{name}"), text));
            }
        }
    }
    found
}

/// Registrations go with their server's session. One that was put back from a copy stays, and whoever is named there is taken for
/// registered, or for the nameserver that leads.
fn registrations(tree: &MetadataTree) -> Vec<Finding> {
    let persistent = OF_THE_LIVING.iter().flat_map(|parent| tree.children(parent).map(move |(name, _)| (parent, name)));
    let text = "no server's session holds it: the server it names counts as registered for ever";
    persistent.map(|(parent, name)| Code::DeadRegistration.at(format!("{parent}/{name}"), text)).collect()
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
