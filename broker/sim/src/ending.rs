//! The end of a story: no more trouble. Everything that is left must be delivered, and then everything is counted.

use std::sync::Arc;

use engine::catalog::{
    ABANDONED_TRANSACTIONS_TOPIC, Adopt, Backoff, Broadcast, ConsumeFrom, ConsumerGroupSpec,
    DEAD_LETTER_PREFIX, PriorityPolicy, RetryPolicy,
};
use engine::group::{Delivery, Group, Receive};
use store::QueueId;
use store::log::ReadError;

use crate::clients::message_of;
use crate::event::{Event, Place};
use crate::fleeting;
use crate::invariant::a_history_tells_every_end;
use crate::world::{Awaited, World};

/// Rounds in which all must be through: the attempts of the clumsy reader and as many for the rest.
const ROUNDS_MAX: u32 = 2000;
const INVISIBLE_MS: u64 = 10_000;
const AUDITOR: &str = "auditor";

impl World {
    /// Drains all queues, then counts what is in them.
    pub(crate) fn end(&mut self) -> Result<(), String> {
        self.trace.note(format_args!("peace"));
        self.free_disk();
        self.disk.forget_faults();
        self.restart_in_peace()?;
        self.drain()?;
        if !self.checkpoint_knows_more {
            a_history_tells_every_end(&self.broker.group, self.now_ms)?;
        }
        self.drain_moved()?;
        self.pull_everything()?;
        self.drain_members()?;
        self.drain_fleeting()?;
        self.audit()
    }

    fn restart_in_peace(&mut self) -> Result<(), String> {
        self.restart()?;
        self.free_disk();
        self.disk.forget_faults();
        if self.random.one_in(2) {
            self.broker.group.checkpoint().map_err(|error| format!("checkpoint in peace: {error}"))?;
        }
        Ok(())
    }

    fn drain(&mut self) -> Result<(), String> {
        self.holdings.clear();
        for _ in 0..ROUNDS_MAX {
            self.settle()?;
            self.now_ms += INVISIBLE_MS * 10;
            let mut found = 0;
            for reader in 0..self.readers.len() {
                for topic in self.topics.clone() {
                    found += self.receive(reader, &topic.name, 64, INVISIBLE_MS, None)?;
                }
                if self.readers[reader].acks {
                    for holding in std::mem::take(&mut self.holdings) {
                        self.ack(holding)?;
                    }
                }
                self.holdings.clear();
            }
            self.settle()?;
            self.broker.group.work_timers(self.now_ms).map_err(|error| error.to_string())?;
            self.check_transactions()?;
            let last_due_ms = self.timed.values().map(|(due_ms, _)| *due_ms).max().unwrap_or(0);
            let is_open = self.broker.group.open_transactions() > 0;
            if found == 0 && self.now_ms > last_due_ms && !is_open && self.lagging().is_empty() {
                return Ok(());
            }
        }
        let (group, lagging) = (&self.broker.group, self.lagging().join(", "));
        let (timers, open) = (group.pending_timers(), group.open_transactions());
        Err(format!(
            "not through after {ROUNDS_MAX} rounds of peace: {timers} timers and {open} transactions are pending, {lagging}"
        ))
    }

    /// Steps of the log thread until nobody waits.
    pub(crate) fn settle(&mut self) -> Result<(), String> {
        for _ in 0..ROUNDS_MAX {
            let before = self.broker.group.log_state().written;
            self.step()?;
            if self.awaited.is_empty() && self.broker.group.log_state().written == before {
                return Ok(());
            }
        }
        Err(format!("{} tickets are not answered", self.awaited.len()))
    }

    /// Where consumer groups are not through.
    fn lagging(&self) -> Vec<String> {
        let group = &self.broker.group;
        let mut lagging = Vec::new();
        for reader in &self.readers {
            let Some(consumer_group) = group.consumer_group(&reader.spec.name) else { continue };
            let progress = group.progress(&consumer_group).into_iter();
            let behind = progress
                .filter(|progress| progress.lag > 0 && !progress.topic.starts_with(DEAD_LETTER_PREFIX));
            lagging.extend(behind.map(|progress| format!("{}: {progress:?}", reader.spec.name)));
        }
        lagging
    }

    /// A consumer group that nobody knew reads everything from the beginning.
    fn audit(&mut self) -> Result<(), String> {
        let spec = ConsumerGroupSpec {
            name: AUDITOR.to_owned(),
            ordered: false,
            priority: PriorityPolicy::Strict,
            retry: RetryPolicy { max_attempts: 1, backoff: Backoff::Custom(vec![1000]) },
            trace: false,
            consume_from: ConsumeFrom::Earliest,
            reset: None,
            broadcast: Broadcast::No,
            owner: String::new(),
        };
        let group = Arc::clone(&self.broker.group);
        let applied = group.apply_consumer_groups(&[spec], Adopt::Always, &self.mailbox);
        let (_, ticket) = applied.map_err(|error| error.to_string())?;
        self.awaited.extend(ticket.map(|ticket| (ticket, Awaited::Setup)));
        self.settle()?;
        for topic in group.topics().into_iter().filter(|topic| topic.spec.name != fleeting::TOPIC) {
            self.audit_topic(&topic.spec.name)?;
            for queue in &topic.queues {
                let (oldest, tail) = group.queue_range(*queue);
                self.tell(Event::Range { queue: *queue, oldest, tail })?;
            }
        }
        self.tell(Event::Ended { head: group.log_state().head })
    }

    fn audit_topic(&mut self, name: &str) -> Result<(), String> {
        let group = Arc::clone(&self.broker.group);
        let auditor = group.consumer_group(AUDITOR).ok_or("the auditor is not known")?;
        let topic = group.topic(name).ok_or("a topic is gone")?;
        let place = self.place_of(name)?;
        loop {
            let request = Receive {
                group: &auditor,
                topic: &topic,
                tags: None,
                max: 50,
                invisible_ms: 1 << 40,
                attempt_id: None,
                mailbox: &self.mailbox,
            };
            let received = group.receive(&request, self.now_ms, None).map_err(|error| error.to_string())?;
            for error in &received.corrupt {
                self.bear(error)?;
                if let ReadError::Trimmed { .. } = error {
                    let queue = if topic.queues.len() == 1 { topic.queues[0] } else { QueueId::NONE };
                    self.tell(Event::Vanished { queue })?;
                }
            }
            if received.deliveries.is_empty() {
                return Ok(());
            }
            for delivery in received.deliveries {
                self.count(&group, delivery, place)?;
            }
        }
    }

    fn place_of(&self, topic: &str) -> Result<Place, String> {
        if topic == ABANDONED_TRANSACTIONS_TOPIC {
            return Ok(Place::Abandoned);
        }
        let Some(owner) = topic.strip_prefix(DEAD_LETTER_PREFIX) else { return Ok(Place::Own) };
        let number = self.readers.iter().position(|reader| reader.spec.name == owner);
        number
            .map(Place::DeadLetters)
            .ok_or_else(|| format!("dead letters of {owner}, which is none of ours"))
    }

    fn count(&mut self, group: &Group, delivery: Delivery, place: Place) -> Result<(), String> {
        let mut delivery = delivery;
        let (queue, offset) = (delivery.receipt.queue, delivery.offset);
        match group.load(&mut delivery) {
            Ok(()) => {}
            Err(ReadError::Trimmed { .. }) => {
                return self.tell(Event::Vanished { queue });
            }
            Err(error) => return Err(format!("audit: {error}")),
        }
        let message = message_of(&delivery)?;
        let origin = delivery.origin.as_ref().map(|origin| &origin.topic);
        if origin.is_some() != (place != Place::Own) {
            return Err(format!("message {message} at {offset} of queue {queue} comes from {origin:?}"));
        }
        self.tell(Event::Found { queue, offset, message, place })
    }
}
