//! What may go wrong in a sandbox, as a closed vocabulary: a fault is *when* (a trigger) and *what* (its kind). Faults are
//! data; the [`World`](super::World) meets them call by call, pure and seeded, so that the same faults happen to a world in
//! process and to one behind sockets.

mod answer;
mod script;
mod text;

pub(super) use answer::{nameserver_answers, tablet_answers};
pub(super) use script::{Known, Met, Script, Seen};
pub use text::{FaultError, vocabulary};

use super::Millis;

/// Something that goes wrong. [`str::parse`] reads one, `LoadTable:2=reset-after` for example.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// When.
    pub trigger: Trigger,
    /// Where; none: wherever it is triggered, the first of its kind if that is nowhere in particular.
    pub place: Option<Place>,
    /// What.
    pub kind: FaultKind,
}

/// When a fault happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// When a client makes such a call.
    Call(Method, Which),
    /// So many milliseconds of world time after the faults were set.
    After(Millis),
}

/// Which calls count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Every one.
    Any,
    /// Those that may change something.
    Mutation,
    /// Those of that name, as [`NameserverCall::name`](openmldb_wire::call::NameserverCall::name) has it.
    Named(&'static str),
}

/// Which of the calls that count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// That one, counted from 1.
    Nth(u32),
    /// That one and all that follow.
    From(u32),
    /// All of them.
    Every,
    /// So many of a thousand, by chance.
    PerMille(u32),
}

/// Where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A tablet, by its place in the list of tablets, from 1. Calls to it and calls that name it count.
    Tablet(usize),
    /// A partition, by its table's name. Calls that name it count.
    Partition(String, u32),
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// The call does not go its usual way.
    Way(Way),
    /// The load that the call starts does not end as it should.
    Load(LoadFate),
    /// The op that the call creates does not end as it should.
    Op(OpFate),
    /// A server is in trouble.
    Server(ServerFate),
    /// A second operator does something, past the tool.
    Operator(OperatorAction),
    /// Clients begin to write, and do not stop.
    Clients,
    /// The tool itself is in trouble. Only who runs the tool in the same process can bring that about:
    /// [`Live::tool_fate`](super::Live::tool_fate).
    Tool(ToolFate),
}

/// What becomes of a call on its way. The rest of what a call meets is up to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Nothing: it arrives and its answer comes back.
    Through,
    /// Nothing is done and the caller knows: nobody listens. Over sockets, where a connection may be open already, that one
    /// is closed and no server is called.
    Refused,
    /// The connection breaks before anything is done.
    ResetBefore,
    /// It is done, and the connection breaks before the answer.
    ResetAfter,
    /// It is done, and no answer ever comes.
    TimesOut,
    /// No answer ever comes, and it is done so many milliseconds of world time later: a deadline stops no server
    /// (docs/openmldb/clients.md#a-deadline-does-not-stop-the-server).
    Late(Millis),
    /// Nothing is done and this code is answered; 0 claims that it was.
    Answers(i32),
    /// Nothing is done: the server does not know the call, as one of an older release.
    Unknown,
    /// It is done, and the answer makes no sense.
    Garbage,
    /// It is done, and the answer comes so many milliseconds of world time later.
    Slow(Millis),
    /// It goes through unless the tool is killed: see [`ToolFate`].
    Tool(ToolFate),
}

/// How a load ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoadFate {
    /// It fails: the replica vanishes without a word and its directory goes to the recycle bin.
    Vanishes,
    /// It never ends, and keeps its thread.
    Sticks,
    /// It takes so many milliseconds of world time longer, and keeps its thread meanwhile.
    Lasts(Millis),
    /// kTableNormal, with the offset that is right and half of the rows.
    Hollow,
}

/// How an op ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpFate {
    /// It fails for no reason.
    Fails,
    /// The call is answered with 0 and no op is created.
    NotCreated,
    /// It stays in kDoing, and its lane behind it, until it is cancelled or another nameserver leads.
    Sticks,
}

/// What befalls a server. Times are milliseconds of world time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerFate {
    /// The leading nameserver is killed and started again after that time; a standby takes over meanwhile.
    NameserverRestarts(Millis),
    /// The leading nameserver stands still for that time; a standby takes over once its session has ended.
    NameserverFreezes(Millis),
    /// A nameserver that does not lead stands still for that time.
    StandbyFreezes(Millis),
    /// The tablet is killed for good.
    TabletDies,
    /// The tablet is killed and started after that time, or once its ZooKeeper session has ended.
    TabletRestarts(Millis),
    /// The same three times, a second apart.
    TabletKeepsRestarting,
    /// The tablet stands still for that time.
    TabletFreezes(Millis),
    /// The tablet answers nobody for that time, and keeps its ZooKeeper session.
    TabletHangs(Millis),
    /// Every answer of the tablet takes that time from now on.
    TabletSlows(Millis),
    /// The tablet's ZooKeeper session expires; it registers again at once.
    TabletSessionExpires,
    /// The tablet is killed for good, and what its name stands for becomes the address of another one that runs, as where a
    /// container is given the address that another one had.
    TabletAddressTaken,
    /// Servers go by names that are their addresses: `map/names` has them without values
    /// (docs/openmldb/metadata-in-zookeeper.md#server-names).
    NamesAreAddresses,
}

/// What a second operator does, to the partition the triggering call names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperatorAction {
    /// confset auto_failover true
    FailoverOn,
    /// updatetablealive yes, of a replica that is not
    MarksAlive,
    /// recovertable of a follower that is not alive
    RecoversReplica,
    /// changeleader auto
    ChangesLeader,
    /// loadtable of a replica that is not loaded, without a mode, as OpenMLDB's client sends it
    LoadsReplica,
    /// DROP TABLE
    DropsTable,
    /// What a change of leader leaves that fails half way: a follower has heard of a term that nobody leads in
    RaisesTerm,
    /// openmldb_ops.py recoverdata, of everything
    RecoversEverything,
}

/// What befalls the tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToolFate {
    /// It is killed; the call was not sent.
    KilledBefore,
    /// It is killed; the call was sent and done.
    KilledAfter,
    /// Its lock is lost.
    LockLost,
    /// Nobody knows whether its lock is still held, for a while.
    LockShaky,
}
