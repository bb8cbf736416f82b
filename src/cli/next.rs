//! What to do next about a failure: every error that is told ends with it.

use crate::cluster::{CallError, CallErrorKind, CredentialsError, DiscoveryError};
use crate::model::ReturnCode;
use crate::playbook::PlaybookError;
use crate::run::{LockError, PlanFileError, RecordError, ScopeError};
use crate::snapshot::FileError;

use super::embedded::is_of_a_sandbox;
use super::failure::{Exit, Failure};

impl Failure {
    /// What to do next: the hint of the code that failed, or what helps against an error of its kind.
    pub fn next(&self) -> String {
        self.hint.clone().or_else(|| of_kind(&self.error)).unwrap_or_else(|| of_exit(self.exit).to_owned())
    }
}

fn of_kind(error: &anyhow::Error) -> Option<String> {
    if let Some(error) = error.downcast_ref::<CallError>() {
        return Some(of_call(error));
    }
    let fixed = if let Some(error) = error.downcast_ref::<DiscoveryError>() {
        of_discovery(error)
    } else if let Some(error) = error.downcast_ref::<LockError>() {
        match error {
            LockError::Call(error) => return Some(of_call(error)),
            LockError::ZooKeeper(error) => of_discovery(error),
            LockError::HeldBy { .. } => of_exit(Exit::Locked),
            LockError::File { .. } | LockError::Text { .. } => "choose another directory with --record-dir DIR",
        }
    } else if let Some(error) = error.downcast_ref::<ScopeError>() {
        match error {
            ScopeError::Malformed { .. } => "`openmldb-ops show tables` names what there is, in that form",
            _ => "`openmldb-ops show tables` names what there is",
        }
    } else if error.is::<CredentialsError>() {
        "write user:password there, on one line; the password may be empty"
    } else if error.is::<FileError>() {
        "`openmldb-ops snapshot -o FILE` writes one that can be read"
    } else if error.is::<PlaybookError>() {
        "`openmldb-ops playbook list` names those that come with the program, `playbook show --yaml` prints one to start from"
    } else if error.is::<PlanFileError>() {
        "`openmldb-ops recover --all --dry-run -o FILE` makes a new plan"
    } else if error.is::<RecordError>() {
        "make room on its disk, or choose another directory with --record-dir DIR, and run again"
    } else if is_of_a_sandbox(error) {
        "`openmldb-ops sandbox list` says what there is to practise on"
    } else {
        return None;
    };
    Some(fixed.to_owned())
}

fn of_call(error: &CallError) -> String {
    match &error.kind {
        CallErrorKind::Refused { code, .. } => ReturnCode::of(*code).map_or_else(
            || "check its log, then run this again".to_owned(),
            |known| format!("{}; `openmldb-ops explain {code}`", known.next),
        ),
        CallErrorKind::Unreachable { .. } | CallErrorKind::HungUp { .. } => {
            "check whether it runs; if it asks for a user and a password, give them in OPENMLDB_AUTH or --auth-file; \
             then run this again"
                .to_owned()
        }
        CallErrorKind::NotCalled { .. } => {
            "restart that server, so that its own address is registered, then run this again".to_owned()
        }
        CallErrorKind::NotPrepared { .. } => match error.method {
            // It may be unknown only for as long as OpenMLDB's own tables do not answer.
            "CreateAggregator" => {
                "run this again once `openmldb-ops status` shows that OpenMLDB's own tables are healthy; if it fails even then, \
                 drop its deployment and deploy it anew, which makes its pre-aggregate table again"
            }
            _ => "`openmldb-ops metadata check` and `openmldb-ops show tables` say what the cluster has of it",
        }
        .to_owned(),
        CallErrorKind::Denied { .. } => "give user:password in OPENMLDB_AUTH or --auth-file".to_owned(),
        CallErrorKind::DeadlineExceeded { .. } => {
            "check whether it hangs, and what its log says, before running this again".to_owned()
        }
        CallErrorKind::Garbage { .. }
        | CallErrorKind::TooMuch { .. }
        | CallErrorKind::Unimplemented
        | CallErrorKind::InvalidRequest { .. }
        | CallErrorKind::NotOurs(_) => "check what listens there, and which release it is".to_owned(),
        CallErrorKind::Discovery(error) => of_discovery(error).to_owned(),
    }
}

fn of_discovery(error: &DiscoveryError) -> &'static str {
    match error {
        DiscoveryError::BadServers { .. } => "--zk-cluster HOST:PORT[,HOST:PORT...], as in OpenMLDB's flag zk_cluster",
        DiscoveryError::BadRoot { .. } | DiscoveryError::WrongRoot { .. } => {
            "--zk-root-path PATH, as in OpenMLDB's flag zk_root_path"
        }
        DiscoveryError::UnknownHost { .. }
        | DiscoveryError::NothingListens { .. }
        | DiscoveryError::NoZooKeeper { .. } => {
            "check --zk-cluster, and start ZooKeeper if it is down; without it, name the leading nameserver: --nameserver HOST:PORT"
        }
        DiscoveryError::NoSession { .. } | DiscoveryError::ZooKeeperLost { .. } => {
            "check whether a majority of ZooKeeper's servers runs, and their logs, then run this again"
        }
        DiscoveryError::NoNameserver { .. } => {
            "start tablets first, then a nameserver: one that finds fewer tablets than the system tables have replicas \
             (system_table_replica_num) exits again"
        }
        DiscoveryError::Unauthorized { .. } => "give user:password in OPENMLDB_ZK_CERT or --zk-cert-file",
        DiscoveryError::NoAddress { .. } => "restart that nameserver, so that it writes its address there",
        DiscoveryError::LeaderOnOtherHost { .. } => {
            "run this on the nameserver's host, or restart the servers with addresses that others can use"
        }
        DiscoveryError::UnsendableUser => "give a user whose name is printable ASCII in OPENMLDB_AUTH or --auth-file",
        DiscoveryError::LeaderUnreachable { .. } | DiscoveryError::NotLeading { .. } => {
            "check whether that nameserver runs; if another one is about to lead, run this again, or wait longer with \
             --leader-wait TIME"
        }
        DiscoveryError::LeaderHangsUp { .. } => {
            "give user:password in OPENMLDB_AUTH or --auth-file, if OpenMLDB has users; else see the nameserver's log"
        }
        DiscoveryError::LeaderUnusable { .. } => "check what listens there, and which release it is",
    }
}

/// What helps where nothing more is known than how it ended.
fn of_exit(exit: Exit) -> &'static str {
    match exit {
        Exit::Usage => "--help after the command says how it is typed",
        Exit::Refused => "nothing was changed; --dry-run says what would be done as things stand now",
        Exit::Locked => {
            "`openmldb-ops record list` names the runs of this host; wait until it has ended, then run this again"
        }
        Exit::Signal(_) | Exit::Deadline => "run the same command again to continue",
        Exit::NotRestored => "once the nameserver answers: `openmldb-ops failover restore`",
        Exit::Healthy | Exit::Error | Exit::Unhealthy | Exit::Partial | Exit::Checked(_) => {
            "fix what it names, then run this again: nothing is done twice"
        }
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    /// By whatever kind of error, and where nothing is known but the exit code.
    #[test]
    fn every_failure_says_what_to_do_next() {
        let refused =
            |code| CallError::new("nameserver", "AddReplicaNS", CallErrorKind::Refused { code, msg: String::new() });
        let next = Failure::from(refused(303)).next();
        assert!(
            next.contains("restart the leading nameserver") && next.ends_with("`openmldb-ops explain 303`"),
            "{next}"
        );
        assert!(Failure::from(refused(4711)).next().contains("log"));
        let lost = LockError::Call(refused(300));
        assert!(Failure::from(lost).next().contains("explain 300"), "the error behind it counts");
        for exit in [Exit::Error, Exit::Usage, Exit::Refused, Exit::Locked, Exit::Deadline, Exit::Signal(2)] {
            assert!(!Failure { exit, ..Failure::error(anyhow!("so it is")) }.next().is_empty(), "{exit:?}");
        }
        assert_eq!(Failure::error(anyhow!("no")).hint("do this").next(), "do this", "who failed knows best");
    }

    #[test]
    fn no_deployment_is_to_be_dropped_because_somebody_did_not_answer() {
        let kind = CallErrorKind::NotPrepared { seen: "the nameserver did not answer".to_owned() };
        let next = Failure::from(CallError::new("tablet a", "CreateAggregator", kind)).next();
        let looked = next.find("run this again once `openmldb-ops status` shows");
        assert!(looked.is_some() && looked < next.find("drop its deployment"), "{next}");
    }
}
