//! `QueryMessage` and `AdminSendMessage`: looking at messages, and sending one.
//!
//! | what is wrong with a query | code |
//! |---|---|
//! | no topic of that name; no such queue or broker group | `TOPIC_NOT_FOUND`; `NOT_FOUND` |
//! | the time ends before it begins; a page below 1; a page and a scroll id; a scroll id that is none of ours | `BAD_REQUEST` |
//! | a subscription that is no filter expression | `ILLEGAL_FILTER_EXPRESSION` |
//! | no message of that id in that time | `MESSAGE_NOT_FOUND` |
//! | as many as may be are under way | `TOO_MANY_REQUESTS` |
//!
//! A reply that ends early has a scroll id, with or without messages: the search goes on there.
//! Limit: `RESULTS_MAX` messages a reply, 32 if the caller names no number; see `search` for the others.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::{Bytes, BytesMut};
use engine::catalog::Topic;
use engine::group::{PullError, PulledMessage};
use prost::Message;
use wire::digest::DigestForm;
use wire::frame;
use wire::v2::list_message_request::SearchKey;
use wire::v2::receive_message_response::Content;
use wire::v2::{self, Code, FilterExpression, FilterType};
use wire::validate::{self, Shown};

use super::search::{By, Cursor, Hits, Search, SearchError, search};
use super::{allow, no_lite_topics, time_ms};
use crate::authorize::{Action, Resource};
use crate::call::{Call, Unanswered};
use crate::filter::Filter;
use crate::gateway::{Gateway, name_of};
use crate::offsets::unread;
use crate::outgoing::Outgoing;
use crate::refusal::{Failure, Refusal, ok};
use crate::settings::RESERVE_MS;

const RESULTS_MAX: usize = 256;
const RESULTS: usize = 32;
/// A search takes no longer.
const SEARCH_MS_MAX: u64 = 5000;
/// Message ids count seconds from here on, 2021-01-01 (unix ms).
const IDS_FROM_MS: u64 = 1_609_459_200_000;
/// Callers of this service need no client id, sends do.
const CLIENT_ID: &str = "admin";

impl Gateway {
    pub(super) async fn query_messages(
        &self,
        call: &Call,
        asked: v2::ListMessageRequest,
    ) -> Result<v2::ListMessageResponse, Failure> {
        self.deployed(asked.deployment_name.as_ref())?;
        let name = name_of(asked.topic.as_ref()).to_owned();
        allow(Action::Describe, Resource::Topic(&name))?;
        let topic = self.topic(&name)?;
        let from = cursor(&asked)?;
        let search = self.search_of(call, &topic, asked)?;
        let wanted = match &search.by {
            By::Id(id) => Some(Shown::from(&**id)),
            By::Time | By::Key(_) | By::Filter(_) => None,
        };
        let hits = self.searched(search, from).await?;
        if let (Some(id), [], None) = (wanted, hits.messages.as_slice(), hits.next) {
            let text = format!("topic `{name}` has no message `{id}` in that time");
            return Err(Refusal::new(Code::MessageNotFound, text).into());
        }
        let shown = hits.messages.iter().map(|(queue, message)| self.shown(call, &topic, *queue, message));
        Ok(v2::ListMessageResponse {
            status: Some(ok()),
            messages: shown.collect::<Result<_, _>>()?,
            scroll_id: hits.next.map_or_else(String::new, Cursor::text),
        })
    }

    /// Through the same door as everybody's messages: the same rules, the same promise.
    pub(super) async fn send_for_admin(
        &self,
        call: &Call,
        asked: v2::AdminSendMessageRequest,
    ) -> Result<Result<v2::AdminSendMessageResponse, Refusal>, Unanswered> {
        let checked = self
            .deployed(asked.deployment_name.as_ref())
            .and_then(|()| allow(Action::Administer, Resource::Topic(name_of(asked.topic.as_ref()))));
        if let Err(refusal) = checked {
            return Ok(Err(refusal));
        }
        let message_id = self.fresh_message_id();
        let mut system = asked.system_properties.unwrap_or_default();
        system.message_id.clone_from(&message_id);
        system.tag = asked.tag.or(system.tag);
        system.keys.extend(asked.key);
        let message = v2::Message {
            topic: asked.topic,
            user_properties: asked.user_properties,
            system_properties: Some(system),
            body: asked.body,
        };
        let request = Bytes::from(v2::SendMessageRequest { messages: vec![message] }.encode_to_vec());
        let mut call = call.clone();
        if call.client_id().trim().is_empty() {
            call.headers.insert("x-mq-client-id", http::HeaderValue::from_static(CLIENT_ID));
        }
        let mut reply = BytesMut::new();
        self.send_message(&call, request, &mut reply).await?;
        let sent = v2::SendMessageResponse::decode(&reply[frame::PREFIX_BYTES..]).unwrap_or_default();
        let status = sent.status.unwrap_or_default();
        if status.code() == Code::Ok {
            return Ok(Ok(v2::AdminSendMessageResponse { status: Some(ok()), message_id }));
        }
        Ok(Err(Refusal::new(status.code(), status.message)))
    }

    /// The message of that id, as far as a search comes.
    pub(super) async fn find_message(
        &self,
        call: &Call,
        topic: &Arc<Topic>,
        id: &str,
    ) -> Result<v2::Message, Failure> {
        validate::message_id(id)?;
        let asked = v2::ListMessageRequest {
            search_key: Some(SearchKey::MessageId(id.to_owned())),
            ..Default::default()
        };
        let until_ms = self.search_until_ms(call);
        let mut from = Cursor::default();
        loop {
            let search = self.search_of(call, topic, asked.clone())?;
            let hits = self.searched(search, from).await?;
            if let Some((queue, message)) = hits.messages.first() {
                return Ok(self.shown(call, topic, *queue, message)?);
            }
            let (name, id) = (&topic.spec.name, Shown::from(id));
            match hits.next {
                Some(next) if self.now_ms() < until_ms => from = next,
                Some(_) => {
                    let text = format!("message `{id}` of topic `{name}` was not found in time");
                    return Err(Refusal::new(Code::ProxyTimeout, text).into());
                }
                None => {
                    let text = format!("topic `{name}` has no message `{id}`");
                    return Err(Refusal::new(Code::MessageNotFound, text).into());
                }
            }
        }
    }

    fn search_of(
        &self,
        call: &Call,
        topic: &Arc<Topic>,
        asked: v2::ListMessageRequest,
    ) -> Result<Search, Refusal> {
        let time = |what, time: Option<&prost_types::Timestamp>, otherwise: u64| {
            time.map_or(Ok(otherwise), |time| time_ms(what, time))
        };
        let begin_ms = time("begin_timestamp", asked.begin_timestamp.as_ref(), 0)?;
        let end_ms = time("end_timestamp", asked.end_timestamp.as_ref(), u64::MAX)?;
        if end_ms < begin_ms {
            let text = format!("the time ends at {end_ms} ms, before it begins at {begin_ms} ms");
            return Err(Refusal::new(Code::BadRequest, text));
        }
        let max = page_size(&asked);
        Ok(Search {
            topic: Arc::clone(topic),
            queues: self.queues_of(topic, asked.broker_name.as_deref(), asked.queue_id)?,
            begin_ms,
            end_ms,
            by: by(asked.search_key)?,
            max,
            until_ms: self.search_until_ms(call),
        })
    }

    fn search_until_ms(&self, call: &Call) -> u64 {
        let longest_ms = self.now_ms().saturating_add(SEARCH_MS_MAX);
        call.deadline_ms().map_or(longest_ms, |at_ms| at_ms.saturating_sub(RESERVE_MS).min(longest_ms))
    }

    fn queues_of(
        &self,
        topic: &Topic,
        broker: Option<&str>,
        queue: Option<i32>,
    ) -> Result<Vec<u32>, Refusal> {
        let own = &self.config.group;
        if let Some(broker) = broker.filter(|name| !name.is_empty() && name != own) {
            let text = format!("broker `{}` is not served here, this is `{own}`", Shown::from(broker));
            return Err(Refusal::new(Code::NotFound, text));
        }
        let count = topic.queues.len() as u32;
        match queue.map(|queue| u32::try_from(queue).ok().filter(|&queue| queue < count).ok_or(queue)) {
            None => Ok((0..count).collect()),
            Some(Ok(queue)) => Ok(vec![queue]),
            Some(Err(queue)) => {
                let name = &topic.spec.name;
                let text = format!(
                    "topic `{name}` has {count} queues in this broker group, there is no queue {queue}"
                );
                Err(Refusal::new(Code::NotFound, text))
            }
        }
    }

    async fn searched(&self, asked: Search, from: Cursor) -> Result<Hits, Failure> {
        let Ok(room) = Arc::clone(&self.searches).try_acquire_owned() else {
            let text = format!("{} searches are under way, which is the limit", self.config.searches_max);
            return Err(Refusal::new(Code::TooManyRequests, text).into());
        };
        let (group, clock) = (Arc::clone(&self.group), self.clock());
        let searching = tokio::task::spawn_blocking(move || {
            // Kept until the thread is free, although the caller may have gone.
            let _room = room;
            search(&group, &asked, from, &*clock)
        });
        match searching.await {
            Ok(found) => found.map_err(|error| unsearched(&error)),
            // The runtime is going away.
            Err(error) => Err(Refusal::new(Code::InternalServerError, error.to_string()).into()),
        }
    }

    /// The message as a consumer would get it, without a receipt.
    fn shown(
        &self,
        call: &Call,
        topic: &Topic,
        queue: u32,
        message: &PulledMessage,
    ) -> Result<v2::Message, Refusal> {
        let unreadable = |why: String| Refusal::new(Code::InternalServerError, why);
        let record = message.record.as_ref().ok_or_else(|| unreadable("message was not read".to_owned()))?;
        let message = Outgoing {
            record,
            origin: message.origin.as_ref(),
            topic: &topic.spec.name,
            namespace: "",
            queue,
            offset: message.offset,
            stored_ms: message.stored_ms,
            attempt: 0,
            lease: None,
        };
        let form = DigestForm::of_client(call.language(), call.version());
        let mut framed = BytesMut::new();
        self.put_message(&message, form, &mut framed).map_err(|error| unreadable(error.to_string()))?;
        let response = v2::ReceiveMessageResponse::decode(framed.freeze().slice(frame::PREFIX_BYTES..))
            .map_err(|error| unreadable(error.to_string()))?;
        match response.content {
            Some(Content::Message(message)) => Ok(message),
            Some(Content::Status(_) | Content::DeliveryTimestamp(_)) | None => {
                Err(unreadable("message does not decode".to_owned()))
            }
        }
    }

    /// An id in the form of the SDKs: version, six bytes of the log, two of the term, seconds, a number. Unique, because a
    /// gateway lives within one term of one log.
    fn fresh_message_id(&self) -> String {
        let log = self.group.log_id();
        let number = self.admin_sends.fetch_add(1, Ordering::Relaxed);
        let seconds = (self.now_ms().saturating_sub(IDS_FROM_MS) / 1000) as u32;
        let mut id = String::from("01");
        let bytes = log[..6].iter().copied();
        let term = (self.group.epoch().0 as u16).to_be_bytes();
        for byte in bytes.chain(term).chain(seconds.to_be_bytes()).chain(number.to_be_bytes()) {
            let _ = write!(id, "{byte:02X}");
        }
        id
    }
}

fn by(key: Option<SearchKey>) -> Result<By, Refusal> {
    Ok(match key {
        None => By::Time,
        Some(SearchKey::MessageId(id)) => By::Id(id),
        Some(SearchKey::MessageKey(key)) => By::Key(key),
        Some(SearchKey::Subscription(expression)) => {
            let expression = FilterExpression { r#type: FilterType::Tag.into(), expression };
            By::Filter(Filter::of(Some(&expression))?)
        }
        Some(SearchKey::LiteTopic(_)) => return no_lite_topics(),
    })
}

/// Messages in a reply at most.
fn page_size(asked: &v2::ListMessageRequest) -> usize {
    let number = |number: i32| usize::try_from(number).ok().filter(|&number| number > 0);
    let sizes = [number(asked.max_message_nums), asked.page_size.and_then(number)];
    sizes.into_iter().flatten().min().unwrap_or(RESULTS).min(RESULTS_MAX)
}

/// Where a query begins: at its page, or where the one before it ended.
fn cursor(asked: &v2::ListMessageRequest) -> Result<Cursor, Refusal> {
    let bad = |text: String| Refusal::new(Code::BadRequest, text);
    let scroll = asked.scroll_id.as_deref().filter(|text| !text.is_empty());
    match (scroll, asked.page_num) {
        (Some(_), Some(_)) => Err(bad("name a page or a scroll id, not both".to_owned())),
        (Some(text), None) => Cursor::read(text)
            .ok_or_else(|| bad(format!("scroll id `{}` is none of ours", Shown::from(text)))),
        (None, Some(page)) => {
            let before = u64::try_from(page).ok().and_then(|page| page.checked_sub(1));
            let before = before.ok_or_else(|| bad(format!("page {page} is below 1, the first one")))?;
            Ok(Cursor { skip: before * page_size(asked) as u64, ..Cursor::default() })
        }
        (None, None) => Ok(Cursor::default()),
    }
}

fn unsearched(error: &SearchError) -> Failure {
    match error {
        SearchError::Pull(PullError::NotLeading) => Failure::NotLeading(error.to_string()),
        SearchError::Pull(PullError::Index(error)) => unread(error).into(),
        SearchError::Pull(PullError::NoSuchQueue { .. } | PullError::OutOfRange { .. }) => {
            Refusal::new(Code::NotFound, error.to_string()).into()
        }
        SearchError::Read(_) => {
            tracing::error!(%error, "a search cannot read");
            Refusal::new(Code::InternalServerError, error.to_string()).into()
        }
    }
}
