//! Consumers that read queues by offset, and the offsets that they commit.
//!
//! Promise: a reader gets every offset from its own on, one after the other, and is woken when there is one more; an offset
//! that was committed is the one that the group is told later, whatever happened meanwhile, unless the power took it.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::catalog::ConsumerGroupSpec;
use engine::group::{Group, Place, Pull, PullError, Pulled, PulledMessage};
use engine::waiter::Waiter;
use store::log::{Flush, Placed, ReadError};
use store::{Offset, Position, QueueId};

use crate::clients::message_in;
use crate::moves;
use crate::pollers::is_woken;
use crate::world::{Awaited, World};

const NAME: &str = "pulling";
const READERS_MAX: usize = 6;

/// The readers and what is known about their group.
#[derive(Default)]
pub(crate) struct Pulls {
    readers: Vec<Reader>,
    committed: BTreeMap<QueueId, Committed>,
    commits: u64,
    /// A power cut may have taken what a reader saw.
    is_shaken: bool,
}

/// A consumer of one queue.
struct Reader {
    topic: String,
    queue: u32,
    next: Offset,
    /// It found nothing and waits.
    waiter: Option<Arc<Waiter>>,
}

/// What is known of the group's place in a queue.
#[derive(Default)]
struct Committed {
    /// What was answered last, and where its record ends; none if another one may have happened since.
    place: Option<(Offset, Position)>,
    /// Number of the last one that was asked for.
    last: u64,
}

pub(crate) fn spec() -> ConsumerGroupSpec {
    ConsumerGroupSpec { name: NAME.to_owned(), ..moves::spec() }
}

impl World {
    /// A reader comes, goes, reads, commits or asks where its group is.
    pub(crate) fn pull_some(&mut self) -> Result<(), String> {
        let count = self.pulls.readers.len() as u64;
        match self.pick(0, 8) {
            0 if (count as usize) < READERS_MAX => {
                self.begin_to_pull();
                Ok(())
            }
            1 if count > 0 => {
                let gone = self.pick(0, count) as usize;
                self.pulls.readers.swap_remove(gone);
                Ok(())
            }
            2 | 3 if count > 0 => {
                let at = self.pick(0, count) as usize;
                self.commit(at);
                Ok(())
            }
            4 => self.committed_stays(),
            _ if count > 0 => {
                let (at, max) = (self.pick(0, count) as usize, self.pick(1, 33) as usize);
                let waits = self.random.one_in(2);
                self.pull_as(at, max, waits).map(drop)
            }
            _ => Ok(()),
        }
    }

    fn begin_to_pull(&mut self) {
        let (_, topic) = self.pick_reading();
        let group = Arc::clone(&self.broker.group);
        let Some(found) = group.topic(&topic) else { return };
        let queue = self.pick(0, found.queues.len() as u64) as u32;
        let (oldest, tail) = group.queue_range(found.queues[queue as usize]);
        let next = Offset(self.pick(oldest.0, tail.0 + 1));
        self.pulls.readers.push(Reader { topic, queue, next, waiter: None });
    }

    /// A reader reads on; returns how many messages it got.
    fn pull_as(&mut self, at: usize, max: usize, waits: bool) -> Result<usize, String> {
        let Reader { topic, queue, next, waiter } = &self.pulls.readers[at];
        let (queue, from) = (*queue, *next);
        let waiter = waits.then(|| waiter.clone().unwrap_or_else(|| Waiter::new(&self.mailbox)));
        let group = Arc::clone(&self.broker.group);
        let Some(topic) = group.topic(topic) else { return Ok(0) };
        let request = Pull { topic: &topic, queue, from, tags: None, max };
        let (next, count) = match group.pull(&request, self.now_ms, waiter.as_ref()) {
            Ok(pulled) => self.take_pulled(&group, topic.queues[queue as usize], from, pulled)?,
            // Retention took it, or a power cut what had not been synced.
            Err(PullError::OutOfRange { oldest, .. }) if from < oldest => (oldest, 0),
            Err(PullError::OutOfRange { tail, .. }) if self.pulls.is_shaken && from > tail => (tail, 0),
            Err(error) => return self.unless_crashed(&format!("pull: {error}")).map(|()| 0),
        };
        let reader = &mut self.pulls.readers[at];
        // Who was told where to go on looks there at once.
        reader.waiter = waiter.filter(|_| next == from && count == 0);
        reader.next = next;
        self.trace.note(format_args!("pull of {from} from queue {queue} of {}: {count}", topic.spec.name));
        Ok(count)
    }

    /// Looks at every message of a pull; returns where to go on, and how many there were.
    fn take_pulled(
        &mut self,
        group: &Group,
        queue: QueueId,
        from: Offset,
        pulled: Pulled,
    ) -> Result<(Offset, usize), String> {
        let count = pulled.messages.len();
        for (expected, message) in (from.0..).zip(pulled.messages) {
            if message.offset.0 != expected {
                let offset = message.offset;
                return Err(format!(
                    "a pull of queue {queue} from {from} has {offset} in place of {expected}"
                ));
            }
            if !self.take_pulled_message(group, queue, message)? {
                return Ok((from, 0));
            }
        }
        if pulled.next.0 != from.0 + count as u64 {
            return Err(format!("a pull of {count} messages from {from} goes on at {}", pulled.next));
        }
        if pulled.is_at_tail != (pulled.next == group.queue_range(queue).1) {
            return Err(format!("{} of queue {queue} at its tail: {}", pulled.next, pulled.is_at_tail));
        }
        Ok((pulled.next, count))
    }

    /// False if the disk is gone.
    fn take_pulled_message(
        &mut self,
        group: &Group,
        queue: QueueId,
        mut message: PulledMessage,
    ) -> Result<bool, String> {
        if message.record.is_none()
            && let Err(error) = group.load_pulled(&mut message)
        {
            self.bear(&error)?;
            return Ok(matches!(error, ReadError::Trimmed { .. }));
        }
        let number = message_in(message.record.as_ref(), message.position)?;
        self.invariants.pulled(queue, message.offset, number, message.position)?;
        Ok(true)
    }

    fn commit(&mut self, at: usize) {
        let Reader { topic, queue, next, .. } = &self.pulls.readers[at];
        let (queue, offset) = (*queue, *next);
        let group = Arc::clone(&self.broker.group);
        let (Some(topic), Some(pulling)) = (group.topic(topic), group.consumer_group(NAME)) else { return };
        let one = std::iter::once(queue);
        // After a power cut there may be no such offset.
        let Ok(places) = group.places(&topic, one, Place::Offset(offset), self.now_ms) else { return };
        let Ok(ticket) = group.move_offsets(&pulling, &[(&topic, &places)], &self.mailbox) else { return };
        let (queue, offset) = (topic.queues[queue as usize], places[0].1);
        self.pulls.commits += 1;
        let number = self.pulls.commits;
        self.trace.note(format_args!("commit {offset} of queue {queue}"));
        self.pulls.committed.insert(queue, Committed { place: None, last: number });
        self.awaited.push((ticket, Awaited::Commit { number, queue, offset }));
    }

    /// A reader hears that its offset is stored.
    pub(crate) fn committed(&mut self, number: u64, queue: QueueId, offset: Offset, records: &[Placed]) {
        let last = records.last().expect("a commit is a record");
        let end = Position(last.position.0 + u64::from(last.bytes));
        if let Some(known) = self.pulls.committed.get_mut(&queue).filter(|known| known.last == number) {
            known.place = Some((offset, end));
        }
    }

    /// The group is told what was committed last.
    pub(crate) fn committed_stays(&mut self) -> Result<(), String> {
        let group = Arc::clone(&self.broker.group);
        let Some(pulling) = group.consumer_group(NAME) else { return Ok(()) };
        for topic in group.topics() {
            for (number, queue) in (0..).zip(&topic.queues) {
                let known = self.pulls.committed.get(queue).and_then(|known| known.place);
                let Some((offset, _)) = known else { continue };
                let floor = group.floor(&topic, &pulling, number);
                let (oldest, _) = group.queue_range(*queue);
                if floor != Some(offset.max(oldest)) {
                    return Err(format!(
                        "{offset} of queue {queue} was committed, the group is at {floor:?}"
                    ));
                }
            }
        }
        Ok(())
    }

    /// Nobody waits any more; what was not synced is lost with the power.
    pub(crate) fn pulls_went_down(&mut self, power_lost: bool, durable: Position) {
        let is_lost = power_lost && self.config.log.flush == Flush::Async;
        self.pulls.is_shaken |= is_lost;
        for reader in &mut self.pulls.readers {
            reader.waiter = None;
        }
        for known in self.pulls.committed.values_mut() {
            known.place = known.place.filter(|(_, end)| !is_lost || *end <= durable);
        }
    }

    /// All who were woken read on, those who found something too; whoever waits then has nothing to read.
    pub(crate) fn run_woken_pulls(&mut self) -> Result<(), String> {
        for at in 0..self.pulls.readers.len() {
            if self.pulls.readers[at].waiter.as_ref().is_some_and(|waiter| is_woken(waiter)) {
                self.pull_as(at, 4, true)?;
            }
        }
        for at in 0..self.pulls.readers.len() {
            let Reader { topic, queue, next, waiter } = &self.pulls.readers[at];
            let Some(found) = self.broker.group.topic(topic).filter(|_| waiter.is_some()) else { continue };
            let (_, tail) = self.broker.group.queue_range(found.queues[*queue as usize]);
            if *next != tail {
                return Err(format!(
                    "who reads queue {queue} of {topic} waits at {next}, its tail is {tail}, and was not woken"
                ));
            }
        }
        Ok(())
    }

    /// In peace: every queue is read from the oldest offset to the last, and what was committed is still there.
    pub(crate) fn pull_everything(&mut self) -> Result<(), String> {
        self.committed_stays()?;
        let group = Arc::clone(&self.broker.group);
        for topic in self.topics.clone() {
            let Some(found) = group.topic(&topic.name) else { return Err("a topic is gone".to_owned()) };
            for (queue, id) in (0..).zip(&found.queues) {
                let (oldest, tail) = group.queue_range(*id);
                let topic = topic.name.clone();
                self.pulls.readers = vec![Reader { topic, queue, next: oldest, waiter: None }];
                while self.pulls.readers[0].next < tail {
                    let before = self.pulls.readers[0].next;
                    self.pull_as(0, 64, false)?;
                    if self.pulls.readers[0].next == before {
                        return Err(format!("queue {id} goes to {tail} and is not read beyond {before}"));
                    }
                }
            }
        }
        Ok(())
    }
}
