//! The heart: which leader, what is a proven prefix, what blocks, what comes next. Pure and synchronous: views in,
//! decisions out; no clock, no sockets, no randomness. The rules and their reasons are in docs/design/README.md, each
//! rule one function here.

mod advice;
mod base;
mod blocked;
mod connect;
mod decide;
mod decision;
mod discard;
mod early;
mod election;
mod empty;
mod facts;
mod follower;
mod forecast;
mod forgotten;
mod health;
mod loading;
mod loss;
mod memory;
mod named;
mod order;
mod outcome;
mod plan;
mod predict;
mod prior_run;
mod reach;
mod remote;
mod rows;
mod single;
mod stuck;
mod suspect;
mod term;
#[cfg(test)]
mod tests;
mod unseen;
mod veto;
mod view;

pub use base::{Base, awaits_aggregator, led_apart};
pub use blocked::{Blocked, Reason};
pub use decide::{Gates, decide};
pub use decision::{Ahead, ComparedBefore, Decision, Intent, Probe, Question, Wait, WaitFor};
pub use early::serves_early;
pub use election::{Choice, GivenUp, PromotionMethod, Rejected, choose};
pub use facts::{Facts, Numbers, ReplicaFacts};
pub use forecast::{Forecast, forecast};
pub use forgotten::may_be_forgotten;
pub use health::{Health, Problem, ProblemKind, health, replica_count};
pub use loss::{LOSSES, Loss, LossKind};
pub use memory::{Before, Load, Memory, Recovery, ReplicaMemory};
pub use order::{Next, Order, Place, Stage};
pub use outcome::Outcome;
pub use plan::{Counts, LeaderPlan, PartitionPlan, Plan, PlannedStep, ReplicaEvidence, in_order, plan};
pub use prior_run::{PersistedMemory, PriorRun, ProcessContinuity, healthy_since};
pub use remote::{Apart, Attach, Link, Reach, Remote, may_attach, remotes, remotes_of};
pub use rows::{Lack, Read, RowsSeen, seen_to_lack};
pub use single::{may_be_dropped, may_be_emptied, may_be_resent, may_be_taken_away, resend_went_wrong};
pub use stuck::{Stuck, stuck};
pub use suspect::{Suspicion, lacks_rows_of, suspicion};
pub use term::{LastTerm, elected_last, is_on_history, is_proven_prefix, last_term, settled_term};
pub use unseen::{Replaceable, WhyHeld, held_in};
pub use view::{Data, Loaded, ReplicaView, View};
