//! What a cluster is known by: what it was called when it was found, and the addresses of its tablets. It may be found through its
//! ZooKeeper today and by a nameserver's address tomorrow, and its records are one history.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::model::{Endpoint, Snapshot};

use super::line::RunHeader;

/// What tells a cluster's records from another one's.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClusterNames {
    /// What it is called now.
    called: String,
    /// Where its tablets are.
    tablets: BTreeSet<String>,
    /// On which host that is said: loopback addresses are its own.
    host: String,
}

impl ClusterNames {
    /// Those of a cluster of which nothing was seen.
    pub fn called(name: &str) -> Self {
        Self { called: name.to_owned(), ..Self::default() }
    }

    /// Those of a cluster as it was seen from a host.
    pub fn seen(name: &str, snapshot: &Snapshot, host: &str) -> Self {
        Self { called: name.to_owned(), tablets: addresses(snapshot), host: host.to_owned() }
    }

    /// Those of the cluster that a run was on, as it was seen when the run began.
    pub fn of(begun: &RunHeader) -> Self {
        Self::seen(&begun.cluster, &begun.snapshot, &begun.caller.host)
    }

    /// Whether a run was on this cluster: it is called the same; or it was found in another way, once by the address of a
    /// nameserver, and has a tablet in common. Two root paths in ZooKeeper are two clusters, even if one has taken the place of the
    /// other.
    pub fn is_of(&self, begun: &RunHeader) -> bool {
        if begun.cluster == self.called {
            return true;
        }
        if !matches!(
            (found_by(&begun.cluster), found_by(&self.called)),
            (Found::Address, Found::Address | Found::ZooKeeper) | (Found::ZooKeeper, Found::Address)
        ) {
            return false;
        }
        let same_host = begun.caller.host == self.host;
        addresses(&begun.snapshot)
            .iter()
            .any(|address| self.tablets.contains(address) && (same_host || !is_loopback(address)))
    }
}

fn addresses(snapshot: &Snapshot) -> BTreeSet<String> {
    let tablets = snapshot.tablets.iter();
    let address = |(endpoint, tablet): (&Endpoint, &crate::model::Tablet)| {
        let real = tablet.real_endpoint.clone().filter(|address| !address.is_empty());
        real.unwrap_or_else(|| endpoint.to_string())
    };
    // A name without an address may be another cluster's, too.
    tablets.map(address).filter(|address| address.contains(':')).collect()
}

/// How a cluster was found, by what it is called then.
enum Found {
    /// `HOST:PORT[,HOST:PORT...]/ROOT`.
    ZooKeeper,
    /// `HOST:PORT` of a nameserver.
    Address,
    /// It lives as long as a command.
    Embedded,
}

fn found_by(name: &str) -> Found {
    match (name.contains('/'), name.contains(':')) {
        (true, _) => Found::ZooKeeper,
        (false, true) => Found::Address,
        (false, false) => Found::Embedded,
    }
}

/// Whether every host calls itself by this address.
pub(in super::super) fn is_loopback(address: &str) -> bool {
    let name = address.rsplit_once(':').map_or(address, |(name, _)| name).trim_matches(['[', ']']);
    name == "localhost" || name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::super::super::made_up::begun;
    use super::super::super::run_id::RunId;
    use super::super::line::Caller;
    use super::*;
    use crate::model::Tablet;

    fn snapshot(tablets: &[&str]) -> Snapshot {
        let tablets = tablets.iter().map(|at| (Endpoint::from(*at), Tablet::unknown()));
        Snapshot {
            cluster: String::new(),
            taken_at_ms: 0,
            zone: crate::model::Zone::Alone,
            identity: crate::model::Identity::Cluster,
            auto_failover: true,
            tables: Vec::new(),
            tablets: tablets.collect(),
            ops: Vec::new(),
        }
    }

    /// Whether a cluster that is called like this and has these tablets is the one of a run that called it otherwise.
    fn same(now: (&str, &[&str]), then: (&str, &[&str]), host_then: &str) -> bool {
        let (run, caller) =
            (RunId { began_ms: 1, number: 0 }, Caller { host: host_then.to_owned(), ..Caller::default() });
        let begun = RunHeader { caller, ..begun(run, then.0, snapshot(then.1)) };
        ClusterNames::seen(now.0, &snapshot(now.1), "a").is_of(&begun)
    }

    #[test]
    fn a_cluster_is_the_same_however_it_was_found() {
        const ZK: &str = "zk:2181/openmldb";
        let (one, two) = (&["10.0.0.1:10921", "10.0.0.2:10921"][..], &["10.0.0.2:10921"][..]);
        assert!(same((ZK, one), (ZK, &[]), "b"), "called the same");
        assert!(same((ZK, one), ("10.0.0.9:7527", two), "b"));
        assert!(same(("10.0.0.9:7527", one), (ZK, two), "b"));
        assert!(same(("10.0.0.9:7527", one), ("10.0.0.8:7527", two), "b"), "another nameserver leads");
        assert!(!same((ZK, one), ("10.0.0.9:7527", &["10.0.0.3:10921"]), "b"), "no tablet in common");
        assert!(!same((ZK, one), ("zk:2181/other", one), "b"), "two roots are two clusters");
        assert!(!same(("10.0.0.9:7527", one), ("sandbox healthy", one), "a"), "one of them is no more");
        let named = &["tablet1"][..];
        assert!(!same((ZK, named), ("10.0.0.9:7527", named), "a"), "names are given again");
        let loopback = &["127.0.0.1:10921"][..];
        assert!(same((ZK, loopback), ("127.0.0.1:7527", loopback), "a"));
        assert!(!same((ZK, loopback), ("127.0.0.1:7527", loopback), "b"), "each host has its own");
    }
}
