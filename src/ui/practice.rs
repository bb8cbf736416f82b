//! What a sandbox that was told something answers, for people and for pipes.

use serde::Serialize;

use crate::model::counted;
use crate::sandbox::practice::{Order, Server, ServerState, Written};

use super::color::{Paint, Tone};
use super::columns::{Cell, Columns};

/// A sandbox's servers after an order about them.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename = "sandbox_servers")]
pub struct SandboxServersLine<'a> {
    order: &'static str,
    servers: &'a [Server],
}

impl<'a> SandboxServersLine<'a> {
    /// After that order.
    pub fn of(order: &Order, servers: &'a [Server]) -> Self {
        let order = match order {
            Order::Kill { .. } => "kill",
            Order::Start { .. } => "start",
            Order::Hang { .. } => "hang",
            Order::Write { .. } => "write",
        };
        Self { order, servers }
    }
}

/// How clients fared.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename = "sandbox_written")]
pub struct SandboxWrittenLine<'a> {
    #[serde(flatten)]
    written: &'a Written,
}

impl<'a> SandboxWrittenLine<'a> {
    /// Of that.
    pub fn of(written: &'a Written) -> Self {
        Self { written }
    }
}

/// The servers, those meant in bold.
pub fn sandbox_servers_text(line: &SandboxServersLine<'_>, paint: Paint) -> String {
    let mut columns = Columns::headed(&["server", "address", "state"]);
    for server in line.servers {
        let (tone, state) = match server.state {
            ServerState::Running => (Tone::Good, "running"),
            ServerState::Hanging => (Tone::Warning, "hanging: its port is open, it answers nothing"),
            ServerState::Dead => (Tone::Bad, "dead"),
        };
        let name = Cell::new(if server.told { Tone::Strong } else { Tone::Usual }, server.name.as_str());
        columns.row([name, server.address.as_str().into(), Cell::new(tone, state)]);
    }
    columns.text(0, paint)
}

/// Whether clients can write, first.
pub fn sandbox_written_text(written: &Written, paint: Paint) -> String {
    let Written { acknowledged, refused, partitions, partitions_refusing } = *written;
    let rows = |number| counted(number, "row");
    let (tone, sentence) = if partitions_refusing == partitions {
        (Tone::Bad, format!("Clients cannot write: none of {} takes a row", counted(partitions, "partition")))
    } else if partitions_refusing > 0 {
        let takes = partitions - partitions_refusing;
        (Tone::Bad, format!("Clients can write to {takes} of {}", counted(partitions, "partition")))
    } else {
        (Tone::Good, format!("Clients can write to all {}", counted(partitions, "partition")))
    };
    format!("{}: {} acknowledged, {refused} refused.\n", paint.tone(tone, &sentence), rows(acknowledged))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whether_clients_can_write_is_said_first() {
        let said = |acknowledged, refused, partitions, partitions_refusing| {
            let written = Written { acknowledged, refused, partitions, partitions_refusing };
            sandbox_written_text(&written, Paint::Plain)
        };
        assert_eq!(said(20, 0, 2, 0), "Clients can write to all 2 partitions: 20 rows acknowledged, 0 refused.\n");
        assert_eq!(said(1, 1, 2, 1), "Clients can write to 1 of 2 partitions: 1 row acknowledged, 1 refused.\n");
        assert_eq!(
            said(0, 2, 2, 2),
            "Clients cannot write: none of 2 partitions takes a row: 0 rows acknowledged, 2 refused.\n"
        );
    }
}
