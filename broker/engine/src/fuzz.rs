//! Doors for the fuzz target, which is a crate of its own.

use crate::{catalog, handed, records};

/// Decodes the bytes as each payload that the engine stores.
pub fn payloads(bytes: &[u8]) {
    records::fuzz(bytes);
    let _ = handed::decode(bytes);
    catalog::fuzz(bytes);
}
