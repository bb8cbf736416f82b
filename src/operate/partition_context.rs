//! A partition as a step sees it, what a step comes to, and the conditions that several steps share.

use std::sync::Arc;

use crate::model::{
    Action, Endpoint, Held, Partition, PartitionId, Pid, Replica, Snapshot, Table, TableName, TabletState,
};
use crate::recovery::{
    Blocked, Loss, Memory, RowsSeen, View, may_be_dropped, may_be_emptied, may_be_forgotten, may_be_resent,
    may_be_taken_away, to_compare_before,
};
use crate::run::{ToCompare, meant};

use super::effect::Effect;
use super::goal::Replaces;
use super::known::Known;
pub use super::refusal::Refusal;

/// A step that may be taken.
#[derive(Debug, Clone)]
pub struct Planned {
    /// What is sent; nothing if it is so already.
    pub call: Option<Action>,
    /// What it is to bring about.
    pub effect: Arc<dyn Effect>,
    /// What a tablet gets by it that one that is being emptied or upgraded must not get.
    pub gives: Option<Given>,
    /// What somebody should know of it before or after.
    pub remarks: Vec<String>,
}

impl Planned {
    /// This is sent, or it is so already.
    pub(super) fn new(call: Option<impl Into<Action>>, effect: impl Effect + 'static) -> Self {
        Self { call: call.map(Into::into), effect: Arc::new(effect), gives: None, remarks: Vec::new() }
    }

    /// It is so already.
    pub(super) fn already(effect: impl Effect + 'static) -> Self {
        Self::new(None::<Action>, effect)
    }

    pub(super) fn giving(self, given: Given) -> Self {
        Self { gives: Some(given), ..self }
    }

    pub(super) fn noting(self, remarks: Vec<String>) -> Self {
        Self { remarks, ..self }
    }
}

/// What a step gives to which tablet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// What.
    pub what: Gift,
    /// To whom.
    pub to: Endpoint,
}

/// What a step gives to a tablet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gift {
    /// A partition to lead.
    Leader,
    /// A replica.
    Replica,
}

impl Given {
    pub(super) fn leader(to: &Endpoint) -> Self {
        Self { what: Gift::Leader, to: to.clone() }
    }

    pub(super) fn replica(to: &Endpoint) -> Self {
        Self { what: Gift::Replica, to: to.clone() }
    }
}

/// A partition in a snapshot.
pub(super) struct PartitionContext<'a> {
    pub(super) seen: &'a Snapshot,
    pub(super) table: &'a Table,
    pub(super) partition: &'a Partition,
    /// What comparing its replicas has shown.
    pub(super) rows: Option<&'a RowsSeen>,
    /// Its history of terms is from a backup, and elections may be missing in it.
    pub(super) terms_in_doubt: bool,
}

/// How a replica is to go.
#[derive(Debug, Clone, Copy)]
pub(super) enum Going {
    /// RecoverTable brings it back, and may replace what it holds.
    Recovered,
    /// It is taken out of the metadata.
    TakenAway,
    /// Another tablet gets its place.
    Emptied,
    /// No metadata names it, and it is dropped.
    Dropped,
}

impl<'a> PartitionContext<'a> {
    /// # Errors
    /// There is no such table, or it has no such partition.
    pub(super) fn find(seen: &'a Snapshot, name: &TableName, pid: Pid) -> Result<Self, Refusal> {
        let table = find_table(seen, name)?;
        let partition = table.partitions.iter().find(|partition| partition.pid == pid).ok_or_else(|| {
            let text = format!("{name} has no partition {pid}; it has {}, counted from 0", table.partitions.len());
            Refusal::of(308, text, "see `openmldb-ops status --full`").mistyped()
        })?;
        Ok(Self::of(seen, table, partition))
    }

    /// A partition, where nothing is known of it beside what was seen.
    pub(super) fn of(seen: &'a Snapshot, table: &'a Table, partition: &'a Partition) -> Self {
        Self { seen, table, partition, rows: None, terms_in_doubt: false }
    }

    /// The same with what is known of it beside what was seen.
    pub(super) fn knowing(self, known: &'a Known) -> Self {
        Self { rows: known.rows(self.id()), terms_in_doubt: known.doubts_terms(self.id()), ..self }
    }

    pub(super) fn id(&self) -> PartitionId {
        PartitionId { tid: self.table.tid, pid: self.partition.pid }
    }

    /// `db.table/pid`.
    pub(super) fn name(&self) -> String {
        format!("{}/{}", self.table.name, self.partition.pid)
    }

    /// See [`Partition::leader`].
    pub(super) fn leader(&self) -> Option<&'a Endpoint> {
        self.partition.leader()
    }

    fn view(&self) -> View {
        self.view_of(self.partition)
    }

    fn view_of(&self, partition: &Partition) -> View {
        let memory = Memory::at_start(self.seen, self.table, partition, &[]);
        View::of(
            self.seen,
            self.table,
            partition,
            &Memory { rows: self.rows.cloned(), terms_in_doubt: self.terms_in_doubt, ..memory },
        )
    }

    /// Which replicas have to be compared before it is judged whether what a tablet holds may go so.
    pub(super) fn to_compare(&self, endpoint: &Endpoint, going: Going) -> Option<ToCompare> {
        let (view, may_go): (View, fn(&View, &Endpoint) -> bool) = match going {
            Going::Recovered => (self.view(), |view, at| may_be_resent(view, at).is_ok()),
            Going::TakenAway => (self.view(), |view, at| may_be_taken_away(view, at).is_ok()),
            Going::Emptied => (self.view(), |view, at| may_be_emptied(view, at).is_ok()),
            Going::Dropped => (self.view_of(&self.naming(endpoint)), |view, at| may_be_dropped(view, at).is_ok()),
        };
        let replicas = to_compare_before(&view, endpoint, |view| may_go(view, endpoint))?;
        Some(ToCompare { partition: self.id(), table: self.table.name.clone(), replicas })
    }

    /// What rows say, where they were to be compared and could not be.
    pub(super) fn not_compared(&self) -> Option<String> {
        let rows = self.rows.filter(|rows| rows.are_the_same().is_none());
        rows.map(|rows| format!("{}: {rows}", self.name()))
    }

    /// Whether a replica's data may be replaced by its leader's.
    ///
    /// # Errors
    /// What could be lost.
    pub(super) fn may_be_resent(&self, endpoint: &Endpoint) -> Result<bool, Blocked> {
        may_be_resent(&self.view(), endpoint)
    }

    /// Whether a replica may go, and nobody gets its place.
    ///
    /// # Errors
    /// What could be lost.
    pub(super) fn may_be_taken_away(&self, endpoint: &Endpoint) -> Result<(), Refusal> {
        may_be_taken_away(&self.view(), endpoint).map_err(|blocked| Refusal::unsafe_now(blocked.text, blocked.hint))
    }

    /// Whether a replica may go once another tablet has its place.
    ///
    /// # Errors
    /// What could be lost.
    pub(super) fn may_be_emptied(&self, endpoint: &Endpoint) -> Result<(), Refusal> {
        may_be_emptied(&self.view(), endpoint).map_err(|blocked| Refusal::unsafe_now(blocked.text, blocked.hint))
    }

    /// What a tablet holds of the partition although no metadata names a replica there: what an operation that failed half way
    /// has left.
    pub(super) fn stray(&self, endpoint: &Endpoint) -> Option<&'a Held> {
        let is_placed = self.partition.replicas.iter().any(|replica| replica.endpoint == *endpoint);
        self.seen.tablets.get(endpoint)?.held.known()?.get(&self.id()).filter(|_| !is_placed)
    }

    /// Whether it may be dropped.
    ///
    /// # Errors
    /// What could be lost.
    pub(super) fn stray_may_be_dropped(&self, endpoint: &Endpoint) -> Result<(), Blocked> {
        may_be_dropped(&self.view_of(&self.naming(endpoint)), endpoint)
    }

    /// The partition as it would be if metadata named a replica there.
    fn naming(&self, endpoint: &Endpoint) -> Partition {
        let named = Replica { endpoint: endpoint.clone(), is_leader: false, is_alive: false, offset: None };
        let replicas = self.partition.replicas.iter().cloned().chain([named]).collect();
        Partition { replicas, ..self.partition.clone() }
    }

    /// Whether metadata may forget the replica of a tablet that is gone for good.
    ///
    /// # Errors
    /// What only that one is known to have held, unless it was accepted; or that it is not gone.
    pub(super) fn may_be_forgotten(&self, replaces: &Replaces) -> Result<(), Refusal> {
        if replaces.unseen && replaces.accepted.is_empty() {
            return Err(nobody_has_looked(&self.name(), &replaces.gone));
        }
        self.forgotten(replaces).map_err(|blocked| Refusal::unsafe_now(blocked.text, blocked.hint))
    }

    /// What would be lost with it.
    pub(super) fn lost_with(&self, replaces: &Replaces) -> Vec<Loss> {
        self.forgotten(replaces).err().map(|blocked| blocked.loss).unwrap_or_default()
    }

    fn forgotten(&self, replaces: &Replaces) -> Result<(), Blocked> {
        let known = Memory::at_start(self.seen, self.table, self.partition, &[]);
        let memory = Memory { accepted: replaces.accepted.clone(), ..known };
        may_be_forgotten(&View::of(self.seen, self.table, self.partition, &memory), &replaces.gone)
    }

    /// Whether the leader says that it replicates to a tablet.
    pub(super) fn is_connected_to(&self, endpoint: &Endpoint) -> bool {
        self.followers().is_some_and(|followers| followers.contains(&endpoint))
    }

    /// Whom the leader says that it replicates to; none if it does not say.
    pub(super) fn followers(&self) -> Option<Vec<&'a Endpoint>> {
        let known = self.seen.tablets.get(self.leader()?)?.probes(self.id()).followers.known()?;
        Some(known.followers.iter().map(|(follower, _)| follower).collect())
    }

    /// # Errors
    /// It has no replica there.
    pub(super) fn replica(&self, endpoint: &Endpoint) -> Result<&'a Replica, Refusal> {
        let found = self.partition.replicas.iter().find(|replica| replica.endpoint == *endpoint);
        found.ok_or_else(|| {
            let places: Vec<&str> = self.partition.replicas.iter().map(|r| r.endpoint.as_str()).collect();
            let text = format!("{} has no replica on {endpoint}; it has some on {}", self.name(), places.join(", "));
            // A tablet that there is was meant: endpoints are all much alike.
            let is_a_tablet = self.seen.tablets.contains_key(endpoint);
            let hint = match meant(endpoint.as_str(), places).filter(|_| !is_a_tablet) {
                Some(meant) => format!("did you mean {meant}? If not, name another one of these"),
                None => "name one of these".to_owned(),
            };
            let refusal = Refusal::of(308, text, hint);
            if is_a_tablet { refusal } else { refusal.mistyped() }
        })
    }
}

/// # Errors
/// There is no such table.
pub(super) fn find_table<'a>(seen: &'a Snapshot, name: &TableName) -> Result<&'a Table, Refusal> {
    seen.table(name).ok_or_else(|| {
        let text = format!("there is no table {name}");
        let names: Vec<String> = seen.tables.iter().map(|table| table.name.to_string()).collect();
        let meant = meant(&name.to_string(), names.iter().map(String::as_str));
        let meant = meant.map_or(String::new(), |meant| format!("did you mean {meant}? If not, "));
        let hint = "see `openmldb-ops status --full` for the tables there are; names are case-sensitive";
        Refusal::of(100, text, format!("{meant}{hint}")).mistyped()
    })
}

/// # Errors
/// auto_failover is on.
pub(super) fn failover_is_off(seen: &Snapshot) -> Result<(), Refusal> {
    if !seen.auto_failover {
        return Ok(());
    }
    let hint = "switch it off with `openmldb-ops failover set off`, and on again afterwards";
    Err(Refusal::of(301, "auto_failover is on, and meanwhile the nameserver refuses manual commands", hint))
}

/// # Errors
/// The nameserver does not know the tablet, or does not hear from it.
pub(super) fn tablet_is_healthy(seen: &Snapshot, endpoint: &Endpoint) -> Result<(), Refusal> {
    match seen.tablets.get(endpoint).and_then(|tablet| tablet.state) {
        Some(TabletState::Healthy) => Ok(()),
        Some(TabletState::Offline) => Err(Refusal::of(
            303,
            format!("the nameserver considers {endpoint} offline"),
            "start that tablet; if it runs, make another nameserver leader (restart the leading one)",
        )),
        None => Err(unknown_tablet(seen, endpoint)),
    }
}

/// # Errors
/// Neither servers nor metadata name such a tablet: it was mistyped.
pub(super) fn tablet_is_known(seen: &Snapshot, endpoint: &Endpoint) -> Result<(), Refusal> {
    if seen.tablets.contains_key(endpoint) { Ok(()) } else { Err(unknown_tablet(seen, endpoint)) }
}

pub(super) fn unknown_tablet(seen: &Snapshot, endpoint: &Endpoint) -> Refusal {
    let text = format!("the nameserver knows no tablet {endpoint}");
    let others = seen.tablets.keys().filter(|other| *other != endpoint).map(Endpoint::as_str);
    let meant =
        meant(endpoint.as_str(), others).map_or(String::new(), |meant| format!("did you mean {meant}? If not, "));
    let hint = format!("{meant}start that tablet, or see `openmldb-ops show tablets` for the ones there are");
    let refusal = Refusal::of(302, text, hint);
    // One that metadata place replicas on may only not have registered.
    if seen.tablets.contains_key(endpoint) { refusal } else { refusal.mistyped() }
}

/// # Errors
/// The tablet is not gone, as far as anybody can tell; or nobody knows it.
pub(super) fn tablet_is_gone(seen: &Snapshot, at: &Endpoint) -> Result<(), Refusal> {
    let Some(tablet) = seen.tablets.get(at) else {
        let others = seen.tablets.keys().map(Endpoint::as_str);
        let meant = meant(at.as_str(), others).map_or(String::new(), |meant| format!("did you mean {meant}? "));
        let text = format!("nobody knows a tablet {at}, and nothing is placed on it");
        return Err(Refusal::unsafe_now(text, format!("{meant}see `openmldb-ops show tablets`")).mistyped());
    };
    let back = "`openmldb-ops recover --all` brings back what is placed on it, and gives it its leaders' data where its own are lost";
    let (text, hint) = if tablet.held.known().is_some() {
        (format!("{at} is there: it answers"), back)
    } else if seen.hears_from(at) {
        (
            format!("the nameserver takes {at} for healthy"),
            "stop that tablet for good, and wait until the nameserver misses it",
        )
    } else if tablet.in_zookeeper == Some(true) {
        (
            format!("{at} is registered in ZooKeeper"),
            "stop that tablet for good, and wait until its registration is gone",
        )
    } else {
        return Ok(());
    };
    Err(Refusal::unsafe_now(format!("{text}, so it is not gone for good"), hint))
}

/// Nothing more is known of it than that it was not looked at.
fn nobody_has_looked(name: &str, gone: &Endpoint) -> Refusal {
    let text = format!(
        "nobody has looked at the replica of {name} on {gone} since its leader was chosen: it may hold what nobody else does"
    );
    let hint = format!(
        "start that tablet if that can be done, and `openmldb-ops recover --all` looks at it. If not, `openmldb-ops tablet replace {gone} \
         --dry-run` lists what is lost under an id for --accept-data-loss"
    );
    Refusal::unsafe_now(text, hint)
}
