//! Names and numbers that must not be mixed up.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// What metadata calls a server: `ip:port`, or a server name that ZooKeeper's `map/names` maps to one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Endpoint(Arc<str>);

impl Endpoint {
    /// The endpoint as metadata spells it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Endpoint {
    fn from(text: &str) -> Self {
        Self(Arc::from(text))
    }
}

impl From<String> for Endpoint {
    fn from(text: String) -> Self {
        Self(Arc::from(text))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

number!(
    /// A table's number, unique in the cluster.
    Tid(u32)
);
number!(
    /// A partition's number within its table.
    Pid(u32)
);
number!(
    /// A place in a replica's log, in entries: the first entry has offset 1, an empty log ends at 0.
    Offset(u64)
);
number!(
    /// The number of a leadership of a partition; it only grows.
    Term(u64)
);

impl Offset {
    /// Where the next entry of a log that ends here goes. A server, or a file, may name the largest offset that there is: nothing
    /// comes after that, and above all not the first.
    ///
    /// ```
    /// use openmldb_model::Offset;
    ///
    /// assert_eq!(Offset(0).next(), Offset(1));
    /// assert!(Offset(u64::MAX).next() > Offset(0));
    /// ```
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl Term {
    /// The term that begins with the next election, as OpenMLDB numbers them (docs/openmldb/logs-and-terms.md#terms-of-a-partition).
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(2))
    }
}

number!(
    /// A nameserver operation's number.
    OpId(u64)
);

/// A partition's identity on a tablet: table number and partition number. Written `tid_pid`, as its directory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct PartitionId {
    /// The table.
    pub tid: Tid,
    /// The partition within it.
    pub pid: Pid,
}

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.tid, self.pid)
    }
}

impl From<PartitionId> for String {
    fn from(id: PartitionId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for PartitionId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let numbers = text.split_once('_').and_then(|(tid, pid)| Some((tid.parse().ok()?, pid.parse().ok()?)));
        let (tid, pid) = numbers.ok_or_else(|| format!("`{text}` is not a partition; expected TID_PID, like 7_0"))?;
        Ok(Self { tid: Tid(tid), pid: Pid(pid) })
    }
}
