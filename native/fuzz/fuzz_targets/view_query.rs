//! The fuzzer of `checks/view_query.rs`.
#![no_main]

#[path = "../checks/view_query.rs"]
mod view_query;

libfuzzer_sys::fuzz_target!(|input: &[u8]| view_query::check(input));
