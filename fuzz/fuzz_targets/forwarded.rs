//! What proxies say of the client.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mainstay::inside::fuzz::forwarded(bytes));
