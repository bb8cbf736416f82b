//! What the sandbox leaves out.

/// What it does not model: no run on it says anything about these.
pub const NOT_MODELLED: [&str; 10] = [
    "deletes of what has been aggregated",
    "power cuts by themselves: a killed server keeps what it acknowledged; scenarios take from disks what was not synced",
    "networks that are cut between only some of the servers: a server that hangs does so for everybody",
    "disks that are full, and memory that is used up (`max_memory`)",
    "indexes that are added or dropped, and rows that are in one index of a table and not in another",
    "deletes of more than one row: by a time range, or of a key that several rows have",
    "bulk loads",
    "torn log records: a log file ends with a whole entry",
    "how clusters come to follow another one; of a cluster that follows, nothing but one tablet",
    "TaskManager, SQL, and what clients read",
];
