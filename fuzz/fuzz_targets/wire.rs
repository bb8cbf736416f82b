//! Whatever libFuzzer comes upon, read as an answer of a server.
#![no_main]

#[path = "../entries.rs"]
#[allow(dead_code)]
mod entries;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| entries::wire(bytes));
