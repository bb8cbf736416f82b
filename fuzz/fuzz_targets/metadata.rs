//! Whatever libFuzzer comes upon, read as a backup of metadata.
#![no_main]

#[path = "../entries.rs"]
#[allow(dead_code)]
mod entries;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| entries::metadata(bytes));
