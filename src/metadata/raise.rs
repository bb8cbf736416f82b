//! Counters put back with a margin: what was given out after a backup was taken must not be given out a second time.

use serde::Serialize;

use crate::model::MetadataTree;

/// The counters: of table numbers, of terms, of operations.
const COUNTERS: [&str; 3] = ["table/table_index", "table/term", "op/op_index"];

/// How much they are raised by if nothing else is said. A gap in them does no harm.
pub const RAISED_BY: u32 = 1_000;

/// A counter that is put back larger than it was saved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Raised {
    /// Its node.
    pub path: &'static str,
    /// As it was saved.
    pub from: u64,
    /// As it is put back.
    pub to: u64,
}

/// The same tree with its counters raised. What holds no number stays as it is.
pub fn raise(tree: &MetadataTree, by: u32) -> (MetadataTree, Vec<Raised>) {
    let (mut raised, mut told) = (tree.clone(), Vec::new());
    for path in COUNTERS {
        let Some(from) = tree.text(path).and_then(|text| text.parse::<u64>().ok()) else { continue };
        // A nameserver reads the first of them into 32 bits.
        let most = if path == "table/table_index" { u64::from(u32::MAX) } else { u64::MAX };
        let Some(to) = from.checked_add(by.into()).filter(|to| by > 0 && *to <= most) else { continue };
        raised.insert(path, to.to_string());
        told.push(Raised { path, from, to });
    }
    (raised, told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_raised_and_nothing_else_is() {
        let nodes = [("table/table_index", "8"), ("table/term", "x"), ("table/notify", "3"), ("op/op_index", "0")];
        let tree: MetadataTree = nodes.into_iter().collect();
        let (raised, told) = raise(&tree, 1_000);
        assert_eq!((raised.text("table/table_index"), raised.text("op/op_index")), (Some("1008"), Some("1000")));
        assert_eq!((raised.text("table/term"), raised.text("table/notify")), (Some("x"), Some("3")));
        assert_eq!(told.len(), 2);
        assert_eq!(raise(&tree, 0), (tree, Vec::new()));
    }

    #[test]
    fn no_counter_is_raised_beyond_what_a_nameserver_reads() {
        let tree: MetadataTree =
            [("table/table_index", "4294967000"), ("table/term", "4294967000")].into_iter().collect();
        let (raised, told) = raise(&tree, 1_000);
        assert_eq!(
            (raised.text("table/table_index"), raised.text("table/term")),
            (Some("4294967000"), Some("4294968000"))
        );
        assert_eq!(told.len(), 1);
    }
}
