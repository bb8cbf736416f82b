//! Comparing what replicas hold, row by row, as it is read. Pure.
//!
//! Equal replicas show the same rows in the same order, so what one has shown and another has not yet is little, and is all that is
//! kept: once every replica has shown a row equally often it is forgotten. What is left at the end is the difference. The
//! order itself is never relied on: it only keeps memory small.

use std::collections::HashMap;

use crate::model::Row;

/// What a row takes beside its bytes while it is kept: the row and its counts in a table that is not full, and a piece of memory each for
/// its key, its value and the counts.
pub(super) const EACH: u64 = 240;

/// Compares any number of replicas, named by their position.
#[derive(Debug)]
pub struct RowComparison {
    sides: usize,
    read: Vec<RowsRead>,
    /// Rows that not every side has shown equally often: how often each has.
    unsettled: HashMap<Row, Vec<u32>>,
    held_bytes: u64,
    limit_bytes: u64,
}

/// What was read of one side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RowsRead {
    /// Rows.
    pub rows: u64,
    /// Their bytes in the answers.
    pub bytes: u64,
}

/// A row that not every replica holds, or not equally often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OddRow {
    /// The row.
    pub row: Row,
    /// How often each replica holds it.
    pub held: Vec<u32>,
}

/// The replicas differ in more than may be kept: comparing on would not name what differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("they differ in more rows than fit into {limit_bytes} bytes")]
pub struct TooDifferent {
    /// How much may be kept, in bytes.
    pub limit_bytes: u64,
}

impl RowComparison {
    /// Of so many replicas, with so many bytes of memory for the rows in which they differ so far, beside a page of each.
    pub fn of(sides: usize, limit_bytes: u64) -> Self {
        let read = vec![RowsRead::default(); sides];
        Self { sides, read, unsettled: HashMap::new(), held_bytes: 0, limit_bytes }
    }

    /// What was read of each side.
    pub fn read(&self) -> &[RowsRead] {
        &self.read
    }

    /// The side that has shown the fewest rows: reading on there keeps what has to be remembered small.
    pub fn behind(&self, is_open: impl Fn(usize) -> bool) -> Option<usize> {
        (0..self.sides).filter(|side| is_open(*side)).min_by_key(|side| self.read[*side].rows)
    }

    /// Takes rows that a side shows.
    ///
    /// # Errors
    /// The sides differ in too much.
    pub fn take(&mut self, side: usize, rows: impl IntoIterator<Item = Row>) -> Result<(), TooDifferent> {
        for row in rows {
            let bytes = row.bytes();
            self.read[side].rows += 1;
            self.read[side].bytes += bytes;
            match self.unsettled.get_mut(&row) {
                Some(held) => {
                    held[side] += 1;
                    if held.iter().all(|times| *times == held[0]) {
                        self.unsettled.remove(&row);
                        self.held_bytes -= bytes + EACH;
                    }
                }
                None if self.sides > 1 => {
                    let mut held = vec![0; self.sides];
                    held[side] = 1;
                    self.unsettled.insert(row, held);
                    self.held_bytes += bytes + EACH;
                }
                None => {}
            }
        }
        if self.held_bytes > self.limit_bytes {
            return Err(TooDifferent { limit_bytes: self.limit_bytes });
        }
        Ok(())
    }

    /// What they differ in, in the order of keys, once everything has been read.
    pub fn finish(self) -> Vec<OddRow> {
        let mut odd: Vec<OddRow> = self.unsettled.into_iter().map(|(row, held)| OddRow { row, held }).collect();
        odd.sort_by(|one, other| one.row.cmp(&other.row));
        odd
    }
}
