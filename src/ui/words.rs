//! Words shared by every text: calls as the documented commands spell them, counts, times, and text from elsewhere made
//! safe for a terminal.

use crate::model::{Action, Endpoint, Manual, PartitionId, StorageMode, Term, counted, terms_listed};

pub use crate::model::in_bytes as bytes;
pub(super) use crate::model::moment;

/// Whether the numbers of a call are known, or assumed for a plan because only loading tells them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbers {
    /// As they will be sent.
    Known,
    /// Stand-ins.
    Assumed,
}

/// A call in the words of the documented command (ns_client's, and the tablet client's with `on ENDPOINT`).
pub fn command(action: &Action, numbers: Numbers) -> String {
    let on_tablet = |verb: &str, partition: &PartitionId, rest: &str, endpoint: &Endpoint| {
        format!("{verb} {} {}{rest} on {endpoint}", partition.tid, partition.pid)
    };
    let text = match action {
        Action::SetAutoFailover { on } => format!("confset auto_failover {on}"),
        Action::OfflineEndpoint { endpoint } => format!("offlineendpoint {endpoint}"),
        Action::CancelOp { op } => format!("cancelop {op}"),
        Action::MarkAlive { table, pid, endpoint, alive } => {
            let pid = pid.map_or("*".to_owned(), |pid| pid.to_string());
            format!("updatetablealive {} {pid} {endpoint} {}", table.table, if *alive { "yes" } else { "no" })
        }
        Action::ChangeLeader { table, pid, candidate } => format!("changeleader {} {pid} {candidate}", table.table),
        Action::RecoverTable { table, pid, endpoint } => format!("recovertable {} {pid} {endpoint}", table.table),
        Action::LoadTable { endpoint, table, partition, seg_cnt, storage } => {
            let PartitionId { tid, pid } = partition;
            let storage = storage_words(*storage);
            format!("loadtable {} {tid} {pid} seg_cnt {seg_cnt} mode follower{storage} on {endpoint}", table.table)
        }
        Action::LoadWithSchema { endpoint, table, partition, seg_cnt, storage } => {
            let PartitionId { tid, pid } = partition;
            let storage = storage_words(*storage);
            let name = &table.table;
            format!(
                "loadtable {name} {tid} {pid} seg_cnt {seg_cnt} mode follower{storage} with its schema on {endpoint}"
            )
        }
        Action::ChangeRole { endpoint, partition, term, replicas } => {
            let replicas = if replicas.is_empty() { "none".to_owned() } else { listed(replicas) };
            on_tablet("changerole", partition, &format!(" leader term {term} replicas {replicas}"), endpoint)
        }
        Action::AddReplica { endpoint, partition, follower } => {
            on_tablet("addreplica", partition, &format!(" {follower}"), endpoint)
        }
        Action::DelReplica { endpoint, partition, follower } => {
            on_tablet("delreplica", partition, &format!(" {follower}"), endpoint)
        }
        Action::AttachRemote { endpoint, partition, remote, remote_tid } => {
            on_tablet("addreplica", partition, &format!(" {remote} remote_tid {remote_tid}"), endpoint)
        }
        Action::DropTable { endpoint, partition } => on_tablet("droptable", partition, "", endpoint),
        Action::MakeSnapshot { endpoint, partition, offset, storage } => {
            let at = match numbers {
                Numbers::Known => format!(" at offset {offset}{}", storage_words(*storage)),
                Numbers::Assumed => format!(" at its own offset{}", storage_words(*storage)),
            };
            on_tablet("makesnapshot", partition, &at, endpoint)
        }
        Action::CreateAggregator { endpoint, partition, .. } => on_tablet("createaggregator", partition, "", endpoint),
        Action::RecoverSnapshot { endpoint, partition } => on_tablet("recoversnapshot", partition, "", endpoint),
        Action::Manual(action) => match action {
            Manual::DeleteOps { which } => format!("deleteop {which}"),
            Manual::AddReplica { table, pid, endpoint } => format!("addreplica {} {pid} {endpoint}", table.table),
            Manual::RemoveReplica { table, pid, endpoint } => format!("delreplica {} {pid} {endpoint}", table.table),
            Manual::MigrateReplica { table, pid, from, to } => format!("migrate {from} {} {pid} {to}", table.table),
            Manual::RecoverEndpoint { endpoint } => format!("recoverendpoint {endpoint}"),
            Manual::ForgetReplica { table, pid, gone } => {
                format!("settablepartition {} {pid} without {gone}", table.table)
            }
            Manual::ReplaceOnly { table, pid, gone, to } => {
                format!("settablepartition {} {pid} on {to} instead of {gone}", table.table)
            }
            Manual::SetTerms { table, pid, terms } => {
                format!("settablepartition {} {pid} with {}", table.table, terms_listed(terms))
            }
            Manual::Follow { endpoint, partition } => on_tablet("changerole", partition, " follower", endpoint),
            Manual::MakeDiskSnapshot { endpoint, partition } => on_tablet("makesnapshot", partition, "", endpoint),
        },
    };
    one_line(&text)
}

/// Memory is what everybody expects, so only the others are named.
fn storage_words(storage: StorageMode) -> &'static str {
    match storage {
        StorageMode::Memory => "",
        StorageMode::Ssd => " storage ssd",
        StorageMode::Hdd => " storage hdd",
    }
}

/// Endpoints, in the order given.
pub(super) fn listed<'a>(endpoints: impl IntoIterator<Item = &'a Endpoint>) -> String {
    endpoints.into_iter().map(Endpoint::as_str).collect::<Vec<_>>().join(", ")
}

/// The first few endpoints, and how many more there are.
pub(super) fn some_listed(endpoints: &[Endpoint]) -> String {
    const FEW: usize = 4;
    match endpoints.len().saturating_sub(FEW) {
        0 => listed(endpoints),
        more => format!("{} and {more} more", listed(endpoints.iter().take(FEW))),
    }
}

/// A number of entries that a replica loses, with what is known of their term.
pub(super) fn entries_lost(entries: u64, at_most: bool, term: Option<Term>) -> String {
    let term = term.map_or(String::new(), |term| format!(" of term {term}"));
    format!("{}{}{term}", if at_most { "at most " } else { "" }, counted(entries, "entry"))
}

/// `on` or `off`.
pub(super) fn on_off(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}

/// `04:13:07` of a moment in milliseconds since 1970.
pub(super) fn time_of_day(at_ms: u64) -> String {
    let second = at_ms / 1000 % 86_400;
    format!("{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60)
}

/// Milliseconds as seconds, or as minutes and seconds from two minutes on.
pub(super) fn elapsed(ms: u64) -> String {
    match ms / 1000 {
        0..120 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        s => format!("{} min {} s", s / 60, s % 60),
    }
}

/// Milliseconds as whole seconds, minutes or hours, whichever says enough.
pub(super) fn roughly(ms: u64) -> String {
    match ms / 1000 {
        s @ 0..120 => format!("{s} s"),
        s @ 120..7200 => format!("{} min", s / 60),
        s if s / 60 % 60 == 0 => format!("{} h", s / 3600),
        s => format!("{} h {} min", s / 3600, s / 60 % 60),
    }
}

/// What a text says of a server that does not answer: who that is and why, and the text without the why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Silence {
    pub(super) who: String,
    pub(super) why: String,
    pub(super) short: String,
}

/// Finds `ENDPOINT does not answer (WHY)`. Of one tablet many partitions say the same, and the reason is long.
pub(super) fn silence(text: &str) -> Option<Silence> {
    const SAID: &str = "does not answer";
    let (before, rest) = text.split_once(&format!("{SAID} ("))?;
    let mut open = 1_usize;
    let closes = |&(_, c): &(usize, char)| {
        match c {
            '(' => open += 1,
            ')' => open -= 1,
            _ => {}
        }
        open == 0
    };
    let (end, _) = rest.char_indices().find(closes)?;
    let (why, after) = (rest.get(..end)?, rest.get(end + 1..)?);
    let who = before.split_whitespace().next_back().unwrap_or_default();
    Some(Silence { who: who.to_owned(), why: why.to_owned(), short: format!("{before}{SAID}{after}") })
}

/// Text from a server on one line, without anything that a terminal would obey.
pub(super) fn one_line(text: &str) -> String {
    let blank = |c: char| if c.is_whitespace() { ' ' } else { c };
    let visible = text.trim().chars().map(blank).map(|c| if c.is_control() { '\u{fffd}' } else { c });
    visible.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Offset, OpId, Pid, TableName, Tid};

    #[test]
    fn calls_read_as_the_documented_commands() {
        let table = TableName { db: "shop".to_owned(), table: "orders".to_owned() };
        let (pid, partition) = (Pid(1), PartitionId { tid: Tid(7), pid: Pid(1) });
        let a = || Endpoint::from("127.0.0.1:11921");
        let b = || Endpoint::from("127.0.0.1:11922");
        let load = |storage| Action::LoadTable { endpoint: a(), table: table.clone(), partition, seg_cnt: 8, storage };
        let lead = |replicas| Action::ChangeRole { endpoint: a(), partition, term: Term(3), replicas };
        let alive = |pid, alive| Action::MarkAlive { table: table.clone(), pid, endpoint: a(), alive };
        let storage = StorageMode::Memory;
        let actions = [
            Action::SetAutoFailover { on: false },
            Action::CancelOp { op: OpId(12) },
            alive(Some(pid), false),
            alive(None, true),
            Action::ChangeLeader { table: table.clone(), pid, candidate: b() },
            Action::RecoverTable { table: table.clone(), pid, endpoint: b() },
            load(StorageMode::Memory),
            load(StorageMode::Hdd),
            lead(vec![b(), a()]),
            lead(vec![]),
            Action::AddReplica { endpoint: a(), partition, follower: b() },
            Action::DelReplica { endpoint: a(), partition, follower: b() },
            Action::DropTable { endpoint: b(), partition },
            Action::MakeSnapshot { endpoint: b(), partition, offset: Offset(93), storage },
            Action::RecoverSnapshot { endpoint: a(), partition },
        ];
        let commands: Vec<String> = actions.iter().map(|action| command(action, Numbers::Known)).collect();
        insta::assert_snapshot!(commands.join("\n"), @r"
        confset auto_failover false
        cancelop 12
        updatetablealive orders 1 127.0.0.1:11921 no
        updatetablealive orders * 127.0.0.1:11921 yes
        changeleader orders 1 127.0.0.1:11922
        recovertable orders 1 127.0.0.1:11922
        loadtable orders 7 1 seg_cnt 8 mode follower on 127.0.0.1:11921
        loadtable orders 7 1 seg_cnt 8 mode follower storage hdd on 127.0.0.1:11921
        changerole 7 1 leader term 3 replicas 127.0.0.1:11922, 127.0.0.1:11921 on 127.0.0.1:11921
        changerole 7 1 leader term 3 replicas none on 127.0.0.1:11921
        addreplica 7 1 127.0.0.1:11922 on 127.0.0.1:11921
        delreplica 7 1 127.0.0.1:11922 on 127.0.0.1:11921
        droptable 7 1 on 127.0.0.1:11922
        makesnapshot 7 1 at offset 93 on 127.0.0.1:11922
        recoversnapshot 7 1 on 127.0.0.1:11921
        ");
        let assumed = command(&actions[13], Numbers::Assumed);
        assert_eq!(assumed, "makesnapshot 7 1 at its own offset on 127.0.0.1:11922");
    }

    #[test]
    fn why_a_server_does_not_answer_is_told_apart_from_that_it_does_not() {
        let text = "shop.a/0: blocked, not_redundant: a:1 does not answer (refused (os error 111)); it serves (so far)";
        let found = silence(text).unwrap();
        assert_eq!((found.who.as_str(), found.why.as_str()), ("a:1", "refused (os error 111)"));
        assert_eq!(found.short, "shop.a/0: blocked, not_redundant: a:1 does not answer; it serves (so far)");
        for other in ["a:1 does not answer", "a:1 does not answer (cut off", "a:1 answers (late)"] {
            assert_eq!(silence(other), None, "{other}");
        }
    }

    #[test]
    fn times_that_are_waited_are_round() {
        let said = [29_999, 119_000, 245_000, 7_199_000, 7_200_000, 9_000_000].map(roughly);
        assert_eq!(said.join(", "), "29 s, 119 s, 4 min, 119 min, 2 h, 2 h 30 min");
    }

    #[test]
    fn sizes_have_units() {
        let said = [0, 1023, 1024, 85_357, 5 << 20, (1 << 30) - 1, 3 << 40, u64::MAX].map(bytes);
        assert_eq!(said.join(", "), "0 B, 1023 B, 1.0 KiB, 83.3 KiB, 5.0 MiB, 1023.9 MiB, 3.0 TiB, 16383.9 PiB");
    }

    #[test]
    fn times_are_short() {
        assert_eq!(
            [elapsed(90), elapsed(2345), elapsed(119_999), elapsed(125_000)].join(", "),
            "0.0 s, 2.3 s, 119.9 s, 2 min 5 s"
        );
    }

    #[test]
    fn nothing_from_a_server_commands_the_terminal_or_breaks_the_line() {
        assert_eq!(one_line("fail\n\tto \u{1b}[2Jinit\u{7}\n"), "fail  to \u{fffd}[2Jinit\u{fffd}");
    }
}
