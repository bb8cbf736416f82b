//! Metadata that were deleted, or would be, in words and as a line.

use serde::Serialize;

use super::metadata::paths_text;
use super::words::one_line;
use crate::metadata::table_names;
use crate::model::{MetadataTree, counted};
use crate::run::PlanId;

/// Tables that are named; of more it is said how many.
const TABLES: usize = 20;

/// A root path that was emptied, or would be.
#[derive(Debug, Serialize)]
pub struct MetadataWipedLine<'a> {
    event: &'static str,
    cluster: &'a str,
    /// By which it is accepted; none if there is nothing.
    id: Option<&'a PlanId>,
    nodes: usize,
    /// By path: to be deleted, or deleted.
    deleted: Vec<&'a str>,
    /// Those that the metadata describe.
    tables: Vec<String>,
    /// Where all of it is saved; none in a dry run.
    saved: Option<String>,
    dry_run: bool,
}

impl<'a> MetadataWipedLine<'a> {
    /// What was there; with where it is saved if it is gone.
    pub fn of(cluster: &'a str, tree: &'a MetadataTree, id: Option<&'a PlanId>, saved: Option<String>) -> Self {
        let deleted: Vec<&str> = tree.nodes().map(|(path, _)| path).collect();
        Self {
            event: "metadata_wiped",
            cluster,
            id,
            nodes: deleted.len(),
            deleted,
            tables: table_names(tree),
            dry_run: saved.is_none(),
            saved,
        }
    }
}

/// What was deleted.
pub fn metadata_wiped_text(line: &MetadataWipedLine<'_>) -> String {
    let (cluster, nodes) = (one_line(line.cluster), counted(line.nodes, "node"));
    let Some(id) = line.id else { return format!("{cluster} holds nothing: nothing to delete.\n") };
    let tables: Vec<String> = line.tables.iter().map(|name| one_line(name)).collect();
    let tables = match &tables[..] {
        [] => "No table is among them.\n".to_owned(),
        tables => {
            let more = tables.len().saturating_sub(TABLES);
            let more = if more == 0 { String::new() } else { format!(" and {more} more") };
            format!("{}: {}{more}.\n", counted(tables.len(), "table"), tables[..tables.len().min(TABLES)].join(", "))
        }
    };
    match &line.saved {
        Some(saved) => format!(
            "{nodes} of {cluster} deleted; they are saved in {saved}.\n{tables}Before any server is started: \
             `openmldb-ops metadata restore FILE`\n"
        ),
        None => {
            let deleted = paths_text("would delete", &line.deleted);
            format!(
                "{deleted}{nodes} of {cluster} would be deleted, once they are saved beside the record.\n{tables}To \
                 accept that: `openmldb-ops metadata wipe --accept {id}`\n"
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_thousand_tables_keep_fits_a_screen() {
        let paths = (0..1_000).map(|nth| format!("table/db_table_data/{nth}"));
        let all = paths.chain(["db", "table", "table/db_table_data"].map(str::to_owned));
        let tree: MetadataTree = all.map(|path| (path, "")).collect();
        let id = PlanId::of(&"the tree");
        let text = metadata_wiped_text(&MetadataWipedLine::of("zk/openmldb", &tree, Some(&id), None));
        assert!(text.contains("  would delete db\n  would delete table and 1001 nodes below it\n"), "{text}");
        assert!(text.contains(" and 980 more.\n") && text.lines().count() < 10, "{text}");
    }
}
