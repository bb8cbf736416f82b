//! OpenMLDB's contract as Rust types: the messages generated from `proto/`, one enum per service that names every
//! call we use, and the translation between messages and [`openmldb_model`].

#[macro_use]
pub mod call;
pub mod decode;
pub mod encode;
mod row;

pub use row::{Value, values};

/// Generated from `proto/` by build.rs: `openmldb::nameserver`, `openmldb::api` (the tablet), `common`, `type`.
#[allow(missing_docs, clippy::all, clippy::unwrap_used, clippy::panic)]
mod generated {
    tonic::include_proto!("openmldb");
}

pub use generated::openmldb::{api, common, nameserver, r#type};
