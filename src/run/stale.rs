//! What was asked of a tablet about one replica and is asked again: what may have changed since.

use crate::model::{Action, Directory, Endpoint, Probes, Seen, Server};
use crate::recovery::WaitFor;

use super::partition_task::PartitionTask;

/// Forgets answers that change by themselves while a case waits for them to.
pub(super) fn refresh(task: &PartitionTask, endpoint: &Endpoint, probes: Option<&mut Probes>) {
    let Some(probes) = probes else { return };
    match &task.waiting {
        Some(
            WaitFor::CatchUp(_)
            | WaitFor::Rows(_)
            | WaitFor::Stuck(_)
            | WaitFor::Ops
            | WaitFor::OthersOps
            | WaitFor::Begun(_)
            | WaitFor::Answer(_)
            | WaitFor::Flags
            | WaitFor::Registered(_),
        ) => {
            probes.term_pair = Seen::Unasked;
            probes.followers = Seen::Unasked;
            if matches!(probes.manifest, Seen::Failed(_)) {
                probes.manifest = Seen::Unasked;
            }
        }
        // A snapshot that was asked for may have its turn any time.
        Some(WaitFor::Snapshot(of)) if of == endpoint => probes.manifest = Seen::Unasked,
        _ => {}
    }
}

/// What was asked when the run was planned and may have changed since; MANIFEST only grows.
pub(super) fn outdate(probes: &mut Probes) {
    probes.directory = Seen::Unasked;
    probes.term_pair = Seen::Unasked;
    probes.followers = Seen::Unasked;
}

/// Whether there is nothing to load, which decides what may be replaced.
pub(super) fn ask_again_for_what_is_missing(probes: &mut Probes) {
    if probes.directory.known().is_some_and(|directory| *directory != Directory::InPlace) {
        probes.directory = Seen::Unasked;
    }
}

/// What an action makes worthless of what was asked of a tablet about its partition.
pub(super) fn forget(probes: &mut Probes, at: &Endpoint, action: &Action) {
    match action {
        Action::MakeSnapshot { .. } => probes.manifest = Seen::Unasked,
        Action::CreateAggregator { .. } => probes.aggregator = Seen::Unasked,
        Action::RecoverTable { endpoint, .. } | Action::DropTable { endpoint, .. } if endpoint == at => {
            *probes = Probes::UNASKED;
        }
        Action::LoadTable { .. } | Action::LoadWithSchema { .. } => {
            (probes.term_pair, probes.directory) = (Seen::Unasked, Seen::Unasked);
        }
        _ if action.server() == Server::Nameserver => {
            let (manifest, directory) = (probes.manifest.clone(), probes.directory.clone());
            *probes = Probes { manifest, directory, aggregator: probes.aggregator.clone(), ..Probes::UNASKED };
        }
        _ => {
            probes.term_pair = Seen::Unasked;
            probes.followers = Seen::Unasked;
        }
    }
}
