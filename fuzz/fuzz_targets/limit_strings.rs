//! Limits, as an operator writes them.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mainstay::inside::fuzz::limit_strings(bytes));
