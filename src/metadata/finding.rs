//! What a check of metadata finds.

use serde::Serialize;

/// A contradiction in a cluster's metadata.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Of which kind.
    pub code: Code,
    /// The node it shows in.
    pub path: String,
    /// What was seen, and what comes of it.
    pub text: String,
    /// What to do.
    pub hint: &'static str,
}

/// Kinds of contradictions. Programs know them by these words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// A counter is not there, although numbers were given out.
    NoCounter,
    /// A counter holds no number.
    BadCounter,
    /// A number is in use that the counter has not given out yet.
    BeyondCounter,
    /// auto_failover is neither on nor off.
    BadAutoFailover,
    /// A table's node holds no table.
    BadTable,
    /// A table's node has another table's number, or one without a number.
    OtherTid,
    /// Two tables of one name.
    SameName,
    /// A table whose database is not there.
    NoDatabase,
    /// A table without partitions, or with others than it says.
    NoPartitions,
    /// A partition without replicas.
    NoReplicas,
    /// Two replicas of a partition on one server.
    SameServer,
    /// A replica's server goes by a name that has no address.
    NoAddress,
    /// Two names have one address.
    SameAddress,
    /// A name whose server is not registered and has no replica.
    UnusedName,
    /// A pre-aggregate table whose base table is not there.
    NoBaseTable,
    /// An operation's node holds no operation.
    BadOp,
    /// An operation on a table or partition that is not there.
    OpOnNothing,
    /// A registration that no server's session keeps.
    DeadRegistration,
}

impl Code {
    /// What to do about it.
    pub fn hint(self) -> &'static str {
        match self {
            Self::NoCounter | Self::BadCounter | Self::BeyondCounter => {
                "stop every server; save, empty and restore its metadata: `openmldb-ops metadata backup -o FILE`, \
                 `openmldb-ops metadata wipe --dry-run`, `openmldb-ops metadata restore FILE --repair`, which sets the counter to \
                 the largest number in use, and raises it"
            }
            Self::BadAutoFailover => "`openmldb-ops failover set on`, or `off`",
            Self::BadTable | Self::OtherTid => {
                "restore an older backup in which it is right (`openmldb-ops metadata check FILE` says so), after \
                 `openmldb-ops metadata wipe --dry-run`"
            }
            Self::SameName => {
                "find out which of the two tablets hold (`openmldb-ops replica status`); then stop every server, and save, empty \
                 and restore its metadata without the other: `openmldb-ops metadata backup -o FILE`, `openmldb-ops metadata wipe \
                 --dry-run`, `openmldb-ops metadata restore FILE --leave-out PATH`"
            }
            Self::NoDatabase => {
                "stop every server; save, empty and restore its metadata: `openmldb-ops metadata backup -o FILE`, \
                 `openmldb-ops metadata wipe --dry-run`, `openmldb-ops metadata restore FILE --repair`, which adds the database"
            }
            Self::NoPartitions | Self::NoReplicas => {
                "if the table was never completely created, drop it; else restore an older backup in which it is right \
                 (`openmldb-ops metadata check FILE` says so), after `openmldb-ops metadata wipe --dry-run`"
            }
            Self::SameServer => "`openmldb-ops replica remove` removes one of them",
            Self::NoAddress => "start that server: it registers its name on its own",
            Self::SameAddress => {
                "start the servers: each registers its own; the name of one that is gone for good is left out with `openmldb-ops \
                 metadata restore FILE --leave-out PATH`, after `openmldb-ops metadata backup -o FILE` and `openmldb-ops metadata \
                 wipe --dry-run`"
            }
            Self::UnusedName => {
                "it does no harm; if that server is gone for good, `openmldb-ops metadata restore FILE --leave-out PATH` leaves it \
                 out, the next time that metadata are restored"
            }
            Self::NoBaseTable => {
                "drop the pre-aggregate table if its base table was dropped; else restore an older backup that has that one, after \
                 `openmldb-ops metadata wipe --dry-run`"
            }
            Self::BadOp | Self::OpOnNothing => {
                "nothing works on it; `openmldb-ops metadata restore FILE --repair` leaves it out, after `openmldb-ops metadata \
                 backup -o FILE` and `openmldb-ops metadata wipe --dry-run`"
            }
            Self::DeadRegistration => {
                "no server's session holds it, and it never goes away on its own. Stop every server; a backup leaves it out: \
                 `openmldb-ops metadata backup -o FILE`, `openmldb-ops metadata wipe --dry-run`, `openmldb-ops metadata restore FILE`"
            }
        }
    }

    /// A finding of this kind.
    pub(super) fn at(self, path: impl Into<String>, text: impl Into<String>) -> Finding {
        Finding { code: self, path: path.into(), text: text.into(), hint: self.hint() }
    }
}
