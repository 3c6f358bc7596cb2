//! A receipt handle: what is taken has exactly one spelling.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::receipt::Receipt;

fuzz_target!(|text: &str| {
    if let Ok(receipt) = Receipt::decode(text) {
        assert_eq!(receipt.encode().as_str(), text);
    }
});
