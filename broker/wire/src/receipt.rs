//! The receipt handle: what a consumer hands back to finish, prolong or give up one delivery.
//!
//! ```text
//!   version 1 ‖ group 4 ‖ queue 4 ‖ offset 8 ‖ attempt 2 ‖ serial 4 ‖ due 8 ‖ epoch 4 ‖ crc 4   = 39 B
//!   as base64url without padding                                                                = 52 characters
//! ```
//!
//! Promise: `decode` accepts exactly what `encode` wrote, in its one spelling; any other text is a typed error. The CRC is
//! seeded, so it tells our handles from others; it is no signature. Whether the lease it names still stands, and
//! whether group and topic fit the request, is the engine's to judge.

use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use crc_fast::{CrcAlgorithm, Digest};

/// Length of every handle, in characters.
pub const TEXT_BYTES: usize = 52;
const RAW_BYTES: usize = 39;
const CRC_AT: usize = RAW_BYTES - 4;
const VERSION: u8 = 1;
const SEED: &[u8] = b"millpond receipt";
const _: () = assert!(RAW_BYTES / 3 * 4 == TEXT_BYTES && RAW_BYTES.is_multiple_of(3));

/// One delivery of one message to one consumer group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// The interned consumer group.
    pub consumer_group: u32,
    /// The queue, as the store's `QueueId` has it.
    pub queue: u32,
    /// The message within its queue.
    pub offset: u64,
    /// Which delivery of the message this is, from 1.
    pub attempt: u16,
    /// Tells apart the handles of one delivery: each change of its due time makes a new one.
    pub serial: u32,
    /// When the lease ends, in milliseconds since 1970.
    pub due_ms: u64,
    /// Who gave it.
    pub epoch: u32,
}

/// A text that is no receipt handle of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAReceipt {
    /// Not of the one length that all handles have.
    #[error("receipt handle has {0} characters, not {TEXT_BYTES}")]
    Length(usize),
    /// A character or an ending that base64url does not have.
    #[error("receipt handle is not base64url")]
    Base64,
    /// Written by another version of this broker.
    #[error("receipt handle has version {0}, not {VERSION}")]
    Version(u8),
    /// Changed on its way, or not made by a Millpond broker.
    #[error("receipt handle has a wrong checksum")]
    Checksum,
}

/// A handle's text, kept without an allocation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ReceiptText([u8; TEXT_BYTES]);

impl ReceiptText {
    /// The text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("base64url is ASCII")
    }
}

impl fmt::Debug for ReceiptText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for ReceiptText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Receipt {
    /// Reads a handle that a client sent.
    pub fn decode(text: &str) -> Result<Self, NotAReceipt> {
        if text.len() != TEXT_BYTES {
            return Err(NotAReceipt::Length(text.len()));
        }
        let mut raw = [0; RAW_BYTES];
        URL_SAFE_NO_PAD.decode_slice(text, &mut raw).map_err(|_| NotAReceipt::Base64)?;
        if raw[0] != VERSION {
            return Err(NotAReceipt::Version(raw[0]));
        }
        let (fields, crc) = raw.split_at(CRC_AT);
        if checksum(fields).to_le_bytes() != *crc {
            return Err(NotAReceipt::Checksum);
        }
        Ok(Self {
            consumer_group: u32::from_le_bytes(part(fields, 1)),
            queue: u32::from_le_bytes(part(fields, 5)),
            offset: u64::from_le_bytes(part(fields, 9)),
            attempt: u16::from_le_bytes(part(fields, 17)),
            serial: u32::from_le_bytes(part(fields, 19)),
            due_ms: u64::from_le_bytes(part(fields, 23)),
            epoch: u32::from_le_bytes(part(fields, 31)),
        })
    }

    /// The handle for a client.
    pub fn encode(&self) -> ReceiptText {
        let mut raw = [0; RAW_BYTES];
        raw[0] = VERSION;
        raw[1..5].copy_from_slice(&self.consumer_group.to_le_bytes());
        raw[5..9].copy_from_slice(&self.queue.to_le_bytes());
        raw[9..17].copy_from_slice(&self.offset.to_le_bytes());
        raw[17..19].copy_from_slice(&self.attempt.to_le_bytes());
        raw[19..23].copy_from_slice(&self.serial.to_le_bytes());
        raw[23..31].copy_from_slice(&self.due_ms.to_le_bytes());
        raw[31..35].copy_from_slice(&self.epoch.to_le_bytes());
        let crc = checksum(&raw[..CRC_AT]);
        raw[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        let mut text = [0; TEXT_BYTES];
        let written = URL_SAFE_NO_PAD.encode_slice(raw, &mut text).expect("52 characters hold 39 bytes");
        assert_eq!(written, TEXT_BYTES);
        ReceiptText(text)
    }
}

fn part<const N: usize>(fields: &[u8], at: usize) -> [u8; N] {
    fields[at..at + N].try_into().expect("the slice has N bytes")
}

fn checksum(fields: &[u8]) -> u32 {
    let mut digest = Digest::new(CrcAlgorithm::Crc32IsoHdlc);
    digest.update(SEED);
    digest.update(fields);
    digest.finalize() as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_receipt() -> impl Strategy<Value = Receipt> {
        any::<(u32, u32, u64, u16, u32, u64, u32)>().prop_map(
            |(consumer_group, queue, offset, attempt, serial, due_ms, epoch)| Receipt {
                consumer_group,
                queue,
                offset,
                attempt,
                serial,
                due_ms,
                epoch,
            },
        )
    }

    proptest! {
        #[test]
        fn a_handle_reads_back_as_what_was_written(receipt in any_receipt()) {
            prop_assert_eq!(Receipt::decode(receipt.encode().as_str()), Ok(receipt));
        }

        #[test]
        fn a_changed_character_is_noticed(receipt in any_receipt(), at in 0..TEXT_BYTES, to in "[A-Za-z0-9_-]") {
            let mut text = receipt.encode().as_str().to_owned();
            prop_assume!(text[at..=at] != to);
            text.replace_range(at..=at, &to);
            prop_assert!(Receipt::decode(&text).is_err());
        }

        #[test]
        fn any_text_is_answered(text in "\\PC{0,60}") {
            prop_assert!(Receipt::decode(&text).is_err());
        }
    }

    #[test]
    fn errors_name_what_is_wrong() {
        assert_eq!(Receipt::decode("abc"), Err(NotAReceipt::Length(3)));
        assert_eq!(Receipt::decode(&"A".repeat(52)), Err(NotAReceipt::Version(0)));
        assert_eq!(Receipt::decode(&"+".repeat(52)), Err(NotAReceipt::Base64));
    }
}
