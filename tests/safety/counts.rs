//! Equal replicas that count their rows differently (docs/openmldb/tablet.md#row-counts-are-not-rows): after deletes, after rows
//! have expired, after rows on disk were overwritten. An operator is asked nothing, and nothing is sent again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use openmldb_ops::model::{PartitionId, Pid, Tid};
use openmldb_ops::playbook::built_in_names;
use openmldb_ops::run::Verdict;
use openmldb_ops::sandbox::scenario::{Scenario, Shape};
use openmldb_ops::sandbox::{Addresses, World};
use openmldb_ops::wire::api::GetTableStatusRequest;
use openmldb_ops::wire::call::{TabletAnswer, TabletCall};

use super::minimal::recovered;
use super::run::{Host, Run};

const MISLEADING: [Scenario; 3] = [Scenario::DeletedRows, Scenario::ExpiredRows, Scenario::DiskOverwrites];

/// By partition, the row counts that its replicas tell.
fn counted(world: &mut World) -> BTreeMap<PartitionId, BTreeSet<u64>> {
    let mut counted: BTreeMap<_, BTreeSet<u64>> = BTreeMap::new();
    for at in world.tablet_endpoints().to_vec() {
        let answer = world.call_tablet(&at, TabletCall::GetTableStatus(GetTableStatusRequest::default()));
        let Ok(TabletAnswer::GetTableStatus(answer)) = answer else { panic!("{at} does not answer") };
        for status in answer.all_table_status {
            let id = PartitionId { tid: Tid(status.tid()), pid: Pid(status.pid()) };
            counted.entry(id).or_default().insert(status.record_cnt());
        }
    }
    counted
}

fn differing(world: &mut World) -> usize {
    counted(world).values().filter(|counts| counts.len() > 1).count()
}

#[test]
fn a_restart_with_misleading_counts_is_healthy_without_a_question_and_without_a_resend() {
    for scenario in MISLEADING {
        for playbook in built_in_names() {
            let seen = format!("{scenario}, {playbook}");
            let world = scenario.bring_about(&Shape::default(), &Addresses::recorded(2, 3)).unwrap();
            let (mut world, ran) = Run::calm(playbook, &Host::new(true), 1).on(world, &Arc::default());
            let resent = ran.told.iter().filter(|line| line.contains("resent")).count();
            let summary = recovered(ran).summary;
            assert_eq!((summary.verdict, summary.blocked.len(), resent), (Verdict::Recovered, 0, 0), "{seen}");
            assert!(differing(&mut world) > 1, "{seen}: {:?}", counted(&mut world));
            for at in world.tablet_endpoints().to_vec() {
                assert_eq!(world.tablets_mut().recycle_bin(at.as_str()), [], "{seen}: {at}");
            }
            let rows = world.settle();
            assert_eq!(rows.rows_after, rows.rows_expected, "{seen}");
            assert_eq!(world.diverged(), BTreeSet::new(), "{seen}");
        }
    }
}

/// Garbage collection has passed over everything after three rounds of two hours; then counts are rows again.
#[test]
fn after_hours_they_agree() {
    for scenario in MISLEADING {
        let world = scenario.bring_about(&Shape::default(), &Addresses::recorded(2, 3)).unwrap();
        let (mut world, _) = Run::calm("fast", &Host::new(true), 1).on(world, &Arc::default());
        world.advance_by(3 * 7_200_000 + 60_000);
        assert_eq!(differing(&mut world), 0, "{scenario}: {:?}", counted(&mut world));
    }
}
