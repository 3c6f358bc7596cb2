//! A consumer group that is strict gets no message of a PRIORITY topic while one of a higher level is ready for it.
//!
//! Ready is what was stored and is not done, not held, not given up and not about to be a dead letter. What came in one
//! reply may share a lease, which ends for all of it or, while one of it is given up, at a time that only the broker knows.
//! Of what a power cut may have taken, and of what a crashed disk kept from clients, nothing is asked.

use std::collections::{BTreeMap, BTreeSet};

use engine::catalog::{PRIORITY_LEVELS, PriorityPolicy};
use store::Position;

use crate::event::Event;
use crate::world::Reader;

/// The latest delivery of a message to a consumer group.
struct Known {
    attempt: u16,
    receive: u64,
    /// When its lease ends at the latest.
    due_ms: u64,
}

pub(crate) struct Levels {
    /// Attempts of the strict consumer groups that want every message and do not wait for those before it.
    limits: BTreeMap<usize, u32>,
    level_of: BTreeMap<u64, u32>,
    /// Level and message, with the place of its record.
    stored: BTreeMap<(u32, u64), Position>,
    known: BTreeMap<(usize, u64), Known>,
    /// Done, or given up as far as a client knows.
    settled: BTreeSet<(usize, u64)>,
    is_in_doubt: bool,
}

impl Levels {
    pub(crate) fn new(readers: &[Reader]) -> Self {
        let is_watched = |reader: &Reader| {
            reader.spec.priority == PriorityPolicy::Strict && reader.tags.is_none() && !reader.spec.ordered
        };
        let watched = readers.iter().enumerate().filter(|(_, reader)| is_watched(reader));
        Self {
            limits: watched.map(|(number, reader)| (number, reader.spec.retry.max_attempts)).collect(),
            level_of: BTreeMap::new(),
            stored: BTreeMap::new(),
            known: BTreeMap::new(),
            settled: BTreeSet::new(),
            is_in_doubt: false,
        }
    }

    /// A message is sent with this priority.
    pub(crate) fn sent(&mut self, message: u64, priority: u32) {
        self.level_of.insert(message, priority.min(PRIORITY_LEVELS - 1));
    }

    /// A consumer tries to give the message up: it may be held for that, even if it is not given up.
    pub(crate) fn given_up(&mut self, reader: usize, message: u64) {
        self.settled.insert((reader, message));
        self.hold_until(reader, message, u64::MAX);
    }

    /// The disk is gone: until the next start messages may be handed out that no client gets.
    pub(crate) fn crashed(&mut self) {
        self.is_in_doubt = true;
    }

    pub(crate) fn observe(&mut self, event: &Event) -> Result<(), String> {
        match *event {
            Event::Stored { message, placed } => {
                if let Some(&level) = self.level_of.get(&message) {
                    self.stored.insert((level, message), placed.position);
                }
            }
            Event::Delivered { reader, message, head, receive, attempt, due_ms, now_ms, .. } => {
                let (Some(&limit), Some(&level)) = (self.limits.get(&reader), self.level_of.get(&message))
                else {
                    return Ok(());
                };
                self.known.insert((reader, message), Known { attempt, receive, due_ms });
                if let Some((higher, passed)) = self.passed_over(reader, limit, level, head, now_ms) {
                    return Err(format!(
                        "message {message} of level {level} was delivered to reader {reader} at {now_ms}, and {passed} of level {higher} was ready"
                    ));
                }
            }
            Event::Held { reader, message, due_ms } => self.hold_until(reader, message, due_ms),
            Event::Released { reader, message } => {
                if let Some(known) = self.known.get_mut(&(reader, message)) {
                    known.due_ms = 0;
                }
            }
            Event::Acked { reader, message } => drop(self.settled.insert((reader, message))),
            Event::Restarted { power_lost, durable } => {
                self.is_in_doubt = false;
                self.known.values_mut().for_each(|known| known.due_ms = 0);
                self.stored.retain(|_, position| !power_lost || *position < durable);
            }
            Event::Recalled { .. }
            | Event::Decided { .. }
            | Event::Lost { .. }
            | Event::Stepped { .. }
            | Event::Found { .. }
            | Event::Vanished { .. }
            | Event::Range { .. }
            | Event::Ended { .. } => {}
        }
        Ok(())
    }

    /// A message of a higher level that is ready.
    fn passed_over(
        &self,
        reader: usize,
        limit: u32,
        level: u32,
        head: Position,
        now_ms: u64,
    ) -> Option<(u32, u64)> {
        let is_ready = |message: u64| {
            let is_free = self.known.get(&(reader, message)).is_none_or(|known| {
                let may_be_buried = u32::from(known.attempt) >= limit;
                known.due_ms <= now_ms && !may_be_buried
            });
            is_free && !self.settled.contains(&(reader, message))
        };
        let mut higher = self.stored.range((level + 1, 0)..).filter(|_| !self.is_in_doubt);
        let passed = higher.find(|&(&(_, message), &position)| position >= head && is_ready(message));
        passed.map(|(&place, _)| place)
    }

    /// With the message goes what may share its lease.
    fn hold_until(&mut self, reader: usize, message: u64, due_ms: u64) {
        let receive = self.known.get(&(reader, message)).map(|known| known.receive);
        let of_reader = self.known.range_mut((reader, 0)..=(reader, u64::MAX));
        for (_, known) in of_reader.filter(|(_, known)| Some(known.receive) == receive) {
            known.due_ms = known.due_ms.max(due_ms);
        }
    }
}
