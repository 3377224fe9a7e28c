//! The fuzzer of `checks/where_sets.rs`.
#![no_main]

#[path = "../checks/where_sets.rs"]
mod where_sets;

libfuzzer_sys::fuzz_target!(|clause: &str| where_sets::check(clause));
