//! The embedded cluster.

pub mod tablet;
