//! The fuzzer of `checks/lane_segment.rs`.
#![no_main]

#[path = "../checks/lane_segment.rs"]
mod lane_segment;

libfuzzer_sys::fuzz_target!(|input: &[u8]| lane_segment::check(input));
