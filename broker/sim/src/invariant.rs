//! What must hold whatever happens; each file is one promise.

mod a_delayed_message_keeps_its_time;
mod a_failed_message_waits_its_backoff;
mod a_history_tells_every_end;
pub(crate) mod a_member_never_goes_back_to_an_earlier_epoch;
pub(crate) mod a_message_group_is_first_read_in_order;
mod a_message_group_is_read_in_order;
mod a_message_has_one_holder_at_a_time;
pub(crate) mod a_promise_falls_only_when_its_candidacy_failed;
mod a_transaction_is_seen_once_it_is_committed;
pub(crate) mod an_answer_waits_for_enough_copies;
pub(crate) mod an_epoch_has_one_leader;
mod an_offset_keeps_its_message;
pub(crate) mod an_offset_names_one_message;
mod attempts_stay_within_the_limit;
mod checkpoints_change_nothing;
pub(crate) mod cluster;
pub(crate) mod copies_agree_by_epoch_and_position;
mod done_messages_stay_done;
pub(crate) mod every_copy_in_sync_has_what_is_agreed;
mod every_message_is_done_or_dead_lettered_once;
mod no_acknowledged_message_is_lost;
mod no_wake_is_lost;
mod offsets_of_a_queue_are_dense;
pub(crate) mod only_whole_copies_count;
mod the_most_urgent_comes_first;
pub(crate) mod what_is_agreed_stays;

use engine::group::Decision;
use store::log::Flush;
use store::{Offset, Position, QueueId};

use crate::event::Event;
use crate::world::Reader;

pub(crate) use a_history_tells_every_end::a_history_tells_every_end;
pub(crate) use checkpoints_change_nothing::checkpoints_change_nothing;
pub(crate) use no_wake_is_lost::no_wake_is_lost;

/// All invariants that watch events.
pub(crate) struct Invariants {
    no_loss: no_acknowledged_message_is_lost::Stored,
    dense: offsets_of_a_queue_are_dense::Queues,
    one_holder: a_message_has_one_holder_at_a_time::Holders,
    done: done_messages_stay_done::Done,
    attempts: attempts_stay_within_the_limit::Attempts,
    waits: a_failed_message_waits_its_backoff::Waits,
    names: an_offset_keeps_its_message::Names,
    complete: every_message_is_done_or_dead_lettered_once::Fates,
    in_order: a_message_group_is_read_in_order::Lanes,
    times: a_delayed_message_keeps_its_time::Times,
    transactions: a_transaction_is_seen_once_it_is_committed::Transactions,
    urgent_first: the_most_urgent_comes_first::Levels,
}

impl Invariants {
    pub(crate) fn new(flush: Flush, readers: &[Reader]) -> Self {
        Self {
            no_loss: no_acknowledged_message_is_lost::Stored::new(flush),
            dense: offsets_of_a_queue_are_dense::Queues::default(),
            one_holder: a_message_has_one_holder_at_a_time::Holders::default(),
            done: done_messages_stay_done::Done::default(),
            attempts: attempts_stay_within_the_limit::Attempts::new(readers),
            waits: a_failed_message_waits_its_backoff::Waits::new(readers),
            names: an_offset_keeps_its_message::Names::new(flush),
            complete: every_message_is_done_or_dead_lettered_once::Fates::new(readers),
            in_order: a_message_group_is_read_in_order::Lanes::new(readers),
            times: a_delayed_message_keeps_its_time::Times::new(flush),
            transactions: a_transaction_is_seen_once_it_is_committed::Transactions::new(flush),
            urgent_first: the_most_urgent_comes_first::Levels::new(readers),
        }
    }

    /// The first promise that the event breaks.
    pub(crate) fn observe(&mut self, event: &Event) -> Result<(), String> {
        self.no_loss.observe(event)?;
        self.dense.observe(event)?;
        self.one_holder.observe(event)?;
        self.done.observe(event)?;
        self.attempts.observe(event)?;
        self.waits.observe(event)?;
        self.names.observe(event)?;
        self.complete.observe(event)?;
        self.in_order.observe(event)?;
        self.times.observe(event)?;
        self.transactions.observe(event)?;
        self.urgent_first.observe(event)
    }

    /// A producer takes a message back; nobody may hear what became of that.
    pub(crate) fn may_go(&mut self, message: u64) {
        self.no_loss.may_go(message);
    }

    /// A message is sent for this time.
    pub(crate) fn sent_for(&mut self, message: u64, due_ms: u64) {
        self.times.sent(message, due_ms);
        self.in_order.delayed(message);
    }

    /// The clock showed this before the broker started again; now it may show less.
    pub(crate) fn clock_was_set(&mut self, from_ms: u64) {
        self.times.clock_was_set(from_ms);
    }

    /// A message is sent in a transaction.
    pub(crate) fn begun(&mut self, message: u64) {
        self.transactions.begun(message);
        // Its own place is that of a link, as with those that wait for their time.
        self.in_order.delayed(message);
    }

    /// A producer decides about a message.
    pub(crate) fn deciding(&mut self, message: u64, decision: Decision) {
        self.transactions.deciding(message, decision);
    }

    /// A producer is told that a message was decided like this before.
    pub(crate) fn decided_before(&self, message: u64, decision: Decision) -> Result<(), String> {
        self.transactions.decided_before(message, decision)
    }

    /// A producer is asked about a message.
    pub(crate) fn asked(&self, message: u64) -> Result<(), String> {
        self.transactions.asked(message)
    }

    /// A message is sent with this priority.
    pub(crate) fn sent_with(&mut self, message: u64, priority: u32) {
        self.urgent_first.sent(message, priority);
    }

    /// The disk crashed; the broker goes on until it is started again.
    pub(crate) fn crashed(&mut self) {
        self.urgent_first.crashed();
        self.attempts.crashed();
    }

    /// A consumer tries to give a message up.
    pub(crate) fn may_be_given_up(&mut self, reader: usize, message: u64) {
        self.urgent_first.given_up(reader, message);
        self.attempts.given_up(reader, message);
    }

    /// A consumer failed with a message and wants it again later.
    pub(crate) fn failed(&mut self, reader: usize, message: u64, attempt: u16, now_ms: u64) {
        self.waits.failed(reader, message, attempt, now_ms);
    }

    /// Somebody who reads by offset got the message.
    pub(crate) fn pulled(
        &mut self,
        queue: QueueId,
        offset: Offset,
        message: u64,
        position: Position,
    ) -> Result<(), String> {
        self.names.read(queue, offset, message, position)
    }

    /// A consumer gives a message up, and will hear whether that is stored.
    pub(crate) fn given_up(&mut self, reader: usize, message: u64) {
        self.in_order.given_up(reader, message);
    }

    /// A message is sent to this lane.
    pub(crate) fn sent(&mut self, message: u64, lane: u32) {
        self.in_order.sent(message, lane);
    }
}
