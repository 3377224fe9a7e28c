//! The fuzzer of `checks/where_text.rs`.
#![no_main]

#[path = "../checks/where_text.rs"]
mod where_text;

libfuzzer_sys::fuzz_target!(|input: &str| where_text::check(input));
