//! Arrangements on clusters made up for them, followed in thought.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{
    Endpoint, Followers, Held, Offset, Partition, PartitionId, Pid, Probes, Replica, Role, Seen, Snapshot, State,
    StorageMode, Table, TableName, Tablet, TabletState, Term, TermStart, Tid,
};

use super::super::goal::{Arrangement, Goal};
use super::super::{Step, plan};
use super::next::{Next, next};
use super::replica_counts::ReplicaCounts;
use super::*;

/// SplitMix64: the same seed, the same cluster.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.roll() % bound as u64).unwrap()
    }
}

pub(super) fn tablet(number: usize) -> Endpoint {
    format!("tablet{number}").into()
}

/// Tables of which each is given by its database and, partition by partition, by where its replicas are; the first leads.
pub(super) fn cluster(tablets: usize, tables: &[(&str, Vec<Vec<usize>>)]) -> Snapshot {
    let healthy =
        || Tablet { state: Some(TabletState::Healthy), held: Seen::Known(BTreeMap::new()), ..Tablet::unknown() };
    let mut seen = Snapshot {
        cluster: "test".to_owned(),
        taken_at_ms: 0,
        zone: crate::model::Zone::Alone,
        identity: crate::model::Identity::Cluster,
        auto_failover: false,
        tables: Vec::new(),
        tablets: (0..tablets).map(|number| (tablet(number), healthy())).collect(),
        ops: Vec::new(),
    };
    for (number, (db, partitions)) in tables.iter().enumerate() {
        let tid = Tid(u32::try_from(number).unwrap() + 1);
        let name = TableName { db: (*db).to_owned(), table: format!("t{number}") };
        let mut table = Table {
            name,
            tid,
            storage: StorageMode::Memory,
            has_ttl: false,
            replica_num: partitions.first().map(|replicas| u32::try_from(replicas.len()).unwrap()),
            base_table: None,
            partitions: Vec::new(),
        };
        for (pid, replicas) in partitions.iter().enumerate() {
            let id = PartitionId { tid, pid: Pid(u32::try_from(pid).unwrap()) };
            for (place, at) in replicas.iter().enumerate() {
                let role = if place == 0 { Role::Leader } else { Role::Follower };
                let held = Held {
                    partition: id,
                    role,
                    state: State::Normal,
                    offset: Offset(20),
                    record_cnt: 20,
                    index_rows: Vec::new(),
                };
                let Seen::Known(holds) = &mut seen.tablets.get_mut(&tablet(*at)).unwrap().held else { panic!() };
                holds.insert(id, held);
            }
            let replica = |(place, at): (usize, &usize)| Replica {
                endpoint: tablet(*at),
                is_leader: place == 0,
                is_alive: true,
                offset: Some(Offset(20)),
            };
            table.partitions.push(Partition {
                pid: id.pid,
                terms: vec![TermStart { term: Term(1), start: Offset(0) }],
                replicas: replicas.iter().enumerate().map(replica).collect(),
                remotes: Vec::new(),
            });
        }
        seen.tables.push(table);
    }
    seen
}

/// A cluster whose replicas are anywhere.
pub(super) fn any(dice: &mut Dice) -> Snapshot {
    let tablets = 2 + dice.below(5);
    let databases = ["shop", "bank", "__INTERNAL_DB"];
    let tables: Vec<(&str, Vec<Vec<usize>>)> = (0..1 + dice.below(4))
        .map(|_| {
            let (db, copies) = (databases[dice.below(3)], 1 + dice.below(tablets.min(3)));
            let partitions = (0..1 + dice.below(6)).map(|_| {
                let mut on: Vec<usize> = Vec::new();
                while on.len() < copies {
                    let at = dice.below(tablets);
                    if !on.contains(&at) {
                        on.push(at);
                    }
                }
                on
            });
            (db, partitions.collect())
        })
        .collect();
    cluster(tablets, &tables)
}

pub(super) fn seeds() -> impl Iterator<Item = u64> {
    0..400
}

fn places(seen: &Snapshot) -> Vec<BTreeSet<Endpoint>> {
    let partitions = seen.tables.iter().flat_map(|table| &table.partitions);
    partitions.map(|partition| partition.places().into_iter().collect()).collect()
}

/// No partition is ever left with fewer replicas that are alive than it had, and each way ends.
pub(super) fn follow(arrangement: &Arrangement, seen: &Snapshot, seed: u64) -> Snapshot {
    let mut now = seen.clone();
    for goal in &arrangement.goals {
        let alive = |now: &Snapshot| {
            let table = now.tables.iter().find(|table| table.name == goal.table).unwrap();
            let partition = table.partitions.iter().find(|partition| partition.pid == goal.pid).unwrap();
            partition.replicas.iter().filter(|replica| replica.is_alive).count()
        };
        // A leader that hands over is not alive until it is brought back.
        let least = alive(seen).min(goal.replicas.len()) - 1;
        let mut steps = 0;
        loop {
            match next(&now, goal) {
                Next::Done => break,
                Next::Take(step) => step.predict(&mut now),
                other => panic!("seed {seed}: {other:?} on the way to {goal:?}"),
            }
            assert!(alive(&now) >= least.max(1), "seed {seed}: {goal:?}");
            steps += 1;
            assert!(steps < 20, "seed {seed}: {goal:?} is never reached");
        }
    }
    now
}

#[test]
fn scaling_out_ends_and_spreads_what_can_be_spread() {
    for seed in seeds() {
        let seen = any(&mut Dice(seed));
        let undertaking = Undertaking::ScaleOut { leaders: true };
        let arrangement = arrange(&undertaking, &seen, None, &Closed::default(), &Sizes::default()).unwrap();
        assert_eq!(
            arrangement,
            arrange(&undertaking, &seen, None, &Closed::default(), &Sizes::default()).unwrap(),
            "seed {seed}: the same look, the same plan"
        );
        let after = follow(&arrangement, &seen, seed);
        let again = arrange(&undertaking, &after, None, &Closed::default(), &Sizes::default()).unwrap();
        assert_eq!(again.goals, [], "seed {seed}: it is at rest");
        for db in ["shop", "bank"] {
            let replica_counts = ReplicaCounts::of(&after, &[], &Sizes::default(), |table| table.name.db == db);
            let counts: Vec<usize> = replica_counts.tablets().iter().map(|at| replica_counts.replicas(at)).collect();
            let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
            let is_told = again.remarks.iter().any(|remark| remark.starts_with(&format!("{db} cannot")));
            assert!(most - least <= 1 || is_told, "seed {seed}: {counts:?}");
        }
        let system =
            |seen: &Snapshot| seen.tables.iter().filter(|table| table.is_system()).cloned().collect::<Vec<_>>();
        assert_eq!(system(&seen), system(&after), "seed {seed}: system tables stay");
    }
}

#[test]
fn scaling_in_empties_the_tablets_and_keeps_the_number_of_replicas_from_wherever_it_was_broken_off() {
    for seed in seeds() {
        let mut dice = Dice(seed);
        let seen = any(&mut dice);
        let leaving = vec![tablet(dice.below(seen.tablets.len()))];
        let undertaking = Undertaking::ScaleIn { endpoints: leaving.clone() };
        let Ok(arrangement) = arrange(&undertaking, &seen, None, &Closed::default(), &Sizes::default()) else {
            let widest = seen.tables.iter().filter_map(|table| table.replica_num).max().unwrap();
            assert!(usize::try_from(widest).unwrap() > seen.tablets.len() - 1, "seed {seed}: refused for no reason");
            continue;
        };
        let after = follow(&arrangement, &seen, seed);
        for (before, after) in places(&seen).iter().zip(places(&after)) {
            assert_eq!(before.len(), after.len(), "seed {seed}");
            assert!(leaving.iter().all(|at| !after.contains(at)), "seed {seed}");
        }
        // Broken off after any number of steps, with nothing remembered.
        let mut broken_off = seen.clone();
        let steps = 1 + dice.below(12);
        let mut taken = 0;
        'walking: for goal in &arrangement.goals {
            while let Next::Take(step) = next(&broken_off, goal) {
                if taken == steps {
                    break 'walking;
                }
                step.predict(&mut broken_off);
                taken += 1;
            }
        }
        let rest = arrange(&undertaking, &broken_off, None, &Closed::default(), &Sizes::default()).unwrap();
        let after = follow(&rest, &broken_off, seed);
        for (before, after) in places(&seen).iter().zip(places(&after)) {
            assert_eq!(before.len(), after.len(), "seed {seed}, broken off after {taken} steps");
            assert!(leaving.iter().all(|at| !after.contains(at)), "seed {seed}, broken off after {taken} steps");
        }
    }
}

#[test]
fn an_upgraded_tablet_leads_again_what_it_led() {
    for seed in seeds() {
        let mut dice = Dice(seed);
        let seen = any(&mut dice);
        let at = tablet(dice.below(seen.tablets.len()));
        let pre = Undertaking::UpgradePre { endpoint: at.clone(), allow_unavailable: false };
        let arrangement = arrange(&pre, &seen, None, &Closed::default(), &Sizes::default()).unwrap();
        let note = UpgradeNote::with(None, "test", &at, &arrangement.goals, &seen);
        let without = follow(&arrangement, &seen, seed);
        let leads = |seen: &Snapshot| -> Vec<bool> {
            let partitions = seen.tables.iter().flat_map(|table| &table.partitions);
            partitions.map(|partition| partition.leader() == Some(&at)).collect()
        };
        assert!(!leads(&without).contains(&true), "seed {seed}");
        assert_eq!(
            UpgradeNote::with(Some(note.clone()), "test", &at, &arrangement.goals, &without),
            note,
            "seed {seed}: once more changes nothing"
        );
        let post = Undertaking::UpgradePost { endpoint: at.clone(), gone: false };
        let back = follow(
            &arrange(&post, &without, Some(&note), &Closed::default(), &Sizes::default()).unwrap(),
            &without,
            seed,
        );
        assert_eq!(leads(&back), leads(&seen), "seed {seed}");
        assert_eq!(places(&back), places(&seen), "seed {seed}: what was added is gone");
    }
}

/// Whatever is begun beside it, as far as there is another tablet to take it.
#[test]
fn a_tablet_that_is_upgraded_or_emptied_is_given_no_leader_and_no_replica() {
    let (mut given_elsewhere, mut refused) = (0, 0);
    for seed in seeds() {
        let mut dice = Dice(seed);
        let seen = any(&mut dice);
        let all: Vec<Endpoint> = seen.tablets.keys().cloned().collect();
        let (shut, other) = (all[0].clone(), all[1].clone());
        let emptying = Undertaking::ScaleIn { endpoints: vec![shut.clone()] };
        let emptied = Closed::new([], Some(&emptying));
        let upgraded = Closed::new([shut.clone()], None);
        let pre = |allow_unavailable| Undertaking::UpgradePre { endpoint: other.clone(), allow_unavailable };
        let cases = [
            (Undertaking::ScaleOut { leaders: true }, &emptied),
            (Undertaking::ScaleOut { leaders: true }, &upgraded),
            (Undertaking::ScaleIn { endpoints: vec![other.clone()] }, &emptied),
            (Undertaking::ScaleIn { endpoints: vec![other.clone()] }, &upgraded),
            (pre(true), &emptied),
            (pre(false), &emptied),
        ];
        for (undertaking, closed) in cases {
            let Ok(arrangement) = arrange(&undertaking, &seen, None, closed, &Sizes::default()) else {
                refused += 1;
                continue;
            };
            for goal in &arrangement.goals {
                let (_, now) = seen.partition(&goal.table, goal.pid).unwrap();
                let had = now.places().contains(&shut);
                assert!(had || !goal.replicas.contains(&shut), "seed {seed}, {undertaking}: a replica: {goal:?}");
                let led = now.leader() == Some(&shut);
                let is_alone = goal.replicas == [shut.clone()];
                let leads = goal.leader.as_ref() == Some(&shut);
                assert!(led || is_alone || !leads, "seed {seed}, {undertaking}: it is to lead: {goal:?}");
                given_elsewhere += usize::from(had && !leads);
            }
        }
        for table in &seen.tables {
            for partition in table.partitions.iter().filter(|partition| partition.places().contains(&shut)) {
                let (table, pid, to) = (table.name.clone(), partition.pid, shut.clone());
                let handover = Undertaking::Handover { table, pids: vec![pid], to };
                for closed in [&emptied, &upgraded] {
                    let refusal = arrange(&handover, &seen, None, closed, &Sizes::default()).unwrap_err();
                    assert!(refusal.text.contains("no leaders are moved to"), "seed {seed}: {refusal}");
                }
            }
        }
    }
    assert!(given_elsewhere > 100 && refused < 1_000, "{given_elsewhere}, {refused}");
}

/// One table, its leader on `tablet0` and a follower on `tablet1`.
fn two() -> Snapshot {
    cluster(3, &[("shop", vec![vec![0, 1]])])
}

fn held_mut<'a>(seen: &'a mut Snapshot, at: &Endpoint) -> &'a mut Held {
    let Seen::Known(held) = &mut seen.tablets.get_mut(at).unwrap().held else { panic!("known") };
    held.values_mut().next().unwrap()
}

fn led_by(at: usize) -> Goal {
    let table = TableName { db: "shop".to_owned(), table: "t0".to_owned() };
    let replicas = vec![tablet(0), tablet(1)];
    Goal {
        table,
        pid: Pid(0),
        replicas,
        leader: Some(tablet(at)),
        beside: None,
        successor_holds_all: false,
        replaces: None,
        why: "of a test".to_owned(),
    }
}

#[test]
fn a_leader_that_stood_down_is_followed_only_by_one_that_holds_as_much() {
    let mut seen = two();
    let step = |seen: &Snapshot| match next(seen, &led_by(1)) {
        Next::Take(step) => step.code(),
        other => panic!("{other:?}"),
    };
    assert_eq!(step(&seen), "leader_stand_down");
    held_mut(&mut seen, &tablet(0)).role = Role::Follower;
    assert_eq!(step(&seen), "leader_change");
    held_mut(&mut seen, &tablet(1)).offset = Offset(19);
    assert_eq!(step(&seen), "leader_stand_up", "its last entry was on its way");
    held_mut(&mut seen, &tablet(1)).offset = Offset(21);
    assert!(matches!(next(&seen, &led_by(1)), Next::Blocked(_)), "somebody wrote to the other one");
}

/// Found by the hunt (world 100006): one look at which a tablet did not answer left a partition with a leader that had
/// stepped down.
#[test]
fn who_does_not_answer_at_one_look_is_asked_again() {
    let silent = |seen: &mut Snapshot, at: usize| {
        seen.tablets.get_mut(&tablet(at)).unwrap().held = Seen::Failed("garbage".to_owned());
    };
    for at in [0, 1] {
        let mut seen = two();
        silent(&mut seen, at);
        assert!(matches!(next(&seen, &led_by(1)), Next::Silence(_)), "{at}");
    }
    let mut seen = two();
    held_mut(&mut seen, &tablet(0)).role = Role::Follower;
    let mut leader_silent = seen.clone();
    silent(&mut leader_silent, 0);
    assert!(matches!(next(&leader_silent, &led_by(1)), Next::Silence(_)), "it may have stood down");
    silent(&mut seen, 1);
    let Next::Take(step) = next(&seen, &led_by(1)) else { panic!("it can lead again") };
    assert_eq!(step.code(), "leader_stand_up", "better this leader than none");
}

/// Found by upgrading tablets under clients that write: of two followers one is an entry behind the other, as happens all the time.
#[test]
fn a_leader_stands_down_for_a_follower_that_is_an_entry_behind_another() {
    let mut seen = cluster(3, &[("shop", vec![vec![0, 1, 2]])]);
    let goal = Goal { replicas: vec![tablet(0), tablet(1), tablet(2)], ..led_by(1) };
    held_mut(&mut seen, &tablet(0)).offset = Offset(21);
    held_mut(&mut seen, &tablet(2)).offset = Offset(21);
    let Next::Take(step) = next(&seen, &goal) else { panic!("it can be handed over") };
    assert_eq!(step.code(), "leader_stand_down");
    assert!(plan(&step, &seen).unwrap().call.is_some());
    held_mut(&mut seen, &tablet(0)).role = Role::Follower;
    let Next::Take(step) = next(&seen, &goal) else { panic!("somebody has everything") };
    let table = goal.table.clone();
    assert_eq!(
        step,
        Step::ChangeLeader { table, pid: Pid(0), to: Some(tablet(2)) },
        "who has everything leads for now"
    );
}

/// Found by a dry run under clients that write: tablets are looked at one after the other.
#[test]
fn a_follower_that_was_looked_at_after_its_leader_stops_no_plan() {
    let mut seen = cluster(3, &[("shop", vec![vec![0, 1, 2]])]);
    held_mut(&mut seen, &tablet(2)).offset = Offset(22);
    let goal = Goal { replicas: vec![tablet(0), tablet(1), tablet(2)], ..led_by(1) };
    let arrangement = Arrangement { goals: vec![goal], ..Arrangement::default() };
    let (walks, _) = dry_run(&arrangement, &seen);
    assert_eq!(walks[0].stops_at, None);
    assert!(walks[0].steps.iter().any(|step| step.code() == "leader_change"), "{:?}", walks[0].steps);
}

#[test]
fn a_follower_far_behind_is_waited_for_before_its_leader_stands_down() {
    let mut seen = two();
    held_mut(&mut seen, &tablet(0)).offset = Offset(10_000);
    assert!(matches!(next(&seen, &led_by(1)), Next::Wait(_)));
}

/// Found by killing a tablet in the middle of a handover to it: it was waited for for an hour, as one that catches up.
#[test]
fn whoever_is_to_lead_and_is_offline_is_given_up_soon() {
    let mut seen = two();
    let offline = seen.tablets.get_mut(&tablet(1)).unwrap();
    offline.state = Some(TabletState::Offline);
    offline.held = Seen::Failed("nothing listens there".to_owned());
    let found = next(&seen, &led_by(1));
    let Next::Silence(text) = &found else { panic!("{found:?}") };
    assert!(text.contains(", the next leader of shop."), "{text}");
}

/// Found by the hunt (world 20234): an operation that failed half way leaves a replica that no metadata names, and every further
/// one to that tablet fails.
#[test]
fn what_an_operation_that_failed_has_left_is_cleared_away_first() {
    let mut seen = two();
    let goal = Goal { replicas: vec![tablet(0), tablet(2)], leader: None, ..led_by(0) };
    let step = |seen: &Snapshot| match next(seen, &goal) {
        Next::Take(step) => step,
        other => panic!("{other:?}"),
    };
    assert_eq!(step(&seen).code(), "replica_migrate");
    let id = PartitionId { tid: Tid(1), pid: Pid(0) };
    let stray = held_mut(&mut seen, &tablet(1)).clone();
    let Seen::Known(held) = &mut seen.tablets.get_mut(&tablet(2)).unwrap().held else { panic!("known") };
    held.insert(id, stray);
    let followers = vec![(tablet(1), Offset(20)), (tablet(2), Offset(20))];
    let followers = Seen::Known(Followers { leader_offset: Offset(20), followers });
    seen.tablets.get_mut(&tablet(0)).unwrap().probes.insert(id, Probes { followers, ..Probes::UNASKED });
    assert_eq!(step(&seen).code(), "replica_disconnect", "else its leader would refuse to be told of it again");
    step(&seen).predict(&mut seen);
    assert_eq!(step(&seen).code(), "replica_drop");
    assert!(plan(&step(&seen), &seen).unwrap().call.is_some(), "its leader holds as much");
    held_mut(&mut seen, &tablet(2)).offset = Offset(21);
    assert!(plan(&step(&seen), &seen).unwrap_err().text.contains("resending would discard them"), "it holds more");
    held_mut(&mut seen, &tablet(2)).offset = Offset(20);
    step(&seen).predict(&mut seen);
    assert_eq!(step(&seen).code(), "replica_migrate");
}

#[test]
fn what_no_table_knows_on_a_tablet_that_leaves_is_named() {
    let mut seen = two();
    let id = PartitionId { tid: Tid(99), pid: Pid(4) };
    let stray = Held { partition: id, ..held_mut(&mut seen, &tablet(0)).clone() };
    let Seen::Known(held) = &mut seen.tablets.get_mut(&tablet(0)).unwrap().held else { panic!("known") };
    held.insert(id, stray);
    let arrangement = arrange(
        &Undertaking::ScaleIn { endpoints: vec![tablet(0)] },
        &seen,
        None,
        &Closed::default(),
        &Sizes::default(),
    )
    .unwrap();
    assert!(arrangement.remarks.iter().any(|remark| remark.contains("99_4 (20 rows)")), "{:?}", arrangement.remarks);
}

#[test]
fn a_pre_aggregate_table_stays_beside_its_base_table() {
    let mut seen = cluster(4, &[("shop", vec![vec![0, 1]]), ("__PRE_AGG_DB", vec![vec![0, 1]])]);
    seen.tables[1].base_table = Some(Tid(1));
    let arrangement = arrange(
        &Undertaking::ScaleIn { endpoints: vec![tablet(0)] },
        &seen,
        None,
        &Closed::default(),
        &Sizes::default(),
    )
    .unwrap();
    let [base, aggregate] = &arrangement.goals[..] else { panic!("{arrangement:?}") };
    assert_eq!((&base.replicas, &base.leader), (&aggregate.replicas, &aggregate.leader));
    assert_eq!(base.table.db, "shop", "the base table comes first");
    let out =
        arrange(&Undertaking::ScaleOut { leaders: true }, &seen, None, &Closed::default(), &Sizes::default()).unwrap();
    assert_eq!(out.goals, []);
    assert!(out.remarks.iter().any(|remark| remark.contains("stay where they are")), "{:?}", out.remarks);
}
