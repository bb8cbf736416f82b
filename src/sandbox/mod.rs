//! The embedded cluster.

pub mod nameserver;
pub mod tablet;
