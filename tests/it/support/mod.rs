//! What tests need: sandboxes, processes, relays, a ZooKeeper, recorded answers.

pub mod cli_harness;
pub mod decisions;
pub mod harness;
pub mod outside;
pub mod patience;
pub mod process;
pub mod recorded;
pub mod relay;
pub mod schema;
pub mod screen;
pub mod svg;
pub mod wire;
pub mod zookeeper;
