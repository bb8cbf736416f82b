//! Partitions with more or fewer replicas than there should be, and a tablet that is gone for good, while clients write to what is left.

use openmldb_ops::model::Endpoint;
use openmldb_ops::operate::Undertaking;
use openmldb_ops::sandbox::World;
use openmldb_ops::wire::call::{NameserverAnswer, NameserverCall};
use openmldb_ops::wire::nameserver::{
    AddReplicaNsRequest, DelReplicaNsRequest, PartitionMeta, ShowOpStatusRequest, TableInfo, TablePartition,
};

use super::Hunted;

/// What the nameserver begins by itself is over after so many looks.
const LOOKS: usize = 600;

impl Hunted {
    /// Somebody has taken replicas away, or added some.
    pub(super) fn is_miscounted(&mut self) -> Undertaking {
        self.world.nameserver_settings_mut().op_fails_for_no_reason = None;
        for table in self.world.tables() {
            for metas in &table.table_partition {
                if self.dice.percent(50) {
                    self.has_another_count(&table, metas);
                }
            }
        }
        self.until(|world| !works(world));
        Undertaking::Repair
    }

    fn has_another_count(&mut self, table: &TableInfo, metas: &TablePartition) {
        let has = |at: &&Endpoint| metas.partition_meta.iter().any(|meta| meta.endpoint == at.as_str());
        let tablets = self.world.tablet_endpoints().to_vec();
        let free: Vec<&Endpoint> = tablets.iter().filter(|at| !has(at)).collect();
        let followers: Vec<&PartitionMeta> = metas.partition_meta.iter().filter(|meta| !meta.is_leader).collect();
        let (name, db, pid) = (table.name().to_owned(), Some(table.db().to_owned()), metas.pid);
        let fewer = self.dice.percent(60);
        let call = match (self.dice.pick(&followers), self.dice.pick(&free)) {
            (Some(meta), _) if fewer => NameserverCall::DelReplicaNs(DelReplicaNsRequest {
                name,
                db,
                pid,
                endpoint: meta.endpoint.clone(),
                ..DelReplicaNsRequest::default()
            }),
            (_, Some(at)) => NameserverCall::AddReplicaNs(AddReplicaNsRequest {
                name,
                db,
                pid,
                endpoint: at.to_string(),
                ..AddReplicaNsRequest::default()
            }),
            _ => return,
        };
        self.told.push(format!("by hand: {call:?}"));
        let leader = self.world.leader().unwrap();
        self.world.call_nameserver(&leader, call).unwrap();
    }

    /// A tablet dies and never comes back, where others hold all that it had. None where there is no such tablet.
    pub(super) fn loses_a_tablet(&mut self) -> Option<Undertaking> {
        self.world.nameserver_settings_mut().op_fails_for_no_reason = None;
        // What no follower has yet would be gone with it.
        self.world.stop_writers();
        self.world.advance_by(10_000);
        let metadata = self.world.metadata();
        let on = |at: &Endpoint, metas: &TablePartition| {
            metas.partition_meta.iter().any(|meta| meta.endpoint == at.as_str())
        };
        let shares = |at: &&Endpoint| {
            let mut mine = metadata.values().filter(|metas| on(at, metas)).peekable();
            mine.peek().is_some() && mine.all(|metas| metas.partition_meta.len() > 1)
        };
        let tablets = self.world.tablet_endpoints().to_vec();
        let shared: Vec<Endpoint> = tablets.iter().filter(shares).cloned().collect();
        let endpoint = self.dice.pick(&shared)?.clone();
        self.world.kill_tablet(&endpoint);
        self.is_gone(vec![endpoint.clone()]);
        let is_alive = |meta: &&PartitionMeta| meta.is_alive();
        self.until(|world| {
            let replaced = |metas: &TablePartition| {
                let mut alive = metas.partition_meta.iter().filter(is_alive);
                !on(&endpoint, metas)
                    || alive.clone().all(|meta| meta.endpoint != endpoint.as_str()) && alive.any(|meta| meta.is_leader)
            };
            world.metadata().values().all(replaced) && !works(world)
        });
        if self.clients_write {
            self.world.start_writers(self.dice.between(3, 60), self.dice.roll());
        }
        let others: Vec<Endpoint> = tablets.into_iter().filter(|at| *at != endpoint).collect();
        let with = if self.dice.percent(40) { self.dice.pick(&others).cloned() } else { None };
        Some(Undertaking::Replace { endpoint, with, accepts: None })
    }

    fn until(&mut self, so: impl Fn(&mut World) -> bool) {
        for _ in 0..LOOKS {
            self.world.advance_by(500);
            if so(&mut self.world) {
                return;
            }
        }
        panic!("the nameserver does not come to an end");
    }

    /// Each partition has as many replicas as its table was made with.
    pub(super) fn are_as_many_as_there_should_be(&self) {
        let tablets = self.world.tablet_endpoints().len() - self.gone.len();
        for table in self.world.tables() {
            let wanted = usize::try_from(table.replica_num()).unwrap().min(tablets);
            for metas in table.table_partition.iter().filter(|_| wanted > 0) {
                assert_eq!(metas.partition_meta.len(), wanted, "{}/{}", table.name(), metas.pid);
            }
        }
    }

    /// Metadata have forgotten the tablet.
    pub(super) fn is_forgotten(&self, gone: &Endpoint) {
        for (id, metas) in self.world.metadata() {
            assert!(metas.partition_meta.iter().all(|meta| meta.endpoint != gone.as_str()), "{id} is still there");
        }
    }

    /// These do not come back, whatever else does.
    pub(super) fn is_gone(&mut self, gone: Vec<Endpoint>) {
        self.judge.lock().unwrap().missing.clone_from(&gone);
        self.gone = gone;
    }
}

fn works(world: &mut World) -> bool {
    let Some(leader) = world.leader() else { return true };
    let request = NameserverCall::ShowOpStatus(ShowOpStatusRequest::default());
    let Ok(NameserverAnswer::ShowOpStatus(answer)) = world.call_nameserver(&leader, request) else { return true };
    answer.op_status.iter().any(|op| matches!(op.status.as_str(), "kInited" | "kDoing"))
}
