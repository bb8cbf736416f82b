//! The sandbox against the recordings of real servers: brought to the same moment, it answers the same calls the same way.
//!
//! Compared is everything but what no simulation can know: times, sizes in bytes, how rows fall into segments, numbers of ops,
//! and the numbers of terms (their order counts).

mod moments;
mod recorded;
mod refusals;
mod timelines;
