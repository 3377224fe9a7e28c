//! The fuzzer of `checks/row_bytes.rs`.
#![no_main]

#[path = "../checks/row_bytes.rs"]
mod row_bytes;

libfuzzer_sys::fuzz_target!(|input: &[u8]| row_bytes::check(input));
