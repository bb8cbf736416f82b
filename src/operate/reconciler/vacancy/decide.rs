//! What is done next about a partition without a leader.
//!
//! The old leader may be told to lead again only where no election can come about any more: none was asked for; or the nameserver
//! shows that its operation has ended before anybody was told to lead, and still names the old leader; or another nameserver leads
//! and shows no such operation. Two would lead otherwise, in different terms, and what clients write to the old one would be given
//! up. While nobody can tell, the partition's own servers are asked on, and it is said what is waited for.

use std::time::Duration;

use tokio::time::Instant;

use crate::cluster::{CallError, NOT_LEADER, Outcome};
use crate::model::{Endpoint, Op, OpId, OpKind, OpStatus};

use super::super::super::Step;
use super::super::super::handover::{Standing, Successor, standing};
use super::super::super::partition_context::{PartitionContext, Refusal};
use super::super::super::plan::plan;
use super::election::{Again, Circumstances, Election};
use super::end::{End, Why};
use super::known::{CALL, Down, Known, Rest, nobody_leads};

/// How often an election is asked for before the old leader leads again: about one operation in twenty fails for no reason.
const TRIES: u32 = 3;
/// Before an election is asked for again of which nobody knows whether it was heard, and before the old leader is told again.
const AGAIN: Duration = Duration::from_millis(200);
/// So long after it was told to follow and did not answer, a leader that says that it leads has not heard it.
const SETTLED: Duration = Duration::from_secs(1);
/// How long a server that has died is given to be another one that is slow to say so.
const DEAD_FOR: Duration = Duration::from_secs(1);
/// How much longer those are asked who alone know, or alone can lead.
const ASKED_ON: Duration = Duration::from_secs(60);
/// The same when everything is to end.
const ENDS_WITHIN: Duration = Duration::from_secs(7);

/// What is done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Do {
    /// What was asked is waited for.
    Look,
    /// Who leads among the nameservers is looked up: the one that was asked for an election does not answer.
    LookUp,
    /// ChangeLeader.
    Elect(Endpoint),
    /// CancelOP.
    Cancel(OpId),
    /// ChangeRole to follower, for one that leads although no metadata names it.
    Demote(Endpoint),
    /// ChangeRole to leader, for the old one.
    LeadAgain,
    /// Nothing.
    Over(End),
}

/// Who is to be elected.
enum SuccessorState {
    Is(Endpoint),
    /// Nobody holds all that the old leader does.
    None,
    NotYet(String),
    Refused(Refusal),
    /// A follower holds more than the old leader does.
    Longer(Refusal),
}

impl Known {
    pub(super) fn decide(&mut self, now: Instant, circumstances: &Circumstances) -> Do {
        if let Some(end) = self.who_leads() {
            return Do::Over(end);
        }
        if let Some(election) = self.election.clone()
            && let Some(next) = self.next_of_election(&election, now, circumstances)
        {
            return next;
        }
        self.next_without_election(now, circumstances)
    }

    /// Whether the nameserver is to be asked: what it said before the leader followed, or before it was asked for an election, is old.
    pub(super) fn wants_nameserver(&self) -> bool {
        let is_fresh = self.nameserver.asked.is_some_and(|asked| asked >= self.since);
        self.election.is_some() || !is_fresh || self.elections_under_way().next().is_some()
    }

    fn elections_under_way(&self) -> impl Iterator<Item = &Op> {
        self.seen.ops.iter().filter(|op| op.kind == OpKind::ChangeLeader && op.status.is_in_flight())
    }

    fn who_leads(&self) -> Option<End> {
        let Ok(place) = PartitionContext::find(&self.seen, &self.table, self.pid) else {
            let hint = "see `openmldb-ops status`";
            return Some(End::Unled(Refusal::unsafe_now(format!("{} no longer exists", self.name()), hint)));
        };
        let leader = place.leader()?;
        if *leader != self.old {
            return self.says_it_leads(leader, self.since).then(|| End::NewLeader(leader.clone()));
        }
        if self.election.is_some() {
            return None;
        }
        let since = match self.down {
            Down::Found => self.since,
            Down::Told { answered } => answered,
            Down::Unanswered { given_up } => given_up + SETTLED,
        };
        let told = self.again.as_ref().and_then(|again| again.told);
        if !self.says_it_leads(leader, since.max(told.unwrap_or(since))) {
            return None;
        }
        let why = match &self.again {
            Some(again) => again.why.clone(),
            None => Why::NotDone(Refusal::unsafe_now(
                format!("{leader} still leads {}: it did not receive the order to step down", self.name()),
                "run this again",
            )),
        };
        Some(End::LeadsAgain(why))
    }

    /// Until when another one may be elected: telling the old one to lead again takes a moment, too.
    fn elects_until(&self, circumstances: &Circumstances) -> Instant {
        let spare = (2 * CALL).min(self.limit / 2);
        let until = self.began + self.limit - spare;
        circumstances.ending_since.map_or(until, |ending| until.min(ending + CALL))
    }

    /// How long those are asked who do not answer.
    fn asks_until(&self, circumstances: &Circumstances) -> Instant {
        let until = self.began + self.limit + ASKED_ON;
        circumstances.ending_since.map_or(until, |ending| until.min(ending + ENDS_WITHIN))
    }

    /// What an election that was asked for calls for; nothing once nothing comes of it any more.
    fn next_of_election(&mut self, election: &Election, now: Instant, circumstances: &Circumstances) -> Option<Do> {
        let in_time = now < self.elects_until(circumstances);
        if self.nameserver.asked.is_none_or(|asked| asked <= election.at) {
            return Some(self.ask_on(now, circumstances, in_time));
        }
        let place = PartitionContext::find(&self.seen, &self.table, self.pid).ok()?;
        if place.leader() != Some(&self.old) {
            // It was told so before this was written into the metadata; its tablet may have gone since.
            let leader = place.leader().unwrap_or(&election.to);
            let gone = self.silent(leader).is_some_and(|silent| now >= silent.since + CALL);
            let overdue = now >= self.asks_until(circumstances);
            return Some(if gone || overdue { Do::Over(End::NewLeader(leader.clone())) } else { Do::Look });
        }
        let mine: Vec<Op> = self.seen.ops.iter().filter(|op| election.is(op)).cloned().collect();
        if let Some(op) = mine.iter().find(|op| op.status.is_in_flight()) {
            return Some(if in_time { Do::Look } else { self.cancel(op.id, now, circumstances) });
        }
        let text = match mine.last() {
            Some(op) => {
                let said = format!("operation {} ({}) {:?} at {}", op.id, op.kind.name(), op.status, op.task);
                if let Some(next) = self.next_of_candidate(election, op, now, circumstances) {
                    return Some(next);
                }
                said
            }
            None if election.heard => "the nameserver did not start an election".to_owned(),
            None if !election.nameserver.is_empty() && self.answering != election.nameserver => {
                "the nameserver that was asked for an election is no longer the leading one".to_owned()
            }
            // The same once more: whichever is heard first elects it, and the other one is refused.
            None if circumstances.may_elect && now >= election.at + AGAIN => {
                return Some(Do::Elect(election.to.clone()));
            }
            None => return Some(self.ask_on(now, circumstances, true)),
        };
        self.came_to_nothing(text);
        None
    }

    /// An operation has ended, and the metadata still names the old leader. Once it had come to telling its candidate, that one may
    /// lead, or still hear it.
    fn next_of_candidate(
        &mut self,
        election: &Election,
        op: &Op,
        now: Instant,
        circumstances: &Circumstances,
    ) -> Option<Do> {
        if op.status == OpStatus::Queued || op.task == "kSelectLeader" || op.task == "-" {
            return None;
        }
        let over = *self.election.as_mut().map(|election| election.over.get_or_insert(now))?;
        if self.says_it_leads(&election.to, over) {
            return Some(Do::Demote(election.to.clone()));
        }
        let is_dead = self.silent(&election.to).is_some_and(|silent| silent.dead && now >= silent.since + DEAD_FOR);
        if is_dead || self.answered(&election.to, over + SETTLED) {
            return None;
        }
        Some(self.ask_on(now, circumstances, true))
    }

    /// Only the nameserver, or the one that is to be elected, can tell.
    fn ask_on(&self, now: Instant, circumstances: &Circumstances, in_time: bool) -> Do {
        if now < self.asks_until(circumstances) {
            let unheard = self.nameserver.silent.is_some() && !in_time;
            return if unheard { Do::LookUp } else { Do::Look };
        }
        let (name, old) = (self.name(), &self.old);
        let text = format!(
            "{old} has stepped down as leader of {name}, and it is unknown whether another replica was elected: {}",
            self.who_is_silent().unwrap_or_else(|| "the nameserver shows no such operation".to_owned())
        );
        let hint = format!("once it answers: `openmldb-ops recover --partition {name}`");
        Do::Over(End::Unled(Refusal::unsafe_now(text, hint)))
    }

    fn cancel(&self, op: OpId, now: Instant, circumstances: &Circumstances) -> Do {
        match self.cancelled {
            Some(at) if now < at + CALL => self.ask_on(now, circumstances, false),
            _ => Do::Cancel(op),
        }
    }

    fn came_to_nothing(&mut self, text: String) {
        self.election = None;
        self.tries += 1;
        if self.tries >= TRIES {
            self.leads_again_because(text.clone());
        }
        self.failed = Some(text);
    }

    fn leads_again_because(&mut self, text: String) {
        let name = self.name();
        let hint =
            format!("check `openmldb-ops status --partition {name}` and `openmldb-ops show ops`, then run this again");
        self.again.get_or_insert(Again::new(Why::NotDone(Refusal::unsafe_now(text, hint))));
    }

    fn next_without_election(&mut self, now: Instant, circumstances: &Circumstances) -> Do {
        let name = self.name();
        let Ok(place) = PartitionContext::find(&self.seen, &self.table, self.pid) else { return Do::Look };
        match place.leader() {
            None => return Do::Over(End::Unled(nobody_leads(&name))),
            Some(leader) if *leader != self.old => {
                let text =
                    format!("{leader} is flagged leader of {name}, but its tablet does not report that it leads");
                let hint = format!("`openmldb-ops recover --partition {name}` brings it back");
                let overdue = now >= self.began + self.limit;
                return if overdue { Do::Over(End::Unled(Refusal::unsafe_now(text, hint))) } else { Do::Look };
            }
            Some(_) => {}
        }
        let in_time = now < self.elects_until(circumstances);
        // Somebody's else, or an earlier run's.
        if let Some(op) = self.elections_under_way().next() {
            return if in_time { Do::Look } else { self.cancel(op.id, now, circumstances) };
        }
        let leads = |at: &&Endpoint| **at != self.old && self.says_it_leads(at, self.since);
        if let Some(at) = self.tablets.keys().find(leads) {
            let text = format!("{at} leads {name} on its tablet, but the nameserver names {}", self.old);
            let hint = format!("`openmldb-ops recover --partition {name}` decides who leads");
            return Do::Over(End::Unled(Refusal::unsafe_now(text, hint)));
        }
        let found = self.successor();
        if self.again.is_some() || circumstances.ending_since.is_some() || !in_time {
            return self.next_of_leading_again(found, now, circumstances);
        }
        match found {
            SuccessorState::Is(to) if circumstances.may_elect => Do::Elect(to),
            SuccessorState::Is(_) | SuccessorState::NotYet(_) => Do::Look,
            // Nothing more is on its way: who follows replicates to nobody.
            SuccessorState::None => {
                self.again = Some(Again::new(Why::TooEarly));
                Do::LeadAgain
            }
            SuccessorState::Refused(refusal) => {
                self.again = Some(Again::new(Why::NotDone(refusal)));
                Do::LeadAgain
            }
            SuccessorState::Longer(refusal) => self.next_beside_a_longer_one(refusal),
        }
    }

    /// Where nobody was asked to elect anybody it was like that before, and the old leader led.
    fn next_beside_a_longer_one(&mut self, refusal: Refusal) -> Do {
        if self.tries > 0 || matches!(self.down, Down::Found) {
            return Do::Over(End::Unled(refusal));
        }
        self.again = Some(Again::new(Why::NotDone(refusal)));
        Do::LeadAgain
    }

    fn next_of_leading_again(&mut self, found: SuccessorState, now: Instant, circumstances: &Circumstances) -> Do {
        if circumstances.taken_over {
            let text =
                format!("{} has stepped down as leader of {}, and another run has taken over", self.old, self.name());
            return Do::Over(End::Unled(Refusal::unsafe_now(
                text,
                "that run brings it back; see `openmldb-ops status`",
            )));
        }
        if self.again.is_none() {
            match (circumstances.ending_since, &found) {
                (_, SuccessorState::Longer(refusal)) => {
                    if let over @ Do::Over(_) = self.next_beside_a_longer_one(refusal.clone()) {
                        return over;
                    }
                }
                (Some(_), _) => self.again = Some(Again::new(Why::Ending)),
                (None, SuccessorState::NotYet(what)) => self.is_out_of_time(what, now),
                (None, SuccessorState::Refused(refusal)) => self.is_out_of_time(&refusal.text, now),
                (None, SuccessorState::Is(_) | SuccessorState::None) => {
                    self.is_out_of_time("the election came too late", now)
                }
            }
        }
        let Some(again) = &self.again else { return Do::Look };
        let silent = self.silent(&self.old);
        let gone =
            self.rest == Rest::Gone || silent.is_some_and(|silent| silent.dead && now >= silent.since + DEAD_FOR);
        // It cannot lead again, and has not been told to: a replica that holds everything it held leads.
        if let SuccessorState::Is(to) = &found
            && silent.is_some_and(|silent| now >= silent.since + CALL)
            && circumstances.may_elect
            && (!again.perhaps || gone)
            && self.tries < 2 * TRIES
        {
            return Do::Elect(to.clone());
        }
        if let Some(refusal) = &again.refused {
            return Do::Over(End::Unled(refusal.clone()));
        }
        if gone || now >= self.asks_until(circumstances) {
            return Do::Over(End::Unled(self.nobody_can_lead()));
        }
        match again.told {
            Some(told) if now < told + AGAIN => Do::Look,
            Some(told) if silent.is_none() && !self.answered(&self.old, told) => Do::Look,
            _ => Do::LeadAgain,
        }
    }

    fn is_out_of_time(&mut self, what: &str, now: Instant) {
        let what = self.failed.clone().unwrap_or_else(|| what.to_owned());
        // Earlier than the limit, to be in time; or later, where nobody could tell whether another one was elected.
        let waited = now.duration_since(self.began).as_secs_f64();
        self.leads_again_because(format!("no other replica led within {waited:.1} s: {what}"));
    }

    fn nobody_can_lead(&self) -> Refusal {
        let (old, name) = (&self.old, self.name());
        let seen = match (self.silent(old), self.rest) {
            (Some(silent), _) => format!("its tablet does not answer ({})", silent.error),
            (None, Rest::Gone) => "its tablet does not have it loaded any more: it was restarted".to_owned(),
            (None, _) => "its tablet does not let it lead again".to_owned(),
        };
        let held = match self.rest {
            Rest::Sure(offset, _) => {
                format!("no follower that may be elected is known to hold all of it, up to offset {offset}")
            }
            Rest::Unknown | Rest::Once(..) | Rest::Gone => "the end of its log is unknown".to_owned(),
        };
        let text = format!("{old} had stepped down as leader of {name}, and {seen}; {held}");
        Refusal::unsafe_now(text, format!("start that tablet, then `openmldb-ops recover --partition {name}`"))
    }

    fn who_is_silent(&self) -> Option<String> {
        if let Some(silent) = &self.nameserver.silent {
            return Some(silent.error.clone());
        }
        self.tablets.values().find_map(|heard| heard.silent.as_ref()).map(|silent| silent.error.clone())
    }

    /// Who holds all that the old leader does, and may be elected: everybody whom the nameserver would ask has to answer.
    fn successor(&self) -> SuccessorState {
        let rested = match self.rest {
            Rest::Sure(_, at) => at,
            Rest::Gone => return SuccessorState::NotYet(format!("{} does not have it loaded any more", self.old)),
            Rest::Unknown | Rest::Once(..) => {
                let seen = self.silent(&self.old).map(|silent| silent.error.clone());
                return SuccessorState::NotYet(
                    seen.unwrap_or_else(|| format!("the log of {} did not settle", self.old)),
                );
            }
        };
        let Ok(place) = PartitionContext::find(&self.seen, &self.table, self.pid) else { return SuccessorState::None };
        if self.nameserver.asked.is_none_or(|asked| asked < self.since) || self.nameserver.silent.is_some() {
            let seen = self.nameserver.silent.as_ref().map(|silent| silent.error.clone());
            return SuccessorState::NotYet(seen.unwrap_or_else(|| "the nameserver did not answer yet".to_owned()));
        }
        let electable = place
            .partition
            .replicas
            .iter()
            .filter(|replica| replica.is_alive && !replica.is_leader && self.seen.hears_from(&replica.endpoint));
        for replica in electable {
            if !self.answered(&replica.endpoint, rested) {
                let seen = self.silent(&replica.endpoint).map(|silent| silent.error.clone());
                return SuccessorState::NotYet(
                    seen.unwrap_or_else(|| format!("{} did not answer yet", replica.endpoint)),
                );
            }
        }
        let successor = self.wanted.as_ref().map(|at| Successor { at, holds_all: self.successor_holds_all });
        match standing(&place, &self.old, successor, &self.barred) {
            Ok(Standing::Down(to)) => {
                let step = Step::ChangeLeader { table: self.table.clone(), pid: self.pid, to: Some(to.clone()) };
                match plan(&step, &self.seen) {
                    Ok(_) => SuccessorState::Is(to),
                    Err(refusal) => SuccessorState::Refused(refusal),
                }
            }
            Ok(Standing::TooEarly) => SuccessorState::None,
            Ok(Standing::Up | Standing::Silent) => SuccessorState::NotYet(format!("{} leads", self.old)),
            Err(refusal) => SuccessorState::Longer(refusal),
        }
    }

    /// The nameserver was asked for an election, and answered so.
    pub(super) fn was_asked_to_elect(&mut self, election: Election, sent: Result<(), CallError>) {
        let election = Election { at: Instant::now(), ..election };
        match sent {
            Ok(()) => self.election = Some(Election { heard: true, ..election }),
            Err(error) if error.outcome() == Outcome::Unknown => self.election = Some(election),
            Err(error) => match &mut self.election {
                // Of the one before nobody knows whether it was heard; what refuses this one refuses that one, too.
                Some(before) if error.code().is_none_or(|code| code == NOT_LEADER) => before.at = election.at,
                Some(_) | None => self.came_to_nothing(error.to_string()),
            },
        }
    }

    pub(super) fn was_told_to_cancel(&mut self) {
        self.cancelled = Some(Instant::now());
    }

    /// One that led although nobody named it was told to follow.
    pub(super) fn was_demoted(&mut self) {
        if let Some(election) = &mut self.election {
            election.over = Some(Instant::now());
        }
    }

    /// Whether the old leader has not been told to lead again yet.
    pub(super) fn leads_again_first_time(&self) -> bool {
        self.again.as_ref().is_none_or(|again| again.told.is_none())
    }

    /// The old leader was told to lead again.
    pub(super) fn was_told_to_lead_again(&mut self, sent: Result<(), CallError>) {
        let again = self.again.get_or_insert(Again::new(Why::Ending));
        again.told = Some(Instant::now());
        match sent {
            Ok(()) => again.perhaps = true,
            Err(error) => again.perhaps |= error.outcome() == Outcome::Unknown,
        }
    }

    /// Nothing can be sent to the old leader.
    pub(super) fn cannot_lead_again(&mut self, refusal: Refusal) {
        let again = self.again.get_or_insert(Again::new(Why::Ending));
        again.told = Some(Instant::now());
        again.refused = Some(refusal);
    }
}
