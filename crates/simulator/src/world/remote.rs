//! Clusters that replicate to each other: ours is followed, or follows (docs/openmldb/remote-clusters.md).

use openmldb_model::{Endpoint, FollowedBy, Zone};
use openmldb_wire::nameserver::PartitionMeta;

use super::World;
use super::trace::partition;

/// The tables of the other cluster have numbers of their own.
const REMOTE_TIDS: u32 = 1_000;

impl World {
    /// Another cluster follows this one from now on: one tablet of it, which leads every partition there and holds what the first
    /// replica with a leader flag has. Metadata names it, and leaders that lead replicate to it.
    pub fn be_followed(&mut self, alias: &str, tablet: &Endpoint) {
        self.tablets.add(tablet.as_str());
        self.tablets.start(tablet.as_str());
        self.tablets.set_follows(tablet.as_str(), true);
        let endpoint = tablet.to_string();
        for (id, metas) in self.metadata() {
            let Some(flagged) = metas.partition_meta.iter().find(|meta| meta.is_leader) else { continue };
            let remote_tid = id.tid.0 + REMOTE_TIDS;
            if !self.tablets.copy_to_remote(&flagged.endpoint, id, &endpoint, remote_tid) {
                continue;
            }
            let remote = PartitionMeta {
                endpoint: endpoint.clone(),
                is_alive: Some(true),
                remote_tid: Some(remote_tid),
                alias: Some(alias.to_owned()),
                ..PartitionMeta::default()
            };
            self.nameservers.add_remote(id.tid.0, id.pid.0, remote);
            let leads = self.tablets.role(&flagged.endpoint, id) == Some(openmldb_model::Role::Leader);
            if leads && flagged.is_alive() {
                self.tablets.replicate_to_remote(&flagged.endpoint, id, &endpoint, remote_tid);
            }
        }
        let by = FollowedBy {
            alias: alias.to_owned(),
            zk_cluster: "127.0.0.1:2181".to_owned(),
            zk_root_path: format!("/{alias}"),
            is_healthy: true,
        };
        self.set_zone(Zone::Leads { followed_by: vec![by] });
    }

    /// This cluster follows another one from now on: its leaders take that one's entries, and nothing from clients.
    pub fn follow(&mut self, leader: &str, alias: &str) {
        self.set_zone(Zone::Follows { leader: Some(leader.to_owned()), alias: Some(alias.to_owned()) });
        for endpoint in self.tablet_endpoints.clone() {
            self.tablets.set_follows(endpoint.as_str(), true);
        }
    }

    fn set_zone(&mut self, zone: Zone) {
        self.nameservers.set_zone(zone);
    }

    /// Whether it follows another one, or is followed.
    pub fn zone(&self) -> &Zone {
        self.nameservers.zone()
    }

    /// What the other cluster's replica of a partition holds, in entries; none if it has none.
    pub fn remote_offset(&self, tablet: &Endpoint, tid: u32, pid: u32) -> Option<usize> {
        let there = partition(tid + REMOTE_TIDS, pid);
        self.tablets.log(tablet.as_str(), there.tid.0, there.pid.0).map(<[_]>::len)
    }
}
