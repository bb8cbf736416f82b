//! OpenMLDB's things in OpenMLDB's words, as plain data. Nothing in here does anything: no sockets, no clock, no prose
//! but `Display`. Unknown is a value ([`Seen`], `Option`), never a default.
//!
//! ```
//! use openmldb_model::{PartitionId, Pid, Seen, Tid};
//!
//! let id = PartitionId { tid: Tid(7), pid: Pid(0) };
//! assert_eq!(id.to_string(), "7_0");
//!
//! // What nobody answered is not zero.
//! let rows: Seen<u64> = Seen::Failed("connection refused".to_owned());
//! assert_eq!(rows.known(), None);
//! ```

mod action;
mod id;
mod identity;
mod manual;
mod metadata;
mod moment;
mod op;
mod return_code;
mod row;
mod schema;
mod seen;
mod snapshot;
mod table;
mod tablet;
mod words;
mod zone;

pub use action::{Action, Server};
pub use id::{Endpoint, Offset, OpId, PartitionId, Pid, Term, Tid};
pub use identity::Identity;
pub use manual::{Manual, OpEnd, WhichOps};
pub use metadata::{MetadataSeen, MetadataTree};
pub use moment::moment;
pub use op::{Op, OpKind, OpStatus, TimedOp};
pub use return_code::ReturnCode;
pub use row::{Row, RowCursor, RowPage};
pub use schema::{Column, ColumnKind, Index, Schema};
pub use seen::Seen;
pub use snapshot::{LATELY_MS, Probes, Snapshot, Tablet};
pub use table::{
    Compression, Partition, Polled, RemoteReplica, Replica, StorageMode, Table, TableName, TermStart, Ttl, terms_listed,
};
pub use tablet::{Aggregator, Directory, Followers, Held, Manifest, Registration, Role, State, TabletState, TermPair};
pub use words::{Verb, counted, counted_that, hex, in_bytes};
pub use zone::{FollowedBy, Zone};
