//! Every server's port, kept as the world has the servers.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use super::port::Port;
use super::service::{Kind, Process};
use crate::{Addresses, Live, World};
use openmldb_model::Endpoint;

/// The ports of a sandbox.
#[derive(Debug)]
pub struct Ports(Vec<Server>);

#[derive(Debug)]
struct Server {
    kind: Kind,
    endpoint: Endpoint,
    port: Port,
}

impl Ports {
    /// Takes a free loopback port per server; nothing listens yet. Their addresses are what the world is built with.
    ///
    /// # Errors
    /// When a port cannot be had.
    pub fn reserve(nameservers: usize, tablets: usize) -> io::Result<(Self, Addresses)> {
        let kinds =
            std::iter::repeat_n(Kind::Nameserver, nameservers).chain(std::iter::repeat_n(Kind::Tablet, tablets));
        let mut servers = Vec::with_capacity(nameservers + tablets);
        for kind in kinds {
            let port = Port::reserve()?;
            servers.push(Server { kind, endpoint: port.address().to_string().into(), port });
        }
        // Metadata lists tablets in the order of their endpoints; so do we.
        servers.sort_by_key(|server| (server.kind, server.port.address()));
        let of = |kind| servers.iter().filter(move |server| server.kind == kind).map(|server| server.endpoint.clone());
        let addresses = Addresses { nameservers: of(Kind::Nameserver).collect(), tablets: of(Kind::Tablet).collect() };
        Ok((Self(servers), addresses))
    }

    /// A port for a tablet that is none of the cluster's.
    ///
    /// # Errors
    /// When a port cannot be had.
    pub fn another_tablet(&mut self) -> io::Result<Endpoint> {
        let port = Port::reserve()?;
        let endpoint: Endpoint = port.address().to_string().into();
        self.0.push(Server { kind: Kind::Tablet, endpoint: endpoint.clone(), port });
        Ok(endpoint)
    }

    /// Learns what the world calls each server, which is not its address where servers have names.
    pub fn name(&mut self, world: &World) {
        for server in &mut self.0 {
            if let Some(endpoint) = world.endpoint_at(&server.port.address().to_string()) {
                server.endpoint = endpoint;
            }
        }
    }

    /// Opens the ports of servers that run and closes those of servers that do not.
    ///
    /// # Errors
    /// When a port could not be opened or kept; the others are done all the same.
    pub async fn follow(&mut self, live: &Arc<Live>) -> io::Result<()> {
        let runs = |world: &World, endpoint: &Endpoint| world.is_up(endpoint) || world.is_frozen(endpoint);
        let up: Vec<bool> = live.look(|world| self.0.iter().map(|server| runs(world, &server.endpoint)).collect());
        let mut result = Ok(());
        for (server, up) in self.0.iter_mut().zip(up) {
            let done = match (up, server.port.is_open()) {
                (true, false) => {
                    let process = Process { live: live.clone(), endpoint: server.endpoint.clone() };
                    server.port.open(server.kind, process)
                }
                (false, true) => server.port.close().await,
                (true, true) | (false, false) => Ok(()),
            };
            result = result.and(done);
        }
        result
    }

    /// Endpoint and address of every nameserver.
    pub fn nameservers(&self) -> Vec<(Endpoint, SocketAddr)> {
        self.of(Kind::Nameserver)
    }

    /// Endpoint and address of every tablet.
    pub fn tablets(&self) -> Vec<(Endpoint, SocketAddr)> {
        self.of(Kind::Tablet)
    }

    fn of(&self, kind: Kind) -> Vec<(Endpoint, SocketAddr)> {
        let servers = self.0.iter().filter(|server| server.kind == kind);
        servers.map(|server| (server.endpoint.clone(), server.port.address())).collect()
    }

    /// Closes everything.
    pub async fn release(self) {
        for server in self.0 {
            server.port.release().await;
        }
    }
}
