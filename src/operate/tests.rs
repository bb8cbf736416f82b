//! What a step needs, on snapshots made up for it.

use std::collections::BTreeMap;

use crate::model::{
    Action, Endpoint, Followers, Held, Manual, Offset, Op, OpId, OpKind, OpStatus, Partition, PartitionId, Pid, Probes,
    Replica, Role, Seen, Snapshot, State, StorageMode, Table, TableName, Tablet, TabletState, Term, TermStart, Tid,
};
use crate::recovery::{Lack, Read, RowsSeen};
use crate::run::OldTerms;

use super::effect::Effect;
use super::known::Known;
use super::plan::{outage, plan_knowing};
use super::steps::Recovered;
use super::{EffectStatus, Gift, Step, plan};

pub(super) fn orders() -> TableName {
    TableName { db: "shop".to_owned(), table: "orders".to_owned() }
}

pub(super) const ID: PartitionId = PartitionId { tid: Tid(7), pid: Pid(0) };

/// `shop.orders/0`: its leader on `a` at offset 20, followers on `b` and `c`, all of them well.
pub(super) fn well() -> Snapshot {
    let replica = |at: &str, is_leader| Replica { endpoint: at.into(), is_leader, is_alive: true, offset: None };
    let partition = Partition {
        pid: Pid(0),
        terms: vec![TermStart { term: Term(1), start: Offset(0) }],
        replicas: vec![replica("a", true), replica("b", false), replica("c", false)],
        remotes: Vec::new(),
    };
    let table = Table {
        name: orders(),
        tid: Tid(7),
        storage: StorageMode::Memory,
        has_ttl: false,
        replica_num: None,
        base_table: None,
        partitions: vec![partition],
    };
    let tablet = |role| {
        let held = Held {
            partition: ID,
            role,
            state: State::Normal,
            offset: Offset(20),
            record_cnt: 20,
            index_rows: Vec::new(),
        };
        Tablet {
            state: Some(TabletState::Healthy),
            held: Seen::Known(BTreeMap::from([(ID, held)])),
            ..Tablet::unknown()
        }
    };
    let mut leader = tablet(Role::Leader);
    let followers = vec![("b".into(), Offset(20)), ("c".into(), Offset(20))];
    let followers = Seen::Known(Followers { leader_offset: Offset(20), followers });
    leader.probes.insert(ID, Probes { followers, ..Probes::UNASKED });
    let tablets = [("a", leader), ("b", tablet(Role::Follower)), ("c", tablet(Role::Follower))];
    Snapshot {
        cluster: "test".to_owned(),
        taken_at_ms: 0,
        zone: crate::model::Zone::Alone,
        identity: crate::model::Identity::Cluster,
        auto_failover: false,
        tables: vec![table],
        tablets: tablets.into_iter().map(|(at, tablet)| (Endpoint::from(at), tablet)).collect(),
        ops: Vec::new(),
    }
}

pub(super) fn replica_mut<'a>(seen: &'a mut Snapshot, at: &str) -> &'a mut Replica {
    let replicas = &mut seen.tables[0].partitions[0].replicas;
    replicas.iter_mut().find(|replica| replica.endpoint.as_str() == at).unwrap()
}

pub(super) fn held_mut<'a>(seen: &'a mut Snapshot, at: &str) -> &'a mut Held {
    let Seen::Known(held) = &mut seen.tablets.get_mut(&Endpoint::from(at)).unwrap().held else { panic!("known") };
    held.get_mut(&ID).unwrap()
}

fn lead(to: Option<&str>) -> Step {
    Step::ChangeLeader { table: orders(), pid: Pid(0), to: to.map(Endpoint::from) }
}

fn alive(at: &str) -> Step {
    Step::MarkAlive { table: orders(), pid: Some(Pid(0)), endpoint: at.into(), alive: true }
}

fn code(step: &Step, seen: &Snapshot) -> Option<i32> {
    plan(step, seen).expect_err("it was to be refused").code
}

#[test]
fn who_lacks_what_another_follower_holds_is_not_made_leader() {
    let mut seen = well();
    held_mut(&mut seen, "b").offset = Offset(19);
    let refused = plan(&lead(Some("b")), &seen).unwrap_err();
    assert!(
        refused.code.is_none() && refused.text.contains("what it lacks would be lost"),
        "OpenMLDB would do it: {refused}"
    );
    let planned = plan(&lead(Some("c")), &seen).unwrap();
    assert!(matches!(planned.call, Some(Action::ChangeLeader { candidate, .. }) if candidate.as_str() == "c"));
    replica_mut(&mut seen, "a").is_alive = false;
    let planned = plan(&lead(None), &seen).unwrap();
    assert!(matches!(planned.call, Some(Action::ChangeLeader { candidate, .. }) if candidate.as_str() == "c"));
}

/// The old leader may hold what no follower that is alive does.
#[test]
fn without_a_leader_nobody_is_elected_while_another_may_hold_more() {
    let mut seen = well();
    replica_mut(&mut seen, "a").is_alive = false;
    assert!(plan(&lead(None), &seen).unwrap().call.is_some(), "all of them hold the same");
    held_mut(&mut seen, "a").offset = Offset(21);
    for to in [None, Some("b")] {
        assert!(plan(&lead(to), &seen).unwrap_err().text.contains("what it lacks would be lost"));
    }
    seen.tablets.get_mut(&Endpoint::from("a")).unwrap().held = Seen::Failed("connection refused".to_owned());
    assert!(plan(&lead(None), &seen).unwrap_err().text.contains("it is unknown what a holds"));
}

#[test]
fn a_leader_is_changed_under_openmldbs_own_conditions() {
    let with = |change: &dyn Fn(&mut Snapshot)| {
        let mut seen = well();
        change(&mut seen);
        seen
    };
    assert_eq!(code(&lead(Some("b")), &with(&|seen| seen.auto_failover = true)), Some(301));
    assert_eq!(code(&lead(None), &well()), Some(309));
    let alone = with(&|seen| seen.tables[0].partitions[0].replicas.truncate(1));
    assert_eq!(code(&lead(None), &alone), Some(134));
    let nobody = with(&|seen| ["a", "b", "c"].iter().for_each(|at| replica_mut(seen, at).is_alive = false));
    assert_eq!(code(&lead(None), &nobody), Some(310));
    let offline = with(&|seen| seen.tablets.get_mut(&Endpoint::from("b")).unwrap().state = Some(TabletState::Offline));
    assert_eq!(code(&lead(Some("b")), &offline), Some(305));
    let unloaded =
        with(&|seen| seen.tablets.get_mut(&Endpoint::from("b")).unwrap().held = Seen::Known(BTreeMap::new()));
    assert_eq!(code(&lead(Some("b")), &unloaded), None, "the election would fail");
}

#[test]
fn a_follower_that_its_leader_does_not_reach_is_not_marked_alive() {
    let mut seen = well();
    replica_mut(&mut seen, "b").is_alive = false;
    assert!(plan(&alive("b"), &seen).unwrap().call.is_some());
    let probes = seen.tablets.get_mut(&Endpoint::from("a")).unwrap().probes.get_mut(&ID).unwrap();
    probes.followers = Seen::Known(Followers { leader_offset: Offset(20), followers: vec![("c".into(), Offset(20))] });
    let refused = plan(&alive("b"), &seen).unwrap_err();
    assert!(refused.text.contains("does not replicate to b"), "it could be elected, whatever it lacks: {refused}");
    let mut two = well();
    (replica_mut(&mut two, "b").is_leader, replica_mut(&mut two, "b").is_alive) = (true, false);
    assert!(plan(&alive("b"), &two).unwrap_err().text.contains("already leads shop.orders/0"));
}

#[test]
fn what_has_no_leader_to_follow_is_not_recovered() {
    let recover = Step::RecoverReplica { table: orders(), pid: Pid(0), endpoint: "b".into(), led_until: None };
    assert_eq!(code(&recover, &well()), Some(311));
    let mut seen = well();
    replica_mut(&mut seen, "b").is_alive = false;
    assert!(plan(&recover, &seen).unwrap().remarks.is_empty(), "it is connected, and taken as it is");
    replica_mut(&mut seen, "a").is_alive = false;
    assert!(plan(&recover, &seen).unwrap_err().text.contains("answer 0 and do nothing"));
}

#[test]
fn what_holds_more_than_its_leader_is_not_resent() {
    let recover = Step::RecoverReplica { table: orders(), pid: Pid(0), endpoint: "b".into(), led_until: None };
    let mut seen = well();
    replica_mut(&mut seen, "b").is_alive = false;
    let probes = seen.tablets.get_mut(&Endpoint::from("a")).unwrap().probes.get_mut(&ID).unwrap();
    probes.followers = Seen::Known(Followers { leader_offset: Offset(20), followers: vec![("c".into(), Offset(20))] });
    let heard = crate::model::TermPair { has_table: true, is_leader: false, term: Term(0), offset: Offset(25) };
    let term_pair = Seen::Known(heard);
    seen.tablets.get_mut(&Endpoint::from("b")).unwrap().probes.insert(ID, Probes { term_pair, ..Probes::UNASKED });
    assert!(plan(&recover, &seen).unwrap().remarks[0].contains("recycle bin"), "it holds the same");
    held_mut(&mut seen, "b").offset = Offset(25);
    let refused = plan(&recover, &seen).unwrap_err();
    assert!(refused.text.contains("resending would discard"), "{refused}");
}

/// Offsets and counts show nothing of what was written below the start of the last term; rows do.
#[test]
fn rows_are_compared_before_they_are_replaced() {
    let recover = Step::RecoverReplica { table: orders(), pid: Pid(0), endpoint: "b".into(), led_until: None };
    let tablet = Step::RecoverTablet { endpoint: "b".into() };
    let mut seen = well();
    replica_mut(&mut seen, "b").is_alive = false;
    let nothing = Known::default();
    let wanted = |step: &Step, seen: &Snapshot, known: &Known| step.definition().compares(seen, known);
    assert_eq!(wanted(&recover, &seen, &nothing), [], "it is connected, and taken as it is");
    let probes = seen.tablets.get_mut(&Endpoint::from("a")).unwrap().probes.get_mut(&ID).unwrap();
    probes.followers = Seen::Known(Followers { leader_offset: Offset(20), followers: vec![("c".into(), Offset(20))] });
    let heard = crate::model::TermPair { has_table: true, is_leader: false, term: Term(0), offset: Offset(20) };
    let probes = Probes { term_pair: Seen::Known(heard), ..Probes::UNASKED };
    seen.tablets.get_mut(&Endpoint::from("b")).unwrap().probes.insert(ID, probes);

    let read = |at: &str| (Endpoint::from(at), Read { asked: Offset(20), to: Offset(20), hidden: 0 });
    let all = BTreeMap::from(["a", "b", "c"].map(read));
    let lack = Lack { rows: 1, keys: 1, ..Lack::default() };
    let lacking = BTreeMap::from([(("a".into(), "b".into()), lack)]);
    let differ = Known::of(ID, RowsSeen::compared(all.clone(), lacking));
    let same = Known::of(ID, RowsSeen::compared(all, BTreeMap::new()));
    let unread = Known::of(ID, RowsSeen::unknown(["a", "b", "c"].map(Endpoint::from), "they hold more than 5 rows"));
    for step in [&recover, &tablet] {
        let replicas = wanted(step, &seen, &nothing).into_iter().flat_map(|wanted| wanted.replicas);
        assert_eq!(replicas.collect::<Vec<_>>(), ["a", "b", "c"].map(Endpoint::from), "{step:?}");
        for known in [&differ, &same, &unread] {
            assert_eq!(wanted(step, &seen, known), [], "once is enough: {step:?}");
        }
        let refused = plan_knowing(step, &seen, &differ).unwrap_err();
        assert!(refused.text.contains("holds rows of 1 key that its leader a does not hold"), "{refused}");
        assert_eq!(plan_knowing(step, &seen, &same).unwrap().remarks.len(), 1, "{step:?}");
        let remarks = plan_knowing(step, &seen, &unread).unwrap().remarks;
        assert!(remarks[1].contains("could not be compared: they hold more than 5 rows"), "{remarks:?}");
    }
}

/// Elections may be missing in it: neither the longest replica nor a term decides by itself.
#[test]
fn a_history_of_terms_from_a_backup_is_not_judged_by() {
    let doubted = Known::before(Some(OldTerms::of_all("FILE")));
    let other = Known::before(Some(OldTerms::with(None, "FILE", PartitionId { pid: Pid(1), ..ID })));
    let mut leaderless = well();
    replica_mut(&mut leaderless, "a").is_alive = false;
    for step in [lead(None), lead(Some("b"))] {
        assert!(plan_knowing(&step, &leaderless, &other).unwrap().call.is_some());
        let refused = plan_knowing(&step, &leaderless, &doubted).unwrap_err();
        assert!(refused.text.contains("is from a backup") && refused.hint.contains("recover --partition"), "{refused}");
    }
    assert!(plan_knowing(&lead(Some("b")), &well(), &doubted).is_ok(), "its leader serves");

    let mut seen = well();
    replica_mut(&mut seen, "b").is_alive = false;
    let probes = seen.tablets.get_mut(&Endpoint::from("a")).unwrap().probes.get_mut(&ID).unwrap();
    probes.followers = Seen::Known(Followers { leader_offset: Offset(20), followers: vec![("c".into(), Offset(20))] });
    let heard = crate::model::TermPair { has_table: true, is_leader: false, term: Term(0), offset: Offset(20) };
    let probes = Probes { term_pair: Seen::Known(heard), ..Probes::UNASKED };
    seen.tablets.get_mut(&Endpoint::from("b")).unwrap().probes.insert(ID, probes);
    let recover = Step::RecoverReplica { table: orders(), pid: Pid(0), endpoint: "b".into(), led_until: None };
    for step in [recover, Step::RecoverTablet { endpoint: "b".into() }] {
        assert!(plan_knowing(&step, &seen, &other).unwrap().call.is_some(), "{step:?}");
        let refused = plan_knowing(&step, &seen, &doubted).unwrap_err();
        assert!(refused.text.contains("history of terms is from a backup"), "{refused}");
    }
}

/// RecoverTable would delete its binlog, a second LoadTable a disk table's directory: nobody has looked at either.
#[test]
fn what_nobody_has_looked_at_is_neither_resent_nor_loaded_twice() {
    let recover = Step::RecoverReplica { table: orders(), pid: Pid(0), endpoint: "b".into(), led_until: None };
    let load = Step::LoadReplica { table: orders(), pid: Pid(0), endpoint: "b".into() };
    let remove = Step::RemoveReplica { table: orders(), pid: Pid(0), endpoint: "b".into() };
    let mut seen = well();
    replica_mut(&mut seen, "b").is_alive = false;
    seen.tablets.get_mut(&Endpoint::from("b")).unwrap().held = Seen::Known(BTreeMap::new());
    for step in [recover, remove] {
        assert!(plan(&step, &seen).unwrap_err().text.contains("it is unknown what its binlog holds"), "{step:?}");
    }
    assert!(plan(&load, &seen).unwrap().call.is_some());
    seen.tables[0].storage = StorageMode::Hdd;
    assert!(plan(&load, &seen).unwrap_err().text.contains("loading it twice"));
}

/// It has heard of the only term there is, so RecoverTable would not look at what it holds.
#[test]
fn what_would_be_taken_as_it_is_has_to_be_proven() {
    let recover = Step::RecoverReplica { table: orders(), pid: Pid(0), endpoint: "b".into(), led_until: None };
    let mut seen = well();
    replica_mut(&mut seen, "b").is_alive = false;
    let probes = seen.tablets.get_mut(&Endpoint::from("a")).unwrap().probes.get_mut(&ID).unwrap();
    probes.followers = Seen::Known(Followers { leader_offset: Offset(20), followers: vec![("c".into(), Offset(20))] });
    let heard = crate::model::TermPair { has_table: true, is_leader: false, term: Term(1), offset: Offset(20) };
    let probes = Probes { term_pair: Seen::Known(heard), ..Probes::UNASKED };
    seen.tablets.get_mut(&Endpoint::from("b")).unwrap().probes.insert(ID, probes);
    assert!(plan(&recover, &seen).unwrap().remarks.is_empty(), "there was no other leader: it is taken, and may be");
    held_mut(&mut seen, "b").offset = Offset(25);
    assert!(plan(&recover, &seen).unwrap_err().text.contains("by its term alone"));
    held_mut(&mut seen, "b").state = State::Loading;
    assert!(plan(&recover, &seen).unwrap_err().text.contains("would be dropped meanwhile"));
}

#[test]
fn an_answer_is_no_effect() {
    let effect = Recovered { table: orders(), partition: ID, endpoint: "b".into() };
    let mut seen = well();
    assert!(matches!(effect.effect_status(&seen, None), EffectStatus::Reached(_)));
    replica_mut(&mut seen, "b").is_alive = false;
    assert!(matches!(effect.effect_status(&seen, None), EffectStatus::Waiting(text) if text.contains("no operation")));
    let op = |status| Op {
        id: OpId(9),
        kind: OpKind::RecoverTable,
        status,
        table: orders(),
        pid: Pid(0),
        task: "kDelReplica".to_owned(),
    };
    seen.ops = vec![op(OpStatus::Doing)];
    assert!(
        matches!(effect.effect_status(&seen, Some(OpId(8))), EffectStatus::Waiting(text) if text.contains("kDelReplica"))
    );
    seen.ops = vec![op(OpStatus::Failed)];
    assert!(matches!(effect.effect_status(&seen, Some(OpId(8))), EffectStatus::Missed { .. }));
    assert!(matches!(effect.effect_status(&seen, Some(OpId(9))), EffectStatus::Waiting(_)), "that one failed before");
}

#[test]
fn a_tablet_is_recovered_only_after_it_was_taken_out_of_service() {
    let recover = Step::RecoverTablet { endpoint: "b".into() };
    assert_eq!(plan(&recover, &well()).unwrap().call, None, "everything there is well");
    let mut restarted = well();
    restarted.tablets.get_mut(&Endpoint::from("b")).unwrap().held = Seen::Known(BTreeMap::new());
    let refused = plan(&recover, &restarted).unwrap_err();
    assert!(refused.hint.contains("tablet offline b"), "what is alive is passed over: {refused}");
    replica_mut(&mut restarted, "b").is_alive = false;
    assert!(plan(&recover, &restarted).unwrap_err().text.contains("it is unknown what its binlog holds"));
    let mut offlined = well();
    replica_mut(&mut offlined, "b").is_alive = false;
    let planned = plan(&recover, &offlined).unwrap();
    assert!(planned.call == Some(Action::Manual(Manual::RecoverEndpoint { endpoint: "b".into() })), "{planned:?}");
    replica_mut(&mut offlined, "a").is_alive = false;
    assert!(plan(&recover, &offlined).unwrap_err().text.contains("no live leader"));
}

#[test]
fn taking_a_tablet_out_of_service_says_what_nobody_stands_in_for() {
    let offline = Step::OfflineTablet { endpoint: "a".into() };
    let planned = plan(&offline, &well()).unwrap();
    assert_eq!(planned.call, Some(Action::OfflineEndpoint { endpoint: "a".into() }));
    assert!(
        !planned.remarks.iter().any(|remark| remark.contains("no other replica can lead")),
        "{:?}",
        planned.remarks
    );
    let mut seen = well();
    ["b", "c"].iter().for_each(|at| replica_mut(&mut seen, at).is_alive = false);
    let planned = plan(&offline, &seen).unwrap();
    assert_eq!(planned.call, None, "the nameserver would do nothing");
    assert!(planned.remarks[0].contains("no other replica can lead shop.orders/0"), "{:?}", planned.remarks);
    assert_eq!(code(&Step::OfflineTablet { endpoint: "z".into() }, &seen), Some(302));
}

#[test]
fn replicas_are_added_removed_and_migrated_under_openmldbs_own_conditions() {
    let add = |at: &str| Step::AddReplica { table: orders(), pid: Pid(0), endpoint: at.into() };
    let remove = |at: &str| Step::RemoveReplica { table: orders(), pid: Pid(0), endpoint: at.into() };
    let migrate =
        |from: &str, to: &str| Step::MigrateReplica { table: orders(), pid: Pid(0), from: from.into(), to: to.into() };
    let mut seen = well();
    seen.tablets.insert("d".into(), Tablet { state: Some(TabletState::Healthy), ..Tablet::unknown() });
    assert_eq!(code(&add("b"), &seen), Some(317));
    assert_eq!(code(&add("z"), &seen), Some(302));
    assert!(plan(&add("d"), &seen).unwrap().call.is_some());
    assert_eq!(code(&remove("a"), &seen), Some(102));
    assert_eq!(code(&remove("d"), &seen), Some(308));
    assert!(plan(&remove("b"), &seen).unwrap().remarks[0].contains("2 replicas are left"));
    assert_eq!(code(&migrate("a", "d"), &seen), Some(320));
    assert_eq!(code(&migrate("b", "c"), &seen), Some(320));
    assert_eq!(code(&migrate("b", "z"), &seen), Some(319));
    assert!(plan(&migrate("b", "d"), &seen).unwrap().call.is_some());
    replica_mut(&mut seen, "b").is_alive = false;
    assert_eq!(code(&migrate("b", "d"), &seen), Some(320));
    seen.auto_failover = true;
    assert_eq!(code(&migrate("c", "d"), &seen), Some(301));
    replica_mut(&mut seen, "a").is_alive = false;
    assert!(plan(&add("d"), &seen).unwrap_err().text.contains("no live leader"), "nobody has the data");
}

#[test]
fn a_follower_that_holds_more_than_its_leader_is_not_removed() {
    let mut seen = well();
    let probes = seen.tablets.get_mut(&Endpoint::from("a")).unwrap().probes.get_mut(&ID).unwrap();
    probes.followers = Seen::Known(Followers { leader_offset: Offset(20), followers: vec![("c".into(), Offset(20))] });
    let heard = crate::model::TermPair { has_table: true, is_leader: false, term: Term(0), offset: Offset(25) };
    let probes = Probes { term_pair: Seen::Known(heard), ..Probes::UNASKED };
    seen.tablets.get_mut(&Endpoint::from("b")).unwrap().probes.insert(ID, probes);
    held_mut(&mut seen, "b").offset = Offset(25);
    let refused = plan(&Step::RemoveReplica { table: orders(), pid: Pid(0), endpoint: "b".into() }, &seen).unwrap_err();
    assert!(refused.text.contains("resending would discard"), "{refused}");
}

fn reached(seen: &mut Snapshot, leader: u64, followers: &[(&str, u64)]) {
    let probes = seen.tablets.get_mut(&Endpoint::from("a")).unwrap().probes.get_mut(&ID).unwrap();
    let followers = followers.iter().map(|(at, offset)| (Endpoint::from(*at), Offset(*offset))).collect();
    probes.followers = Seen::Known(Followers { leader_offset: Offset(leader), followers });
}

/// Its leader replicates to it, and passes over what it holds beyond: nobody else has that.
#[test]
fn a_connected_follower_that_is_ahead_of_its_leader_loses_nothing_by_any_step() {
    let mut seen = well();
    seen.tablets.insert("d".into(), Tablet { state: Some(TabletState::Healthy), ..Tablet::unknown() });
    let (table, pid) = (orders(), Pid(0));
    let remove = Step::RemoveReplica { table: table.clone(), pid, endpoint: "b".into() };
    let migrate = Step::MigrateReplica { table: table.clone(), pid, from: "b".into(), to: "d".into() };
    let recover = Step::RecoverReplica { table, pid, endpoint: "b".into(), led_until: None };
    held_mut(&mut seen, "b").offset = Offset(25);
    reached(&mut seen, 30, &[("b", 24), ("c", 30)]);
    assert!(plan(&remove, &seen).is_ok() && plan(&migrate, &seen).is_ok(), "it was read later than its leader");
    reached(&mut seen, 20, &[("b", 25), ("c", 20)]);
    for step in [&remove, &migrate] {
        let refused = plan(step, &seen).unwrap_err();
        assert!(refused.text.contains("up to offset 25, its leader a only up to 20"), "{refused}");
    }
    replica_mut(&mut seen, "b").is_alive = false;
    for step in [&recover, &alive("b")] {
        let refused = plan(step, &seen).unwrap_err();
        assert!(refused.text.contains("up to offset 25, its leader a only up to 20"), "{step:?}: {refused}");
    }
}

/// Its leader has a hole, and at the same offset nobody sees that but by rows.
#[test]
fn a_connected_follower_that_holds_rows_which_its_leader_lacks_is_not_taken_away() {
    let remove = Step::RemoveReplica { table: orders(), pid: Pid(0), endpoint: "b".into() };
    let mut seen = well();
    held_mut(&mut seen, "a").record_cnt = 15;
    let refused = plan(&remove, &seen).unwrap_err();
    assert!(refused.text.contains("b holds 20 rows, its leader a 15"), "{refused}");
    assert!(refused.hint.contains("replica diff shop.orders/0"), "{refused}");
    // Rows were deleted: every replica counts fewer than entries, and some have collected more of them.
    for at in ["b", "c"] {
        held_mut(&mut seen, at).record_cnt = 18;
    }
    assert!(plan(&remove, &seen).is_ok());
    let mut estimated = well();
    estimated.tables[0].storage = StorageMode::Hdd;
    held_mut(&mut estimated, "a").record_cnt = 15;
    assert!(plan(&remove, &estimated).is_ok(), "counts on disk are estimates");
}

/// Flags say that there are two others, of which one was started anew and holds nothing.
#[test]
fn the_only_follower_that_is_loaded_is_not_removed_where_another_is_promised() {
    let remove = Step::RemoveReplica { table: orders(), pid: Pid(0), endpoint: "b".into() };
    let mut seen = well();
    let c = |seen: &mut Snapshot, held| seen.tablets.get_mut(&Endpoint::from("c")).unwrap().held = held;
    for held in [Seen::Known(BTreeMap::new()), Seen::Failed("connection refused".to_owned())] {
        c(&mut seen, held);
        let refused = plan(&remove, &seen).unwrap_err();
        assert!(refused.text.contains("no replica of shop.orders/0 is loaded and connected: c"), "{refused}");
        assert!(refused.hint.contains("recover --partition shop.orders/0"), "{refused}");
    }
    let mut apart = well();
    reached(&mut apart, 20, &[("b", 20)]);
    assert!(plan(&remove, &apart).is_err(), "c gets nothing");
    let mut two = well();
    two.tables[0].partitions[0].replicas.retain(|replica| replica.endpoint.as_str() != "c");
    assert!(plan(&remove, &two).unwrap().remarks[0].contains("1 replica is left"), "who asks for that is told");
}

#[test]
fn a_tablet_that_runs_is_taken_out_of_service_only_if_that_was_asked_for_although_it_leads_nothing() {
    let outage = |at: &str, seen: &Snapshot| outage(&Step::OfflineTablet { endpoint: at.into() }, seen);
    let mut seen = well();
    let refused = outage("b", &seen).expect("clients read from it");
    assert_eq!(refused.text, "b runs, and clients read from its replicas");
    assert!(refused.hint.contains("--allow-unavailable") && refused.hint.contains("upgrade pre b"), "{refused}");
    assert!(outage("a", &seen).expect("it leads").text.contains("a runs and leads shop.orders/0"));
    for held in [Seen::Known(BTreeMap::new()), Seen::Failed("connection refused".to_owned())] {
        seen.tablets.get_mut(&Endpoint::from("b")).unwrap().held = held;
        assert!(outage("b", &seen).is_none(), "it serves nobody");
    }
}

/// To whom matters where it was not said, too: the longest follower is chosen when it is planned.
#[test]
fn a_step_that_gives_a_tablet_something_says_what_and_to_whom() {
    let mut seen = well();
    seen.tablets.insert("d".into(), Tablet { state: Some(TabletState::Healthy), ..Tablet::unknown() });
    let gives = |step: &Step, seen: &Snapshot| {
        let given = plan(step, seen).unwrap().gives;
        assert_eq!(step.gives(), given.is_some(), "{step:?}");
        given.map(|given| (given.what, given.to.to_string()))
    };
    let (table, pid) = (orders(), Pid(0));
    let add = Step::AddReplica { table: table.clone(), pid, endpoint: "d".into() };
    assert_eq!(gives(&add, &seen), Some((Gift::Replica, "d".to_owned())));
    let migrate = Step::MigrateReplica { table: table.clone(), pid, from: "b".into(), to: "d".into() };
    assert_eq!(gives(&migrate, &seen), Some((Gift::Replica, "d".to_owned())));
    assert_eq!(gives(&lead(Some("c")), &seen), Some((Gift::Leader, "c".to_owned())));
    for taken in [
        Step::RemoveReplica { table: table.clone(), pid, endpoint: "b".into() },
        Step::OfflineTablet { endpoint: "b".into() },
        alive("b"),
    ] {
        assert_eq!(gives(&taken, &seen), None);
    }
    replica_mut(&mut seen, "a").is_alive = false;
    assert_eq!(gives(&lead(None), &seen), Some((Gift::Leader, "b".to_owned())));
}
