//! One HTTP/2 connection.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use http::{Request, StatusCode};
use tracing::debug;

use super::CallError;
use super::frames::{Frames, check};
use crate::dial::{DialError, Dialer};
use crate::endpoint::Endpoint;

/// What may be under way to us at once: in one answer, and in all.
const STREAM_WINDOW_BYTES: u32 = 8 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 64 << 20;
const FRAME_BYTES_MAX: u32 = 1 << 20;
const SEND_BUFFER_BYTES_MAX: usize = 16 << 20;

/// A connection; clones share it.
#[derive(Clone)]
pub(crate) struct Connection {
    streams: SendRequest<Bytes>,
    ended: Arc<AtomicBool>,
}

impl Connection {
    pub(crate) async fn open(dialer: &Dialer, endpoint: &Endpoint) -> Result<Self, DialError> {
        let stream = dialer.dial(endpoint).await?;
        let handshake = Builder::new()
            .initial_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_frame_size(FRAME_BYTES_MAX)
            .max_send_buffer_size(SEND_BUFFER_BYTES_MAX)
            .enable_push(false)
            .handshake(stream);
        let (streams, driver) = handshake.await.map_err(|error| DialError::Connect {
            endpoint: endpoint.clone(),
            source: io::Error::other(error.to_string()),
        })?;
        let ended = Arc::new(AtomicBool::new(false));
        let (at_end, peer) = (ended.clone(), endpoint.clone());
        tokio::spawn(async move {
            if let Err(error) = driver.await {
                debug!(%peer, %error, "connection ended");
            }
            at_end.store(true, Ordering::Release);
        });
        Ok(Self { streams, ended })
    }

    pub(crate) fn is_open(&self) -> bool {
        !self.ended.load(Ordering::Acquire)
    }

    /// Starts a call with one message from us; its answer is read from the frames.
    pub(crate) async fn call(&self, request: Request<()>, frame: Bytes) -> Result<Frames, CallError> {
        let mut streams = self.streams.clone().ready().await?;
        let (response, mut outgoing) = streams.send_request(request, false)?;
        outgoing.send_data(frame, true)?;
        let (parts, body) = response.await?.into_parts();
        answered(parts.status)?;
        if body.is_end_stream() {
            check(&parts.headers)?;
        }
        Ok(Frames::new(body))
    }

    /// Starts a call that goes both ways: `first` is sent at once, and our side stays open as long as the frames are held.
    pub(crate) async fn converse(&self, request: Request<()>, first: Bytes) -> Result<Frames, CallError> {
        let mut streams = self.streams.clone().ready().await?;
        let (response, mut outgoing) = streams.send_request(request, false)?;
        outgoing.send_data(first, false)?;
        let (parts, body) = response.await?.into_parts();
        answered(parts.status)?;
        if body.is_end_stream() {
            check(&parts.headers)?;
        }
        Ok(Frames::holding(outgoing, body))
    }
}

fn answered(status: StatusCode) -> Result<(), CallError> {
    if status == StatusCode::OK {
        return Ok(());
    }
    Err(CallError::Unreadable(format!("HTTP status {status}")))
}
