//! How often something is tried, and how long it is waited for.

use std::time::Duration;

/// Calls refused in a row before a partition is blocked.
pub const MAX_REFUSALS: u32 = 5;
/// Tries of an operation: about one in twenty fails for no reason
/// (docs/openmldb/operations.md#operations-fail-for-no-reason), so five in a row mean something.
pub const MAX_TRIES: u32 = 5;
/// How long flags may take to show what a call answered with success has done.
pub(super) const FLAGS: Duration = Duration::from_secs(30);
/// How long an operation may go on without a change of its state or task: as long as a slow resend of one big task.
pub(super) const OP_STALL: Duration = Duration::from_secs(30 * 60);
/// How long an operation may take in all: 2 h, after which OpenMLDB itself begins to log it
/// (docs/openmldb/timings.md#settings-and-their-defaults).
pub(super) const OP_TIMEOUT: Duration = Duration::from_secs(2 * 60 * 60);
/// How long a leader is not chosen for an operation that others have asked for: those of before the run have had a minute to end by then,
/// and were cancelled; and what another operator asks for without a leader fails as soon as it is looked at.
pub(super) const OTHERS_OPS: Duration = Duration::from_secs(60);
/// How long nothing may change where replicas load before a leader is chosen without them, if that is proven right, ...
pub(super) const SLOW_LOAD: Duration = Duration::from_secs(10 * 60);
/// ... and so much longer for each entry that another one holds. Tables load at about 1 GB a minute: these are rows of 1.7 KB. Small
/// ones load ten times as fast (docs/openmldb/timings.md#measured).
pub(super) const SLOW_LOAD_OF_AN_ENTRY: Duration = Duration::from_micros(100);
/// How long a server may leave a question unanswered.
pub(super) const ANSWER: Duration = Duration::from_secs(60);
/// How long a nameserver may take to hear of a tablet that answers: it is told by ZooKeeper, and one that has just begun to lead
/// looks through all of them.
pub(super) const REGISTERING: Duration = Duration::from_secs(60);
/// How long a disk table's replica may take to show after LoadTable when its tablet loads nothing else.
pub(super) const APPEARING: Duration = Duration::from_secs(2 * 60);
/// Milliseconds in one of the nameserver's two lanes for a connected follower, and for one that is resent: 18 s and 60 s for
/// eight followers (docs/openmldb/timings.md#measured).
pub(super) const LANE_MS: (u64, u64) = (4_500, 15_000);
