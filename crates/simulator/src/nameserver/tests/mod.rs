//! The nameservers against the recordings and the rules of docs/openmldb/nameserver.md and operations.md.

#![allow(clippy::panic, clippy::unwrap_used)]

mod elections;
mod engine;
mod fixture;
mod moments;
mod refusals;
mod stub;
mod timelines;
