//! What is known of runs on a cluster that is looked at.

use crate::model::Snapshot;
use crate::operate::{StateDir, Unfinished};
use crate::run::{Abandoned, ClusterNames, Directory, Runs, known_runs};

use super::args::look;
use super::caller::host;
use super::failure::Failure;
use super::out::Out;
use super::session::Session;

/// Records that cannot be read keep nobody from looking at the cluster.
///
/// # Errors
/// A malformed root path.
pub(super) async fn runs(args: &look::Status, session: &Session, seen: &Snapshot, out: &Out) -> Result<Runs, Failure> {
    let Ok(dir) = session.record_dir(args.record_dir.as_deref()) else { return Ok(Runs::default()) };
    let lock = session.lock(&dir)?;
    let names = ClusterNames::seen(&session.name, seen, &host());
    let known = known_runs(&*lock, &Directory(dir.clone()), &names, seen).await;
    let mut runs = known.unwrap_or_else(|error| {
        out.say()(&format!("whether a run is at work, or did not finish, is unknown: {error}"));
        Runs::default()
    });
    match StateDir::new(&dir, &session.name).unfinished() {
        Ok(unfinished) => {
            let abandoned =
                |unfinished: Unfinished| Abandoned { typed: unfinished.of.to_string(), run: unfinished.run };
            runs.undertaking = unfinished.map(abandoned);
        }
        Err(error) => out.say()(&error.to_string()),
    }
    Ok(runs)
}
