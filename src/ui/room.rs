//! Whether what is to be moved fits where it is to go, as far as anybody knows.

use std::collections::BTreeMap;

use crate::model::{Endpoint, Snapshot, in_bytes as bytes};
use crate::run::{Size, Sizes};

/// What somebody should know of a tablet's memory and disk before it is given more.
pub(super) fn warnings(before: &Snapshot, after: &Snapshot, sizes: &Sizes) -> Vec<String> {
    let (now, then) = (sizes.on_tablets(before), sizes.on_tablets(after));
    let (memory, disk) = (|size: &Size| size.memory, |size: &Size| size.disk);
    let mut warnings = tight(&now, &then, (memory, "in memory"), sizes.room.memory);
    warnings.extend(tight(&now, &then, (disk, "on disk"), sizes.room.disk));
    let grows = then.keys().any(|at| replicas(after, at) > replicas(before, at));
    let is_large = now.values().filter_map(memory).any(|bytes| bytes >= FITS_ANYWHERE);
    if grows && is_large && !now.values().any(|size| size.disk.is_some()) {
        let text =
            "how much disk replicas take is not known: tablets count it every ten minutes, and nobody has counted yet";
        warnings.push(text.to_owned());
    }
    warnings
}

fn replicas(seen: &Snapshot, at: &Endpoint) -> usize {
    seen.tables.iter().map(|table| table.partitions_on(at).count()).sum()
}

/// Below this there is no warning.
const FITS_ANYWHERE: u64 = 1 << 30;

type Of = fn(&Size) -> Option<u64>;

/// Tablets that would have more than they have room for; where nobody says how much that is, more than any tablet has now.
fn tight(
    now: &BTreeMap<Endpoint, Size>,
    then: &BTreeMap<Endpoint, Size>,
    (of, kind): (Of, &str),
    room: Option<u64>,
) -> Vec<String> {
    let most = now.values().filter_map(of).max().unwrap_or(0);
    let grown = then.iter().filter_map(|(at, size)| {
        let (bytes, before) = (of(size)?, now.get(at).and_then(of).unwrap_or(0));
        (bytes > before).then_some((at, bytes))
    });
    let told = grown.filter_map(|(at, will)| match room {
        Some(room) if will > room => {
            Some(format!("{at} would have {} {kind}, and has room for {}: it will not fit", bytes(will), bytes(room)))
        }
        None if will > most && will >= FITS_ANYWHERE => Some(format!(
            "{at} would have {} {kind}, more than any tablet has now ({}); no server tells how much it has room for: say so with --tablet-room",
            bytes(will),
            bytes(most)
        )),
        _ => None,
    });
    told.collect()
}
