//! Connections: one lazily connected HTTP/2 channel per address, set up the way OpenMLDB's servers need it
//! (docs/openmldb/clients.md#transport).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tonic::transport::{Channel, Endpoint};

/// The largest window HTTP/2 knows. The servers never wait for a window to open: an answer larger than what is left of it
/// is reset, so both windows have to be as large as can be (docs/openmldb/clients.md#flow-control).
const WINDOW: u32 = (1 << 31) - 1;

/// How connections and calls are made.
#[derive(Debug, Clone)]
pub struct Transport {
    /// The largest answer accepted, in bytes: 1 GiB by default. A ShowTable of 100,000 partitions is some 50 MB; a message
    /// of 2 GiB is more than protobuf allows.
    pub answer_limit: usize,
    /// How long opening a connection may take: 3 s by default, which is less than any deadline.
    pub connect_timeout: Duration,
    /// A deadline for every call instead of the defaults of each method.
    pub deadline: Option<Duration>,
    /// Where we are, seen from the cluster.
    pub vantage: Vantage,
}

/// Whether we are on the host that the cluster was found through: addresses such as 127.0.0.1 mean the same there, and nothing
/// elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Vantage {
    /// To be found out, where it makes a difference.
    #[default]
    Found,
    /// On another host.
    OtherHost,
}

impl Default for Transport {
    fn default() -> Self {
        Self { answer_limit: 1 << 30, connect_timeout: Duration::from_secs(3), deadline: None, vantage: Vantage::Found }
    }
}

impl Transport {
    /// How long a method's answer is waited for. 20 s is what nameserver and tablets give each other
    /// (`request_timeout_ms`). ConfGet answers from memory and is what a nameserver is probed with. LoadTable of a disk
    /// table and MakeSnapshot look at directories first.
    pub(super) fn deadline(&self, method: &str) -> Duration {
        self.deadline.unwrap_or(match method {
            "ConfGet" => Duration::from_secs(5),
            "LoadTable" | "MakeSnapshot" | "DropTable" => Duration::from_secs(60),
            _ => Duration::from_secs(20),
        })
    }
}

/// The channels opened so far.
#[derive(Debug)]
pub(super) struct Channels {
    connect_timeout: Duration,
    open: Mutex<HashMap<String, Channel>>,
}

impl Channels {
    pub(super) fn new(connect_timeout: Duration) -> Self {
        Self { connect_timeout, open: Mutex::default() }
    }

    /// The channel to an address; connects when it is first used, and again whenever the connection was lost.
    ///
    /// # Errors
    /// The address is none, in words.
    pub(super) fn to(&self, address: &str) -> Result<Channel, String> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(channel) = open.get(address) {
            return Ok(channel.clone());
        }
        let endpoint = Endpoint::from_shared(format!("http://{address}"))
            .map_err(|_| format!("\"{address}\" is not an address of the form host:port"))?
            .connect_timeout(self.connect_timeout)
            .tcp_nodelay(true)
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW);
        let channel = endpoint.connect_lazy();
        open.insert(address.to_owned(), channel.clone());
        Ok(channel)
    }

    /// Forgets the channel to an address, so that the next call opens a new connection: one whose calls exceed their
    /// deadlines may lead to a host that is gone, and TCP takes a quarter of an hour to notice. Calls on it go on.
    pub(super) fn forget(&self, address: &str) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(address);
    }
}
