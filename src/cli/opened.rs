//! A cluster that was reached.

use crate::cluster::{Cluster, Target};

/// One that was found, or started, and how it is reached.
pub struct Opened {
    /// Its servers.
    pub cluster: Cluster,
    /// What records and messages call it.
    pub name: String,
    /// What a command that sets auto_failover needs to find it.
    pub reach: String,
    /// How much faster than ours its clock runs.
    pub pace: f64,
    /// Where it was found.
    pub target: Target,
}
