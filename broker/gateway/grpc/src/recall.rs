//! Delayed messages: the handle that a sender gets, and taking a message back before its time.
//!
//! ```text
//!   send with a delivery time ──▶ entry with a recall handle ──RecallMessage──▶ OK, or too late
//! ```
//!
//! Promise: a recall that is answered OK is stored, and the message is never delivered; one that is refused changed nothing.
//!
//! | what is wrong | code |
//! |---|---|
//! | the topic takes no delayed messages | `MESSAGE_PROPERTY_CONFLICT_WITH_TYPE` |
//! | the handle is none of ours, or of another topic | `BAD_REQUEST` |
//! | the message was delivered, or recalled before | `MESSAGE_NOT_FOUND` |

use bytes::Bytes;
use engine::group::RecallError;
use engine::inbox::SubmitError;
use store::Position;
use store::log::Placed;
use wire::stored::Head;
use wire::v2::{self, Code, MessageType};

use crate::authorize::{Action, Principal, Resource, authorize};
use crate::call::Call;
use crate::gateway::{Gateway, name_of};
use crate::refusal::{Failure, Refusal, ok};
use crate::send::stored;
use crate::topic_type::accepted;

/// Begins every handle.
const VERSION: &str = "1";

/// The reply for messages that are all stored, some of which wait for their time.
pub(crate) fn stored_reply(ids: &[Bytes], dues: &[u64], placed: &[Placed]) -> v2::SendMessageResponse {
    let entry = |((id, due_ms), placed): ((&Bytes, &u64), &Placed)| {
        let message_id = String::from_utf8_lossy(id).into_owned();
        let is_timed = *due_ms > 0;
        v2::SendResultEntry {
            status: Some(ok()),
            transaction_id: message_id.clone(),
            // It gets a number in its queue when its time has come.
            offset: if is_timed { 0 } else { placed.offset.0.cast_signed() },
            recall_handle: if is_timed {
                handle(*due_ms, placed.position, &message_id)
            } else {
                String::new()
            },
            message_id,
        }
    };
    let entries = ids.iter().zip(dues).zip(placed).map(entry).collect();
    v2::SendMessageResponse { status: Some(ok()), entries }
}

fn handle(due_ms: u64, position: Position, message_id: &str) -> String {
    format!("{VERSION}-{due_ms:x}-{:x}-{message_id}", position.0)
}

fn read(handle: &str) -> Option<(u64, Position, &str)> {
    let mut parts = handle.splitn(4, '-');
    let version = parts.next()?;
    let due_ms = u64::from_str_radix(parts.next()?, 16).ok()?;
    let position = u64::from_str_radix(parts.next()?, 16).ok()?;
    let message_id = parts.next()?;
    (version == VERSION).then_some((due_ms, Position(position), message_id))
}

impl Gateway {
    pub(crate) async fn recall(
        &self,
        call: &Call,
        request: &v2::RecallMessageRequest,
    ) -> Result<v2::RecallMessageResponse, Failure> {
        call.identified()?;
        let name = name_of(request.topic.as_ref());
        authorize(Principal::Anonymous, Action::Publish, Resource::Topic(name))?;
        let topic = self.topic(name)?;
        if !accepted(topic.spec.topic_type).contains(&MessageType::Delay) {
            let word = topic.spec.topic_type.word();
            let text =
                format!("topic `{name}` is of type {word}, only messages of DELAY topics can be recalled");
            return Err(Refusal::new(Code::MessagePropertyConflictWithType, text).into());
        }
        let foreign = || Refusal::new(Code::BadRequest, format!("recall handle is not of topic `{name}`"));
        let (due_ms, position, message_id) = read(&request.recall_handle).ok_or_else(foreign)?;
        let found = self.group.pending_message(due_ms, position).map_err(|error| refused(&error))?;
        let Some((home, record)) = found else { return Err(refused(&RecallError::NotPending)) };
        let head = record.head();
        let is_it = Head::parse(&head).is_ok_and(|head| head.message_id() == message_id);
        if home.id != topic.id || !is_it {
            return Err(foreign().into());
        }
        let ticket = self.group.recall(due_ms, position, &call.mailbox).map_err(|error| refused(&error))?;
        stored(Ok(ticket)).await?;
        Ok(v2::RecallMessageResponse { status: Some(ok()), message_id: message_id.to_owned() })
    }
}

fn refused(error: &RecallError) -> Failure {
    match error {
        RecallError::NotPending => Refusal::new(Code::MessageNotFound, error.to_string()).into(),
        RecallError::Submit(SubmitError::NotLeading) => Failure::NotLeading(error.to_string()),
        RecallError::Submit(error) => crate::send::not_taken(*error),
        RecallError::Timeline(_) | RecallError::Read(_) => {
            tracing::error!(%error, "recall cannot read");
            Refusal::new(Code::InternalServerError, error.to_string()).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_comes_back_whatever_the_message_id() {
        for id in ["01AB", "a-b-c", "", "é"] {
            let text = handle(1_763_000_123_456, Position(1 << 40), id);
            assert_eq!(read(&text), Some((1_763_000_123_456, Position(1 << 40), id)));
        }
        for foreign in ["", "1", "1-2", "1-2-3", "2-2-3-4", "1-x-3-4", "1-2--4"] {
            assert_eq!(read(foreign), None, "{foreign}");
        }
    }
}
