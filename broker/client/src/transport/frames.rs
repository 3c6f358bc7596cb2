//! The messages of one answer.

use bytes::{Buf, Bytes, BytesMut};
use h2::{RecvStream, SendStream};
use http::HeaderMap;
use prost::Message;
use wire::frame::PREFIX_BYTES;

use super::CallError;

/// The largest message that is taken.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// Messages in the order they were sent, then the status.
pub(crate) struct Frames {
    body: RecvStream,
    buffer: BytesMut,
    /// Our side of a call that goes both ways; dropping it would end the call.
    outgoing: Option<SendStream<Bytes>>,
}

impl Frames {
    pub(crate) fn new(body: RecvStream) -> Self {
        Self { body, buffer: BytesMut::new(), outgoing: None }
    }

    pub(crate) fn holding(outgoing: SendStream<Bytes>, body: RecvStream) -> Self {
        Self { body, buffer: BytesMut::new(), outgoing: Some(outgoing) }
    }

    /// Another message of ours, in a call that goes both ways.
    pub(crate) fn send(&mut self, frame: Bytes) -> Result<(), CallError> {
        let Some(outgoing) = &mut self.outgoing else { return Ok(()) };
        Ok(outgoing.send_data(frame, false)?)
    }

    /// The next message; may be dropped while it waits. None after the last one of a call that went well.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, CallError> {
        loop {
            if let Some(message) = self.take()? {
                return Ok(Some(message));
            }
            let Some(chunk) = self.body.data().await else { break };
            let chunk = chunk?;
            // A failure means that the stream is over, which the next read says as well.
            let _ = self.body.flow_control().release_capacity(chunk.len());
            self.buffer.extend_from_slice(&chunk);
        }
        if !self.buffer.is_empty() {
            return Err(CallError::Unreadable("answer ends within a message".to_owned()));
        }
        match self.body.trailers().await? {
            Some(trailers) => check(&trailers).map(|()| None),
            None => Err(CallError::Unreadable("answer has no status".to_owned())),
        }
    }

    /// The one message of a call that has one.
    pub(crate) async fn single<M: Message + Default>(mut self) -> Result<M, CallError> {
        let Some(message) = self.next().await? else {
            return Err(CallError::Unreadable("answer has no message".to_owned()));
        };
        // Read to the end: a stream that is dropped before is reset, which costs both sides a frame.
        match self.next().await? {
            None => Ok(M::decode(message)?),
            Some(_) => Err(CallError::Unreadable("answer has a second message".to_owned())),
        }
    }

    fn take(&mut self) -> Result<Option<Bytes>, CallError> {
        let Some((prefix, _)) = self.buffer.split_first_chunk::<PREFIX_BYTES>() else { return Ok(None) };
        let [compressed, length @ ..] = *prefix;
        let bytes = u32::from_be_bytes(length) as usize;
        if compressed != 0 || bytes > MESSAGE_BYTES_MAX {
            return Err(CallError::Unreadable(format!("frame of {bytes} B, compressed: {compressed}")));
        }
        if self.buffer.len() < PREFIX_BYTES + bytes {
            self.buffer.reserve(PREFIX_BYTES + bytes - self.buffer.len());
            return Ok(None);
        }
        self.buffer.advance(PREFIX_BYTES);
        Ok(Some(self.buffer.split_to(bytes).freeze()))
    }
}

/// The status of gRPC, in the trailers or in the headers of an answer that has nothing else.
pub(crate) fn check(headers: &HeaderMap) -> Result<(), CallError> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    match text("grpc-status").map(str::parse::<u32>) {
        Some(Ok(0)) => Ok(()),
        Some(Ok(code)) => {
            Err(CallError::Grpc { code, message: text("grpc-message").unwrap_or_default().to_owned() })
        }
        Some(Err(_)) | None => Err(CallError::Unreadable("answer has no status".to_owned())),
    }
}
