//! Where replicas are to be, and who is to lead: scaling out and in, and a tablet's upgrade.
//!
//! An [`Undertaking`] is what somebody asks for. [`arrange`] makes an [`Arrangement`] of it: a [`Goal`] for each partition
//! concerned, from one look, the same for the same look. [`next`] says what a partition needs next on its way to its goal, from
//! whatever state it is in, so that a run after a crash goes on; [`dry_run`] follows it in thought, for a dry run.

mod aggregates;
mod balance;
mod closed;
#[cfg(test)]
mod closed_tests;
mod dry_run;
mod next;
#[cfg(test)]
mod placing_tests;
mod repair;
mod replace;
mod replica_counts;
mod scale_in;
#[cfg(test)]
mod tests;
mod upgrade;

pub use closed::Closed;
pub use dry_run::{DryRun, dry_run};
pub use next::{Next, next};
pub use upgrade::{Led, UpgradeNote};

use crate::model::Snapshot;
use crate::run::Sizes;

use super::goal::Arrangement;
use super::partition_context::Refusal;
use super::undertaking::Undertaking;

/// The goals of an undertaking. `noted` is what an earlier `upgrade pre` wrote down; `closed` are the tablets that are being emptied or
/// upgraded, which are given nothing; `sizes` is what replicas take.
///
/// # Errors
/// What is in the way of the whole of it.
pub fn arrange(
    undertaking: &Undertaking,
    seen: &Snapshot,
    noted: Option<&UpgradeNote>,
    closed: &Closed,
    sizes: &Sizes,
) -> Result<Arrangement, Refusal> {
    match undertaking {
        Undertaking::ScaleOut { leaders } => balance::scale_out(seen, *leaders, closed, sizes),
        Undertaking::ScaleIn { endpoints } => scale_in::scale_in(seen, endpoints, closed, sizes),
        Undertaking::Repair => Ok(repair::repair(seen, closed, sizes)),
        Undertaking::Replace { endpoint, with, .. } => replace::replace(seen, endpoint, with.as_ref(), closed, sizes),
        Undertaking::Handover { table, pids, to } => {
            closed.refuse(to)?;
            let mut arrangement = Arrangement::default();
            for pid in pids {
                let of_one = aggregates::handover(seen, table, *pid, to)?;
                arrangement.goals.extend(of_one.goals);
                arrangement.remarks.extend(of_one.remarks);
            }
            Ok(arrangement)
        }
        Undertaking::LeadBeside { partitions } => Ok(aggregates::beside(seen, partitions, closed)),
        Undertaking::UpgradePre { endpoint, allow_unavailable } => {
            closed.refuse_second_upgrade(endpoint)?;
            upgrade::pre(seen, endpoint, *allow_unavailable, closed, sizes)
        }
        Undertaking::UpgradePost { endpoint, gone: true } => upgrade::gone(seen, endpoint, noted),
        Undertaking::UpgradePost { endpoint, gone: false } => upgrade::post(seen, endpoint, noted),
    }
}
