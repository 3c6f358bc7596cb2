//! Any bytes are refused as a header or come back as the same bytes, even with a checksum that fits.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| store::log::fuzz::headers(bytes));
