//! Whom we talk to, as far as the servers' own answers show it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Endpoint;

/// Who is at the other end. Only a cluster is ever changed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Identity {
    /// The cluster that was asked for: a nameserver that is registered in a ZooKeeper, with its tablets.
    #[default]
    Cluster,
    /// A nameserver without a ZooKeeper, and its one tablet.
    Standalone {
        /// Its address.
        nameserver: String,
    },
    /// A nameserver that hears from tablets, none of which is registered under the root path it was found through.
    OtherCluster {
        /// Its address.
        nameserver: String,
        /// The tablets it hears from.
        hears_from: Vec<Endpoint>,
        /// Those that are registered.
        registered: Vec<Endpoint>,
    },
    /// A server is registered under an address that only its own host can use, and that host is another one.
    OtherHost {
        /// The server.
        server: Endpoint,
        /// Its address.
        address: String,
    },
    /// Nothing tells a cluster from a standalone OpenMLDB.
    Unknown {
        /// The nameserver's address.
        nameserver: String,
    },
}

impl Identity {
    /// Whether it may be changed.
    pub fn is_cluster(&self) -> bool {
        *self == Self::Cluster
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cluster => f.write_str("a cluster"),
            Self::Standalone { nameserver } => write!(
                f,
                "the nameserver {nameserver} is standalone: it runs without ZooKeeper, with one tablet and one replica \
                 of everything, and the call that sets auto_failover would kill it"
            ),
            Self::OtherCluster { nameserver, hears_from, registered } => write!(
                f,
                "the nameserver {nameserver} belongs to another cluster: it hears from {}, but this root path has {} \
                 registered",
                list(hears_from),
                list(registered)
            ),
            Self::OtherHost { server, address } => {
                let name = if server.as_str() == address { String::new() } else { format!(" {server}") };
                write!(
                    f,
                    "a server{name} is registered as {address}, an address that only its own host can use, and this is \
                     another host: the server at that address here is not part of this cluster"
                )
            }
            Self::Unknown { nameserver } => write!(
                f,
                "it is unclear whether the nameserver {nameserver} belongs to a cluster or is standalone: it has no \
                 tables, and none of its tablets answers"
            ),
        }
    }
}

fn list(endpoints: &[Endpoint]) -> String {
    let names: Vec<&str> = endpoints.iter().map(Endpoint::as_str).collect();
    names.join(", ")
}
