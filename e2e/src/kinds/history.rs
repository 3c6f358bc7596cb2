//! What the broker tells about some of the messages that were acknowledged.

use std::time::Duration;

use client::admin::{
    AdminClient, FindMessagesRequest, StoredKind, StoredMessage, TraceEvent, TraceMessageRequest, TraceWhat,
};

use super::Shared;
use super::kind::{KINDS, Kind};
use super::reader::Reader;
use crate::wait;

/// An acknowledgement is in the log within this time.
const DONE_MAX: Duration = Duration::from_secs(10);

/// Compares the histories of the first and the last message of each kind with what became of them; how many.
///
/// # Panics
/// When one tells anything else.
pub(super) async fn check(shared: &Shared, admin: &AdminClient) -> usize {
    let mut count = 0;
    for kind in KINDS {
        let samples = shared.ledger().samples(kind);
        assert_eq!(samples.len(), 2, "{kind:?}: too few are acknowledged");
        for id in samples {
            let what = format!("message {id} of {kind:?} is told of");
            wait::eventually(&what, DONE_MAX, async || tells(admin, kind, &id).await).await;
            count += 1;
        }
    }
    count
}

/// Stored, done by the group that takes everything, and in between what its kind does.
async fn tells(admin: &AdminClient, kind: Kind, id: &str) -> Result<(), String> {
    let message = find(admin, kind, id).await?;
    let events = trace(admin, &message).await?;
    let group = Reader::Of(kind).group();
    let story: Vec<TraceWhat> = events
        .iter()
        .filter(|event| event.consumer_group.is_empty() || event.consumer_group == group)
        .map(TraceEvent::what)
        .filter(|what| *what != TraceWhat::Delivered)
        .collect();
    let wanted = match message.kind() {
        StoredKind::Ordinary => vec![TraceWhat::Stored, TraceWhat::Done],
        StoredKind::Delayed => vec![TraceWhat::Stored, TraceWhat::Visible, TraceWhat::Done],
        StoredKind::Transactional => vec![TraceWhat::Stored, TraceWhat::Committed, TraceWhat::Done],
    };
    let mut deliveries =
        events.iter().filter(|event| event.what() == TraceWhat::Delivered && event.consumer_group == group);
    let is_traced = kind != Kind::InBatches || deliveries.any(|event| !event.client_id.is_empty());
    if story == wanted && is_traced { Ok(()) } else { Err(format!("{events:?}")) }
}

/// The only message with an id.
async fn find(admin: &AdminClient, kind: Kind, id: &str) -> Result<StoredMessage, String> {
    let (topic, message_id) = (kind.topic().to_owned(), id.to_owned());
    let mut request = FindMessagesRequest { topic, message_id, ..Default::default() };
    let mut found = Vec::new();
    loop {
        let answer = admin.find_messages(request.clone()).await.map_err(|error| error.to_string())?;
        found.extend(answer.messages);
        request.before = answer.next_before;
        if request.before == 0 {
            break;
        }
    }
    let [message] = found.as_slice() else { return Err(format!("{} of them are found", found.len())) };
    Ok(message.clone())
}

async fn trace(admin: &AdminClient, message: &StoredMessage) -> Result<Vec<TraceEvent>, String> {
    let StoredMessage { position, bytes, number, .. } = *message;
    let mut request = TraceMessageRequest { position, bytes, number, ..Default::default() };
    let mut events = Vec::new();
    loop {
        let answer = admin.trace_message(request.clone()).await.map_err(|error| error.to_string())?;
        events.extend(answer.events);
        request.scroll = answer.scroll;
        if request.scroll.is_empty() {
            return Ok(events);
        }
    }
}
