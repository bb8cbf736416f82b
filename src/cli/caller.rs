//! Who runs a command, where, and when.

use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::run::{By, Caller, ProcessIdentity};

/// Who runs this. Its words are safe to write down: secrets come from files and the environment.
pub(super) fn caller() -> Caller {
    let command: Vec<String> = std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    let (by, process) = (BY.get().copied().unwrap_or_default(), ProcessIdentity::own());
    Caller { host: host(), pid: std::process::id(), command: command.join(" "), process, by }
}

/// Who has this process do what it does.
static BY: OnceLock<By> = OnceLock::new();

/// What this process does, a guard does by itself.
pub(super) fn is_a_guard() {
    // It says so once.
    let _ = BY.set(By::Guard);
}

/// This host's name.
pub(super) fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok().map(|name| name.trim().to_owned());
    name.filter(|name| !name.is_empty()).unwrap_or_else(|| "unknown".to_owned())
}

/// The wall clock, in milliseconds since 1970.
pub(super) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
