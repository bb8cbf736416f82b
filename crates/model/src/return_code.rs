//! OpenMLDB's return codes: what each means during a recovery, and what to do next.

/// A code with which a nameserver or a tablet answers (docs/openmldb/calls.md#codes).
#[derive(Debug, PartialEq, Eq)]
pub struct ReturnCode {
    /// The number.
    pub code: i32,
    /// Its name in OpenMLDB's source.
    pub name: &'static str,
    /// What it says.
    pub means: &'static str,
    /// What to do next.
    pub next: &'static str,
}

impl ReturnCode {
    /// The code of that number, if OpenMLDB 0.9.3 has one.
    pub fn of(code: i32) -> Option<&'static Self> {
        Self::ALL.iter().find(|known| known.code == code)
    }
}

/// What helps where a tablet refuses because of how a replica is.
const LOOK: &str = "`openmldb-ops replica status` shows how tablets hold it; `openmldb-ops recover --all --dry-run` shows how to recover it";
/// The same where a replica cannot be loaded.
const LOAD: &str =
    "the tablet's log says more; `openmldb-ops recover --all` loads what can be loaded, and names what is in the way";
/// Where a command names what is not there.
const TABLES: &str = "`openmldb-ops show tables` lists what there is";
/// Where it is about a tablet.
const TABLETS: &str = "`openmldb-ops show tablets` shows the tablets' state; start what is down, then try again";
/// Where an operation is in the way, or failed.
const OPS: &str = "`openmldb-ops show ops` says what is in progress; wait for it, then try again";
/// Where ZooKeeper is behind it.
const ZOOKEEPER: &str = "see whether ZooKeeper answers and has room on its disk; `openmldb-ops status`, then try again";
/// Where a snapshot or a file is on its way between tablets.
const SENDING: &str = "wait, then `openmldb-ops status`; if it stays so, the logs of both tablets say why";
/// What clients meet, not the recovery.
const CLIENTS: &str =
    "this is for the author of the statement; `openmldb-ops status` says whether the cluster is the cause";
/// What concerns a second cluster that follows this one.
const OTHER_CLUSTER: &str =
    "it is about a cluster that follows another one, which is not brought back from here; see OpenMLDB's documentation";

macro_rules! codes {
    ($($code:literal $name:ident $means:literal, $next:expr;)*) => {
        impl ReturnCode {
            /// All codes of OpenMLDB 0.9.3, by number.
            pub const ALL: &[Self] =
                &[$(Self { code: $code, name: stringify!($name), means: $means, next: $next },)*];
        }
    };
}

codes! {
    -1 kError "a general error: the text that comes with it says what happened", "read the text; `openmldb-ops status` shows the state of the cluster";
    0 kOk "success; for RecoverTable and ChangeLeader it does not mean that anything was done", "`openmldb-ops status` shows the result";
    100 kTableIsNotExist "there is no such table, or this tablet does not hold the replica", TABLES;
    101 kTableAlreadyExists "the table is there already; a tablet that is told to load: it is loaded, or loading", LOOK;
    102 kTableIsLeader "the replica leads already, or is flagged leader and cannot be taken away", LOOK;
    103 kTableIsFollower "the replica is a follower, and only its leader does that", LOOK;
    104 kTableIsLoading "the replica is still loading", "wait; `openmldb-ops replica status` says when it is loaded";
    105 kTableStatusIsNotKnormal "the replica is loading, making a snapshot or being sent, and cannot do this meanwhile", LOOK;
    106 kTableStatusIsKmakingsnapshot "the replica is making a snapshot", "wait, then try again";
    107 kTableStatusIsNotKsnapshotpaused "the replica's snapshots are not paused, so there is nothing to resume", LOOK;
    108 kIdxNameNotFound "the table has no such index", TABLES;
    109 kKeyNotFound "no row has that key", CLIENTS;
    110 kReplicatorIsNotExist "the tablet holds no log of that replica: it is not loaded", LOOK;
    111 kSnapshotIsNotExist "the tablet knows no snapshot of that replica", LOOK;
    112 kTtlTypeMismatch "the kind of TTL does not fit the table's", CLIENTS;
    114 kTsMustBeGreaterThanZero "a row's time is 0", CLIENTS;
    115 kInvalidDimensionParameter "a row's keys do not fit the table's indexes", CLIENTS;
    116 kPutFailed "the row was not put", CLIENTS;
    117 kStLessThanEt "a query ends after it begins: times go backwards", CLIENTS;
    118 kReacheTheScanMaxBytesSize "a query found more than the tablet gives at once (scan_max_bytes_size)", CLIENTS;
    119 kReplicaEndpointAlreadyExists "the leader replicates to that replica already", LOOK;
    120 kFailToAddReplicaEndpoint "the leader could not begin to replicate to that replica", LOOK;
    121 kReplicatorRoleIsNotLeader "the replica is a follower in memory, and only a leader replicates", LOOK;
    122 kFailToAppendEntriesToReplicator "a follower could not take over entries", LOOK;
    123 kFileReceiverInitFailed "the tablet could not begin to receive a file: no room, or no right to write", SENDING;
    124 kCannotFindReceiver "the tablet receives no such file", SENDING;
    125 kBlockIdMismatch "a part of a file came out of order", SENDING;
    126 kReceiveDataError "a part of a file did not come whole", SENDING;
    127 kWriteDataFailed "the tablet could not write to its disk", "see whether the tablet's disk is full or broken; `openmldb-ops status`";
    128 kSnapshotIsSending "the tablet sends that replica's snapshot to another one already", SENDING;
    129 kTableMetaIsIllegal "the description of the table that came with the call cannot be right", LOAD;
    130 kTableDbPathIsNotExist "the replica's directory is not on the tablet's disk", LOAD;
    131 kCreateTableFailed "the tablet could not make the table", LOAD;
    132 kTtlIsGreaterThanConfValue "the TTL is above the tablet's limit (absolute_ttl_max, latest_ttl_max)", CLIENTS;
    133 kCannotUpdateTtlBetweenZeroAndNonzero "a TTL of 0 cannot be changed into another one, nor back", CLIENTS;
    134 kNoFollower "the leader has no followers, or the partition has a single replica", LOOK;
    135 kInvalidConcurrency "the concurrency is out of range", CLIENTS;
    136 kDeleteFailed "nothing was deleted: there is no such row, or no such operation", OPS;
    137 kTsNameNotFound "the table has no such time column", CLIENTS;
    138 kFailToGetDbRootPath "none of the tablet's db_root_path directories can be used", "see the tablet's flag db_root_path, and whether its disks are mounted; `openmldb-ops status`";
    139 kFailToGetRecycleRootPath "none of the tablet's recycle bins can be used", "see the tablet's flag recycle_bin_root_path, and whether its disks are mounted; `openmldb-ops status`";
    140 kUpdateFailed "the row was not updated", CLIENTS;
    141 kIndexAlreadyExists "the table has that index already", CLIENTS;
    142 kDeleteIndexFailed "the index was not deleted", CLIENTS;
    143 kAddIndexFailed "the index was not added", CLIENTS;
    145 kTableTypeMismatch "a disk table cannot do that, or a memory table cannot", CLIENTS;
    146 kDumpIndexDataFailed "the index's data could not be written down", SENDING;
    147 kSnapshotRecycled "the snapshot of this query is gone: it took too long", CLIENTS;
    148 kQueryFailed "the query failed", CLIENTS;
    149 kPutBadFormat "the row is not encoded as the table's schema has it", CLIENTS;
    150 kUnkownTableType "the table is of a kind that the tablet does not know", CLIENTS;
    151 kColNameNotFound "the table has no such column", CLIENTS;
    152 kEncodeError "something could not be encoded", CLIENTS;
    153 kAddTypeToColumnDescFailed "a column's type could not be added to its description", CLIENTS;
    154 kUseNameIsFalse "servers of this cluster have no names (use_name is off)", CLIENTS;
    155 kServerNameNotFound "no server is registered under that name", TABLETS;
    156 kSdkEndpointDuplicate "two servers have the same address for clients", CLIENTS;
    157 kProcedureAlreadyExists "there is a procedure or deployment of that name", CLIENTS;
    158 kProcedureNotFound "there is no procedure or deployment of that name", CLIENTS;
    159 kCreateFunctionFailed "the function was not made", CLIENTS;
    160 kExceedMaxMemory "the tablet is at its limit of memory (max_memory_mb)", "give the tablet more memory, or tables more tablets: `openmldb-ops scale out --dry-run`";
    161 kInvalidArgs "an argument is wrong", CLIENTS;
    162 kCheckIndexFailed "the index does not fit the table", CLIENTS;
    163 kCatalogUpdateFailed "the tablet could not learn of a change of tables", CLIENTS;
    164 kExceedPutMemoryLimit "the tablet is at its limit of memory for rows that are put", "give the tablet more memory, or tables more tablets: `openmldb-ops scale out --dry-run`";
    300 kNameserverIsNotLeader "this nameserver is a standby; another one leads, or is about to", "name the cluster by --zk-cluster, which finds the one that leads; `openmldb-ops status`";
    301 kAutoFailoverIsEnabled "auto_failover is on, and the call is not allowed meanwhile", "`openmldb-ops recover --all` and the single steps switch it off around their calls, and restore it; `openmldb-ops failover get` says how it is";
    302 kEndpointIsNotExist "the nameserver knows no such tablet", TABLETS;
    303 kTabletIsNotHealthy "the nameserver considers the tablet offline, or does not know it", "`openmldb-ops show tablets`: start it; if it runs, restart the leading nameserver, then `openmldb-ops recover --all`";
    304 kSetZkFailed "ZooKeeper did not take over a change; a part of what was asked may have been done", ZOOKEEPER;
    305 kCreateOpFailed "the nameserver could not make the operation", OPS;
    306 kAddOpDataFailed "the nameserver could not write the operation down in ZooKeeper", ZOOKEEPER;
    307 kInvalidParameter "an argument is not what the call takes", TABLES;
    308 kPidIsNotExist "the table has no such partition, or no such replica on that tablet", TABLES;
    309 kLeaderIsAlive "the partition's leader is flagged alive, and no candidate was named", "name the new leader: `openmldb-ops leader handover D.T/PID --to ENDPOINT` loses nothing that is written meanwhile";
    310 kNoAliveFollower "no follower is flagged alive, so no leader can be elected", "`openmldb-ops recover --all --dry-run` says who can lead";
    311 kPartitionIsAlive "the replica is flagged alive, so there is nothing to recover", "`openmldb-ops status`; a replica that is flagged alive and is not well: `openmldb-ops recover --all --dry-run`";
    312 kOpStatusIsNotKdoingOrKinited "the operation has ended, or there is none of that number", OPS;
    313 kDropTableError "the table was not dropped", OPS;
    314 kSetPartitionInfoFailed "no tablets were found for the table's partitions", TABLETS;
    315 kConvertColumnDescFailed "the columns could not be understood", CLIENTS;
    316 kCreateTableFailedOnTablet "a tablet could not make the table", TABLETS;
    317 kPidAlreadyExists "that tablet has a replica of the partition already", TABLES;
    318 kSrcEndpointIsNotExistOrNotHealthy "the tablet that the replica should leave is unknown, or considered offline", TABLETS;
    319 kDesEndpointIsNotExistOrNotHealthy "the tablet that the replica should move to is unknown, or considered offline", TABLETS;
    320 kMigrateFailed "the replica cannot be migrated; the text says why", TABLES;
    321 kNoPidHasUpdate "no replica of the table is on that tablet, so no flag was set", TABLES;
    322 kFailToUpdateTtlFromTablet "a tablet did not take over the TTL", CLIENTS;
    323 kFieldNameRepeatedInTableInfo "two columns have the same name", CLIENTS;
    324 kTheCountOfAddingFieldIsMoreThan63 "more columns were added than a table takes", CLIENTS;
    325 kFailToUpdateTablemetaForAddingField "a tablet did not take over a column that was added", CLIENTS;
    326 kConnectZkFailed "ZooKeeper cannot be reached", ZOOKEEPER;
    327 kRequestTabletFailed "a tablet did not do what the nameserver asked", TABLETS;
    328 kExplainFailed "a statement could not be explained", CLIENTS;
    329 kConvertSchemaFailed "a schema could not be understood", CLIENTS;
    330 kGetSchemaFailed "a schema could not be read", CLIENTS;
    331 kCheckParameterFailed "an argument is not what the call takes", CLIENTS;
    332 kCreateProcedureFailedOnTablet "a tablet could not make the procedure or deployment", CLIENTS;
    333 kCreateFunctionFailedOnTablet "a tablet could not make the function", CLIENTS;
    334 kOPAlreadyExists "an operation on the partition is under way, and there is one at a time", OPS;
    335 kOffsetMismatch "leader and follower are not at the same offset", LOOK;
    336 kGetTabletFailed "the nameserver found no tablet for it", TABLETS;
    337 kTruncateTableFailed "the table was not emptied", OPS;
    400 kReplicaClusterAliasDuplicate "a following cluster of that name is there already", OTHER_CLUSTER;
    401 kConnectRelicaClusterZkFailed "the ZooKeeper of the following cluster cannot be reached", OTHER_CLUSTER;
    402 kNotSameReplicaName "the following cluster has another name", OTHER_CLUSTER;
    403 kConnectNsFailed "the nameserver of the following cluster cannot be reached", OTHER_CLUSTER;
    404 kReplicaNameNotFound "there is no following cluster of that name", OTHER_CLUSTER;
    405 kThisIsNotFollower "this cluster follows no other one", OTHER_CLUSTER;
    406 kTermLeCurTerm "the following cluster has heard of a later term", OTHER_CLUSTER;
    407 kZoneNameNotEqual "the following cluster is another one's", OTHER_CLUSTER;
    408 kAlreadyJoinZone "the following cluster follows another one already", OTHER_CLUSTER;
    409 kUnkownServerMode "the mode of a server is unknown", OTHER_CLUSTER;
    410 kZoneNotEmpty "the following cluster has tables of its own", OTHER_CLUSTER;
    450 kCreateZkFailed "a node of ZooKeeper could not be made", ZOOKEEPER;
    451 kGetZkFailed "a node of ZooKeeper could not be read", ZOOKEEPER;
    452 kDelZkFailed "a node of ZooKeeper could not be deleted", ZOOKEEPER;
    453 kIsFollowerCluster "this cluster follows another one, and takes no such call", OTHER_CLUSTER;
    454 kCurNameserverIsNotLeaderMdoe "this cluster follows another one, and takes no such call", OTHER_CLUSTER;
    455 kShowtableErrorWhenAddReplicaCluster "the tables of the following cluster could not be read", OTHER_CLUSTER;
    501 kNoZoneInfo "the call does not say which cluster is followed", OTHER_CLUSTER;
    502 kZoneInfoMismathch "the call is another cluster's", OTHER_CLUSTER;
    503 kCreateTableForReplicaClusterFailed "a table was not made in the following cluster", OTHER_CLUSTER;
    504 kAddTaskInReplicaClusterNsFailed "the following cluster did not take over a task", OTHER_CLUSTER;
    505 kCreateDroptableremoteopForReplicaClusterFailed "the operation that drops a table there was not made", OTHER_CLUSTER;
    506 kNameserverIsNotReplicaCluster "that nameserver does not belong to a following cluster", OTHER_CLUSTER;
    507 kReplicaClusterNotHealthy "the following cluster is not healthy", OTHER_CLUSTER;
    508 kReplicaClusterHasNoTableDoNotNeedPid "the following cluster has no such table", OTHER_CLUSTER;
    509 kTableHasNoAliveLeaderPartition "a partition of the table has no live leader", OTHER_CLUSTER;
    510 kCreateRemoteTableInfoFailed "what the following cluster has of the table could not be written down", OTHER_CLUSTER;
    511 kCreateAddreplicaremoteopFailed "the operation that adds a replica there was not made", OTHER_CLUSTER;
    512 kTableHasNoPidXxx "the table has no such partition there", OTHER_CLUSTER;
    513 kCreateAddreplicassimplyremoteopFailed "the operation that adds replicas there was not made", OTHER_CLUSTER;
    514 kRemoteTableHasANoAliveLeaderPartition "a partition there has no live leader", OTHER_CLUSTER;
    515 kRequestHasNoZoneInfoOrTaskInfo "the call does not say whose it is", OTHER_CLUSTER;
    516 kCurNameserverIsLeaderCluster "this cluster is followed, and follows none", OTHER_CLUSTER;
    517 kHasNotColumnKey "no column is a key", CLIENTS;
    518 kTooManyPartition "more partitions than a table takes", CLIENTS;
    519 kWrongColumnKey "the key's columns are wrong", CLIENTS;
    701 kOperatorNotSupport "the call does not know how to do that to this kind of table", CLIENTS;
    801 kDatabaseAlreadyExists "there is a database of that name", CLIENTS;
    802 kDatabaseNotFound "there is no database of that name", TABLES;
    803 kDatabaseNotEmpty "the database has tables", CLIENTS;
    901 kSQLCmdRunError "the statement failed; the text says why", CLIENTS;
    1000 kSQLCompileError "the statement could not be compiled", CLIENTS;
    1001 kSQLRunError "the statement failed while it ran", CLIENTS;
    1002 kRPCRunError "a call that the statement needs failed", CLIENTS;
    1003 kServerConnError "a server that the statement needs cannot be reached", TABLETS;
    1004 kRPCError "a call that the statement needs did not come through", TABLETS;
    1100 kFlushPrivilegesFailed "users and their rights could not be read again", CLIENTS;
    1101 kNotAuthorized "the user may not do that", "give user:password in OPENMLDB_AUTH or --auth-file";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_stands_once_and_in_order() {
        assert!(ReturnCode::ALL.is_sorted_by(|a, b| a.code < b.code));
        assert_eq!(ReturnCode::of(303).map(|code| code.name), Some("kTabletIsNotHealthy"));
        assert_eq!((ReturnCode::of(1), ReturnCode::of(113)), (None, None));
    }
}
