//! What the records of the log add up to, and how each of them is applied.
//!
//! ```text
//!   entry --> Message, Link: index, tail    Meta: catalog    Acks, Attempts: deliveries    Timed, Settled: timeline
//!             Half, Decided, a Link to a Half: halves        Floors: deliveries
//! ```
//!
//! Promise: applying records again, from any checkpointed position on, changes nothing that is applied already.

use std::sync::Arc;

use parking_lot::RwLock;
use store::index::{Index, IndexEntry, MESSAGES_MAX};
use store::log::{Encoding, Entry, Kind};
use store::{Epoch, Offset, QueueId};

use crate::catalog::{self, Catalog, What};
use crate::halves::{Decision, Halves};
use crate::lease::Deliveries;
use crate::records::{self, Cell, Floor};
use crate::timers::Timers;
use crate::waiter::Waiter;

/// The folds.
pub(crate) struct State {
    pub(crate) catalog: RwLock<Catalog>,
    pub(crate) index: Index,
    pub(crate) timers: Timers,
    pub(crate) halves: Halves,
}

/// Messages of one queue that become visible with a batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    queue: QueueId,
    tail: Offset,
    count: u32,
}

/// Nothing comes, but those are woken who waited for a group that reads a topic no more.
fn stopped(catalog: &Catalog, what: &What) -> Option<Arrival> {
    let What::Stop(stop) = what else { return None };
    let queue = *catalog.topic_by_id(stop.topic)?.queues.first()?;
    Some(Arrival { queue, tail: Offset(0), count: 0 })
}

/// A record that this program cannot apply: written by a later version.
#[derive(Clone, Debug)]
pub(crate) struct Unknown {
    pub(crate) what: &'static str,
    pub(crate) why: String,
}

impl State {
    /// Applies one record; its messages become visible to readers with `publish`.
    pub(crate) fn fold(&self, entry: &Entry<'_>, arrivals: &mut Vec<Arrival>) -> Result<(), Unknown> {
        let unknown = |what| move |why| Unknown { what, why };
        match entry.kind {
            Kind::Message => self.fold_message(entry, arrivals)?,
            Kind::Link => {
                self.fold_message(entry, arrivals)?;
                self.fold_link(entry).map_err(unknown("link record"))?;
            }
            Kind::Meta => {
                let whats = catalog::decode(entry.body).map_err(unknown("meta record"))?;
                let mut catalog = self.catalog.write();
                for what in whats {
                    arrivals.extend(stopped(&catalog, &what));
                    catalog.fold(what, entry.epoch);
                }
            }
            Kind::Acks => {
                let cells = records::decode_acks(entry.body).map_err(unknown("acks record"))?;
                self.each(cells.map(|cell| (cell, 0)), arrivals, |deliveries, cell, _| {
                    deliveries.fold_acks(cell.base, cell.mask);
                });
            }
            Kind::Attempts => {
                let cells = records::decode_attempts(entry.body).map_err(unknown("attempts record"))?;
                self.each(cells, arrivals, |deliveries, cell, attempt| {
                    deliveries.fold_attempts(cell.base, cell.mask, attempt);
                });
            }
            Kind::Timed => self.timers.fold_timed(entry),
            Kind::Settled => {
                let keys = records::decode_settled(entry.body).map_err(unknown("settled record"))?;
                for (due_ms, position) in keys {
                    self.timers.line.remove(due_ms, position);
                }
            }
            Kind::Half => self.halves.fold_half(entry),
            Kind::Decided => {
                let decided = records::decode_decided(entry.body).map_err(unknown("decided record"))?;
                for (position, decision) in decided {
                    self.halves.fold_decision(position, decision);
                }
            }
            Kind::Floors => {
                let floors = records::decode_floors(entry.body).map_err(unknown("floors record"))?;
                self.fold_floors(floors, entry.epoch, arrivals);
            }
            Kind::Epoch | Kind::Pad | Kind::Handed => {}
        }
        Ok(())
    }

    /// Shows messages to readers; takes the waiters that they are enough for, to be woken without a lock.
    pub(crate) fn publish(&self, arrivals: &[Arrival], woken: &mut Vec<Arc<Waiter>>) {
        let catalog = self.catalog.read();
        for arrival in arrivals {
            // A topic may have been deleted while the message was on its way.
            if let Some((queues, queue)) = catalog.home(arrival.queue) {
                queues.lock().publish(*queue as usize, arrival.tail, arrival.count, woken);
            }
        }
    }

    /// Shows everything that a replay found.
    pub(crate) fn publish_all(&self) {
        for topic in self.catalog.read().topics() {
            let tails: Vec<_> = topic.queues.iter().map(|&queue| self.index.range(queue).1).collect();
            topic.state.lock().set_tails(&tails);
        }
    }

    /// Before anything is handed out: everything is folded that deliveries can know of.
    pub(crate) fn clamp_deliveries(&self) {
        for topic in self.catalog.read().topics() {
            topic.state.lock().clamp_deliveries();
        }
    }

    fn fold_message(&self, entry: &Entry<'_>, arrivals: &mut Vec<Arrival>) -> Result<(), Unknown> {
        let count = entry.count.max(1);
        if count > MESSAGES_MAX {
            return Err(Unknown { what: "message record", why: format!("{count} messages in one record") });
        }
        let index_entry = IndexEntry {
            offset: entry.offset,
            count,
            position: entry.position,
            bytes: entry.bytes,
            tag_hash: entry.tag_hash,
            lane: entry.lane,
            stored_ms: entry.stored_ms,
        };
        self.index.append(entry.queue, index_entry);
        let (tail, count) = (index_entry.end(), u32::from(count));
        match arrivals.last_mut() {
            Some(last) if last.queue == entry.queue => {
                last.tail = tail;
                last.count += count;
            }
            _ => arrivals.push(Arrival { queue: entry.queue, tail, count }),
        }
        Ok(())
    }

    /// The beginnings of the queues that a consumer group stops to read.
    pub(crate) fn stopped_floors(&self, what: &What) -> Vec<Floor> {
        let What::Stop(stop) = what else { return Vec::new() };
        let catalog = self.catalog.read();
        let queues = catalog.topic_by_id(stop.topic).map_or(&[][..], |topic| &topic.queues);
        queues.iter().map(|&queue| Floor { group: stop.group, queue, offset: Offset(0) }).collect()
    }

    /// The first link to a half decides it: it is an entry of its own queue, or of the topic of those that were given up.
    fn fold_link(&self, entry: &Entry<'_>) -> Result<(), String> {
        if entry.encoding == Encoding::None && self.halves.len() > 0 {
            let link = records::decode_link(entry.body)?;
            let decision = if link.origin.is_empty() { Decision::Commit } else { Decision::RollBack };
            self.halves.fold_decision(link.target().0, decision);
        }
        Ok(())
    }

    /// Consumer groups stand elsewhere now; what is ready there is told as if it had just come.
    fn fold_floors(&self, floors: impl Iterator<Item = Floor>, epoch: Epoch, arrivals: &mut Vec<Arrival>) {
        let catalog = self.catalog.read();
        for Floor { group, queue, offset } in floors {
            if let Some((queues, number)) = catalog.home(queue)
                && let Some((deliveries, tail)) = queues.lock().deliveries(group, *number)
            {
                deliveries.move_to(offset, epoch);
                let count = u32::try_from(tail.0.saturating_sub(offset.0)).unwrap_or(u32::MAX);
                arrivals.push(Arrival { queue, tail, count });
            }
        }
    }

    /// Records of topics and groups that were deleted since are passed over.
    fn each(
        &self,
        cells: impl Iterator<Item = (Cell, u16)>,
        arrivals: &mut Vec<Arrival>,
        act: impl Fn(&mut Deliveries, Cell, u16),
    ) {
        let catalog = self.catalog.read();
        for (cell, attempt) in cells {
            if let Some((queues, queue)) = catalog.home(cell.queue)
                && let Some((deliveries, tail)) = queues.lock().deliveries(cell.group, *queue)
            {
                act(deliveries, cell, attempt);
                if deliveries.has_free_line() {
                    // Those behind a message that went to the dead letters are next: as if they had just come.
                    arrivals.push(Arrival { queue: cell.queue, tail, count: 1 });
                }
            }
        }
    }
}
