//! The section of a checkpoint that says which transactions are open, and how the last ones were decided.

use std::sync::Weak;

use prost::Message;
use store::{Position, QueueId};

use super::{Decision, Half, Halves, Table};

const VERSION: u32 = 1;

/// Fields may be added; their numbers are never used again.
#[derive(Clone, PartialEq, Message)]
struct Section {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(message, repeated, tag = "2")]
    open: Vec<OpenHalf>,
    #[prost(message, repeated, tag = "3")]
    decided: Vec<DecidedHalf>,
}

#[derive(Clone, PartialEq, Message)]
struct OpenHalf {
    #[prost(uint64, tag = "1")]
    position: u64,
    #[prost(uint32, tag = "2")]
    bytes: u32,
    #[prost(uint32, tag = "3")]
    queue: u32,
    #[prost(fixed32, tag = "4")]
    tag_hash: u32,
    #[prost(fixed32, tag = "5")]
    lane: u32,
    #[prost(uint64, tag = "6")]
    stored_ms: u64,
    #[prost(uint64, tag = "7")]
    check_ms: u64,
}

#[derive(Clone, PartialEq, Message)]
struct DecidedHalf {
    #[prost(uint64, tag = "1")]
    position: u64,
    #[prost(uint64, tag = "2")]
    check_ms: u64,
    #[prost(bool, tag = "3")]
    is_committed: bool,
}

impl Halves {
    /// What a checkpoint keeps of them.
    pub(crate) fn section(&self) -> Vec<u8> {
        let table = self.0.lock();
        let open = table.open.iter().map(|(position, half)| OpenHalf {
            position: position.0,
            bytes: half.bytes,
            queue: half.queue.0,
            tag_hash: half.tag_hash,
            lane: half.lane,
            stored_ms: half.stored_ms,
            check_ms: half.check_ms,
        });
        let decided = table.decided_order.iter().filter_map(|position| {
            let (check_ms, decision) = *table.decided.get(position)?;
            Some(DecidedHalf { position: position.0, check_ms, is_committed: decision == Decision::Commit })
        });
        let section = Section { version: VERSION, open: open.collect(), decided: decided.collect() };
        drop(table);
        section.encode_to_vec()
    }

    /// The halves that `section` told of.
    pub(crate) fn restore(section: &[u8]) -> Result<Self, String> {
        let section = Section::decode(section).map_err(|error| error.to_string())?;
        if section.version != VERSION {
            return Err(format!("version {} is not known", section.version));
        }
        let mut table = Table::default();
        for open in section.open {
            let half = Half {
                bytes: open.bytes,
                queue: QueueId(open.queue),
                tag_hash: open.tag_hash,
                lane: open.lane,
                stored_ms: open.stored_ms,
                check_ms: open.check_ms,
                next_check_ms: open.check_ms,
                checks: 0,
                decider: Weak::new(),
            };
            table.insert(Position(open.position), half);
        }
        for half in section.decided {
            let decision = if half.is_committed { Decision::Commit } else { Decision::RollBack };
            table.remember(Position(half.position), half.check_ms, decision);
        }
        Ok(Self(table.into()))
    }
}
