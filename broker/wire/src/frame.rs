//! Frames of gRPC: one byte 0 (not compressed), the length as big-endian u32, then the message.

use bytes::{BufMut, BytesMut};
use prost::Message;

/// Bytes before each message.
pub const PREFIX_BYTES: usize = 5;

/// Appends `message` as one frame. One of 4 GiB or more, which no limit here allows, breaks an invariant.
pub fn put(into: &mut BytesMut, message: &impl Message) {
    let bytes = message.encoded_len();
    into.reserve(PREFIX_BYTES + bytes);
    put_prefix(into, bytes);
    message.encode_raw(into);
}

/// Appends the prefix of a message of `bytes` bytes, which the caller writes next.
pub fn put_prefix(into: &mut BytesMut, bytes: usize) {
    into.put_u8(0);
    into.put_u32(u32::try_from(bytes).expect("a frame is smaller than 4 GiB"));
}
