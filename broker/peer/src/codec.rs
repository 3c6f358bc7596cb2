//! Frames between members: bytes to values and back.
//!
//! ```text
//!   | length u32 | crc u32 | head length u32 | head ... | body ... |
//!     of head, body and the field before them; the crc covers the head; a body carries its own checksums
//! ```
//!
//! Little-endian throughout. Promise: a frame comes back as it was sent; anything else is a [`FrameError`], never a
//! panic, and never more memory than [`BODY_BYTES_MAX`].

mod message;
#[cfg(test)]
mod tests;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use crds::group_record::{MemberId, Version};
use replica::event::Message;
use store::log::crc32;

/// The version of the protocol; peers of another one are refused.
pub(crate) const VERSION: u16 = 1;
/// A batch of the log with its headers, or a seed.
pub(crate) const BODY_BYTES_MAX: usize = 256 << 20;
const HEAD_BYTES_MAX: usize = 1 << 20;
/// Length, checksum, length of the head.
pub(crate) const PREFIX_BYTES: usize = 12;
const MAGIC: u32 = u32::from_le_bytes(*b"mpnd");

/// What one member sends another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// First on every connection, in both directions.
    Greeting(Greeting),
    /// The protocol's; `body` comes with `Append` and `Seed`.
    Message { message: Message, body: Body },
    /// Please ask the arbiter for this change, I cannot reach it.
    Relay { base: Version, record: String },
    /// Please read the record for me.
    Ask,
    /// The record as I read it: a `Seen` as JSON.
    Seen(String),
}

/// Who is calling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Greeting {
    /// Cluster and group: `shop/g0`.
    pub(crate) group: String,
    pub(crate) from: MemberId,
}

/// What comes with a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    None,
    Span(Span),
    Seed(SeedBody),
}

/// Whole batches of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) segment_start: u64,
    pub(crate) segment_bytes: u64,
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) bytes: Bytes,
}

/// What a log begins with that does not begin at the beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SeedBody {
    pub(crate) log_id: [u8; 16],
    pub(crate) start: u64,
    pub(crate) segment_bytes: u64,
    /// Epochs up to `start`: number and first position.
    pub(crate) epochs: Vec<(u32, u64)>,
    pub(crate) state: Bytes,
}

/// Why bytes are not a frame.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("frame of {bytes} B, the limit is {limit} B")]
    TooLong { bytes: usize, limit: usize },
    #[error("frame is damaged")]
    Damaged,
    #[error("frame of unknown kind {0}")]
    Unknown(u8),
    #[error("protocol version {0}, this broker speaks {VERSION}")]
    Version(u16),
}

impl Frame {
    /// The frame without its body, which is to be written right behind it.
    pub(crate) fn encode(&self) -> (BytesMut, Bytes) {
        let mut out = BytesMut::zeroed(PREFIX_BYTES);
        let body = match self {
            Self::Greeting(Greeting { group, from }) => {
                out.put_u8(0);
                out.put_u32_le(MAGIC);
                out.put_u16_le(VERSION);
                message::put_member(&mut out, *from);
                put_text(&mut out, group);
                Bytes::new()
            }
            Self::Message { message, body } => {
                out.put_u8(1);
                message::put(&mut out, message);
                put_body(&mut out, body)
            }
            Self::Relay { base, record } => {
                out.put_u8(2);
                out.put_u64_le(base.0);
                put_text(&mut out, record);
                Bytes::new()
            }
            Self::Ask => {
                out.put_u8(3);
                Bytes::new()
            }
            Self::Seen(seen) => {
                out.put_u8(4);
                put_text(&mut out, seen);
                Bytes::new()
            }
        };
        let head_bytes = out.len() - PREFIX_BYTES;
        let crc = crc32(&out[PREFIX_BYTES..]);
        let mut prefix = &mut out[..PREFIX_BYTES];
        prefix.put_u32_le((4 + head_bytes + body.len()) as u32);
        prefix.put_u32_le(crc);
        prefix.put_u32_le(head_bytes as u32);
        (out, body)
    }

    /// Bytes that follow the prefix: the head's and the body's.
    pub(crate) fn lengths(prefix: &[u8; PREFIX_BYTES]) -> Result<(usize, usize), FrameError> {
        let mut prefix = &prefix[..];
        let bytes = prefix.get_u32_le() as usize;
        prefix.advance(4);
        let head_bytes = prefix.get_u32_le() as usize;
        if head_bytes > HEAD_BYTES_MAX {
            return Err(FrameError::TooLong { bytes: head_bytes, limit: HEAD_BYTES_MAX });
        }
        let body_bytes = bytes.checked_sub(4 + head_bytes).ok_or(FrameError::Damaged)?;
        if body_bytes > BODY_BYTES_MAX {
            return Err(FrameError::TooLong { bytes: body_bytes, limit: BODY_BYTES_MAX });
        }
        Ok((head_bytes, body_bytes))
    }

    /// The frame with this prefix, head and body.
    pub(crate) fn decode(prefix: &[u8; PREFIX_BYTES], head: &[u8], body: Bytes) -> Result<Self, FrameError> {
        let crc = (&prefix[4..8]).get_u32_le();
        if crc32(head) != crc {
            return Err(FrameError::Damaged);
        }
        let mut head = head;
        let frame = match take_u8(&mut head)? {
            0 => {
                if take_u32(&mut head)? != MAGIC {
                    return Err(FrameError::Damaged);
                }
                let version = take_u16(&mut head)?;
                if version != VERSION {
                    return Err(FrameError::Version(version));
                }
                let from = message::take_member(&mut head)?;
                Self::Greeting(Greeting { from, group: take_text(&mut head)? })
            }
            1 => {
                let message = message::take(&mut head)?;
                let body = take_body(&mut head, body)?;
                return if head.is_empty() {
                    Ok(Self::Message { message, body })
                } else {
                    Err(FrameError::Damaged)
                };
            }
            2 => Self::Relay { base: Version(take_u64(&mut head)?), record: take_text(&mut head)? },
            3 => Self::Ask,
            4 => Self::Seen(take_text(&mut head)?),
            other => return Err(FrameError::Unknown(other)),
        };
        if head.is_empty() && body.is_empty() { Ok(frame) } else { Err(FrameError::Damaged) }
    }
}

fn put_body(out: &mut BytesMut, body: &Body) -> Bytes {
    match body {
        Body::None => {
            out.put_u8(0);
            Bytes::new()
        }
        Body::Span(span) => {
            out.put_u8(1);
            for number in [span.segment_start, span.segment_bytes, span.start, span.end] {
                out.put_u64_le(number);
            }
            span.bytes.clone()
        }
        Body::Seed(seed) => {
            out.put_u8(2);
            out.put_slice(&seed.log_id);
            out.put_u64_le(seed.start);
            out.put_u64_le(seed.segment_bytes);
            out.put_u32_le(seed.epochs.len() as u32);
            for &(epoch, start) in &seed.epochs {
                out.put_u32_le(epoch);
                out.put_u64_le(start);
            }
            seed.state.clone()
        }
    }
}

fn take_body(head: &mut &[u8], body: Bytes) -> Result<Body, FrameError> {
    match take_u8(head)? {
        0 if body.is_empty() => Ok(Body::None),
        1 => Ok(Body::Span(Span {
            segment_start: take_u64(head)?,
            segment_bytes: take_u64(head)?,
            start: take_u64(head)?,
            end: take_u64(head)?,
            bytes: body,
        })),
        2 => {
            let log_id = head.split_off(..16).and_then(|id| id.try_into().ok()).ok_or(FrameError::Damaged)?;
            let (start, segment_bytes) = (take_u64(head)?, take_u64(head)?);
            let count = take_u32(head)?;
            let epochs =
                (0..count).map(|_| Ok((take_u32(head)?, take_u64(head)?))).collect::<Result<_, _>>()?;
            Ok(Body::Seed(SeedBody { log_id, start, segment_bytes, epochs, state: body }))
        }
        _ => Err(FrameError::Damaged),
    }
}

fn put_text(out: &mut BytesMut, text: &str) {
    out.put_u32_le(text.len() as u32);
    out.put_slice(text.as_bytes());
}

fn take_text(head: &mut &[u8]) -> Result<String, FrameError> {
    let bytes = take_u32(head)? as usize;
    let text = head.split_off(..bytes).ok_or(FrameError::Damaged)?;
    String::from_utf8(text.to_vec()).map_err(|_| FrameError::Damaged)
}

pub(crate) fn take_u8(head: &mut &[u8]) -> Result<u8, FrameError> {
    head.try_get_u8().map_err(|_| FrameError::Damaged)
}

fn take_u16(head: &mut &[u8]) -> Result<u16, FrameError> {
    head.try_get_u16_le().map_err(|_| FrameError::Damaged)
}

pub(crate) fn take_u32(head: &mut &[u8]) -> Result<u32, FrameError> {
    head.try_get_u32_le().map_err(|_| FrameError::Damaged)
}

pub(crate) fn take_u64(head: &mut &[u8]) -> Result<u64, FrameError> {
    head.try_get_u64_le().map_err(|_| FrameError::Damaged)
}
