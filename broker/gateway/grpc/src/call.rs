//! What a handler knows about one call besides its message, and how a call fails as gRPC or is served by nobody yet.

use std::net::SocketAddr;
use std::sync::Arc;

use engine::mailbox::Mailbox;
use http::HeaderMap;
use http::uri::Authority;

use crate::connection::Connection;
use crate::listener;

/// One call of a client: who, from where, until when. Headers are read when they are asked for: a send needs one.
#[derive(Clone, Debug)]
pub struct Call {
    /// The headers of the request.
    pub headers: HeaderMap,
    /// The `host:port` that the client dialled (`:authority`).
    pub authority: Option<Authority>,
    /// The client's address.
    pub remote: SocketAddr,
    /// What it came on.
    pub connection: Arc<Connection>,
    /// When the headers arrived (unix ms).
    pub arrived_ms: u64,
    /// Wakes tasks of the runtime that serves this connection.
    pub mailbox: Arc<Mailbox>,
}

impl Call {
    /// Header `x-mq-client-id`; empty when absent.
    pub fn client_id(&self) -> &str {
        self.header("x-mq-client-id")
    }

    /// Header `x-mq-language`; empty when absent.
    pub fn language(&self) -> &str {
        self.header("x-mq-language")
    }

    /// Header `x-mq-client-version`; empty when absent.
    pub fn version(&self) -> &str {
        self.header("x-mq-client-version")
    }

    /// Header `x-millpond-client-type`: the name of a `ClientType`; empty when absent.
    pub fn client_type(&self) -> &str {
        self.header("x-millpond-client-type")
    }

    /// The name of the listener that it came by; empty for the one of clients in Kubernetes.
    pub fn listener(&self) -> &str {
        self.header(listener::HEADER)
    }

    /// When the client stops waiting (unix ms), from `grpc-timeout`.
    pub fn deadline_ms(&self) -> Option<u64> {
        timeout_of(&self.headers).map(|ms| self.arrived_ms.saturating_add(ms))
    }

    /// What is not text counts as absent.
    fn header(&self, name: &'static str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// A failure of the call itself, told as gRPC status; business failures are `Status` in a reply instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("grpc status {code}: {message}")]
pub struct GrpcError {
    /// gRPC status code.
    pub code: u32,
    /// Text for `grpc-message`.
    pub message: String,
}

/// Why a handler has no reply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// This broker does not lead any more, or hands over, as the text says. Nothing was done: the call may be served
    /// by whoever leads next.
    #[error("{0}")]
    NotLeading(String),
    /// The call fails as gRPC.
    #[error(transparent)]
    Failed(#[from] GrpcError),
}

impl GrpcError {
    /// The client's bytes or arguments make no sense (3).
    pub fn invalid_argument(message: impl Into<String>) -> Self {
        Self { code: 3, message: message.into() }
    }

    /// The message is over a limit (8).
    pub fn resource_exhausted(message: impl Into<String>) -> Self {
        Self { code: 8, message: message.into() }
    }

    /// No such method, or an encoding that is not spoken here (12).
    pub fn unimplemented(message: impl Into<String>) -> Self {
        Self { code: 12, message: message.into() }
    }

    /// Something broke on our side (13).
    pub fn internal(message: impl Into<String>) -> Self {
        Self { code: 13, message: message.into() }
    }

    /// The connection or the broker is going away (14).
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self { code: 14, message: message.into() }
    }
}

/// How long the caller waits, from `grpc-timeout`.
pub(crate) fn timeout_of(headers: &HeaderMap) -> Option<u64> {
    timeout_ms(headers.get("grpc-timeout")?.to_str().ok()?)
}

/// `grpc-timeout`: at most 8 digits and a unit, as the gRPC specification of HTTP/2 headers says.
fn timeout_ms(text: &str) -> Option<u64> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let amount: u64 = digits.parse().ok().filter(|_| digits.len() <= 8)?;
    Some(match unit {
        "H" => amount * 3_600_000,
        "M" => amount * 60_000,
        "S" => amount * 1000,
        "m" => amount,
        "u" => amount / 1000,
        "n" => amount / 1_000_000,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::timeout_ms;

    #[test]
    fn timeouts_are_read_in_every_unit_and_refused_otherwise() {
        assert_eq!(timeout_ms("3S"), Some(3000));
        assert_eq!(timeout_ms("250m"), Some(250));
        assert_eq!(timeout_ms("5000000n"), Some(5));
        assert_eq!(timeout_ms("1H"), Some(3_600_000));
        for bad in ["", "S", "5", "-1S", "123456789S", "5x", "é"] {
            assert_eq!(timeout_ms(bad), None, "{bad}");
        }
    }
}
