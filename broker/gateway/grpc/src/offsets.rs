//! `UpdateOffset`, `GetOffset` and `QueryOffset`: where a consumer group stands in a queue, and which offsets there are.
//!
//! Promise: an update that is answered OK is stored; it moves the group as an administrator would, forward or back: all
//! below is done, all from there on comes. The same numbers are the progress of groups that receive.
//!
//! | what is wrong | code |
//! |---|---|
//! | the offset is negative, or beyond the end of the queue | `ILLEGAL_OFFSET` |
//! | the group never read the topic | `OFFSET_NOT_FOUND` |
//! | no such queue in this broker group | `NOT_FOUND` |
//! | a policy that nobody knows, or a time that is missing | `BAD_REQUEST` |

use std::sync::Arc;

use engine::catalog::{ConsumerGroup, Topic};
use engine::group::{MoveError, Place};
use store::Offset;
use store::index::IndexError;
use wire::v2::{self, Code, QueryOffsetPolicy};

use crate::authorize::{Action, Principal, Resource, authorize};
use crate::call::Call;
use crate::gateway::{Gateway, name_of};
use crate::refusal::{Failure, Refusal, ok};
use crate::send::{not_taken, stored};
use crate::settings::unix_ms;

/// A queue that a request names.
pub(crate) struct Named {
    pub(crate) topic: Arc<Topic>,
    /// Its number in the topic.
    pub(crate) queue: u32,
    /// Namespace as the client wrote it.
    pub(crate) namespace: String,
}

impl Gateway {
    pub(crate) async fn update_offset(
        &self,
        call: &Call,
        request: &v2::UpdateOffsetRequest,
    ) -> Result<v2::UpdateOffsetResponse, Failure> {
        let group = self.reader(call, request.group.as_ref())?;
        let Named { topic, queue, .. } = self.named(request.message_queue.as_ref())?;
        let offset = offset(request.offset)?;
        let group = self.reads_for(call, group).await?;
        let places = self
            .group
            .places(&topic, std::iter::once(queue), Place::Offset(offset), self.now_ms())
            .map_err(|error| refused(&error))?;
        let moved = self.group.move_offsets(&group, &[(&topic, &places)], &call.mailbox);
        match moved {
            Ok(ticket) => stored(Ok(ticket)).await?,
            Err(error) => return Err(refused(&error)),
        };
        Ok(v2::UpdateOffsetResponse { status: Some(ok()) })
    }

    pub(crate) fn get_offset(
        &self,
        call: &Call,
        request: &v2::GetOffsetRequest,
    ) -> Result<v2::GetOffsetResponse, Refusal> {
        let group = self.reader(call, request.group.as_ref())?;
        let Named { topic, queue, .. } = self.named(request.message_queue.as_ref())?;
        let reader = self.reads_now(call, &group);
        let Some(offset) = reader.and_then(|reader| self.group.floor(&topic, &reader, queue)) else {
            let (group, topic) = (&group.spec.name, &topic.spec.name);
            let text = format!("consumer group `{group}` has no offset in topic `{topic}`");
            return Err(Refusal::new(Code::OffsetNotFound, text));
        };
        Ok(v2::GetOffsetResponse { status: Some(ok()), offset: offset.0.cast_signed() })
    }

    pub(crate) fn query_offset(
        &self,
        call: &Call,
        request: &v2::QueryOffsetRequest,
    ) -> Result<v2::QueryOffsetResponse, Refusal> {
        call.identified()?;
        let Named { topic, queue, .. } = self.named(request.message_queue.as_ref())?;
        let bad = |text: String| Refusal::new(Code::BadRequest, text);
        let place = match QueryOffsetPolicy::try_from(request.query_offset_policy) {
            Ok(QueryOffsetPolicy::Beginning) => Place::Earliest,
            Ok(QueryOffsetPolicy::End) => Place::Latest,
            Ok(QueryOffsetPolicy::Timestamp) => {
                let time =
                    request.timestamp.as_ref().ok_or_else(|| bad("timestamp is missing".to_owned()))?;
                Place::Time(u64::try_from(unix_ms(time)).unwrap_or(0))
            }
            Err(_) => {
                return Err(bad(format!("offset policy {} is not known", request.query_offset_policy)));
            }
        };
        let offset =
            self.group.offset_of(topic.queues[queue as usize], place).map_err(|error| unread(&error))?;
        Ok(v2::QueryOffsetResponse { status: Some(ok()), offset: offset.0.cast_signed() })
    }

    /// The group of an identified client that may read for it.
    pub(crate) fn reader(
        &self,
        call: &Call,
        group: Option<&v2::Resource>,
    ) -> Result<Arc<ConsumerGroup>, Refusal> {
        call.identified()?;
        let name = name_of(group);
        authorize(Principal::Anonymous, Action::Subscribe, Resource::ConsumerGroup(name))?;
        self.consumer_group(name)
    }

    /// The queue that a request names, which exists.
    pub(crate) fn named(&self, queue: Option<&v2::MessageQueue>) -> Result<Named, Refusal> {
        let resource = queue.and_then(|queue| queue.topic.as_ref());
        let name = name_of(resource);
        authorize(Principal::Anonymous, Action::Subscribe, Resource::Topic(name))?;
        let topic = self.topic(name)?;
        let (id, queues) = (queue.map_or(0, |queue| queue.id), topic.queues.len());
        let number = u32::try_from(id).ok().filter(|&number| (number as usize) < queues);
        let Some(queue) = number else {
            let text =
                format!("topic `{name}` has {queues} queues in this broker group, there is no queue {id}");
            return Err(Refusal::new(Code::NotFound, text));
        };
        let namespace = resource.map_or_else(String::new, |topic| topic.resource_namespace.clone());
        Ok(Named { topic, queue, namespace })
    }
}

/// An offset that a client sent.
pub(crate) fn offset(number: i64) -> Result<Offset, Refusal> {
    let offset = u64::try_from(number).map(Offset);
    offset.map_err(|_| Refusal::new(Code::IllegalOffset, format!("offset {number} is negative")))
}

pub(crate) fn unread(error: &IndexError) -> Refusal {
    tracing::error!(%error, "offsets cannot be read from the index");
    Refusal::new(Code::InternalServerError, error.to_string())
}

pub(crate) fn refused(error: &MoveError) -> Failure {
    let code = match error {
        MoveError::NoSuchQueue { .. } => Code::NotFound,
        MoveError::BeyondTail { .. } | MoveError::InFuture { .. } => Code::IllegalOffset,
        MoveError::Submit(error) => return not_taken(*error),
        MoveError::Index(error) => return unread(error).into(),
    };
    Refusal::new(code, error.to_string()).into()
}
