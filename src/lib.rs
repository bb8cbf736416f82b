//! openmldb-ops brings an OpenMLDB cluster back after everything went down at once.

#[macro_use]
pub mod wire;
pub mod cluster;
pub mod model;
pub mod playbook;
pub mod sandbox;
