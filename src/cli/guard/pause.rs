//! `guard pause` and `guard resume`.

use std::time::Duration;

use anyhow::anyhow;
use serde::Serialize;

use crate::cluster::{GuardNodes, Target};
use crate::guard::ClusterPost;
use crate::run::Pause;

use super::super::args::shared::Where;
use super::super::caller::{host, now_ms};
use super::super::failure::{Exit, Failure};
use super::super::out::Out;
use super::super::session::{named, target};
use super::super::signal::{Signals, Words};

/// What it says when it is stopped.
const WORDS: Words = Words {
    idle: "waiting for the call in progress",
    first: "waiting for the call in progress",
    second: "The change may have taken effect anyway: `openmldb-ops status` shows a pause",
    goes_on: true,
};

#[derive(Serialize)]
struct Line<'a> {
    event: &'static str,
    /// The pause that holds now; null if there is none.
    pause: Option<&'a Pause>,
    /// The one before, unless it was over.
    before: Option<&'a Pause>,
}

/// Has guards do nothing for so long; or ends that, for no time.
///
/// # Errors
/// ZooKeeper is unreachable.
pub async fn run(time: Option<(Duration, &str)>, at: &Where, out: &Out) -> Result<Exit, Failure> {
    let signals = Signals::listen(None, WORDS, out)?;
    let post = post(at, String::new(), out)?;
    let now = now_ms();
    let before = signals.unless_stopped(post.paused()).await??.filter(|pause| pause.lasts(now));
    let pause = time.map(|(time, why)| Pause {
        since_ms: now,
        until_ms: Some(now.saturating_add(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))),
        why: why.to_owned(),
        by: format!("{} on {}", user(), host()),
    });
    if let (Some(pause), Some(before)) = (&pause, &before)
        && pause.until_ms < before.until_ms.or(Some(u64::MAX))
    {
        // It is somebody's.
        let error = anyhow!("nothing was changed: a longer pause is in force: {}", before.text());
        let hint = "ask whoever asked for it; `openmldb-ops guard resume` ends it";
        return Err(Failure { exit: Exit::Refused, ..Failure::error(error) }.hint(hint));
    }
    post.pause(pause.as_ref()).await?;
    let line = Line { event: "guard_pause", pause: pause.as_ref(), before: before.as_ref() };
    let text = match (&pause, &before) {
        (Some(pause), _) => format!("{}\n", pause.text()),
        (None, Some(before)) => format!("no longer in force: {}\n", before.text()),
        (None, None) => "guards are not paused: nothing was changed\n".to_owned(),
    };
    out.text_or(&text, &line)?;
    Ok(Exit::Healthy)
}

/// Where guards of a cluster know of each other.
///
/// # Errors
/// The cluster is not named by its ZooKeeper.
pub(super) fn post(at: &Where, name: String, out: &Out) -> Result<ClusterPost, Failure> {
    let Target::ZooKeeper { servers, root, credentials } = target(&named(at, &out.waits())?)? else {
        let error = anyhow!(
            "guards know of each other, and of pauses, through the cluster's ZooKeeper, which --nameserver does not name"
        );
        return Err(Failure::usage(error).hint("use --zk-cluster HOST:PORT --zk-root-path PATH"));
    };
    Ok(ClusterPost::new(GuardNodes::new(servers, &root, credentials)?, name))
}

fn user() -> String {
    let named = ["SUDO_USER", "USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok());
    named.filter(|name| !name.is_empty()).unwrap_or_else(|| "somebody".to_owned())
}
