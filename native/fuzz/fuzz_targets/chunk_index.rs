//! The fuzzer of `checks/chunk_index.rs`.
#![no_main]

#[path = "../checks/chunk_index.rs"]
mod chunk_index;

libfuzzer_sys::fuzz_target!(|input: &[u8]| chunk_index::check(input));
