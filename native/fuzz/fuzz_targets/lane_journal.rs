//! The fuzzer of `checks/lane_journal.rs`.
#![no_main]

#[path = "../checks/lane_journal.rs"]
mod lane_journal;

libfuzzer_sys::fuzz_target!(|input: &[u8]| lane_journal::check(input));
