//! Which process holds a lock or writes a record, and whether it is still there.

use std::fs;
use std::io;

use rustix::process::{Pid, test_kill_process};
use serde::{Deserialize, Serialize};

/// What tells a process from every other one that its host ever had or will have. Its number alone does not: numbers are given
/// again, and every container counts its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessIdentity {
    /// The boot of its host (`/proc/sys/kernel/random/boot_id`).
    pub boot: String,
    /// The namespace of its number (`/proc/self/ns/pid`).
    pub namespace: String,
    /// When it was started, in clock ticks since the boot (`/proc/PID/stat`).
    pub started: u64,
}

/// Whether a process is still there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Liveness {
    /// It is.
    Lives,
    /// It certainly is not.
    Gone,
    /// It is not seen from here: it is another host's, another container's, or from before this host's last boot.
    Unknown,
}

impl ProcessIdentity {
    /// This process; none where `/proc` does not tell.
    pub fn own() -> Option<Self> {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_owned();
        let namespace = fs::read_link("/proc/self/ns/pid").ok()?.to_string_lossy().into_owned();
        let started = stat(std::process::id()).ok()?.started;
        Some(Self { boot, namespace, started })
    }

    /// Whether the process is still there, by its number.
    pub fn liveness(&self, pid: u32) -> Liveness {
        let is_seen_from_here = Self::own().is_some_and(|own| own.boot == self.boot && own.namespace == self.namespace);
        if !is_seen_from_here {
            return Liveness::Unknown;
        }
        match stat(pid) {
            Ok(stat) if stat.started == self.started && !stat.is_over => Liveness::Lives,
            // Its number is somebody else's now, or nobody has asked yet how it ended.
            Ok(_) => Liveness::Gone,
            // Other users' processes may be hidden: the kernel is asked, too.
            Err(_) if is_free(pid) => Liveness::Gone,
            Err(_) => Liveness::Unknown,
        }
    }
}

/// No process has the number.
fn is_free(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| test_kill_process(pid) == Err(rustix::io::Errno::SRCH))
}

struct Stat {
    is_over: bool,
    started: u64,
}

fn stat(pid: u32) -> io::Result<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    parsed(&text).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// `PID (NAME) STATE ...`: the name may hold anything, parentheses too. The start is the 22nd field.
fn parsed(stat: &str) -> Option<Stat> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let is_over = matches!(*fields.first()?, "Z" | "X" | "x");
    Some(Stat { is_over, started: fields.get(19)?.parse().ok()? })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_process_lives_until_it_has_ended_even_if_nobody_has_asked_how() {
        let own = ProcessIdentity::own().unwrap();
        assert_eq!(own.liveness(std::process::id()), Liveness::Lives);
        let mut child = Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        let pid = child.id();
        let of_child = ProcessIdentity { started: stat(pid).unwrap().started, ..own };
        assert_eq!(of_child.liveness(pid), Liveness::Lives);
        child.kill().unwrap();
        // Killed, and not waited for: it is over as soon as the kernel has come to it.
        while of_child.liveness(pid) == Liveness::Lives {
            std::thread::yield_now();
        }
        assert_eq!((stat(pid).unwrap().is_over, of_child.liveness(pid)), (true, Liveness::Gone));
        child.wait().unwrap();
        assert_eq!(of_child.liveness(pid), Liveness::Gone);
    }

    #[test]
    fn a_number_that_another_process_has_now_is_not_the_old_one() {
        let own = ProcessIdentity::own().unwrap();
        let earlier = ProcessIdentity { started: own.started - 1, ..own };
        assert_eq!(earlier.liveness(std::process::id()), Liveness::Gone);
    }

    #[test]
    fn what_is_not_seen_from_here_is_unknown() {
        let own = || ProcessIdentity::own().unwrap();
        let elsewhere = [
            ProcessIdentity { boot: "another".to_owned(), ..own() },
            ProcessIdentity { namespace: "pid:[1]".to_owned(), ..own() },
        ];
        for process in elsewhere {
            assert_eq!(process.liveness(std::process::id()), Liveness::Unknown);
            assert_eq!(process.liveness(0), Liveness::Unknown);
        }
    }

    #[test]
    fn a_name_may_hold_anything() {
        let text = "7 (a) b (c) Z 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20";
        let stat = parsed(text).unwrap();
        assert_eq!((stat.is_over, stat.started), (true, 4711));
        assert!(parsed("7 (a").is_none() && parsed("").is_none() && parsed("7 (a) R").is_none());
    }
}
