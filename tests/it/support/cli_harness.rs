//! A sandbox in a real ZooKeeper, and the program on it, found through that: as an operator works.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use openmldb_ops::cluster::Target;
use openmldb_ops::model::{Endpoint, LATELY_MS};
use openmldb_ops::sandbox::scenario::{Scenario, Shape};
use openmldb_ops::sandbox::{Options, ZooKeeperPath};

use super::harness::Harness;
use super::outside::{flags, leader, orders};
use super::process::{Home, Ran, Running, tidy, without_time};
use super::zookeeper::ZooKeeperServer;

/// A cluster, and the program on it.
pub struct CliHarness {
    pub harness: Harness,
    pub home: Home,
    server: Arc<ZooKeeperServer>,
    root: String,
    /// Every command that was run to its end, and what it said.
    said: Mutex<Vec<String>>,
}

impl CliHarness {
    pub async fn with(scenario: Scenario) -> Self {
        Self::shaped(scenario, Shape::default()).await
    }

    /// With a clock that is held from the beginning: what is under way stays under way.
    pub async fn held(scenario: Scenario) -> Self {
        Self::start(scenario, Options { held: true, ..Options::default() }).await
    }

    pub async fn shaped(scenario: Scenario, shape: Shape) -> Self {
        Self::start(scenario, Options { shape, ..Options::default() }).await
    }

    /// As these say.
    pub async fn made(scenario: Scenario, options: Options) -> Self {
        Self::start(scenario, options).await
    }

    async fn start(scenario: Scenario, options: Options) -> Self {
        static SAT: AtomicU32 = AtomicU32::new(0);
        let server = ZooKeeperServer::shared().await;
        let root = format!("/desk-{}", SAT.fetch_add(1, Ordering::Relaxed));
        let at = ZooKeeperPath { servers: server.address(), root: root.clone(), digest: None };
        let harness = Harness::start_with(scenario, &Options { zookeeper: Some(at), ..options }).await;
        Self { harness, home: Home::new(), server, root, said: Mutex::default() }
    }

    /// A minute passes on the cluster's clock: tablets that have just come up are told to make no snapshot.
    pub async fn for_a_minute(&self) {
        let began = self.harness.world(|world| world.now());
        self.harness.until("a minute is over", |world| world.now() > began + LATELY_MS).await;
    }

    fn words<'a>(&'a self, command: &'a str, servers: &'a str) -> Vec<&'a str> {
        command.split(' ').chain(["--zk-cluster", servers, "--zk-root-path", &self.root]).collect()
    }

    /// Where the cluster is found.
    pub fn target(&self) -> Target {
        Target::ZooKeeper { servers: self.server.address(), root: self.root.clone(), credentials: None }
    }

    /// A node's data in ZooKeeper, by its path below the cluster's root; none if there is no such node.
    pub async fn node(&self, path: &str) -> Option<String> {
        let client = self.server.client().await;
        let (data, _) = client.get_data(&format!("{}/{path}", self.root)).await.ok()?;
        Some(String::from_utf8(data).unwrap())
    }

    /// Starts a command, and leaves it running.
    pub fn begins(&self, command: &str) -> Running {
        self.home.start(&self.words(command, &self.server.address()))
    }

    /// Runs a command to its end. The commands that it names have the options that are added here; they are left out of what it says.
    fn runs(&self, command: &str) -> Ran {
        let mut ran = self.home.run(&self.words(command, &self.server.address()));
        let added = format!(" --zk-cluster {} --zk-root-path {}", self.server.address(), self.root);
        for said in [&mut ran.stdout, &mut ran.stderr] {
            *said = said.replace(&added, "");
        }
        ran
    }

    /// Runs a command that has to end with an exit code, and gives what it said.
    pub fn says(&self, code: i32, command: &str) -> String {
        let ran = self.runs(command).expect(code);
        let mut lines: Vec<&str> = ran.stderr.lines().map(without_time).collect();
        if command.starts_with("scale ") || command.starts_with("upgrade ") {
            // Partitions are seen to two at a time.
            lines.sort_unstable();
        }
        let stderr: String = lines.into_iter().map(|line| format!("stderr: {line}\n")).collect();
        // What these say has tests of its own, and its order depends on the machine.
        let is_told = !command.starts_with("recover --all") && !command.starts_with("status");
        let said = if is_told { ran.stdout.clone() + &stderr } else { "...\n".to_owned() };
        self.said.lock().unwrap().push(format!("$ openmldb-ops {command}\n{said}exit {code}\n"));
        ran.stdout.clone() + &ran.stderr
    }

    /// What a command says, however it ends.
    pub fn tells(&self, command: &str) -> String {
        let ran = self.runs(command);
        ran.stdout + &ran.stderr
    }

    /// What `status` says, however it ends.
    pub fn status(&self) -> String {
        self.home.run(&self.words("status", &self.server.address())).stdout
    }

    /// All that was typed and said so far, in which the tablets are called by number.
    pub fn transcript(&self) -> String {
        let said = self.said.lock().unwrap().join("\n").replace(&self.home.file(""), "~/");
        let tablets = self.harness.world(|world| world.tablet_endpoints().to_vec());
        let named = |text: String, (number, at): (u32, Endpoint)| text.replace(at.as_str(), &format!("tablet{number}"));
        without_file_names(&tidy(&(1..).zip(tablets).fold(said, named)))
    }

    /// A command that OpenMLDB would refuse, or that could lose rows: nothing that changes anything is sent.
    pub fn refuses(&self, command: &str, why: &str) {
        self.sends_nothing(command, 5, why);
    }

    /// A command that names something that there is not.
    pub fn is_mistyped(&self, command: &str, why: &str) {
        self.sends_nothing(command, 2, why);
    }

    fn sends_nothing(&self, command: &str, code: i32, why: &str) {
        let sent = self.harness.world(|world| world.trace().mutations());
        for command in [command.to_owned(), format!("{command} --dry-run")] {
            let said = self.says(code, &command);
            assert!(said.contains("nothing was sent") && said.contains(why), "{command}: {said}");
            assert!(said.contains("hint: "), "{command}: {said}");
        }
        assert_eq!(
            self.harness.world(|world| world.trace().mutations()),
            sent,
            "{command} was refused and sent something"
        );
    }

    /// The leader of `shop.orders/0`, and a follower.
    pub fn leader_and_follower(&self) -> (Endpoint, Endpoint) {
        self.harness.world(|world| {
            let id = orders(world, 0);
            let leading = leader(world, id);
            let follower = flags(world, id).into_iter().map(|flags| flags.endpoint).find(|at| *at != leading).unwrap();
            (leading, follower)
        })
    }

    pub async fn ends(self) {
        self.harness.stop().await;
    }
}

/// What `upgrade pre` writes down is in a file that is called after addresses.
fn without_file_names(text: &str) -> String {
    let mut parts = text.split("/upgrade-");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |told, part| {
        let rest = part.split_once(".json").map_or(part, |(_, rest)| rest);
        told + "/upgrade-0.json" + rest
    })
}
