//! Finding stored messages by id, key and time.
//!
//! The engine looks through the log and shows heads; what they say is known here. A head that cannot be read matches nothing.

use engine::group::{Group, Search, Sighting, Wanted};
use store::Position;
use store::log::{Encoding, Kind};
use tracing::error;
use wire::admin::{self, Code, StoredKind};
use wire::stored::Head;

use super::look::Patience;
use crate::gateway::Gateway;

/// Messages of an answer, if the request does not say how many.
const MESSAGES: u32 = 64;
/// At most.
const MESSAGES_MAX: u32 = 1000;

pub(super) fn find(
    gateway: &Gateway,
    request: &admin::FindMessagesRequest,
    patience: &Patience,
) -> admin::FindMessagesResponse {
    let answer = match search(gateway, request, patience) {
        Ok(search) => admin::FindMessagesResponse {
            messages: stored_messages(&gateway.group, &search, request),
            result: Some(super::describe::found(request.topic.clone())),
            next_before: search.scroll().map_or(0, |position| position.0),
            damaged: search.damaged(),
            ..Default::default()
        },
        Err((code, message)) => {
            let result = Some(admin::Result { name: request.topic.clone(), code: code.into(), message });
            admin::FindMessagesResponse { result, ..Default::default() }
        }
    };
    let kept_from_ms = gateway.group.kept_from_ms().unwrap_or(0);
    admin::FindMessagesResponse { kept_from_ms, ..answer }
}

fn search(
    gateway: &Gateway,
    request: &admin::FindMessagesRequest,
    patience: &Patience,
) -> Result<Search, (Code, String)> {
    let group = &gateway.group;
    let topic = match request.topic.as_str() {
        "" => None,
        name => Some(
            group.topic(name).ok_or_else(|| (Code::NotFound, format!("topic `{name}` does not exist")))?,
        ),
    };
    let wanted = Wanted { topic: topic.as_deref(), ..wanted(request).map_err(|why| (Code::Invalid, why))? };
    let unreadable = |error: engine::group::SearchError| {
        error!(%error, "the log cannot be looked through");
        (Code::Unavailable, error.to_string())
    };
    let mut search = group.search(&wanted).map_err(unreadable)?;
    let matches = &mut |entry: &store::log::Entry<'_>, head: &[u8]| {
        heads(entry.encoding, head).any(|head| is_meant(request, head))
    };
    while group.search_on(&mut search, matches).map_err(unreadable)? && !patience.is_over() {}
    Ok(search)
}

fn wanted(request: &admin::FindMessagesRequest) -> Result<Wanted<'static>, String> {
    let &admin::FindMessagesRequest { from_ms, to_ms, limit, before, .. } = request;
    if to_ms != 0 && from_ms >= to_ms {
        return Err(format!("no time is from {from_ms} on and before {to_ms}"));
    }
    if limit > MESSAGES_MAX {
        return Err(format!("limit {limit} is over {MESSAGES_MAX}"));
    }
    if !request.message_id.is_empty() && !request.key.is_empty() {
        return Err("a message is looked for by its id or by a key, not by both".to_owned());
    }
    let to_ms = if to_ms == 0 { u64::MAX } else { to_ms };
    let max = if limit == 0 { MESSAGES } else { limit } as usize;
    let before = (before != 0).then_some(Position(before));
    Ok(Wanted { topic: None, from_ms, to_ms, before, max })
}

/// What the head of a message says; the engine has taken shared records apart.
fn heads(encoding: Encoding, head: &[u8]) -> impl Iterator<Item = Head<'_>> {
    match encoding {
        Encoding::RocketmqV2 => Head::parse(head).ok(),
        Encoding::RocketmqV2Batch | Encoding::None => None,
    }
    .into_iter()
}

fn is_meant(request: &admin::FindMessagesRequest, head: Head<'_>) -> bool {
    let (id, key) = (request.message_id.as_str(), request.key.as_str());
    (id.is_empty() || head.message_id() == id) && (key.is_empty() || head.keys().any(|has| has == key))
}

fn stored_messages(
    group: &Group,
    search: &Search,
    request: &admin::FindMessagesRequest,
) -> Vec<admin::StoredMessage> {
    let of_one = |sighting| {
        let all = messages_of(group, sighting);
        all.filter(|(head, _)| is_meant(request, *head)).map(|(_, message)| message)
    };
    search.found().iter().flat_map(of_one).collect()
}

/// The messages of a found record, as the administration protocol tells them.
pub(super) fn messages_of<'a>(
    group: &Group,
    sighting: &'a Sighting,
) -> impl Iterator<Item = (Head<'a>, admin::StoredMessage)> {
    let topic = group.topic_of(sighting.queue);
    let number = topic.as_ref().and_then(|topic| topic.queues.iter().position(|id| *id == sighting.queue));
    let place = admin::StoredMessage {
        topic: topic.map(|topic| topic.spec.name.clone()).unwrap_or_default(),
        queue: number.unwrap_or(0) as u32,
        offset: sighting.offset.map(|offset| offset.0),
        stored_ms: sighting.stored_ms,
        kind: stored_kind(sighting.kind).into(),
        due_ms: sighting.due_ms.unwrap_or(0),
        dead_letter_of: sighting.origin.as_ref().map(|origin| origin.topic.clone()).unwrap_or_default(),
        position: sighting.message.0.0,
        bytes: sighting.message.1,
        number: sighting.number.into(),
        ..Default::default()
    };
    heads(sighting.encoding, &sighting.head).map(move |head| (head, described(head, place.clone())))
}

/// Adds what the sender said.
fn described(head: Head<'_>, place: admin::StoredMessage) -> admin::StoredMessage {
    let system = head.system().unwrap_or_default();
    let pair = |pair: wire::stored::Pair<'_>| (pair.key.to_owned(), pair.value.to_owned());
    admin::StoredMessage {
        message_id: head.message_id().to_owned(),
        tag: head.tag().map(str::to_owned),
        keys: head.keys().map(str::to_owned).collect(),
        properties: head.user_properties().map(pair).collect(),
        message_group: system.message_group.map(str::to_owned),
        priority: system.priority,
        born_ms: system.born_ms.and_then(|ms| u64::try_from(ms).ok()).unwrap_or(0),
        born_host: system.born_host.to_owned(),
        ..place
    }
}

fn stored_kind(kind: Kind) -> StoredKind {
    match kind {
        Kind::Timed => StoredKind::Delayed,
        Kind::Half => StoredKind::Transactional,
        Kind::Message
        | Kind::Link
        | Kind::Acks
        | Kind::Attempts
        | Kind::Meta
        | Kind::Epoch
        | Kind::Pad
        | Kind::Settled
        | Kind::Decided
        | Kind::Floors
        | Kind::Handed => StoredKind::Ordinary,
    }
}
