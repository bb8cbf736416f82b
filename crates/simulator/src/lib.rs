//! The embedded cluster: a pure, seeded world of simulated nameservers and tablets, and a thin edge that speaks
//! OpenMLDB's wire in front of it.
//!
//! ```
//! use std::sync::Arc;
//!
//! use openmldb_client::{Cluster, Options};
//! use openmldb_simulator::scenario::{Scenario, Shape};
//! use openmldb_simulator::{Addresses, InProcess, Live, TimeScale};
//!
//! // Everything was restarted: metadata is there, and no tablet holds anything.
//! let world = Scenario::EverythingRestarted.bring_about(&Shape::default(), &Addresses::recorded(1, 3))?;
//! let servers = InProcess::new(Arc::new(Live::new(world, TimeScale::default())));
//! let cluster = Cluster::new(Arc::new(servers), Options::default());
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
//! let tables = runtime.block_on(cluster.tables())?;
//! assert!(tables.iter().any(|table| table.name.table == "orders"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod clock;
mod edge;
pub mod fault;
mod idle_clock;
mod limits;
mod live;
pub mod nameserver;
pub mod practice;
pub mod registration;
mod rng;
mod rpc;
pub mod scenario;
mod serve;
pub mod tablet;
mod virtual_time;
pub mod world;
pub mod writers;

pub use clock::{Clock, TimeScale};
pub use idle_clock::on_an_idle_clock;
pub use limits::NOT_MODELLED;
pub use live::Live;
pub use registration::{Registration, RegistrationError, ZooKeeperPath};
pub use rpc::InProcess;
pub use serve::{Options, Sandbox, SandboxError};
pub use tablet::Millis;
pub use virtual_time::in_virtual_time;
pub use world::{Addresses, Started, Unreachable, World};
