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
    resent.into_iter().map(|(endpoint, resent)| resent.on(endpoint)).collect()
}

impl Resent {
    fn on(&self, endpoint: &Endpoint) -> String {
        let takes = match self.unknown {
            unknown if unknown == self.replicas => "nobody knows how much of its disk that takes".to_owned(),
            0 => format!("that takes about {} of its disk", in_bytes(self.bytes)),
            unknown => {
                format!(
                    "that takes about {} of its disk, and what {unknown} of them take nobody knows",
                    in_bytes(self.bytes)
                )
            }
        };
        format!(
            "{} on {endpoint} get their leader's data again, and {takes}; what is there now stays in its recycle bin beside that, until \
             recycle_ttl has passed or somebody removes it",
            counted(self.replicas, "replica")
        )
    }
}

/// The replicas whose data are replaced: they are dropped first, or RecoverTable is known to do it.
fn resent_in(planned: &PartitionPlan) -> impl Iterator<Item = &Endpoint> {
    planned.steps.iter().filter_map(|step| match &step.action {
        Action::RecoverTable { endpoint, .. } if planned.resends(endpoint) => Some(endpoint),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_of_disks_is_said_and_what_is_not_too() {
        let said = |replicas, bytes, unknown| Resent { replicas, bytes, unknown }.on(&Endpoint::from("t:1"));
        assert!(
            said(2, 3 << 30, 0)
                .contains("2 replicas on t:1 get their leader's data again, and that takes about 3.0 GiB")
        );
        assert!(said(2, 1 << 30, 1).contains("about 1.0 GiB of its disk, and what 1 of them take nobody knows"));
        assert!(said(2, 0, 2).contains("nobody knows how much"));
    }
}
