//! What is removed together with a cluster's metadata, and in which order.

use crate::model::MetadataTree;

use super::OF_THE_LIVING;
use super::tables::tables;

/// What OpenMLDB keeps below its root path (docs/openmldb/metadata-in-zookeeper.md#paths).
const OPENMLDBS: [&str; 11] =
    ["cluster", "config", "data", "db", "leader", "map", "nodes", "notify", "op", "store_procedure", "table"];

/// Bytes of a transaction: ZooKeeper takes a request of 1 MiB at most if it is not told otherwise.
const TRANSACTION: usize = 256 * 1024;
/// What a node takes of it beside its path, and a root path with it.
const A_NODE: usize = 128;

/// Nodes directly below the root path that are not OpenMLDB's. A root path may be shared, or be the wrong one.
pub fn of_others(tree: &MetadataTree) -> Vec<String> {
    let top = tree.nodes().filter(|(path, _)| !path.contains('/') && !OPENMLDBS.contains(path));
    top.map(|(path, _)| path.to_owned()).collect()
}

/// The tables that a tree holds, as people call them; of those that cannot be read, their paths.
pub fn table_names(tree: &MetadataTree) -> Vec<String> {
    let (readable, unreadable) = tables(tree);
    let mut names: Vec<String> = readable.iter().map(|table| table.called()).chain(unreadable).collect();
    names.sort();
    names
}

/// All nodes of a tree, children first, in as few transactions as ZooKeeper takes. What servers register below is in the first one:
/// it fails if one of them has registered.
pub fn removals(tree: &MetadataTree) -> Vec<Vec<(&str, &[u8])>> {
    let mut nodes: Vec<(&str, &[u8])> = tree.nodes().collect();
    nodes.reverse();
    let is_of_the_living = |path: &str| OF_THE_LIVING.contains(&path.split('/').next().unwrap_or(path));
    nodes.sort_by_key(|(path, _)| !is_of_the_living(path));
    let mut removals: Vec<Vec<(&str, &[u8])>> = Vec::new();
    let mut bytes = TRANSACTION;
    for node in nodes {
        bytes += A_NODE + node.0.len();
        match removals.last_mut().filter(|_| bytes <= TRANSACTION) {
            Some(last) => last.push(node),
            None => {
                bytes = A_NODE + node.0.len();
                removals.push(vec![node]);
            }
        }
    }
    removals
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_openmldbs_is_named() {
        let tree: MetadataTree =
            [("db", ""), ("db/shop", ""), ("brokers", ""), ("brokers/ids", "")].into_iter().collect();
        assert_eq!(of_others(&tree), ["brokers"]);
    }

    #[test]
    fn children_go_before_parents_and_what_servers_register_below_goes_first() {
        let nodes = [("db", ""), ("db/shop", ""), ("leader", ""), ("nodes", ""), ("nodes/stale", ""), ("table", "")];
        let tree: MetadataTree = nodes.into_iter().collect();
        let removals = removals(&tree);
        assert_eq!(removals.len(), 1);
        let paths: Vec<&str> = removals[0].iter().map(|(path, _)| *path).collect();
        assert_eq!(paths, ["nodes/stale", "nodes", "leader", "table", "db/shop", "db"]);
        assert!(super::removals(&MetadataTree::default()).is_empty());
    }

    #[test]
    fn no_transaction_is_larger_than_zookeeper_takes() {
        let tree: MetadataTree = (0..20_000).map(|id| (format!("op/op_data/{id}"), "")).collect();
        let removals = removals(&tree);
        assert!(removals.len() > 1);
        let size = |nodes: &Vec<(&str, &[u8])>| nodes.iter().map(|(path, _)| A_NODE + path.len()).sum::<usize>();
        assert!(removals.iter().all(|nodes| size(nodes) <= TRANSACTION));
        assert_eq!(removals.iter().map(Vec::len).sum::<usize>(), 20_000);
    }
}
