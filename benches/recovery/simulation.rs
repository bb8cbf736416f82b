//! What simulating takes: whole rehearsals, the simulated cluster's time and the tool's together.

use std::time::{Duration, Instant};

use openmldb_ops::playbook::Playbook;
use openmldb_ops::rehearse::Rehearsal;
use openmldb_ops::sandbox::scenario::likeness;
use openmldb_ops::sandbox::world::Settings;

use super::Size;
use super::cost::cpu;
use super::table::{Book, rounded};

const SMALL: Size = Size { tablets: 10, tables: 125, partitions: 8, rows: 10 };
const LARGE: Size = Size { tablets: 100, tables: 1_250, partitions: 8, rows: 10 };
/// Every playbook that brings a whole cluster back.
const ALL: [&str; 3] = ["recover", "fast", "leaders-first"];

/// Runs it.
pub fn run(book: &mut Book, quick: bool) {
    book.begin("simulation", "CPU of whole rehearsals, the simulated cluster's and the tool's");
    row(book, "a rehearsal of all playbooks", SMALL, &ALL);
    if !quick {
        row(book, "recover", LARGE, &["recover"]);
    }
}

fn row(book: &mut Book, what: &str, size: Size, playbooks: &[&str]) {
    let like = likeness(&size.generate().snapshot(), Settings::default()).expect("a likeness");
    let (before, began) = (cpu(), Instant::now());
    let mut virtual_time = Duration::ZERO;
    for name in playbooks {
        let playbook = Playbook::find(name).expect("a built-in playbook");
        let done = Rehearsal { likeness: &like, playbook: &playbook, faults: &[], seed: 1 }.run().expect("a rehearsal");
        assert_eq!(done.rows.rows_after, done.rows.rows_expected, "no benchmark of a run that loses rows");
        virtual_time += Duration::from_millis(done.timeline.redundant.all_ms.expect("redundant"));
    }
    let spent = cpu() - before;
    eprintln!("{what} of {}: {:?} of the clock", size.name(), began.elapsed());
    let cells = [what.into(), size.name().into(), rounded(spent.as_secs_f64()), rounded(virtual_time.as_secs_f64())];
    book.row("simulation", &cells);
}
