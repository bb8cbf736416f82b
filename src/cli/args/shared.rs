//! Arguments that many commands take, and how their values are read. Every doc comment on an argument is help text.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::run::PlanId;

/// Where the cluster is.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Cluster")]
pub struct Where {
    // What the environment and files say is heard in `find`: here it would conflict with --sandbox.
    /// ZooKeeper servers, HOST:PORT[,HOST:PORT...] [env: OPENMLDB_ZK_CLUSTER]
    #[arg(long, alias = "zk_cluster", value_name = "SERVERS", conflicts_with = "nameserver")]
    pub zk_cluster: Option<String>,
    /// The cluster's root path in ZooKeeper [env: OPENMLDB_ZK_ROOT_PATH] [default: /openmldb]
    #[arg(long, alias = "zk_root_path", value_name = "PATH")]
    pub zk_root_path: Option<String>,
    /// A file with ZooKeeper's digest credentials, user:password (or OPENMLDB_ZK_CERT in the environment) [env:
    /// OPENMLDB_ZK_CERT_FILE]
    #[arg(long, alias = "zk_cert_file", value_name = "FILE")]
    pub zk_cert_file: Option<PathBuf>,
    /// The leading nameserver, for a cluster whose ZooKeeper cannot be reached [env: OPENMLDB_NAMESERVER]
    #[arg(long, value_name = "HOST:PORT")]
    pub nameserver: Option<String>,
    /// A file with OpenMLDB's user:password (or OPENMLDB_AUTH in the environment); default is the service's own [env:
    /// OPENMLDB_AUTH_FILE]
    #[arg(long, value_name = "FILE")]
    pub auth_file: Option<PathBuf>,
    /// A file of OpenMLDB's flags, as conf/nameserver.flags, that says where the cluster is
    #[arg(long, value_name = "FILE")]
    pub flagfile: Option<PathBuf>,
    /// The cluster by its name in the configuration file, or SERVERS/ROOT (see `config show`)
    #[arg(short, long, value_name = "NAME|SERVERS/ROOT")]
    pub cluster: Option<String>,
    /// How long to wait for a nameserver to lead and answer
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = seconds)]
    pub leader_wait: u64,
}

/// Which partitions.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Scope")]
pub struct Which {
    /// Every partition of every table, system tables included
    #[arg(long, conflicts_with_all = ["db", "table", "partition"])]
    pub all: bool,
    /// Every partition of a database; repeatable
    #[arg(long, value_name = "DATABASE")]
    pub db: Vec<String>,
    /// Every partition of a table; repeatable
    #[arg(long, value_name = "DATABASE.TABLE")]
    pub table: Vec<String>,
    /// One partition, or several: D.T/1,3,5-9; repeatable
    #[arg(long, value_name = "DATABASE.TABLE/PID")]
    pub partition: Vec<String>,
}

/// A time as playbooks spell it; a number alone is seconds.
pub(in crate::cli) fn time(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().map(Duration::from_secs);
    let time = seconds.or_else(|| crate::playbook::duration(text));
    time.ok_or_else(|| "a time is 0, or a whole number and a unit: 500ms, 30s, 5m, 2h".to_owned())
}

/// A time of whole seconds; a number alone is seconds.
pub(in crate::cli) fn seconds(text: &str) -> Result<u64, String> {
    let whole = |time: Duration| (time.subsec_nanos() == 0).then_some(time.as_secs());
    let time = time(text).ok().and_then(whole);
    time.ok_or_else(|| "a time here is whole seconds, or a whole number and a unit: 30, 30s, 5m, 2h".to_owned())
}

/// A plan's id, as a dry run prints it.
pub(in crate::cli) fn plan_id(text: &str) -> Result<PlanId, String> {
    text.parse()
}
