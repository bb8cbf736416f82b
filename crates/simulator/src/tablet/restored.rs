//! Directories put where they are, without any history: how a sandbox takes another cluster's likeness.

use super::disk::{Directory, ManifestFile, MetaFile, Snapshot};
use super::{Entry, TableSpec, Tablets};
use openmldb_model::Role;

/// What a partition's directory is to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// Every entry, indexes ascending, gaps possible.
    pub log: Vec<Entry>,
    /// Up to which index entries are in the snapshot instead of the binlog; 0 for no snapshot.
    pub snapshot_up_to: u64,
    /// Whether the file that MANIFEST names is there.
    pub has_snapshot_file: bool,
}

impl Tablets {
    /// Puts a partition's directory on a tablet's disk, in place of any that is there. A loaded replica stays as it is.
    /// Whether there is such a tablet.
    pub fn restore_directory(&mut self, endpoint: &str, table: &TableSpec, role: Role, files: Files) -> bool {
        let id = table.partition();
        let Some(machine) = self.machine_mut(endpoint) else { return false };
        let Files { mut log, snapshot_up_to, has_snapshot_file } = files;
        let binlog = log.split_off(log.partition_point(|entry| entry.index <= snapshot_up_to));
        let manifest = (snapshot_up_to > 0).then(|| ManifestFile {
            offset: snapshot_up_to,
            name: format!("{id}.sdb"),
            count: log.len() as u64,
            term: log.last().map_or(0, |entry| entry.term),
        });
        let rows = has_snapshot_file.then(|| log.into());
        let directory = Directory {
            meta: Some(MetaFile { schema: table.schema.clone(), role: Some(role), term: Some(1) }),
            snapshot: manifest.map(|manifest| Snapshot { manifest: Some(manifest), rows }),
            binlog: Some(binlog),
            has_data: table.schema.storage.is_disk(),
            ..Directory::default()
        };
        *machine.disk.make_directory(table.schema.storage, id) = directory;
        true
    }
}
