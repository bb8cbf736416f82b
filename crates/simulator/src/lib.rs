//! The embedded cluster: a pure, seeded world of simulated nameservers and tablets, and a thin edge that speaks
//! OpenMLDB's wire in front of it.

mod clock;
mod edge;
pub mod fault;
mod idle_clock;
mod limits;
mod live;
pub mod nameserver;
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
pub use world::{Addresses, Unreachable, World};
