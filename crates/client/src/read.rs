//! Reading a cluster: each method one question, answered in the words of the model.

use std::time::Duration;

use openmldb_model::{
    Aggregator, Directory, Endpoint, Followers, Held, Manifest, Op, PartitionId, Pid, Polled, Registration, RowCursor,
    RowPage, Schema, StorageMode, Table, TableName, TermPair, Tid, TimedOp, Zone,
};
use openmldb_wire::api::TableMeta;
use openmldb_wire::call::{NameserverAnswer, NameserverCall, TabletAnswer};
use openmldb_wire::decode::{self, FileSeen, Garbage};
use openmldb_wire::encode::{self, ReplicaFile};
use openmldb_wire::{nameserver, polled};

use super::{CallError, CallErrorKind, Cluster};

/// GetTableFollower of a leader that replicates to nobody; the answer carries its offset all the same
/// (docs/openmldb/logs-and-terms.md#how-a-leader-replicates). Releases before 0.8.3 answered 0.
const NO_FOLLOWER: i32 = 134;

/// How long is waited to hear whether a cluster follows another one: nothing depends on it but what is said.
const ZONE_WITHIN: Duration = Duration::from_secs(2);

/// CheckFile of a file that is not there, or has another size.
const FILE_DIFFERS: i32 = -1;

/// Takes the answer to a call out of the enum of all answers and decodes it.
macro_rules! decoded {
    ($server:expr, $answer:expr, $variant:path, $decode:expr) => {{
        let answer = $answer;
        let method = answer.name();
        let found = match &answer {
            $variant(answer) => $decode(answer).map_err(|garbage: Garbage| CallErrorKind::from(garbage)),
            _ => Err(CallErrorKind::Garbage { seen: "the answer to another call".to_owned() }),
        };
        found.map_err(|kind| CallError::new($server, method, kind))
    }};
}

/// # Errors
/// Every method here fails with what was seen last, after the attempts a read has.
impl Cluster {
    /// Every table of every database, system databases included, with its topology, flags and the nameserver's last
    /// numbers (ShowTable with show_all). Tables older than databases are among them, with an empty database. Says
    /// nothing about what tablets hold (docs/openmldb/auto-failover.md#what-a-full-restart-leaves-behind).
    pub async fn tables(&self) -> Result<Vec<Table>, CallError> {
        let answer = self.nameserver(encode::show_all_tables()).await?;
        decoded!(self.nameserver_name(), answer, NameserverAnswer::ShowTable, decode::tables)
    }

    /// What the nameserver last polled of every replica of every table (ShowTable).
    pub async fn polled(&self) -> Result<Vec<Polled>, CallError> {
        let answer = self.nameserver(encode::show_all_tables()).await?;
        decoded!(self.nameserver_name(), answer, NameserverAnswer::ShowTable, polled::polled)
    }

    /// The tablets the nameserver knows, and what it thinks of them (ShowTablet).
    pub async fn tablets(&self) -> Result<Vec<Registration>, CallError> {
        let call = NameserverCall::ShowTablet(nameserver::ShowTabletRequest {});
        let answer = self.nameserver(call).await?;
        decoded!(self.nameserver_name(), answer, NameserverAnswer::ShowTablet, decode::registrations)
    }

    /// Operations under way and failed ones (ShowOPStatus); done ones vanish when the nameserver changes
    /// (docs/openmldb/nameserver.md#operations-taken-over).
    pub async fn ops(&self) -> Result<Vec<Op>, CallError> {
        let call = NameserverCall::ShowOpStatus(nameserver::ShowOpStatusRequest::default());
        let answer = self.nameserver(call).await?;
        decoded!(self.nameserver_name(), answer, NameserverAnswer::ShowOpStatus, decode::ops)
    }

    /// The same with their times.
    pub async fn timed_ops(&self) -> Result<Vec<TimedOp>, CallError> {
        let call = NameserverCall::ShowOpStatus(nameserver::ShowOpStatusRequest::default());
        let answer = self.nameserver(call).await?;
        decoded!(self.nameserver_name(), answer, NameserverAnswer::ShowOpStatus, decode::timed_ops)
    }

    /// One table; none if there is no such table any more.
    pub async fn table(&self, name: &TableName) -> Result<Option<Table>, CallError> {
        let answer = self.nameserver(encode::show_table(name)).await?;
        let tables = decoded!(self.nameserver_name(), answer, NameserverAnswer::ShowTable, decode::tables)?;
        // Tables older than databases come with every ShowTable, whatever its database
        // (docs/openmldb/nameserver.md#what-showtable-shows).
        Ok(tables.into_iter().find(|table| table.name == *name))
    }

    /// One table's columns and indexes; none if there is no such table.
    pub async fn schema(&self, name: &TableName) -> Result<Option<Schema>, CallError> {
        let answer = self.nameserver(encode::show_table(name)).await?;
        let found = |answer: &nameserver::ShowTableResponse| {
            let mut tables = answer.table_info.iter();
            let mine = tables.find(|info| info.name() == name.table && info.db() == name.db);
            mine.map(decode::schema).transpose()
        };
        decoded!(self.nameserver_name(), answer, NameserverAnswer::ShowTable, found)
    }

    /// One partition's operations.
    pub async fn ops_of(&self, table: &TableName, pid: Pid) -> Result<Vec<Op>, CallError> {
        let answer = self.nameserver(encode::show_ops_of(table, pid)).await?;
        decoded!(self.nameserver_name(), answer, NameserverAnswer::ShowOpStatus, decode::ops)
    }

    /// Whether auto_failover is on (ConfGet).
    pub async fn auto_failover(&self) -> Result<bool, CallError> {
        let answer = self.nameserver(NameserverCall::ConfGet(nameserver::ConfGetRequest {})).await?;
        decoded!(self.nameserver_name(), answer, NameserverAnswer::ConfGet, decode::auto_failover)
    }

    /// The tablets that have registered themselves in ZooKeeper, whatever the nameserver made of that: it misses some,
    /// which then stay kOffline (docs/openmldb/nameserver.md#a-registration-that-the-nameserver-missed). None without
    /// ZooKeeper.
    pub async fn registered_tablets(&self) -> Result<Option<Vec<Endpoint>>, CallError> {
        // Where ZooKeeper does not say in time, nobody knows.
        self.shared.ending.within(self.shared.rpc.registered_tablets()).await.unwrap_or(Ok(None))
    }

    /// Whether the cluster follows another one, or is followed. Alone where nobody says so in time.
    pub async fn zone(&self) -> Zone {
        let asked = tokio::time::timeout(ZONE_WITHIN, self.shared.rpc.zone());
        asked.await.unwrap_or_default()
    }

    /// The address that a server's name stands for, as it was last read; none where the name is the address, or nobody knows.
    pub fn address_of(&self, endpoint: &Endpoint) -> Option<String> {
        self.shared.rpc.address_of(endpoint)
    }

    /// Every replica a tablet holds, in any state, in one call (GetTableStatus).
    pub async fn table_status(&self, endpoint: &Endpoint) -> Result<Vec<Held>, CallError> {
        let answer = self.tablet(endpoint, encode::table_status(), &[]).await?;
        decoded!(format!("tablet {endpoint}"), answer, TabletAnswer::GetTableStatus, decode::held)
    }

    /// One replica as its tablet holds it; none if it does not. Attempted once.
    pub async fn replica_status_once(
        &self,
        endpoint: &Endpoint,
        partition: PartitionId,
    ) -> Result<Option<Held>, CallError> {
        let answer = self.tablet_once(endpoint, encode::replica_status(partition), &[]).await?;
        let held = decoded!(format!("tablet {endpoint}"), answer, TabletAnswer::GetTableStatus, decode::held)?;
        Ok(held.into_iter().find(|held| held.partition == partition))
    }

    /// The same of everything it holds.
    pub async fn table_status_once(&self, endpoint: &Endpoint) -> Result<Vec<Held>, CallError> {
        let answer = self.tablet_once(endpoint, encode::table_status(), &[]).await?;
        decoded!(format!("tablet {endpoint}"), answer, TabletAnswer::GetTableStatus, decode::held)
    }

    /// How a tablet describes the table of a replica that it has loaded (GetTableSchema).
    pub async fn table_meta(&self, endpoint: &Endpoint, partition: PartitionId) -> Result<TableMeta, CallError> {
        let answer = self.tablet(endpoint, encode::table_schema(partition), &[]).await?;
        decoded!(format!("tablet {endpoint}"), answer, TabletAnswer::GetTableSchema, decode::table_meta)
    }

    /// A replica's term and offset (GetTermPair): of its log if it is loaded, of its snapshot if not.
    pub async fn term_pair(
        &self,
        endpoint: &Endpoint,
        partition: PartitionId,
        storage: StorageMode,
    ) -> Result<TermPair, CallError> {
        let answer = self.tablet(endpoint, encode::term_pair(partition, storage), &[]).await?;
        decoded!(format!("tablet {endpoint}"), answer, TabletAnswer::GetTermPair, decode::term_pair)
    }

    /// A replica's newest snapshot on disk, loaded or not (GetManifest).
    pub async fn manifest(
        &self,
        endpoint: &Endpoint,
        partition: PartitionId,
        storage: StorageMode,
    ) -> Result<Manifest, CallError> {
        let answer = self.tablet(endpoint, encode::manifest(partition, storage), &[]).await?;
        decoded!(format!("tablet {endpoint}"), answer, TabletAnswer::GetManifest, decode::manifest)
    }

    /// What there is to load of a replica that is not loaded (CheckFile, up to three times).
    pub async fn directory(
        &self,
        endpoint: &Endpoint,
        partition: PartitionId,
        storage: StorageMode,
    ) -> Result<Directory, CallError> {
        let seen = async |file| {
            let answer = self.tablet(endpoint, encode::check_file(file, partition, storage), &[FILE_DIFFERS]).await?;
            decoded!(format!("tablet {endpoint}"), answer, TabletAnswer::CheckFile, decode::file)
        };
        let has_log = seen(ReplicaFile::FirstLog).await? != FileSeen::Missing;
        let has_files = has_log || seen(ReplicaFile::Manifest).await? != FileSeen::Missing;
        if has_files && !storage.is_disk() {
            return Ok(Directory::InPlace);
        }
        Ok(match (seen(ReplicaFile::Description).await?, has_files) {
            (FileSeen::Written, true) => Directory::InPlace,
            // An empty description was one once.
            (FileSeen::Missing, true) | (FileSeen::Empty, _) => Directory::Undescribed,
            (FileSeen::Written, false) => Directory::Bare,
            (FileSeen::Missing, false) => Directory::Missing,
        })
    }

    /// Whether a tablet aggregates into its replica of a pre-aggregate table (CheckFile).
    pub async fn aggregator(
        &self,
        endpoint: &Endpoint,
        partition: PartitionId,
        storage: StorageMode,
    ) -> Result<Aggregator, CallError> {
        let file = ReplicaFile::Aggregator;
        let answer = self.tablet(endpoint, encode::check_file(file, partition, storage), &[FILE_DIFFERS]).await?;
        let seen = decoded!(format!("tablet {endpoint}"), answer, TabletAnswer::CheckFile, decode::file)?;
        Ok(if seen == FileSeen::Missing { Aggregator::Missing } else { Aggregator::Present })
    }

    /// A table with its columns, as the nameserver describes it (ShowTable). One of the same name may have taken its place, so it
    /// is told by its number.
    pub(super) async fn described(&self, table: &TableName, tid: Tid) -> Result<nameserver::TableInfo, CallError> {
        let answer = self.nameserver(encode::show_table(table)).await?;
        let found = |answer: &nameserver::ShowTableResponse| {
            let is_it = |info: &&nameserver::TableInfo| info.tid() == tid.0 && !info.column_desc.is_empty();
            Ok(answer.table_info.iter().find(is_it).cloned())
        };
        let described = decoded!(self.nameserver_name(), answer, NameserverAnswer::ShowTable, found)?;
        let unknown = || CallErrorKind::Garbage { seen: format!("no columns of {table} (tid {tid})") };
        described.ok_or_else(|| CallError::new(self.nameserver_name(), "ShowTable", unknown()))
    }

    /// Some of the rows that a loaded replica holds, leader or follower, in the order of an index (Traverse): from the
    /// beginning, or behind a cursor. Rows that have expired or are deleted are not among them. No index means the first
    /// one.
    pub async fn rows(
        &self,
        endpoint: &Endpoint,
        partition: PartitionId,
        index: Option<&str>,
        after: Option<&RowCursor>,
        limit: u32,
    ) -> Result<RowPage, CallError> {
        let answer = self.tablet(endpoint, encode::traverse(partition, index, after, limit), &[]).await?;
        decoded!(format!("tablet {endpoint}"), answer, TabletAnswer::Traverse, decode::rows)
    }

    /// Whom a leader replicates to and how far each has got (GetTableFollower). A leader without followers (134) gives
    /// an empty list. A follower refuses with 103, a tablet without the replica with 100.
    pub async fn followers(&self, leader: &Endpoint, partition: PartitionId) -> Result<Followers, CallError> {
        let answer = self.tablet(leader, encode::followers(partition), &[NO_FOLLOWER]).await?;
        decoded!(format!("tablet {leader}"), answer, TabletAnswer::GetTableFollower, decode::followers)
    }
}
