//! `ReceiveMessage`: wait for messages, lease them, write them.
//!
//! ```text
//!   plan (who, what, how long) ──▶ poll ──▶ [status][message]…[delivery timestamp]
//!                                   │ nothing: woken by a publish, by the end of a lease, or at the end of the wait
//! ```
//!
//! Promise: a receive drains every queue of its topic, whatever queue it names; its reply has one status first and one time
//! last, and comes half a second before the client's deadline at the latest.

pub(crate) mod plan;
mod poll;

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use engine::group::Delivery;
use engine::traffic::Outflow;
use prost::Message;
use store::log::Record;
use wire::digest::DigestForm;
use wire::frame;
use wire::v2::{self, Code, receive_message_response::Content};

use crate::call::{Call, Unanswered};
use crate::gateway::Gateway;
use crate::handle;
use crate::handout::Handout;
use crate::outgoing::Outgoing;
use crate::receive::plan::Plan;
use crate::refusal::{Failure, Refusal};
use crate::reply;

/// What a delivery adds to its message, about.
const OVERHEAD_BYTES: usize = 256;

/// Bytes of a delivery in the reply, about.
fn bytes_of(delivery: &Delivery) -> usize {
    let message = |record: &Record| record.head().len() + record.body().len();
    delivery.record.as_ref().map_or(0, message) + OVERHEAD_BYTES
}

impl Gateway {
    /// Waits for messages and appends the whole reply. The messages are the client's when the handout is told that they
    /// were written; they are given back when it is dropped, or when this future is.
    pub async fn receive_message(
        &self,
        call: &Call,
        request: Bytes,
        out: &mut BytesMut,
    ) -> Result<Handout, Unanswered> {
        let mut handout = Handout::new(&self.group, self.clock());
        match self.receive(call, request, &mut handout, out).await {
            Ok(()) => {}
            Err(failure) => {
                let refusal = failure.refusal()?;
                if refusal.code != Code::MessageNotFound {
                    self.counters.refused(1);
                }
                let status = Content::Status(refusal.status());
                frame::put(out, &v2::ReceiveMessageResponse { content: Some(status) });
            }
        }
        reply::put_delivery_timestamp(out, self.now_ms());
        Ok(handout)
    }

    async fn receive(
        &self,
        call: &Call,
        request: Bytes,
        handout: &mut Handout,
        out: &mut BytesMut,
    ) -> Result<(), Failure> {
        call.identified()?;
        let request = v2::ReceiveMessageRequest::decode(request)?;
        let mut plan = self.plan(call, &request)?;
        let named = Arc::clone(&plan.group);
        plan.group = self.reads_for(call, plan.group).await?;
        if plan.group.spec.ordered && plan.attempt_id.is_some() {
            handout.may_reenter();
        }
        let deliveries = self.poll(call, &plan, handout).await?;
        if deliveries.is_empty() {
            return Err(Refusal::new(Code::MessageNotFound, "no new message").into());
        }
        self.group.note_handed(&plan.group, &deliveries, call.client_id(), &call.mailbox);
        let begin_ns = handout.begin_ns();
        handout.tell(self.on_the_way(call, (&plan, &named.spec.name), &deliveries, begin_ns));
        reply::put_receive_ok(out);
        out.reserve(deliveries.iter().map(bytes_of).sum());
        let digest = DigestForm::of_client(call.language(), call.version());
        let now_ms = self.now_ms();
        let mut outflow = Outflow::default();
        for delivery in &deliveries {
            let before = out.len();
            self.put_delivery(out, &plan, digest, delivery);
            outflow.add(delivery.attempt, out.len() - before);
            if let Some(session) = &plan.renew_for {
                self.renewals.hold(&delivery.receipt, session, call, now_ms);
            }
        }
        self.counters.received(deliveries.len(), out.len());
        self.group.note_received(&plan.topic, plan.group.id, outflow);
        Ok(())
    }

    fn put_delivery(&self, out: &mut BytesMut, plan: &Plan, form: DigestForm, delivery: &Delivery) {
        let receipt = handle::text_of(&delivery.receipt);
        let message = Outgoing {
            record: delivery.record.as_ref().expect("poll returns loaded deliveries"),
            origin: delivery.origin.as_ref(),
            topic: &plan.topic.spec.name,
            namespace: &plan.namespace,
            queue: delivery.queue_index,
            offset: delivery.offset,
            stored_ms: delivery.stored_ms,
            attempt: u32::from(delivery.attempt),
            lease: Some((receipt.as_str(), plan.invisible_ms)),
        };
        self.put_message(&message, form, out).expect("poll returns readable heads");
    }
}
