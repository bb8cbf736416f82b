//! Partitions by their names, however many there are, on part of a line.

use std::collections::BTreeMap;

use crate::model::{Pid, TableName, counted};

use super::words::one_line;

/// So many things are told one by one: of more, those that are alike are told together.
pub(super) const LISTED: usize = 10;
/// So many tables are named.
const TABLES: usize = 3;
/// And so many runs of partition numbers of each.
const RUNS: usize = 6;

/// `shop.orders/0-199, shop.items/3,5-9 and 3 more tables`, those with the most first.
pub(super) fn named<'a>(partitions: impl IntoIterator<Item = (&'a TableName, Pid)>) -> String {
    let mut by_table: BTreeMap<&TableName, Vec<u32>> = BTreeMap::new();
    partitions.into_iter().for_each(|(table, pid)| by_table.entry(table).or_default().push(pid.0));
    let of_a_table = |(table, mut pids): (&TableName, Vec<u32>)| {
        pids.sort_unstable();
        pids.dedup();
        one_line(&format!("{table}/{}", numbers(&pids)))
    };
    let mut by_table: Vec<(&TableName, Vec<u32>)> = by_table.into_iter().collect();
    by_table.sort_by(|(a, most), (b, other)| other.len().cmp(&most.len()).then_with(|| a.cmp(b)));
    let more = by_table.len().saturating_sub(TABLES);
    let told: Vec<String> = by_table.into_iter().take(TABLES).map(of_a_table).collect();
    match more {
        0 => told.join(", "),
        more => format!("{} and {}", told.join(", "), counted(more, "more table")),
    }
}

/// Ascending numbers, runs of them as `3-9`.
fn numbers(of: &[u32]) -> String {
    let runs: Vec<&[u32]> = of.chunk_by(|a, b| a + 1 == *b).collect();
    let said = runs.iter().take(RUNS).map(|run| match run {
        [only] => only.to_string(),
        [first, second] => format!("{first},{second}"),
        _ => format!("{}-{}", run.first().copied().unwrap_or_default(), run.last().copied().unwrap_or_default()),
    });
    let said: Vec<String> = said.collect();
    match runs.len() > RUNS {
        true => {
            let told: usize = runs.iter().take(RUNS).map(|run| run.len()).sum();
            format!("{} and {} more", said.join(","), of.len() - told)
        }
        false => said.join(","),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(partitions: &[(&str, u32)]) -> String {
        let tables: Vec<(TableName, Pid)> = partitions
            .iter()
            .map(|(table, pid)| (TableName { db: "shop".to_owned(), table: (*table).to_owned() }, Pid(*pid)))
            .collect();
        named(tables.iter().map(|(table, pid)| (table, *pid)))
    }

    #[test]
    fn neighbours_are_told_as_one() {
        assert_eq!(of(&[("a", 2), ("a", 0), ("a", 1), ("b", 3), ("b", 4), ("b", 9)]), "shop.a/0-2, shop.b/3,4,9");
    }

    #[test]
    fn a_line_is_a_line_however_many_there_are() {
        let odd: Vec<(&str, u32)> = (0..500).map(|pid| ("a", pid * 2)).collect();
        assert_eq!(of(&odd), "shop.a/0,2,4,6,8,10 and 494 more");
        let tables = ["a", "b", "c", "d", "e"].map(|table| (table, 0));
        assert_eq!(of(&tables), "shop.a/0, shop.b/0, shop.c/0 and 2 more tables");
    }
}
