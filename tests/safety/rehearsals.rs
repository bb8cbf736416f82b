//! That a likeness is like what it was made from, and that a rehearsal is a real run.

use std::collections::BTreeSet;
use std::sync::Arc;

use openmldb_ops::cluster::{Cluster, Options};
use openmldb_ops::model::{
    Endpoint, LATELY_MS, Manifest, Offset, PartitionId, Probes, Seen, Snapshot, Term, TermStart,
};
use openmldb_ops::playbook::Playbook;
use openmldb_ops::recovery::{Memory, forecast, plan};
use openmldb_ops::rehearse::{Generate, Rehearsal, Rehearsed};
use openmldb_ops::run::Verdict;
use openmldb_ops::sandbox::fault::Fault;
use openmldb_ops::sandbox::scenario::{Likeness, Scenario, Shape, likeness};
use openmldb_ops::sandbox::world::Settings;
use openmldb_ops::sandbox::{Addresses, InProcess, World, in_virtual_time};
use openmldb_ops::snapshot::collect;

fn rehearse(like: &Likeness, playbook: &str, faults: &[Fault]) -> Rehearsed {
    let playbook = Playbook::find(playbook).unwrap();
    Rehearsal { likeness: like, playbook: &playbook, faults, seed: 1 }.run().unwrap()
}

fn look(world: World) -> (World, Snapshot) {
    let (world, snapshot) = in_virtual_time(world, async |live| {
        let cluster = Cluster::new(Arc::new(InProcess::new(live.clone())), Options::default());
        collect(&cluster, "in memory", live.now()).await.unwrap()
    })
    .unwrap();
    (world, snapshot)
}

fn seen(scenario: Scenario) -> Snapshot {
    let addresses = Addresses::recorded(1, 3);
    look(scenario.bring_about(&Shape::default(), &addresses).unwrap()).1
}

/// What a rehearsal is about: who was flagged how, under which terms, and who is away.
#[test]
fn every_scenario_is_as_it_was_seen() {
    for scenario in Scenario::ALL
        .iter()
        .filter(|scenario| !matches!(scenario, Scenario::LeaderAndWriters | Scenario::ClientsWriting))
    {
        let before = seen(*scenario);
        let like = likeness(&before, Settings::default()).unwrap();
        let (_, after) = look(like.world.clone());
        let flags = |snapshot: &Snapshot| {
            let mut flags = BTreeSet::new();
            for table in &snapshot.tables {
                for partition in &table.partitions {
                    let id = PartitionId { tid: table.tid, pid: partition.pid };
                    let terms: Vec<u64> = partition.terms.iter().map(|start| start.term.0).collect();
                    for replica in &partition.replicas {
                        let away = like.missing.contains(&replica.endpoint);
                        // A tablet that is away was failed over, or is known to the nameserver by its old flags.
                        let alive = away || replica.is_alive;
                        let (name, storage) = (table.name.clone(), table.storage);
                        let row = (name, id, replica.endpoint.clone(), replica.is_leader, alive, terms.clone());
                        flags.insert((row, format!("{storage:?} {:?} {}", table.base_table, table.has_ttl)));
                    }
                }
            }
            flags
        };
        assert_eq!(flags(&after), flags(&before), "{scenario:?}");
        assert!(after.tablets.values().all(|tablet| tablet.held.known().is_none_or(|held| held.is_empty())));
        let away: Vec<Endpoint> = after
            .tablets
            .iter()
            .filter(|(_, tablet)| tablet.held.known().is_none())
            .map(|(at, _)| at.clone())
            .collect();
        assert_eq!(away, like.missing, "{scenario:?}");
    }
}

/// Whatever a cluster is seen in, every playbook brings its likeness back and keeps its rows.
#[test]
fn every_scenario_is_brought_back_with_its_rows() {
    for scenario in Scenario::ALL {
        let before = seen(*scenario);
        let like = likeness(&before, Settings::default()).unwrap();
        for playbook in ["recover", "fast"] {
            let rehearsed = rehearse(&like, playbook, &[]);
            let (rows, summary) = (rehearsed.rows, &rehearsed.recovered.summary);
            assert_eq!(rows.partitions_with_two_alive_leaders, 0, "{scenario:?} {playbook}");
            if summary.verdict == Verdict::Recovered {
                assert_eq!(rows.rows_after, rows.rows_expected, "{scenario:?} {playbook}");
                assert!(rehearsed.ratio_to_limit.serving.unwrap() >= 1.0, "{scenario:?} {playbook} {rehearsed:?}");
                assert!(rehearsed.ratio_to_limit.redundant.unwrap() >= 1.0, "{scenario:?} {playbook} {rehearsed:?}");
            } else {
                assert!(!like.missing.is_empty() || !summary.blocked.is_empty(), "{scenario:?} {playbook}");
            }
        }
    }
}

#[test]
fn a_made_up_cluster_comes_back_close_to_the_limit() {
    let snapshot = Generate { tablets: 3, tables: 33, partitions: 5, replicas: 3, rows: 1_000 }.snapshot();
    let like = likeness(&snapshot, Settings::default()).unwrap();
    let fast = rehearse(&like, "fast", &[]);
    assert_eq!(fast.recovered.summary.verdict, Verdict::Recovered);
    assert_eq!(fast.timeline.redundant.partitions, 165);
    assert_eq!((fast.rows.rows_expected, fast.rows.rows_after), (165_000, 165_000));
    // 165 replicas of 1000 entries on each tablet, 10 ms + 8 ms each, 3 at a time.
    assert_eq!((fast.limit.redundant_ms, fast.limit.serving_ms), (990, 330));
    assert!(fast.ratio_to_limit.redundant.unwrap() < 1.15, "{:?}", fast.ratio_to_limit);
    let recover = rehearse(&like, "recover", &[]);
    assert!(recover.ratio_to_limit.redundant.unwrap() < 1.15, "{:?}", recover.ratio_to_limit);
    assert!(recover.timeline.redundant.all_ms > fast.timeline.redundant.all_ms);
}

/// The same seed, the same rehearsal; and what goes wrong in it goes wrong.
#[test]
fn a_rehearsal_can_be_repeated_and_disturbed() {
    let like = likeness(&Generate::default().snapshot(), Settings::default()).unwrap();
    let once = rehearse(&like, "fast", &[]);
    let again = rehearse(&like, "fast", &[]);
    assert_eq!(format!("{once:?}"), format!("{again:?}"));
    let disturbed = rehearse(&like, "fast", &["LoadTable:2=reset-after".parse().unwrap()]);
    assert!(disturbed.timeline.failed_calls > 0);
    assert_eq!(disturbed.recovered.summary.verdict, Verdict::Recovered);
}

/// What does not fit into memory is made smaller, and takes as long.
#[test]
fn a_big_cluster_is_scaled() {
    let size = |rows| Generate { tablets: 3, tables: 2, partitions: 3, replicas: 3, rows };
    let like = |rows| likeness(&size(rows).snapshot(), Settings::default()).unwrap();
    let big = like(10_000_000);
    assert_eq!(big.scale, 60);
    assert_eq!(rehearse(&big, "fast", &[]).limit.busiest.unwrap().entries, 6 * 10_000_020);
    let took = rehearse(&big, "fast", &[]).timeline.redundant.all_ms.unwrap();
    // Six loads of 80 s each, three at a time.
    assert!((160_000..176_000).contains(&took), "{took}");
}

/// The busiest tablet's loads, three at a time; the fuller of the two lanes, one follower after another.
#[test]
fn a_forecast_is_of_the_busiest_tablet_and_the_fuller_lane() {
    let mut snapshot = Generate { tablets: 3, tables: 2, partitions: 3, replicas: 3, rows: 30_000 }.snapshot();
    let manifest = || Seen::Known(Manifest { offset: Offset(0), term: None, count: 0 });
    for table in &snapshot.tables {
        for partition in &table.partitions {
            let id = PartitionId { tid: table.tid, pid: partition.pid };
            for tablet in snapshot.tablets.values_mut() {
                tablet.probes.insert(id, Probes { manifest: manifest(), ..Probes::UNASKED });
            }
        }
    }
    let forecasts = ["recover", "fast", "leaders-first"].map(|name| {
        let memory = |id: PartitionId| {
            let table = snapshot.tables.iter().find(|table| table.tid == id.tid).unwrap();
            let partition = table.partitions.iter().find(|partition| partition.pid == id.pid).unwrap();
            Memory::at_start(&snapshot, table, partition, &[])
        };
        forecast(&plan(&snapshot, &Playbook::find(name).unwrap(), |_, _| true, memory))
    });
    let [recover, fast, leaders_first] = forecasts;
    // Six replicas of 30,000 entries: 250 ms each.
    assert_eq!((recover.serving_after_ms, fast.serving_after_ms), (500, 500));
    // Pids 0 and 2 of two tables: eight followers in one lane.
    assert_eq!((recover.redundant_after_ms, recover.recovered, recover.reattached), (500 + 8 * 4_500, 12, 0));
    assert_eq!((fast.redundant_after_ms, fast.recovered, fast.reattached, fast.resent), (500, 0, 12, 0));
    // Two of the six are leaders.
    assert_eq!((leaders_first.serving_after_ms, leaders_first.redundant_after_ms), (167, 500 + 8 * 4_500));
    assert_eq!((leaders_first.recovered, leaders_first.resent), (12, 0));
}

/// Terms are asked for by snapshots, and of a tablet that has just come up nobody asks for one.
#[test]
fn a_forecast_counts_the_minute_in_which_nobody_is_asked_for_a_snapshot() {
    let after = |age: u64| {
        let mut snapshot = Generate { tablets: 3, tables: 1, partitions: 1, replicas: 3, rows: 30_000 }.snapshot();
        snapshot.tables[0].partitions[0].terms =
            [(1, 0), (3, 20_000)].map(|(term, start)| TermStart { term: Term(term), start: Offset(start) }).to_vec();
        snapshot.tablets.values_mut().for_each(|tablet| tablet.unchanged_ms = Some(age));
        let (table, partition) = (&snapshot.tables[0], &snapshot.tables[0].partitions[0]);
        let memory = |_| Memory::at_start(&snapshot, table, partition, &[]);
        let of = forecast(&plan(&snapshot, &Playbook::find("fast").unwrap(), |_, _| true, memory));
        (of.serving_after_ms, of.redundant_after_ms)
    };
    let ((serving, redundant), (up_serving, up_redundant)) = (after(0), after(LATELY_MS));
    assert_eq!((serving - up_serving, redundant - up_redundant), (LATELY_MS, LATELY_MS));
}
