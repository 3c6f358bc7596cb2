//! What the engine stores decodes or is refused, whatever the bytes are.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| engine::fuzz::payloads(bytes));
