//! Pre-aggregate tables: who leads their base tables writes into the copy beside it, whoever leads that.

use super::builder::{Built, Replica, a_partition};
use super::followers::serving as led_by_a;
use super::rows::{after, seen};
use crate::recovery::{Base, Decision, Gates, ProblemKind, Reason, Way, decide, is_proven_prefix, led_apart};
use openmldb_model::Endpoint;

fn base(leader: &str, was_apart: bool) -> Option<Base> {
    Some(Base { name: "shop.orders/0".to_owned(), leader: Some(leader.into()), was_apart })
}

fn aggregating(mut view: Built, base: Option<Base>) -> Built {
    view.0.base = base;
    view
}

/// `a` is flagged leader, and `b` leads the base table and has written `beyond` aggregates into its own copy, under the same term.
fn beside_b(beyond: u64) -> Built {
    let view = a_partition()
        .terms([(1, 0), (2, 11)])
        .replica("a", |r| r.leader().loaded(20).last_term(2))
        .replica("b", |r| r.loaded(20 + beyond).last_term(2))
        .replica("c", |r| r.loaded(20).last_term(2));
    aggregating(view, base("b", true))
}

fn ends(beyond: u64) -> [(&'static str, u64); 3] {
    [("a", 20), ("b", 20 + beyond), ("c", 20)]
}

#[test]
fn the_copy_beside_the_base_tables_leader_leads_if_it_holds_all_that_the_flagged_leader_does() {
    for beyond in [0, 5] {
        let lacks: &[_] = if beyond > 0 { &[("a", "b", 5), ("c", "b", 5)] } else { &[] };
        let view = after(beside_b(beyond), seen(&ends(beyond), lacks));
        let choice = view.choice();
        assert_eq!((choice.leader.as_str(), choice.way), ("b", Way::ChangeLeader), "{beyond}");
    }
}

#[test]
fn terms_prove_nothing_once_the_two_were_apart() {
    let view = beside_b(5);
    let proven = |view: &Built| is_proven_prefix(view, view.get("a"), view.get("b"));
    assert!(!proven(&view), "both may have written entries of the same term at the same places");
    assert!(proven(&aggregating(view.clone(), None)), "of any other table the term proves it");
    assert!(proven(&aggregating(view.clone(), base("b", false))));
    assert!(matches!(decide(&view, &super::builder::recover(), Gates::OPEN), Decision::Compare { .. }));
    let differ = after(view, seen(&ends(5), &[("b", "a", 2), ("a", "b", 5)]));
    assert!(!proven(&differ));
    assert_eq!(differ.reason(), Reason::LongerFollower, "what either of them holds would be given up");
}

#[test]
fn the_flagged_leader_leads_where_the_other_one_lacks_rows_or_is_behind() {
    let behind =
        a_partition().replica("a", |r| r.leader().loaded(20).last_term(1)).replica("b", |r| r.loaded(18).last_term(1));
    assert_eq!(aggregating(behind, base("b", false)).chooses(), "a");
    let lacking = after(beside_b(0), seen(&ends(0), &[("b", "a", 1)]));
    assert_eq!(lacking.chooses(), "a");
    let nowhere =
        a_partition().replica("a", |r| r.leader().loaded(20).last_term(1)).replica("b", |r| r.loaded(20).last_term(1));
    assert_eq!(aggregating(nowhere, base("d", false)).chooses(), "a", "no replica is beside it");
}

#[test]
fn a_leader_that_is_not_beside_its_base_tables_is_named() {
    let serves = |r: Replica| r.leader().alive().loaded(20).leads_to([]);
    let apart = aggregating(a_partition().replica("a", serves), base("b", false));
    let problem = led_apart(&apart).unwrap();
    assert_eq!((problem.endpoint, problem.kind), (Endpoint::from("a"), ProblemKind::LedApart));
    assert!(led_apart(&aggregating(apart.clone(), base("a", false))).is_none());
    assert!(led_apart(&aggregating(apart, None)).is_none());
}

/// An old leader with its flag, that its leader does not replicate to; `heard` is the term it heard since it was loaded.
fn old_leader(heard: u64, connected: bool) -> Built {
    let old = move |r: Replica| r.leader().loaded(20).last_term(1).heard(heard);
    let view = match connected {
        true => led_by_a([("b", 20)], old),
        false => led_by_a([], old),
    };
    after(view, seen(&[("a", 20), ("b", 20)], &[]))
}

#[test]
fn an_old_leader_that_holds_the_same_keeps_its_data() {
    assert_eq!(
        old_leader(0, false).acts(),
        ["add_replica a b"],
        "RecoverTable would drop it for the term it has not heard"
    );
    assert_eq!(old_leader(1, true).acts(), ["del_replica a b"], "RecoverTable fails if they are connected");
    assert_eq!(old_leader(1, false).acts(), ["recover_table b"], "and takes it as it is");
    let lacks = after(old_leader(1, false), seen(&[("a", 20), ("b", 20)], &[("b", "a", 1)]));
    assert_eq!(lacks.acts(), ["drop b"], "what differs is resent");
}
