//! The fuzzer of `checks/wal_change.rs`.
#![no_main]

#[path = "../checks/wal_change.rs"]
mod wal_change;

libfuzzer_sys::fuzz_target!(|input: &[u8]| wal_change::check(input));
