//! A run: the loop that drives every partition, the lanes it sends through, the record it leaves, and auto_failover
//! switched off before and given back after, whatever happens in between.

mod case;
mod driver;
mod event;
mod failover;
mod lane;
mod looks;
mod record;
mod recover;
mod report;
mod scope;

pub use driver::{Driven, Driver, Settings, Stop};
pub use event::{Event, Listener, Milestone};
pub use failover::{RESTORE_DEADLINE, StepError};
pub use lane::Widths;
pub use looks::POLL_MAX;
pub use record::{Earlier, Record, RecordError, unfinished};
pub use recover::{Prepared, RecoverError, Recovered, Recovery, prepare_plan, summary_of_plan};
pub use report::{AutoFailoverSeen, BlockedEntry, GivenUpEntry, PartitionCounts, ReplicaCounts, Rpc, Summary, Verdict};
pub use scope::{Scope, ScopeError, Selector};
