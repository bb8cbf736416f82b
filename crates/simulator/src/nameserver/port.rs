//! How nameservers reach tablets: by calls, like the real ones, and in no other way.

use thiserror::Error;

use super::TableSpec;
use openmldb_wire::call::{TabletAnswer, TabletCall};

/// Nobody answered: the process is down, or the network is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("no answer")]
pub struct Unreachable;

/// A partition, by numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionKey {
    /// The table.
    pub tid: u32,
    /// The partition within it.
    pub pid: u32,
}

/// The tablets, as a nameserver reaches them.
pub trait TabletPort {
    /// One RPC.
    ///
    /// # Errors
    /// [`Unreachable`] if nobody answers.
    fn call(&mut self, endpoint: &str, call: TabletCall) -> Result<TabletAnswer, Unreachable>;

    /// TabletServer.CreateTable, which our contract leaves out: an empty replica, loaded at once. `replicas` are the
    /// followers that a leader replicates to from the start.
    fn create_table(
        &mut self,
        endpoint: &str,
        partition: PartitionKey,
        spec: &TableSpec,
        leader: bool,
        term: u64,
        replicas: &[String],
    );
}
