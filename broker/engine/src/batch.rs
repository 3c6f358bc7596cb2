//! Messages of one request share a record where they can, and are told apart again when they are read.
//!
//! ```text
//!   request:  n n n | t | a a b | d         n, t: no message group, t waits for its time; a, b: message groups; d: a half
//!   records: [n n n] [t] [a a][b] [d]
//! ```
//!
//! Promise: offsets, order, filters, acks and attempts are those of messages that were sent one by one.
//! Cost: 16 B per message in the log, and one index entry per record, where a record of its own takes 64 B and one entry.
//! Limits: neighbours of one message group or of none; 64 messages and 256 KiB per record, more are several records.
//! Not here: the bytes of such a record (`store::log`).

use std::ops::Range;

use store::index::{IndexEntry, MESSAGES_MAX};
use store::log::{Draft, Encoding, Kind, MIXED_TAGS, PACKED_BYTES};
use store::{Offset, QueueId};

/// Messages of one record: as many as one lease can hold.
const SHARING_MAX: usize = 64;
/// Bytes of one record that is shared: whoever reads one message reads all of them.
const SHARED_BYTES_MAX: u64 = 256 << 10;

const _: () = assert!(SHARING_MAX <= MESSAGES_MAX as usize);

/// One message of an index entry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece {
    /// Of its record.
    pub(crate) entry: IndexEntry,
    /// Which message of the record it is, from 0.
    pub(crate) number: u16,
}

impl Piece {
    /// The message with this offset, which is one of the entry's.
    pub(crate) fn of(entry: &IndexEntry, offset: Offset) -> Self {
        Self { entry: *entry, number: (offset.0 - entry.offset.0) as u16 }
    }

    /// Its number in the queue.
    pub(crate) fn offset(&self) -> Offset {
        Offset(self.entry.offset.0 + u64::from(self.number))
    }

    /// Hash of its tag; `None`: only the record knows.
    pub(crate) fn tag_hash(&self) -> Option<u32> {
        let IndexEntry { count, tag_hash, .. } = self.entry;
        (count == 1 || tag_hash != MIXED_TAGS).then_some(tag_hash)
    }
}

/// The messages of an entry.
pub(crate) fn pieces(entry: &IndexEntry) -> impl Iterator<Item = Piece> + use<> {
    let entry = *entry;
    (0..entry.count).map(move |number| Piece { entry, number })
}

/// The records for the messages of one request, in their order.
pub(crate) fn pack(drafts: Vec<Draft>) -> Vec<Draft> {
    if !drafts.windows(2).any(|pair| share(&pair[0], &pair[1])) {
        return drafts;
    }
    let mut records = Vec::new();
    let mut from = 0;
    while from < drafts.len() {
        let together = together(&drafts, from);
        from = together.end;
        match &drafts[together] {
            [single] => records.push(single.clone()),
            several => records.push(Draft::pack(several)),
        }
    }
    records
}

/// The messages from this one on that share a record.
fn together(drafts: &[Draft], from: usize) -> Range<usize> {
    let mut to = from + 1;
    let mut bytes = packed_bytes(&drafts[from]);
    while to < drafts.len() && to - from < SHARING_MAX && share(&drafts[to - 1], &drafts[to]) {
        bytes += packed_bytes(&drafts[to]);
        if bytes > SHARED_BYTES_MAX {
            break;
        }
        to += 1;
    }
    from..to
}

fn share(one: &Draft, other: &Draft) -> bool {
    can_share(one) && can_share(other) && one.lane == other.lane
}

/// A message that has to say something for itself alone keeps its own record.
fn can_share(draft: &Draft) -> bool {
    draft.queue == QueueId::NONE
        && draft.kind == Kind::Message
        && draft.encoding == Encoding::RocketmqV2
        && draft.count == 1
        && draft.attempt == 0
}

fn packed_bytes(draft: &Draft) -> u64 {
    PACKED_BYTES + (draft.head.len() + draft.body.len()) as u64
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    fn draft() -> impl Strategy<Value = Draft> {
        let kind = prop_oneof![6 => Just(Kind::Message), 1 => Just(Kind::Timed), 1 => Just(Kind::Half)];
        let queue = prop_oneof![9 => Just(QueueId::NONE), 1 => Just(QueueId(7))];
        let body = prop_oneof![20 => 0..100_usize, 1 => 50_usize << 10..180 << 10];
        (kind, queue, 0..3_u32, 0..3_u32, body).prop_map(|(kind, queue, lane, tag_hash, bytes)| Draft {
            encoding: Encoding::RocketmqV2,
            queue,
            lane,
            tag_hash,
            ..Draft::control(kind, Bytes::from(vec![b'x'; bytes]))
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn records_hold_the_messages_in_order_and_only_those_that_may_share(
            runs in prop::collection::vec((draft(), 1..90_usize), 1..8)
        ) {
            let drafts: Vec<_> = runs.into_iter().flat_map(|(draft, count)| vec![draft; count]).collect();
            let mut rest = &drafts[..];
            for record in pack(drafts.clone()) {
                let (messages, after) = rest.split_at(record.count.into());
                rest = after;
                if let [single] = messages {
                    prop_assert_eq!((record.kind, &record.body), (single.kind, &single.body));
                    continue;
                }
                prop_assert!(messages.len() <= 64 && record.body.len() <= 256 << 10);
                let one = |draft: &Draft| (draft.kind, draft.queue, draft.lane);
                prop_assert!(messages.iter().all(|draft| one(draft) == (Kind::Message, QueueId::NONE, record.lane)));
                prop_assert_eq!(record.body, Draft::pack(messages).body);
            }
            prop_assert!(rest.is_empty());
        }
    }
}
