//! What the partition's own servers said, each when it was asked last.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use crate::cluster::{CallError, CallErrorKind};
use crate::model::{
    Endpoint, Held, Offset, Op, PartitionId, Pid, Probes, Role, Seen, Snapshot, Table, TableName, TermPair,
};
use crate::snapshot::only;

use super::super::super::goal::Goal;
use super::super::super::partition_context::{PartitionContext, Refusal};
use super::election::{Again, Election};

/// How long one call may take: all of them answer from memory.
pub(in super::super::super) const CALL: Duration = Duration::from_secs(1);
/// Two answers of the same offset are that of a log that has come to its end if they are at least so far apart: a write that had
/// begun when its leader was told to follow may end after the first.
const APART: Duration = Duration::from_millis(10);

/// What a server said last, and whether it still does.
#[derive(Debug, Clone, Default)]
pub(super) struct Heard {
    /// When that question was asked.
    pub(super) asked: Option<Instant>,
    /// Since when it does not answer, and what was seen.
    pub(super) silent: Option<Silent>,
}

/// A server that does not answer.
#[derive(Debug, Clone)]
pub(super) struct Silent {
    pub(super) since: Instant,
    pub(super) error: String,
    /// Nobody listens there.
    pub(super) dead: bool,
}

/// Where the log of the old leader ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    Unknown,
    /// It ended there when it was asked then.
    Once(Offset, Instant),
    /// There it ends. The answer was asked for at that time.
    Sure(Offset, Instant),
    /// Its tablet does not hold it any more.
    Gone,
}

/// How the old leader came to follow.
#[derive(Debug, Clone, Copy)]
pub(super) enum Down {
    /// It was found like that.
    Found,
    /// It was told to, and said that it does.
    Told { answered: Instant },
    /// It was told to, and did not answer.
    Unanswered { given_up: Instant },
}

/// A partition whose leader was told to follow.
pub(in super::super::super) struct Known {
    pub(super) table: TableName,
    pub(super) pid: Pid,
    pub(super) id: PartitionId,
    /// Who led.
    pub(super) old: Endpoint,
    /// Who is to lead.
    pub(super) wanted: Option<Endpoint>,
    /// It was seen to hold every row that the old leader does.
    pub(super) successor_holds_all: bool,
    /// Tablets that are not to lead anything.
    pub(super) barred: BTreeSet<Endpoint>,
    /// The partition, its operations, and the tablets it is on.
    pub(super) seen: Snapshot,
    pub(super) tablets: BTreeMap<Endpoint, Heard>,
    pub(super) nameserver: Heard,
    /// The address of the nameserver that answered last.
    pub(super) answering: String,
    pub(super) rest: Rest,
    pub(super) down: Down,
    /// What was asked before says nothing.
    pub(super) since: Instant,
    /// Nobody has led since.
    pub(super) began: Instant,
    pub(super) limit: Duration,
    pub(super) election: Option<Election>,
    /// Elections that came to nothing.
    pub(super) tries: u32,
    /// Why the last of them did.
    pub(super) failed: Option<String>,
    pub(super) again: Option<Again>,
    /// When an operation was told to be cancelled.
    pub(super) cancelled: Option<Instant>,
}

impl Known {
    /// # Errors
    /// Nobody is flagged leader.
    pub(super) fn new(
        goal: &Goal,
        seen: Snapshot,
        barred: &BTreeSet<Endpoint>,
        limit: Duration,
    ) -> Result<Self, Refusal> {
        let place = PartitionContext::find(&seen, &goal.table, goal.pid)?;
        let (id, old) = (place.id(), place.leader().cloned());
        let Some(old) = old else { return Err(nobody_leads(&goal.name())) };
        let tablets = place.partition.places().into_iter().map(|at| (at, Heard::default())).collect();
        let now = Instant::now();
        Ok(Self {
            table: goal.table.clone(),
            pid: goal.pid,
            id,
            old,
            successor_holds_all: goal.successor_holds_all,
            wanted: goal.leader.clone().or_else(|| {
                let stays = |at: &&Endpoint| !barred.contains(*at);
                goal.replicas.iter().filter(|at| Some(*at) != place.leader()).find(stays).cloned()
            }),
            barred: barred.clone(),
            tablets,
            nameserver: Heard::default(),
            answering: String::new(),
            rest: Rest::Unknown,
            down: Down::Found,
            since: now,
            began: now,
            limit,
            election: None,
            tries: 0,
            failed: None,
            again: None,
            cancelled: None,
            seen,
        })
    }

    /// `db.table/pid`.
    pub(super) fn name(&self) -> String {
        format!("{}/{}", self.table, self.pid)
    }

    /// The tablets it is on.
    pub(super) fn tablets(&self) -> Vec<Endpoint> {
        self.tablets.keys().cloned().collect()
    }

    /// The leader was told to follow, from then on; and answered then, if it did.
    pub(super) fn was_told_to_follow(&mut self, began: Instant, answered: Option<Instant>) {
        self.began = began;
        self.since = answered.unwrap_or(began);
        self.down = match answered {
            Some(answered) => Down::Told { answered },
            None => Down::Unanswered { given_up: Instant::now() },
        };
    }

    /// Whether it has said that it follows.
    pub(super) fn follows(&self) -> bool {
        !matches!(self.rest, Rest::Unknown)
    }

    /// Whether the nameserver was asked before, whatever came of it.
    pub(super) fn nameserver_was_asked(&self) -> bool {
        self.nameserver.silent.is_some() || self.nameserver.asked.is_some()
    }

    /// What a tablet says of its replica.
    pub(super) fn note_replica(
        &mut self,
        at: &Endpoint,
        asked: Instant,
        held: Result<Option<Held>, CallError>,
        term: Option<TermPair>,
    ) {
        let Some(heard) = self.tablets.get_mut(at) else { return };
        heard.note(asked, held.as_ref().err());
        let Some(tablet) = self.seen.tablets.get_mut(at) else { return };
        let held = match held {
            Ok(held) => held,
            Err(error) => {
                // Where its log ends stays true, whatever becomes of its tablet.
                if *at != self.old || !matches!(self.rest, Rest::Sure(..)) {
                    tablet.held = Seen::Failed(error.to_string());
                }
                return;
            }
        };
        if *at == self.old && asked >= self.since {
            self.rest = self.rest.then(held.as_ref(), asked);
        }
        tablet.held = Seen::Known(held.into_iter().map(|held| (self.id, held)).collect());
        if let Some(term) = term {
            tablet.probes.entry(self.id).or_insert(Probes::UNASKED).term_pair = Seen::Known(term);
        }
    }

    /// What the nameserver says of the partition: its operations, and the table.
    pub(super) fn note_nameserver(
        &mut self,
        asked: Instant,
        said: Result<(Vec<Op>, Option<Table>), CallError>,
        leader: &str,
    ) {
        self.nameserver.note(asked, said.as_ref().err());
        let Ok((ops, table)) = said else { return };
        leader.clone_into(&mut self.answering);
        self.seen.ops = ops;
        self.seen.tables =
            table.filter(|table| table.tid == self.id.tid).map(|table| only(table, self.pid)).into_iter().collect();
    }

    /// What a tablet said of its replica when it was asked then or later.
    pub(super) fn said(&self, at: &Endpoint, since: Instant) -> Option<&Held> {
        self.answered(at, since).then(|| self.held(at)).flatten()
    }

    /// Whether a tablet answered a question of that time or later.
    pub(super) fn answered(&self, at: &Endpoint, since: Instant) -> bool {
        self.tablets
            .get(at)
            .is_some_and(|heard| heard.silent.is_none() && heard.asked.is_some_and(|asked| asked >= since))
    }

    /// Whether it said that it leads when it was asked then or later.
    pub(super) fn says_it_leads(&self, at: &Endpoint, since: Instant) -> bool {
        self.said(at, since).is_some_and(|held| held.role == Role::Leader && held.state.is_loaded())
    }

    fn held(&self, at: &Endpoint) -> Option<&Held> {
        self.seen.tablets.get(at)?.held.known()?.get(&self.id)
    }

    /// Since when a tablet does not answer, if it does not.
    pub(super) fn silent(&self, at: &Endpoint) -> Option<&Silent> {
        self.tablets.get(at)?.silent.as_ref()
    }
}

/// Nobody is flagged leader and alive.
pub(super) fn nobody_leads(name: &str) -> Refusal {
    let hint = format!("`openmldb-ops recover --partition {name}` brings it back");
    Refusal::unsafe_now(format!("{name} has no live leader"), hint)
}

impl Heard {
    fn note(&mut self, asked: Instant, error: Option<&CallError>) {
        let Some(error) = error else {
            self.asked = Some(asked);
            self.silent = None;
            return;
        };
        let (error, dead) = (error.to_string(), is_dead(error));
        match &mut self.silent {
            Some(silent) => (silent.error, silent.dead) = (error, dead),
            None => self.silent = Some(Silent { since: asked, error, dead }),
        }
    }
}

impl Rest {
    fn then(self, held: Option<&Held>, asked: Instant) -> Self {
        let Some(held) = held.filter(|held| held.state.is_loaded()) else { return Self::Gone };
        if held.role == Role::Leader {
            return self;
        }
        match self {
            Self::Once(offset, first) if offset == held.offset && asked.duration_since(first) >= APART => {
                Self::Sure(offset, asked)
            }
            Self::Once(offset, first) if offset == held.offset => Self::Once(offset, first),
            Self::Sure(offset, first) if offset == held.offset => Self::Sure(offset, first),
            Self::Unknown | Self::Once(..) | Self::Sure(..) | Self::Gone => Self::Once(held.offset, asked),
        }
    }
}

/// Whether nobody listens where a server is: its process is dead.
fn is_dead(error: &CallError) -> bool {
    matches!(error.kind, CallErrorKind::Unreachable { .. })
}
