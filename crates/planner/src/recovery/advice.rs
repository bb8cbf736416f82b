//! What to do about a reason, whichever partition it is of. A blocked partition's own hint says more.

use super::blocked::Reason;
use super::election::NO_TERMS;

impl Reason {
    /// What to do, and what to type.
    pub fn next(self) -> &'static str {
        match self {
            Self::WrittenWhileLoading => {
                "`openmldb-ops leader handover` of the base table's partition to another replica's tablet, then `openmldb-ops replica aggregate D.T/PID \
                 ENDPOINT` with that tablet, which makes the missing rows there; then `openmldb-ops recover --partition D.T/PID`"
            }
            Self::OutOfReach | Self::NotRedundant => {
                "start that tablet, then run `openmldb-ops recover --all` again; if it is gone for good, `openmldb-ops tablet replace ENDPOINT`, \
                 or `openmldb-ops recover --all --without ENDPOINT`"
            }
            Self::ReplicaCount => "`openmldb-ops scale repair --dry-run`, then `openmldb-ops scale repair`",
            Self::TabletOffline => "restart the leading nameserver, then run `openmldb-ops recover --all` again",
            Self::OnlyReplicaLost | Self::NoData | Self::EverythingEmpty => {
                "mount its disk, or put back what is in the tablet's recycle bin, then run `openmldb-ops recover --all` again; if it is \
                 gone, `openmldb-ops recover --all --dry-run` prints the id that --accept-data-loss takes"
            }
            Self::LongerFollower
            | Self::NewerTerm
            | Self::WrittenBeside
            | Self::SuspectIsLongest
            | Self::LeaderConflict
            | Self::LongerThanLeader
            | Self::LeaderLacksRows
            | Self::NamedLeader => {
                "`openmldb-ops replica diff D.T/PID` shows how they differ; then `openmldb-ops recover --partition \
                 D.T/PID --dry-run`, with --leader ENDPOINT to choose, prints the losses and the id that \
                 --accept-data-loss takes"
            }
            Self::NoTermHistory => NO_TERMS,
            Self::TermAboveHistory => {
                "`openmldb-ops recover --partition D.T/PID --leader ENDPOINT --dry-run` says what each replica as leader would mean"
            }
            Self::TwoLeaders => {
                "start that leader's tablet, so that the nameserver knows its endpoint, then run `openmldb-ops recover --all` again"
            }
            Self::LoadTimeout => {
                "see that tablet's log: is it still loading, or out of memory or disk? Then run `openmldb-ops recover --all` again"
            }
            Self::OpTimeout => {
                "`openmldb-ops show ops`; `openmldb-ops op cancel ID` if it hangs, then `openmldb-ops recover --all`"
            }
            Self::Refused | Self::OpFailed => {
                "`openmldb-ops explain CODE` for the code in the text, and the nameserver's log; then run `openmldb-ops recover --all` again"
            }
            Self::NotCatchingUp => {
                "`openmldb-ops replica diff D.T/PID`, and the leader's log: its binlog may not reach back far enough; then run \
                 `openmldb-ops recover --all` again"
            }
            Self::NotAsPlanned => "make a new plan with `openmldb-ops recover --all --dry-run -o FILE`",
            Self::NotInPlaybook => "run `openmldb-ops recover --all` with a playbook that brings followers back",
            Self::Interrupted => "run the same command again to continue",
        }
    }
}
