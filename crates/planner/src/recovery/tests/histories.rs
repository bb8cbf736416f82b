//! Random histories of writes, failovers and losses, each ended by a full stop: what is connected is a prefix indeed, and
//! no replica that answers holds more of the history than the one that leads.

use proptest::prelude::*;

use super::builder::{Built, Replica, a_partition};
use crate::recovery::{Choice, Decision, Reason, View};
use openmldb_model::{Action, Manifest, Offset, Seen, Term, TermStart};

const NAMES: [&str; 3] = ["a", "b", "c"];

/// What happens to the partition while it lives, and to one of its replicas.
#[derive(Debug, Clone, Copy)]
enum Event {
    /// The leader takes this many entries; followers that are not frozen receive them.
    Write(u8),
    /// A follower stops receiving.
    Freeze(usize),
    /// The leader dies; the longest alive follower is elected.
    Failover,
    /// A dead or frozen replica is brought back by RecoverTable: its data is the leader's, its flag is gone.
    Recover(usize),
}

/// What the full stop, or the disks, did to a replica.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    Fine,
    /// A power cut took this many of its last entries.
    Torn(u8),
    /// Its disk is gone.
    Lost,
    /// Its tablet is not back.
    Away,
}

/// Entries are told apart by their term and a number that no two writes share.
type Log = Vec<(u64, u32)>;

#[derive(Debug, Clone)]
struct History {
    logs: [Log; 3],
    terms: Vec<TermStart>,
    flagged: [bool; 3],
    alive: [bool; 3],
    frozen: [bool; 3],
    leader: usize,
    writes: u32,
}

impl History {
    fn new() -> Self {
        Self {
            logs: Default::default(),
            terms: vec![TermStart { term: Term(1), start: Offset(0) }],
            flagged: [true, false, false],
            alive: [true; 3],
            frozen: [false; 3],
            leader: 0,
            writes: 0,
        }
    }

    fn term(&self) -> u64 {
        self.terms.last().unwrap().term.0
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Write(entries) => {
                for _ in 0..entries {
                    self.writes += 1;
                    let entry = (self.term(), self.writes);
                    self.logs[self.leader].push(entry);
                }
                self.replicate();
            }
            Event::Freeze(x) if x != self.leader => self.frozen[x] = true,
            Event::Recover(x) if x != self.leader => {
                (self.flagged[x], self.alive[x], self.frozen[x]) = (false, true, false);
                self.logs[x] = self.logs[self.leader].clone();
            }
            Event::Failover => self.fail_over(),
            Event::Freeze(_) | Event::Recover(_) => {}
        }
    }

    fn replicate(&mut self) {
        let log = self.logs[self.leader].clone();
        for x in (0..3).filter(|x| *x != self.leader && self.alive[*x] && !self.frozen[*x]) {
            let held = self.logs[x].len();
            self.logs[x].extend_from_slice(log.get(held..).unwrap_or_default());
        }
    }

    fn fail_over(&mut self) {
        let followers = (0..3).filter(|x| *x != self.leader && self.alive[*x]);
        let Some(elected) = followers.max_by_key(|x| self.logs[*x].len()) else { return };
        self.alive[self.leader] = false;
        (self.leader, self.flagged[elected], self.frozen[elected]) = (elected, true, false);
        let start = Offset(self.logs[elected].len() as u64 + 1);
        self.terms.push(TermStart { term: Term(self.term() + 2), start });
        self.frozen = [false; 3];
        self.replicate();
    }

    /// What recovery sees once everything that comes back is loaded as a follower.
    fn view(&self, fates: [Fate; 3], known: bool) -> Built {
        let mut view = a_partition();
        view.0.terms.clone_from(&self.terms);
        for x in 0..3 {
            view = view.replica(NAMES[x], |r| self.replica(x, r, fates[x], known));
        }
        view
    }

    fn replica(&self, x: usize, r: Replica, fate: Fate, known: bool) -> Replica {
        let r = if self.flagged[x] { r.leader() } else { r };
        let r = if self.alive[x] { r.alive_before() } else { r };
        let r = if known { r.known_at(self.logs[x].len() as u64) } else { r };
        match fate {
            Fate::Fine | Fate::Torn(_) => r.loaded(self.kept(x, fate).len() as u64),
            Fate::Lost => r.refused(),
            Fate::Away => r.out_of_reach(),
        }
    }

    fn kept(&self, x: usize, fate: Fate) -> &[(u64, u32)] {
        match fate {
            Fate::Fine => &self.logs[x],
            Fate::Torn(lost) => &self.logs[x][..self.logs[x].len().saturating_sub(usize::from(lost))],
            Fate::Lost | Fate::Away => &[],
        }
    }
}

fn shared(x: &[(u64, u32)], y: &[(u64, u32)]) -> usize {
    x.iter().zip(y).take_while(|(a, b)| a == b).count()
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (1..6u8).prop_map(Event::Write),
        3 => (0..3usize).prop_map(Event::Freeze),
        3 => Just(Event::Failover),
        2 => (0..3usize).prop_map(Event::Recover),
    ]
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![6 => Just(Fate::Fine), 1 => (1..4u8).prop_map(Fate::Torn), 1 => Just(Fate::Lost), 1 => Just(Fate::Away)]
}

/// Decides until a leader is chosen; snapshots are answered with the true last terms. None if the partition is blocked.
fn chosen(view: &mut View, logs: &[&[(u64, u32)]; 3]) -> Result<Choice, Reason> {
    for _ in 0..20 {
        match Built(view.clone()).decided() {
            Decision::Act(intents) => {
                for intent in intents {
                    let Action::MakeSnapshot { endpoint, offset, .. } = &intent.action else { panic!("{intent:?}") };
                    let x = NAMES.iter().position(|name| *name == endpoint.as_str()).unwrap();
                    let term = logs[x].last().map(|(term, _)| Term(*term));
                    view.replica_mut(endpoint).unwrap().manifest =
                        Seen::Known(Manifest { offset: *offset, term, count: offset.0 });
                }
            }
            Decision::Choose(choice) => return Ok(*choice),
            Decision::Blocked(blocked) => return Err(blocked.reason),
            other => panic!("{other:?}"),
        }
    }
    panic!("no end")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4 * ProptestConfig::default().cases, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn proven_prefixes_are_prefixes_and_the_leader_holds_all_that_answers(
        events in prop::collection::vec(event(), 0..14),
        fates in [fate(), fate(), fate()],
        known: bool,
    ) {
        let mut history = History::new();
        events.iter().for_each(|event| history.happens(*event));
        let kept = [0, 1, 2].map(|x| history.kept(x, fates[x]));
        let official = &history.logs[history.leader];
        let mut view = history.view(fates, known).0;
        let Ok(choice) = chosen(&mut view, &kept) else { return Ok(()) };
        let of = |endpoint: &openmldb_model::Endpoint| NAMES.iter().position(|name| *name == endpoint.as_str()).unwrap();
        let leads = kept[of(&choice.leader)];
        for x in choice.proven.iter().map(of) {
            prop_assert_eq!(shared(kept[x], leads), kept[x].len(), "{} is no prefix: {:?}", NAMES[x], view);
        }
        for x in 0..3 {
            let held = shared(kept[x], official);
            prop_assert!(held <= shared(leads, official), "{} holds more of the history: {:#?}", NAMES[x], choice);
            // What is given up is listed, entry by entry.
            let given_up = choice.given_up.iter().find(|given| given.endpoint.as_str() == NAMES[x]);
            let beyond = kept[x].len() - shared(kept[x], leads);
            prop_assert!(beyond == 0 || given_up.is_some_and(|given| given.entries >= beyond as u64),
                "{} silently gives up {beyond}: {:#?}", NAMES[x], choice);
        }
    }

    #[test]
    fn a_clean_full_stop_blocks_nothing(events in prop::collection::vec(event(), 0..14), known: bool) {
        let mut history = History::new();
        events.iter().for_each(|event| history.happens(*event));
        let kept = [0, 1, 2].map(|x| history.kept(x, Fate::Fine));
        let mut view = history.view([Fate::Fine; 3], known).0;
        let choice = chosen(&mut view, &kept);
        // Another than the last leader leads only if it holds all that one does.
        let choice = choice.map_err(|reason| TestCaseError::fail(reason.code()))?;
        let leads = kept[NAMES.iter().position(|name| *name == choice.leader.as_str()).unwrap()];
        let official = &history.logs[history.leader];
        prop_assert_eq!(shared(leads, official), official.len(), "{:#?}", choice);
    }
}
