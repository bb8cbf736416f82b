//! What only looks changes nothing: a dry run, `status` (`--deep` too) and `snapshot`, in every scenario, over sockets. Three witnesses:
//! the hook that hears of every call before it is made, the wire, and the servers' own trace.

use std::process::{Output, Stdio};
use std::sync::{Arc, Mutex};

use openmldb_ops::run::{Scope, Status};
use openmldb_ops::sandbox::scenario::Scenario;
use openmldb_ops::snapshot;
use openmldb_ops::wire::call::Effect;
use tokio::process::Command;
use tokio::task::JoinSet;

use crate::support::harness::{Harness, PATIENCE, Setup};

/// Does the same to a sandbox of every scenario, so many side by side.
async fn in_every_scenario<F>(at_once: usize, what: impl Fn(Scenario) -> F + Copy)
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut all = JoinSet::new();
    for scenario in Scenario::ALL {
        if all.len() == at_once {
            all.join_next().await.unwrap().unwrap();
        }
        all.spawn(what(*scenario));
    }
    while let Some(done) = all.join_next().await {
        done.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn looking_and_planning_send_nothing_that_changes_anything() {
    in_every_scenario(usize::MAX, |scenario| async move {
        let harness = Harness::in_memory(scenario).await;
        let calls = Arc::new(Mutex::new(Vec::new()));
        let heard = calls.clone();
        let mut setup = Setup {
            trace: Some(Arc::new(move |_, method, effect| heard.lock().unwrap().push((method.to_owned(), effect)))),
            ..Setup::new()
        };
        let (cluster, relay) = harness.cluster(&mut setup).await;
        let prepared = harness.recovery(&setup, setup.listener.clone()).look(&cluster).await.unwrap();
        let seen = snapshot::collect(&cluster, "sandbox", 0).await.unwrap();
        assert_eq!(Status::of(&seen, &Scope::All).counts.partitions, prepared.plan.counts.total, "{scenario}");

        let calls = calls.lock().unwrap().clone();
        let mutations: Vec<_> = calls.iter().filter(|(_, effect)| *effect == Effect::Mutate).collect();
        assert!(mutations.is_empty() && relay.sent().is_empty(), "{scenario}: {mutations:?}");
        assert_eq!(cluster.rpc_counts().mutations, 0, "{scenario}");
        let arrived = harness.world(|world| (world.trace().reads(), world.trace().mutations()));
        assert!(!calls.is_empty() && arrived.0 > 0 && arrived.1 == 0, "{scenario}: {arrived:?}");
        assert_eq!(harness.records.count(), 0, "{scenario}: nothing is written down");
    })
    .await;
}

#[tokio::test]
async fn the_commands_that_look_change_nothing() {
    // Each has a process of its own at work, and on a busy machine many of them would not answer each other in time.
    in_every_scenario(2, |scenario| async move {
        let harness = Harness::start(scenario).await;
        let address = harness.sandbox().nameserver_address().unwrap().to_string();
        let records = harness.records.path().to_str().unwrap().to_owned();
        let file = std::env::temp_dir().join(format!("openmldb-ops-{}-{scenario}.yaml", std::process::id()));
        let file = file.to_str().unwrap();
        let well = scenario.is_well();
        let there = ["--nameserver", &address];

        let dry = ["recover", "--all", "--dry-run", "--record-dir", &records];
        let planned = ends_with(&[&dry[..], &there].concat(), &[0, 4]).await;
        let status = ends_with(&[&["status"][..], &there].concat(), &[if well { 0 } else { 3 }]).await;
        let deep = ends_with(&[&["status", "--deep"][..], &there].concat(), &[if well { 0 } else { 3 }]).await;
        assert!(!deep.stdout.is_empty(), "{scenario}");
        ends_with(
            &[&["recover", "--explain", "shop.orders/0", "--record-dir", &records][..], &there].concat(),
            &[0, 4],
        )
        .await;
        ends_with(&[&["status", "--check"][..], &there].concat(), &[0, 1, 2]).await;
        let tablet = harness.world(|world| world.tablet_endpoints()[0].to_string());
        let undertakings = [
            &["scale", "out"][..],
            &["scale", "in", &tablet],
            &["scale", "repair"],
            &["tablet", "replace", &tablet],
            &["upgrade", "pre", &tablet],
        ];
        for command in undertakings {
            let dry = [command, &["--dry-run", "--record-dir", &records], &there].concat();
            ends_with(&dry, &[0, 4, 5]).await;
        }
        for command in ["tablets", "tables", "ops"] {
            ends_with(&[&["show", command][..], &there].concat(), &[0]).await;
        }
        ends_with(&[&["partition", "show", "shop.orders/0-3"][..], &there].concat(), &[0]).await;
        let taken = ends_with(&[&["snapshot", "-o", file][..], &there].concat(), &[0]).await;
        assert!(!planned.stdout.is_empty() && !status.stdout.is_empty(), "{scenario}");
        assert!(snapshot::read(file.as_ref()).is_ok(), "{scenario}: {taken:?}");
        let replanned = ends_with(&[&dry[..], &["--snapshot", file]].concat(), &[0, 4]).await;
        assert_eq!(replanned.status, planned.status, "{scenario}: the file says what the cluster says");
        std::fs::remove_file(file).unwrap();

        let arrived = harness.world(|world| (world.trace().reads(), world.trace().mutations()));
        assert!(arrived.0 > 0 && arrived.1 == 0, "{scenario}: {arrived:?}");
        assert!(!harness.records.path().exists(), "{scenario}: not even the directory is made");
    })
    .await;
}

/// Runs the program; it has to end with one of these exit codes.
async fn ends_with(args: &[&str], codes: &[i32]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_openmldb-ops"));
    command.args(args).stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output()).await.expect("a command that ends").unwrap();
    let ended = output.status.code().unwrap();
    assert!(codes.contains(&ended), "{args:?} ended with {ended}: {}", String::from_utf8_lossy(&output.stderr));
    output
}
