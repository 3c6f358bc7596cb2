//! Several messages in the body of one record.
//!
//! ```text
//!   body = table, 16 B per message | head | body | head | body | ...
//!          end u32, body bytes u32, body crc u32, tag hash u32        `end` counts from the end of the table
//! ```
//!
//! Promise: [`Record::message`] gives each back as if it had been a record of its own: head, body, checksum, offset.
//! Limit: what a record's length and `count` can say. Not here: which messages may share a record (`engine`).

use bytes::{BufMut, Bytes, BytesMut};

use super::codec::{HEADER_BYTES, RecordHeader};
use super::{Draft, Encoding, Entry, Kind, Record, crc32};
use crate::units::Offset;

/// Tag hash of a record whose messages have different ones: each has to be looked at. A single message may have it too.
pub const MIXED_TAGS: u32 = u32::MAX;

/// Bytes that a message needs beside its head and body.
pub const PACKED_BYTES: u64 = 16;

/// Where in its record a message lies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    number: u16,
    tag_hash: u32,
    body_crc: u32,
    /// Counted from the record's header.
    head_at: usize,
    body_at: usize,
    end: usize,
}

impl Draft {
    /// One record for these messages, which are of one queue and lane, and all as clients of RocketMQ sent them.
    ///
    /// # Panics
    /// If there are none, or more than a record can count.
    pub fn pack(messages: &[Self]) -> Self {
        let first = &messages[0];
        let packed = messages.iter().map(|message| PACKED_BYTES as usize + parts_bytes(message)).sum();
        let mut body = BytesMut::with_capacity(packed);
        let mut end = 0;
        for message in messages {
            end += parts_bytes(message);
            body.put_u32_le(end as u32);
            body.put_u32_le(message.body.len() as u32);
            body.put_u32_le(message.body_crc);
            body.put_u32_le(message.tag_hash);
        }
        for message in messages {
            body.put_slice(&message.head);
            body.put_slice(&message.body);
        }
        let is_alike = messages.iter().all(|message| message.tag_hash == first.tag_hash);
        Self {
            kind: Kind::Message,
            encoding: Encoding::RocketmqV2Batch,
            queue: first.queue,
            count: u16::try_from(messages.len()).expect("a record counts to 65535"),
            attempt: 0,
            tag_hash: if is_alike { first.tag_hash } else { MIXED_TAGS },
            lane: first.lane,
            due_ms: 0,
            body_crc: crc32(&body),
            head: Bytes::new(),
            body: body.freeze(),
        }
    }
}

impl Record {
    /// The message of this number as a record of its own; a message's own record is its number 0. `None`: there is none of
    /// this number, or the body is not what `Draft::pack` makes.
    pub fn message(&self, number: u16) -> Option<Self> {
        if self.header.encoding != Encoding::RocketmqV2Batch {
            return (number == 0).then(|| self.clone());
        }
        if number >= self.header.count {
            return None;
        }
        let body_at = self.header.body_at();
        let body = &self.bytes[..body_at + self.header.body_bytes as usize];
        let field = |message: u16, field: usize| {
            let at = body_at + usize::from(message) * PACKED_BYTES as usize + field * 4;
            body.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
        };
        let messages_at = body_at + usize::from(self.header.count) * PACKED_BYTES as usize;
        let begin = if number == 0 { 0 } else { field(number - 1, 0)? as usize };
        let (head_at, end) = (messages_at + begin, messages_at + field(number, 0)? as usize);
        let body_at = end.checked_sub(field(number, 1)? as usize)?;
        let part =
            Part { number, tag_hash: field(number, 3)?, body_crc: field(number, 2)?, head_at, body_at, end };
        let is_sane = messages_at <= head_at && head_at <= body_at && end <= body.len();
        is_sane.then(|| Self { part: Some(part), ..self.clone() })
    }

    /// What a fold sees of it; `body` as there. Of a message that shares its record: position and length are the record's.
    pub fn entry(&self) -> Entry<'_> {
        let entry = self.header.entry_in(&self.bytes);
        let Some(part) = &self.part else { return entry };
        Entry {
            encoding: Encoding::RocketmqV2,
            offset: Offset(entry.offset.0.saturating_add(part.number.into())),
            count: 1,
            tag_hash: part.tag_hash,
            ..entry
        }
    }

    /// The fields beside the body.
    pub fn head(&self) -> Bytes {
        let range = match &self.part {
            Some(part) => part.head_at..part.body_at,
            None => HEADER_BYTES as usize..self.header.body_at(),
        };
        self.bytes.slice(range)
    }

    /// The body, or the payload of a control record.
    pub fn body(&self) -> Bytes {
        let at = self.header.body_at();
        let range = match &self.part {
            Some(part) => part.body_at..part.end,
            None => at..at + self.header.body_bytes as usize,
        };
        self.bytes.slice(range)
    }

    /// Checksum of the body.
    pub fn body_crc(&self) -> u32 {
        self.part.as_ref().map_or(self.header.body_crc, |part| part.body_crc)
    }
}

/// Calls `visit` with each message of a record; false: it is not as it was written.
pub(super) fn each_message(
    header: &RecordHeader,
    bytes: &[u8],
    visit: &mut dyn FnMut(&Entry<'_>, &[u8], u16),
) -> bool {
    if !header.verifies(bytes) {
        return false;
    }
    let record = Record { header: *header, bytes: Bytes::copy_from_slice(bytes), part: None };
    (0..header.count).all(|number| {
        let message = record.message(number);
        message.map(|message| visit(&message.entry(), &message.head(), number)).is_some()
    })
}

fn parts_bytes(message: &Draft) -> usize {
    message.head.len() + message.body.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::log::codec::Seal;
    use crate::units::{Epoch, Position, QueueId};

    fn message(head: &[u8], body: &[u8], tag_hash: u32) -> Draft {
        Draft {
            encoding: Encoding::RocketmqV2,
            queue: QueueId(3),
            tag_hash,
            lane: 9,
            head: Bytes::copy_from_slice(head),
            ..Draft::control(Kind::Message, Bytes::copy_from_slice(body))
        }
    }

    fn stored(draft: &Draft) -> Record {
        let header = draft.header(Position(64), Offset(100), 7, Epoch(1));
        let mut bytes = Vec::new();
        header.encode(Seal::new(&[0; 16]), &draft.head, &mut bytes);
        bytes.extend_from_slice(&draft.body);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        let header: RecordHeader = RecordHeader::decode(&bytes, Position(64), Seal::new(&[0; 16])).unwrap();
        assert!(header.verifies(&bytes));
        Record { header, bytes: Bytes::from(bytes), part: None }
    }

    fn texts() -> impl Strategy<Value = Vec<(Vec<u8>, Vec<u8>, u32)>> {
        let bytes = || prop::collection::vec(any::<u8>(), 0..40);
        prop::collection::vec((bytes(), bytes(), 0..3_u32), 1..70)
    }

    proptest! {
        #[test]
        fn each_message_comes_back_as_if_it_had_its_own_record(texts in texts()) {
            let messages: Vec<_> = texts.iter().map(|(head, body, tag)| message(head, body, *tag)).collect();
            let record = stored(&Draft::pack(&messages));
            for (number, sent) in (0..).zip(&messages) {
                let own = stored(sent);
                // Also from a neighbour.
                for from in [record.clone(), record.message(0).unwrap()] {
                    let found = from.message(number).unwrap();
                    prop_assert_eq!((found.head(), found.body()), (own.head(), own.body()));
                    prop_assert_eq!(found.body_crc(), own.body_crc());
                    let offset = Offset(100 + u64::from(number));
                    let expected = Entry { offset, bytes: record.entry().bytes, ..own.entry() };
                    prop_assert_eq!(found.entry(), expected);
                }
            }
            prop_assert!(record.message(messages.len() as u16).is_none());
            let is_alike = texts.iter().all(|(_, _, tag)| *tag == texts[0].2);
            prop_assert_eq!(record.entry().tag_hash, if is_alike { texts[0].2 } else { MIXED_TAGS });
        }

        #[test]
        fn any_body_is_unpacked_or_refused(body in prop::collection::vec(0..9_u8, 0..90), count in 0..5_u16) {
            let packed = Draft::pack(&[message(b"", b"", 0)]);
            let record = stored(&Draft { count, body_crc: crc32(&body), body: body.clone().into(), ..packed });
            for number in 0..6 {
                if let Some(found) = record.message(number) {
                    prop_assert!(found.head().len() + found.body().len() <= body.len());
                }
            }
        }
    }

    #[test]
    fn a_message_with_its_own_record_is_number_0_of_it() {
        let record = stored(&message(b"head", b"body", 5));
        assert_eq!(record.message(0).unwrap().entry(), record.entry());
        assert!(record.message(1).is_none());
    }
}
