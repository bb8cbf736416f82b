//! A made-up cluster, as a snapshot of it before the disaster.

use std::collections::BTreeMap;
use std::str::FromStr;

use crate::model::{
    Endpoint, Offset, Partition, Pid, Replica, Seen, Snapshot, StorageMode, Table, TableName, Tablet, TabletState,
    Term, TermStart, Tid,
};

/// How big it is. Replicas go around the tablets, so that every tablet has as many as any other, leaders too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Generate {
    /// Tablets: 3 if not said.
    pub tablets: u64,
    /// Tables: 10 if not said.
    pub tables: u64,
    /// Partitions of each table: 8 if not said, the default of `partition_num`.
    pub partitions: u64,
    /// Replicas of each partition: 3 if not said, `replica_num`'s default.
    pub replicas: u64,
    /// Rows of each partition: 1000 if not said.
    pub rows: u64,
}

/// Why a size cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GenerateError {
    /// Not of the form.
    #[error("`{0}` is not of the form NAME=NUMBER")]
    Form(String),
    /// No such size.
    #[error("`{0}` is not a cluster size; there are tablets, tables, partitions, replicas and rows")]
    Unknown(String),
    /// Too small or too big.
    #[error("{name} must be from 1 to {most}")]
    Bounds {
        /// Which.
        name: &'static str,
        /// The most there can be.
        most: u64,
    },
    /// Replicas of a partition live on different tablets.
    #[error("{replicas} replicas need as many tablets, there are {tablets}")]
    TooFewTablets {
        /// Tablets asked for.
        tablets: u64,
        /// Replicas asked for.
        replicas: u64,
    },
}

/// The most tables, and the most partitions of a table.
const MOST: u64 = 100_000;
/// The most partitions in all: what fits into the memory of a laptop.
const MOST_PARTITIONS: u64 = 200_000;
/// The most rows of a partition.
const MOST_ROWS: u64 = 10_000_000_000;
/// The first tid of a user table (OpenMLDB's own have 2 to 6: docs/openmldb/nameserver.md#system-tables).
const FIRST_TID: u64 = 7;

impl Default for Generate {
    fn default() -> Self {
        Self { tablets: 3, tables: 10, partitions: 8, replicas: 3, rows: 1_000 }
    }
}

impl FromStr for Generate {
    type Err = GenerateError;

    fn from_str(text: &str) -> Result<Self, GenerateError> {
        let mut generate = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let form = || GenerateError::Form(part.to_owned());
            let (name, number) = part.split_once('=').ok_or_else(form)?;
            let number = number.trim().parse().map_err(|_| form())?;
            match name.trim() {
                "tablets" => generate.tablets = number,
                "tables" => generate.tables = number,
                "partitions" => generate.partitions = number,
                "replicas" => generate.replicas = number,
                "rows" => generate.rows = number,
                other => return Err(GenerateError::Unknown(other.to_owned())),
            }
        }
        generate.check()
    }
}

impl Generate {
    fn check(self) -> Result<Self, GenerateError> {
        let bounds = [
            ("tablets", self.tablets, 1_000),
            ("tables", self.tables, MOST),
            ("partitions", self.partitions, MOST),
            ("replicas", self.replicas, 16),
            ("rows", self.rows, MOST_ROWS),
            ("tables times partitions", self.tables.saturating_mul(self.partitions), MOST_PARTITIONS),
        ];
        if let Some((name, _, most)) = bounds.into_iter().find(|(_, value, most)| !(1..=*most).contains(value)) {
            return Err(GenerateError::Bounds { name, most });
        }
        if self.replicas > self.tablets {
            return Err(GenerateError::TooFewTablets { tablets: self.tablets, replicas: self.replicas });
        }
        Ok(self)
    }

    /// The cluster, all well: every replica alive and as long as the others, one term.
    pub fn snapshot(&self) -> Snapshot {
        let endpoints: Vec<Endpoint> =
            (0..self.tablets).map(|at| Endpoint::from(format!("tablet-{:03}:10921", at + 1))).collect();
        let tablet =
            Tablet { state: Some(TabletState::Healthy), held: Seen::Known(BTreeMap::new()), ..Tablet::unknown() };
        let tablets = endpoints.iter().map(|endpoint| (endpoint.clone(), tablet.clone())).collect();
        let at = |place: u64| endpoints[(place % self.tablets) as usize].clone();
        let replica = |table: u64, pid: u64, nth: u64| Replica {
            endpoint: at(table + pid + nth),
            is_leader: nth == 0,
            is_alive: true,
            offset: Some(Offset(self.rows)),
        };
        let partition = |table: u64, pid: u64| Partition {
            pid: Pid(pid as u32),
            terms: vec![TermStart { term: Term(1), start: Offset(0) }],
            replicas: (0..self.replicas).map(|nth| replica(table, pid, nth)).collect(),
            remotes: Vec::new(),
        };
        let table = |table: u64| Table {
            name: TableName { db: "shop".to_owned(), table: format!("t{table}") },
            tid: Tid((FIRST_TID + table) as u32),
            storage: StorageMode::Memory,
            has_ttl: false,
            replica_num: None,
            base_table: None,
            partitions: (0..self.partitions).map(|pid| partition(table, pid)).collect(),
        };
        Snapshot {
            cluster: "made up".to_owned(),
            taken_at_ms: 0,
            zone: crate::model::Zone::Alone,
            identity: crate::model::Identity::Cluster,
            auto_failover: true,
            tables: (0..self.tables).map(table).collect(),
            tablets,
            ops: Vec::new(),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_the_rest_is_usual() {
        let generate: Generate = "tablets=5, rows=20".parse().unwrap();
        assert_eq!(generate, Generate { tablets: 5, rows: 20, ..Generate::default() });
        let refused = |text: &str| text.parse::<Generate>().unwrap_err().to_string();
        assert_eq!(refused("tablets"), "`tablets` is not of the form NAME=NUMBER");
        assert_eq!(refused("rows=many"), "`rows=many` is not of the form NAME=NUMBER");
        assert!(refused("disks=3").starts_with("`disks` is not a cluster size"));
        assert_eq!(refused("tablets=0"), "tablets must be from 1 to 1000");
        assert_eq!(refused("tables=1000,partitions=1000"), "tables times partitions must be from 1 to 200000");
        assert_eq!(refused("tablets=2"), "3 replicas need as many tablets, there are 2");
    }

    #[test]
    fn every_tablet_has_as_many_replicas_and_leaders_as_any_other() {
        let snapshot = Generate { tablets: 4, tables: 2, partitions: 8, replicas: 3, rows: 5 }.snapshot();
        let replicas = || snapshot.tables.iter().flat_map(|table| &table.partitions).flat_map(|found| &found.replicas);
        for endpoint in snapshot.tablets.keys() {
            assert_eq!(replicas().filter(|replica| replica.endpoint == *endpoint).count(), 12);
            assert_eq!(replicas().filter(|replica| replica.endpoint == *endpoint && replica.is_leader).count(), 4);
        }
    }
}
