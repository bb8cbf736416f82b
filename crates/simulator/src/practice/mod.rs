//! Orders to a sandbox that runs: servers are killed, started and stopped in their tracks, and clients write, so that bringing a machine
//! back and running again can be practised. Given over a channel of their own, which only a sandbox has: a real cluster can be told none
//! of this.

mod channel;
mod obey;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use channel::{Door, Listening, OrderError, give, is_there};

use openmldb_model::Endpoint;

/// What a sandbox is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "snake_case")]
pub enum Order {
    /// SIGKILL of these servers.
    Kill {
        /// Which.
        servers: Vec<Who>,
    },
    /// Those that are dead are started, those that hang go on. Answered once they run, and, if nameservers are among them, one leads.
    Start {
        /// Which.
        servers: Vec<Who>,
    },
    /// These answer nothing until they are started or killed: their ports are open, their processes and sessions are there.
    Hang {
        /// Which.
        servers: Vec<Who>,
    },
    /// Clients put so many rows into each partition of a user table, where its leader is by metadata.
    Write {
        /// Into each partition.
        rows: u64,
    },
}

/// One server, or all of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Who {
    /// Every server.
    All,
    /// A tablet, by its place in the list of tablets, from 1.
    Tablet(usize),
    /// A nameserver, likewise.
    Nameserver(usize),
    /// A server, by its endpoint or address.
    At(Endpoint),
}

/// What became of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    /// Every server as it is now.
    Servers {
        /// Tablets first.
        servers: Vec<Server>,
    },
    /// How clients fared.
    Written(Written),
    /// It was not done.
    Refused {
        /// Why, in words.
        why: String,
    },
}

/// A server of a sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// As orders name it: `tablet2`.
    pub name: String,
    /// Where it listens.
    pub address: Endpoint,
    /// How it is.
    pub state: ServerState,
    /// Whether the order was about it.
    pub told: bool,
}

/// How a server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServerState {
    /// It answers.
    Running,
    /// Its process is there and answers nothing.
    Hanging,
    /// It has no process.
    Dead,
}

/// How clients fared that wrote to every partition of a user table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// Rows that a leader said it has.
    pub acknowledged: u64,
    /// Rows that nobody took.
    pub refused: u64,
    /// Partitions written to.
    pub partitions: u64,
    /// Those of them that took none.
    pub partitions_refusing: u64,
}

/// A word that names no server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` names no server: it is tablet1, nameserver1, an endpoint, or all")]
pub struct NoServer(String);

impl FromStr for Who {
    type Err = NoServer;

    fn from_str(word: &str) -> Result<Self, NoServer> {
        let unknown = || NoServer(word.to_owned());
        let number = |text: &str| text.parse::<usize>().ok().filter(|number| *number > 0).ok_or_else(unknown);
        if word == "all" {
            return Ok(Self::All);
        }
        if word.contains(':') {
            return Ok(Self::At(Endpoint::from(word)));
        }
        match (word.strip_prefix("tablet"), word.strip_prefix("nameserver")) {
            (Some(rest), _) => number(rest).map(Self::Tablet),
            (_, Some("")) => Ok(Self::Nameserver(1)),
            (_, Some(rest)) => number(rest).map(Self::Nameserver),
            _ => Err(unknown()),
        }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Tablet(number) => write!(f, "tablet{number}"),
            Self::Nameserver(number) => write!(f, "nameserver{number}"),
            Self::At(endpoint) => write!(f, "{endpoint}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_named_by_place_or_address() {
        let read = |word: &str| word.parse::<Who>();
        assert_eq!(read("tablet3"), Ok(Who::Tablet(3)));
        assert_eq!(read("nameserver"), Ok(Who::Nameserver(1)));
        assert_eq!(read("all"), Ok(Who::All));
        assert_eq!(read("127.0.0.1:9"), Ok(Who::At("127.0.0.1:9".into())));
        for wrong in ["tablet", "tablet0", "tablet-1", "3", "", "everything"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
