//! Replies that may have got lost: what was handed out, by the name that the client gave its try.
//!
//! A client of an ordered group that does not get its reply asks again under the same name. Without this the messages
//! would be held, and their lines blocked, until the lease ends. In memory only: after a change of leadership nobody
//! holds anything.

use std::collections::{BTreeMap, VecDeque};

/// Tries that are remembered per consumer group and topic; the oldest goes first.
const TRIES_MAX: usize = 1024;
/// Bytes of a name; a longer one is not remembered.
const NAME_BYTES_MAX: usize = 128;

/// Queue number and serial of each lease of a try.
type Leases = Vec<(u32, u32)>;

/// The latest tries.
#[derive(Debug, Default)]
pub(super) struct Reentry {
    by_name: BTreeMap<Box<str>, Leases>,
    order: VecDeque<Box<str>>,
}

impl Reentry {
    /// The leases of the try of that name, which is forgotten.
    pub(super) fn take(&mut self, name: &str) -> Leases {
        let Some(leases) = self.by_name.remove(name) else { return Leases::new() };
        self.order.retain(|known| **known != *name);
        leases
    }

    /// Adds leases to the try of that name.
    pub(super) fn note(&mut self, name: &str, leases: impl Iterator<Item = (u32, u32)>) {
        if name.len() > NAME_BYTES_MAX {
            return;
        }
        if let Some(known) = self.by_name.get_mut(name) {
            known.extend(leases);
            return;
        }
        if self.order.len() >= TRIES_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.by_name.remove(&oldest);
        }
        self.by_name.insert(name.into(), leases.collect());
        self.order.push_back(name.into());
    }
}
