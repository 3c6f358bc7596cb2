//! `PullMessage`: reading a queue by offset; nothing is leased, and no group moves.
//!
//! ```text
//!   [status OK][message]...[next offset]
//!   [status MESSAGE_NOT_FOUND][next offset]       nothing wanted came within the wait
//!   [status ILLEGAL_OFFSET][next offset]          outside of what is kept; the nearest offset that is not
//! ```
//!
//! Promise: a message between the offset that was asked for and the next one that is not in the reply is not wanted, was
//! trimmed, or does not verify. A pull that waits is answered half a second before the client's deadline at the latest.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use engine::catalog::ConsumerGroup;
use engine::group::{Pull, PullError, Pulled, PulledMessage};
use engine::traffic::Outflow;
use engine::waiter::Waiter;
use prost::Message;
use store::Offset;
use store::log::ReadError;
use tracing::{error, warn};
use wire::digest::DigestForm;
use wire::frame;
use wire::v2::{self, Code, pull_message_response::Content};

use crate::call::{Call, Unanswered};
use crate::filter::Filter;
use crate::gateway::{Gateway, name_of};
use crate::offsets::{Named, offset, unread};
use crate::outgoing::{Outgoing, is_wanted};
use crate::refusal::{Failure, Refusal, ok};
use crate::settings::{LONG_POLLING_MS_MAX, RECEIVE_BATCH_MAX, RESERVE_MS, millis};

/// A checked pull.
struct Plan {
    /// Who reads, if it is known to the engine: a client of a broadcast has its own group once it stored an offset.
    reader: Option<u32>,
    named: Named,
    filter: Filter,
    /// Hashes of the wanted tags; none means all.
    tags: Option<Vec<u32>>,
    max: usize,
    /// When to answer at the latest.
    until_ms: u64,
}

/// What a pull brings.
struct Found {
    messages: Vec<PulledMessage>,
    next: Offset,
}

impl Gateway {
    /// Waits for messages and appends the whole reply.
    pub async fn pull_message(
        &self,
        call: &Call,
        request: Bytes,
        out: &mut BytesMut,
    ) -> Result<(), Unanswered> {
        let request = v2::PullMessageRequest::decode(request).map_err(|error| Failure::from(error).refusal());
        let request = match request {
            Ok(request) => request,
            Err(failed) => return failed.map(drop),
        };
        let ended = match self.pulled(call, &request).await {
            Ok((plan, found)) => {
                self.put_pulled(call, &plan, &found, out);
                self.tell_pulled(call, name_of(request.group.as_ref()), &plan.named, &found.messages);
                return Ok(());
            }
            Err(ended) => ended,
        };
        let (refusal, next) = match ended {
            Ended::OutOfRange { refusal, nearest } => (refusal, Some(nearest)),
            Ended::Failed(failure) => (failure.refusal()?, None),
        };
        self.counters.refused(1);
        put(out, Content::Status(refusal.status()));
        if let Some(next) = next {
            put(out, Content::NextOffset(next.0.cast_signed()));
        }
        Ok(())
    }

    async fn pulled(&self, call: &Call, request: &v2::PullMessageRequest) -> Result<(Plan, Found), Ended> {
        let reader = self.reader(call, request.group.as_ref())?;
        let (from, plan) = self.pull_plan(call, request, &reader)?;
        let mut next = from;
        let mut waiting = None;
        loop {
            let asked_from = next;
            let asked = Pull {
                topic: &plan.named.topic,
                queue: plan.named.queue,
                from: next,
                tags: plan.tags.as_deref(),
                max: plan.max,
            };
            let waiter = waiting.as_ref().map(|(waiter, _)| waiter);
            let pulled = match self.group.pull(&asked, self.now_ms(), waiter) {
                Ok(pulled) => pulled,
                // The group was closed while this waited: the client asks again, and is answered by the new leader.
                Err(PullError::NotLeading) if waiter.is_some() => {
                    return Ok((plan, Found { messages: Vec::new(), next }));
                }
                Err(error) => return Err(refused(&error)),
            };
            let is_at_tail = pulled.is_at_tail;
            let found = self.readable(&plan, pulled).await?;
            next = found.next;
            let now_ms = self.now_ms();
            if !found.messages.is_empty() || now_ms >= plan.until_ms {
                return Ok((plan, found));
            }
            if !is_at_tail || next != asked_from {
                // Only who asks at the tail is registered there. A filter may turn down a long backlog: others on this
                // runtime want their turn.
                tokio::task::yield_now().await;
                continue;
            }
            let Some((waiter, _)) = &waiting else {
                waiting = Some((Waiter::new(&call.mailbox), self.polling()?));
                continue;
            };
            tokio::select! {
                () = waiter.woken() => {}
                () = self.ended.cancelled() => return Ok((plan, found)),
                () = tokio::time::sleep(Duration::from_millis(plan.until_ms - now_ms)) => {}
            }
        }
    }

    fn pull_plan(
        &self,
        call: &Call,
        request: &v2::PullMessageRequest,
        reader: &Arc<ConsumerGroup>,
    ) -> Result<(Offset, Plan), Refusal> {
        let named = self.named(request.message_queue.as_ref())?;
        let filter = Filter::of(request.filter_expression.as_ref())?;
        let now_ms = self.now_ms();
        let asked_ms = request.long_polling_timeout.as_ref().map_or(0, millis);
        let left_ms =
            call.deadline_ms().map_or(LONG_POLLING_MS_MAX, |at| at.saturating_sub(now_ms + RESERVE_MS));
        let wait_ms = u64::try_from(asked_ms).unwrap_or(0).min(LONG_POLLING_MS_MAX).min(left_ms);
        let plan = Plan {
            reader: self.group.member_of(reader, call.client_id()).map(|reader| reader.id),
            named,
            tags: filter.tag_hashes(),
            filter,
            max: usize::try_from(request.batch_size).unwrap_or(0).clamp(1, RECEIVE_BATCH_MAX.into()),
            until_ms: now_ms + wait_ms,
        };
        Ok((offset(request.offset)?, plan))
    }

    /// The messages that are wanted, with their records. One that cannot be read now ends them, one that never can is
    /// passed over.
    async fn readable(&self, plan: &Plan, pulled: Pulled) -> Result<Found, Refusal> {
        let Pulled { mut messages, mut next, .. } = pulled;
        let mut trouble = None;
        if messages.iter().any(|message| message.record.is_none()) {
            let group = self.group.clone();
            let loading = tokio::task::spawn_blocking(move || {
                let mut trouble = None;
                messages.retain_mut(|message| {
                    if trouble.is_some() || message.record.is_some() {
                        return trouble.is_none();
                    }
                    match group.load_pulled(message) {
                        Ok(()) => true,
                        Err(error @ ReadError::Io { .. }) => {
                            warn!(%error, "message cannot be read now");
                            trouble = Some((message.offset, error.to_string()));
                            false
                        }
                        Err(ReadError::Trimmed { .. }) => false,
                        Err(error @ (ReadError::Corrupt { .. } | ReadError::OutOfRange { .. })) => {
                            error!(%error, "skipped a message that does not verify");
                            false
                        }
                    }
                });
                (messages, trouble)
            });
            // The runtime is going away.
            (messages, trouble) = loading.await.unwrap_or_default();
        }
        messages.retain(|message| is_wanted(&plan.filter, message.record.as_ref()));
        match trouble {
            Some((_, text)) if messages.is_empty() => {
                return Err(Refusal::new(Code::InternalServerError, text));
            }
            Some((at, _)) => next = at,
            None => {}
        }
        Ok(Found { messages, next })
    }

    fn put_pulled(&self, call: &Call, plan: &Plan, found: &Found, out: &mut BytesMut) {
        let status = if found.messages.is_empty() {
            Refusal::new(Code::MessageNotFound, "no new message").status()
        } else {
            ok()
        };
        put(out, Content::Status(status));
        let before = out.len();
        let digest = DigestForm::of_client(call.language(), call.version());
        let mut outflow = Outflow::default();
        for message in &found.messages {
            let before = out.len();
            self.put_pulled_message(plan, digest, message, out);
            outflow.add(1, out.len() - before);
        }
        if let Some(reader) = plan.reader.filter(|_| !found.messages.is_empty()) {
            self.group.note_received(&plan.named.topic, reader, outflow);
        }
        put(out, Content::NextOffset(found.next.0.cast_signed()));
        self.counters.received(found.messages.len(), out.len() - before);
    }

    fn put_pulled_message(&self, plan: &Plan, form: DigestForm, message: &PulledMessage, out: &mut BytesMut) {
        let message = Outgoing {
            record: message.record.as_ref().expect("only messages that were read are wanted"),
            origin: message.origin.as_ref(),
            topic: &plan.named.topic.spec.name,
            namespace: &plan.named.namespace,
            queue: plan.named.queue,
            offset: message.offset,
            stored_ms: message.stored_ms,
            attempt: 1,
            lease: None,
        };
        self.put_message(&message, form, out).expect("only messages with a readable head are wanted");
    }
}

/// How a pull ends without a reply.
enum Ended {
    OutOfRange { refusal: Refusal, nearest: Offset },
    Failed(Failure),
}

impl From<Refusal> for Ended {
    fn from(refusal: Refusal) -> Self {
        Self::Failed(refusal.into())
    }
}

fn refused(error: &PullError) -> Ended {
    let failure = match error {
        PullError::OutOfRange { asked, oldest, tail } => {
            let refusal = Refusal::new(Code::IllegalOffset, error.to_string());
            return Ended::OutOfRange { refusal, nearest: (*asked).clamp(*oldest, *tail) };
        }
        PullError::NoSuchQueue { .. } => Refusal::new(Code::NotFound, error.to_string()).into(),
        PullError::NotLeading => Failure::NotLeading(error.to_string()),
        PullError::Index(error) => unread(error).into(),
    };
    Ended::Failed(failure)
}

fn put(out: &mut BytesMut, content: Content) {
    frame::put(out, &v2::PullMessageResponse { content: Some(content) });
}
