//! The embedded cluster.

pub mod nameserver;
