//! openmldb-ops brings an OpenMLDB cluster back after everything went down at once, without losing a row.
//!
//! ```text
//!  ZooKeeper ──discover──> nameserver leader, tablets                                    cluster
//!                              │
//!                           observe      concurrent, bounded; no answer is a value       snapshot
//!                              │
//!                          Snapshot      plain data: saved, fed back in                  model
//!                              │
//!    playbook ──────────>   decide       pure: one partition's view -> what next         recovery
//!                              │  ▲
//!                dry-run:  predict       pure: the view if that works; to the end: the Plan
//!                              │  │
//!                for real:    act        one RPC, then observe again                     run
//!                              │
//!                           verify       look again; the exit code comes from what is seen
//! ```
//!
//! What would be done to a cluster after everything was restarted:
//!
//! ```
//! use std::sync::Arc;
//!
//! use openmldb_ops::cluster::{Cluster, Options};
//! use openmldb_ops::playbook::{DEFAULT, Playbook};
//! use openmldb_ops::run::{Scope, UnfinishedWork, prepare_plan};
//! use openmldb_ops::sandbox::scenario::{Scenario, Shape};
//! use openmldb_ops::sandbox::{Addresses, InProcess, Live, TimeScale};
//! use openmldb_ops::snapshot;
//!
//! let world = Scenario::EverythingRestarted.bring_about(&Shape::default(), &Addresses::recorded(1, 3))?;
//! let servers = InProcess::new(Arc::new(Live::new(world, TimeScale::default())));
//! let cluster = Cluster::new(Arc::new(servers), Options::default());
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
//! let seen = runtime.block_on(snapshot::collect(&cluster, "practice", 0))?;
//!
//! let plan = prepare_plan(seen, &Playbook::find(DEFAULT)?, &Scope::All, UnfinishedWork::default(), None)?.plan;
//! assert_eq!((plan.counts.healthy, plan.counts.blocked), (0, 0));
//! assert_eq!(plan.counts.loads, plan.counts.replicas);
//! assert_eq!(cluster.rpc_counts().mutations, 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! One of the handbook's steps by itself goes the same way: [`operate`] plans it on a snapshot, sends it, and looks for its effect.
//!
//! [`model`], [`playbook`], [`recovery`] and [`verify`] are pure and synchronous. Only [`cluster`] and [`sandbox`] open sockets. The
//! rules that keep rows from being lost are in [`recovery`], one function each; ARCHITECTURE.md lists the invariants.

pub mod cli;
pub mod files;
pub mod guard;
pub mod metadata;
pub mod operate;
#[cfg(feature = "sandbox")]
pub mod rehearse;
pub mod rows;
pub mod run;
pub mod snapshot;
pub mod ui;

pub use openmldb_client as cluster;
pub use openmldb_model as model;
pub use openmldb_planner::{playbook, recovery, verify};
#[cfg(feature = "sandbox")]
pub use openmldb_simulator as sandbox;
pub use openmldb_wire as wire;
