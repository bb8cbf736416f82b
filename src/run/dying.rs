//! A tablet that dies again and again while it loads: it may have more to load than its host has memory for.

use crate::model::{Endpoint, PartitionId, Polled, counted, in_bytes};

use super::driver::{Driver, Report};
use super::event::Event;
use super::sizes::Sizes;

/// The first restart may have had any reason.
const AGAIN: u32 = 2;

impl Driver {
    /// A tablet was restarted while it was loading, for the so manieth time: what it has to load is asked for, and said.
    pub(super) fn dies_again(&mut self, endpoint: &Endpoint) {
        let deaths = self.deaths.entry(endpoint.clone()).or_insert(0);
        *deaths += 1;
        if *deaths < AGAIN {
            return;
        }
        let (cluster, endpoint) = (self.cluster.clone(), endpoint.clone());
        self.tasks.spawn(async move { Report::Sized(endpoint, cluster.polled().await.unwrap_or_default()) });
    }

    pub(super) fn note_sized(&mut self, endpoint: &Endpoint, polled: &[Polled]) {
        let sizes = Sizes::of(polled);
        let placed: &[PartitionId] = self.placed.get(endpoint).map_or(&[], Vec::as_slice);
        let named =
            placed.iter().filter_map(|id| Some((self.index.find(&self.snapshot.tables, *id)?.0.name.clone(), id.pid)));
        let known: Vec<u64> = named.filter_map(|(table, pid)| sizes.size(&table, pid).memory).collect();
        let of = match (known.len(), placed.len()) {
            (0, _) => "nobody knows how large".to_owned(),
            (some, all) if some == all => {
                format!("{} in memory by what the nameserver last knew", in_bytes(known.iter().sum()))
            }
            (some, _) => format!("{} in memory those {some} that the nameserver knew of", in_bytes(known.iter().sum())),
        };
        let times = self.deaths.get(endpoint).copied().unwrap_or(AGAIN);
        let text = format!(
            "tablet {endpoint} has been restarted {times} times by now while it was loading: out of memory? It has {} to load, {of}; \
             see the kernel's log on its host (`dmesg`) for what ended it",
            counted(placed.len(), "replica")
        );
        self.settings.record.note(&text);
        (self.settings.listener)(&Event::Note { text });
    }
}
