//! Replies of the hot calls: finished frames, written without building a message, for all but rare kinds of messages.
//!
//! Promise: a frame is byte for byte what the generated encoder would write for the same reply (tested).

use bytes::{BufMut, Bytes, BytesMut};
use prost::encoding::{encode_varint, encoded_len_varint};
use store::log::{Kind, Placed};
use wire::{frame, v2};

use crate::pending_id;
use crate::refusal::ok;

/// Field 1 of every reply: `Status {code: OK, message: "OK"}`.
const STATUS_OK: [u8; 10] = [0x0a, 0x08, 0x08, 0xa0, 0x9c, 0x01, 0x12, 0x02, b'O', b'K'];

const ENTRY: u8 = 2 << 3 | 2;
const ENTRY_MESSAGE_ID: u8 = 2 << 3 | 2;
const ENTRY_TRANSACTION_ID: u8 = 3 << 3 | 2;
const ENTRY_OFFSET: u8 = 4 << 3;
const DELIVERY_TIMESTAMP: u8 = 3 << 3 | 2;
const SECONDS: u8 = 1 << 3;
const NANOS: u8 = 2 << 3;

/// Appends the `SendMessageResponse` for messages that are all stored; the transaction id is the message id, as clients
/// expect of every message.
pub(crate) fn put_stored(out: &mut BytesMut, ids: &[Bytes], placed: &[Placed]) {
    assert_eq!(ids.len(), placed.len(), "one entry per message");
    let entry_bytes = |id: &Bytes, placed: &Placed| {
        STATUS_OK.len() + 2 * text_bytes(id.len()) + number_bytes(placed.offset.0)
    };
    let entries = ids.iter().zip(placed);
    let length = entries.clone().map(|(id, placed)| text_bytes(entry_bytes(id, placed))).sum::<usize>();
    out.reserve(frame::PREFIX_BYTES + STATUS_OK.len() + length);
    frame::put_prefix(out, STATUS_OK.len() + length);
    out.put_slice(&STATUS_OK);
    for (id, placed) in entries {
        out.put_u8(ENTRY);
        encode_varint(entry_bytes(id, placed) as u64, out);
        out.put_slice(&STATUS_OK);
        put_text(out, ENTRY_MESSAGE_ID, id);
        put_text(out, ENTRY_TRANSACTION_ID, id);
        put_number(out, ENTRY_OFFSET, placed.offset.0);
    }
}

/// The reply for messages that are all stored, some of which are no entries of their queues yet: of what kind each is, and
/// the time that was stored with it.
pub(crate) fn stored(ids: &[Bytes], kinds: &[(Kind, u64)], placed: &[Placed]) -> v2::SendMessageResponse {
    let entry = |((id, &(kind, ms)), placed): ((&Bytes, &(Kind, u64)), &Placed)| {
        let message_id = String::from_utf8_lossy(id).into_owned();
        let pending_id = || pending_id::text(ms, placed.position, &message_id);
        v2::SendResultEntry {
            status: Some(ok()),
            transaction_id: if kind == Kind::Half { pending_id() } else { message_id.clone() },
            // What is no entry yet gets its number later.
            offset: if kind.takes_offset() { placed.offset.0.cast_signed() } else { 0 },
            recall_handle: if kind == Kind::Timed { pending_id() } else { String::new() },
            message_id,
        }
    };
    let entries = ids.iter().zip(kinds).zip(placed).map(entry).collect();
    v2::SendMessageResponse { status: Some(ok()), entries }
}

/// Appends the first frame of a receive that found something.
pub(crate) fn put_receive_ok(out: &mut BytesMut) {
    frame::put_prefix(out, STATUS_OK.len());
    out.put_slice(&STATUS_OK);
}

/// Appends the last frame of every receive: the broker's time.
pub(crate) fn put_delivery_timestamp(out: &mut BytesMut, now_ms: u64) {
    let (seconds, nanos) = (now_ms / 1000, now_ms % 1000 * 1_000_000);
    let length = number_bytes(seconds) + number_bytes(nanos);
    frame::put_prefix(out, text_bytes(length));
    out.put_u8(DELIVERY_TIMESTAMP);
    encode_varint(length as u64, out);
    put_number(out, SECONDS, seconds);
    put_number(out, NANOS, nanos);
}

/// Bytes of a field below 16 with this much content.
fn text_bytes(content: usize) -> usize {
    1 + encoded_len_varint(content as u64) + content
}

/// Bytes of a number's field; the default is left out.
fn number_bytes(number: u64) -> usize {
    if number == 0 { 0 } else { 1 + encoded_len_varint(number) }
}

fn put_text(out: &mut BytesMut, tag: u8, text: &[u8]) {
    out.put_u8(tag);
    encode_varint(text.len() as u64, out);
    out.put_slice(text);
}

fn put_number(out: &mut BytesMut, tag: u8, number: u64) {
    if number != 0 {
        out.put_u8(tag);
        encode_varint(number, out);
    }
}

#[cfg(test)]
mod tests {
    use prost_types::Timestamp;
    use store::{Offset, Position};
    use wire::v2::receive_message_response::Content;

    use super::*;

    fn framed(message: &impl prost::Message) -> BytesMut {
        let mut out = BytesMut::new();
        frame::put(&mut out, message);
        out
    }

    #[test]
    fn a_send_reply_is_what_the_generated_encoder_writes() {
        for offsets in [vec![0], vec![1], vec![0, 127, 128, u64::from(u32::MAX)]] {
            let ids: Vec<_> = (0..offsets.len()).map(|n| Bytes::from("ID".repeat(n * 50 + 1))).collect();
            let place = |offset: &u64| Placed {
                position: Position(0),
                offset: Offset(*offset),
                bytes: 1,
                stored_ms: 1,
            };
            let placed: Vec<_> = offsets.iter().map(place).collect();
            let entry = |(id, placed): (&Bytes, &Placed)| v2::SendResultEntry {
                status: Some(ok()),
                message_id: String::from_utf8(id.to_vec()).unwrap(),
                transaction_id: String::from_utf8(id.to_vec()).unwrap(),
                offset: placed.offset.0.cast_signed(),
                recall_handle: String::new(),
            };
            let entries = ids.iter().zip(&placed).map(entry).collect();
            let mut out = BytesMut::new();
            put_stored(&mut out, &ids, &placed);
            assert_eq!(out, framed(&v2::SendMessageResponse { status: Some(ok()), entries }));
        }
    }

    #[test]
    fn the_frames_of_a_receive_are_what_the_generated_encoder_writes() {
        let response = |content| v2::ReceiveMessageResponse { content: Some(content) };
        let mut out = BytesMut::new();
        put_receive_ok(&mut out);
        assert_eq!(out, framed(&response(Content::Status(ok()))));
        for now_ms in [0, 999, 1000, 1_763_000_123_456] {
            let mut out = BytesMut::new();
            put_delivery_timestamp(&mut out, now_ms);
            let (seconds, nanos) = ((now_ms / 1000).cast_signed(), (now_ms % 1000 * 1_000_000) as i32);
            assert_eq!(out, framed(&response(Content::DeliveryTimestamp(Timestamp { seconds, nanos }))));
        }
    }
}
