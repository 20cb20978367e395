//! Access log formats, and requests in them.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mainstay::inside::fuzz::format_strings(bytes));
