//! Faults in words: `WHEN[@WHERE][:WHICH]=WHAT`.

use std::fmt;
use std::str::FromStr;

use openmldb_wire::{nameserver_methods, tablet_methods};

use super::{
    Fault, FaultKind, LoadFate, Method, OpFate, OperatorAction, Place, ServerFate, ToolFate, Trigger, Way, Which,
};
use crate::Millis;

/// What is wrong with a fault's text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no fault: {what}")]
pub struct FaultError {
    /// The text.
    pub text: String,
    /// What is wrong.
    pub what: String,
}

/// How a kind of fault is written.
#[derive(Clone, Copy)]
enum Form {
    /// By its name alone.
    Plain(FaultKind),
    /// With a time behind it.
    Lasting(fn(Millis) -> FaultKind),
    /// With a code behind it.
    Code,
}

use Form::{Code, Lasting, Plain};

const WORDS: &[(&str, Form, &str)] = &[
    ("refused", Plain(FaultKind::Way(Way::Refused)), "nobody listens: the call is not made"),
    ("reset-before", Plain(FaultKind::Way(Way::ResetBefore)), "the connection breaks before the call is done"),
    ("reset-after", Plain(FaultKind::Way(Way::ResetAfter)), "the call is done, then the connection breaks"),
    ("times-out", Plain(FaultKind::Way(Way::TimesOut)), "the call is done, no answer comes"),
    ("late", Lasting(|by| FaultKind::Way(Way::Late(by))), "no answer comes, the call is done after TIME"),
    ("code", Code, "the call is not done, CODE is answered"),
    ("unknown", Plain(FaultKind::Way(Way::Unknown)), "the server does not know the call: it is of an older release"),
    ("garbage", Plain(FaultKind::Way(Way::Garbage)), "the call is done, the answer makes no sense"),
    ("slow", Lasting(|by| FaultKind::Way(Way::Slow(by))), "the call is done, its answer takes TIME"),
    (
        "load-vanishes",
        Plain(FaultKind::Load(LoadFate::Vanishes)),
        "the load fails: the directory goes to the recycle bin",
    ),
    ("load-sticks", Plain(FaultKind::Load(LoadFate::Sticks)), "the load never ends"),
    ("load-lasts", Lasting(|longer| FaultKind::Load(LoadFate::Lasts(longer))), "the load takes TIME longer"),
    (
        "load-hollow",
        Plain(FaultKind::Load(LoadFate::Hollow)),
        "the load ends with the right offset and half of the rows",
    ),
    ("op-fails", Plain(FaultKind::Op(OpFate::Fails)), "the op fails for no reason"),
    ("op-not-created", Plain(FaultKind::Op(OpFate::NotCreated)), "code 0, and no op"),
    ("op-sticks", Plain(FaultKind::Op(OpFate::Sticks)), "the op stays in kDoing"),
    (
        "nameserver-restarts",
        Lasting(|after| FaultKind::Server(ServerFate::NameserverRestarts(after))),
        "the leading nameserver is killed, and started again after TIME",
    ),
    (
        "nameserver-freezes",
        Lasting(|long| FaultKind::Server(ServerFate::NameserverFreezes(long))),
        "the leading nameserver stands still for TIME",
    ),
    (
        "standby-freezes",
        Lasting(|long| FaultKind::Server(ServerFate::StandbyFreezes(long))),
        "a nameserver that does not lead stands still for TIME",
    ),
    ("tablet-dies", Plain(FaultKind::Server(ServerFate::TabletDies)), "the tablet is killed for good"),
    (
        "tablet-restarts",
        Lasting(|after| FaultKind::Server(ServerFate::TabletRestarts(after))),
        "the tablet is killed, and started again after TIME",
    ),
    (
        "tablet-keeps-restarting",
        Plain(FaultKind::Server(ServerFate::TabletKeepsRestarting)),
        "the tablet is killed and started three times",
    ),
    (
        "tablet-freezes",
        Lasting(|long| FaultKind::Server(ServerFate::TabletFreezes(long))),
        "the tablet stands still for TIME",
    ),
    (
        "tablet-hangs",
        Lasting(|long| FaultKind::Server(ServerFate::TabletHangs(long))),
        "the tablet answers nobody for TIME, and stays registered",
    ),
    (
        "tablet-slows",
        Lasting(|by| FaultKind::Server(ServerFate::TabletSlows(by))),
        "every answer of the tablet takes TIME from then on",
    ),
    (
        "tablet-session-expires",
        Plain(FaultKind::Server(ServerFate::TabletSessionExpires)),
        "the tablet's ZooKeeper session expires; it registers again",
    ),
    (
        "tablet-address-taken",
        Plain(FaultKind::Server(ServerFate::TabletAddressTaken)),
        "the tablet is killed for good, and its server name stands for the address of another one",
    ),
    (
        "names-are-addresses",
        Plain(FaultKind::Server(ServerFate::NamesAreAddresses)),
        "servers go by names that are their addresses: map/names has them without values",
    ),
    (
        "operator-failover-on",
        Plain(FaultKind::Operator(OperatorAction::FailoverOn)),
        "another operator sets auto_failover to true",
    ),
    (
        "operator-marks-alive",
        Plain(FaultKind::Operator(OperatorAction::MarksAlive)),
        "another operator marks a replica alive",
    ),
    (
        "operator-recovertable",
        Plain(FaultKind::Operator(OperatorAction::RecoversReplica)),
        "another operator's RecoverTable",
    ),
    (
        "operator-changeleader",
        Plain(FaultKind::Operator(OperatorAction::ChangesLeader)),
        "another operator's ChangeLeader",
    ),
    ("operator-loadtable", Plain(FaultKind::Operator(OperatorAction::LoadsReplica)), "another operator's LoadTable"),
    (
        "operator-drops-table",
        Plain(FaultKind::Operator(OperatorAction::DropsTable)),
        "another operator drops the table",
    ),
    (
        "follower-hears-later-term",
        Plain(FaultKind::Operator(OperatorAction::RaisesTerm)),
        "a follower hears of a later term than its leader's, as from an election that fails half way",
    ),
    (
        "operator-recoverdata",
        Plain(FaultKind::Operator(OperatorAction::RecoversEverything)),
        "another operator runs openmldb_ops.py recoverdata, as sbin/start-all.sh does",
    ),
    ("clients-write", Plain(FaultKind::Clients), "clients begin to write to the leaders they know"),
    ("tool-killed-before", Plain(FaultKind::Tool(ToolFate::KilledBefore)), "the tool is killed, the call not sent"),
    ("tool-killed-after", Plain(FaultKind::Tool(ToolFate::KilledAfter)), "the tool is killed, the call done"),
    ("lock-lost", Plain(FaultKind::Tool(ToolFate::LockLost)), "the tool's lock is lost"),
    ("lock-shaky", Plain(FaultKind::Tool(ToolFate::LockShaky)), "nobody knows whether the tool's lock is held"),
];

/// Every kind of fault but those of the tool itself: how it is written, and what it is.
pub fn vocabulary() -> impl Iterator<Item = (String, &'static str)> {
    let words = WORDS.iter().filter(|(_, form, _)| !matches!(form, Plain(FaultKind::Tool(_))));
    words.map(|(name, form, about)| match form {
        Plain(_) => ((*name).to_owned(), *about),
        Lasting(_) => (format!("{name}-TIME"), *about),
        Code => (format!("{name}-CODE"), *about),
    })
}

macro_rules! names {
    ($call:ident $answer:ident $messages:ident $service:literal;
     $($variant:ident $snake:ident $request:ident => $response:ident $effect:ident;)*) => {
        &[$(stringify!($variant)),*]
    };
}

const METHODS: [&[&str]; 2] = [nameserver_methods!(names), tablet_methods!(names)];

/// Calls that create an op.
const CREATE_OPS: [&str; 7] =
    ["RecoverTable", "ChangeLeader", "OfflineEndpoint", "RecoverEndpoint", "Migrate", "AddReplicaNs", "DelReplicaNs"];

impl FromStr for Fault {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, FaultError> {
        let wrong = |what: String| FaultError { text: text.to_owned(), what };
        let form = || wrong("the form is WHEN[@WHERE][:WHICH]=WHAT, as in LoadTable:2=reset-after".to_owned());
        let (when, what) = text.split_once('=').ok_or_else(form)?;
        let (when, which) = when.split_once(':').map_or((when, None), |(when, which)| (when, Some(which)));
        let (when, place) = when.split_once('@').map_or((when, None), |(when, place)| (when, Some(place)));
        let trigger = trigger(when, which).map_err(wrong)?;
        let place = place.map(self::place).transpose().map_err(wrong)?;
        let fault = Self { trigger, place, kind: kind(what).map_err(wrong)? };
        fault.check().map_err(wrong)?;
        Ok(fault)
    }
}

impl Fault {
    /// Whether that can happen then.
    fn check(&self) -> Result<(), String> {
        let (needs, method) = match (self.kind, self.trigger) {
            (FaultKind::Load(_), Trigger::Call(Method::Named("LoadTable"), _)) => return Ok(()),
            (FaultKind::Op(_), Trigger::Call(Method::Named(name), _)) if CREATE_OPS.contains(&name) => return Ok(()),
            (FaultKind::Load(_), _) => ("only LoadTable starts a load", true),
            (FaultKind::Op(_), _) => ("only calls that create an op have one, RecoverTable for example", true),
            (FaultKind::Way(_) | FaultKind::Tool(_), Trigger::After(_)) => {
                ("it happens to a call, not at a time", true)
            }
            _ => ("", false),
        };
        if method { Err(needs.to_owned()) } else { Ok(()) }
    }
}

fn trigger(when: &str, which: Option<&str>) -> Result<Trigger, String> {
    if when.starts_with(|first: char| first.is_ascii_digit()) {
        return match which {
            Some(_) => Err("a time comes once, so there is no `:` behind it".to_owned()),
            None => Ok(Trigger::After(time(when)?)),
        };
    }
    let method = match when {
        "*" => Method::Any,
        "mutation" => Method::Mutation,
        name => {
            let found = METHODS.into_iter().flatten().find(|known| **known == name);
            Method::Named(found.ok_or_else(|| {
                format!("no call is named `{name}`; `*` is any call, `mutation` any that changes something")
            })?)
        }
    };
    Ok(Trigger::Call(method, which.map_or(Ok(Which::Nth(1)), self::which)?))
}

fn which(text: &str) -> Result<Which, String> {
    if let Some((number, place)) = text.split_once('@') {
        return Err(format!("the place comes before the number: `@{place}:{number}`"));
    }
    let wrong =
        || format!("`:{text}` is none of :N (the N-th call, from 1), :N+ (from then on), :every and :N% (by chance)");
    let nth = |text: &str| text.parse().ok().filter(|nth| *nth > 0).ok_or_else(wrong);
    if let Some(text) = text.strip_suffix('+') {
        return nth(text).map(Which::From);
    }
    match text.strip_suffix('%') {
        _ if text == "every" => Ok(Which::Every),
        Some(percent) => {
            let percent: f64 = percent.parse().map_err(|_| wrong())?;
            let per_mille = (percent * 10.0).round();
            if (0.0..=1_000.0).contains(&per_mille) { Ok(Which::PerMille(per_mille as u32)) } else { Err(wrong()) }
        }
        None => nth(text).map(Which::Nth),
    }
}

fn place(text: &str) -> Result<Place, String> {
    let tablet = text.strip_prefix("tablet").and_then(|number| number.parse().ok()).filter(|number| *number > 0);
    let partition = || text.rsplit_once('/').and_then(|(table, pid)| Some((table, pid.parse().ok()?)));
    match tablet {
        Some(number) => Ok(Place::Tablet(number)),
        None => partition()
            .filter(|(table, _)| !table.is_empty())
            .map(|(table, pid)| Place::Partition(table.to_owned(), pid))
            .ok_or_else(|| format!("`@{text}` is neither @tabletN, counted from 1, nor @TABLE/PID")),
    }
}

fn kind(text: &str) -> Result<FaultKind, String> {
    for (name, form, _) in WORDS {
        let Some(rest) = text.strip_prefix(name) else { continue };
        match (form, rest.strip_prefix('-')) {
            (Plain(kind), None) if rest.is_empty() => return Ok(*kind),
            (Lasting(kind), Some(long)) => return Ok(kind(time(long)?)),
            (Code, Some(code)) => {
                let code = code.parse().map_err(|_| format!("`{code}` is no code"))?;
                return Ok(FaultKind::Way(Way::Answers(code)));
            }
            _ => {}
        }
    }
    let words: Vec<String> = vocabulary().map(|(name, _)| name).collect();
    Err(format!("`{text}` is nothing that can happen; there are {}", words.join(", ")))
}

/// Milliseconds.
fn time(text: &str) -> Result<Millis, String> {
    let (number, unit) = match (text.strip_suffix("ms"), text.strip_suffix('s')) {
        (Some(number), _) => (number, 1),
        (None, Some(number)) => (number, 1_000),
        (None, None) => ("", 0),
    };
    // A day is more than any run takes.
    let millis = number.parse::<Millis>().ok().and_then(|number| number.checked_mul(unit));
    millis.filter(|millis| *millis <= 86_400_000).ok_or_else(|| format!("`{text}` is no time such as 300ms or 10s"))
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.trigger {
            Trigger::After(millis) => write!(f, "{millis}ms")?,
            Trigger::Call(Method::Any, _) => write!(f, "*")?,
            Trigger::Call(Method::Mutation, _) => write!(f, "mutation")?,
            Trigger::Call(Method::Named(name), _) => write!(f, "{name}")?,
        }
        match &self.place {
            Some(Place::Tablet(number)) => write!(f, "@tablet{number}")?,
            Some(Place::Partition(table, pid)) => write!(f, "@{table}/{pid}")?,
            None => {}
        }
        match self.trigger {
            Trigger::Call(_, Which::Nth(1)) | Trigger::After(_) => {}
            Trigger::Call(_, Which::Nth(nth)) => write!(f, ":{nth}")?,
            Trigger::Call(_, Which::From(nth)) => write!(f, ":{nth}+")?,
            Trigger::Call(_, Which::Every) => write!(f, ":every")?,
            Trigger::Call(_, Which::PerMille(of)) => write!(f, ":{}%", f64::from(of) / 10.0)?,
        }
        write!(f, "={}", self.kind)
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let long = match *self {
            Self::Way(Way::Late(long) | Way::Slow(long))
            | Self::Load(LoadFate::Lasts(long))
            | Self::Server(
                ServerFate::NameserverRestarts(long)
                | ServerFate::NameserverFreezes(long)
                | ServerFate::StandbyFreezes(long)
                | ServerFate::TabletRestarts(long)
                | ServerFate::TabletFreezes(long)
                | ServerFate::TabletHangs(long)
                | ServerFate::TabletSlows(long),
            ) => long,
            Self::Way(Way::Answers(code)) => return write!(f, "code-{code}"),
            _ => 0,
        };
        for (name, form, _) in WORDS {
            match form {
                Plain(kind) if kind == self => return write!(f, "{name}"),
                Lasting(kind) if kind(long) == *self => return write!(f, "{name}-{long}ms"),
                _ => {}
            }
        }
        write!(f, "{self:?}")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn every_fault_reads_back_as_it_is_written() {
        for (name, form, _) in WORDS {
            let spec = match form {
                Plain(FaultKind::Load(_)) => format!("LoadTable:2={name}"),
                Lasting(lasting) if matches!(lasting(1), FaultKind::Load(_)) => format!("LoadTable:2={name}-1500ms"),
                Plain(_) => format!("RecoverTable@tablet2:2+={name}"),
                Lasting(_) => format!("ChangeLeader@orders/3:every={name}-1500ms"),
                Code => format!("ChangeRole:1.5%={name}-301"),
            };
            assert_eq!(spec.parse::<Fault>().unwrap().to_string(), spec);
        }
        assert_eq!("3s=tablet-restarts-2s".parse::<Fault>().unwrap().to_string(), "3000ms=tablet-restarts-2000ms");
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (spec, says) in [
            ("LoadTable", "the form is WHEN"),
            ("Loadtable=refused", "no call is named `Loadtable`"),
            ("LoadTable=lost", "`lost` is nothing that can happen; there are refused, "),
            ("LoadTable:0=refused", "`:0` is none of :N"),
            ("LoadTable:2@tablet1=refused", "the place comes before the number: `@tablet1:2`"),
            ("LoadTable:120%=refused", "`:120%` is none of"),
            ("LoadTable@somewhere=refused", "`@somewhere` is neither @tabletN"),
            ("LoadTable=slow-5", "`5` is no time such as"),
            ("LoadTable=code-x", "`x` is no code"),
            ("3s:2=tablet-dies", "a time comes once"),
            ("3s=refused", "happens to a call"),
            ("DropTable=load-sticks", "only LoadTable starts a load"),
            ("LoadTable=op-fails", "only calls that create an op"),
        ] {
            let error = spec.parse::<Fault>().unwrap_err().to_string();
            assert!(error.contains(says) && error.contains(spec), "{error}");
        }
    }
}
