//! One receive, and what may be said about what it brought; for consumers of either kind.

use std::sync::Arc;
use std::time::Duration;

use wire::v2::receive_message_response::Content;
use wire::v2::{self, Code};

use crate::message::Delivered;
use crate::session::{RouteQueue, duration};
use crate::status::{AskError, Refused, check};
use crate::transport::{Link, Rpc};

/// Messages of one receive that any server gives.
pub const RECEIVE_MAX: usize = 32;

/// As many as are wanted, and no more than any server gives.
pub(crate) fn batch_size(wanted: usize) -> i32 {
    i32::try_from(wanted.clamp(1, RECEIVE_MAX)).expect("a small number")
}

/// What came, and why it ended if not as it should. An empty answer is a good one.
pub(crate) async fn receive(
    queue: &RouteQueue,
    wait: Duration,
    request: &v2::ReceiveMessageRequest,
) -> (Vec<Delivered>, Result<(), AskError>) {
    let (mut status, mut delivered) = (None, Vec::new());
    let take = |answer: v2::ReceiveMessageResponse| match answer.content {
        Some(Content::Status(found)) => status = Some(found),
        Some(Content::Message(message)) => delivered.push(Delivered::from_proto(message, &queue.link)),
        Some(Content::DeliveryTimestamp(_)) | None => {}
    };
    if let Err(error) = queue.link.call_for_many(Rpc::ReceiveMessage, wait, request, take).await {
        return (delivered, Err(error.into()));
    }
    let ended = match check(status.as_ref()) {
        Err(refused) if refused.code() != Some(Code::MessageNotFound) => Err(refused.into()),
        Ok(()) | Err(_) => Ok(()),
    };
    (delivered, ended)
}

/// Says that messages of one topic are done, in one request; each has its own result, in their order.
pub(crate) async fn ack(
    link: &Link,
    group: &v2::Resource,
    topic: v2::Resource,
    part: &[Delivered],
) -> Result<Vec<Result<(), Refused>>, AskError> {
    let entries = part.iter().map(|delivered| v2::AckMessageEntry {
        message_id: delivered.message_id.clone(),
        receipt_handle: delivered.receipt_handle.clone(),
        lite_topic: None,
    });
    let request =
        v2::AckMessageRequest { group: Some(group.clone()), topic: Some(topic), entries: entries.collect() };
    let answer: v2::AckMessageResponse = link.call(Rpc::AckMessage, &request).await?;
    if answer.entries.len() == part.len() {
        return Ok(answer.entries.iter().map(|entry| check(entry.status.as_ref())).collect());
    }
    // Refused as a whole, or by a server that does not answer each entry.
    check(answer.status.as_ref())?;
    Ok(part.iter().map(|_| Ok(())).collect())
}

/// Hides a message for this long from now on; returns its new handle.
pub(crate) async fn hide(
    link: &Link,
    group: &v2::Resource,
    topic: v2::Resource,
    delivered: &Delivered,
    time: Duration,
) -> Result<String, AskError> {
    let request = v2::ChangeInvisibleDurationRequest {
        group: Some(group.clone()),
        topic: Some(topic),
        receipt_handle: delivered.receipt_handle.clone(),
        invisible_duration: Some(duration(time)),
        message_id: delivered.message_id.clone(),
        ..Default::default()
    };
    let answer: v2::ChangeInvisibleDurationResponse =
        link.call(Rpc::ChangeInvisibleDuration, &request).await?;
    check(answer.status.as_ref())?;
    Ok(answer.receipt_handle)
}

/// Gives a message up: it goes to the dead letters of the group.
pub(crate) async fn give_up(
    link: &Link,
    group: &v2::Resource,
    topic: v2::Resource,
    delivered: &Delivered,
    attempts_max: i32,
) -> Result<(), AskError> {
    let request = v2::ForwardMessageToDeadLetterQueueRequest {
        group: Some(group.clone()),
        topic: Some(topic),
        receipt_handle: delivered.receipt_handle.clone(),
        message_id: delivered.message_id.clone(),
        delivery_attempt: delivered.attempt,
        max_delivery_attempts: attempts_max,
        lite_topic: None,
    };
    let answer: v2::ForwardMessageToDeadLetterQueueResponse =
        link.call(Rpc::ForwardMessageToDeadLetterQueue, &request).await?;
    Ok(check(answer.status.as_ref())?)
}

/// Whether these may be spoken about in one request.
pub(crate) fn go_together(a: &Delivered, b: &Delivered) -> bool {
    a.topic == b.topic && Arc::ptr_eq(&a.link, &b.link)
}
