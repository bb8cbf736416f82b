//! What replicas really hold, row by row (Traverse): read page by page from several of them at once, and compared as it comes.
//!
//! Row counts lie after a DELETE, while rows expire, and on disk tables; rows do not
//! (docs/openmldb/tablet.md#row-counts-are-not-rows). [`RowComparison`] is pure; only [`compare_rows`] asks servers, and it
//! changes nothing.

mod aggregates;
mod compare;
mod read;
mod seen;
#[cfg(test)]
mod tests;

pub use aggregates::aggregated_up_to;
pub use compare::{OddRow, RowComparison, RowsRead, TooDifferent};
pub use read::{CompareError, Compared, Limits, SHOWN_BYTES, compare_rows};
pub use seen::{BYTES_PER_SECOND, not_too_many, rows_seen};
