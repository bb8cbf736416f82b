//! `sandbox list` and `sandbox serve`, and what every command on a sandbox says about it.

use std::collections::BTreeMap;
use std::io;

use anyhow::anyhow;

use crate::run::Stop;
use crate::sandbox::NOT_MODELLED;
use crate::sandbox::fault::vocabulary;
use crate::sandbox::practice::{Listening, Order};
use crate::sandbox::scenario::Scenario;
use crate::sandbox::{self, Sandbox, ZooKeeperPath};

use super::args::practice::{SandboxCommand, Serve};
use super::doors::{self, Posted};
use super::embedded::Running;
use super::failure::{Exit, Failure};
use super::out::Out;
use super::practice;
use super::sandbox_lines::{ReadyLine, SandboxLine, clock_text};
use super::session::{Session, scenario, shape, time_scale};
use super::signal::{Signals, Words};
use super::tour;

/// The line about the session's sandbox, if it has one. Ends its writers and lets replication come to rest first.
pub(super) fn rows_of(session: &Session) -> Option<SandboxLine> {
    let Running { scenario, sandbox } = session.sandbox.as_ref()?;
    let rows = sandbox.live().look(crate::sandbox::World::settle);
    Some(SandboxLine { scenario: scenario.name(), time_scale: session.pace, rows })
}

/// What the session's sandbox is, in a sentence; none for a real cluster.
pub(super) fn introduction(session: &Session) -> Option<String> {
    let scenario = session.sandbox.as_ref()?.scenario;
    let (name, about, pace) = (scenario.name(), scenario.description(), session.pace);
    Some(format!("sandbox {name}: {about} {}", clock_text("runs", pace)))
}

/// Runs the command.
///
/// # Errors
/// The sandbox cannot be started as asked.
pub async fn run(command: &SandboxCommand, out: &Out) -> Result<Exit, Failure> {
    match command {
        SandboxCommand::List { faults: true } => list_faults(out),
        SandboxCommand::List { faults: false } => {
            let width = Scenario::names().iter().map(|name| name.len()).max().unwrap_or(0);
            for scenario in Scenario::ALL {
                let (name, about) = (scenario.name(), scenario.description());
                let value = BTreeMap::from([("event", "scenario"), ("name", name), ("description", about)]);
                out.text_or(&format!("{name:width$}  {about}\n"), &value)?;
            }
            for (nth, what) in NOT_MODELLED.into_iter().enumerate() {
                let heading = if nth == 0 { "\nNot modelled:\n" } else { "" };
                let value = BTreeMap::from([("event", "not_modelled"), ("description", what)]);
                out.text_or(&format!("{heading}  {what}\n"), &value)?;
            }
            Ok(Exit::Healthy)
        }
        SandboxCommand::Serve(serve) => self::serve(serve, out).await,
        SandboxCommand::Kill(args) => practice::servers(args, Order::Kill { servers: args.servers.clone() }, out).await,
        SandboxCommand::Start(args) => {
            practice::servers(args, Order::Start { servers: args.servers.clone() }, out).await
        }
        SandboxCommand::Hang(args) => practice::servers(args, Order::Hang { servers: args.servers.clone() }, out).await,
        SandboxCommand::Write(args) => practice::write(args, out).await,
        SandboxCommand::Tour(args) => tour::run(args, out).await,
    }
}

/// How a fault is written, for people.
const FAULTS: &str = "\
A fault is WHEN[@WHERE][:WHICH]=WHAT, as in LoadTable:2=reset-after or 3s@tablet2=tablet-restarts-5s.
  WHEN   a call's name, `*` (any call), `mutation` (any that changes something), or a time since the sandbox began to serve
  WHERE  tabletN (counted from 1: calls to it, or that name it) or TABLE/PID (calls that name it)
  WHICH  N, the N-th such call (1 if left out); N+, from then on; `every`; or N%, by chance, from --seed
  WHAT   one of these; TIME is 300ms or 10s, on the sandbox's clock
";

fn list_faults(out: &Out) -> Result<Exit, Failure> {
    out.text_or(FAULTS, &BTreeMap::from([("event", "fault_form"), ("form", "WHEN[@WHERE][:WHICH]=WHAT")]))?;
    let width = vocabulary().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, about) in vocabulary() {
        let value = BTreeMap::from([("event", "fault"), ("name", name.as_str()), ("description", about)]);
        out.text_or(&format!("    {name:width$}  {about}\n"), &value)?;
    }
    Ok(Exit::Healthy)
}

/// What it says when it is stopped.
const WORDS: Words = Words {
    idle: "nothing was changed",
    first: "stopping the sandbox",
    second: "Its registration in ZooKeeper may stay for a while",
    goes_on: false,
};

async fn serve(args: &Serve, out: &Out) -> Result<Exit, Failure> {
    let scenario = scenario(&args.scenario)?;
    let zookeeper = args.zk_cluster.as_ref().map(|servers| ZooKeeperPath {
        servers: servers.clone(),
        root: args.zk_root_path.clone(),
        digest: None,
    });
    let time_scale = time_scale(args.made.time_scale)?;
    let options = sandbox::Options {
        shape: shape(&args.made.shape)?,
        nameservers: args.nameservers.clamp(1, 9),
        time_scale,
        standalone: args.standalone,
        followed_by: args.followed_by.clone(),
        follows: args.follows.clone(),
        zookeeper: zookeeper.clone(),
        faults: args.made.faults.faults.clone(),
        ..sandbox::Options::default()
    };
    let mut signals = Signals::listen(None, WORDS, out)?;
    let sandbox = Sandbox::start(scenario, &options).await?;
    let nameserver =
        sandbox.nameserver_address().ok_or_else(|| Failure::error(anyhow!("the sandbox has no nameserver")))?;
    let orders = open(&sandbox, nameserver.to_string(), out).await;
    let listed = |servers: &[(crate::model::Endpoint, std::net::SocketAddr)]| {
        servers.iter().map(|(_, address)| address.to_string()).collect()
    };
    out.ready(&ReadyLine {
        scenario: scenario.name(),
        nameserver: nameserver.to_string(),
        nameservers: listed(sandbox.nameservers()),
        tablets: listed(sandbox.tablets()),
        orders: orders.as_ref().map(|orders| orders.0.door().address.to_string()),
        zk_cluster: zookeeper.as_ref().map(|at| at.servers.clone()),
        zk_root_path: zookeeper.map(|at| at.root),
        time_scale: time_scale.0.get(),
    })?;
    // Being interrupted is how a sandbox ends.
    if signals.stop.wait_for(|stop| *stop != Stop::No).await.is_err() {
        out.say()("nobody listens to signals any more");
    }
    sandbox.stop().await?;
    Ok(Exit::Healthy)
}

/// The channel for orders, where others find it. A sandbox that nobody can give orders to is still one.
async fn open(sandbox: &Sandbox, nameserver: String, out: &Out) -> Option<(Listening, Posted)> {
    let opened = async {
        let listening = Listening::start(sandbox.live().clone(), nameserver).await?;
        let posted = doors::post(listening.door())?;
        Ok::<_, Failure>((listening, posted))
    };
    let opened = opened.await;
    opened.inspect_err(|error| out.say()(&format!("it takes no orders (`sandbox kill` and so on): {error}"))).ok()
}

/// The cluster, and the command with its timeouts, on one clock that no other process hurries.
///
/// # Errors
/// No thread can be started.
pub(super) fn on_its_clock<F: Future>(command: F) -> io::Result<F::Output> {
    sandbox::on_an_idle_clock(command)
}
