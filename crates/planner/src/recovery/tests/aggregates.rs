//! Pre-aggregate tables: the base table's leader writes into the copy on its own tablet, even if that copy does not
//! lead.

use std::collections::BTreeSet;

use super::builder::{Built, Replica, a_partition};
use super::followers::serving as led_by_a;
use super::rows::{after, seen};
use crate::playbook::{OnConflict, Promote};
use crate::recovery::{
    Base, Decision, Gates, Memory, Outcome, Probe, ProblemKind, PromotionMethod, Question, Reason, RowsSeen, Suspicion,
    WaitFor, awaits_aggregator, choose, decide, is_proven_prefix, led_apart, may_be_dropped, may_be_resent, suspicion,
};
use openmldb_model::{Aggregator, Endpoint, Manifest, Offset, Seen, StorageMode, Term};

pub fn base(leader: &str, was_apart: bool) -> Option<Base> {
    Some(Base {
        name: "shop.orders/0".to_owned(),
        leader: Some(leader.into()),
        was_apart,
        registered_at: BTreeSet::new(),
        takes_rows: false,
    })
}

pub fn aggregating(mut view: Built, base: Option<Base>) -> Built {
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
        assert_eq!((choice.leader.as_str(), choice.way), ("b", PromotionMethod::ChangeLeader), "{beyond}");
    }
}

#[test]
fn terms_prove_nothing_once_the_two_were_apart() {
    let view = beside_b(5);
    let proven = |view: &Built| is_proven_prefix(view, view.get("a"), view.get("b"));
    assert!(!proven(&view), "both may have written entries of the same term at the same places");
    assert!(proven(&aggregating(view.clone(), None)), "of any other table the term proves it");
    let too_many = || RowsSeen::unknown(["a", "b", "c"].map(Endpoint::from), "they are too many");
    assert!(!proven(&after(view.clone(), too_many())), "that nobody can compare them proves nothing either");
    let never_apart = |rows| proven(&after(aggregating(view.clone(), base("b", false)), rows));
    assert!(never_apart(too_many()));
    assert!(never_apart(seen(&ends(5), &[("a", "b", 5)])));
    assert!(!never_apart(seen(&ends(5), &[("b", "a", 2), ("a", "b", 5)])), "its log may have hidden an older one");
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

/// Where rows were lost for it on real servers: `a` lost its end, and its aggregator made four of the buckets again while it loaded.
fn written_while_loading(a: (u64, u64), others: u64) -> Built {
    let of_a = move |r: Replica| r.leader().loaded(a.0).rows(a.1).last_term(1).with(aggregates);
    let view = a_partition()
        .replica("a", of_a)
        .replica("b", move |r| r.loaded(others).last_term(1))
        .replica("c", move |r| r.loaded(others).last_term(1));
    aggregating(view, base("a", false))
}

pub fn aggregates(r: &mut crate::recovery::ReplicaView) {
    r.aggregator = Seen::Known(Aggregator::Present);
}

#[test]
fn a_copy_that_was_written_to_while_it_loaded_leads_nobody_who_holds_what_it_had_before() {
    for (a, others) in [((8, 12), 12), ((12, 27), 12), ((3, 18), 21)] {
        let view = written_while_loading(a, others);
        let written = Suspicion::WrittenWhileLoading { rows: a.1, offset: Offset(a.0) };
        assert_eq!(suspicion(&view, view.get("a")), Some(written));
        assert_eq!(suspicion(&view, view.get("b")), None, "whatever the other one holds beside");
        assert_eq!(view.chooses(), "b");
        assert!(!is_proven_prefix(&view, view.get("a"), view.get("b")));
    }
    let mut other = written_while_loading((8, 12), 12);
    other.0.base = None;
    assert!(suspicion(&other, other.get("a")).is_none(), "no other table has an aggregator");
}

#[test]
fn one_that_is_longer_than_all_that_are_as_they_were_leaves_the_partition_alone() {
    let view = written_while_loading((31, 46), 20);
    assert_eq!(view.reason(), Reason::SuspectIsLongest);
}

#[test]
fn nothing_is_resent_from_a_copy_that_was_written_to_while_it_loaded() {
    let leads = |r: Replica| r.leader().alive().loaded(8).rows(40).leads_to([("b", 8)]).with(aggregates);
    for follower in [|r: Replica| r.loaded(12), |r: Replica| r.loaded(4).alive(), |r: Replica| r.vanished()] {
        let view = aggregating(a_partition().replica("a", leads).replica("b", follower), base("a", false));
        let blocked = view.blocked();
        assert_eq!(blocked.reason, Reason::WrittenWhileLoading, "{blocked}");
        assert!(blocked.text.contains("a holds 40 rows at offset 8"), "{blocked}");
        assert!(blocked.loss.is_empty(), "a loss that cannot be listed cannot be accepted");
        if view.get("b").loaded().is_some() {
            assert_eq!(may_be_dropped(&view, &"b".into()).unwrap_err().reason, Reason::WrittenWhileLoading);
        }
    }
}

#[test]
fn rows_of_a_leader_whose_puts_are_under_way_are_no_sign() {
    let leads = |r: Replica| r.leader().alive().loaded(20).rows(22).leads_to([("b", 20)]).with(aggregates);
    let view = aggregating(a_partition().replica("a", leads).replica("b", |r| r.alive().loaded(20)), base("a", false));
    assert!(!matches!(view.decided(), Decision::Blocked(_)));
}

#[test]
fn what_it_alone_holds_is_kept_until_it_was_aggregated_elsewhere() {
    let written = |r: Replica| r.loaded(12).rows(27).with(aggregates);
    let led = |lacking: &[_]| {
        let view = a_partition().replica("a", |r| r.leader().alive().loaded(12).leads_to([]).with(aggregates));
        let view = view.replica("b", written);
        after(aggregating(view, base("a", false)), seen(&[("a", 12), ("b", 12)], lacking))
    };
    let blocked = led(&[("a", "b", 15)]).blocked();
    assert_eq!(blocked.reason, Reason::LeaderLacksRows);
    assert!(blocked.hint.contains("replica aggregate db.t/0 ENDPOINT"), "{}", blocked.hint);
    assert_eq!(led(&[]).acts(), ["drop b"], "its leader holds all that it does");
    // World 20014136: the next run found it made, and this one had asked a person.
    let mut making = led(&[("a", "b", 15)]);
    making.get_mut("a").memory.aggregator_asked = true;
    let Decision::Wait(wait) = making.decided() else { panic!("{:?}", making.decided()) };
    assert_eq!(wait.what, WaitFor::Rows("b".into()));
    let mut memory = making.0.memory.clone();
    memory.replica_mut(&"b".into()).written_while_loading = true;
    memory.note_expired(StorageMode::Memory, wait.what, wait.seen);
    assert!(!memory.rows.unwrap().covers([&"b".into()].into_iter()), "it is read again");
    let mut accepted = led(&[("a", "b", 15)]);
    accepted.0.memory.accepted = blocked.loss;
    assert_eq!(accepted.acts(), ["drop b"], "that was accepted");
}

#[test]
fn a_copy_that_ends_first_and_may_have_an_aggregators_log_is_no_beginning() {
    let view = |written: Seen<Aggregator>| {
        let b = |r: Replica| r.loaded(8).last_term(1).with(|r| r.aggregator = written);
        let view = a_partition().replica("a", |r| r.leader().loaded(12).last_term(1)).replica("b", b);
        let view = after(aggregating(view, base("a", false)), seen(&[("a", 12), ("b", 8)], &[("b", "a", 4)]));
        is_proven_prefix(&view, view.get("b"), view.get("a"))
    };
    assert!(view(Seen::Known(Aggregator::Missing)));
    assert!(!view(Seen::Known(Aggregator::Present)));
    assert!(!view(Seen::Unasked));
}

#[test]
fn rows_are_compared_before_a_pre_aggregate_tables_leader_is_chosen() {
    let equal =
        a_partition().replica("a", |r| r.leader().loaded(20).last_term(1)).replica("b", |r| r.loaded(20).last_term(1));
    let decided = |view: &Built| decide(view, &super::builder::recover(), Gates::OPEN);
    assert!(matches!(decided(&equal), Decision::Choose(_)));
    let aggregate = aggregating(equal, base("a", false));
    assert!(matches!(decided(&aggregate), Decision::Compare { .. }));
    let Decision::Choose(choice) = decided(&after(aggregate, seen(&[("a", 20), ("b", 20)], &[]))) else { panic!() };
    assert_eq!(choice.proven, [Endpoint::from("b")]);
}

#[test]
fn a_follower_that_was_written_to_while_it_loaded_is_resent_once_its_leader_holds_as_much() {
    let view = |lacking: &[_]| {
        let b = |r: Replica| r.alive().loaded(12).rows(27).with(aggregates);
        let a = |r: Replica| r.leader().alive().loaded(27).leads_to([("b", 12)]).with(aggregates);
        let view = a_partition().replica("a", a).replica("b", b);
        after(aggregating(view, base("a", false)), seen(&[("a", 27), ("b", 12)], lacking))
    };
    assert_eq!(view(&[]).acts(), ["mark b no"]);
    assert_eq!(view(&[("a", "b", 3)]).blocked().reason, Reason::LeaderLacksRows);
}

/// `a` leads, as it will the base table; it was loaded before that, or has an aggregator or not.
pub fn led(unattached: bool, aggregator: Seen<Aggregator>) -> Built {
    let leads = |r: Replica| r.leader().alive().loaded(20).leads_to([("b", 20)]).in_term(1);
    let leads = |r: Replica| {
        leads(r).with(|r| {
            r.memory.unattached = unattached;
            r.aggregator = aggregator;
        })
    };
    let mut view = a_partition().replica("a", leads).replica("b", |r| r.loaded(20).heard(1));
    view.0.memory.rows = Some(seen(&[("a", 20), ("b", 20)], &[]));
    aggregating(view, base("a", false))
}

const CREATES: &str = "create_aggregator a";

fn first(view: &Built) -> Option<String> {
    match view.decided() {
        Decision::Act(intents) => intents.first().map(super::builder::said),
        _ => None,
    }
}

#[test]
fn an_aggregator_is_created_where_none_is_attached() {
    for (unattached, aggregator) in
        [(true, Aggregator::Present), (true, Aggregator::Missing), (false, Aggregator::Missing)]
    {
        let view = led(unattached, Seen::Known(aggregator));
        assert_eq!(first(&view).as_deref(), Some(CREATES));
        assert!(awaits_aggregator(&view));
    }
}

#[test]
fn no_aggregator_is_created_where_one_may_be_or_clients_may_put_rows() {
    let free = || led(true, Seen::Known(Aggregator::Present));
    let mut views = vec![
        led(false, Seen::Known(Aggregator::Present)),
        led(false, Seen::Failed("timed out".to_owned())),
        aggregating(free(), base("b", false)),
        aggregating(free(), None),
    ];
    let mut asked = free();
    asked.get_mut("a").memory.aggregator_asked = true;
    let mut serves = free();
    serves.0.base.as_mut().unwrap().takes_rows = true;
    let mut written = led(false, Seen::Known(Aggregator::Missing));
    written.get_mut("a").data =
        a_partition().replica("a", |r| r.loaded(20).rows(60).leads_to([])).get("a").data.clone();
    views.extend([asked, serves, written]);
    for view in views {
        assert_ne!(first(&view).as_deref(), Some(CREATES), "{:?}", view.get("a"));
        assert!(!awaits_aggregator(&view));
    }
    let unasked = led(false, Seen::Unasked);
    assert!(matches!(unasked.decided(), Decision::Look(_)));
}

#[test]
fn one_that_was_perhaps_created_is_not_created_again() {
    for outcome in
        [Outcome::Applied, Outcome::Unknown(String::new()), Outcome::Refused { code: -1, error: String::new() }]
    {
        let view = led(true, Seen::Known(Aggregator::Present));
        let Decision::Act(intents) = view.decided() else { panic!() };
        let mut memory = view.memory.clone();
        memory.note_outcome(&view, &intents[0], &outcome, None);
        let replica = memory.replica(&"a".into());
        assert!(replica.aggregator_asked && !replica.unattached, "{outcome:?}");
    }
}

#[test]
fn no_aggregator_is_attached_to_what_was_loaded_before_its_base_table() {
    let loaded = |by_us: u32, registered: &[&str]| {
        let mut view = a_partition().replica("a", |r| r.loaded(20).with(aggregates).with(|r| r.memory.loads = by_us));
        let registered_at = registered.iter().map(|at| Endpoint::from(*at)).collect();
        view.0.base = base("a", false).map(|base| Base { registered_at, ..base });
        let mut memory = Memory { replicas: [("a".into(), view.get("a").memory.clone())].into(), ..Memory::default() };
        memory.note_unattached(&view);
        (memory, view)
    };
    let is = |(memory, _): &(Memory, Built)| memory.replica(&"a".into()).unattached;
    assert!(is(&loaded(1, &[])) && is(&loaded(1, &["b"])));
    assert!(!is(&loaded(1, &["a"])), "it may have been attached");
    assert!(!is(&loaded(0, &[])), "nobody knows what was there when somebody else loaded it");
    let (mut memory, _) = loaded(1, &[]);
    let (_, later) = loaded(1, &["a"]);
    memory.note_unattached(&later);
    assert!(memory.replica(&"a".into()).unattached, "the base table is loaded afterwards");
    let (mut memory_of_none, mut without) = loaded(1, &[]);
    without.get_mut("a").aggregator = Seen::Known(Aggregator::Missing);
    memory_of_none = Memory { replicas: [("a".into(), without.get("a").memory.clone())].into(), ..memory_of_none };
    memory_of_none.note_unattached(&without);
    assert!(!memory_of_none.replica(&"a".into()).unattached, "one that shows later was created since");
    let gone = aggregating(a_partition().replica("a", |r| r), base("a", false));
    memory.note_unattached(&gone);
    assert!(!memory.replica(&"a".into()).unattached);
}

#[test]
fn what_differs_since_an_earlier_load_is_left_as_it_is() {
    let a = |r: Replica| r.leader().alive().loaded(31).leads_to([]).with(aggregates);
    let view = aggregating(a_partition().replica("a", a).replica("b", |r| r.loaded(31)), base("a", true));
    let blocked = after(view, seen(&[("a", 31), ("b", 31)], &[("a", "b", 12), ("b", "a", 12)])).blocked();
    assert_eq!(blocked.reason, Reason::LeaderLacksRows);
    assert!(blocked.hint.contains("dropped and made anew"), "{}", blocked.hint);
}

#[test]
fn no_snapshot_is_made_of_a_copy_that_was_written_to_while_it_loaded() {
    let mut view = written_while_loading((8, 12), 8).terms([(1, 0), (3, 5)]);
    for at in ["a", "b", "c"] {
        view.get_mut(at).manifest = a_partition().replica("x", |r| r).get("x").manifest.clone();
    }
    let acts = view.acts();
    assert_eq!(acts, ["make_snapshot b 8", "make_snapshot c 8"], "it would be all that is left");
    let chosen = |r: Replica| r.leader().alive().loaded(8).last_term(3).leads_to([]).in_term(3).with(aggregates);
    let old = |r: Replica| r.leader().loaded(8).rows(12).with(aggregates);
    let mut serves =
        aggregating(a_partition().terms([(1, 0), (3, 9)]).replica("b", chosen).replica("a", old), base("a", false));
    serves.0.memory.rows = Some(seen(&[("a", 8), ("b", 8)], &[("b", "a", 4)]));
    assert_eq!(serves.blocked().reason, Reason::LeaderLacksRows, "it was given up by nobody");
}

fn sound(view: &Built, x: &str, y: &str) -> bool {
    is_proven_prefix(view, view.get(x), view.get(y))
}

#[test]
fn a_copy_that_was_written_to_while_it_loaded_neither_begins_nor_continues_another() {
    let view = a_partition().replica("a", |r| r.leader().loaded(12).last_term(1));
    let view = view.replica("b", |r| r.loaded(12).rows(14).last_term(1));
    let view = after(aggregating(view, base("a", false)), seen(&[("a", 12), ("b", 12)], &[]));
    assert!(!sound(&view, "a", "b") && !sound(&view, "b", "a"), "the same rows, and another log");
    assert!(sound(&aggregating(view, None), "a", "b"));
}

#[test]
fn an_aggregators_log_may_hide_the_beginning_of_one_that_ends_first_whether_it_can_be_compared_or_not() {
    let ends_at = |end: u64, rows: RowsSeen| {
        let view = a_partition().replica("a", |r| r.leader().loaded(12).last_term(1).with(aggregates));
        let view = view.replica("b", move |r| r.loaded(end).last_term(1).with(aggregates));
        sound(&after(aggregating(view, base("a", false)), rows), "b", "a")
    };
    let too_many = || RowsSeen::unknown(["a", "b"].map(Endpoint::from), "they are too many");
    assert!(!ends_at(8, too_many()));
    assert!(
        ends_at(12, too_many()) && ends_at(12, seen(&[("a", 12), ("b", 12)], &[])),
        "it ends where the other one does"
    );
}

#[test]
fn a_manifest_of_no_term_shows_that_an_aggregator_wrote() {
    let of = |offset: u64, term: Option<Term>| {
        let manifest = Seen::Known(Manifest { offset: Offset(offset), term, count: offset });
        let view = a_partition().replica("a", move |r| r.leader().loaded(8).with(|r| r.manifest = manifest));
        let view = aggregating(view.replica("b", |r| r.loaded(8)), base("a", false));
        suspicion(&view, view.get("a"))
    };
    assert_eq!(of(8, Some(Term(0))), Some(Suspicion::WrittenWhileLoading { rows: 8, offset: Offset(8) }));
    assert_eq!((of(0, Some(Term(0))), of(8, None), of(8, Some(Term(1)))), (None, None, None));
}

#[test]
fn a_copy_that_was_written_to_while_it_loaded_leads_where_no_other_is_as_it_was() {
    let beside = |b: fn(Replica) -> Replica| {
        let view = a_partition().replica("a", |r| r.leader().loaded(8).rows(12)).replica("b", b);
        let view = aggregating(view, base("a", false));
        suspicion(&view, view.get("a"))
    };
    assert_eq!(beside(|r| r.loaded(0)), None, "b holds nothing");
    assert_eq!(beside(|r| r.loaded(8).rows(11)), None, "b was written to as well");
    assert!(beside(|r| r.loaded(8)).is_some());
}

#[test]
fn the_copy_beside_the_base_tables_leader_does_not_lead_where_nobody_is_promoted_or_the_other_one_takes_writes() {
    let view = after(beside_b(0), seen(&ends(0), &[]));
    let never = choose(&view, OnConflict::LastElected, Promote::Never).unwrap();
    assert_eq!(never.leader, Endpoint::from("a"));
    let leads = |r: Replica| r.leader().loaded(20).last_term(2).leads_to([]);
    let leading =
        a_partition().terms([(1, 0), (2, 11)]).replica("a", leads).replica("b", |r| r.loaded(20).last_term(2));
    let leading = aggregating(leading, base("b", true));
    assert_eq!(after(leading, seen(&[("a", 20), ("b", 20)], &[])).chooses(), "a", "it may have taken writes since");
}

#[test]
fn what_is_as_it_was_needs_no_leader_that_was_seen_to_hold_every_row_of_it() {
    let a = |r: Replica| r.leader().alive().loaded(20).leads_to([]).with(aggregates);
    let view = a_partition().replica("a", a).replica("b", |r| r.loaded(12).with(aggregates));
    assert_eq!(aggregating(view, base("a", false)).acts(), ["recover_table b (resend)"]);
}

#[test]
fn whether_a_tablet_aggregates_into_a_replica_is_asked_before_anybody_leads() {
    let mut view = a_partition().replica("a", |r| r.leader().loaded(20)).replica("b", |r| r.loaded(20));
    view.get_mut("b").aggregator = Seen::Unasked;
    let Decision::Look(probes) = aggregating(view, base("a", false)).decided() else { panic!() };
    assert_eq!(probes, [Probe { endpoint: "b".into(), question: Question::Aggregator }]);
}

#[test]
fn what_an_aggregator_wrote_elsewhere_makes_nobody_suspect_where_rows_may_expire() {
    let mut view = written_while_loading((8, 40), 12);
    view.0.has_ttl = true;
    assert_eq!(suspicion(&view, view.get("b")), None, "its log is all that it had to get");
}

#[test]
fn recovertable_by_itself_takes_no_copy_as_it_is_that_was_written_to_or_whose_leader_was() {
    let taken = |rows: (u64, u64)| {
        let a = |r: Replica| r.leader().alive().loaded(30).rows(rows.0).leads_to([]).in_term(1);
        let b = |r: Replica| r.loaded(12).rows(rows.1).heard(1);
        may_be_resent(&aggregating(a_partition().replica("a", a).replica("b", b), base("a", false)), &"b".into())
    };
    assert_eq!(taken((30, 12)), Ok(false));
    assert_eq!(taken((30, 27)).unwrap_err().reason, Reason::NotRedundant);
    assert_eq!(taken((60, 12)).unwrap_err().reason, Reason::WrittenWhileLoading);
}

#[test]
fn what_nobody_else_holds_is_not_loaded_where_an_aggregator_would_hide_its_log() {
    let beside = |aggregator, b: fn(Replica) -> Replica| {
        let a = move |r: Replica| r.leader().with(|r| r.aggregator = aggregator);
        let mut view = aggregating(a_partition().replica("a", a).replica("b", b), base("a", false));
        view.0.base.as_mut().unwrap().registered_at.insert("a".into());
        view
    };
    let is_away: fn(Replica) -> Replica = |r| r.out_of_reach();
    let blocked = beside(Seen::Known(Aggregator::Present), is_away).blocked();
    assert_eq!(blocked.reason, Reason::WrittenWhileLoading, "{blocked}");
    assert!(beside(Seen::Known(Aggregator::Missing), is_away).acts().contains(&"load a".to_owned()));
    assert!(beside(Seen::Known(Aggregator::Present), |r| r.loaded(8)).acts().contains(&"load a".to_owned()));
    assert!(matches!(beside(Seen::Unasked, is_away).decided(), Decision::Look(_)));
    // Its directory is not there, either.
    let is_bare: fn(Replica) -> Replica = |r| r.no_directory();
    assert_eq!(beside(Seen::Known(Aggregator::Present), is_bare).blocked().reason, Reason::WrittenWhileLoading);
    // Whoever does not say whether it aggregates may, once nobody waits for its answer any more.
    let mut silent = beside(Seen::Failed("no answer".to_owned()), is_away);
    let Decision::Wait(wait) = silent.decided() else { panic!("{:?}", silent.decided()) };
    silent.0.memory.note_expired(StorageMode::Memory, wait.what, wait.seen);
    assert_eq!(silent.blocked().reason, Reason::WrittenWhileLoading);
}
