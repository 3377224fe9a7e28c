//! The fuzzer of `checks/view_batch.rs`.
#![no_main]

#[path = "../checks/view_batch.rs"]
mod view_batch;

libfuzzer_sys::fuzz_target!(|input: &[u8]| view_batch::check(input));
