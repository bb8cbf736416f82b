//! Two logs that part within one term, because somebody accepted that: no term tells them apart once both have grown.
//! Whoever was to get its leader's data keeps its own as long as nobody has seen it replaced.

use openmldb_ops::model::PartitionId;
use openmldb_ops::run::{Consent, Scope, Selector};
use openmldb_ops::wire::common::StorageMode::{self, KHdd, KMemory};

use super::run::Run;
use super::written::{Written, cluster};

const PLAYBOOKS: [&str; 3] = ["recover", "fast", "leaders-first"];

/// Led by a replica that holds one entry less than the other: somebody names it leader and accepts the loss, and that run meets
/// such a fault.
fn led_by_the_shorter(storage: StorageMode, playbook: &'static str, fault: &str) -> (Written, PartitionId) {
    let mut world = cluster(2, 1).by(playbook);
    let [id] = world.table(storage, [&[1, 2]]);
    world.rows(id, 1, 6);
    world.passes(1_000);
    world.everything_dies();
    world.loses(6..=6, id, 1);
    world.everything_starts();
    let leader = world.at(1);
    let table = world.world.tables().iter().find(|table| table.tid() == id.tid.0).unwrap().name().to_owned();
    let scope = Scope::Some(vec![Selector { db: "shop".to_owned(), table: Some(table), pid: Some(id.pid) }]);
    let named = |run: Run<'static>, losses_of| {
        let consent = Consent { leader: Some(leader.clone()), losses_of, ..Consent::default() };
        Run { scope: scope.clone(), consent, ..run }
    };
    // What the other one would lose shows once both are loaded.
    world.is_recovered(|run| named(run, None));
    let plan = world.is_planned(|run| named(run, None));
    world.is_recovered(|run| Run { faults: vec![fault.parse().unwrap()], ..named(run, Some(plan)) });
    assert_eq!(world.led_by(id), 1, "{playbook}, {fault}");
    (world, id)
}

/// The other one never gets its leader's data. That one writes past what the other holds; everything restarts.
#[test]
fn what_was_to_be_replaced_and_was_not_is_never_taken_for_the_beginning_of_its_leaders_log() {
    let faults =
        ["DropTable:1=tool-killed-before", "DropTable:every=reset-before", "RecoverTable:1=tool-killed-before"];
    for (playbook, fault) in PLAYBOOKS.into_iter().flat_map(|playbook| faults.map(|fault| (playbook, fault))) {
        for (storage, elsewhere) in [(KMemory, false), (KHdd, false), (KMemory, true), (KHdd, true)] {
            let (mut world, id) = led_by_the_shorter(storage, playbook, fault);
            world.rows(id, 1, 4);
            world.everything_dies();
            world.everything_starts();
            if elsewhere {
                world.is_gone_on_with_from_another_host();
            }
            let ran = world.is_recovered(|run| run);
            let [one, two] = [1, 2].map(|tablet| world.world.log(&world.at(tablet), id));
            assert_eq!(one.len(), 9, "{playbook}, {fault}, {storage:?}, {elsewhere}");
            let blocked = !ran.recovered().unwrap().summary.blocked.is_empty();
            assert!(
                one == two || blocked,
                "{playbook}, {fault}, {storage:?}, {elsewhere}: {one:?} / {two:?}\n{}",
                ran.told.join("\n")
            );
        }
    }
}
