//! What earlier runs have left, told; and what a run leaves to the next, from whatever host it comes.

use std::collections::{BTreeMap, BTreeSet};

use crate::cluster::Hold;
use crate::model::{Endpoint, PartitionId, Snapshot, counted};
use crate::recovery::{Memory, Replaceable};

use super::beside::WHO;
use super::driver::Driven;
use super::event::Event;
use super::hold::{HeldFor, named, why_held};
use super::known_runs::how_it_ended;
use super::lock::{Note, Unseen};
use super::prepared::Prepared;
use super::record::Record;
use super::recover::{Interruption, Recovery};
use super::work_session::EndingSession;

/// What has to be known before a cluster that follows another one is recovered.
const FOLLOWS: &str = "this cluster follows another one: that one's leaders send here as soon as a replica is loaded, from where they had \
     got to, so where logs here have lost their end (a power cut) entries will be missing, and where clients write there meanwhile \
     they may be; \
     docs/openmldb/remote-clusters.md says how to have them let go first";

impl Recovery {
    pub(super) fn tell_of_what_is_there(&self, prepared: &Prepared) {
        let counts = prepared.plan.counts;
        (self.session.listener)(&Event::Observed {
            partitions: counts.total,
            replicas: counts.replicas,
            healthy: counts.healthy,
            auto_failover: prepared.snapshot.auto_failover,
        });
        if !prepared.has_nothing_to_do()
            && let Some(text) = self.session.lock.caveat()
        {
            (self.session.listener)(&Event::Note { text });
        }
        if prepared.snapshot.zone.follows() && !prepared.has_nothing_to_do() {
            (self.session.listener)(&Event::Note { text: FOLLOWS.to_owned() });
        }
        let left = &prepared.left;
        if let Some(old) = left.old_terms.as_ref().filter(|_| !prepared.has_nothing_to_do()) {
            let from = &old.from;
            let text = format!(
                "histories of terms are from a backup ({from}), and elections since may be missing: what each replica was written under \
                 is found out first, and nothing is discarded that may be of a later one"
            );
            (self.session.listener)(&Event::Note { text });
        }
        for unusable in &left.unusable {
            (self.session.listener)(&Event::Note { text: format!("an earlier record cannot be used: {unusable}") });
        }
        let is_owed = prepared.auto_failover_before() && !prepared.snapshot.auto_failover;
        let owed = match (is_owed, prepared.stands.is_empty()) {
            (false, _) => "",
            (true, true) => " and left auto_failover off; it was on and will be restored",
            (true, false) => " and keeps auto_failover off; it was on",
        };
        let elsewhere = prepared.note.as_ref().filter(|note| !left.known.contains(&note.run));
        if let Some(Note { run, host, record, ended, serves_early, unseen, .. }) = elsewhere {
            let how = how_it_ended(ended.as_deref()).unwrap_or("left work to do");
            let unseen = match (serves_early, unseen.len()) {
                (true, _) => {
                    "; leaders may have taken writes before their followers were checked, so nothing on those is \
                     discarded unless you accept it"
                        .to_owned()
                }
                (false, 0) => String::new(),
                (false, count) => {
                    let replicas = counted(count, "replica");
                    format!("; not checked when leaders were chosen: {replicas}, or what was longer there was given up")
                }
            };
            let text = format!(
                "run {run} on {host} {how}{owed}. Its record is there ({record}), not here: what it sent is unknown, \
                 so disk tables that it may have loaded are not loaded again{unseen}"
            );
            (self.session.listener)(&Event::Note { text });
        } else if left.run.is_some() {
            let place = &left.place;
            let used = if owed.is_empty() { "; its record is used" } else { owed };
            let how = match left.ended.as_deref() {
                None => "did not finish".to_owned(),
                Some(verdict) => match how_it_ended(Some(verdict)) {
                    Some(how) => format!("did not finish: it {how}"),
                    None => "left partitions that it could not recover".to_owned(),
                },
            };
            (self.session.listener)(&Event::Note { text: format!("an earlier run {how} ({place}){used}") });
        } else if let (Some(run), false) = (left.owed_by, owed.is_empty()) {
            (self.session.listener)(&Event::Note { text: format!("run {run} did not finish{owed}") });
        }
        let is_explained = left.failover_set.as_ref().is_some_and(|set| !set.on);
        if !prepared.auto_failover_before() && prepared.needs_doing() && !is_explained {
            let text = format!(
                "auto_failover is off, and no known run left it off: it stays off at the end, unless someone switches \
                 it on in the meantime. If another recovery switched it off a moment ago, that one switches it on when \
                 it ends ({WHO})"
            );
            (self.session.listener)(&Event::Note { text });
        }
        if !prepared.stands.is_empty() && prepared.auto_failover_before() {
            let now = if is_owed { "stays off" } else { "was kept off, but someone has switched it on" };
            let text = format!("auto_failover {now}: {}", why_held(&prepared.stands));
            (self.session.listener)(&Event::Note { text });
        }
    }

    /// The replicas that the nameserver must not replace, unless somebody has said that it may.
    pub(super) fn held(
        &self,
        prepared: &Prepared,
        driven: Result<Option<&Driven>, &Interruption>,
        record: &Record,
    ) -> (Vec<HeldFor>, BTreeSet<(PartitionId, Endpoint)>) {
        let elsewhere = |held: &&HeldFor| !prepared.memories.contains_key(&held.partition);
        let mut held: BTreeSet<HeldFor> = prepared.stands.iter().filter(elsewhere).cloned().collect();
        match driven {
            Ok(Some(driven)) => held.extend(driven.held.iter().cloned()),
            Ok(None) => held.extend(prepared.held()),
            // What became of those that stood is unknown.
            Err(_) => {
                held.extend(named(&prepared.snapshot, &record.unseen()));
                held.extend(prepared.stands.iter().cloned());
            }
        }
        let mut released = prepared.released.clone();
        if self.consent.release {
            for held in std::mem::take(&mut held) {
                record.released(held.partition, &held.endpoint);
                released.insert((held.partition, held.endpoint));
            }
        }
        (held.into_iter().collect(), released)
    }
}

impl Recovery {
    /// What was seen whole holds what its leader holds, whoever was elected before: its history of terms is doubted no more.
    pub(super) async fn settle_old_terms(
        &self,
        prepared: &Prepared,
        seen: &Snapshot,
        not_well: &BTreeSet<PartitionId>,
    ) {
        let Some(old) = prepared.left.old_terms.clone() else { return };
        let whole = prepared.memories.keys().filter(|id| !not_well.contains(id)).copied().collect();
        let left = old.clone().without(&whole, seen);
        if left.as_ref() == Some(&old) || *self.session.lock.hold().borrow() == Hold::Lost {
            return;
        }
        if let Err(error) = self.session.lock.write_old_terms(left.as_ref()).await {
            let text = format!(
                "that histories of terms are from a backup is still said in ZooKeeper: {error}; the next run says what is"
            );
            (self.session.listener)(&Event::Note { text });
        }
    }
}

/// What other hosts are told once a recovery has ended: nothing, unless auto_failover is still owed, or something goes on that only the
/// record knows, or there are replicas that nobody had looked at when their leaders were chosen. `serves_early`: nobody can tell which.
pub(super) fn note_left(
    ending: &EndingSession<'_>,
    ended: &str,
    goes_on: bool,
    serves_early: bool,
    unseen: Vec<Unseen>,
) -> Option<Note> {
    let is_needed = ending.owes().is_some() || goes_on || serves_early || !unseen.is_empty();
    let note = Note { serves_early, ..ending.note(ended) };
    is_needed.then(|| note.with_unseen(unseen).holding(ending.given_back.held_for()))
}

/// Replicas that nobody had looked at when their leaders were chosen, or that parted from them; of partitions out of scope, what the note says.
pub(super) fn unseen(
    prepared: &Prepared,
    memories: &BTreeMap<PartitionId, Memory>,
    released: &BTreeSet<(PartitionId, Endpoint)>,
) -> Vec<Unseen> {
    let noted = prepared.note.iter().flat_map(|note| &note.unseen);
    let elsewhere = noted.filter(|unseen| !memories.contains_key(&unseen.partition)).cloned();
    let here = memories.iter().flat_map(|(id, memory)| {
        memory.replicas.iter().filter_map(|(endpoint, replica)| {
            // What parted from its leader by somebody's word may be replaced, and is not what that one wrote since either.
            let parted = replica.shared_up_to.map(|shared| (shared, Some(Replaceable::Released)));
            let unseen = replica.leader_held.map(|held| (held, replica.replaceable)).or(parted);
            let (leader_held, replaceable) = unseen?;
            Some(Unseen { partition: *id, endpoint: endpoint.clone(), leader_held, replaceable })
        })
    });
    let is_released = |unseen: &Unseen| released.contains(&(unseen.partition, unseen.endpoint.clone()));
    elsewhere
        .chain(here)
        .map(|unseen| match is_released(&unseen) {
            true => Unseen { replaceable: Some(Replaceable::Released), ..unseen },
            false => unseen,
        })
        .collect()
}
