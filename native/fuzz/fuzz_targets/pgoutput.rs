//! The fuzzer of `checks/pgoutput.rs`.
#![no_main]

#[path = "../checks/pgoutput.rs"]
mod pgoutput;

libfuzzer_sys::fuzz_target!(|input: &[u8]| pgoutput::check(input));
