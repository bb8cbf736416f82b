//! A history of terms from a backup, for a partition whose metadata have none, or only its beginning. Nothing else of the partition's
//! metadata changes.

use crate::metadata::KeptTerms;
use crate::model::{
    Manifest, Manual, OpId, Partition, Pid, Snapshot, TableName, Term, TermStart, counted, terms_listed,
};

use super::super::effect::{Effect, EffectStatus};
use super::super::known::Known;
use super::super::partition_context::{PartitionContext, Planned, Refusal, failover_is_off};
use super::SetTerms;
use super::definition::{Definition, Target, typed_of};

impl Definition for SetTerms<'_> {
    fn code(&self) -> &'static str {
        "terms_set"
    }

    fn handbook(&self) -> String {
        format!("settablepartition {} {} with {}", self.table.table, self.pid, terms_listed(&self.kept.terms))
    }

    fn typed(&self) -> Option<String> {
        Some(format!("{} --terms-from {}", typed_of("partition set", self.table, self.pid, &[])?, self.kept.from))
    }

    fn target(&self) -> Target<'_> {
        Target::Table(self.table)
    }

    /// A history is neither shortened nor contradicted, and what a replica shows of later terms contradicts it: the backup is older.
    fn plan(&self, seen: &Snapshot, _known: &Known) -> Result<Planned, Refusal> {
        let place = PartitionContext::find(seen, self.table, *self.pid)?;
        let (name, before) = (place.name(), &place.partition.terms);
        let KeptTerms { from, terms, .. } = self.kept;
        is_of(&place, self.kept)?;
        let (table, pid, terms) = (self.table.clone(), *self.pid, terms.clone());
        let effect = TermsSet { table: table.clone(), pid, terms: terms.clone() };
        if *before == terms {
            return Ok(Planned::already(effect));
        }
        if !terms.starts_with(before) {
            let text = format!(
                "the metadata of {name} have {}, and {} has {}",
                terms_listed(before),
                from,
                terms_listed(&terms)
            );
            return Err(Refusal::unsafe_now(
                text,
                "a history of terms is never shortened or contradicted; use a newer backup",
            ));
        }
        failover_is_off(seen)?;
        if seen.ops.iter().any(|op| op.table == table && op.pid == pid && op.status.is_in_flight()) {
            let text = format!("an operation of the nameserver is changing the metadata of {name}");
            return Err(Refusal::unsafe_now(text, "wait until it has ended: `openmldb-ops show ops`"));
        }
        if let Some(serving) = place.leader().filter(|_| !before.is_empty()) {
            let text = format!("{serving} leads {name}, by a history of terms that its metadata have");
            return Err(Refusal::unsafe_now(text, format!("see `openmldb-ops status --partition {name}`")));
        }
        contradicted(&place, &terms, from)?;
        let remarks = vec![
            format!("{name} before: {}", terms_listed(before)),
            format!("{name} after: {}", terms_listed(&terms)),
            format!(
                "elections since {from} was taken are not in it: `openmldb-ops recover --partition {name}` finds out first what each \
                 replica was written under"
            ),
        ];
        Ok(Planned::new(Some(Manual::SetTerms { table, pid, terms }), effect).noting(remarks))
    }
}

/// # Errors
/// The backup has another table of that name, or one cut into other partitions.
fn is_of(place: &PartitionContext<'_>, kept: &KeptTerms) -> Result<(), Refusal> {
    let (table, from) = (place.table, &kept.from);
    let text = if kept.tid != table.tid {
        format!(
            "{} is another table in {from}: its number is {} there, and {} in the cluster",
            table.name, kept.tid, table.tid
        )
    } else if kept.partitions != table.partitions.len() {
        let there = counted(kept.partitions, "partition");
        format!("{} has {there} in {from}, and {} in the cluster", table.name, table.partitions.len())
    } else {
        return Ok(());
    };
    Err(Refusal::unsafe_now(text, "use a backup of this cluster with this table in it"))
}

/// # Errors
/// A replica shows a term that the history does not have.
fn contradicted(place: &PartitionContext<'_>, terms: &[TermStart], from: &str) -> Result<(), Refusal> {
    let last = terms.last().map_or(Term(0), |start| start.term);
    let knows = |term: Term| term == Term(0) || terms.iter().any(|start| start.term == term);
    for replica in &place.partition.replicas {
        let Some(tablet) = place.seen.tablets.get(&replica.endpoint) else { continue };
        let (probes, at, name) = (tablet.probes(place.id()), &replica.endpoint, place.name());
        let heard = probes.term_pair.known().filter(|pair| pair.has_table && !knows(pair.term));
        let is_memory =
            !place.table.storage.is_disk() && place.table.base_table.is_none() && !place.seen.zone.follows();
        let written = probes.manifest.known().filter(|manifest| is_memory && manifest.count > 0).and_then(shown);
        let text = match (heard, written.filter(|term| !knows(*term))) {
            (_, Some(term)) => {
                format!("{at} holds rows of {name} of term {term}, which {from} does not have: it ends with {last}")
            }
            (Some(pair), None) => format!(
                "{at} has heard of term {} of {name}, which {from} does not have: it ends with {last}",
                pair.term
            ),
            (None, None) => continue,
        };
        let hint = "the backup is from before an election; use a newer one (`recover` saves one beside each record)";
        return Err(Refusal::unsafe_now(text, hint));
    }
    Ok(())
}

fn shown(manifest: &Manifest) -> Option<Term> {
    manifest.term
}

/// The partition's metadata have these terms.
#[derive(Debug)]
struct TermsSet {
    table: TableName,
    pid: Pid,
    terms: Vec<TermStart>,
}

impl Effect for TermsSet {
    fn effect_status(&self, seen: &Snapshot, _since: Option<OpId>) -> EffectStatus {
        let name = format!("{}/{}", self.table, self.pid);
        let has = |(_, partition): (_, &Partition)| partition.terms == self.terms;
        match seen.partition(&self.table, self.pid).is_some_and(has) {
            true => EffectStatus::Reached(format!("{name} has {}", terms_listed(&self.terms))),
            false => EffectStatus::Waiting(format!("{name} does not show them yet")),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "terms_tests.rs"]
mod tests;
