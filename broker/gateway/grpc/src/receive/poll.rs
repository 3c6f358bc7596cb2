//! The wait for messages: look, and if there is nothing, be woken or look again when a lease runs out.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use engine::group::{Delivery, Group, Receive, ReceiveError};
use engine::mailbox::Mailbox;
use engine::waiter::Waiter;
use store::log::{ReadError, Record};
use tracing::{error, warn};
use wire::v2::Code;

use crate::call::Call;
use crate::gateway::Gateway;
use crate::handout::Handout;
use crate::outgoing::is_wanted;
use crate::receive::plan::Plan;
use crate::refusal::{Failure, Refusal};
use crate::renew::give_back;

/// One receive that waits.
pub(crate) struct Polling<'a>(&'a AtomicUsize);

impl Gateway {
    /// Messages with their records, all of them readable and wanted; none when the wait is over. What is leased is in
    /// `handout` before the first await, so that a client that leaves gives it back.
    pub(crate) async fn poll(
        &self,
        call: &Call,
        plan: &Plan,
        handout: &mut Handout,
    ) -> Result<Vec<Delivery>, Failure> {
        // Most receives find something at once and need no waiter.
        let mut waiting = None;
        loop {
            let now_ms = self.now_ms();
            let waiter = waiting.as_ref().map(|(waiter, _)| waiter);
            let found = match self.group.receive(&request(plan, call), now_ms, waiter) {
                Ok(found) => found,
                // The group was closed while this waited: as with `ended` below.
                Err(ReceiveError::NotLeading) if waiter.is_some() => return Ok(Vec::new()),
                Err(error) => return Err(refused(&error)),
            };
            self.tell_buried(plan.group.id, &found.buried);
            for error in &found.corrupt {
                error!(%error, topic = plan.topic.spec.name, "skipped a message that does not verify");
            }
            if !found.deliveries.is_empty() {
                handout.begin(self.span_begin_ns());
                handout.add(found.deliveries.iter().map(|delivery| delivery.receipt));
                let wanted = self.wanted(plan, call, found.deliveries).await;
                if !wanted.is_empty() || self.now_ms() >= plan.until_ms {
                    return Ok(wanted);
                }
                // A condition may turn down a long backlog: others on this runtime want their turn.
                tokio::task::yield_now().await;
                continue;
            }
            let now_ms = self.now_ms();
            if now_ms >= plan.until_ms {
                return Ok(Vec::new());
            }
            let Some((waiter, _)) = &waiting else {
                waiting = Some((Waiter::new(&call.mailbox), self.polling()?));
                continue;
            };
            let again_ms = found.next_due_ms.map_or(plan.until_ms, |due_ms| due_ms.min(plan.until_ms));
            if again_ms <= now_ms {
                // The search stopped early, to let others run.
                tokio::task::yield_now().await;
                continue;
            }
            tokio::select! {
                () = waiter.woken() => {}
                // As if nothing had come: the client asks again, and is answered by the new leader.
                () = self.ended.cancelled() => return Ok(Vec::new()),
                () = tokio::time::sleep(Duration::from_millis(again_ms - now_ms)) => {}
            }
        }
    }

    /// Loads what is not in memory, and finishes what cannot or shall not be delivered.
    async fn wanted(&self, plan: &Plan, call: &Call, deliveries: Vec<Delivery>) -> Vec<Delivery> {
        let mut deliveries = self.load(call, deliveries, plan.group.spec.ordered).await;
        deliveries.retain(|delivery| {
            let deliver = is_wanted(&plan.filter, delivery.record.as_ref());
            if !deliver {
                // Already gone or done again: what was to be reached.
                let _ = self.group.ack(&delivery.receipt, self.now_ms(), &call.mailbox);
            }
            deliver
        });
        deliveries
    }

    /// Reads cold records on a thread that may wait for the disk.
    async fn load(&self, call: &Call, mut deliveries: Vec<Delivery>, is_ordered: bool) -> Vec<Delivery> {
        if deliveries.iter().all(|delivery| delivery.record.is_some()) {
            return deliveries;
        }
        let (group, clock, mailbox) = (self.group.clone(), self.clock(), Arc::clone(&call.mailbox));
        let loading = tokio::task::spawn_blocking(move || {
            let mut is_stuck = false;
            let mut before = None;
            deliveries.retain_mut(|delivery| {
                if is_stuck {
                    group.take_back(&delivery.receipt, clock());
                    return false;
                }
                if delivery.record.is_some() {
                    return true;
                }
                let loaded = load_one(&group, delivery, before.as_ref(), clock(), &mailbox);
                before.clone_from(&delivery.record);
                // In order, nothing overtakes a message that cannot be read now.
                is_stuck = is_ordered && matches!(loaded, Err(ReadError::Io { .. }));
                loaded.is_ok()
            });
            deliveries
        });
        // The runtime is going away: the handout gives everything back.
        loading.await.unwrap_or_default()
    }

    pub(crate) fn polling(&self) -> Result<Polling<'_>, Refusal> {
        let limit = self.config.pollers_max;
        if self.pollers.fetch_add(1, Ordering::Relaxed) >= limit {
            self.pollers.fetch_sub(1, Ordering::Relaxed);
            let text = format!("polling full: {limit} receives wait already, which is the limit");
            return Err(Refusal::new(Code::TooManyRequests, text));
        }
        Ok(Polling(&self.pollers))
    }
}

impl Drop for Polling<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn refused(error: &ReceiveError) -> Failure {
    let code = match error {
        ReceiveError::UnknownGroup(_) => Code::ConsumerGroupNotFound,
        ReceiveError::UnknownTopic(_) => Code::TopicNotFound,
        ReceiveError::NotLeading => return Failure::NotLeading(error.to_string()),
        ReceiveError::Index(_) => {
            error!(%error, "receive cannot read the index");
            Code::InternalServerError
        }
    };
    Refusal::new(code, error.to_string()).into()
}

fn request<'a>(plan: &'a Plan, call: &'a Call) -> Receive<'a> {
    Receive {
        group: &plan.group,
        topic: &plan.topic,
        tags: plan.tags.as_deref(),
        max: plan.max,
        invisible_ms: plan.invisible_ms,
        attempt_id: plan.attempt_id.as_deref(),
        mailbox: &call.mailbox,
    }
}

/// Loads the record, which may be that of the delivery before. What can never be read is done, what cannot be read right now
/// is given back.
fn load_one(
    group: &Group,
    delivery: &mut Delivery,
    before: Option<&Record>,
    now_ms: u64,
    mailbox: &Mailbox,
) -> Result<(), ReadError> {
    let loaded = group.load_after(delivery, before);
    let Err(error) = &loaded else { return loaded };
    match error {
        ReadError::Trimmed { .. } => {
            let _ = group.ack(&delivery.receipt, now_ms, mailbox);
        }
        ReadError::Corrupt { .. } | ReadError::OutOfRange { .. } => {
            error!(%error, "skipped a message that does not verify");
            let _ = group.ack(&delivery.receipt, now_ms, mailbox);
        }
        ReadError::Io { .. } => {
            warn!(%error, "message is given back, it cannot be read now");
            give_back(group, &[delivery.receipt], now_ms);
        }
    }
    loaded
}
