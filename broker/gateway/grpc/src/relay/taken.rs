//! Whether a client took what the leader handed out to it through another member.
//!
//! ```text
//!   leader ── x-millpond-bytes: N, then N bytes ──▶ member ── N bytes ──▶ client
//!     ▲                                               │ the client has made room for them
//!     └────────── end of the request ◀────────────────┘
//! ```
//!
//! Why: leased messages are the client's only once nothing between can lose them. A member that stops, or whose client left,
//! ends the request by a reset, and the leader takes the messages back.
//! Promise: members of any version understand each other; one that ends its requests at once just confirms too early.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::{Body, Frame};
use tokio::sync::oneshot;

use crate::relay::{Outgoing, boxed};

const BYTES: HeaderName = HeaderName::from_static("x-millpond-bytes");

/// A request that ends when the client took what the reply brought.
struct Open {
    message: Option<Bytes>,
    taken: oneshot::Receiver<()>,
}

/// Counts what the client takes. Dropping it resets the request.
pub(crate) struct Taking {
    done: oneshot::Sender<()>,
    /// Still to be taken; unknown until the reply begins.
    bytes_left: Option<usize>,
}

/// A request of one message that ends when `Taking` says so.
pub(crate) fn open(message: Bytes) -> (Outgoing, Taking) {
    let (done, taken) = oneshot::channel();
    (boxed(Open { message: Some(message), taken }), Taking { done, bytes_left: None })
}

/// Of a reply that waits, before its status, for the end of the request.
pub(crate) fn announce(headers: &mut HeaderMap, bytes: usize) {
    headers.insert(BYTES, HeaderValue::from(bytes));
}

impl Taking {
    /// The reply has begun.
    pub(crate) fn begun(&mut self, headers: &HeaderMap) {
        self.bytes_left = headers.get(BYTES).and_then(|value| value.to_str().ok()?.parse().ok());
    }

    /// So many bytes went to the client, who has not taken them yet.
    pub(crate) fn sent(&mut self, bytes: usize) {
        self.bytes_left = self.bytes_left.map(|left| left.saturating_sub(bytes));
    }

    /// Whether the client, asking for more, has taken all there is.
    pub(crate) fn is_complete(&self) -> bool {
        self.bytes_left == Some(0)
    }

    /// Ends the request.
    pub(crate) fn done(self) {
        // Without a receiver the leader has answered without waiting.
        let _ = self.done.send(());
    }
}

impl Body for Open {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(message) = self.message.take() {
            return Poll::Ready(Some(Ok(Frame::data(message))));
        }
        let taken = ready!(Pin::new(&mut self.taken).poll(context));
        Poll::Ready(taken.is_err().then(|| Err(io::ErrorKind::BrokenPipe.into())))
    }
}
