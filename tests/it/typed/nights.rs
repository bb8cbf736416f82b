//! The nights of the runbook: a simulated cluster, a real ZooKeeper, and somebody who types what is written.

use openmldb_ops::cluster::ZooKeeper;
use openmldb_ops::sandbox::scenario::Scenario;
use openmldb_ops::sandbox::{Options, ZooKeeperPath};

use super::document::{Section, Typed};
use super::{is_not_run, typed_in};
use crate::support::harness::Harness;
use crate::support::process::Home;
use crate::support::zookeeper::{ZooKeeperServer, needs_zookeeper};

/// How documents name ZooKeeper and its root path.
const NAMED: [&str; 2] = ["zk1:2181,zk2:2181,zk3:2181", "zk:2181"];
const ROOT: &str = "/openmldb";

/// A cluster, and where it is typed.
pub struct Night {
    server: ZooKeeperServer,
    pub harness: Harness,
    home: Home,
    /// The id of the last plan that was shown.
    plan: Option<String>,
    /// Whether ZooKeeper has lost everything by now.
    is_lost: bool,
}

impl Night {
    pub async fn of(scenario: Scenario) -> Self {
        let server = ZooKeeperServer::start().await;
        let at = ZooKeeperPath { servers: server.address(), root: ROOT.to_owned(), digest: None };
        let harness = Harness::start_with(scenario, &Options { zookeeper: Some(at), ..Options::default() }).await;
        let home = Home::new().with("OPENMLDB_ZK_CLUSTER", &server.address()).with("OPENMLDB_ZK_ROOT_PATH", ROOT);
        Self { server, harness, home, plan: None, is_lost: false }
    }

    /// Types all that stands in a section.
    pub async fn types(&mut self, section: &Section) {
        for typed in &section.commands {
            self.type_one(&section.heading, typed).await;
        }
    }

    async fn type_one(&mut self, heading: &str, typed: &Typed) {
        let words: Vec<&str> = typed.words.split_whitespace().collect();
        match words.as_slice() {
            ["systemctl", what, units @ ..] => self.operator(what, units).await,
            // It is in the environment already, with this ZooKeeper in the place of that one.
            ["export", variables @ ..] => {
                let expected = [format!("OPENMLDB_ZK_CLUSTER={}", NAMED[0]), format!("OPENMLDB_ZK_ROOT_PATH={ROOT}")];
                assert_eq!(variables, expected, "{heading}");
            }
            ["openmldb-ops", words @ ..] => {
                // Between stopping everything and putting it back.
                if words.starts_with(&["metadata", "restore"]) && !self.is_lost {
                    self.is_lost = true;
                    self.server.lose_everything().await;
                }
                let words: Vec<String> = words.iter().map(|word| self.meant(word)).collect();
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                let ran = self.home.run(&words);
                assert_eq!(ran.code(), typed.exit, "{heading}: {}\n{}\n{}", typed.words, ran.stdout, ran.stderr);
                let plan = ran.stdout.lines().find_map(|line| line.strip_prefix("Plan id: "));
                self.plan = plan.map(str::to_owned).or(self.plan.take());
            }
            _ => assert!(is_not_run(&typed.words), "{heading}: not known how to run: {}", typed.words),
        }
    }

    /// A word as it is meant on this cluster.
    fn meant(&self, word: &str) -> String {
        let tablet = word.strip_prefix("10.0.0.").and_then(|rest| rest.strip_suffix(":10921")?.parse::<usize>().ok());
        match (tablet, word) {
            (Some(number), _) => self.harness.tablets()[number - 1].to_string(),
            (_, "PLAN_ID") => self.plan.clone().expect("a plan before it is accepted"),
            (_, word) if NAMED.contains(&word) => self.server.address(),
            _ => word.to_owned(),
        }
    }

    /// What is done on every host, or on the one that is meant.
    async fn operator(&mut self, what: &str, units: &[&str]) {
        let (tablets, nameservers) = (units.contains(&"openmldb-tablet"), units.contains(&"openmldb-nameserver"));
        assert!(tablets || nameservers, "{units:?}");
        let servers: Vec<_> =
            self.harness.sandbox().nameservers().iter().map(|(endpoint, _)| endpoint.clone()).collect();
        self.harness.world(|world| match what {
            "stop" => {
                let killed = world.tablet_endpoints().to_vec();
                killed.iter().filter(|_| tablets).for_each(|tablet| world.kill_tablet(tablet));
                servers.iter().filter(|_| nameservers).for_each(|server| world.kill_nameserver(server));
            }
            "start" => {
                let started = world.tablet_endpoints().to_vec();
                if tablets {
                    world.start_tablets(&started);
                }
                servers.iter().filter(|_| nameservers).for_each(|server| world.start_nameserver(server));
            }
            other => panic!("systemctl {other}"),
        });
        match what {
            "start" => self.harness.until("a nameserver leads", |world| world.leader().is_some()).await,
            _ if tablets => self.no_server_is_registered().await,
            _ => {}
        }
    }

    /// Waits until ZooKeeper has noticed that every server is gone.
    async fn no_server_is_registered(&self) {
        loop {
            let zookeeper = ZooKeeper::connect(self.server.address(), ROOT.to_owned(), None).await.unwrap();
            if zookeeper.metadata().await.unwrap().of_sessions.is_empty() {
                return;
            }
        }
    }

    /// Everything goes down, and all but the third machine come back.
    async fn all_but_one_come_back(&self) {
        let servers: Vec<_> =
            self.harness.sandbox().nameservers().iter().map(|(endpoint, _)| endpoint.clone()).collect();
        let tablets = self.harness.tablets();
        self.harness.world(|world| world.kill_everything());
        self.no_server_is_registered().await;
        self.harness.world(|world| {
            world.start_tablets(&tablets[..2]);
            servers.iter().for_each(|server| world.start_nameserver(server));
        });
        self.harness.until("a nameserver leads", |world| world.leader().is_some()).await;
    }

    /// Every row is there, on every replica.
    pub async fn ends_with_every_row(self) {
        let rows = self.harness.settle();
        assert_eq!((rows.rows_after, rows.partitions_with_two_alive_leaders), (rows.rows_expected, 0));
        self.harness.stop().await;
    }
}

fn section<'a>(sections: &'a [Section], heading: &str) -> &'a Section {
    let found = sections.iter().find(|section| section.heading == heading);
    found.unwrap_or_else(|| panic!("the runbook has no section `{heading}` in which something is typed"))
}

/// Each section is somebody's, here.
const SECTIONS: [&str; 8] = [
    "First",
    "The whole cluster restarted",
    "What can be brought back without it",
    "It comes back",
    "It is gone for good",
    "On every other day",
    "With a backup",
    "Without a backup",
];

#[test]
fn every_section_of_the_runbook_is_typed() {
    let headings: Vec<String> = typed_in("docs/runbook.md").into_iter().map(|section| section.heading).collect();
    assert_eq!(headings, SECTIONS);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_cluster_restarted() {
    needs_zookeeper!();
    let runbook = typed_in("docs/runbook.md");
    let mut night = Night::of(Scenario::EverythingRestarted).await;
    night.types(section(&runbook, "First")).await;
    night.types(section(&runbook, "The whole cluster restarted")).await;
    night.ends_with_every_row().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_machine_is_dead() {
    needs_zookeeper!();
    let runbook = typed_in("docs/runbook.md");
    let mut night = Night::of(Scenario::Healthy).await;
    night.all_but_one_come_back().await;
    night.types(section(&runbook, "What can be brought back without it")).await;
    night.types(section(&runbook, "It comes back")).await;
    // And once more, for good.
    night.all_but_one_come_back().await;
    night.types(section(&runbook, "What can be brought back without it")).await;
    night.types(section(&runbook, "It is gone for good")).await;
    let serving = night.home.run(&["status", "--output", "json"]).expect(3).summary();
    let (partitions, serve) = (serving["service"]["partitions"].as_u64(), serving["service"]["serving"].as_u64());
    // The only copy of one table is on that machine.
    assert_eq!(serve, partitions.map(|all| all - 1), "{serving}");
    night.harness.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn zookeeper_is_lost() {
    needs_zookeeper!();
    let runbook = typed_in("docs/runbook.md");
    let mut night = Night::of(Scenario::Healthy).await;
    night.types(section(&runbook, "On every other day")).await;
    night.types(section(&runbook, "With a backup")).await;
    night.ends_with_every_row().await;

    let mut night = Night::of(Scenario::Healthy).await;
    night.types(section(&runbook, "Without a backup")).await;
    night.ends_with_every_row().await;
}
