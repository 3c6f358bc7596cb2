//! The calls of the messaging service, with the headers that go with each.

use std::time::Duration;

use http::header::{CONTENT_TYPE, TE, USER_AGENT};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version};

use crate::endpoint::Endpoint;

/// Version of the protocol's client side that this client behaves like.
pub(crate) const CLIENT_VERSION: &str = "5.1.0";
/// What the servers know this language by.
pub(crate) const LANGUAGE: &str = "RUST";

/// A call of the messaging service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rpc {
    QueryRoute,
    Heartbeat,
    SendMessage,
    ReceiveMessage,
    AckMessage,
    ChangeInvisibleDuration,
    EndTransaction,
    NotifyClientTermination,
    RecallMessage,
    Telemetry,
}

const ALL: [Rpc; 10] = [
    Rpc::QueryRoute,
    Rpc::Heartbeat,
    Rpc::SendMessage,
    Rpc::ReceiveMessage,
    Rpc::AckMessage,
    Rpc::ChangeInvisibleDuration,
    Rpc::EndTransaction,
    Rpc::NotifyClientTermination,
    Rpc::RecallMessage,
    Rpc::Telemetry,
];

/// Who calls, and how long an answer may take.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) client_id: String,
    pub(crate) namespace: String,
    pub(crate) request_timeout: Duration,
    /// How long a receive may wait at the server.
    pub(crate) polling_timeout: Duration,
}

/// Everything of a request but its body, made once per address.
pub(crate) struct Heads(Vec<Head>);

struct Head {
    uri: Uri,
    headers: HeaderMap,
    timeout: Option<Duration>,
}

impl Heads {
    pub(crate) fn new(endpoint: &Endpoint, identity: &Identity) -> Option<Self> {
        ALL.iter().map(|rpc| Head::new(*rpc, endpoint, identity)).collect::<Option<_>>().map(Self)
    }

    pub(crate) fn request(&self, rpc: Rpc) -> Request<()> {
        let head = self.head(rpc);
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.version_mut() = Version::HTTP_2;
        *request.uri_mut() = head.uri.clone();
        *request.headers_mut() = head.headers.clone();
        request
    }

    /// None: for as long as both sides like.
    pub(crate) fn timeout(&self, rpc: Rpc) -> Option<Duration> {
        self.head(rpc).timeout
    }

    fn head(&self, rpc: Rpc) -> &Head {
        &self.0[rpc as usize]
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
        let timeout = match rpc {
            Rpc::Telemetry => None,
            Rpc::ReceiveMessage => Some(identity.polling_timeout + identity.request_timeout),
            Rpc::QueryRoute
            | Rpc::Heartbeat
            | Rpc::SendMessage
            | Rpc::AckMessage
            | Rpc::ChangeInvisibleDuration
            | Rpc::EndTransaction
            | Rpc::NotifyClientTermination
            | Rpc::RecallMessage => Some(identity.request_timeout),
        };
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
        if let Some(timeout) = timeout {
            put("grpc-timeout", &format!("{}m", timeout.as_millis()))?;
        }
        Some(Self { uri, headers, timeout })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_call_has_its_own_head() {
        let identity = Identity {
            client_id: "a@1@0@z".into(),
            namespace: String::new(),
            request_timeout: Duration::from_secs(3),
            polling_timeout: Duration::from_secs(20),
        };
        let heads = Heads::new(&Endpoint::plain("::1", 8081), &identity).unwrap();
        for rpc in ALL {
            let request = heads.request(rpc);
            assert!(request.uri().path().ends_with(&format!("/{rpc:?}")));
            assert_eq!(request.uri().authority().unwrap(), "[::1]:8081");
        }
        assert_eq!(heads.timeout(Rpc::ReceiveMessage), Some(Duration::from_secs(23)));
        assert_eq!(heads.timeout(Rpc::Telemetry), None);
    }
}
