//! What each playbook would take on this cluster, side by side.

use serde::Serialize;

use crate::model::{Verb, counted_that};
use crate::recovery::Forecast;

use super::color::{Paint, Tone};
use super::columns::{Cell, Columns};
use super::words::{elapsed, roughly};

/// The same for pipes.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename = "comparison")]
pub struct ComparisonLine<'a> {
    /// The playbook that the plan before it is of.
    pub playbook: &'a str,
    /// One estimate a playbook.
    pub playbooks: &'a [Forecast],
}

/// The table; nothing where there is nothing to do, or nothing that may be done.
pub fn comparison_text(line: &ComparisonLine<'_>, paint: Paint) -> String {
    // Where everything is blocked, no playbook does anything.
    let does = |of: &Forecast| of.redundant_after_ms > 0 || of.reattached + of.recovered + of.resent > 0;
    if line.playbooks.iter().all(|of| of.blocked > 0 && !does(of)) {
        return String::new();
    }
    let mut columns = Columns::headed(&["", "serving", "redundant", "by leader", "by op", "resent", "blocked"]);
    for forecast in line.playbooks {
        let name = match forecast.playbook == line.playbook {
            true => format!("{}, planned", forecast.playbook),
            false => forecast.playbook.clone(),
        };
        columns.row([
            Cell::from(name),
            elapsed(forecast.serving_after_ms).into(),
            elapsed(forecast.redundant_after_ms).into(),
            forecast.reattached.to_string().into(),
            forecast.recovered.to_string().into(),
            forecast.resent.to_string().into(),
            forecast.blocked.to_string().into(),
        ]);
    }
    let heading = paint.tone(Tone::Strong, "Playbooks compared (estimates; `rehearse --snapshot` plays them through)");
    format!("\n{heading}\n{}", columns.text(2, paint))
}

/// How long a run takes, on a cluster whose clock runs so much faster than ours, and what would be quicker.
pub fn how_long_text(planned: &Forecast, faster: Option<&Forecast>, pace: f64) -> String {
    let ours = |ms: u64| roughly(((ms as f64 / pace) as u64).max(1000));
    let (redundant, serving) = (ours(planned.redundant_after_ms), ours(planned.serving_after_ms));
    let faster = faster.map_or(String::new(), |faster| {
        format!("; --playbook {}: {}, same rules", faster.playbook, ours(faster.redundant_after_ms))
    });
    match planned.blocked {
        0 => format!("about {redundant} until every replica is back, and {serving} until all serve{faster}"),
        blocked => format!(
            "about {redundant} until every replica that can be is back, and {serving} until all that can serve do; {} blocked as far as \
             is known now{faster}",
            counted_that(blocked, "partition", Verb::Be)
        ),
    }
}
