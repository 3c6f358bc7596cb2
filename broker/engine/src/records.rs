//! Payloads of the engine's own records: acks, attempts, timers, decisions, floors, links. Little-endian, versioned.
//!
//! ```text
//!   Acks      version u32, count u32, count x { group u32, queue u32, base u64, mask u64 }
//!   Attempts  version u32, count u32, count x { group u32, queue u32, base u64, mask u64, attempt u64 }
//!   Settled   version u32, count u32, count x { due ms u64, position u64 }
//!   Decided   version u32, count u32, count x { position u64, 1 committed or 0 rolled back u64 }
//!   Floors    version u32, count u32, count x { group u32, queue u32, offset u64 }
//!   Link      protobuf `Link`; a copied message instead: its own head and body, transaction and origin in a trailer of the head
//! ```

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;
use store::log::{Draft, Encoding, Kind, Record};
use store::{Offset, Position, QueueId};

use crate::halves::{Decision, TransactionId};
use crate::timers::Key;

const VERSION: u32 = 1;
/// Bytes of a cell in a record of acks.
pub(crate) const ACK_BYTES: usize = 24;
/// Bytes of a cell in a record of attempts.
pub(crate) const ATTEMPT_BYTES: usize = 32;
/// Bytes of a timer in a record of settled ones.
const SETTLED_BYTES: usize = 16;
/// Bytes of a half in a record of decided ones.
const DECIDED_BYTES: usize = 16;
/// Bytes of a place in a record of floors.
const FLOOR_BYTES: usize = 16;
/// Bytes of a transaction in the trailer of a copy.
const HALF_BYTES: usize = 16;
/// Cells per record, so that no record is out of proportion.
const CELLS_MAX: usize = 1024;

/// Offsets of one consumer group and queue: `base + n` for each bit n.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Cell {
    pub(crate) group: u32,
    pub(crate) queue: QueueId,
    pub(crate) base: Offset,
    pub(crate) mask: u64,
}

/// A consumer group goes on with this offset of a queue: all below are done, none at or above is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Floor {
    pub(crate) group: u32,
    pub(crate) queue: QueueId,
    pub(crate) offset: Offset,
}

/// Records of acks.
pub(crate) fn ack_drafts(cells: &[Cell]) -> impl Iterator<Item = Draft> + '_ {
    cells.chunks(CELLS_MAX).map(|chunk| {
        let mut payload = begin(chunk.len(), ACK_BYTES);
        for cell in chunk {
            put(&mut payload, cell);
        }
        Draft::control(Kind::Acks, payload.freeze())
    })
}

/// Records of attempts.
pub(crate) fn attempt_drafts(cells: &[(Cell, u16)]) -> impl Iterator<Item = Draft> + '_ {
    cells.chunks(CELLS_MAX).map(|chunk| {
        let mut payload = begin(chunk.len(), ATTEMPT_BYTES);
        for (cell, attempt) in chunk {
            put(&mut payload, cell);
            payload.put_u64_le(u64::from(*attempt));
        }
        Draft::control(Kind::Attempts, payload.freeze())
    })
}

/// Records of timers that are not pending any more.
pub(crate) fn settled_drafts(keys: &[Key]) -> impl Iterator<Item = Draft> + '_ {
    keys.chunks(CELLS_MAX).map(|chunk| {
        let mut payload = begin(chunk.len(), SETTLED_BYTES);
        for (due_ms, position) in chunk {
            payload.put_u64_le(*due_ms);
            payload.put_u64_le(position.0);
        }
        Draft::control(Kind::Settled, payload.freeze())
    })
}

/// Records of halves that are not open any more.
pub(crate) fn decided_drafts(decided: &[(Position, Decision)]) -> impl Iterator<Item = Draft> + '_ {
    decided.chunks(CELLS_MAX).map(|chunk| {
        let mut payload = begin(chunk.len(), DECIDED_BYTES);
        for (position, decision) in chunk {
            payload.put_u64_le(position.0);
            payload.put_u64_le(u64::from(*decision == Decision::Commit));
        }
        Draft::control(Kind::Decided, payload.freeze())
    })
}

/// Records of floors.
pub(crate) fn floor_drafts(floors: &[Floor]) -> impl Iterator<Item = Draft> + '_ {
    floors.chunks(CELLS_MAX).map(|chunk| {
        let mut payload = begin(chunk.len(), FLOOR_BYTES);
        for floor in chunk {
            payload.put_u32_le(floor.group);
            payload.put_u32_le(floor.queue.0);
            payload.put_u64_le(floor.offset.0);
        }
        Draft::control(Kind::Floors, payload.freeze())
    })
}

/// The places of a record of floors.
pub(crate) fn decode_floors(payload: &[u8]) -> Result<impl Iterator<Item = Floor> + '_, String> {
    let floor = |bytes: &[u8]| Floor {
        group: u32_at(bytes, 0),
        queue: QueueId(u32_at(bytes, 4)),
        offset: Offset(u64_at(bytes, 8)),
    };
    Ok(cells(payload, FLOOR_BYTES)?.map(floor))
}

/// The halves of a record of decided ones.
pub(crate) fn decode_decided(
    payload: &[u8],
) -> Result<impl Iterator<Item = (Position, Decision)> + '_, String> {
    let decision = |bytes: &[u8]| if u64_at(bytes, 8) == 0 { Decision::RollBack } else { Decision::Commit };
    Ok(cells(payload, DECIDED_BYTES)?.map(move |bytes| (Position(u64_at(bytes, 0)), decision(bytes))))
}

/// The timers of a record of settled ones.
pub(crate) fn decode_settled(payload: &[u8]) -> Result<impl Iterator<Item = Key> + '_, String> {
    Ok(cells(payload, SETTLED_BYTES)?.map(|bytes| (u64_at(bytes, 0), Position(u64_at(bytes, 8)))))
}

/// The cells of a record of acks.
pub(crate) fn decode_acks(payload: &[u8]) -> Result<impl Iterator<Item = Cell> + '_, String> {
    Ok(cells(payload, ACK_BYTES)?.map(cell))
}

/// The cells of a record of attempts.
pub(crate) fn decode_attempts(payload: &[u8]) -> Result<impl Iterator<Item = (Cell, u16)> + '_, String> {
    let attempt = |bytes: &[u8]| u64_at(bytes, ACK_BYTES).min(u64::from(u16::MAX)) as u16;
    Ok(cells(payload, ATTEMPT_BYTES)?.map(move |bytes| (cell(bytes), attempt(bytes))))
}

fn begin(count: usize, bytes: usize) -> BytesMut {
    let mut payload = BytesMut::with_capacity(8 + count * bytes);
    payload.put_u32_le(VERSION);
    payload.put_u32_le(count as u32);
    payload
}

fn put(payload: &mut BytesMut, cell: &Cell) {
    payload.put_u32_le(cell.group);
    payload.put_u32_le(cell.queue.0);
    payload.put_u64_le(cell.base.0);
    payload.put_u64_le(cell.mask);
}

fn cells(payload: &[u8], bytes: usize) -> Result<std::slice::ChunksExact<'_, u8>, String> {
    let Some((head, rest)) = payload.split_at_checked(8) else {
        return Err(format!("payload of {} B is too short", payload.len()));
    };
    let (version, count) = (u32_at(head, 0), u32_at(head, 4));
    if version != VERSION {
        return Err(format!("version {version} is not known"));
    }
    if rest.len() != count as usize * bytes {
        return Err(format!("{count} cells of {bytes} B in {} B", rest.len()));
    }
    Ok(rest.chunks_exact(bytes))
}

fn cell(bytes: &[u8]) -> Cell {
    Cell {
        group: u32_at(bytes, 0),
        queue: QueueId(u32_at(bytes, 4)),
        base: Offset(u64_at(bytes, 8)),
        mask: u64_at(bytes, 16),
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].iter().rev().fold(0, |value, &byte| value << 8 | u32::from(byte))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

/// A pointer to a stored message.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Link {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(uint64, tag = "2")]
    position: u64,
    #[prost(uint32, tag = "3")]
    bytes: u32,
    /// A dead letter's: the topic that the message was sent to. Empty: this is the message's own entry.
    #[prost(string, tag = "4")]
    pub(crate) origin: String,
    /// Which message of the record it is.
    #[prost(uint32, tag = "5")]
    number: u32,
}

/// Appended to the head of a copied message. A head ends in protobuf fields, whatever it begins with: readers that do
/// not know this one pass over it, and it is found from the end, where the field's own last bytes tell its length.
#[derive(Clone, PartialEq, Message)]
struct Trailer {
    /// Of a message that was sent in a transaction: first check in ms as u64, position as u64.
    #[prost(bytes = "vec", tag = "536869999")]
    half: Vec<u8>,
    /// The origin's text, then its length as u32.
    #[prost(bytes = "vec", tag = "536870000")]
    origin: Vec<u8>,
}

/// What a record of kind `Link` says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Linked {
    /// The message lies elsewhere.
    Pointer(Link),
    /// The record itself holds the message.
    Copy { origin: String },
}

impl Trailer {
    fn new(transaction: Option<TransactionId>, origin: String) -> Self {
        let mut origin = origin.into_bytes();
        origin.extend_from_slice(&(origin.len() as u32).to_le_bytes());
        let half = transaction
            .map_or_else(Vec::new, |id| [id.check_ms.to_le_bytes(), id.position.0.to_le_bytes()].concat());
        Self { half, origin }
    }

    fn origin_in(head: &[u8]) -> Result<String, String> {
        let origin = head.split_last_chunk().and_then(|(before, length)| {
            let from = before.len().checked_sub(u32::from_le_bytes(*length) as usize)?;
            String::from_utf8(before[from..].to_vec()).ok()
        });
        origin.ok_or_else(|| "copied message does not tell its origin".to_owned())
    }

    /// The field lies before that of the origin.
    fn transaction_in(head: &[u8]) -> Option<TransactionId> {
        let origin = Self::new(None, Self::origin_in(head).ok()?).encode_to_vec();
        let (before, half) = head.strip_suffix(origin.as_slice())?.split_last_chunk::<HALF_BYTES>()?;
        let tagged = Self { half: half.to_vec(), origin: Vec::new() }.encode_to_vec();
        let id = TransactionId { check_ms: u64_at(half, 0), position: Position(u64_at(half, 8)) };
        before.ends_with(tagged.strip_suffix(half)?).then_some(id)
    }
}

impl Link {
    /// A pointer to the first message of a record.
    pub(crate) fn new(position: Position, bytes: u32, origin: String) -> Self {
        Self { version: VERSION, position: position.0, bytes, origin, number: 0 }
    }

    /// The same for another message of the record.
    pub(crate) fn to(self, number: u16) -> Self {
        Self { number: number.into(), ..self }
    }

    /// Where the message lies and how long its record is.
    pub(crate) fn target(&self) -> (Position, u32) {
        (Position(self.position), self.bytes)
    }

    /// Which message of the record it is; one that nobody can write is none.
    pub(crate) fn number(&self) -> u16 {
        u16::try_from(self.number).unwrap_or(u16::MAX)
    }

    /// A record that points to the message.
    pub(crate) fn draft(&self, tag_hash: u32, attempt: u16) -> Draft {
        let draft = Draft::control(Kind::Link, Bytes::from(self.encode_to_vec()));
        Draft { tag_hash, attempt, ..draft }
    }
}

/// The transaction that a message was sent in, if it was sent in one.
pub fn transaction_of(record: &Record) -> Option<TransactionId> {
    let entry = record.entry();
    if entry.kind == Kind::Half {
        // The number of a half is the time of its first check.
        return Some(TransactionId { check_ms: entry.offset.0, position: entry.position });
    }
    let is_copy = entry.kind == Kind::Link && entry.encoding != Encoding::None;
    is_copy.then(|| Trailer::transaction_in(&record.head())).flatten()
}

/// A record that holds a message once more, because the first one will be trimmed too soon.
pub(crate) fn copy_draft(record: &Record, origin: String, tag_hash: u32, attempt: u16) -> Draft {
    let mut head = BytesMut::from(&record.head()[..]);
    head.extend_from_slice(&Trailer::new(transaction_of(record), origin).encode_to_vec());
    let entry = record.entry();
    Draft {
        kind: Kind::Link,
        encoding: entry.encoding,
        queue: QueueId::NONE,
        count: 1,
        attempt,
        tag_hash,
        lane: entry.lane,
        due_ms: 0,
        body_crc: record.body_crc(),
        head: head.freeze(),
        body: record.body(),
    }
}

/// Panics if a payload decodes as cells that do not encode to the same bytes; for the fuzz target.
#[cfg(feature = "fuzz")]
pub(crate) fn fuzz(payload: &[u8]) {
    if let Ok(cells) = decode_acks(payload) {
        let cells: Vec<_> = cells.collect();
        if (1..=CELLS_MAX).contains(&cells.len()) {
            assert_eq!(
                ack_drafts(&cells).next().map(|draft| draft.body),
                Some(Bytes::copy_from_slice(payload))
            );
        }
    }
    if let Ok(attempts) = decode_attempts(payload) {
        attempts.for_each(drop);
    }
    if let Ok(keys) = decode_settled(payload) {
        keys.for_each(drop);
    }
    if let Ok(decided) = decode_decided(payload) {
        decided.for_each(drop);
    }
    if let Ok(floors) = decode_floors(payload) {
        floors.for_each(drop);
    }
    let _ = (Link::decode(payload), Trailer::origin_in(payload), Trailer::transaction_in(payload));
}

/// The topic that a copied message was sent to, from its head; empty: this is the message's own entry.
pub(crate) fn origin_of_copy(head: &[u8]) -> Result<String, String> {
    Trailer::origin_in(head)
}

/// As `origin_of_copy`; none if it is no copy of the message with the head `original`.
pub(crate) fn origin_of_copy_of(head: &[u8], original: &[u8]) -> Option<String> {
    let trailer = head.strip_prefix(original)?;
    let origin = origin_of_copy(trailer).ok()?;
    let copied = Trailer::new(Trailer::transaction_in(trailer), origin.clone());
    (copied.encode_to_vec() == trailer).then_some(origin)
}

/// What a record says if it is a link; `None`: it is a message.
pub(crate) fn linked(record: &Record) -> Result<Option<Linked>, String> {
    let entry = record.entry();
    if entry.kind != Kind::Link {
        return Ok(None);
    }
    if entry.encoding != Encoding::None {
        return Ok(Some(Linked::Copy { origin: origin_of_copy(&record.head())? }));
    }
    decode_link(&record.body()).map(|link| Some(Linked::Pointer(link)))
}

/// The pointer in the body of a record of kind `Link` that is no copy.
pub(crate) fn decode_link(body: &[u8]) -> Result<Link, String> {
    let link = Link::decode(body).map_err(|error| error.to_string())?;
    if link.version != VERSION {
        return Err(format!("version {} is not known", link.version));
    }
    Ok(link)
}
