//! Changing a cluster: one action, one call.

use std::time::Duration;

use openmldb_model::{Action, Endpoint, Manual, Pid, TableName, TermStart};
use openmldb_wire::call::{NameserverAnswer, NameserverCall, TabletCall};
use openmldb_wire::encode::{self, Addressed};
use openmldb_wire::nameserver::{
    GetTablePartitionRequest, PartitionMeta, SetTablePartitionRequest, TablePartition, TermPair,
};

use super::{CallError, CallErrorKind, Cluster};

/// How long a nameserver may take to put a partition's metadata in their place.
const SET_ANSWERS: Duration = Duration::from_secs(30);

impl Cluster {
    /// Carries out one action. Done means that a server said so, or that it said it was so already ([`done_codes`]); what
    /// came of it has to be looked at: RecoverTable, for one, answers 0 and creates no op
    /// (docs/openmldb/operations.md#an-answer-of-0-is-not-an-effect).
    ///
    /// # Errors
    /// What was seen. It is repeated only where it was certainly not applied, so [`CallError::outcome`] tells whether to
    /// look first.
    pub async fn act(&self, action: &Action) -> Result<(), CallError> {
        match self.send(action).await {
            Err(error) if error.code().is_some_and(|code| done_codes(action).contains(&code)) => {
                tracing::debug!(%error, "already so");
                Ok(())
            }
            other => other,
        }
    }

    async fn send(&self, action: &Action) -> Result<(), CallError> {
        match action {
            Action::Manual(Manual::ForgetReplica { table, pid, gone }) => {
                return self.forget_replica(table, *pid, gone).await;
            }
            Action::Manual(Manual::ReplaceOnly { table, pid, gone, to }) => {
                return self.replace_only_replica(table, *pid, gone, to).await;
            }
            Action::Manual(Manual::SetTerms { table, pid, terms }) => return self.set_terms(table, *pid, terms).await,
            _ => {}
        }
        match encode::action(action) {
            Addressed::Nameserver(call) => self.nameserver(call).await.map(drop),
            Addressed::Tablet(endpoint, mut call) => {
                if let (Action::LoadWithSchema { table, partition, .. }, TabletCall::LoadTable(load)) =
                    (action, &mut call)
                {
                    // Whatever the nameserver says, the tablet was not called.
                    let info = self.described(table, partition.tid).await.map_err(|error| {
                        let seen = format!("the columns of {table} are unknown: {error}");
                        CallError::new(format!("tablet {endpoint}"), "LoadTable", CallErrorKind::NotPrepared { seen })
                    })?;
                    encode::describe(load, &info);
                }
                if let (Action::CreateAggregator { table, partition, .. }, TabletCall::CreateAggregator(create)) =
                    (action, &mut call)
                {
                    self.describe_aggregator(create, table, partition.tid).await.map_err(|seen| {
                        let seen = format!("how {table} was created is unknown: {seen}");
                        let kind = CallErrorKind::NotPrepared { seen };
                        CallError::new(format!("tablet {endpoint}"), "CreateAggregator", kind)
                    })?;
                }
                self.tablet(&endpoint, call, &[]).await.map(drop)
            }
        }
    }
}

/// What becomes of a replica that nobody can reach any more. DelReplicaNS refuses (303) where its tablet is away.
impl Cluster {
    /// SetTablePartition: the partition's metadata as GetTablePartition has just said them (terms, flags, replicas of other
    /// clusters), without the replica on a tablet. That tablet is not asked, and told nothing.
    ///
    /// # Errors
    /// What was seen; that it is not as was expected, before anything was changed: nobody leads it but that replica, or
    /// it has none there.
    async fn forget_replica(&self, table: &TableName, pid: Pid, endpoint: &Endpoint) -> Result<(), CallError> {
        let mut partition = self.partition_metadata(table, pid).await?;
        let before = partition.partition_meta.len();
        partition.partition_meta.retain(|meta| meta.endpoint != endpoint.as_str());
        if partition.partition_meta.len() == before {
            return Err(self.not_set(format!("{table}/{pid} has no replica on {endpoint}")));
        }
        if !partition.partition_meta.iter().any(|meta| meta.is_leader && meta.is_alive()) {
            return Err(self.not_set(format!("without {endpoint} nobody leads {table}/{pid}")));
        }
        self.set_partition_metadata(table, partition).await
    }

    /// The same of a partition's only replica, with one on another tablet in its place: flagged leader, and not alive, so that it
    /// serves nobody before a recovery has seen to it.
    ///
    /// # Errors
    /// What was seen; that another replica is there, before anything was changed.
    async fn replace_only_replica(
        &self,
        table: &TableName,
        pid: Pid,
        from: &Endpoint,
        to: &Endpoint,
    ) -> Result<(), CallError> {
        let mut partition = self.partition_metadata(table, pid).await?;
        if !matches!(&partition.partition_meta[..], [meta] if meta.endpoint == from.as_str()) {
            return Err(self.not_set(format!("{from} is not the only replica of {table}/{pid}")));
        }
        partition.partition_meta = vec![PartitionMeta {
            endpoint: to.to_string(),
            is_leader: true,
            is_alive: Some(false),
            ..PartitionMeta::default()
        }];
        self.set_partition_metadata(table, partition).await
    }

    /// The same with another history of terms, which goes on where the present one ends.
    ///
    /// # Errors
    /// What was seen; that the history is another one by now, before anything was changed.
    async fn set_terms(&self, table: &TableName, pid: Pid, terms: &[TermStart]) -> Result<(), CallError> {
        let mut partition = self.partition_metadata(table, pid).await?;
        let pair = |start: &TermStart| TermPair { term: start.term.0, offset: start.start.0 };
        let wanted: Vec<TermPair> = terms.iter().map(pair).collect();
        if !wanted.starts_with(&partition.term_offset) {
            return Err(self.not_set(format!("{table}/{pid} has another history of terms by now")));
        }
        partition.term_offset = wanted;
        self.set_partition_metadata(table, partition).await
    }

    fn not_set(&self, seen: String) -> CallError {
        CallError::new(self.nameserver_name(), "SetTablePartition", CallErrorKind::NotPrepared { seen })
    }

    async fn partition_metadata(&self, table: &TableName, pid: Pid) -> Result<TablePartition, CallError> {
        let request =
            GetTablePartitionRequest { name: Some(table.table.clone()), pid: Some(pid.0), db: Some(table.db.clone()) };
        let answer = self.nameserver(NameserverCall::GetTablePartition(request)).await;
        let found = match answer.map_err(|error| self.not_set(error.to_string()))? {
            NameserverAnswer::GetTablePartition(answer) => answer.table_partition,
            _ => None,
        };
        found.filter(|found| found.pid == pid.0).ok_or_else(|| self.not_set(format!("{table}/{pid} has no metadata")))
    }

    async fn set_partition_metadata(&self, table: &TableName, partition: TablePartition) -> Result<(), CallError> {
        let request = SetTablePartitionRequest { table_partition: Some(partition), ..encode::set_partition(table) };
        // Never repeated: another nameserver may lead by then, and what was read before need not be what that one has.
        let once = self.once(self.once.unwrap_or(SET_ANSWERS));
        once.nameserver(NameserverCall::SetTablePartition(request)).await.map(drop)
    }
}

/// The codes by which a server says that what is asked for is so already (docs/openmldb/calls.md#codes).
///
/// Not among them: LoadTable's 101 (loaded *or loading*, in a role and from files the caller has to look at), and
/// RecoverTable's 311 ("table is alive": the flag says so, which does not make it connected).
pub fn done_codes(action: &Action) -> &'static [i32] {
    match action {
        // kReplicaEndpointAlreadyExists: the leader replicates to that follower already.
        Action::AddReplica { .. } | Action::AttachRemote { .. } => &[119],
        // kTableIsLeader: it leads already, under the term and with the followers it has; ours were not taken over.
        Action::ChangeRole { .. } => &[102],
        // kTableIsNotExist: the tablet does not hold the replica.
        Action::DropTable { .. } => &[100],
        // kOpStatusIsNotKdoingOrKinited: it has ended, or is not known (any more).
        Action::CancelOp { .. } => &[312],
        // DelReplica of a follower that is not connected answers 0 with "replica does not exist" and needs no entry.
        _ => &[],
    }
}
