//! What a receive asks for, checked and completed.

use std::sync::Arc;

use engine::catalog::{ConsumerGroup, Topic};
use wire::v2::{self, Code};
use wire::validate;

use crate::authorize::{Action, Principal, Resource, authorize};
use crate::call::Call;
use crate::filter::Filter;
use crate::gateway::{Gateway, name_of};
use crate::refusal::Refusal;
use crate::renew::LEASE_MS;
use crate::session::{REQUEST_TIMEOUT_MS, Session};
use crate::settings::{LONG_POLLING_MS_MAX, RECEIVE_BATCH_MAX, RESERVE_MS, millis};

/// Shortest wait for messages; with less, push consumers would ask in a tight loop.
const LONG_POLLING_MS_MIN: u64 = 5000;
/// Clients from this version on know `ILLEGAL_POLLING_TIME`; as text, which is how the protocol compares it.
const KNOWS_POLLING_TIME: &str = "5.0.3";

/// A checked receive.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) group: Arc<ConsumerGroup>,
    pub(crate) topic: Arc<Topic>,
    /// Namespace as the client wrote it.
    pub(crate) namespace: String,
    pub(crate) filter: Filter,
    /// Hashes of the wanted tags; none means all.
    pub(crate) tags: Option<Vec<u32>>,
    pub(crate) max: usize,
    /// The client's name for this try.
    pub(crate) attempt_id: Option<String>,
    pub(crate) invisible_ms: u64,
    /// The client whose life the leases are tied to.
    pub(crate) renew_for: Option<Arc<Session>>,
    /// When to answer at the latest.
    pub(crate) until_ms: u64,
}

impl Gateway {
    pub(crate) fn plan(&self, call: &Call, request: &v2::ReceiveMessageRequest) -> Result<Plan, Refusal> {
        let resource = request.message_queue.as_ref().and_then(|queue| queue.topic.as_ref());
        let (topic, group) = (name_of(resource), name_of(request.group.as_ref()));
        authorize(Principal::Anonymous, Action::Subscribe, Resource::ConsumerGroup(group))?;
        authorize(Principal::Anonymous, Action::Subscribe, Resource::Topic(topic))?;
        let now_ms = self.now_ms();
        let topic = self.topic(topic)?;
        let group = self.consumer_group(group)?;
        let session = if request.auto_renew {
            Some(self.sessions.touch(call, now_ms)?)
        } else {
            self.sessions.find(call.client_id()).inspect(|session| session.seen(now_ms))
        };
        let request_timeout_ms =
            session.as_ref().map_or(REQUEST_TIMEOUT_MS, |session| session.request_timeout_ms());
        let asked_ms =
            request.long_polling_timeout.as_ref().map(|time| u64::try_from(millis(time)).unwrap_or(0));
        let wait_ms = wait(asked_ms, call, request_timeout_ms, now_ms)?;
        let invisible_ms = if request.auto_renew {
            LEASE_MS
        } else {
            validate::invisible_on_receive(request.invisible_duration.as_ref().map_or(0, millis))?
        };
        let filter = Filter::of(request.filter_expression.as_ref())?;
        Ok(Plan {
            group,
            topic,
            namespace: resource.map_or_else(String::new, |topic| topic.resource_namespace.clone()),
            tags: filter.tag_hashes(),
            filter,
            max: usize::try_from(request.batch_size).unwrap_or(0).clamp(1, RECEIVE_BATCH_MAX.into()),
            attempt_id: request.attempt_id.clone().filter(|id| !id.is_empty()),
            invisible_ms,
            renew_for: session.filter(|_| request.auto_renew),
            until_ms: now_ms.saturating_add(wait_ms),
        })
    }
}

/// How long a receive may wait for messages.
fn wait(asked_ms: Option<u64>, call: &Call, request_timeout_ms: u64, now_ms: u64) -> Result<u64, Refusal> {
    let left_ms = call.deadline_ms().map_or(LONG_POLLING_MS_MAX + RESERVE_MS, |at| at.saturating_sub(now_ms));
    let wanted_ms = asked_ms.unwrap_or_else(|| left_ms.saturating_sub(request_timeout_ms / 2));
    let wanted_ms = wanted_ms.clamp(LONG_POLLING_MS_MIN, LONG_POLLING_MS_MAX);
    if wanted_ms > left_ms && left_ms < LONG_POLLING_MS_MIN {
        let code =
            if call.version() < KNOWS_POLLING_TIME { Code::BadRequest } else { Code::IllegalPollingTime };
        let text = format!(
            "deadline in {left_ms} ms is too short for a receive, at least {LONG_POLLING_MS_MIN} ms are needed"
        );
        return Err(Refusal::new(code, text));
    }
    Ok(wanted_ms.min(left_ms.saturating_sub(RESERVE_MS)))
}

#[cfg(test)]
mod tests {
    use engine::mailbox::Mailbox;

    use super::*;

    fn waited(asked_ms: Option<u64>, left_ms: Option<u64>, version: &str) -> Result<u64, Code> {
        let mut headers = http::HeaderMap::new();
        headers.insert("x-mq-client-version", version.parse().unwrap());
        if let Some(left_ms) = left_ms {
            headers.insert("grpc-timeout", format!("{left_ms}m").parse().unwrap());
        }
        let call = Call {
            headers,
            authority: None,
            remote: "127.0.0.1:1".parse().unwrap(),
            connection: Arc::default(),
            arrived_ms: 1000,
            mailbox: Mailbox::new(),
        };
        wait(asked_ms, &call, 3000, 1000).map_err(|refusal| refusal.code)
    }

    #[test]
    fn a_receive_waits_as_asked_between_5_and_20_s() {
        for (asked_ms, waits_ms) in [(0, 5000), (4999, 5000), (15_000, 15_000), (30_000, 20_000)] {
            assert_eq!(waited(Some(asked_ms), Some(60_000), "5.1.0"), Ok(waits_ms));
        }
    }

    #[test]
    fn a_receive_that_asks_nothing_waits_until_half_a_timeout_before_its_deadline() {
        assert_eq!(waited(None, Some(12_000), "5.1.0"), Ok(10_500));
        assert_eq!(waited(None, None, "5.1.0"), Ok(19_000));
    }

    #[test]
    fn a_receive_answers_half_a_second_before_its_deadline() {
        assert_eq!(waited(Some(20_000), Some(6000), "5.1.0"), Ok(5500));
        assert_eq!(waited(Some(20_000), Some(20_200), "5.1.0"), Ok(19_700));
    }

    #[test]
    fn a_deadline_under_5_s_is_refused_with_the_code_the_client_knows() {
        assert_eq!(waited(Some(1000), Some(4999), "5.0.3"), Err(Code::IllegalPollingTime));
        assert_eq!(waited(Some(1000), Some(4999), "5.0.2"), Err(Code::BadRequest));
        assert_eq!(waited(Some(1000), Some(4999), ""), Err(Code::BadRequest));
    }
}
