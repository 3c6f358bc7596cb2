//! Shipping the log to one member: whatever it lacks, then whatever comes.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::RwLock;
use replica::event::Message;
use store::log::LogReader;
use store::{Epoch, Position};
use tokio::io::AsyncWrite;
use tokio::sync::Notify;

use super::{LinkError, write_frame};
use crate::codec::{Body, Frame, Span};

/// Read and sent at once: enough to keep the disk and the network busy, little enough to let beats pass in between.
const CHUNK_BYTES: usize = 1 << 20;
/// What is older than this may not be in the page cache: reading it must not hold up everything else.
const COLD_BYTES: u64 = 128 << 20;

/// What there is to ship, shared between the leader's writers and its connections.
#[derive(Debug, Default)]
pub(crate) struct Freight {
    reader: RwLock<Option<LogReader>>,
    committed: AtomicU64,
    /// The leader commits by itself.
    is_solo: AtomicBool,
    sent_bytes: AtomicU64,
    /// For connections.
    grown: Notify,
    /// For the driver.
    told: Notify,
}

/// A shipment under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ship {
    pub(crate) epoch: Epoch,
    pub(crate) session: u64,
    /// End of what was sent.
    pub(crate) at: Position,
}

impl Freight {
    /// Ships from this log from now on.
    pub(crate) fn load(&self, reader: Option<LogReader>) {
        *self.reader.write() = reader;
    }

    /// What followers may believe to be committed.
    pub(crate) fn commit(&self, committed: Position) {
        self.committed.store(committed.0, Ordering::Relaxed);
    }

    /// Whether whoever writes need not wait for the others.
    pub(crate) fn is_solo(&self, is_solo: bool) {
        self.is_solo.store(is_solo, Ordering::Relaxed);
    }

    /// The log went on, or was synced; from any thread. A leader that is alone is not disturbed.
    pub(crate) fn grow(&self) {
        self.grown.notify_waiters();
        if !self.is_solo.load(Ordering::Relaxed) {
            self.told.notify_one();
        }
    }

    /// Bytes of the log that went out, to all members together.
    pub(crate) fn sent_bytes(&self) -> u64 {
        self.sent_bytes.load(Ordering::Relaxed)
    }

    /// Waits for the next growth.
    pub(crate) async fn told(&self) {
        self.told.notified().await;
    }

    /// Waits until there is more than `at`.
    pub(crate) async fn more(&self, at: Position) {
        loop {
            let grown = self.grown.notified();
            if self.written() > at {
                return;
            }
            grown.await;
        }
    }

    fn written(&self) -> Position {
        self.reader.read().as_ref().map_or(Position(0), LogReader::written)
    }
}

impl Ship {
    /// Sends the next part; false if there is none.
    pub(crate) async fn ship(
        &mut self,
        freight: &Freight,
        stream: &mut (impl AsyncWrite + Unpin),
    ) -> Result<bool, LinkError> {
        let Some(reader) = freight.reader.read().clone() else { return Ok(false) };
        let (from, to) = (self.at, reader.written());
        if from >= to {
            return Ok(false);
        }
        let read = move || {
            let mut bytes = Vec::new();
            reader.read_raw(from, to, CHUNK_BYTES, &mut bytes).map(|head| (head, bytes))
        };
        let read = if to.0 - from.0 > COLD_BYTES {
            tokio::task::spawn_blocking(read).await.map_err(std::io::Error::other)?
        } else {
            read()
        };
        let (Some(head), bytes) = read.map_err(std::io::Error::other)? else { return Ok(false) };
        let message = Message::Append {
            epoch: self.epoch,
            session: self.session,
            from,
            committed: Position(freight.committed.load(Ordering::Relaxed)),
        };
        freight.sent_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        let body = Body::Span(Span {
            segment_start: head.segment.start.0,
            segment_bytes: head.segment.bytes,
            start: head.start.0,
            end: head.end.0,
            bytes: Bytes::from(bytes),
        });
        write_frame(stream, &Frame::Message { message, body }).await?;
        self.at = head.end;
        Ok(true)
    }
}
