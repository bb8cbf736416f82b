//! The program as a person or a script meets it: a process with arguments, two streams and an exit code.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod bad_input;
mod bad_servers;
mod help;
mod interrupted;
mod json;
mod planning;
#[path = "../support/process.rs"]
mod process;
mod records;
mod streams;
mod transcripts;
