//! The fuzzer of `checks/view_snapshot.rs`.
#![no_main]

#[path = "../checks/view_snapshot.rs"]
mod view_snapshot;

libfuzzer_sys::fuzz_target!(|input: &[u8]| view_snapshot::check(input));
