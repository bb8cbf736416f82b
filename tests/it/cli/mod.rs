//! The program as a person or a script meets it: a process with arguments, two streams and an exit code.

pub mod bad_input;

mod at_the_end;
mod bad_servers;
mod explaining;
mod finding;
mod help;
mod interrupted;
mod json;
mod naming;
mod planning;
mod records;
mod shell;
mod streams;
mod transcripts;
mod watching;
