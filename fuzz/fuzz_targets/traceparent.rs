//! Values of the header traceparent.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mainstay::inside::fuzz::traceparent(bytes));
