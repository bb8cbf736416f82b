//! The tables that a tree holds.

use crate::model::{MetadataTree, Tid};
use crate::wire::nameserver::TableInfo;
use crate::wire::node;

/// Where tables are that have a database.
pub(super) const OF_DATABASES: &str = "table/db_table_data";
/// Where those are from before there were databases.
pub(super) const WITHOUT_DATABASE: &str = "table/table_data";

/// A table's node.
pub(super) struct TableNode {
    /// Its path.
    pub path: String,
    /// Its name below the parent: the table's number, or its name where it has no database.
    pub name: String,
    /// Whether it is among those that have a database.
    pub has_database: bool,
    /// What it holds.
    pub table: TableInfo,
}

impl TableNode {
    /// The table as people call it.
    pub fn called(&self) -> String {
        match self.table.db() {
            "" => self.table.name().to_owned(),
            db => format!("{db}.{}", self.table.name()),
        }
    }

    pub fn tid(&self) -> Option<Tid> {
        self.table.tid.map(Tid)
    }
}

/// Every table that can be read, and the paths of those that cannot.
pub(super) fn tables(tree: &MetadataTree) -> (Vec<TableNode>, Vec<String>) {
    let (mut tables, mut unreadable) = (Vec::new(), Vec::new());
    for (parent, has_database) in [(OF_DATABASES, true), (WITHOUT_DATABASE, false)] {
        for (name, data) in tree.children(parent) {
            let (path, name) = (format!("{parent}/{name}"), name.to_owned());
            match node::table(data) {
                Ok(table) => tables.push(TableNode { path, name, has_database, table }),
                Err(_) => unreadable.push(path),
            }
        }
    }
    (tables, unreadable)
}
