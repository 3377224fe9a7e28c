//! The fuzzer of `checks/log_redo.rs`.
#![no_main]

#[path = "../checks/log_redo.rs"]
mod log_redo;

libfuzzer_sys::fuzz_target!(|input: &[u8]| log_redo::check(input));
