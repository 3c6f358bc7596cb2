//! A consumer group that reads in order gets a message when those before it in its message group are done.
//!
//! Done is also what retention took, and what went to the dead letters: that may happen once the last attempt is over.
//! A restart ends all leases; a power cut takes messages whose offsets others get.

use std::collections::{BTreeMap, BTreeSet};

use store::{Offset, Position, QueueId};

use crate::event::Event;
use crate::world::Reader;

/// A message that was delivered.
struct Known {
    position: Position,
    /// The most that any delivery of it had.
    attempt: u16,
    receive: u64,
    /// When its lease ends, if nothing else does.
    due_ms: u64,
    is_done: bool,
    may_be_gone: bool,
}

/// Consumer group, queue and lane.
type Line = (usize, QueueId, u32);

pub(crate) struct Lanes {
    /// Of the consumer groups that read in order.
    limits: BTreeMap<usize, u32>,
    lane_of: BTreeMap<u64, u32>,
    lines: BTreeMap<Line, BTreeMap<Offset, Known>>,
    /// Below these offsets a power cut may have taken what was delivered, and its acks, but not all of it.
    shaken: BTreeMap<Line, Offset>,
    places: BTreeMap<(usize, u64), (Line, Offset)>,
    delayed: BTreeSet<u64>,
}

impl Lanes {
    pub(crate) fn new(readers: &[Reader]) -> Self {
        let ordered = readers.iter().enumerate().filter(|(_, reader)| reader.spec.ordered);
        Self {
            limits: ordered.map(|(number, reader)| (number, reader.spec.retry.max_attempts)).collect(),
            lane_of: BTreeMap::new(),
            lines: BTreeMap::new(),
            shaken: BTreeMap::new(),
            places: BTreeMap::new(),
            delayed: BTreeSet::new(),
        }
    }

    pub(crate) fn sent(&mut self, message: u64, lane: u32) {
        self.lane_of.insert(message, lane);
    }

    /// The message waits for its time: it is older than its place in the queue tells, and may be gone sooner.
    pub(crate) fn delayed(&mut self, message: u64) {
        self.delayed.insert(message);
    }

    /// A consumer gives the message up; nobody hears of it at the moment when that is done.
    pub(crate) fn given_up(&mut self, reader: usize, message: u64) {
        self.change(reader, message, |known| known.is_done = true);
    }

    pub(crate) fn observe(&mut self, event: &Event) -> Result<(), String> {
        match *event {
            Event::Delivered {
                reader,
                message,
                queue,
                offset,
                position,
                head,
                receive,
                attempt,
                due_ms,
                now_ms,
            } => {
                let Some(&limit) = self.limits.get(&reader) else { return Ok(()) };
                let line = (reader, queue, self.lane_of.get(&message).copied().unwrap_or(0));
                let shaken = self.shaken.get(&line).copied().unwrap_or_default();
                let known = self.lines.entry(line).or_default();
                known.retain(|_, known| known.position >= head);
                let before = known.get(&offset).map_or(0, |known| known.attempt);
                let is_new = known.get(&offset).is_none_or(|known| known.position != position);
                for (at, other) in
                    known.iter().filter(|(at, other)| **at != offset && other.receive != receive)
                {
                    let may_be_buried = u32::from(other.attempt) >= limit && other.due_ms <= now_ms;
                    let is_held = !other.is_done && other.due_ms > now_ms;
                    let may_be_gone = may_be_buried || other.may_be_gone;
                    let is_overtaken = *at < offset && !other.is_done && !may_be_gone;
                    if is_overtaken || is_held || (*at > offset && offset >= shaken && is_new) {
                        return Err(format!(
                            "message {message} at {offset} of {line:?} was delivered at {now_ms}; {at}: attempt {}, due {}, done {}",
                            other.attempt, other.due_ms, other.is_done
                        ));
                    }
                }
                let attempt = attempt.max(before);
                let may_be_gone = self.delayed.contains(&message);
                known.insert(
                    offset,
                    Known { position, attempt, receive, due_ms, is_done: false, may_be_gone },
                );
                self.places.insert((reader, message), (line, offset));
            }
            Event::Held { reader, message, due_ms } => {
                let limit = self.limits.get(&reader).copied().unwrap_or(0);
                self.change(reader, message, |known| {
                    // Who renews what went to the dead letters is told that all is well.
                    let may_be_buried = u32::from(known.attempt) >= limit;
                    known.due_ms = if may_be_buried { known.due_ms.min(due_ms) } else { due_ms };
                });
            }
            Event::Released { reader, message } | Event::Lost { reader, message } => {
                self.change(reader, message, |known| known.due_ms = 0);
            }
            Event::Acked { reader, message } => self.change(reader, message, |known| known.is_done = true),
            Event::Restarted { power_lost, durable } => self.restart(power_lost.then_some(durable)),
            Event::Stored { .. }
            | Event::Recalled { .. }
            | Event::Decided { .. }
            | Event::Stepped { .. }
            | Event::Found { .. }
            | Event::Vanished { .. }
            | Event::Range { .. }
            | Event::Ended { .. } => {}
        }
        Ok(())
    }

    /// Nobody holds anything any more; with a power cut, what was not synced may be gone.
    fn restart(&mut self, cut_at: Option<Position>) {
        for (line, known) in &mut self.lines {
            let is_lost = |known: &Known| cut_at.is_some_and(|durable| known.position >= durable);
            if let Some((&last, _)) = known.iter().rfind(|(_, known)| is_lost(known)) {
                let shaken = self.shaken.entry(*line).or_default();
                *shaken = Offset(last.0 + 1).max(*shaken);
            }
            known.retain(|_, known| !is_lost(known));
            for known in known.values_mut() {
                known.due_ms = 0;
            }
        }
    }

    fn change(&mut self, reader: usize, message: u64, change: impl FnOnce(&mut Known)) {
        let Some((line, offset)) = self.places.get(&(reader, message)) else { return };
        if let Some(known) = self.lines.get_mut(line).and_then(|known| known.get_mut(offset)) {
            change(known);
        }
    }
}
