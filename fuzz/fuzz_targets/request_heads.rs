//! What a client sends, judged whole, split, and byte by byte.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mainstay::inside::fuzz::request_heads(bytes));
