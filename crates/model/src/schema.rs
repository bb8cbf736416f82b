//! A table's columns and indexes, as far as reading its rows needs them.

/// Columns and indexes of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema {
    /// Its columns, those added later at the end.
    pub columns: Vec<Column>,
    /// How many of the columns rows of each schema version have; a version that is not listed has all of them.
    pub versions: Vec<(u8, usize)>,
    /// Its indexes, without those that were deleted. The first one is the one that row counts are about.
    pub indexes: Vec<Index>,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub kind: ColumnKind,
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnKind {
    /// A truth value, in one byte.
    Bool,
    /// An integer of 16 bits.
    SmallInt,
    /// An integer of 32 bits.
    Int,
    /// An integer of 64 bits.
    BigInt,
    /// A number of 32 bits.
    Float,
    /// A number of 64 bits.
    Double,
    /// A day, in 32 bits.
    Date,
    /// Milliseconds since 1970, in 64 bits.
    Timestamp,
    /// Text.
    Text,
    /// Something that is not read here (arrays, maps).
    Other,
}

/// An index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// Its name, as Traverse wants it.
    pub name: String,
    /// The columns of its key.
    pub columns: Vec<String>,
    /// The column of its time; none where rows are put with the time of their arrival.
    pub time: Option<String>,
    /// Whether rows expire in it, so that two replicas read at different times may differ.
    pub has_ttl: bool,
    /// How many newer rows of its key let a row expire, whatever its age; none if their number alone does not.
    pub keeps_newest: Option<u64>,
}

impl Schema {
    /// The columns that rows of a schema version have.
    pub fn columns_of(&self, version: u8) -> &[Column] {
        let count = self.versions.iter().find(|(listed, _)| *listed == version).map(|(_, count)| *count);
        let count = count.unwrap_or(self.columns.len()).min(self.columns.len());
        &self.columns[..count]
    }
}
