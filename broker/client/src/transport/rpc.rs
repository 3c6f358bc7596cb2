//! The calls of the messaging service, with the headers that go with each.

use std::time::Duration;

use http::header::{CONTENT_TYPE, TE, USER_AGENT};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version};

use wire::v2::ClientType;

use crate::endpoint::Endpoint;

/// Version of the protocol's client side that this client behaves like.
pub(crate) const CLIENT_VERSION: &str = "5.1.0";
/// What the servers know this language by.
pub(crate) const LANGUAGE: &str = "RUST";

/// A call of the messaging service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rpc {
    QueryRoute,
    QueryAssignment,
    Heartbeat,
    SendMessage,
    ReceiveMessage,
    AckMessage,
    ChangeInvisibleDuration,
    ForwardMessageToDeadLetterQueue,
    PullMessage,
    GetOffset,
    UpdateOffset,
    QueryOffset,
    EndTransaction,
    NotifyClientTermination,
    RecallMessage,
    Telemetry,
}

const ALL: [Rpc; 16] = [
    Rpc::QueryRoute,
    Rpc::QueryAssignment,
    Rpc::Heartbeat,
    Rpc::SendMessage,
    Rpc::ReceiveMessage,
    Rpc::AckMessage,
    Rpc::ChangeInvisibleDuration,
    Rpc::ForwardMessageToDeadLetterQueue,
    Rpc::PullMessage,
    Rpc::GetOffset,
    Rpc::UpdateOffset,
    Rpc::QueryOffset,
    Rpc::EndTransaction,
    Rpc::NotifyClientTermination,
    Rpc::RecallMessage,
    Rpc::Telemetry,
];
const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// Who calls, and how long an answer may take.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) client_id: String,
    pub(crate) client_type: ClientType,
    pub(crate) namespace: String,
    pub(crate) request_timeout: Duration,
}

/// Everything of a request but its body, made once per address.
pub(crate) struct Heads {
    of_calls: Vec<Head>,
    request_timeout: Duration,
}

struct Head {
    uri: Uri,
    headers: HeaderMap,
}

impl Heads {
    pub(crate) fn new(endpoint: &Endpoint, identity: &Identity) -> Option<Self> {
        let of_calls = ALL.iter().map(|rpc| Head::new(*rpc, endpoint, identity)).collect::<Option<_>>()?;
        Some(Self { of_calls, request_timeout: identity.request_timeout })
    }

    /// `wait` is how long the server may take until it has something to say.
    pub(crate) fn request(&self, rpc: Rpc, wait: Duration) -> Request<()> {
        let head = self.head(rpc);
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.version_mut() = Version::HTTP_2;
        *request.uri_mut() = head.uri.clone();
        *request.headers_mut() = head.headers.clone();
        if let Some(limit) = self.timeout(rpc, wait).filter(|_| !wait.is_zero()) {
            request.headers_mut().insert(TIMEOUT, timeout_text(limit));
        }
        request
    }

    /// None: for as long as both sides like.
    pub(crate) fn timeout(&self, rpc: Rpc, wait: Duration) -> Option<Duration> {
        (rpc != Rpc::Telemetry).then(|| self.request_timeout.saturating_add(wait))
    }

    fn head(&self, rpc: Rpc) -> &Head {
        &self.of_calls[rpc as usize]
    }
}

impl Head {
    fn new(rpc: Rpc, endpoint: &Endpoint, identity: &Identity) -> Option<Self> {
        let authority = Endpoint { tls: false, ..endpoint.clone() }.to_string();
        let scheme = if endpoint.tls { Scheme::HTTPS } else { Scheme::HTTP };
        let path = format!("/apache.rocketmq.v2.MessagingService/{rpc:?}");
        let uri = Uri::builder()
            .scheme(scheme)
            .authority(authority.parse::<Authority>().ok()?)
            .path_and_query(path.parse::<PathAndQuery>().ok()?)
            .build()
            .ok()?;
        let mut headers = HeaderMap::with_capacity(12);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(TE, HeaderValue::from_static("trailers"));
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("millpond/", env!("CARGO_PKG_VERSION"))));
        let mut put = |name: &'static str, value: &str| {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_str(value).ok()?);
            Some(())
        };
        put("x-mq-client-id", &identity.client_id)?;
        put("x-mq-language", LANGUAGE)?;
        put("x-mq-client-version", CLIENT_VERSION)?;
        put("x-mq-protocol", "v2")?;
        put("x-mq-namespace", &identity.namespace)?;
        if identity.client_type == ClientType::PullConsumer {
            // Its routes are different, and a broker that was started again has no session to know it by.
            put("x-millpond-client-type", identity.client_type.as_str_name())?;
        }
        if rpc != Rpc::Telemetry {
            headers.insert(TIMEOUT, timeout_text(identity.request_timeout));
        }
        Some(Self { uri, headers })
    }
}

fn timeout_text(limit: Duration) -> HeaderValue {
    HeaderValue::from_str(&format!("{}m", limit.as_millis())).expect("digits are fine in a header")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_call_has_its_own_head() {
        let identity = Identity {
            client_id: "a@1@0@z".into(),
            client_type: ClientType::PullConsumer,
            namespace: String::new(),
            request_timeout: Duration::from_secs(3),
        };
        let heads = Heads::new(&Endpoint::plain("::1", 8081), &identity).unwrap();
        for rpc in ALL {
            let request = heads.request(rpc, Duration::ZERO);
            assert!(request.uri().path().ends_with(&format!("/{rpc:?}")));
            assert_eq!(request.uri().authority().unwrap(), "[::1]:8081");
        }
        let receive = heads.request(Rpc::ReceiveMessage, Duration::from_secs(20));
        assert_eq!(receive.headers()["grpc-timeout"], "23000m");
        assert_eq!(heads.request(Rpc::SendMessage, Duration::ZERO).headers()["grpc-timeout"], "3000m");
        assert_eq!(heads.timeout(Rpc::Telemetry, Duration::ZERO), None);
        let route = heads.request(Rpc::QueryRoute, Duration::ZERO);
        assert_eq!(route.headers()["x-millpond-client-type"], "PULL_CONSUMER");
    }
}
