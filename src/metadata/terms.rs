//! A partition's history of terms, as a backup has it.

use crate::model::{MetadataTree, Offset, Pid, TableName, Term, TermStart, Tid};

use super::tables::tables;

/// The history of terms that a backup has of a partition, and of which table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptTerms {
    /// What the backup is called.
    pub from: String,
    /// The table's number.
    pub tid: Tid,
    /// How many partitions it has.
    pub partitions: usize,
    /// When each term began, oldest first; none is missing up to when the backup was taken.
    pub terms: Vec<TermStart>,
}

/// The history of terms that a tree has of a partition.
///
/// # Errors
/// It has none, or one that cannot be.
pub fn terms_of(tree: &MetadataTree, from: &str, table: &TableName, pid: Pid) -> Result<KeptTerms, String> {
    let (there, _) = tables(tree);
    let mut named = there.into_iter().filter(|found| found.table.db() == table.db && found.table.name() == table.table);
    let found = named.next().ok_or_else(|| format!("{from} has no table {table}"))?;
    let tid = found.tid().ok_or_else(|| format!("{from} has no number of {table}"))?;
    let partitions = &found.table.table_partition;
    let partition = partitions.iter().find(|partition| partition.pid == pid.0);
    let partition = partition.ok_or_else(|| format!("{from} has no partition {pid} of {table}"))?;
    let start = |term, offset| TermStart { term: Term(term), start: Offset(offset) };
    let terms: Vec<TermStart> = partition.term_offset.iter().map(|pair| start(pair.term, pair.offset)).collect();
    if terms.is_empty() {
        return Err(format!("{from} has no terms of {table}/{pid} either"));
    }
    if !terms.is_sorted_by(|one, next| one.term < next.term) {
        return Err(format!("the terms that {from} has of {table}/{pid} do not ascend"));
    }
    Ok(KeptTerms { from: from.to_owned(), tid, partitions: partitions.len(), terms })
}

/// Whether a cluster has given out all these terms, by its counter.
///
/// # Errors
/// It has not, or nobody can tell.
pub fn given_out(tree: &MetadataTree, kept: &KeptTerms) -> Result<(), String> {
    let counter = tree.text("table/term").and_then(|text| text.parse().ok()).map(Term);
    let counter = counter.ok_or_else(|| "the cluster's counter of terms (table/term) cannot be read".to_owned())?;
    match kept.terms.iter().find(|start| start.term > counter) {
        None => Ok(()),
        Some(beyond) => {
            let (term, from) = (beyond.term, &kept.from);
            Err(format!("{from} has term {term}, which is beyond the cluster's counter of terms: that is at {counter}"))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::wire::nameserver::{TableInfo, TablePartition, TermPair};

    fn tree(terms: &[(u64, u64)]) -> MetadataTree {
        let term_offset = terms.iter().map(|(term, offset)| TermPair { term: *term, offset: *offset }).collect();
        let partition = TablePartition { pid: 0, term_offset, ..TablePartition::default() };
        let table = TableInfo {
            name: Some("t0".to_owned()),
            db: Some("shop".to_owned()),
            tid: Some(7),
            table_partition: vec![partition],
            ..TableInfo::default()
        };
        [("table/db_table_data/7", table.encode_to_vec()), ("table/term", b"5".to_vec())].into_iter().collect()
    }

    fn terms(of: &[(u64, u64)], table: &str, pid: u32) -> Result<KeptTerms, String> {
        let table = TableName { db: "shop".to_owned(), table: table.to_owned() };
        terms_of(&tree(of), "FILE", &table, Pid(pid))
    }

    #[test]
    fn a_history_is_taken_whole_or_not_at_all() {
        let kept = terms(&[(1, 0), (3, 21)], "t0", 0).unwrap();
        assert_eq!((kept.tid, kept.partitions, kept.terms.len(), kept.terms[1].start), (Tid(7), 1, 2, Offset(21)));
        assert!(terms(&[(1, 0)], "t1", 0).unwrap_err().contains("no table shop.t1"));
        assert!(terms(&[(1, 0)], "t0", 1).unwrap_err().contains("no partition 1"));
        assert!(terms(&[], "t0", 0).unwrap_err().contains("no terms of shop.t0/0 either"));
        assert!(terms(&[(3, 0), (1, 21)], "t0", 0).unwrap_err().contains("do not ascend"));
        assert!(terms(&[(1, 0), (3, 21), (5, 2)], "t0", 0).is_ok(), "everything was lost in between");
    }

    #[test]
    fn no_term_is_taken_that_the_cluster_has_not_given_out() {
        let (at, beyond) = (terms(&[(1, 0), (5, 2)], "t0", 0).unwrap(), terms(&[(1, 0), (7, 2)], "t0", 0).unwrap());
        assert_eq!(given_out(&tree(&[]), &at), Ok(()));
        assert!(given_out(&tree(&[]), &beyond).unwrap_err().contains("term 7, which is beyond"));
        assert!(given_out(&MetadataTree::default(), &at).unwrap_err().contains("cannot be read"));
    }
}
