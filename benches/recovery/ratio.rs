//! Ratio to the limit: virtual time until serving and until redundant, over what the tablets' own loading (and, where a
//! playbook goes through them, the nameserver's lanes) takes at least.

use std::time::Instant;

use openmldb_ops::playbook::{PartitionStep, Playbook};
use openmldb_ops::rehearse::Rehearsal;
use openmldb_ops::sandbox::scenario::likeness;
use openmldb_ops::sandbox::world::Settings;

use super::Size;
use super::table::{Book, rounded};

const SIZES: [Size; 3] = [
    Size { tablets: 3, tables: 33, partitions: 5, rows: 1_000 },
    Size { tablets: 10, tables: 125, partitions: 8, rows: 1_000 },
    Size { tablets: 100, tables: 1_250, partitions: 8, rows: 1_000 },
];

/// Every playbook that brings a whole cluster back.
const PLAYBOOKS: [&str; 3] = ["recover", "fast", "leaders-first"];

/// Runs it. `full` plays hours of the nameserver's lanes through on the largest cluster, too: an hour of ours.
pub fn run(book: &mut Book, quick: bool, full: bool) {
    book.begin("ratio", "virtual seconds, over the limit");
    for size in SIZES.iter().take(if quick { 2 } else { SIZES.len() }) {
        let snapshot = size.generate().snapshot();
        let like = likeness(&snapshot, Settings::default()).expect("a likeness of a made-up cluster");
        // Half a day of the nameserver's lanes takes long to play through; what they allow shows on smaller clusters.
        let in_time = full || size.total() <= 1_000;
        for name in PLAYBOOKS.iter().filter(|name| in_time || **name != "recover") {
            let mut playbook = Playbook::find(name).expect("a built-in playbook");
            let is_whole = in_time || *name == "fast";
            if !is_whole {
                // When everything serves shows without the followers, too.
                let serves = |step: &PartitionStep| matches!(step, PartitionStep::MarkAlive { alive: true, .. });
                let until = playbook.partition.iter().position(serves).expect("a step that lets it serve");
                playbook.partition.truncate(until + 1);
            }
            let began = Instant::now();
            let done = Rehearsal { likeness: &like, playbook: &playbook, faults: &[], seed: 1 }.run();
            let done = done.expect("a rehearsal");
            let lost = done.rows.rows_expected - done.rows.rows_after;
            assert!(lost == 0 || !is_whole, "no benchmark of a run that loses rows");
            let seconds = |ms: u64| rounded(ms as f64 / 1000.0);
            let ratio = |ratio: Option<f64>| ratio.map_or(serde_json::Value::Null, rounded);
            book.row(
                "ratio",
                &[
                    size.name().into(),
                    (*name).into(),
                    done.timeline.serving.all_ms.map_or(serde_json::Value::Null, seconds),
                    seconds(done.limit.serving_ms),
                    ratio(done.ratio_to_limit.serving),
                    done.timeline.redundant.all_ms.filter(|_| is_whole).map_or(serde_json::Value::Null, seconds),
                    seconds(done.limit.redundant_ms),
                    ratio(done.ratio_to_limit.redundant.filter(|_| is_whole)),
                    done.timeline.blocked.into(),
                    rounded(began.elapsed().as_secs_f64()),
                ],
            );
        }
    }
}
