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
//! | the message was delivered, or recalled before | `NOT_FOUND`: Python's SDK takes `MESSAGE_NOT_FOUND` for success |

use engine::group::RecallError;
use engine::inbox::SubmitError;
use wire::stored::Head;
use wire::v2::{self, Code, MessageType};

use crate::authorize::{Action, Principal, Resource, authorize};
use crate::call::Call;
use crate::gateway::{Gateway, name_of};
use crate::pending_id;
use crate::refusal::{Failure, Refusal, ok};
use crate::send::stored;
use crate::topic_type::accepted;

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
        let (due_ms, position, message_id) = pending_id::read(&request.recall_handle).ok_or_else(foreign)?;
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
        RecallError::NotPending => Refusal::new(Code::NotFound, error.to_string()).into(),
        RecallError::Submit(SubmitError::NotLeading) => Failure::NotLeading(error.to_string()),
        RecallError::Submit(error) => crate::send::not_taken(*error),
        RecallError::Timeline(_) | RecallError::Read(_) => {
            tracing::error!(%error, "recall cannot read");
            Refusal::new(Code::InternalServerError, error.to_string()).into()
        }
    }
}
