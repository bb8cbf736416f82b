//! Where the sandboxes that run on this host take orders: a file for each beside the records, which goes with it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::anyhow;

use crate::files;
use crate::sandbox::practice::{Answer, Door, Order, OrderError, give, is_there};

use super::failure::Failure;

/// A sandbox's file, removed when this is dropped.
#[derive(Debug)]
pub struct Posted(PathBuf);

/// The directory of these files.
///
/// # Errors
/// Nobody knows where that is.
fn dir() -> Result<PathBuf, Failure> {
    Ok(super::record_dir::dir(None)?.join("sandboxes"))
}

/// Says where a sandbox takes orders.
///
/// # Errors
/// It cannot be written down: nobody will find it.
pub fn post(door: &Door) -> Result<Posted, Failure> {
    let dir = dir()?;
    fs::create_dir_all(&dir)?;
    let file = dir.join(format!("{}.json", door.sandbox.replace(':', "-")));
    files::replace(&file, &serde_json::to_vec(door).map_err(io::Error::from)?)?;
    Ok(Posted(file))
}

impl Drop for Posted {
    fn drop(&mut self) {
        // What stays is found to lead to nobody, and is removed then.
        let _gone = files::remove(&self.0);
        let _others = self.0.parent().map(fs::remove_dir);
    }
}

/// Gives an order to the sandbox of that nameserver, or to the only one that runs.
///
/// # Errors
/// There is none, there are several, or it does not do it.
pub async fn tell(nameserver: Option<&str>, order: &Order) -> Result<Answer, Failure> {
    let mut open = Vec::new();
    for (file, door) in posted(&dir()?) {
        match is_there(&door).await {
            true => open.push(door),
            // It was killed.
            false => drop(files::remove(&file)),
        }
    }
    let names: Vec<String> = open.iter().map(|door| door.sandbox.clone()).collect();
    open.retain(|door| nameserver.is_none_or(|wanted| wanted == door.sandbox));
    let listed = |names: &[String]| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    match open.as_slice() {
        [door] => give(door, order).await.map_err(Failure::from),
        [] => Err(Failure::usage(match nameserver {
            Some(wanted) => {
                anyhow!("no sandbox with the nameserver {wanted} runs on this host (running: {})", listed(&names))
            }
            None => anyhow!("no sandbox runs on this host"),
        })
        .hint("`openmldb-ops sandbox serve` starts one, in another terminal; it is never a real cluster that is told")),
        _ => Err(Failure::usage(anyhow!("several sandboxes run on this host: {}", listed(&names)))
            .hint("say which one with --nameserver HOST:PORT")),
    }
}

/// Whether the nameserver at this address is that of a sandbox that is served on this host.
pub fn is_served_here(nameserver: &str) -> bool {
    dir().is_ok_and(|dir| posted(&dir).into_iter().any(|(_, door)| door.sandbox == nameserver))
}

fn posted(dir: &Path) -> Vec<(PathBuf, Door)> {
    let listed = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let read = |file: PathBuf| {
        let door = serde_json::from_slice(&fs::read(&file).ok()?).ok()?;
        Some((file, door))
    };
    listed.filter_map(read).collect()
}

impl From<OrderError> for Failure {
    fn from(error: OrderError) -> Self {
        let next = match error {
            OrderError::Nobody(_) => "`openmldb-ops sandbox serve` starts a sandbox",
            OrderError::NoAnswer { .. } => "see whether it still runs, then run this again",
            OrderError::Refused(_) => "`openmldb-ops sandbox start all` starts everything it has",
        };
        Self::error(error).hint(next)
    }
}
