//! Rows, as a replica returns them when all of them are read.

/// One row of an index.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Row {
    /// The index's key: its columns' values as text, joined by `|`. Any bytes.
    pub key: Vec<u8>,
    /// The index's time, in milliseconds since 1970 where the table has a time column.
    pub time: u64,
    /// The row as OpenMLDB encodes it.
    pub value: Vec<u8>,
}

impl Row {
    /// The bytes it takes in an answer: key and value, the time, and two lengths.
    pub fn bytes(&self) -> u64 {
        (self.key.len() + self.value.len()) as u64 + 16
    }
}

/// A place in an index: behind so many rows of this key and time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowCursor {
    /// The key.
    pub key: Vec<u8>,
    /// The time.
    pub time: u64,
    /// Rows of that key and time that have been seen already.
    pub seen: u32,
}

/// Some rows of an index, in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowPage {
    /// The rows.
    pub rows: Vec<Row>,
    /// Where to go on; none behind the last row.
    pub next: Option<RowCursor>,
}
