//! A running sandbox: the world on its clock, a loopback port per server, and perhaps a real ZooKeeper that says so.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::edge::Ports;
use super::fault::Fault;
use super::registration::{Registration, RegistrationError, ZooKeeperPath};
use super::scenario::{Scenario, Shape};
use super::{Live, TimeScale, World};
use openmldb_model::Endpoint;

/// How often the real ZooKeeper is brought up to date. The world's ZooKeeper is immediate; a real one has latency too.
const PUBLISH_EVERY: Duration = Duration::from_millis(20);

/// What sandbox to start.
#[derive(Debug, Clone)]
pub struct Options {
    /// The cluster's size and seed.
    pub shape: Shape,
    /// Nameservers: one leads, the others stand by.
    pub nameservers: usize,
    /// How much faster than ours the world's time runs.
    pub time_scale: TimeScale,
    /// A standalone OpenMLDB instead of a cluster: one tablet, one replica of everything, no ZooKeeper.
    pub standalone: bool,
    /// The name of a cluster that follows it: one tablet, which leads every partition there.
    pub followed_by: Option<String>,
    /// The cluster that it follows.
    pub follows: Option<String>,
    /// A real ZooKeeper to register in.
    pub zookeeper: Option<ZooKeeperPath>,
    /// What goes wrong in it, from the moment it serves.
    pub faults: Vec<Fault>,
    /// Whether its clock is held from the beginning, until [`Live::release`].
    pub held: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            shape: Shape::default(),
            nameservers: 1,
            time_scale: TimeScale::default(),
            standalone: false,
            followed_by: None,
            follows: None,
            zookeeper: None,
            faults: Vec::new(),
            held: false,
        }
    }
}

/// Why a sandbox could not be started.
#[derive(Debug, Error)]
pub enum SandboxError {
    /// No port to listen on.
    #[error("the sandbox needs a loopback port for every server: {0}")]
    Port(#[from] io::Error),
    /// The real ZooKeeper.
    #[error(transparent)]
    Registration(#[from] RegistrationError),
    /// The scenario cannot be brought about in this shape.
    #[error(transparent)]
    Scenario(#[from] super::scenario::ScenarioError),
    /// The scenario's history panicked.
    #[error("the scenario's history could not be run: {0}")]
    History(#[from] tokio::task::JoinError),
}

/// A sandbox that serves. [`Sandbox::stop`] leaves nothing behind.
#[derive(Debug)]
pub struct Sandbox {
    live: Arc<Live>,
    nameservers: Vec<(Endpoint, SocketAddr)>,
    tablets: Vec<(Endpoint, SocketAddr)>,
    stop: watch::Sender<bool>,
    serving: JoinHandle<()>,
    publishing: Option<JoinHandle<Result<(), RegistrationError>>>,
}

impl Sandbox {
    /// Brings the scenario about in virtual time, then opens the ports and lets the clock run.
    ///
    /// # Errors
    /// No free port; a scenario that this shape cannot have; a real ZooKeeper that refuses or is not reached.
    pub async fn start(scenario: Scenario, options: &Options) -> Result<Self, SandboxError> {
        let (scenario, shape) = match options.standalone {
            true => (Scenario::Healthy, options.shape.standalone()),
            false => (scenario, options.shape),
        };
        let (mut ports, addresses) = Ports::reserve(options.nameservers.max(1), shape.tablets + scenario.joining())?;
        let mut world = tokio::task::spawn_blocking(move || scenario.bring_about(&shape, &addresses)).await??;
        if options.standalone {
            world.stand_alone();
        }
        if let Some(alias) = &options.followed_by {
            world.be_followed(alias, &ports.another_tablet()?);
        }
        if let Some(leader) = &options.follows {
            world.follow(leader, "sandbox");
        }
        world.set_faults(options.faults.clone(), shape.seed);
        ports.name(&world);
        let registration = match &options.zookeeper {
            Some(at) => Some(Registration::connect(at).await?),
            None => None,
        };
        let live = Arc::new(Live::new(world, options.time_scale));
        if options.held {
            live.hold();
        }
        let (nameservers, mut tablets) = (ports.nameservers(), ports.tablets());
        live.look(|world| tablets.retain(|(endpoint, _)| world.tablet_endpoints().contains(endpoint)));
        ports.follow(&live).await?;
        let (stop, stopped) = watch::channel(false);
        let mut sandbox = Self {
            nameservers,
            tablets,
            publishing: None,
            serving: tokio::spawn(serve(ports, live.clone(), stopped.clone())),
            live,
            stop,
        };
        if let Some(mut registration) = registration {
            registration.publish(&sandbox.live.look(|world| world.zookeeper_tree())).await?;
            sandbox.live.with(World::read_metadata_back);
            sandbox.publishing = Some(tokio::spawn(publish(registration, sandbox.live.clone(), stopped)));
        }
        Ok(sandbox)
    }

    /// The world, for looking at it and for making things happen to it.
    pub fn live(&self) -> &Arc<Live> {
        &self.live
    }

    /// Where the leading nameserver listens; the first one's address while none leads.
    pub fn nameserver_address(&self) -> Option<SocketAddr> {
        let leader = self.live.look(|world| world.leader());
        self.nameservers
            .iter()
            .find(|(endpoint, _)| Some(endpoint) == leader.as_ref())
            .or(self.nameservers.first())
            .map(|(_, address)| *address)
    }

    /// Every nameserver: what metadata calls it, and where it listens.
    pub fn nameservers(&self) -> &[(Endpoint, SocketAddr)] {
        &self.nameservers
    }

    /// Every tablet: what metadata calls it, and where it listens.
    pub fn tablets(&self) -> &[(Endpoint, SocketAddr)] {
        &self.tablets
    }

    /// Closes every port and connection and removes every node from ZooKeeper.
    ///
    /// # Errors
    /// ZooKeeper could not be cleaned; its ephemeral nodes then go with the session.
    pub async fn stop(self) -> Result<(), SandboxError> {
        self.stop.send_replace(true);
        self.serving.await?;
        if let Some(publishing) = self.publishing {
            publishing.await??;
        }
        Ok(())
    }
}

/// Moves the world along and keeps the ports as the world has the servers: until told to stop.
async fn serve(mut ports: Ports, live: Arc<Live>, mut stopped: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            () = told(&mut stopped) => break,
            () = live.next_change() => {
                if let Err(error) = ports.follow(&live).await {
                    tracing::warn!(%error, "a sandbox server keeps its port closed");
                }
            }
        }
    }
    ports.release().await;
}

async fn publish(
    mut registration: Registration,
    live: Arc<Live>,
    mut stopped: watch::Receiver<bool>,
) -> Result<(), RegistrationError> {
    let mut pause = PUBLISH_EVERY;
    loop {
        tokio::select! {
            () = told(&mut stopped) => return registration.remove().await,
            () = tokio::time::sleep(pause) => {
                pause = match keep_true(&mut registration, &live).await {
                    // The tree of a big cluster takes long to write out; nine tenths of the time are for other work.
                    Ok(written_for) => PUBLISH_EVERY.max(written_for * 9),
                    // How long a ZooKeeper that does not answer was waited for is no work.
                    Err(error) => {
                        tracing::warn!(%error, "the sandbox's nodes are not up to date");
                        PUBLISH_EVERY
                    }
                };
            }
        }
    }
}

/// Brings ZooKeeper up to date; and a nameserver that has become leader, which begins with what is there. How long it took,
/// without waiting for a session.
async fn keep_true(registration: &mut Registration, live: &Live) -> Result<Duration, RegistrationError> {
    registration.have_session().await?;
    let began = Instant::now();
    // Who waits is in the queue for the lead by then, for everybody to see.
    let (tree, waits) = live.look(|world| (world.zookeeper_tree(), world.waits_for_metadata()));
    registration.publish(&tree).await?;
    if waits {
        let there = registration.read_back().await?;
        let tree = live.with(|world| {
            world.metadata_read(&there);
            world.zookeeper_tree()
        });
        registration.takes(there, &tree);
    }
    Ok(began.elapsed())
}

/// Returns once the sandbox is to stop, or nobody is left to say so.
async fn told(stopped: &mut watch::Receiver<bool>) {
    let _told = stopped.wait_for(|stop| *stop).await.is_ok();
}
