//! Which calls a work is made of.

use super::table::{Book, rounded};

/// Those that count for less than this of a partition are left out.
const LEAST: f64 = 0.5;

/// Keeps a work's calls by method, the most frequent first.
pub fn keep<'a>(
    book: &mut Book,
    work: &str,
    cluster: &str,
    partitions: u64,
    methods: impl Iterator<Item = (&'a str, u64)>,
) {
    let each = |calls: u64| calls as f64 / partitions as f64;
    let mut methods: Vec<(&str, u64)> = methods.collect();
    methods.sort_by_key(|(name, calls)| (std::cmp::Reverse(*calls), *name));
    let all: u64 = methods.iter().map(|(_, calls)| calls).sum();
    let told = methods.iter().filter(|(_, calls)| each(*calls) >= LEAST);
    let told: Vec<String> = told.map(|(name, calls)| format!("{name} {:.1}", each(*calls))).collect();
    if !told.is_empty() {
        book.note("calls", &[work.into(), cluster.into(), rounded(each(all)), told.join(", ").into()]);
    }
}
