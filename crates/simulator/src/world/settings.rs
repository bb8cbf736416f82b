//! How a world is configured.

use crate::{nameserver, tablet};

/// Flags and speeds of everything in a world.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The tablets'.
    pub tablet: tablet::Settings,
    /// The nameservers'.
    pub nameserver: nameserver::Settings,
    /// Milliseconds a dead tablet's ephemeral node stays: OpenMLDB asks for 2000 (`zk_session_timeout`), a ZooKeeper with the
    /// usual tickTime grants no less than 4000.
    pub session_timeout_ms: u64,
    /// Whether servers go by names (`use_name`).
    pub use_name: bool,
    /// Decides everything that is left to chance.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            tablet: tablet::Settings::default(),
            nameserver: nameserver::Settings::default(),
            session_timeout_ms: 4_000,
            use_name: false,
            seed: 1,
        }
    }
}
