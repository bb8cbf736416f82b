//! `metadata backup|restore|wipe|check`: what a cluster keeps in ZooKeeper, saved, put back, removed and checked. No server is asked.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::anyhow;

use crate::cluster::{LockNodes, Target, ZooKeeper};
use crate::metadata::{self, Backup, FileError, check, checksum, raise, repair, without};
use crate::model::{MetadataSeen, MetadataTree};
use crate::operate::{PutBack, PutBackError, lacking};
use crate::run::{ClusterLock, Directory, Stop, WorkSession};
use crate::ui::{
    MetadataCheckedLine, MetadataFindingLine, MetadataRestoredLine, MetadataSavedLine, metadata_checked_text,
    metadata_restored_text, metadata_saved_text,
};

use super::args::metadata::{MetadataCommand, MetadataRestore};
use super::args::shared::Where;
use super::caller::{caller, now_ms};
use super::failure::exit_of_stop;
use super::failure::{Exit, Failure};
use super::metadata_rebuild;
use super::metadata_wipe;
use super::named::must_be_new;
use super::out::Out;
use super::record_dir;
use super::session::{named, target};
use super::signal::{Signals, Words};

/// What it says when it is stopped.
const WORDS: Words = Words {
    idle: "nothing was changed",
    first: "waiting for the node under way",
    second: "Nodes that were created stay. Run the same command to continue",
    goes_on: true,
};

/// Runs the command.
///
/// # Errors
/// ZooKeeper or the file cannot be used, or something is in the way.
pub async fn run(command: &MetadataCommand, out: &Out) -> Result<Exit, Failure> {
    match command {
        MetadataCommand::Backup { out: file, at } => backup(file, at, out).await,
        MetadataCommand::Restore(args) => restore(args, out).await,
        MetadataCommand::Wipe(args) => metadata_wipe::run(args, out).await,
        MetadataCommand::Rebuild { tablets, out: file, at } => metadata_rebuild::run(tablets, file, at, out).await,
        MetadataCommand::Check { file, at } => checked(file.as_deref(), at, out).await,
    }
}

/// A cluster's place in ZooKeeper.
pub(super) struct Place {
    pub(super) zookeeper: ZooKeeper,
    pub(super) nodes: Arc<LockNodes>,
    /// What the cluster is called.
    pub(super) name: String,
}

impl Place {
    pub(super) async fn open(at: &Where, out: &Out) -> Result<Self, Failure> {
        let Target::ZooKeeper { servers, root, credentials } = target(&named(at, &out.waits())?)? else {
            return Err(Failure::usage(anyhow!(
                "a cluster's metadata are in its ZooKeeper, which --nameserver does not name"
            ))
            .hint("use --zk-cluster HOST:PORT --zk-root-path PATH"));
        };
        let nodes = Arc::new(LockNodes::new(servers.clone(), &root, credentials.clone())?);
        let name = format!("{servers}{root}");
        Ok(Self { zookeeper: ZooKeeper::connect(servers, root, credentials).await?, nodes, name })
    }

    /// Within which they are changed.
    pub(super) fn session(
        &self,
        record_dir: Option<PathBuf>,
        signals: &Signals,
        out: &Out,
    ) -> Result<WorkSession, Failure> {
        Ok(WorkSession {
            cluster_name: self.name.clone(),
            archive: Arc::new(Directory(record_dir::dir(record_dir)?)),
            caller: caller(),
            lock: Arc::new(ClusterLock::of_zookeeper(self.nodes.clone(), out.say())),
            pace: 1.0,
            listener: out.of_records(),
            stop: signals.stop.clone(),
            record: signals.record.clone(),
            now_ms: now_ms(),
        })
    }

    /// The metadata, where there are any.
    pub(super) async fn seen(&self) -> Result<MetadataSeen, Failure> {
        let seen = self.zookeeper.metadata().await?;
        match seen.tree.is_empty() {
            false => Ok(seen),
            true => {
                let what = if seen.root { "holds nothing" } else { "does not exist" };
                let hint =
                    "is the root path right? If ZooKeeper has lost its data: `openmldb-ops metadata restore FILE`";
                Err(Failure::error(anyhow!("{} {what}", self.name)).hint(hint))
            }
        }
    }
}

async fn backup(file: &Path, at: &Where, out: &Out) -> Result<Exit, Failure> {
    must_be_new(file)?;
    let place = Place::open(at, out).await?;
    let seen = place.seen().await?;
    let there = seen.of_sessions.len() + seen.tree.len();
    let backup = Backup::of(&place.name, now_ms(), seen);
    let left_out = there - backup.tree.len();
    metadata::save(&backup, file)?;
    let line = MetadataSavedLine::of(&backup, left_out, file);
    out.text_or(&metadata_saved_text(&line), &line)?;
    Ok(if backup.is_consistent() { Exit::Healthy } else { Exit::Partial })
}

async fn checked(file: Option<&Path>, at: &Where, out: &Out) -> Result<Exit, Failure> {
    let seen = match file {
        Some(file) => {
            let Backup { changed, tree, .. } = metadata::read(file)?;
            MetadataSeen { root: true, tree, of_sessions: MetadataTree::default(), changed }
        }
        None => Place::open(at, out).await?.seen().await?,
    };
    let findings = check(&seen.tree, &seen.of_sessions);
    let (nodes, consistent) = (seen.tree.len(), seen.changed.is_empty());
    let line = MetadataCheckedLine { event: "metadata_checked", nodes, consistent, findings: findings.len() };
    if out.is_json() {
        for finding in &findings {
            out.text_or("", &MetadataFindingLine::from(finding))?;
        }
    }
    out.text_or(&metadata_checked_text(&line, &findings), &line)?;
    Ok(if findings.is_empty() { Exit::Healthy } else { Exit::Unhealthy })
}

async fn restore(args: &MetadataRestore, out: &Out) -> Result<Exit, Failure> {
    let backup = metadata::read(&args.file)?;
    if backup.tree.is_empty() {
        return Err(Failure::usage(anyhow!("{} holds no node", args.file.display())));
    }
    let (mut wanted, mut repaired) = without(&backup.tree, &args.leave_out).map_err(|error| {
        Failure::usage(error).hint("`openmldb-ops metadata check FILE` names what is wrong in it by its path")
    })?;
    if args.repair {
        let (tree, more) = repair(&wanted);
        wanted = tree;
        repaired.extend(more);
    }
    let signals = if args.dry_run { Signals::unheard() } else { Signals::listen(None, WORDS, out)? };
    let place = signals.unless_stopped(Place::open(&args.at, out)).await??;
    let (wanted, raised) = raise(&wanted, args.raise_counters);
    let seen = signals.unless_stopped(place.zookeeper.metadata()).await??;
    let missing = lacking(&wanted, &seen)?.missing;
    if !args.dry_run && !missing.is_empty() {
        let session = place.session(args.record_dir.clone(), &signals, out)?;
        let source = format!("{} ({})", args.file.display(), checksum(&backup));
        let is_of_the_past = backup.origin == metadata::Origin::Read;
        let (wanted, nodes) = (wanted.clone(), place.nodes.clone());
        let putting = PutBack { session, wanted, source, is_of_the_past, nodes };
        putting.perform(&place.zookeeper).await?;
    }
    let findings = check(&wanted, &MetadataTree::default());
    let line = MetadataRestoredLine::of(&backup, &args.file, &missing, &raised, &findings, args.dry_run);
    let line = line.repaired(&repaired, wanted.len());
    out.text_or(&metadata_restored_text(&line), &line)?;
    Ok(Exit::Healthy)
}

impl From<FileError> for Failure {
    fn from(error: FileError) -> Self {
        match error {
            FileError::Changed { .. } => {
                let hint = "nothing was changed; use another backup: a damaged one cannot be trusted";
                Self { exit: Exit::Refused, ..Self::error(error) }.hint(hint)
            }
            FileError::Write { .. } => Self::usage(error).hint("name a file in an existing, writable directory"),
            other => Self::usage(other).hint("`openmldb-ops metadata backup -o FILE` writes one that can be read"),
        }
    }
}

impl From<PutBackError> for Failure {
    fn from(error: PutBackError) -> Self {
        const STOP: &str = "stop every server of the cluster";
        match error {
            PutBackError::ZooKeeper(error) => error.into(),
            PutBackError::Lock(error) => error.into(),
            PutBackError::Record(_) => {
                let hint = "make room on its disk, or choose another with --record-dir";
                Self::error(anyhow!("{error}")).hint(hint)
            }
            PutBackError::NotEmpty { .. } => {
                let hint = format!(
                    "{STOP}. If its contents are not needed, for example those that a nameserver creates on an empty \
                     root path: `openmldb-ops metadata wipe --dry-run` lists them under an id by which they are saved \
                     and deleted; then run this again"
                );
                Self { exit: Exit::Refused, ..Self::error(anyhow!("{error}")) }.hint(hint)
            }
            PutBackError::Unfinished { stop, .. } => {
                let exit = if stop == Stop::No { Exit::Error } else { exit_of_stop(stop) };
                Self { exit, ..Self::error(anyhow!("{error}")) }
                    .hint("nothing is removed; run the same command to continue")
            }
            PutBackError::Touched { .. } => {
                let hint = format!(
                    "{STOP}; something was started while metadata was being restored. Then run this again: it lists \
                     the differences"
                );
                Self { exit: Exit::Partial, ..Self::error(anyhow!("{error}")) }.hint(hint)
            }
        }
    }
}
