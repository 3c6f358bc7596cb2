//! What comes back from the leader, handed on frame by frame.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::future::BoxFuture;
use http_body::{Body, Frame};
use hyper::body::Incoming;

use crate::call::GrpcError;
use crate::frame::status;
use crate::relay::link::{Link, lost};
use crate::relay::taken::Taking;

/// The body of a relayed reply. Whatever happens to the leader, it ends in a gRPC status.
pub(crate) struct RelayedBody {
    incoming: Incoming,
    /// Nothing more has to be said: the status was among the headers, or has been written.
    told: bool,
    given_up: BoxFuture<'static, GrpcError>,
    /// The leader is told when the client has everything.
    taking: Option<Taking>,
    /// Counts as one call until it is gone.
    _link: Link,
}

impl RelayedBody {
    pub(crate) fn new(
        incoming: Incoming,
        told: bool,
        given_up: BoxFuture<'static, GrpcError>,
        link: Link,
    ) -> Self {
        Self { incoming, told, given_up, taking: None, _link: link }
    }

    /// Tells the leader by this when the client has everything.
    pub(crate) fn confirm(&mut self, taking: Taking) {
        self.taking = Some(taking);
        self.note_taken();
    }

    fn note_taken(&mut self) {
        if let Some(taking) = self.taking.take_if(|taking| self.told || taking.is_complete()) {
            taking.done();
        }
    }

    fn end(&mut self, error: &GrpcError) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if std::mem::replace(&mut self.told, true) {
            return Poll::Ready(None);
        }
        Poll::Ready(Some(Ok(Frame::trailers(status(Some(error))))))
    }
}

impl Body for RelayedBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        // Asked for only once the client has made room for what came before.
        self.note_taken();
        if self.told {
            return Poll::Ready(None);
        }
        if let Poll::Ready(error) = self.given_up.as_mut().poll(context) {
            return self.end(&error);
        }
        match ready!(Pin::new(&mut self.incoming).poll_frame(context)) {
            Some(Ok(frame)) => {
                self.told = frame.is_trailers();
                if let (Some(taking), Some(data)) = (&mut self.taking, frame.data_ref()) {
                    taking.sent(data.len());
                }
                if self.told {
                    self.note_taken();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => self.end(&lost(&error)),
            None => self.end(&lost(&"no status came")),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.told
    }
}
