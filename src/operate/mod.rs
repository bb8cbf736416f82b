//! The handbook's single steps, one at a time: mark a replica, load it, recover it, change a leader, cancel an operation.
//!
//! A [`Step`] is what somebody asks for; `steps` has one file a family, which says all there is to know of it. [`plan`] looks at a
//! snapshot and says what to send for it and which [`Effect`] that is to have, or why OpenMLDB would refuse it, or why it could lose
//! rows: before anything is sent. [`Single::perform`] sends it and waits until the effect is seen; an answer of 0 is none
//! (docs/openmldb/operations.md#an-answer-of-0-is-not-an-effect).
//!
//! An [`Undertaking`] takes many of them: [`arrange`] says how each partition is to be, [`Job`] takes it there.

mod arrange;
mod call;
mod dismissal;
mod effect;
mod goal;
mod handover;
mod job;
mod known;
mod longer;
mod partition_context;
mod partition_mut;
mod perform;
mod plan;
mod put_back;
mod reconciler;
mod refusal;
mod replaced;
mod state_dir;
mod steps;
#[cfg(test)]
mod tests;
mod undertaking;
mod wipe;

pub use arrange::{Closed, DryRun, Led, UpgradeNote, arrange, dry_run};
pub use dismissal::{DismissError, Dismissed, dismiss};
pub use effect::{Ask, Effect, EffectStatus, Vain};
pub use goal::{Arrangement, Goal, Replaces};
pub use job::{Job, JobError, JobPlan, JobReport};
pub use partition_context::{Gift, Given, Planned};
pub use perform::{OperateError, Outcome, Performed, Single};
pub use plan::plan;
pub use put_back::{PutBack, PutBackError, lacking};
pub use reconciler::{StepEvent, StepListener, StepOutcome};
pub use refusal::{Fault, Refusal};
pub use replaced::{Lost, losses_id};
pub use state_dir::{StateDir, StateDirError, Unfinished};
pub use steps::Step;
pub use undertaking::Undertaking;
pub use wipe::{Wipe, WipeError, Wiped, unused, wiped_id};
