//! How fast simulated tablets are, and how they are configured.

/// Flags and speeds of all tablets of a world. Where OpenMLDB has a flag of the name, the default is its default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Threads of a tablet's task pool, shared by loads, snapshot sending and drops
    /// (docs/openmldb/load-table.md#how-many-at-a-time: 3).
    pub task_pool_size: usize,
    /// Nanoseconds to load one entry (docs/openmldb/timings.md#measured: 100,000 small rows in 0.8 s).
    pub load_ns_per_entry: u64,
    /// Milliseconds every load takes, however small. 165 x 3 small replicas on 3 tablets were up after some 2 s
    /// (docs/openmldb/timings.md#measured), which bounds it by 40.
    pub load_fixed_ms: u64,
    /// Milliseconds for which a loaded replica shows kTableNormal with offset 0 (an instant:
    /// docs/openmldb/load-table.md#what-a-load-looks-like).
    pub normal_before_offset_ms: u64,
    /// Milliseconds between a leader's attempts to agree on an offset with a follower
    /// (`binlog_match_logoffset_interval`).
    pub match_offset_interval_ms: u64,
    /// Milliseconds until a leader ships new entries.
    pub sync_interval_ms: u64,
    /// Entries a leader ships at a time; with the interval of 10 ms, 100,000 a second.
    pub sync_batch: usize,
    /// Whether dropped directories are kept (`recycle_bin_enabled`).
    pub recycle_bin_enabled: bool,
    /// Milliseconds between two rounds of garbage collection (`gc_interval`: two hours); a disk table's compaction is one here.
    pub gc_interval_ms: u64,
    /// New entries below which MakeSnapshot without an offset does nothing (100,000:
    /// docs/openmldb/tablet.md#snapshots).
    pub make_snapshot_threshold_offset: u64,
    /// Milliseconds every snapshot takes (docs/openmldb/timings.md#measured: each answered within 50 ms).
    pub snapshot_fixed_ms: u64,
    /// Nanoseconds to write one entry into a snapshot. Made up: half of loading it.
    pub snapshot_ns_per_entry: u64,
    /// Milliseconds every SendSnapshot takes. Made up.
    pub send_fixed_ms: u64,
    /// Nanoseconds to send one entry (50 bytes at a `stream_bandwidth_limit` of 20 MB/s).
    pub send_ns_per_entry: u64,
    /// Milliseconds a drop takes. Made up.
    pub drop_ms: u64,
    /// By how many percent, up and down, the seed varies what a load, a snapshot, a sending or a drop takes.
    pub jitter_percent: u64,
    /// Whether `ssd_root_path` is set; a mode without a root is refused with 138.
    pub has_ssd_root: bool,
    /// Whether `hdd_root_path` is set.
    pub has_hdd_root: bool,
    /// Whether it runs without a ZooKeeper: then it knows no terms.
    pub standalone: bool,
    /// Where tablets keep their files, as in the recordings.
    pub root: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            task_pool_size: 3,
            load_ns_per_entry: 8_000,
            load_fixed_ms: 10,
            normal_before_offset_ms: 1,
            match_offset_interval_ms: 1_000,
            sync_interval_ms: 10,
            sync_batch: 1_000,
            recycle_bin_enabled: true,
            gc_interval_ms: 7_200_000,
            make_snapshot_threshold_offset: 100_000,
            snapshot_fixed_ms: 20,
            snapshot_ns_per_entry: 4_000,
            send_fixed_ms: 20,
            send_ns_per_entry: 2_500,
            drop_ms: 5,
            jitter_percent: 10,
            has_ssd_root: true,
            has_hdd_root: true,
            standalone: false,
            root: "/data/openmldb".to_owned(),
        }
    }
}
