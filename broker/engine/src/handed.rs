//! Records that say which client a message was handed to, for whoever traces it; they fold to nothing.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use store::log::{Draft, Kind};
use store::{Offset, QueueId};

use crate::records::Cell;

const VERSION: u32 = 1;
/// Cells per record, so that no record is out of proportion.
const CELLS_MAX: usize = 1024;
/// The most bytes that a cell takes beside its client's id.
const CELL_BYTES: usize = 64;

/// Messages of one queue that were handed to a client together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Handed {
    pub(crate) cell: Cell,
    pub(crate) attempt: u16,
    pub(crate) client: Arc<str>,
}

/// Fields may be added; their numbers are never used again.
#[derive(Clone, PartialEq, Message)]
struct Payload {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(string, repeated, tag = "2")]
    clients: Vec<String>,
    #[prost(message, repeated, tag = "3")]
    cells: Vec<Encoded>,
}

#[derive(Clone, PartialEq, Message)]
struct Encoded {
    #[prost(uint32, tag = "1")]
    group: u32,
    #[prost(uint32, tag = "2")]
    queue: u32,
    #[prost(uint64, tag = "3")]
    base: u64,
    #[prost(fixed64, tag = "4")]
    mask: u64,
    #[prost(uint32, tag = "5")]
    attempt: u32,
    /// Place in `clients`.
    #[prost(uint32, tag = "6")]
    client: u32,
}

impl Handed {
    /// Longer than its part of a record.
    pub(crate) fn bytes_max(&self) -> usize {
        CELL_BYTES + self.client.len()
    }
}

/// The records.
pub(crate) fn drafts(all: &[Handed]) -> impl Iterator<Item = Draft> + '_ {
    all.chunks(CELLS_MAX).map(|chunk| {
        let mut payload = Payload { version: VERSION, ..Payload::default() };
        for handed in chunk {
            let known = payload.clients.iter().rposition(|client| **client == *handed.client);
            let client = known.unwrap_or_else(|| {
                payload.clients.push(handed.client.to_string());
                payload.clients.len() - 1
            });
            let Cell { group, queue, base, mask } = handed.cell;
            let attempt = u32::from(handed.attempt);
            let (queue, base, client) = (queue.0, base.0, client as u32);
            payload.cells.push(Encoded { group, queue, base, mask, attempt, client });
        }
        Draft::control(Kind::Handed, Bytes::from(payload.encode_to_vec()))
    })
}

/// What a record says.
pub(crate) fn decode(payload: &[u8]) -> Result<Vec<Handed>, String> {
    let Payload { version, clients, cells } = Payload::decode(payload).map_err(|error| error.to_string())?;
    if version != VERSION {
        return Err(format!("version {version} is not known"));
    }
    let clients: Vec<Arc<str>> = clients.into_iter().map(Arc::from).collect();
    let handed = |encoded: Encoded| {
        let Encoded { group, queue, base, mask, attempt, client } = encoded;
        let client = clients.get(client as usize).ok_or_else(|| format!("there is no client {client}"))?;
        let cell = Cell { group, queue: QueueId(queue), base: Offset(base), mask };
        let attempt = attempt.min(u32::from(u16::MAX)) as u16;
        Ok(Handed { cell, attempt, client: Arc::clone(client) })
    };
    cells.into_iter().map(handed).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_handed_out_comes_back(
            cells in prop::collection::vec((any::<[u32; 2]>(), any::<[u64; 2]>(), any::<u16>(), 0..3usize), 0..50),
        ) {
            let clients: [Arc<str>; 3] = ["a@1".into(), "b@2".into(), "".into()];
            let handed = |([group, queue], [base, mask], attempt, client): &([u32; 2], [u64; 2], u16, usize)| {
                let cell = Cell { group: *group, queue: QueueId(*queue), base: Offset(*base), mask: *mask };
                Handed { cell, attempt: *attempt, client: Arc::clone(&clients[*client]) }
            };
            let all: Vec<_> = cells.iter().map(handed).collect();
            let back: Vec<_> = drafts(&all).flat_map(|draft| decode(&draft.body).unwrap()).collect();
            prop_assert_eq!(back, all);
        }
    }

    #[test]
    fn a_later_version_is_refused() {
        let later = Payload { version: 2, ..Payload::default() }.encode_to_vec();
        assert!(decode(&later).is_err());
    }
}
