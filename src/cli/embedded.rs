//! `--sandbox`: an embedded cluster that lives as long as the command that works on it. Every doc comment on an argument is help text.

use std::num::NonZeroU32;

use anyhow::anyhow;

use crate::cluster::{Cluster, Credentials, Options, Target, Transport};
use crate::run::meant;
use crate::sandbox::scenario::{Generated, Scenario, ScenarioError, Shape as Sizes};
use crate::sandbox::{self, Sandbox, SandboxError, TimeScale};

use super::args::Embedded;
use super::args::embedded::Shape;
use super::connection_args::{Carries, ConnectionArgs};
use super::failure::Failure;
use super::opened::Opened;

/// An embedded cluster that runs.
pub struct Running {
    /// The condition it was started in.
    pub scenario: Scenario,
    /// Its servers.
    pub sandbox: Sandbox,
}

impl Running {
    /// Stops it.
    ///
    /// # Errors
    /// It could not be stopped cleanly.
    pub async fn stop(self) -> Result<(), Failure> {
        Ok(self.sandbox.stop().await?)
    }
}

impl Embedded {
    /// Starts it, if it was asked for.
    ///
    /// # Errors
    /// It cannot be started as asked.
    pub async fn open(&self, options: &Options, carries: &Carries) -> Result<Option<(Opened, Running)>, Failure> {
        let Some(name) = &self.sandbox else {
            return match self.made.faults.faults.is_empty() {
                true => Ok(None),
                false => Err(Failure::usage(anyhow!(
                    "--fault is for --sandbox: nothing is broken on purpose in a real cluster"
                ))),
            };
        };
        let scenario = scenario(name)?;
        let _ = carries.set(ConnectionArgs::to_a_sandbox(self.words(scenario)));
        let time_scale = time_scale(self.made.time_scale)?;
        let (shape, faults) = (shape(&self.made.shape)?, self.made.faults.faults.clone());
        let sandbox_options = sandbox::Options { shape, time_scale, faults, ..sandbox::Options::default() };
        let sandbox = Sandbox::start(scenario, &sandbox_options).await?;
        let address =
            sandbox.nameserver_address().ok_or_else(|| Failure::error(anyhow!("the sandbox has no nameserver")))?;
        let target = Target::Nameserver(address.to_string());
        let transport = Transport::default();
        let cluster = Cluster::connect(target.clone(), &Credentials::Service, transport, options.clone()).await?;
        let pace = f64::from(time_scale.0.get());
        let (name, reach) = (format!("sandbox {}", scenario.name()), format!(" --nameserver {address}"));
        let running = Running { scenario, sandbox };
        Ok(Some((Opened { cluster, name, reach, pace, target }, running)))
    }

    /// What starts one like it.
    fn words(&self, scenario: Scenario) -> String {
        let shape = &self.made.shape;
        let mut words = format!("--sandbox {}", scenario.name());
        let sizes = [
            ("--tablets", shape.tablets.map(u64::from)),
            ("--tables", shape.tables.map(u64::from)),
            ("--partitions", shape.partitions.map(u64::from)),
            ("--replicas", shape.replicas.map(u64::from)),
            ("--rows-per-partition", shape.rows_per_partition),
            ("--seed", Some(shape.seed).filter(|seed| *seed != 1)),
        ];
        for (option, size) in sizes {
            words += &size.map_or(String::new(), |size| format!(" {option} {size}"));
        }
        words
    }
}

/// A scenario by its name.
pub fn scenario(name: &str) -> Result<Scenario, Failure> {
    name.parse().map_err(|error: ScenarioError| {
        let failure = Failure::usage(error);
        match meant(name, Scenario::ALL.iter().map(|scenario| scenario.name())) {
            Some(meant) => failure.hint(format!("did you mean {meant}?")),
            None => failure,
        }
    })
}

/// A whole number of times, 1 or more.
pub fn time_scale(times: f64) -> Result<TimeScale, Failure> {
    let whole = times.fract() == 0.0 && (1.0..=10_000.0).contains(&times);
    let times = if whole { NonZeroU32::new(times as u32) } else { None };
    times.map(TimeScale).ok_or_else(|| Failure::usage(anyhow!("--time-scale must be a whole number from 1 to 10000")))
}

/// The sandbox's size: the recordings' cluster, unless tables are asked for.
pub fn shape(args: &Shape) -> Result<Sizes, Failure> {
    let mut shape = Sizes { seed: args.seed, ..Sizes::default() };
    if let Some(tablets) = args.tablets {
        shape.tablets = bounded("--tablets", tablets.into(), 1000)?;
    }
    let given =
        [args.tables.is_some(), args.partitions.is_some(), args.replicas.is_some(), args.rows_per_partition.is_some()];
    if given.contains(&true) {
        let defaults = Generated::default();
        let or = |value: Option<u32>, default: usize| value.map_or(default as u64, u64::from);
        shape.generated = Some(Generated {
            tables: bounded("--tables", or(args.tables, defaults.tables), 10_000)?,
            partitions: bounded("--partitions", or(args.partitions, defaults.partitions), 10_000)?,
            replicas: bounded("--replicas", or(args.replicas, defaults.replicas), 16)?,
            rows: args.rows_per_partition.unwrap_or(defaults.rows),
        });
    }
    Ok(shape)
}

fn bounded(flag: &str, value: u64, most: u64) -> Result<usize, Failure> {
    let fits = usize::try_from(value).ok().filter(|_| (1..=most).contains(&value));
    fits.ok_or_else(|| Failure::usage(anyhow!("{flag} must be from 1 to {most}")))
}

/// Whether an error is about an embedded cluster.
pub fn is_of_a_sandbox(error: &anyhow::Error) -> bool {
    error.is::<SandboxError>()
}

impl From<SandboxError> for Failure {
    fn from(error: SandboxError) -> Self {
        match error {
            SandboxError::Scenario(_) => Self::usage(error),
            other => Self::error(other),
        }
    }
}
