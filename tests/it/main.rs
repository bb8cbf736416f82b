//! Everything that is tested from outside, but for `tests/safety`: one binary, so that it is linked once.

#![allow(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods, clippy::disallowed_types)]
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod accepted;
mod aggregates;
mod architecture;
mod benches;
mod beside;
mod cli;
mod conformance;
mod copies;
mod deep;
mod diagnosis;
mod discovery;
mod documents;
mod edge;
mod ends;
mod experiments;
mod fuzzed;
mod guard;
mod hints;
mod kept_off;
mod killed;
mod lengths;
mod locked;
mod metadata;
mod output;
mod packaging;
mod pictures;
mod plans;
mod practice;
mod promises;
mod put_back;
mod read_only;
mod recordings;
mod registration;
mod remote;
mod repairs;
mod rows;
mod scenarios;
mod single_steps;
mod steps;
mod stuck;
mod support;
mod terminal;
mod terms;
mod texts;
mod told;
mod troubles;
mod typed;
mod undertakings;
mod wiped;
mod zookeeper;
