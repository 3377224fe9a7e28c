//! The fuzzer of `checks/lane_manifest.rs`.
#![no_main]

#[path = "../checks/lane_manifest.rs"]
mod lane_manifest;

libfuzzer_sys::fuzz_target!(|input: &[u8]| lane_manifest::check(input));
