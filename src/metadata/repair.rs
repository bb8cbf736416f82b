//! A backup made right where that takes no decision, and without what somebody leaves out: as it is then restored.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::model::MetadataTree;

use super::check::{check, in_use};
use super::finding::Code;
use super::tables::tables;

/// What was done to a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Repaired {
    /// Its path.
    pub path: String,
    /// What was done.
    #[serde(flatten)]
    pub repair: Repair,
}

/// What is done to a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "repair", rename_all = "snake_case")]
pub enum Repair {
    /// A counter holds the largest number that is in use.
    SetTo {
        /// The number.
        to: u64,
    },
    /// It is made, empty.
    Added,
    /// It is not restored.
    LeftOut,
}

/// A node that is to be left out and is not there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the backup has no node {0}")]
pub struct NoSuchNode(pub String);

/// The tree without these nodes and what is below them.
///
/// # Errors
/// One of them is not there.
pub fn without(tree: &MetadataTree, paths: &[String]) -> Result<(MetadataTree, Vec<Repaired>), NoSuchNode> {
    let (mut left, mut told) = (tree.clone(), Vec::new());
    for path in paths {
        if !tree.contains(path) {
            return Err(NoSuchNode(path.clone()));
        }
        let below = format!("{path}/");
        let goes = |node: &str| node == path || node.starts_with(&below);
        let gone = left.nodes().filter(|(node, _)| goes(node)).map(|(node, _)| node.to_owned());
        told.extend(gone.map(|path| Repaired { path, repair: Repair::LeftOut }));
        left = left.nodes().filter(|(node, _)| !goes(node)).collect();
    }
    Ok((left, told))
}

/// The tree with counters that no number in use is beyond, with the databases of its tables, and without operations on nothing. What
/// takes a decision stays as it is.
pub fn repair(tree: &MetadataTree) -> (MetadataTree, Vec<Repaired>) {
    let (mut repaired, mut done) = (tree.clone(), BTreeMap::new());
    let (known, _) = tables(tree);
    for finding in check(tree, &MetadataTree::default()) {
        match finding.code {
            Code::BadOp | Code::OpOnNothing => {
                repaired = repaired.nodes().filter(|(path, _)| *path != finding.path).collect();
                done.insert(finding.path, Repair::LeftOut);
            }
            Code::NoCounter | Code::BadCounter | Code::BeyondCounter => {
                let to = in_use(tree, &finding.path).unwrap_or(1);
                add_parents(&mut repaired, &finding.path);
                repaired.insert(finding.path.clone(), to.to_string());
                done.insert(finding.path, Repair::SetTo { to });
            }
            Code::NoDatabase => {
                let Some(table) = known.iter().find(|table| table.path == finding.path) else { continue };
                let path = format!("db/{}", table.table.db());
                add_parents(&mut repaired, &path);
                repaired.insert(path.clone(), "");
                done.insert(path, Repair::Added);
            }
            _ => {}
        }
    }
    let told = done.into_iter().map(|(path, repair)| Repaired { path, repair }).collect();
    (repaired, told)
}

fn add_parents(tree: &mut MetadataTree, path: &str) {
    for (at, _) in path.match_indices('/') {
        if !tree.contains(&path[..at]) {
            tree.insert(&path[..at], "");
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::wire::nameserver::TableInfo;
    use crate::wire::node::OpInfo;

    /// One table, number 7, in a database that is missing; an operation on nothing, beyond its counter.
    fn wrong() -> MetadataTree {
        let nodes = [("op", ""), ("op/op_data", ""), ("op/op_index", "4"), ("table", ""), ("table/table_index", "6")];
        let mut tree: MetadataTree = nodes.into_iter().collect();
        tree.insert("table/term", "x");
        tree.insert("table/db_table_data", "");
        let table = TableInfo { tid: Some(7), db: Some("d".into()), name: Some("t".into()), ..TableInfo::default() };
        tree.insert("table/db_table_data/7", table.encode_to_vec());
        let op =
            OpInfo { op_id: 9, db: Some("d".into()), name: Some("gone".into()), pid: Some(0), ..OpInfo::default() };
        tree.insert("op/op_data/9", op.encode_to_vec());
        tree
    }

    #[test]
    fn what_takes_no_decision_is_repaired() {
        let (tree, told) = repair(&wrong());
        let told: Vec<(&str, &Repair)> = told.iter().map(|repaired| (&*repaired.path, &repaired.repair)).collect();
        let expected = [
            ("db/d", &Repair::Added),
            ("op/op_data/9", &Repair::LeftOut),
            ("op/op_index", &Repair::SetTo { to: 9 }),
            ("table/table_index", &Repair::SetTo { to: 7 }),
            ("table/term", &Repair::SetTo { to: 1 }),
        ];
        assert_eq!(told, expected);
        assert_eq!(
            (tree.text("db"), tree.text("op/op_index"), tree.text("table/term")),
            (Some(""), Some("9"), Some("1"))
        );
        let left: Vec<Code> = check(&tree, &MetadataTree::default()).into_iter().map(|found| found.code).collect();
        assert_eq!(left, [Code::NoPartitions], "whose rows are where is a decision");
        assert_eq!(repair(&tree), (tree, Vec::new()));
    }

    #[test]
    fn what_is_left_out_goes_with_what_is_below_it_and_nothing_else_does() {
        let tree = wrong();
        let (left, told) = without(&tree, &["op/op_data".to_owned(), "op/op_index".to_owned()]).unwrap();
        let told: Vec<&str> = told.iter().map(|repaired| &*repaired.path).collect();
        assert_eq!(told, ["op/op_data", "op/op_data/9", "op/op_index"]);
        assert_eq!(left.len(), tree.len() - 3);
        assert_eq!(without(&tree, &["op/op".to_owned()]).unwrap_err().to_string(), "the backup has no node op/op");
    }
}
