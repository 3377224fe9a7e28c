//! The fuzzer of `checks/router_catalogue.rs`.
#![no_main]

#[path = "../checks/router_catalogue.rs"]
mod router_catalogue;

libfuzzer_sys::fuzz_target!(|input: &[u8]| router_catalogue::check(input));
