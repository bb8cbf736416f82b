//! What two trees differ in.

use serde::Serialize;

use crate::model::MetadataTree;

/// How what is there differs from what is wanted, by paths.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Wanted, and not there. Parents come before children.
    pub missing: Vec<String>,
    /// There, and it holds something else.
    pub other: Vec<String>,
    /// There, and not wanted.
    pub beyond: Vec<String>,
}

impl Difference {
    /// Whether what is missing can be created without touching anything: all that is there is as it is wanted.
    pub fn only_lacks(&self) -> bool {
        self.other.is_empty() && self.beyond.is_empty()
    }

    /// Whether there is none.
    pub fn is_none(&self) -> bool {
        self.only_lacks() && self.missing.is_empty()
    }
}

/// Compares what is wanted with what is there.
pub fn compare(wanted: &MetadataTree, there: &MetadataTree) -> Difference {
    let mut difference = Difference::default();
    for (path, data) in wanted.nodes() {
        match there.get(path) {
            None => difference.missing.push(path.to_owned()),
            Some(found) if found != data => difference.other.push(path.to_owned()),
            Some(_) => {}
        }
    }
    let beyond = there.nodes().filter(|(path, _)| !wanted.contains(path));
    difference.beyond = beyond.map(|(path, _)| path.to_owned()).collect();
    difference
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(nodes: &[(&str, &str)]) -> MetadataTree {
        nodes.iter().copied().collect()
    }

    #[test]
    fn what_lacks_nodes_can_be_completed_and_nothing_else() {
        let wanted = tree(&[("db", ""), ("table", ""), ("table/term", "3")]);
        let begun = compare(&wanted, &tree(&[("db", "")]));
        assert_eq!(begun.missing, ["table", "table/term"]);
        assert!(begun.only_lacks() && !begun.is_none());
        let of_another = compare(&wanted, &tree(&[("table", ""), ("table/term", "4"), ("op", "")]));
        assert_eq!((of_another.other, of_another.beyond), (vec!["table/term".to_owned()], vec!["op".to_owned()]));
        assert!(compare(&wanted, &wanted).is_none());
    }
}
