//! `sandbox kill|start|hang|write`: orders to a sandbox that `sandbox serve` keeps.

use crate::sandbox::practice::{Answer, Order};
use crate::ui::{SandboxServersLine, SandboxWrittenLine, sandbox_servers_text, sandbox_written_text};

use super::args::practice::{SandboxServers, SandboxWrite};
use super::doors::tell;
use super::failure::{Exit, Failure};
use super::out::Out;

/// Has servers killed, started or hanging.
///
/// # Errors
/// No sandbox runs, several do, or it has no such server.
pub async fn servers(args: &SandboxServers, order: Order, out: &Out) -> Result<Exit, Failure> {
    answered(tell(args.which.nameserver.as_deref(), &order).await?, &order, out)
}

/// Has clients write.
///
/// # Errors
/// No sandbox runs, or several do.
pub async fn write(args: &SandboxWrite, out: &Out) -> Result<Exit, Failure> {
    let order = Order::Write { rows: args.rows };
    answered(tell(args.which.nameserver.as_deref(), &order).await?, &order, out)
}

fn answered(answer: Answer, order: &Order, out: &Out) -> Result<Exit, Failure> {
    match answer {
        Answer::Servers { servers } => {
            let line = SandboxServersLine::of(order, &servers);
            out.text_or(&sandbox_servers_text(&line, out.paint()), &line)?;
            Ok(Exit::Healthy)
        }
        Answer::Written(written) => {
            out.text_or(&sandbox_written_text(&written, out.paint()), &SandboxWrittenLine::of(&written))?;
            Ok(if written.refused == 0 { Exit::Healthy } else { Exit::Partial })
        }
        Answer::Refused { why } => Err(crate::sandbox::practice::OrderError::Refused(why).into()),
    }
}
