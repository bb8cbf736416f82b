//! The program as a person or a script meets it: a process with arguments, two streams and an exit code.

pub mod bad_input;

mod bad_servers;
mod finding;
mod help;
mod interrupted;
mod json;
mod naming;
mod planning;
mod records;
mod streams;
mod transcripts;
