//! The nameservers against the recordings and the rules of reference 3.

#![allow(clippy::panic, clippy::unwrap_used)]

mod elections;
mod engine;
mod fixture;
mod moments;
mod refusals;
mod stub;
mod timelines;
