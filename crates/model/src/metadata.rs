//! What a cluster keeps in ZooKeeper, as plain data.

use std::collections::BTreeMap;

/// The persistent nodes below a cluster's root path, by path. A path is relative to the root, without a slash in front:
/// `table/term`. In its order parents come before their children.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MetadataTree(BTreeMap<String, Vec<u8>>);

impl MetadataTree {
    /// Puts a node there, in place of the one that was.
    pub fn insert(&mut self, path: impl Into<String>, data: impl Into<Vec<u8>>) {
        self.0.insert(path.into(), data.into());
    }

    /// A node's data.
    pub fn get(&self, path: &str) -> Option<&[u8]> {
        self.0.get(path).map(Vec::as_slice)
    }

    /// A node's data as text; none if there is no such node, or it holds none.
    pub fn text(&self, path: &str) -> Option<&str> {
        std::str::from_utf8(self.get(path)?).ok()
    }

    /// Whether there is such a node.
    pub fn contains(&self, path: &str) -> bool {
        self.0.contains_key(path)
    }

    /// Every node, parents before children.
    pub fn nodes(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().map(|(path, data)| (path.as_str(), data.as_slice()))
    }

    /// The names of a node's children, with their data.
    pub fn children<'a>(&'a self, parent: &'a str) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        let below = self.0.range(format!("{parent}/")..).map_while(move |(path, data)| {
            let name = path.strip_prefix(parent)?.strip_prefix('/')?;
            Some((name, data.as_slice()))
        });
        below.filter(|(name, _)| !name.contains('/'))
    }

    /// How many nodes it has.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<P: Into<String>, D: Into<Vec<u8>>> FromIterator<(P, D)> for MetadataTree {
    fn from_iter<I: IntoIterator<Item = (P, D)>>(nodes: I) -> Self {
        Self(nodes.into_iter().map(|(path, data)| (path.into(), data.into())).collect())
    }
}

/// The metadata as it was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MetadataSeen {
    /// Whether the root path was there.
    pub root: bool,
    /// The persistent nodes. What this program itself keeps below the root is not among them.
    pub tree: MetadataTree,
    /// Nodes that go with the session of a server: registrations, places in the queue for the lead.
    pub of_sessions: MetadataTree,
    /// Nodes that changed, came or went while it was read, so that the tree may never have been like this; none where it was.
    pub changed: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::MetadataTree;

    #[test]
    fn parents_come_before_children_and_children_are_only_the_next() {
        let nodes = [("table/term", "3"), ("table-2", ""), ("table", ""), ("table/data/7", "x"), ("table/data", "")];
        let tree: MetadataTree = nodes.into_iter().collect();
        let paths: Vec<&str> = tree.nodes().map(|(path, _)| path).collect();
        assert_eq!(paths, ["table", "table-2", "table/data", "table/data/7", "table/term"]);
        let children: Vec<&str> = tree.children("table").map(|(name, _)| name).collect();
        assert_eq!(children, ["data", "term"]);
        assert_eq!((tree.text("table/term"), tree.text("table/nothing")), (Some("3"), None));
    }
}
