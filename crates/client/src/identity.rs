//! Who is at the other end, before anything is sent there. Only reads tell it; a call that changes something goes to a cluster, or
//! nowhere.

use std::sync::PoisonError;

use openmldb_model::{Endpoint, Identity, PartitionId, Pid, Registration, StorageMode, Table, TabletState, Term, Tid};

use super::local::is_loopback;
use super::{CallError, CallErrorKind, Cluster};

/// What a standalone tablet says to GetTermPair, whatever it is asked for (`zk_cluster_.empty()`, tablet_impl.cc).
const NO_CLUSTER: &str = "cluster mode";

impl Cluster {
    /// Who is there, by what was just seen. Once seen to be a cluster it stays one: who is in the middle of its work has to
    /// finish it.
    pub async fn identify(
        &self,
        tables: &[Table],
        tablets: &[Registration],
        registered: Option<&[Endpoint]>,
    ) -> Identity {
        if self.identity() == Some(Identity::Cluster) {
            return Identity::Cluster;
        }
        let seen = match known_by_reading(&self.leader(), tables, tablets, registered) {
            Some(seen) => seen,
            None => self.ask_tablets(tablets).await,
        };
        let seen = match seen {
            Identity::Cluster => self.on_another_host(tablets, registered).await.unwrap_or(Identity::Cluster),
            other => other,
        };
        *self.shared.identity.lock().unwrap_or_else(PoisonError::into_inner) = Some(seen.clone());
        seen
    }

    /// Who was there when last asked; none if nobody was.
    pub fn identity(&self) -> Option<Identity> {
        self.shared.identity.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether anything may be changed there.
    ///
    /// # Errors
    /// It is no cluster, or not the one that was asked for.
    pub(super) async fn must_be_ours(&self, method: &'static str) -> Result<(), CallError> {
        let identity = match self.identity() {
            Some(identity) => identity,
            None => {
                let (tables, tablets) = tokio::try_join!(self.tables(), self.tablets())?;
                let registered = self.registered_tablets().await.unwrap_or_default();
                self.identify(&tables, &tablets, registered.as_deref()).await
            }
        };
        if identity.is_cluster() {
            return Ok(());
        }
        Err(CallError { method, ..CallError::not_ours(identity) })
    }

    /// Where no table tells: a standalone tablet refuses to speak of terms.
    async fn ask_tablets(&self, tablets: &[Registration]) -> Identity {
        let any = PartitionId { tid: Tid(0), pid: Pid(0) };
        for tablet in tablets.iter().filter(|tablet| tablet.state == TabletState::Healthy) {
            match self.term_pair(&tablet.endpoint, any, StorageMode::Memory).await {
                Err(CallError { kind: CallErrorKind::Refused { msg, .. }, .. }) if msg.contains(NO_CLUSTER) => {
                    return Identity::Standalone { nameserver: self.leader() };
                }
                Ok(_) | Err(CallError { kind: CallErrorKind::Refused { .. }, .. }) => return Identity::Cluster,
                Err(_) => {}
            }
        }
        Identity::Unknown { nameserver: self.leader() }
    }

    /// Whether a server is registered under an address that is another one's, seen from here.
    async fn on_another_host(&self, tablets: &[Registration], registered: Option<&[Endpoint]>) -> Option<Identity> {
        let listed = tablets.iter().map(|tablet| &tablet.endpoint);
        for server in registered.unwrap_or_default().iter().chain(listed) {
            let address = self.address_of(server).unwrap_or_else(|| server.to_string());
            if is_loopback(&address) && self.shared.rpc.is_on_another_host().await {
                return Some(Identity::OtherHost { server: server.clone(), address });
            }
        }
        None
    }
}

/// What tables and registrations tell by themselves; none if they do not.
///
/// A nameserver with a ZooKeeper counts terms from 1 and keeps the count there; one without gives every partition the term 0 (`term_`,
/// name_server_impl.cc), and there is always a partition: a nameserver creates its system tables before it serves.
///
/// A nameserver is another cluster's if it hears from tablets, and neither they nor any other tablet it has ever heard of are
/// registered where it was found. That some of its tablets are away is normal, and so is a registration that it missed; that
/// tables are placed on none of those registered proves nothing either: all tablets may have got new addresses.
fn known_by_reading(
    nameserver: &str,
    tables: &[Table],
    tablets: &[Registration],
    registered: Option<&[Endpoint]>,
) -> Option<Identity> {
    let nameserver = nameserver.to_owned();
    if let Some(registered) = registered.filter(|registered| !registered.is_empty()) {
        let healthy = tablets.iter().filter(|tablet| tablet.state == TabletState::Healthy);
        let hears_from: Vec<Endpoint> = healthy.map(|tablet| tablet.endpoint.clone()).collect();
        if !hears_from.is_empty() && !tablets.iter().any(|tablet| registered.contains(&tablet.endpoint)) {
            let registered = registered.to_vec();
            return Some(Identity::OtherCluster { nameserver, hears_from, registered });
        }
    }
    let terms = || tables.iter().flat_map(|table| &table.partitions).flat_map(|partition| &partition.terms);
    if terms().any(|start| start.term > Term(0)) {
        return Some(Identity::Cluster);
    }
    if terms().next().is_some() {
        return Some(Identity::Standalone { nameserver });
    }
    // It was found where only a cluster's is registered.
    registered.is_some().then_some(Identity::Cluster)
}

#[cfg(test)]
mod tests {
    use super::*;
    use openmldb_model::{Offset, Partition, TableName, TermStart};

    fn table(terms: &[u64]) -> Table {
        let terms = terms.iter().map(|term| TermStart { term: Term(*term), start: Offset(0) }).collect();
        Table {
            name: TableName { db: "__INTERNAL_DB".to_owned(), table: "USER".to_owned() },
            tid: Tid(1),
            storage: StorageMode::Memory,
            has_ttl: false,
            replica_num: Some(1),
            base_table: None,
            partitions: vec![Partition { pid: Pid(0), terms, replicas: Vec::new(), remotes: Vec::new() }],
        }
    }

    fn tablet(endpoint: &str, state: TabletState) -> Registration {
        Registration { endpoint: endpoint.into(), state, unchanged_ms: None, real_endpoint: None }
    }

    fn seen(terms: &[u64], tablets: &[Registration], registered: Option<&[&str]>) -> Option<Identity> {
        let registered: Option<Vec<Endpoint>> = registered.map(|all| all.iter().map(|at| (*at).into()).collect());
        known_by_reading("ns:1", &[table(terms)], tablets, registered.as_deref())
    }

    #[test]
    fn a_nameserver_that_counts_no_terms_is_a_standalone_one() {
        let tablets = [tablet("a:1", TabletState::Healthy)];
        assert_eq!(seen(&[0], &tablets, None), Some(Identity::Standalone { nameserver: "ns:1".to_owned() }));
        assert_eq!(seen(&[1], &tablets, None), Some(Identity::Cluster));
        assert_eq!(seen(&[0, 3], &tablets, None), Some(Identity::Cluster));
        assert_eq!(seen(&[], &tablets, None), None, "no table tells");
        assert_eq!(seen(&[], &tablets, Some(&["a:1"])), Some(Identity::Cluster));
    }

    #[test]
    fn a_nameserver_whose_tablets_are_not_registered_where_it_was_found_is_another_clusters() {
        use TabletState::{Healthy, Offline};
        let is_other = |tablets: &[Registration], registered: &[&str]| {
            matches!(seen(&[1], tablets, Some(registered)), Some(Identity::OtherCluster { .. }))
        };
        assert!(is_other(&[tablet("a:1", Healthy)], &["b:1"]));
        assert!(is_other(&[tablet("a:1", Healthy), tablet("c:1", Offline)], &["b:1", "d:1"]));
        // One that is away, or was missed, or came back elsewhere.
        assert!(!is_other(&[tablet("a:1", Healthy), tablet("b:1", Offline)], &["b:1"]));
        assert!(!is_other(&[tablet("a:1", Healthy), tablet("b:1", Healthy)], &["b:1", "c:1"]));
        assert!(!is_other(&[tablet("a:1", Offline)], &["b:1"]), "it hears from nobody, and may have missed that one");
        assert!(!is_other(&[tablet("a:1", Healthy)], &[]), "all have just gone");
        assert!(!is_other(&[], &["b:1"]), "it has heard of nobody yet");
    }
}
