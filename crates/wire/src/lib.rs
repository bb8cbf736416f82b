//! OpenMLDB's contract as Rust types: the messages generated from `proto/`, one enum per service that names every
//! call we use, and the translation between messages and [`openmldb_model`].
//!
//! ```
//! use openmldb_wire::{call::Effect, decode, encode, nameserver};
//!
//! let call = encode::show_all_tables();
//! assert_eq!((call.name(), call.effect()), ("ShowTable", Effect::Read));
//!
//! // What makes no sense is an error that names the field.
//! let table_info = vec![nameserver::TableInfo::default()];
//! let answer = nameserver::ShowTableResponse { table_info, ..Default::default() };
//! assert!(decode::tables(&answer).unwrap_err().field.starts_with("table_info[0]."));
//! ```

mod aggregation;
#[macro_use]
pub mod call;
pub mod decode;
pub mod encode;
pub mod node;
pub mod polled;
mod row;
mod verbatim;

pub use aggregation::Aggregation;
pub use row::{Value, values};
pub use verbatim::Verbatim;

/// Generated from `proto/` by build.rs: `openmldb::nameserver`, `openmldb::api` (the tablet), `common`, `type`. Its clients and
/// servers are what tests put at the other end of ours.
#[allow(missing_docs, clippy::all, clippy::unwrap_used, clippy::panic)]
mod generated {
    tonic::include_proto!("openmldb");
}

pub use generated::openmldb::{api, common, nameserver, r#type};
