//! Where a cluster is, and every way in which finding its leading nameserver can fail, each with its own sentence.

use std::time::Duration;

use super::{CallError, Secret};

/// How to find a cluster.
#[derive(Debug, Clone)]
pub enum Target {
    /// Through the ZooKeeper it registers in.
    ZooKeeper {
        /// `host:port[,host:port…]`, as OpenMLDB's flag `zk_cluster` has it.
        servers: String,
        /// The root path, as OpenMLDB's flag `zk_root_path` has it; `/openmldb` by default.
        root: String,
        /// Digest credentials `user:password`, as OpenMLDB's flag `zk_cert` has them.
        credentials: Option<Secret>,
    },
    /// By the address `host:port` of the nameserver that leads. Should another one take over, it cannot be found.
    Nameserver(String),
}

/// Why the leading nameserver was not found.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DiscoveryError {
    /// The list of ZooKeeper servers is malformed.
    #[error("\"{servers}\" is not a list of ZooKeeper servers: {why}; write host:port[,host:port...]")]
    BadServers {
        /// The list as given.
        servers: String,
        /// What is wrong with it.
        why: String,
    },
    /// The root path is malformed.
    #[error(
        "\"{root}\" is not a ZooKeeper path: {why}; the root path is OpenMLDB's flag zk_root_path, usually /openmldb"
    )]
    BadRoot {
        /// The path as given.
        root: String,
        /// What is wrong with it.
        why: String,
    },
    /// No ZooKeeper server's name resolves.
    #[error("no ZooKeeper server's name resolves: {seen}")]
    UnknownHost {
        /// Per server, what the resolver said.
        seen: String,
    },
    /// No ZooKeeper server's port is open.
    #[error("no ZooKeeper server listens: {seen}")]
    NothingListens {
        /// Per server, what was seen.
        seen: String,
    },
    /// Something listens, and speaks no ZooKeeper.
    #[error(
        "{servers} listens, but is not a ZooKeeper: no session could be opened within {waited:?}, and it answers \
         nothing a ZooKeeper would"
    )]
    NoZooKeeper {
        /// The servers.
        servers: String,
        /// How long a session was waited for.
        waited: Duration,
    },
    /// A ZooKeeper that gives no sessions.
    #[error("{servers} is a ZooKeeper, but no session could be opened within {waited:?}; it says: {seen}")]
    NoSession {
        /// The servers.
        servers: String,
        /// How long a session was waited for.
        waited: Duration,
        /// What it says of itself.
        seen: String,
    },
    /// ZooKeeper was there, and is not any more.
    #[error("ZooKeeper at {servers} did not answer about {path}: {seen}")]
    ZooKeeperLost {
        /// The servers.
        servers: String,
        /// The path read.
        path: String,
        /// What was seen.
        seen: String,
    },
    /// The root path does not exist.
    #[error("ZooKeeper at {servers} has no {root}: is the root path right?{}", there_is(parent, there))]
    WrongRoot {
        /// The servers.
        servers: String,
        /// The root path.
        root: String,
        /// The nearest path above it that exists.
        parent: String,
        /// What is under `parent`; none where it may not be read.
        there: Option<Vec<String>>,
    },
    /// The root path exists, and no nameserver is registered under it.
    #[error(
        "no nameserver is registered under {root}/leader at ZooKeeper {servers}: is a nameserver of this cluster running?"
    )]
    NoNameserver {
        /// The servers.
        servers: String,
        /// The root path.
        root: String,
    },
    /// ZooKeeper does not let us read.
    #[error("ZooKeeper does not let us read {path}: {}", credentials_advice(*with_credentials))]
    Unauthorized {
        /// The path.
        path: String,
        /// Whether we showed credentials.
        with_credentials: bool,
    },
    /// The leader goes by a server name that has no address.
    #[error("the leading nameserver goes by the name {name}, which {root}/map/names does not map to an address")]
    NoAddress {
        /// The name.
        name: String,
        /// The root path.
        root: String,
    },
    /// The leader is registered under an address that means this host here.
    #[error(
        "the leading nameserver is registered as {address}, an address that only its own host can use, and this is another host \
         than ZooKeeper's ({servers}): run this on the nameserver's host, or give the servers addresses that others can use (--endpoint)"
    )]
    LeaderOnOtherHost {
        /// Its address.
        address: String,
        /// The ZooKeeper servers.
        servers: String,
    },
    /// The OpenMLDB user's name cannot be put into a header.
    #[error("the user name contains characters that cannot be sent: only printable ASCII can")]
    UnsendableUser,
    /// The leader's port is not served. A nameserver registers before it opens its port
    /// (docs/openmldb/metadata-in-zookeeper.md#a-nameserver-registers-before-it-opens-its-port).
    #[error("the leading nameserver is {address}, but it could not be reached within {waited:?}: {seen}")]
    LeaderUnreachable {
        /// Its address.
        address: String,
        /// How long it was waited for.
        waited: Duration,
        /// What was seen last.
        seen: String,
    },
    /// The nameserver goes on saying that it does not lead.
    #[error(
        "the nameserver {address} still answers that it is not the leader (code 300) after {waited:?}: it is a standby, or cannot take over"
    )]
    NotLeading {
        /// Its address.
        address: String,
        /// How long it was waited for.
        waited: Duration,
    },
    /// The leader closes every connection.
    #[error(
        "the nameserver {address} closes every connection without an answer: it refuses our credentials, keeps dying, \
         or is not a nameserver ({seen})"
    )]
    LeaderHangsUp {
        /// Its address.
        address: String,
        /// What was seen last.
        seen: String,
    },
    /// The leader answers, but not as a nameserver does.
    #[error("the nameserver {address} cannot be used: {error}")]
    LeaderUnusable {
        /// Its address.
        address: String,
        /// The call that showed it.
        error: Box<CallError>,
    },
}

fn there_is(parent: &str, there: &Option<Vec<String>>) -> String {
    match there {
        Some(children) if children.is_empty() => format!(" There is nothing under {parent}."),
        Some(children) => format!(" Under {parent} there is: {}.", children.join(", ")),
        None => String::new(),
    }
}

fn credentials_advice(with_credentials: bool) -> &'static str {
    if with_credentials {
        "it does not accept the credentials given (OpenMLDB's flag zk_cert)"
    } else {
        "it requires credentials (OpenMLDB's flag zk_cert): give them in OPENMLDB_ZK_CERT or in a file"
    }
}
