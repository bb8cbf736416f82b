//! `metadata wipe`: a root path emptied, so that a backup can be restored there.

use anyhow::anyhow;

use crate::operate::{Wipe, WipeError, unused, wiped_id};
use crate::run::Stop;
use crate::ui::{MetadataWipedLine, metadata_wiped_text};

use super::args::metadata::MetadataWipe;
use super::failure::{Exit, Failure, exit_of_stop};
use super::metadata::Place;
use super::out::Out;
use super::signal::{Signals, Words};

/// What it says when it is stopped.
const WORDS: Words = Words {
    idle: "nothing was changed",
    first: "waiting for the nodes under way",
    second: "Nodes that were deleted are saved beside the record",
    goes_on: true,
};

/// Runs the command.
///
/// # Errors
/// ZooKeeper cannot be used, somebody uses what is there, or it is not what was accepted.
pub async fn run(args: &MetadataWipe, out: &Out) -> Result<Exit, Failure> {
    let signals = if args.dry_run { Signals::unheard() } else { Signals::listen(None, WORDS, out)? };
    let place = signals.unless_stopped(Place::open(&args.at, out)).await??;
    let seen = signals.unless_stopped(place.zookeeper.metadata()).await??;
    if seen.tree.is_empty() && seen.of_sessions.is_empty() {
        let line = MetadataWipedLine::of(&place.name, &seen.tree, None, None);
        out.text_or(&metadata_wiped_text(&line), &line)?;
        return Ok(Exit::Healthy);
    }
    unused(&seen)?;
    let Some(accepted) = args.accept.clone() else {
        let id = wiped_id(&place.name, &seen.tree);
        let line = MetadataWipedLine::of(&place.name, &seen.tree, Some(&id), None);
        out.text_or(&metadata_wiped_text(&line), &line)?;
        return Ok(Exit::Healthy);
    };
    let session = place.session(args.record_dir.clone(), &signals, out)?;
    let wipe = Wipe { accepted, session, nodes: place.nodes.clone() };
    let wiped = wipe.perform(&place.zookeeper).await?;
    let line = MetadataWipedLine::of(&place.name, &wiped.tree, Some(&wipe.accepted), Some(wiped.saved));
    out.text_or(&metadata_wiped_text(&line), &line)?;
    Ok(Exit::Healthy)
}

impl From<WipeError> for Failure {
    fn from(error: WipeError) -> Self {
        let refused = |error: &WipeError| Self { exit: Exit::Refused, ..Self::error(anyhow!("{error}")) };
        match error {
            WipeError::ZooKeeper(error) => error.into(),
            WipeError::Lock(error) => error.into(),
            WipeError::Record(_) | WipeError::NotSaved { .. } => {
                Self::error(anyhow!("{error}")).hint("make room on its disk, or choose another with --record-dir")
            }
            WipeError::InUse { .. } => refused(&error).hint(
                "stop every server of the cluster; one that was stopped stays registered until its session ends (10 s \
                 by default)",
            ),
            WipeError::Changing { .. } => refused(&error).hint("stop whatever writes there, then run this again"),
            WipeError::OfOthers { .. } => refused(&error).hint(
                "check --zk-root-path: what is shared with others, or is not a cluster's, is not deleted as a whole",
            ),
            WipeError::Other { .. } => {
                refused(&error).hint("`openmldb-ops metadata wipe --dry-run` lists what is there now, under its id")
            }
            WipeError::Stopped { stop } => Self::stopped(stop),
            WipeError::Unfinished { stop, .. } => {
                let exit = if stop == Stop::No { Exit::Partial } else { exit_of_stop(stop) };
                Self { exit, ..Self::error(anyhow!("{error}")) }.hint(
                    "stop every server of the cluster; `openmldb-ops metadata wipe --dry-run` lists what is left, \
                     under an id of its own",
                )
            }
        }
    }
}
