//! When a history of terms from a backup may be written, on snapshots made up for it.

use crate::metadata::KeptTerms;
use crate::model::{
    Action, Endpoint, Manifest, Manual, Offset, Pid, Probes, Seen, Snapshot, Term, TermPair, TermStart,
};

use super::super::super::tests::{ID, orders, replica_mut, well};
use super::super::super::{Step, plan};

fn start(term: u64, offset: u64) -> TermStart {
    TermStart { term: Term(term), start: Offset(offset) }
}

/// A partition that nobody leads, of whose terms the metadata have the first.
fn leaderless() -> Snapshot {
    let mut seen = well();
    replica_mut(&mut seen, "a").is_alive = false;
    seen
}

/// The whole history, written over a part of it.
fn set(seen: &Snapshot) -> Result<Option<Action>, String> {
    let kept =
        KeptTerms { from: "FILE".to_owned(), tid: ID.tid, partitions: 1, terms: vec![start(1, 0), start(3, 21)] };
    let step = Step::SetTerms { table: orders(), pid: Pid(0), kept };
    plan(&step, seen).map(|planned| planned.call).map_err(|refused| refused.text)
}

fn probed(at: &str, probes: Probes) -> Snapshot {
    let mut seen = leaderless();
    seen.tablets.get_mut(&Endpoint::from(at)).unwrap().probes.insert(ID, probes);
    seen
}

fn heard(term: u64) -> Snapshot {
    let pair = TermPair { has_table: true, is_leader: false, term: Term(term), offset: Offset(20) };
    probed("b", Probes { term_pair: Seen::Known(pair), ..Probes::UNASKED })
}

fn written(term: u64) -> Snapshot {
    let manifest = Manifest { offset: Offset(20), term: Some(Term(term)), count: 20 };
    probed("b", Probes { manifest: Seen::Known(manifest), ..Probes::UNASKED })
}

#[test]
fn what_continues_the_history_is_written_while_nobody_leads() {
    let sent = set(&leaderless()).unwrap();
    assert!(matches!(sent, Some(Action::Manual(Manual::SetTerms { terms, .. })) if terms.len() == 2));
    let text = set(&well()).unwrap_err();
    assert!(text.contains("a leads shop.orders/0, by a history of terms that its metadata have"), "{text}");
    let mut unknown = well();
    unknown.tables[0].partitions[0].terms.clear();
    assert!(set(&unknown).unwrap().is_some(), "whoever leads, nothing is contradicted");
    let mut on = leaderless();
    on.auto_failover = true;
    assert!(set(&on).unwrap_err().contains("auto_failover is on"));
}

#[test]
fn what_a_replica_shows_of_another_term_contradicts_it() {
    for term in [0, 1, 3] {
        assert!(set(&heard(term)).is_ok() && set(&written(term)).is_ok(), "{term}");
    }
    for term in [2, 4] {
        let (by_word, by_rows) = (set(&heard(term)).unwrap_err(), set(&written(term)).unwrap_err());
        assert!(by_word.contains(&format!("b has heard of term {term} of shop.orders/0")), "{by_word}");
        assert!(by_rows.contains(&format!("b holds rows of shop.orders/0 of term {term}")), "{by_rows}");
    }
}
