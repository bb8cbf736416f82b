//! What there is to say of a step. All of it is pure: a look in, a plan or words out.

use crate::model::{Endpoint, Pid, Snapshot, TableName};
use crate::run::ToCompare;

use super::super::effect::Ask;
use super::super::known::Known;
use super::super::partition_context::{Planned, Refusal};

/// A step, in one place.
pub(in super::super) trait Definition {
    /// Its name, as a stable code.
    fn code(&self) -> &'static str;

    /// As the handbook writes it, as far as it is known before it is planned.
    fn handbook(&self) -> String;

    /// As an operator types it; none if it is only taken as a part of others.
    fn typed(&self) -> Option<String>;

    /// What it is about.
    fn target(&self) -> Target<'_>;

    /// What is asked once more, after everything else, before it is planned.
    fn asks_last(&self, _seen: &Snapshot) -> Vec<Ask> {
        Vec::new()
    }

    /// The replicas that have to be compared row by row before it is planned, because it would discard what one of them holds.
    fn compares(&self, _seen: &Snapshot, _known: &Known) -> Vec<ToCompare> {
        Vec::new()
    }

    /// What it needs; what is sent for it, unless it is so already; and what that is to bring about.
    ///
    /// # Errors
    /// Why OpenMLDB would refuse it, or how it could lose rows.
    fn plan(&self, seen: &Snapshot, known: &Known) -> Result<Planned, Refusal>;

    /// What it changes if it works; nothing is needed here of a step that no goal takes.
    fn predict(&self, _now: &mut Snapshot) {}

    /// What clients use now and could not use any more. It needs `--allow-unavailable` then.
    fn outage(&self, _seen: &Snapshot) -> Option<Refusal> {
        None
    }

    /// Whether it gives a tablet a leader or a replica. What it plans says to whom.
    fn gives(&self) -> bool {
        false
    }
}

/// What a step is about.
#[derive(Debug, Clone, Copy)]
pub(in super::super) enum Target<'a> {
    /// The cluster as a whole.
    Cluster,
    /// A tablet, with everything on it.
    Tablet,
    /// Partitions of a table.
    Table(&'a TableName),
}

/// `VERB D.T/PID ENDPOINT...`: as most steps are typed.
pub(super) fn typed_of(verb: &str, table: &TableName, pid: &Pid, at: &[&Endpoint]) -> Option<String> {
    let at: String = at.iter().map(|endpoint| format!(" {endpoint}")).collect();
    Some(format!("{verb} {table}/{pid}{at}"))
}
