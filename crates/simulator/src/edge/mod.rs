//! The edge of the sandbox: sockets that behave as OpenMLDB's do, in front of the [`World`](super::World).

mod door;
mod gate;
mod port;
mod ports;
mod required;
mod service;

pub use ports::Ports;
