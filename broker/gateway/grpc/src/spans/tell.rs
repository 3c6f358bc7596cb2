//! What the gateway tells of the messages it works on.

use std::sync::Arc;

use engine::group::{Delivery, PulledMessage};
use engine::lease::Receipt;
use store::log::Record;
use store::{Offset, QueueId};
use wire::stored::{Head, Scanned};

use super::handed::key_of;
use super::{About, Fault, Handed, Operation, Span, Spans, short};
use crate::call::Call;
use crate::gateway::Gateway;
use crate::offsets::Named;
use crate::receive::plan::Plan;
use crate::refusal::{Failure, Refusal};

/// Deliveries whose reply is on its way to the client.
pub(crate) struct OnTheWay {
    spans: Arc<Spans>,
    told: Vec<Span>,
}

impl OnTheWay {
    /// The reply was handed to the network, or was not.
    pub(crate) fn end(self, is_delivered: bool) {
        let end_ns = self.spans.now_ns();
        for span in self.told {
            let text = || "the client was gone before the reply was written".to_owned();
            let fault = (!is_delivered).then(|| Fault { kind: "not_delivered", text: text() });
            self.spans.record(Span { end_ns, fault, ..span });
        }
    }
}

impl Gateway {
    /// The spans, if they are recorded.
    pub(crate) fn spans(&self) -> Option<&Arc<Spans>> {
        self.config.spans.as_ref().filter(|spans| spans.is_on())
    }

    /// Nanoseconds since 1970; 0 if no spans are recorded.
    pub(crate) fn span_begin_ns(&self) -> u64 {
        self.spans().map_or(0, |spans| spans.now_ns())
    }

    /// What is said about a message that is being sent, if its trace is sampled.
    pub(crate) fn about_sent(&self, scanned: &Scanned<'_>) -> Option<Arc<About>> {
        self.spans()?;
        let context = scanned.sampled()?;
        let place = (scanned.namespace, scanned.topic);
        Some(Arc::new(About::new(context, place, &scanned.system, scanned.keys(), scanned.body.len())))
    }

    /// Messages of one request were stored, or were not.
    pub(crate) fn tell_sent(
        &self,
        call: &Call,
        sent: Vec<Arc<About>>,
        begin_ns: u64,
        refusal: Option<&Refusal>,
    ) {
        let Some(spans) = self.spans().filter(|_| !sent.is_empty()) else { return };
        let end_ns = spans.now_ns();
        for about in sent {
            spans.record(Span {
                operation: Operation::Send,
                about,
                handed: None,
                client_id: short(call.client_id()),
                queued_ms: None,
                begin_ns,
                end_ns,
                fault: refusal.map(fault),
            });
        }
    }

    /// Messages that are about to be written for a client of this consumer group; none of them sampled: nothing.
    pub(crate) fn on_the_way(
        &self,
        call: &Call,
        (plan, group): (&Plan, &str),
        deliveries: &[Delivery],
        begin_ns: u64,
    ) -> Option<OnTheWay> {
        let spans = self.spans()?;
        let mut told = Vec::new();
        for delivery in deliveries {
            let place = (&*plan.namespace, &*plan.topic.spec.name);
            let Some(about) = about_stored(place, delivery.record.as_ref()) else { continue };
            let handed = Handed {
                consumer_group: short(group).into(),
                queue: delivery.queue_index,
                offset: delivery.offset.0,
                attempt: delivery.attempt.into(),
            };
            self.handed_out.put(key_of(&delivery.receipt), &about, &handed);
            told.push(Span {
                operation: Operation::Receive,
                about,
                handed: Some(handed),
                client_id: short(call.client_id()),
                queued_ms: Some((begin_ns / 1_000_000).saturating_sub(delivery.stored_ms)),
                begin_ns,
                end_ns: begin_ns,
                fault: None,
            });
        }
        (!told.is_empty()).then(|| OnTheWay { spans: Arc::clone(spans), told })
    }

    /// Messages were read by their offsets.
    pub(crate) fn tell_pulled(&self, call: &Call, group: &str, named: &Named, messages: &[PulledMessage]) {
        let Some(spans) = self.spans() else { return };
        let now_ns = spans.now_ns();
        for message in messages {
            let place = (&*named.namespace, &*named.topic.spec.name);
            let Some(about) = about_stored(place, message.record.as_ref()) else { continue };
            spans.record(Span {
                operation: Operation::Receive,
                about,
                handed: Some(Handed {
                    consumer_group: short(group).into(),
                    queue: named.queue,
                    offset: message.offset.0,
                    attempt: 1,
                }),
                client_id: short(call.client_id()),
                queued_ms: Some((now_ns / 1_000_000).saturating_sub(message.stored_ms)),
                begin_ns: now_ns,
                end_ns: now_ns,
                fault: None,
            });
        }
    }

    /// A consumer says what becomes of a message; nothing if that is of no sampled trace, as far as is known.
    pub(crate) fn settling(&self, call: &Call, receipt: &Receipt, operation: Operation) -> Option<Span> {
        let spans = self.spans()?;
        let (about, handed) = self.handed_out.get(key_of(receipt))?;
        let begin_ns = spans.now_ns();
        Some(Span {
            operation,
            about,
            handed: Some(Handed { attempt: receipt.attempt.into(), ..handed }),
            client_id: short(call.client_id()),
            queued_ms: None,
            begin_ns,
            end_ns: begin_ns,
            fault: None,
        })
    }

    /// What became of it; of a call that another member has to serve, that one tells.
    pub(crate) fn settled(&self, receipt: &Receipt, span: Option<Span>, done: Result<(), &Failure>) {
        let (Some(span), Some(spans)) = (span, self.spans()) else { return };
        let fault = match done {
            Ok(()) => None,
            Err(Failure::Refused(refusal)) => Some(fault(refusal)),
            Err(Failure::NotLeading(_) | Failure::Malformed(_)) => return,
        };
        if fault.is_none() && span.operation != Operation::ChangeInvisibleDuration {
            self.handed_out.forget(key_of(receipt));
        }
        spans.record(Span { end_ns: spans.now_ns(), fault, ..span });
    }

    /// Messages of this consumer group were moved to the dead letters, because their attempts were used up.
    pub(crate) fn tell_buried(&self, group: u32, buried: &[(QueueId, Offset)]) {
        let Some(spans) = self.spans().filter(|_| !buried.is_empty()) else { return };
        let now_ns = spans.now_ns();
        for (queue, offset) in buried {
            let key = (group, queue.0, offset.0);
            let Some((about, handed)) = self.handed_out.get(key) else { continue };
            self.handed_out.forget(key);
            spans.record(Span {
                operation: Operation::DeadLetter,
                about,
                handed: Some(handed),
                client_id: String::new(),
                queued_ms: None,
                begin_ns: now_ns,
                end_ns: now_ns,
                fault: None,
            });
        }
    }
}

/// What is said about a message that is read, if its trace is sampled.
fn about_stored(place: (&str, &str), record: Option<&Record>) -> Option<Arc<About>> {
    let record = record?;
    let head = record.head();
    let head = Head::parse(&head).ok()?;
    let context = head.sampled()?;
    let system = head.system().ok()?;
    Some(Arc::new(About::new(context, place, &system, head.keys(), record.body().len())))
}

fn fault(refusal: &Refusal) -> Fault {
    Fault { kind: refusal.code.as_str_name(), text: short(&refusal.message) }
}
