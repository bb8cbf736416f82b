//! Faults, as they happen to the world.

use super::{World, trace};
use crate::Millis;
use crate::fault::{Fault, FaultKind, Known, Met, OpFate, OperatorAction, Place, Script, Seen, ServerFate, Way};
use openmldb_model::{Endpoint, PartitionId};
use openmldb_wire::api::{AppendEntriesRequest, LoadTableRequest, TableMeta};
use openmldb_wire::call::{NameserverCall, TabletCall};
use openmldb_wire::nameserver::{
    ChangeLeaderRequest, ConfSetRequest, Pair, PartitionMeta, RecoverTableRequest, TableInfo, UpdateTableAliveRequest,
};

use super::power::Started;
use super::reach::Reach;
use super::recoverdata::Recoverdata;

/// World milliseconds between two rows of clients that a fault lets write.
const WRITE_EVERY: Millis = 20;

/// World milliseconds between the restarts of a tablet that keeps restarting.
const RESTART_EVERY: Millis = 1_000;

/// What a fault that has begun still does.
#[derive(Debug, Clone)]
pub(super) enum ScheduledFault {
    StartNameserver(Endpoint),
    KillTablet(Endpoint),
    /// With so many more restarts to come.
    StartTablet(Endpoint, u32),
    Thaw(Endpoint),
    /// A second recovery's next command.
    Recoverdata(Recoverdata),
    ThawNameserver(Endpoint),
}

impl World {
    /// From now on these faults happen, and none that were set before. `seed` decides what chance does. What a fault that
    /// has begun still has to do (start a tablet again) it does all the same.
    pub fn set_faults(&mut self, faults: Vec<Fault>, seed: u64) {
        self.faults = Script::new(faults, self.now, seed);
        self.slow.clear();
    }

    /// What a client's call to a nameserver meets on its way. Faults that it triggers happen now.
    pub(crate) fn meet_nameserver_call(&mut self, server: &Endpoint, call: &NameserverCall) -> Way {
        self.note_asked(call);
        if self.faults.is_empty() {
            return Way::Through;
        }
        let names = match call {
            NameserverCall::RecoverTable(request) => Some(request.endpoint.as_str()),
            NameserverCall::UpdateTableAliveStatus(request) => Some(request.endpoint()),
            NameserverCall::ChangeLeader(request) => request.candidate_leader.as_deref(),
            NameserverCall::OfflineEndpoint(request) => Some(request.endpoint.as_str()),
            NameserverCall::RecoverEndpoint(request) => Some(request.endpoint.as_str()),
            _ => None,
        };
        let partitions = trace::named_by_nameserver_call(call, &self.nameservers);
        let (method, effect, names) = (call.name(), call.effect(), names.map(Endpoint::from));
        self.meet(&Seen { method, effect, server: server.clone(), names, partitions })
    }

    /// What a client's call to a tablet meets on its way. Faults that it triggers happen now.
    pub(crate) fn meet_tablet_call(&mut self, server: &Endpoint, call: &TabletCall) -> Way {
        if self.faults.is_empty() && self.slow.is_empty() {
            return Way::Through;
        }
        let server = self.endpoint_at(server.as_str()).unwrap_or_else(|| server.clone());
        let slow = self.slow.get(&server).copied();
        let partitions = trace::named_by_tablet_call(call);
        let way = self.meet(&Seen { method: call.name(), effect: call.effect(), server, names: None, partitions });
        match (way, slow) {
            (Way::Through, Some(by)) => Way::Slow(by),
            (Way::Slow(long), Some(by)) => Way::Slow(long + by),
            (way, _) => way,
        }
    }

    fn meet(&mut self, seen: &Seen) -> Way {
        let mut faults = std::mem::take(&mut self.faults);
        let met = faults.meet(seen, |place| self.find(place));
        self.faults = faults;
        let mut way = Way::Through;
        for Met { kind, place } in met {
            match kind {
                FaultKind::Way(other) => way = other,
                FaultKind::Tool(fate) => way = Way::Tool(fate),
                FaultKind::Load(fate) => {
                    for id in &seen.partitions {
                        self.tablets.set_load_fate(seen.server.as_str(), *id, fate);
                    }
                }
                FaultKind::Op(OpFate::NotCreated) => way = Way::Answers(0),
                FaultKind::Op(fate) => self.nameservers.set_op_fate(fate),
                FaultKind::Server(_) | FaultKind::Operator(_) | FaultKind::Clients => {
                    self.happens(kind, place.as_ref(), Some(seen))
                }
            }
        }
        way
    }

    /// When something of a fault's happens next by itself.
    pub(super) fn next_fault(&self) -> Option<Millis> {
        self.deeds.iter().map(|(at, _)| *at).chain(self.faults.next()).min()
    }

    /// Lets happen what is due.
    pub(super) fn inject_due(&mut self) {
        if self.next_fault().is_none_or(|at| at > self.now) {
            return;
        }
        let now = self.now;
        let (due, later) = std::mem::take(&mut self.deeds).into_iter().partition(|(at, _)| *at <= now);
        self.deeds = later;
        let due: Vec<(Millis, ScheduledFault)> = due;
        due.into_iter().for_each(|(_, deed)| self.carry_out(deed));
        let mut faults = std::mem::take(&mut self.faults);
        let met = faults.due(now, |place| self.find(place));
        self.faults = faults;
        met.iter().for_each(|met| self.happens(met.kind, met.place.as_ref(), None));
    }

    fn carry_out(&mut self, deed: ScheduledFault) {
        match deed {
            ScheduledFault::StartNameserver(nameserver) => self.start_nameserver(&nameserver),
            ScheduledFault::KillTablet(tablet) => self.kill_tablet(&tablet),
            ScheduledFault::Thaw(tablet) => self.freeze_tablet(&tablet, false),
            ScheduledFault::Recoverdata(run) => self.recoverdata_goes_on(run),
            ScheduledFault::ThawNameserver(nameserver) => self.freeze_nameserver(&nameserver, false),
            ScheduledFault::StartTablet(tablet, more) => match self.start_tablet(&tablet) {
                Started::Exited { free_at } => {
                    self.deeds.push((free_at.max(self.now + 1), ScheduledFault::StartTablet(tablet, more)));
                }
                Started::Running if more > 0 => {
                    let (kill_at, tablet_too) = (self.now + RESTART_EVERY, tablet.clone());
                    self.deeds.push((kill_at, ScheduledFault::KillTablet(tablet_too)));
                    self.deeds.push((kill_at + 1, ScheduledFault::StartTablet(tablet, more - 1)));
                }
                Started::Running => {}
            },
        }
    }

    fn find(&self, place: &Place) -> Known {
        match place {
            Place::Tablet(number) => {
                let tablet = self.tablet_endpoints.get(number.saturating_sub(1));
                tablet.map_or(Known::Nowhere, |tablet| Known::Tablet(tablet.clone()))
            }
            Place::Partition(name, pid) => {
                let tables = self.tables();
                let table = tables.iter().find(|table| table.name() == name);
                table.map_or(Known::Nowhere, |table| Known::Partition(super::partition(table.tid(), *pid)))
            }
        }
    }

    fn happens(&mut self, kind: FaultKind, place: Option<&Known>, seen: Option<&Seen>) {
        match kind {
            FaultKind::Clients => self.start_writers(WRITE_EVERY, self.now),
            FaultKind::Server(fate) => {
                let tablet = self.victim(place, seen);
                self.server_meets(fate, tablet);
            }
            FaultKind::Operator(OperatorAction::RecoversEverything) => self.start_recoverdata(),
            FaultKind::Operator(meddling) => {
                if let Some(id) = self.meddled_with(place, seen) {
                    self.meddle(meddling, id);
                }
            }
            FaultKind::Way(_) | FaultKind::Load(_) | FaultKind::Op(_) | FaultKind::Tool(_) => {}
        }
    }

    /// The tablet a fault is about: the one it names, else the one called or named by the call, else one with a replica of the
    /// partition, else the first.
    fn victim(&self, place: Option<&Known>, seen: Option<&Seen>) -> Option<Endpoint> {
        let named = match place {
            Some(Known::Tablet(tablet)) => Some(tablet.clone()),
            _ => None,
        };
        let called = seen.map(|seen| &seen.server).filter(|server| self.tablet_endpoints.contains(server));
        let about = seen.and_then(|seen| seen.names.as_ref()).or(called).cloned();
        let holds = || {
            let id = self.meddled_with(place, seen)?;
            let metas = self.metadata().remove(&id)?;
            metas.partition_meta.first().map(|meta| Endpoint::from(meta.endpoint.as_str()))
        };
        named.or(about).or_else(holds).or_else(|| self.tablet_endpoints.first().cloned())
    }

    fn server_meets(&mut self, fate: ServerFate, tablet: Option<Endpoint>) {
        match fate {
            ServerFate::NameserverRestarts(after) => {
                let Some(leader) = self.leader() else { return };
                self.kill_nameserver(&leader);
                self.deeds.push((self.now + after, ScheduledFault::StartNameserver(leader)));
            }
            ServerFate::NameserverFreezes(long) => self.freeze_one(self.leader(), long),
            ServerFate::StandbyFreezes(long) => {
                let leader = self.leader();
                let stands_by = |at: &&Endpoint| Some(*at) != leader.as_ref() && self.is_up(at);
                let standby = self.nameserver_endpoints.iter().find(stands_by).cloned();
                self.freeze_one(standby, long);
            }
            ServerFate::NamesAreAddresses => {
                let servers = self.tablet_endpoints.iter().chain(&self.nameserver_endpoints);
                servers.for_each(|server| self.nameservers.register_name(server.as_str(), ""));
            }
            fate => {
                if let Some(tablet) = tablet {
                    self.tablet_meets(fate, tablet);
                }
            }
        }
    }

    fn freeze_one(&mut self, nameserver: Option<Endpoint>, long: Millis) {
        if let Some(nameserver) = nameserver {
            self.freeze_nameserver(&nameserver, true);
            self.deeds.push((self.now + long.max(1), ScheduledFault::ThawNameserver(nameserver)));
        }
    }

    fn tablet_meets(&mut self, fate: ServerFate, tablet: Endpoint) {
        match fate {
            ServerFate::NameserverRestarts(_)
            | ServerFate::NameserverFreezes(_)
            | ServerFate::StandbyFreezes(_)
            | ServerFate::NamesAreAddresses => {}
            ServerFate::TabletDies => self.kill_tablet(&tablet),
            ServerFate::TabletRestarts(after) => {
                self.kill_tablet(&tablet);
                self.deeds.push((self.now + after.max(1), ScheduledFault::StartTablet(tablet, 0)));
            }
            ServerFate::TabletKeepsRestarting => {
                self.kill_tablet(&tablet);
                self.deeds.push((self.now + 1, ScheduledFault::StartTablet(tablet, 2)));
            }
            ServerFate::TabletFreezes(long) => {
                self.freeze_tablet(&tablet, true);
                self.deeds.push((self.now + long.max(1), ScheduledFault::Thaw(tablet)));
            }
            ServerFate::TabletHangs(long) => {
                self.hang_tablet(&tablet, true);
                self.deeds.push((self.now + long.max(1), ScheduledFault::Thaw(tablet)));
            }
            ServerFate::TabletSlows(by) => self.slow_tablet(&tablet, by),
            ServerFate::TabletSessionExpires => self.expire_session(&tablet),
            ServerFate::TabletAddressTaken => {
                self.kill_tablet(&tablet);
                let other = self.tablet_endpoints.iter().find(|other| **other != tablet && self.is_up(other));
                if let Some(address) = other.map(|other| self.address_of(other)) {
                    self.map_name(&tablet, address.as_str());
                }
            }
        }
    }

    /// Has a replica hear of a term that nobody leads in, as an election does that fails half way; gives the term.
    pub fn raise_term(&mut self, endpoint: &Endpoint, id: PartitionId) -> u64 {
        let term = self.nameservers.begin_term();
        let request = AppendEntriesRequest {
            pre_log_index: Some(0),
            tid: Some(id.tid.0),
            pid: Some(id.pid.0),
            term: Some(term),
            entries: Vec::new(),
        };
        // One that is not loaded hears nothing.
        let _ = self.tablets.call(endpoint.as_str(), TabletCall::AppendEntries(request));
        term
    }

    /// The partition a second operator is after: the one the fault or the call names, else the first of a user table.
    fn meddled_with(&self, place: Option<&Known>, seen: Option<&Seen>) -> Option<PartitionId> {
        let named = match place {
            Some(Known::Partition(id)) => Some(*id),
            _ => None,
        };
        let called = seen.and_then(|seen| seen.partitions.first().copied());
        named.or(called).or_else(|| {
            let tables = self.tables();
            let user = tables.iter().find(|table| !super::super::writers::is_system(table.db()));
            user.map(|table| super::partition(table.tid(), 0))
        })
    }

    /// What a second operator's client sends. Nobody looks at the answer, and it is none of the calls that are traced.
    fn meddle(&mut self, meddling: OperatorAction, id: PartitionId) {
        let Some(table) = self.tables().into_iter().find(|table| table.tid() == id.tid.0) else { return };
        let metas = table.table_partition.iter().find(|metas| metas.pid == id.pid.0);
        let metas = metas.map(|metas| metas.partition_meta.clone()).unwrap_or_default();
        let dead = metas.iter().find(|meta| !meta.is_alive() && !meta.is_leader);
        let call = match meddling {
            OperatorAction::FailoverOn => {
                let conf = Pair { key: "auto_failover".to_owned(), value: "true".to_owned() };
                Some(NameserverCall::ConfSet(ConfSetRequest { conf }))
            }
            OperatorAction::RecoversEverything => None,
            OperatorAction::MarksAlive => dead.map(|meta| mark_alive(&table, id, meta, true)),
            OperatorAction::RecoversReplica => dead.map(|meta| recover_table(&table, id, meta)),
            OperatorAction::ChangesLeader => Some(NameserverCall::ChangeLeader(ChangeLeaderRequest {
                name: table.name().to_owned(),
                pid: id.pid.0,
                candidate_leader: Some("auto".to_owned()),
                db: table.db.clone(),
            })),
            OperatorAction::LoadsReplica => {
                if let Some(meta) = dead.or(metas.first()) {
                    let _ = self.tablets.call(&meta.endpoint, load_table(&table, id));
                }
                None
            }
            OperatorAction::RaisesTerm => {
                if let Some(follower) = metas.iter().find(|meta| meta.is_alive() && !meta.is_leader) {
                    self.raise_term(&Endpoint::from(follower.endpoint.as_str()), id);
                }
                None
            }
            OperatorAction::DropsTable => {
                let mut reach = Reach(&mut self.tablets);
                let _ = self.nameservers.drop_table(self.now, table.db(), table.name(), &mut reach);
                None
            }
        };
        if let (OperatorAction::RecoversReplica, Some(dead)) = (meddling, dead)
            && let Some(leader) = metas.iter().find(|meta| meta.is_leader && meta.is_alive())
        {
            self.note_overwriting(id, &dead.endpoint.as_str().into(), &leader.endpoint.as_str().into());
        }
        if let (Some(call), Some(leader)) = (call, self.leader()) {
            let mut reach = Reach(&mut self.tablets);
            let _ = self.nameservers.call(leader.as_str(), self.now, call, &mut reach);
        }
    }
}

pub(super) fn mark_alive(table: &TableInfo, id: PartitionId, meta: &PartitionMeta, alive: bool) -> NameserverCall {
    NameserverCall::UpdateTableAliveStatus(UpdateTableAliveRequest {
        endpoint: Some(meta.endpoint.clone()),
        name: table.name.clone(),
        pid: Some(id.pid.0),
        is_alive: Some(alive),
        db: table.db.clone(),
    })
}

pub(super) fn recover_table(table: &TableInfo, id: PartitionId, meta: &PartitionMeta) -> NameserverCall {
    let (name, db) = (table.name().to_owned(), table.db.clone());
    NameserverCall::RecoverTable(RecoverTableRequest { name, pid: id.pid.0, endpoint: meta.endpoint.clone(), db })
}

pub(super) fn load_table(table: &TableInfo, id: PartitionId) -> TabletCall {
    let signed = |number: u32| i32::try_from(number).ok();
    let mut meta = TableMeta {
        name: table.name.clone(),
        tid: signed(id.tid.0),
        pid: signed(id.pid.0),
        seg_cnt: Some(8),
        ..TableMeta::default()
    };
    meta.storage_mode = table.storage_mode;
    TabletCall::LoadTable(LoadTableRequest { table_meta: Some(meta), ..LoadTableRequest::default() })
}
