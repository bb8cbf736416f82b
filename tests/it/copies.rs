//! In which order followers come back: a second copy of everything before a third of anything.

use std::collections::BTreeMap;

use openmldb_ops::playbook::Playbook;
use openmldb_ops::sandbox::Options;
use openmldb_ops::sandbox::scenario::{Generated, Scenario, Shape};
use openmldb_ops::wire::call::{NameserverCall, TabletCall};
use openmldb_ops::wire::encode::Addressed;

use crate::support::harness::{Harness, Setup};

#[tokio::test(start_paused = true)]
async fn every_partition_has_its_second_copy_before_any_has_its_third() {
    let generated = Some(Generated { tables: 2, partitions: 6, replicas: 3, rows: 20 });
    let options = Options { shape: Shape { generated, ..Shape::default() }, ..Options::default() };
    let harness = Harness::in_memory_with(Scenario::EverythingRestarted, &options).await;
    harness.world(|world| world.nameserver_settings_mut().op_fails_for_no_reason = None);
    let playbook = Playbook::find("recover").unwrap();
    let run = harness.run_with(Setup { playbook, ..Setup::new() }).await;
    assert_eq!(run.recovered.summary.verdict.word(), "recovered");
    // Of each of the nameserver's two lanes, in the order in which it was asked.
    let mut asked: [Vec<(String, u32)>; 2] = Default::default();
    let mut connected: BTreeMap<(u32, u32), usize> = BTreeMap::new();
    for call in &run.sent {
        match call {
            Addressed::Nameserver(NameserverCall::RecoverTable(request)) => {
                asked[request.pid as usize % 2].push((request.name.clone(), request.pid));
            }
            Addressed::Tablet(_, TabletCall::ChangeRole(request)) => {
                connected.insert((request.tid(), request.pid()), request.replicas.len());
            }
            _ => {}
        }
    }
    for lane in asked {
        let partitions: std::collections::BTreeSet<_> = lane.iter().cloned().collect();
        assert_eq!(lane.len(), 2 * partitions.len(), "no operation failed: {lane:?}");
        let (first, second) = lane.split_at(partitions.len());
        let all = |half: &[(String, u32)]| half.iter().cloned().collect::<std::collections::BTreeSet<_>>();
        assert_eq!(
            (all(first), all(second)),
            (partitions.clone(), partitions),
            "a third copy before a second: {lane:?}"
        );
    }
    // Whom the leader has from the start needs the short operation.
    let of_shop = connected.iter().filter(|((tid, _), _)| {
        harness.world(|world| world.tables().iter().any(|table| table.tid() == *tid && table.db() == "shop"))
    });
    assert!(of_shop.clone().count() == 12 && of_shop.clone().all(|(_, replicas)| *replicas == 2), "{connected:?}");
}
