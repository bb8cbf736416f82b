//! What a recovery needs of disks: a replica that is resent is written anew, and its old directory stays in the recycle bin beside it.

use std::collections::BTreeMap;

use crate::model::{Action, Endpoint, counted, in_bytes};
use crate::recovery::{PartitionPlan, Plan};
use crate::run::Sizes;

/// What is resent to one tablet.
#[derive(Default)]
struct Resent {
    replicas: usize,
    /// Of those whose size is known.
    bytes: u64,
    /// Whose size nobody knows.
    unknown: usize,
}

/// What a dry run says of it, tablet by tablet; nothing where nothing is resent as far as can be told before loading.
pub(super) fn would_resend(plan: &Plan, sizes: &Sizes) -> Vec<String> {
    let mut resent: BTreeMap<&Endpoint, Resent> = BTreeMap::new();
    for planned in &plan.partitions {
        // On disk a replica takes its log and its snapshot: about what its rows take in memory, where tablets have not counted yet.
        let size = sizes.size(&planned.table, planned.partition.pid);
        let bytes = size.disk.or(size.memory.filter(|bytes| *bytes > 0));
        for endpoint in resent_in(planned) {
            let on = resent.entry(endpoint).or_default();
            on.replicas += 1;
            match bytes {
                Some(bytes) => on.bytes = on.bytes.saturating_add(bytes),
                None => on.unknown += 1,
            }
        }
    }
    let told = resent.into_iter().map(|(endpoint, Resent { replicas, bytes, unknown })| {
        let takes = match (unknown, bytes) {
            (unknown, _) if unknown == replicas => "nobody knows how much disk for".to_owned(),
            (0, bytes) => format!("about {} on disk for", in_bytes(bytes)),
            (unknown, bytes) => format!("about {} on disk, and as much more as {unknown} of them take, for", in_bytes(bytes)),
        };
        format!(
            "{endpoint} needs {takes} {} that get their leader's data again; their old directories stay in its recycle bin beside that, until \
             recycle_ttl or somebody removes them",
            counted(replicas, "replica")
        )
    });
    told.collect()
}

/// The replicas whose data are replaced: they are dropped first, or RecoverTable is known to do it.
fn resent_in(planned: &PartitionPlan) -> impl Iterator<Item = &Endpoint> {
    planned.steps.iter().filter_map(|step| match &step.action {
        Action::RecoverTable { endpoint, .. } if planned.resends(endpoint) => Some(endpoint),
        _ => None,
    })
}
