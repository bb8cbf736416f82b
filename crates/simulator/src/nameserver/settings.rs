//! The nameservers' flags, with OpenMLDB's names and defaults.

use std::num::NonZeroU32;

/// Flags of all nameservers of a cluster. Defaults are those of the deployed templates where they differ from the
/// source's (docs/openmldb/timings.md#settings-and-their-defaults).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Whether it runs without a ZooKeeper (`--tablet`): it counts no terms, and dies when it is told to write to one.
    pub standalone: bool,
    /// `auto_failover`: what the first nameserver writes to ZooKeeper. Template: on.
    pub auto_failover: bool,
    /// `tablet_heartbeat_timeout`, ms: how long a tablet is away before failover acts. Template: one minute.
    pub tablet_heartbeat_timeout_ms: u64,
    /// `tablet_offline_check_interval`, ms.
    pub tablet_offline_check_interval_ms: u64,
    /// `name_server_task_concurrency`: the lanes of RecoverTable and most other ops.
    pub task_concurrency: u32,
    /// `name_server_task_max_concurrency`: the most lanes a request may ask for.
    pub task_max_concurrency: u32,
    /// `get_task_status_interval`, ms after the previous round.
    pub get_task_status_interval_ms: u64,
    /// `get_table_status_interval`, ms after the previous pass.
    pub get_table_status_interval_ms: u64,
    /// `check_binlog_sync_progress_delta`, entries a follower may be behind when it is called alive.
    pub binlog_sync_delta: u64,
    /// `max_op_num`: finished ops remembered.
    pub max_op_num: usize,
    /// `system_table_replica_num`: a nameserver that becomes leader with fewer tablets registered exits. 2 in the
    /// shipped configuration, 1 in the source and in the recordings.
    pub system_table_replica_num: usize,
    /// Time from a nameserver's start to its first attempt at the lock, ms (at least 1 s:
    /// docs/openmldb/metadata-in-zookeeper.md#the-leading-nameserver).
    pub lock_delay_ms: u64,
    /// How long a dead nameserver's lock node stays, ms: a standby led about 4 s after the leader's death
    /// (docs/openmldb/timings.md#measured).
    pub lock_lingers_ms: u64,
    /// Pause before DeleteOPTask is tried again, ms (`request_sleep_time`).
    pub retry_interval_ms: u64,
    /// How long calls to a tablet that came back hang, ms, until its connection is made again. Meanwhile no op ends, which
    /// takes an answer from every tablet, and no other return is dealt with.
    /// tests/recordings/06-tablets-restarted-nameserver-alive-failover-on: ops queued at ..266 for the first tablet back
    /// stood still until ..269, and the next tablets' turn came after that.
    pub reconnect_ms: u64,
    /// Unix seconds at time 0, for the start and end times of ops.
    pub unix_time_base: u64,
    /// One kDelReplica task in so many is lost after it was done, so that its op fails
    /// (docs/openmldb/operations.md#operations-fail-for-no-reason).
    pub op_fails_for_no_reason: Option<NonZeroU32>,
    /// How often, in percent, a task's successor that is sent to a tablet at once keeps the answers of tablets asked later
    /// in the same round from being read. It is a race between two threads; half the time gives both recorded totals
    /// (tests/recordings/10-recover-table-timelines: 53 s unloaded, 57 s loaded but not connected).
    pub rounds_cut_short_percent: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            standalone: false,
            auto_failover: true,
            tablet_heartbeat_timeout_ms: 60_000,
            tablet_offline_check_interval_ms: 1_000,
            task_concurrency: 2,
            task_max_concurrency: 8,
            get_task_status_interval_ms: 2_000,
            get_table_status_interval_ms: 2_000,
            binlog_sync_delta: 100_000,
            max_op_num: 10_000,
            system_table_replica_num: 1,
            lock_delay_ms: 1_000,
            lock_lingers_ms: 4_000,
            retry_interval_ms: 1_000,
            reconnect_ms: 3_000,
            unix_time_base: 1_795_381_000,
            op_fails_for_no_reason: None,
            rounds_cut_short_percent: 50,
        }
    }
}
