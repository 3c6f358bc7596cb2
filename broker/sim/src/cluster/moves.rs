//! A consumer group that an administrator moves, and consumers that read by offset, whoever leads.
//!
//! Promise: a move that was answered stands on every copy that shows its record, until the next one; a message that is read
//! by offset is the one that is agreed to be there.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::group::{Group, Place, Pull};
use store::log::Placed;
use store::{Offset, Position, QueueId};

use super::clients::{Answer, topics};
use super::world::Cluster;
use crate::clients::message_in;

/// Nobody receives for it.
pub(crate) const MOVED: &str = "moved";

/// Where the group stands.
#[derive(Default)]
pub(crate) struct Moves {
    /// Number of the last move that was asked for, and where it led if that was answered: the place and the record's end.
    standings: BTreeMap<QueueId, (u64, Option<(Offset, Position)>)>,
    asked: u64,
}

impl Moves {
    /// An administrator hears that the group was moved.
    pub(crate) fn answered(&mut self, number: u64, places: &[(QueueId, Offset)], records: &[Placed]) {
        let Some(last) = records.last() else { return };
        let end = Position(last.position.0 + u64::from(last.bytes));
        for (queue, offset) in places {
            if let Some((last, place)) = self.standings.get_mut(queue).filter(|(last, _)| *last == number) {
                (*last, *place) = (number, Some((*offset, end)));
            }
        }
    }

    /// What lay there or beyond is lost by right.
    pub(crate) fn forget(&mut self, from: Position) {
        for (_, place) in self.standings.values_mut() {
            *place = place.filter(|(_, end)| *end <= from);
        }
    }

    /// Looks at a copy that has all of this.
    fn stand(&self, at: usize, group: &Group) -> Result<(), String> {
        let Some(moved) = group.consumer_group(MOVED) else { return Ok(()) };
        for topic in group.topics() {
            for (number, queue) in (0..).zip(&topic.queues) {
                let known = self.standings.get(queue).and_then(|(_, place)| *place);
                let Some((place, _)) = known.filter(|(_, end)| *end <= group.published()) else { continue };
                let (floor, (oldest, _)) = (group.floor(&topic, &moved, number), group.queue_range(*queue));
                if floor != Some(place.max(oldest)) {
                    return Err(format!(
                        "queue {queue}: a move to {place} was answered, copy {at} has the group at {floor:?}"
                    ));
                }
            }
        }
        Ok(())
    }
}

impl Cluster {
    /// An administrator moves the group in a queue.
    pub(crate) fn move_some(&mut self, door: usize) {
        let (at, group) = self.through(door);
        let Some((topic, queue)) = self.pick_queue(&group) else { return };
        let Some(moved) = group.consumer_group(MOVED) else { return };
        let id = topic.queues[queue as usize];
        let (_, tail) = group.queue_range(id);
        let place = Place::Offset(Offset(self.pick(0, tail.0 + 1)));
        let Ok(places) = group.places(&topic, std::iter::once(queue), place, self.now_ms) else { return };
        let mailbox = Arc::clone(&self.clients.mailbox);
        let Ok(ticket) = group.move_offsets(&moved, &[(&topic, &places)], &mailbox) else { return };
        self.clients.moves.asked += 1;
        let number = self.clients.moves.asked;
        self.clients.moves.standings.insert(id, (number, None));
        let places: Vec<_> = places.iter().map(|(_, offset)| (id, *offset)).collect();
        self.note(format_args!("move {number} to {places:?} at {at}"));
        self.wait_for(at, ticket, Answer::Move { number, places });
    }

    /// Somebody reads a queue by offset.
    pub(crate) fn pull_some(&mut self, door: usize) -> Result<(), String> {
        let (at, group) = self.through(door);
        let Some((topic, queue)) = self.pick_queue(&group) else { return Ok(()) };
        let id = topic.queues[queue as usize];
        let (oldest, tail) = group.queue_range(id);
        let from = Offset(self.pick(oldest.0, tail.0 + 1));
        let request = Pull { topic: &topic, queue, from, tags: None, max: 8 };
        let Ok(pulled) = group.pull(&request, self.now_ms, None) else { return Ok(()) };
        self.note(format_args!("pull from {from} of queue {id} at {at}: {}", pulled.messages.len()));
        for (expected, mut message) in (from.0..).zip(pulled.messages) {
            let (offset, position) = (message.offset, message.position);
            if offset.0 != expected {
                return Err(format!("a pull of queue {id} from {from} has {offset} in place of {expected}"));
            }
            if message.record.is_none() && group.load_pulled(&mut message).is_err() {
                continue; // the disk, or retention
            }
            let number = message_in(message.record.as_ref(), position)?;
            if !self.views.holds_lost(at) {
                self.invariants.offsets.told(number, id, offset, position, &self.views)?;
            }
        }
        Ok(())
    }

    /// Every open copy knows of the moves that it shows.
    pub(crate) fn moves_stand(&self) -> Result<(), String> {
        for (at, machine) in self.machines.iter().enumerate() {
            let process = machine.process.as_ref().filter(|process| !process.is_reopening);
            let Some(copy) = process.and_then(|process| process.copy.as_ref()) else { continue };
            if !self.views.holds_lost(at) {
                self.clients.moves.stand(at, &copy.group)?;
            }
        }
        Ok(())
    }

    fn pick_queue(&mut self, group: &Group) -> Option<(Arc<engine::catalog::Topic>, u32)> {
        let names = topics();
        let name = &names[self.pick(0, names.len() as u64) as usize].name;
        let topic = group.topic(name)?;
        let queue = self.pick(0, topic.queues.len() as u64) as u32;
        Some((topic, queue))
    }
}
