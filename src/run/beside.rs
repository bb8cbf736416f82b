//! Somebody else at work on the cluster beside a run, without the lock: auto_failover that is switched on, flags and
//! roles that change and were not changed by the run. It is said, with who it may be; auto_failover is switched off
//! again, a bounded number of times, and restored at the end as they wanted it.

use std::collections::{BTreeMap, BTreeSet};

use tokio::time::Instant;

use crate::cluster::{CallError, Hold};
use crate::model::{Action, Endpoint, PartitionId, Role};
use crate::playbook::{AutoFailover, ClusterStep};
use crate::recovery::{Outcome, View};

use super::dispatch::send;
use super::driver::{Driver, Report};
use super::event::Event;
use super::partition_task::Sequence;

/// kAutoFailoverIsEnabled: the nameserver refuses what the run has to do.
pub const AUTO_FAILOVER_IS_ON: i32 = 301;
/// How often auto_failover is switched off again. Someone who switches it on more often than that has to be stopped.
pub(super) const AGAIN: u32 = 3;
/// So many changes of flags and roles are told one by one.
const TOLD: usize = 5;
/// Who it may be.
pub(super) const WHO: &str =
    "`sbin/start-all.sh` runs openmldb_ops.py recoverdata, which takes no lock; let it end, or stop it";

/// What is known of others.
#[derive(Debug, Default)]
pub(super) struct Beside {
    /// How often auto_failover was switched off again.
    again: u32,
    /// How often a call was refused because it is on, and it read off.
    in_vain: u32,
    /// It is being looked at, or switched off.
    under_way: bool,
    /// Looks that began before say nothing: it was on then, and is off since.
    since: Sequence,
    /// It is left on.
    given_up: bool,
    /// Changes of flags and roles that others made.
    changes: usize,
}

/// What a task about auto_failover brings back.
pub(super) enum Failover {
    /// What it is after a call was refused because of it.
    Is(Result<bool, CallError>),
    /// It was told to be off again, by that call.
    SwitchedOff(u64, Outcome),
}

/// A replica's flags and role at a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Standing {
    is_leader: bool,
    is_alive: bool,
    role: Option<Role>,
}

/// What a call of the run may make of a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Ours {
    Alive,
    Leads,
}

/// A partition's flags and roles at the last look, and what the run itself may have changed of them.
#[derive(Debug, Default)]
pub(super) struct Watched {
    last: BTreeMap<Endpoint, Standing>,
    /// An operation was under way: what it changes is nobody's.
    was_worked_on: bool,
    ours: BTreeSet<(Endpoint, Ours)>,
    /// An election of the run's own may have changed all of them.
    elected: bool,
}

impl Watched {
    /// The run is about to send that.
    pub(super) fn sends(&mut self, action: &Action) {
        match action {
            Action::MarkAlive { endpoint, alive: true, .. } | Action::RecoverTable { endpoint, .. } => {
                self.ours.insert((endpoint.clone(), Ours::Alive));
            }
            Action::ChangeRole { endpoint, .. } => {
                self.ours.insert((endpoint.clone(), Ours::Leads));
            }
            Action::ChangeLeader { .. } => self.elected = true,
            _ => {}
        }
    }

    /// What has changed since the last look and was not changed by the run, in words.
    pub(super) fn changes(&mut self, view: &View) -> Vec<String> {
        let now = view.replicas.iter().map(|r| {
            let role = r.loaded().map(|loaded| loaded.role);
            (r.endpoint.clone(), Standing { is_leader: r.is_leader, is_alive: r.is_alive, role })
        });
        let now: BTreeMap<Endpoint, Standing> = now.collect();
        let is_worked_on = !view.ops_in_flight.is_empty();
        let last = std::mem::replace(&mut self.last, now.clone());
        let was_worked_on = std::mem::replace(&mut self.was_worked_on, is_worked_on);
        if was_worked_on || is_worked_on || self.elected {
            return Vec::new();
        }
        let ours = |at: &Endpoint, what| self.ours.contains(&(at.clone(), what));
        let mut changes = Vec::new();
        for (at, now) in &now {
            let Some(before) = last.get(at) else { continue };
            if now.is_leader && !before.is_leader {
                changes.push(format!("{at} was made leader"));
            }
            if now.is_alive && !before.is_alive && !ours(at, Ours::Alive) {
                let leads = if now.is_leader { ", flagged leader," } else { "" };
                changes.push(format!("{at}{leads} was marked alive"));
            }
            if now.role == Some(Role::Leader) && before.role != Some(Role::Leader) && !ours(at, Ours::Leads) {
                changes.push(match before.role {
                    Some(_) => format!("{at} was made leader in its tablet's memory"),
                    None => format!("{at} was loaded as leader"),
                });
            }
        }
        let leaders = |of: &BTreeMap<Endpoint, Standing>| {
            let alive = of.iter().filter(|(_, replica)| replica.is_leader && replica.is_alive);
            alive.map(|(at, _)| at.to_string()).collect::<Vec<_>>()
        };
        let (alive, before) = (leaders(&now), leaders(&last));
        if alive.len() > 1 && before.len() <= 1 && !last.is_empty() {
            changes.push(format!("{} are flagged leader and alive", alive.join(" and ")));
        }
        changes
    }
}

impl Driver {
    /// Whether the run needs auto_failover off, and switches it off again where it is on.
    pub(super) fn switches_off_again(&self) -> bool {
        let is_off = |step: &ClusterStep| matches!(step, ClusterStep::AutoFailover(AutoFailover::Off));
        let wanted = self.settings.playbook.before.iter().any(is_off);
        wanted && !self.beside.given_up && self.beside.in_vain < AGAIN && *self.settings.hold.borrow() == Hold::Held
    }

    /// A call was refused because auto_failover is on. Whether it is, is looked at before anything else goes to the nameserver.
    pub(super) fn note_gated(&mut self) {
        if self.beside.under_way || !self.switches_off_again() {
            return;
        }
        self.beside.under_way = true;
        self.lanes.close_nameserver(true);
        let cluster = self.cluster.clone();
        self.tasks.spawn(async move { Report::Beside(Failover::Is(cluster.auto_failover().await)) });
    }

    /// A look at the nameserver, begun then, shows auto_failover so.
    pub(super) fn note_failover_seen(&mut self, began: Sequence, on: Option<bool>) {
        if on == Some(true) && began > self.beside.since && !self.beside.under_way && self.switches_off_again() {
            self.note_switched_on();
        }
    }

    pub(super) fn note_failover(&mut self, seen: Failover) {
        match seen {
            Failover::Is(Ok(true)) => self.note_switched_on(),
            Failover::Is(Ok(false)) => {
                self.beside.in_vain += 1;
                self.is_settled();
            }
            Failover::Is(Err(error)) => {
                self.note_no_nameserver(&error);
                self.is_settled();
            }
            Failover::SwitchedOff(number, outcome) => self.note_switched_off(number, &outcome),
        }
    }

    fn is_settled(&mut self) {
        self.now += 1;
        (self.beside.since, self.beside.under_way) = (self.now, false);
        self.lanes.close_nameserver(false);
        self.doubt_nameserver = true;
        self.next_look.by(Instant::now());
    }

    fn note_switched_on(&mut self) {
        self.settings.record.wants_failover_on();
        if self.beside.again >= AGAIN {
            self.beside.given_up = true;
            self.is_settled();
            return self.tell(format!("auto_failover was switched on once more, and stays on: {WHO}"));
        }
        self.beside.again += 1;
        let text = format!(
            "someone else switched auto_failover on; it is switched off again ({} of {AGAIN} times), and will be on at \
             the end. Possible cause: {WHO}",
            self.beside.again
        );
        self.tell(text);
        let (action, why) = (Action::SetAutoFailover { on: false }, "someone switched it on");
        let number = self.settings.record.sending("auto_failover", None, &action, why);
        if self.settings.record.sync().is_err() {
            // The run stops at its next call.
            return self.is_settled();
        }
        self.beside.under_way = true;
        self.lanes.close_nameserver(true);
        let event =
            Event::Action { step: "auto_failover", partition: None, action: action.clone(), why: why.to_owned() };
        (self.settings.listener)(&event);
        let (cluster, early_leader_note) = (self.cluster.clone(), &self.settings.early_leader_note);
        let (lock, note) = (early_leader_note.lock.clone(), early_leader_note.wanting_failover_on());
        self.tasks.spawn(async move {
            // Should this run be killed, the next one restores it as they wanted it; on this host the record says so.
            if let Err(error) = lock.write_note(Some(&note)).await {
                tracing::warn!(%error, "other hosts do not know that auto_failover is wanted on");
            }
            Report::Beside(Failover::SwitchedOff(number, send(&cluster, &action).await))
        });
    }

    /// It was told to be off again. Whether it is, the next look shows.
    fn note_switched_off(&mut self, number: u64, outcome: &Outcome) {
        self.settings.record.went(number, outcome);
        if let Outcome::Refused { error, .. } | Outcome::NotApplied(error) | Outcome::Unknown(error) = outcome {
            let (step, action, error) = ("auto_failover", Action::SetAutoFailover { on: false }, error.clone());
            (self.settings.listener)(&Event::ActionFailed { step, partition: None, action, error });
        }
        self.is_settled();
    }

    /// Looks for what others have changed of a partition.
    pub(super) fn look_beside(&mut self, id: PartitionId, view: &View) {
        let Some(task) = self.partitions.get_mut(&id) else { return };
        let changes = task.beside.changes(view);
        let name = format!("{}/{}", view.table, id.pid);
        for change in changes {
            self.beside.changes += 1;
            let who = match self.beside.changes {
                1 => format!(": someone else is working on this cluster ({WHO})"),
                2..=TOLD => String::new(),
                _ => continue,
            };
            self.tell(format!("{name}: {change}, and not by this run{who}"));
        }
    }

    /// How much of what others changed was not told one by one.
    pub(super) fn tell_of_others(&self) {
        let untold = self.beside.changes.saturating_sub(TOLD);
        if untold > 0 {
            let text = format!("someone else changed flags or roles {untold} more times (not listed)");
            self.settings.record.note(&text);
            (self.settings.listener)(&Event::Note { text });
        }
    }

    fn tell(&self, text: String) {
        self.settings.record.note(&text);
        (self.settings.listener)(&Event::Note { text });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Held, Seen, State, Tablet};
    use crate::model::{Offset, Partition, PartitionId, Pid, Replica, Snapshot, StorageMode, Table, TableName, Tid};
    use crate::recovery::Memory;

    /// Two replicas, each as (leader flag, alive flag, role if loaded).
    fn view(replicas: [(bool, bool, Option<Role>); 2]) -> View {
        let (tid, pid) = (Tid(7), Pid(0));
        let id = PartitionId { tid, pid };
        let names = ["a", "b"];
        let replica = |at: usize| Replica {
            endpoint: names[at].into(),
            is_leader: replicas[at].0,
            is_alive: replicas[at].1,
            offset: None,
        };
        let held = |role: Role| Held {
            partition: id,
            role,
            state: State::Normal,
            offset: Offset(5),
            record_cnt: 5,
            index_rows: Vec::new(),
        };
        let tablet = |at: usize| {
            let holds = replicas[at].2.map(|role| (id, held(role)));
            (Endpoint::from(names[at]), Tablet { held: Seen::Known(holds.into_iter().collect()), ..Tablet::unknown() })
        };
        let table = Table {
            name: TableName { db: "shop".to_owned(), table: "orders".to_owned() },
            tid,
            storage: StorageMode::Memory,
            has_ttl: false,
            replica_num: None,
            base_table: None,
            partitions: vec![Partition {
                pid,
                terms: Vec::new(),
                replicas: vec![replica(0), replica(1)],
                remotes: Vec::new(),
            }],
        };
        let snapshot = Snapshot {
            cluster: String::new(),
            taken_at_ms: 0,
            zone: crate::model::Zone::Alone,
            auto_failover: false,
            tables: vec![table],
            tablets: [tablet(0), tablet(1)].into(),
            ops: Vec::new(),
            identity: crate::model::Identity::Cluster,
        };
        let table = &snapshot.tables[0];
        View::of(&snapshot, table, &table.partitions[0], &Memory::default())
    }

    const FOLLOWS: Option<Role> = Some(Role::Follower);
    const LEADS: Option<Role> = Some(Role::Leader);

    fn mark(endpoint: &str) -> Action {
        let table = TableName { db: "shop".to_owned(), table: "orders".to_owned() };
        Action::MarkAlive { table, pid: Some(Pid(0)), endpoint: endpoint.into(), alive: true }
    }

    #[test]
    fn what_others_change_is_seen_and_what_the_run_changes_is_not() {
        let mut watched = Watched::default();
        assert_eq!(
            watched.changes(&view([(true, false, FOLLOWS), (false, false, None)])),
            [""; 0],
            "nothing before it"
        );
        let changes = watched.changes(&view([(true, true, FOLLOWS), (false, false, LEADS)]));
        assert_eq!(changes, ["a, flagged leader, was marked alive", "b was loaded as leader"]);
        let changes = watched.changes(&view([(true, true, LEADS), (true, true, LEADS)]));
        let made = "a was made leader in its tablet's memory";
        assert_eq!(
            changes,
            [made, "b was made leader", "b, flagged leader, was marked alive", "a and b are flagged leader and alive"]
        );

        let mut watched = Watched::default();
        watched.changes(&view([(true, false, FOLLOWS), (false, false, FOLLOWS)]));
        watched.sends(&mark("a"));
        watched.sends(&Action::ChangeRole {
            endpoint: "a".into(),
            partition: PartitionId { tid: Tid(7), pid: Pid(0) },
            term: crate::model::Term(1),
            replicas: Vec::new(),
        });
        assert_eq!(watched.changes(&view([(true, true, LEADS), (false, false, FOLLOWS)])), [""; 0]);
        assert_eq!(watched.changes(&view([(true, true, LEADS), (false, true, FOLLOWS)])), ["b was marked alive"]);
    }
}
