//! The fuzzer of `checks/collapse.rs`.
#![no_main]

#[path = "../checks/collapse.rs"]
mod collapse;

libfuzzer_sys::fuzz_target!(|input: &[u8]| collapse::check(input));
