//! gRPC framing over HTTP/2 bodies: length-prefixed messages in, one buffer or a stream of them out.
//!
//! ```text
//!   DATA frames -> [0 | length u32 BE | message] ...        reply buffer -> DATA, then trailers `grpc-status`
//! ```
//!
//! Promise: a message that arrives in one DATA frame is handed on without a copy.
//! Limit: `MESSAGE_BYTES_MAX`; a larger message ends the call with `RESOURCE_EXHAUSTED`.
//! Not here: which method is called (`serve`), what messages mean.

use std::convert::Infallible;
use std::fmt::Write;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use futures::Stream;
use http::{HeaderMap, HeaderValue};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Either, Full};
use hyper::body::Incoming;

use crate::call::GrpcError;
use crate::handout::Handout;
use crate::relay::taken::{self, Taking};
use crate::relay::{Outgoing, RelayedBody, boxed};

/// A request may hold many messages of 4 MiB; Apache's proxy takes as much.
pub(crate) const MESSAGE_BYTES_MAX: usize = 130 << 20;

const PREFIX_BYTES: usize = 5;
/// A reply goes out in pieces of this size. HTTP/2 asks for the next one when the client has made room for those before, so
/// a client that vanished is noticed before the last one.
const CHUNK_BYTES: usize = 64 << 10;

/// The messages of a request body, one after another.
pub(crate) struct Inbound {
    body: Either<Incoming, Outgoing>,
    buffered: BytesMut,
}

impl Inbound {
    pub(crate) fn new(body: Incoming) -> Self {
        Self { body: Either::Left(body), buffered: BytesMut::new() }
    }

    /// The messages of a body that was to be relayed.
    pub(crate) fn of(body: Outgoing) -> Self {
        Self { body: Either::Right(body), buffered: BytesMut::new() }
    }

    /// The body as it came. Nothing may have been read.
    pub(crate) fn into_body(self) -> Outgoing {
        match self.body {
            Either::Left(incoming) => boxed(incoming),
            Either::Right(outgoing) => outgoing,
        }
    }

    /// The next message; `None` when the client has ended its side.
    async fn next(&mut self) -> Result<Option<Framed>, GrpcError> {
        loop {
            if let Some(length) = message_length(&self.buffered)?
                && self.buffered.len() >= PREFIX_BYTES + length
            {
                return Ok(Some(Framed(self.buffered.split_to(PREFIX_BYTES + length).freeze())));
            }
            let data = match self.body.frame().await {
                Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
                Some(Err(error)) => {
                    return Err(GrpcError::unavailable(format!("request ended early: {error}")));
                }
                None if self.buffered.is_empty() => return Ok(None),
                None => return Err(GrpcError::invalid_argument("request ended within a message")),
            };
            if self.buffered.is_empty()
                && let Some(length) = message_length(&data)?
            {
                if data.len() == PREFIX_BYTES + length {
                    return Ok(Some(Framed(data)));
                }
                self.buffered.reserve(PREFIX_BYTES + length.min(1 << 20));
            }
            self.buffered.extend_from_slice(&data);
        }
    }

    /// Whether the client ends its side, rather than resets it.
    pub(crate) async fn ends(mut self) -> bool {
        loop {
            match self.body.frame().await {
                Some(Ok(_)) => {}
                Some(Err(_)) => return false,
                None => return true,
            }
        }
    }

    /// The only message of a unary request.
    pub(crate) async fn only(&mut self) -> Result<Framed, GrpcError> {
        self.next().await?.ok_or_else(|| GrpcError::invalid_argument("request holds no message"))
    }

    /// The messages as a stream.
    pub(crate) fn into_stream(self) -> impl Stream<Item = Result<Bytes, GrpcError>> + Send {
        futures::stream::unfold(Some(self), |inbound| async {
            let mut inbound = inbound?;
            match inbound.next().await {
                Ok(Some(framed)) => Some((Ok(framed.message()), Some(inbound))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        })
    }
}

/// A message as it came, behind its prefix; clones share it.
#[derive(Clone)]
pub(crate) struct Framed(Bytes);

impl Framed {
    /// The message without its prefix.
    pub(crate) fn message(&self) -> Bytes {
        self.0.slice(PREFIX_BYTES..)
    }

    /// The body of a request that holds nothing else.
    pub(crate) fn body(&self) -> Outgoing {
        boxed(Full::new(self.0.clone()))
    }

    /// The same, ended when the client took what the reply brought.
    pub(crate) fn open_body(&self) -> (Outgoing, Taking) {
        taken::open(self.0.clone())
    }
}

/// Length of the message that `bytes` begin with, once its prefix is there.
fn message_length(bytes: &[u8]) -> Result<Option<usize>, GrpcError> {
    let Some(prefix) = bytes.first_chunk::<PREFIX_BYTES>() else { return Ok(None) };
    if prefix[0] != 0 {
        return Err(GrpcError::unimplemented(
            "compressed messages are not accepted, send with identity encoding",
        ));
    }
    let length = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]) as usize;
    if length > MESSAGE_BYTES_MAX {
        return Err(GrpcError::resource_exhausted(format!(
            "message of {length} B is over the limit of {MESSAGE_BYTES_MAX} B"
        )));
    }
    Ok(Some(length))
}

/// A reply's frames, still to be written.
pub(crate) type Frames = Pin<Box<dyn Stream<Item = Result<Bytes, GrpcError>> + Send>>;

/// Body of a reply.
pub(crate) enum Reply {
    /// Complete frames in one buffer, then status OK; messages that were handed out go back if it is dropped before.
    Whole(Bytes, Option<Handout>),
    /// Frames as they come, then the status.
    Stream(Frames),
    /// What the leader answers, its status included.
    Relayed(Box<RelayedBody>),
    /// Only the status is left.
    Trailers(Option<Handout>),
    /// Everything has been written.
    End,
}

impl Body for Reply {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut *self {
            Self::Whole(bytes, _) if bytes.len() > CHUNK_BYTES => {
                Poll::Ready(Some(Ok(Frame::data(bytes.split_to(CHUNK_BYTES)))))
            }
            Self::Whole(bytes, handout) => {
                let (bytes, handout) = (std::mem::take(bytes), handout.take());
                *self = Self::Trailers(handout);
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Self::Stream(frames) => match ready!(frames.as_mut().poll_next(context)) {
                Some(Ok(bytes)) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
                ended => {
                    *self = Self::End;
                    Poll::Ready(Some(Ok(Frame::trailers(status(ended.and_then(Result::err).as_ref())))))
                }
            },
            Self::Relayed(body) => Pin::new(&mut **body).poll_frame(context),
            Self::Trailers(handout) => {
                // Asked for only once the client has made room for all but the last chunk.
                let is_taken = match handout {
                    Some(handed) => ready!(handed.poll_taken(context)),
                    None => false,
                };
                if let Some(handed) = handout.take_if(|_| is_taken) {
                    handed.delivered();
                }
                *self = Self::End;
                Poll::Ready(Some(Ok(Frame::trailers(status(None)))))
            }
            Self::End => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::End => true,
            Self::Relayed(body) => body.is_end_stream(),
            Self::Whole(..) | Self::Stream(_) | Self::Trailers(_) => false,
        }
    }
}

/// `grpc-status` and, for failures, `grpc-message` (percent-encoded).
pub(crate) fn status(error: Option<&GrpcError>) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(2);
    match error {
        None => {
            headers.insert("grpc-status", HeaderValue::from_static("0"));
        }
        Some(error) => {
            headers.insert("grpc-status", HeaderValue::from(error.code));
            if let Ok(message) = HeaderValue::from_str(&percent_encoded(&error.message)) {
                headers.insert("grpc-message", message);
            }
        }
    }
    headers
}

fn percent_encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if (0x20..=0x7e).contains(&byte) && byte != b'%' {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{MESSAGE_BYTES_MAX, message_length, percent_encoded};

    #[test]
    fn a_prefix_is_complete_or_awaited_or_refused() {
        assert_eq!(message_length(&[0, 0, 0]), Ok(None));
        assert_eq!(message_length(&[0, 0, 0, 1, 2, 9]), Ok(Some(258)));
        assert_eq!(message_length(&[1, 0, 0, 0, 0]).unwrap_err().code, 12, "compressed");
        let over = u32::try_from(MESSAGE_BYTES_MAX + 1).unwrap().to_be_bytes();
        assert_eq!(
            message_length(&[0, over[0], over[1], over[2], over[3]]).unwrap_err().code,
            8,
            "too large"
        );
    }

    #[test]
    fn status_texts_are_percent_encoded() {
        assert_eq!(percent_encoded("100% ä\n"), "100%25 %C3%A4%0A");
    }
}
