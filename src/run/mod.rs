//! A run: the loop that drives every partition, the lanes it sends through, the record it leaves, and auto_failover
//! switched off before and restored after, whatever happens in between.

mod aggregated;
mod apart;
mod arranging;
mod asking;
mod beside;
mod checking;
mod cluster_lock;
mod cluster_steps;
mod comparing;
mod diagnosis;
mod dispatch;
mod driver;
mod dying;
mod early_leader_note;
mod ending;
mod error;
mod event;
mod failover;
mod failover_restore;
mod hold;
mod host_lock;
mod index;
mod kept;
mod known_runs;
mod lane;
mod leaving;
mod lock;
mod looks;
#[cfg(test)]
mod made_up;
mod missing;
mod names;
mod old_terms;
mod outstanding;
mod panics;
mod partition_poll;
mod partition_task;
mod pause;
mod polling;
mod prepared;
mod process;
mod progress;
mod reconfiguration;
mod record;
mod recover;
mod remote;
mod report;
mod restarts;
mod resume_snapshots;
mod returned;
mod run_id;
mod saving;
mod scope;
mod service;
mod sizes;
mod stale;
mod status;
pub mod stopping;
mod turns;
mod verdict;
mod waits;
mod work_session;

pub use arranging::{Arranging, PartitionUnderWay};
pub use beside::AUTO_FAILOVER_IS_ON;
pub use checking::{Checking, Compares, unhealthy_in};
pub use cluster_lock::ClusterLock;
pub use cluster_steps::{ClusterSteps, PlannedClusterStep, cluster_steps};
pub use comparing::{ToCompare, compare_all};
pub use diagnosis::{Abandoned, Case, Diagnosis, Runs, diagnose, what_to_do};
pub use dispatch::outcome_of;
pub use driver::{Driven, Driver, Settings, Stop};
pub use error::RecoverError;
pub use event::{Event, Listener, Milestone};
pub use failover::{RESTORE_DEADLINE, StepError};
pub use failover_restore::{FailoverRestore, PendingRestore};
pub use hold::{HeldFor, held_at, held_replicas, why_held};
pub use host_lock::LockFile;
pub use kept::{
    Consent, Difference, KeptLeader, KeptPartition, KeptPlan, KeptStep, PlanFileError, PlanId, Refusal,
    parse as parse_plan, read as read_plan, save as save_plan, write as write_plan,
};
pub use known_runs::{BrokeOff, HowFar, known_runs, known_runs_again};
pub use lane::Widths;
pub use lock::{Holder, InMemoryLock, Lock, LockError, LockFuture, Note};
pub use looks::{Looked, NameserverSilence, Pauses, Said, Waiter, until};
pub use missing::{Awaiting, nobody_answers};
pub use names::{meant, names_a_table};
pub use old_terms::OldTerms;
pub use outstanding::OutstandingWork;
pub use pause::Pause;
pub use prepared::{Prepared, prepare_plan};
pub use process::{Liveness, ProcessIdentity};
pub use progress::{Expected, Progress, Queue, WaitedFor};
pub use reconfiguration::{Ended, NotDone, SessionHandle, SessionReport, SessionStart};
pub use record::{
    Archive, By, Caller, Calls, ClusterNames, Directory, FailoverSet, Kept, LeftAlone, LeftBefore, Line, Lost,
    MemoryArchive, Needed, Outline, Record, RecordError, RecordWriter, RecordedRun, RecordedRunError, Retold,
    RunHeader, RunState, UnfinishedWork, Unread, Work, leaves_the_same, left_by_runs, needed, note_exit,
};
pub use recover::{Recovered, Recovery};
pub use report::{
    AcceptedEntry, AutoFailoverSeen, Beside, BlockedEntry, GivenUpEntry, PartitionCounts, ReplicaCounts, RowsCompared,
    Rpc, Summary, Verdict,
};
pub use run_id::RunId;
pub use saving::{METADATA, WIPES_METADATA};
pub use scope::{Scope, ScopeError, Selector, some_of};
pub use service::{Lacking, Service};
pub use sizes::{Room, Size, Sizes};
pub use status::{
    PartitionState, PartitionStatus, RemoteStatus, ReplicaProblem, ReplicaState, ReplicaStatus, Status, StatusCounts,
    TabletProblem, TabletStatus, summary_of_status,
};
pub use verdict::summary_of_plan;
pub use waits::{Awaited, Named};
pub use work_session::WorkSession;
