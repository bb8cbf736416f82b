//! As many replicas as there should be, a tablet that is gone, and bytes instead of heads.

use std::collections::BTreeMap;

use crate::model::{
    Action, Compression, Manual, Offset, PartitionId, Polled, Role, Seen, Table, Tablet, TabletState, Term, TermStart,
    Tid,
};
use crate::recovery::{Loss, LossKind};

use super::super::goal::{Arrangement, Goal, Replaces};
use super::super::{Step, plan};
use super::tests::{Dice, any, cluster, follow, seeds, tablet};
use super::*;

fn arranged(undertaking: &Undertaking, seen: &Snapshot, sizes: &Sizes) -> Result<Arrangement, Refusal> {
    arrange(undertaking, seen, None, &Closed::default(), sizes)
}

fn replace(gone: usize) -> Undertaking {
    Undertaking::Replace { endpoint: tablet(gone), with: None, accepts: None }
}

/// The same cluster after a tablet has died; others lead what it led.
fn without(seen: &Snapshot, gone: usize) -> Snapshot {
    let mut seen = seen.clone();
    let gone = tablet(gone);
    let dead =
        Tablet { state: Some(TabletState::Offline), held: Seen::Failed("refused".to_owned()), ..Tablet::unknown() };
    seen.tablets.insert(gone.clone(), dead);
    for table in 0..seen.tables.len() {
        let tid = seen.tables[table].tid;
        for partition in 0..seen.tables[table].partitions.len() {
            let found = &mut seen.tables[table].partitions[partition];
            let id = PartitionId { tid, pid: found.pid };
            let Some(dead) = found.replicas.iter_mut().find(|replica| replica.endpoint == gone) else { continue };
            dead.is_alive = false;
            if !dead.is_leader {
                continue;
            }
            let Some(successor) = found.replicas.iter_mut().find(|replica| replica.endpoint != gone) else { continue };
            successor.is_leader = true;
            found.terms.push(TermStart { term: Term(3), start: Offset(21) });
            let Seen::Known(held) = &mut seen.tablets.get_mut(&successor.endpoint).unwrap().held else {
                panic!("known")
            };
            held.get_mut(&id).unwrap().role = Role::Leader;
        }
    }
    seen
}

#[test]
fn a_tablet_that_is_gone_is_forgotten_once_others_have_its_place() {
    for seed in seeds() {
        let mut dice = Dice(seed);
        let healthy = any(&mut dice);
        let gone = dice.below(healthy.tablets.len());
        let seen = without(&healthy, gone);
        let Ok(arrangement) = arranged(&replace(gone), &seen, &Sizes::default()) else { continue };
        let alone = |goal: &Goal| seen.partition(&goal.table, goal.pid).unwrap().1.replicas.len() == 1;
        let (alone, goals): (Vec<Goal>, Vec<Goal>) = arrangement.goals.into_iter().partition(alone);
        for goal in alone {
            assert!(matches!(next(&seen, &goal), Next::Blocked(_)), "seed {seed}: nobody else has a row of it");
        }
        let after = follow(&Arrangement { goals: goals.clone(), ..Arrangement::default() }, &seen, seed);
        for goal in &goals {
            let (table, partition) = after.partition(&goal.table, goal.pid).unwrap();
            assert!(!partition.places().contains(&tablet(gone)), "seed {seed}: {goal:?}");
            assert_eq!(partition.replicas.len(), usize::try_from(table.replica_num.unwrap()).unwrap(), "seed {seed}");
            assert!(partition.replicas.iter().all(|replica| replica.is_alive), "seed {seed}");
        }
    }
}

/// Nobody else has a row of it, so that it is lost by name, and a recovery decides from what it begins.
#[test]
fn a_partition_whose_only_replica_is_gone_moves_once_its_loss_is_accepted_and_serves_nobody_by_that() {
    let seen = without(&cluster(3, &[("shop", vec![vec![1]])]), 1);
    let mut arrangement = arranged(&replace(1), &seen, &Sizes::default()).unwrap();
    let stops = |arrangement: &Arrangement| dry_run(arrangement, &seen).0.remove(0);
    assert!(stops(&arrangement).steps.is_empty());
    let (endpoint, kind) = (tablet(1), LossKind::OutOfReach);
    let loss = Loss { endpoint, kind, entries: Some(20), directory: None };
    arrangement.goals[0].replaces.as_mut().unwrap().accepted.push(loss);
    let (walks, after) = dry_run(&arrangement, &seen);
    assert_eq!(walks[0].steps.iter().map(Step::code).collect::<Vec<_>>(), ["replica_replace"]);
    assert!(walks[0].stops_at.as_ref().unwrap().contains("has not begun there"), "{walks:?}");
    let moved = &after.tables[0].partitions[0];
    assert_eq!((moved.places(), moved.leader()), (vec![tablet(0)], None));
}

#[test]
fn nothing_is_forgotten_of_a_tablet_that_is_there() {
    let seen = cluster(3, &[("shop", vec![vec![0, 1]])]);
    assert!(arranged(&replace(0), &seen, &Sizes::default()).unwrap_err().text.contains("it answers"));
    let mut hangs = seen.clone();
    hangs.tablets.get_mut(&tablet(0)).unwrap().held = Seen::Failed("no answer".to_owned());
    assert!(arranged(&replace(0), &hangs, &Sizes::default()).unwrap_err().text.contains("for healthy"));
    let mut registered = without(&seen, 0);
    registered.tablets.get_mut(&tablet(0)).unwrap().in_zookeeper = Some(true);
    assert!(arranged(&replace(0), &registered, &Sizes::default()).unwrap_err().text.contains("registered"));
    // It was gone when that was arranged, and is back when it is to be forgotten.
    let goals = arranged(&replace(0), &without(&seen, 0), &Sizes::default()).unwrap().goals;
    let replaces = goals[0].replaces.clone().unwrap();
    let step = Step::ForgetReplica { table: goals[0].table.clone(), pid: goals[0].pid, replaces };
    assert!(matches!(
        plan(&step, &without(&seen, 0)).unwrap().call,
        Some(Action::Manual(Manual::ForgetReplica { .. }))
    ));
    assert!(plan(&step, &seen).is_err());
}

#[test]
fn what_only_the_dead_one_is_known_to_have_held_stops_it_after_the_others_are_there() {
    let mut seen = without(&cluster(3, &[("shop", vec![vec![0, 1]])]), 1);
    let dead = &mut seen.tables[0].partitions[0].replicas[1];
    dead.offset = Some(Offset(25));
    let arrangement = arranged(&replace(1), &seen, &Sizes::default()).unwrap();
    let (walks, after) = dry_run(&arrangement, &seen);
    assert_eq!(walks[0].steps.iter().map(Step::code).collect::<Vec<_>>(), ["replica_add"]);
    assert!(walks[0].stops_at.as_ref().unwrap().contains("known at offset 25"), "{walks:?}");
    assert!(after.tables[0].partitions[0].places().contains(&tablet(1)), "it is still known");
}

#[test]
fn every_partition_gets_as_many_replicas_as_its_table_was_made_with() {
    for seed in seeds() {
        let mut dice = Dice(seed);
        let mut seen = any(&mut dice);
        let most = u32::try_from(seen.tablets.len()).unwrap();
        for table in &mut seen.tables {
            table.replica_num = Some(1 + u32::try_from(dice.below(4)).unwrap());
        }
        let arrangement = arranged(&Undertaking::Repair, &seen, &Sizes::default()).unwrap();
        let after = follow(&arrangement, &seen, seed);
        for table in &after.tables {
            let wanted = table.replica_num.unwrap().min(most);
            let is_short = table.replica_num.unwrap() > most;
            for partition in &table.partitions {
                let before = seen.partition(&table.name, partition.pid).unwrap().1;
                assert_eq!(partition.replicas.len(), usize::try_from(wanted).unwrap(), "seed {seed}");
                assert_eq!(before.leader(), partition.leader(), "seed {seed}: its leader stays");
                let told =
                    arrangement.beyond.iter().any(|(goal, _)| goal.table == table.name && goal.pid == partition.pid);
                assert_eq!(told, is_short, "seed {seed}");
            }
        }
        assert_eq!(
            arranged(&Undertaking::Repair, &after, &Sizes::default()).unwrap().goals,
            [],
            "seed {seed}: it is at rest"
        );
    }
}

#[test]
fn nothing_that_serves_is_taken_away_for_one_that_is_dead() {
    let mut seen = without(&cluster(4, &[("shop", vec![vec![0, 1, 2]])]), 2);
    seen.tables[0].replica_num = Some(2);
    let arrangement = arranged(&Undertaking::Repair, &seen, &Sizes::default()).unwrap();
    assert_eq!(arrangement.goals, []);
    assert!(arrangement.remarks.iter().any(|remark| remark.contains("tablet replace tablet2")), "{arrangement:?}");
}

/// Flags do not say what a tablet has loaded: the one that has goes on having it.
#[test]
fn of_too_many_replicas_none_goes_that_is_loaded_while_another_one_is_not() {
    for bare in [1, 2] {
        let mut seen = cluster(3, &[("shop", vec![vec![0, 1, 2]])]);
        seen.tables[0].replica_num = Some(2);
        seen.tablets.get_mut(&tablet(bare)).unwrap().held = Seen::Known(BTreeMap::new());
        let goals = arranged(&Undertaking::Repair, &seen, &Sizes::default()).unwrap().goals;
        assert_eq!(goals[0].replicas, [tablet(0), tablet(3 - bare)], "tablet{bare} has nothing");
    }
}

/// The one too many stands in for the time of the upgrade; `upgrade post` takes it away, and not the tablet's own.
#[test]
fn what_stands_in_for_a_tablet_that_is_upgraded_is_left_where_it_is() {
    let seen = cluster(3, &[("shop", vec![vec![1, 0]])]);
    let mut seen = Snapshot { tables: vec![Table { replica_num: Some(1), ..seen.tables[0].clone() }], ..seen };
    let repaired = |seen: &Snapshot, upgraded: Option<usize>| {
        let closed = Closed::new(upgraded.map(tablet), None);
        arrange(&Undertaking::Repair, seen, None, &closed, &Sizes::default()).unwrap()
    };
    let beside = repaired(&seen, Some(0));
    assert_eq!(beside.goals, []);
    assert!(beside.remarks.iter().any(|remark| remark.contains("upgrade post tablet0")), "{:?}", beside.remarks);
    for upgraded in [None, Some(2)] {
        assert_eq!(repaired(&seen, upgraded).goals[0].replicas, [tablet(1)], "nobody stands in for anybody there");
    }
    seen.tables[0].replica_num = Some(3);
    assert_eq!(repaired(&seen, Some(0)).goals[0].replicas.len(), 3, "what is lacking is added all the same");
}

/// A step is judged by what is seen when it is to be taken, and not by what was when it was arranged.
#[test]
fn metadata_are_changed_for_one_that_is_gone_only_while_all_that_speaks_for_it_holds() {
    let loss = || Loss { endpoint: tablet(1), kind: LossKind::OutOfReach, entries: None, directory: None };
    let replaces = |unseen, accepted| Replaces { gone: tablet(1), unseen, accepted };
    let refused = |step: &Step, seen: &Snapshot| plan(step, seen).unwrap_err();
    let changed = |seen: &Snapshot, change: fn(&mut Snapshot)| {
        let mut seen = seen.clone();
        change(&mut seen);
        seen
    };
    let (healthy, lone) = (cluster(3, &[("shop", vec![vec![0, 1]])]), cluster(3, &[("shop", vec![vec![1]])]));
    let (seen, alone) = (without(&healthy, 1), without(&lone, 1));
    let (table, pid) = (seen.tables[0].name.clone(), seen.tables[0].partitions[0].pid);

    let forget = |replaces| Step::ForgetReplica { table: table.clone(), pid, replaces };
    assert!(plan(&forget(replaces(false, Vec::new())), &seen).is_ok());
    assert!(plan(&forget(replaces(true, vec![loss()])), &seen).is_ok());
    assert!(refused(&forget(replaces(true, Vec::new())), &seen).text.contains("nobody has looked at"));
    let on = changed(&seen, |seen| seen.auto_failover = true);
    let unled = changed(&seen, |seen| seen.tables[0].partitions[0].replicas[0].is_alive = false);
    let longer = changed(&seen, |seen| seen.tables[0].partitions[0].replicas[1].offset = Some(Offset(25)));
    let forget = forget(replaces(false, Vec::new()));
    assert_eq!(refused(&forget, &on).code, Some(301));
    assert!(refused(&forget, &healthy).text.contains("it answers"));
    assert!(refused(&forget, &unled).text.contains("no live leader"));
    assert!(refused(&forget, &longer).text.contains("known at offset 25"));

    let replace = |accepted, to| {
        let replaces = replaces(false, accepted);
        Step::ReplaceOnly { table: table.clone(), pid, replaces, to: tablet(to) }
    };
    assert!(plan(&replace(vec![loss()], 2), &alone).is_ok());
    assert!(refused(&replace(Vec::new(), 2), &alone).text.contains("its loss was not accepted"));
    assert!(refused(&replace(vec![loss()], 2), &seen).text.contains("the only replica"), "another one is there");
    assert!(refused(&replace(vec![loss()], 2), &lone).text.contains("it answers"));
    assert_eq!(refused(&replace(vec![loss()], 2), &changed(&alone, |seen| seen.auto_failover = true)).code, Some(301));
    assert_eq!(refused(&replace(vec![loss()], 2), &without(&alone, 2)).code, Some(303), "the other one died, too");
}

/// What is lacking is there before anybody asks for one that is away.
#[test]
fn a_replica_that_is_lacking_is_added_although_another_one_is_away() {
    let mut seen = without(&cluster(4, &[("shop", vec![vec![0, 1]])]), 1);
    seen.tables[0].replica_num = Some(3);
    let arrangement = arranged(&Undertaking::Repair, &seen, &Sizes::default()).unwrap();
    let (walks, after) = dry_run(&arrangement, &seen);
    assert_eq!(walks[0].steps.first().map(Step::code), Some("replica_add"), "{walks:?}");
    let alive = after.tables[0].partitions[0].replicas.iter().filter(|replica| replica.is_alive).count();
    assert!(alive >= 2, "{after:?}");
}

/// What the nameserver has polled: bytes of each table's replicas.
fn sizes(seen: &Snapshot, memory: &[u64]) -> Sizes {
    let polled = seen.tables.iter().zip(memory).flat_map(|(table, bytes)| {
        table.partitions.iter().flat_map(|partition| {
            partition.replicas.iter().map(|replica| Polled {
                table: table.name.clone(),
                pid: partition.pid,
                endpoint: replica.endpoint.clone(),
                rows: None,
                memory_bytes: Some(*bytes),
                disk_bytes: None,
                ttl: Vec::new(),
                compression: Compression::None,
            })
        })
    });
    Sizes::of(&polled.collect::<Vec<_>>())
}

const GIB: u64 = 1 << 30;

#[test]
fn a_replica_goes_where_there_are_fewest_bytes_and_not_where_there_are_fewest_heads() {
    // Tablet 1 has one large replica, tablet 2 three small ones.
    let mut seen =
        cluster(3, &[("shop", vec![vec![0]]), ("shop", vec![vec![1]]), ("shop", vec![vec![2], vec![2], vec![2]])]);
    seen.tables[0].replica_num = Some(2);
    let by = |sizes: &Sizes| arranged(&Undertaking::Repair, &seen, sizes).unwrap().goals[0].replicas.clone();
    assert_eq!(by(&Sizes::default()), [tablet(0), tablet(1)], "by heads, where nobody knows bytes");
    assert_eq!(by(&sizes(&seen, &[GIB, 40 * GIB, GIB])), [tablet(0), tablet(2)]);
}

#[test]
fn bytes_are_spread_and_not_heads() {
    let many = |at: usize, count: usize| vec![vec![at]; count];
    let seen = cluster(2, &[("shop", many(0, 4)), ("shop", many(1, 4))]);
    let sizes = sizes(&seen, &[10 * GIB, GIB]);
    let arrangement = arranged(&Undertaking::ScaleOut { leaders: true }, &seen, &sizes).unwrap();
    let after = follow(&arrangement, &seen, 0);
    let on = |at: usize| sizes.on_tablets(&after)[&tablet(at)].memory.unwrap();
    assert!(on(0).abs_diff(on(1)) <= GIB, "{} and {}", on(0), on(1));
    let again = arranged(&Undertaking::ScaleOut { leaders: true }, &after, &sizes).unwrap();
    assert_eq!(again.goals, [], "it is at rest");
}

#[test]
fn it_ends_whatever_replicas_take() {
    for seed in seeds() {
        let mut dice = Dice(seed);
        let seen = any(&mut dice);
        let bytes: Vec<u64> = seen.tables.iter().map(|_| dice.roll() % (50 * GIB)).collect();
        let sizes = sizes(&seen, &bytes);
        let out = Undertaking::ScaleOut { leaders: false };
        let arrangement = arranged(&out, &seen, &sizes).unwrap();
        let after = follow(&arrangement, &seen, seed);
        assert_eq!(arranged(&out, &after, &sizes).unwrap().goals, [], "seed {seed}: it is at rest");
    }
}

#[test]
fn an_aggregate_is_brought_up_beside_its_base_table() {
    let mut seen = cluster(4, &[("shop", vec![vec![0, 1]]), ("__PRE_AGG_DB", vec![vec![0, 1]])]);
    seen.tables[1].base_table = Some(Tid(1));
    seen.tables.iter_mut().for_each(|table| table.replica_num = Some(3));
    let goals = arranged(&Undertaking::Repair, &seen, &Sizes::default()).unwrap().goals;
    assert_eq!((goals.len(), &goals[0].replicas), (2, &goals[1].replicas));
    assert_eq!(goals[1].beside.as_ref(), Some(&goals[0].table));
    seen.tables.iter_mut().for_each(|table| table.replica_num = Some(2));
    let goals = arranged(&replace(1), &without(&seen, 1), &Sizes::default()).unwrap().goals;
    assert_eq!((goals.len(), &goals[0].replicas), (2, &goals[1].replicas));
}
