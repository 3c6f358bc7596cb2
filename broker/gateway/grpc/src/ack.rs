//! `AckMessage`, `ChangeInvisibleDuration` and `ForwardMessageToDeadLetterQueue`: what consumers do with their receipts.
//!
//! Promise: each answers `INVALID_RECEIPT_HANDLE` for whatever no longer stands (unreadable, run out, superseded, group or
//! topic deleted), because any other code makes push consumers try again for ever. Where this broker does not lead any
//! more, the call as a whole is left to the next leader.

use bytes::{Bytes, BytesMut};
use engine::group::DeadLetterError;
use engine::lease::Receipt;
use prost::Message;
use wire::v2::{self, Code};
use wire::{frame, validate};

use crate::authorize::{Action, Principal, Resource, authorize};
use crate::call::{Call, Unanswered};
use crate::gateway::{Gateway, name_of};
use crate::handle;
use crate::refusal::{Failure, Refusable, Refusal, ok};
use crate::send::stored;
use crate::settings::millis;
use crate::spans::Operation;

impl Gateway {
    /// Messages are done; each entry has its own outcome.
    #[expect(clippy::unused_async, reason = "served like the calls that wait")]
    pub async fn ack_message(
        &self,
        call: &Call,
        request: Bytes,
        out: &mut BytesMut,
    ) -> Result<(), Unanswered> {
        let reply = match self.ack(call, request) {
            Ok(reply) => reply,
            Err(failure) => {
                let refusal = failure.refusal()?;
                self.counters.refused(1);
                v2::AckMessageResponse::with_status(refusal.status())
            }
        };
        frame::put(out, &reply);
        Ok(())
    }

    fn ack(&self, call: &Call, request: Bytes) -> Result<v2::AckMessageResponse, Failure> {
        call.identified()?;
        let request = v2::AckMessageRequest::decode(request)?;
        allow(request.group.as_ref(), request.topic.as_ref())?;
        if request.entries.is_empty() {
            return Err(Refusal::new(Code::BadRequest, "request holds no entry").into());
        }
        let group = self.group_of_receipts(request.group.as_ref());
        let now_ms = self.now_ms();
        let entry = |entry: v2::AckMessageEntry| {
            let group = group.clone().map_err(Failure::from);
            let done = group.and_then(|group| self.ack_one(call, &entry.receipt_handle, group, now_ms));
            let status = match done {
                Ok(()) => ok(),
                Err(Failure::Refused(refusal)) => refusal.status(),
                // Entries before this one may be lost with the leadership: the next leader gets them all.
                Err(failure @ (Failure::NotLeading(_) | Failure::Malformed(_))) => return Err(failure),
            };
            Ok(v2::AckMessageResultEntry {
                message_id: entry.message_id,
                receipt_handle: entry.receipt_handle,
                status: Some(status),
            })
        };
        let entries = request.entries.into_iter().map(entry).collect::<Result<Vec<_>, _>>()?;
        let done = entries.iter().filter(|entry| is_ok(entry)).count();
        self.counters.acked(done);
        self.counters.refused(entries.len() - done);
        Ok(v2::AckMessageResponse { status: Some(common(&entries)), entries })
    }

    fn ack_one(&self, call: &Call, text: &str, group: u32, now_ms: u64) -> Result<(), Failure> {
        let receipt = self.receipt(text, group)?;
        let span = self.settling(call, &receipt, Operation::Ack);
        let done = self.group.ack(&receipt, now_ms, &call.mailbox).map_err(|error| handle::invalid(&error));
        self.settled(&receipt, span, done.as_ref().map(drop));
        done?;
        self.renewals.let_go(&receipt);
        Ok(())
    }

    /// A message comes back at another time; the reply's handle takes the place of the old one.
    pub(crate) fn change_invisible(
        &self,
        call: &Call,
        request: &v2::ChangeInvisibleDurationRequest,
    ) -> Result<v2::ChangeInvisibleDurationResponse, Failure> {
        call.identified()?;
        allow(request.group.as_ref(), request.topic.as_ref())?;
        let invisible_ms =
            validate::invisible_on_change(request.invisible_duration.as_ref().map_or(0, millis))?;
        let group = self.group_of_receipts(request.group.as_ref())?;
        let receipt = self.receipt(&request.receipt_handle, group)?;
        let span = self.settling(call, &receipt, Operation::ChangeInvisibleDuration);
        let extended = self.group.extend(&receipt, invisible_ms, self.now_ms());
        let extended = extended.map_err(|error| handle::invalid(&error));
        self.settled(&receipt, span, extended.as_ref().map(drop));
        let extended = extended?;
        // From here on the client's word counts: renewing would bring back the time it just changed.
        self.renewals.let_go(&receipt);
        Ok(v2::ChangeInvisibleDurationResponse {
            status: Some(ok()),
            receipt_handle: handle::text_of(&extended).to_string(),
        })
    }

    /// A message goes to the group's dead letter topic at once.
    pub(crate) async fn forward_to_dead_letters(
        &self,
        call: &Call,
        request: v2::ForwardMessageToDeadLetterQueueRequest,
    ) -> Result<v2::ForwardMessageToDeadLetterQueueResponse, Failure> {
        call.identified()?;
        allow(request.group.as_ref(), request.topic.as_ref())?;
        let group = self.group_of_receipts(request.group.as_ref())?;
        let receipt = self.receipt(&request.receipt_handle, group)?;
        let span = self.settling(call, &receipt, Operation::DeadLetter);
        let moved = self.move_to_dead_letters(call, &receipt).await;
        self.settled(&receipt, span, moved.as_ref().map(drop));
        moved?;
        self.renewals.let_go(&receipt);
        Ok(v2::ForwardMessageToDeadLetterQueueResponse { status: Some(ok()) })
    }

    async fn move_to_dead_letters(&self, call: &Call, receipt: &Receipt) -> Result<(), Failure> {
        let submitted = match self.group.dead_letter(receipt, self.now_ms(), &call.mailbox) {
            Ok(ticket) => Ok(ticket),
            Err(DeadLetterError::Submit(refused)) => Err(refused),
            Err(DeadLetterError::Lease(error)) => return Err(handle::invalid(&error)),
            Err(error @ (DeadLetterError::Read(_) | DeadLetterError::Index(_))) => {
                tracing::error!(%error, ?receipt, "message cannot be moved to the dead letters");
                return Err(Refusal::new(Code::InternalServerError, error.to_string()).into());
            }
        };
        stored(submitted).await.map(drop)
    }
}

fn allow(group: Option<&v2::Resource>, topic: Option<&v2::Resource>) -> Result<(), Refusal> {
    let (group, topic) = (name_of(group), name_of(topic));
    authorize(Principal::Anonymous, Action::Subscribe, Resource::ConsumerGroup(group))?;
    authorize(Principal::Anonymous, Action::Subscribe, Resource::Topic(topic))?;
    validate::group(group)?;
    validate::topic(topic)?;
    Ok(())
}

fn is_ok(entry: &v2::AckMessageResultEntry) -> bool {
    entry.status.as_ref().is_some_and(|status| status.code == i32::from(Code::Ok))
}

/// The status that all entries share, or `MULTIPLE_RESULTS`.
fn common(entries: &[v2::AckMessageResultEntry]) -> v2::Status {
    let code = |entry: &v2::AckMessageResultEntry| entry.status.as_ref().map(|status| status.code);
    match entries {
        [first, rest @ ..] if rest.iter().all(|entry| code(entry) == code(first)) => {
            first.status.clone().unwrap_or_else(ok)
        }
        _ => Refusal::new(Code::MultipleResults, "entries have different results").status(),
    }
}
