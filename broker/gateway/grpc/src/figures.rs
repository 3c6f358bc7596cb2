//! Figures of a gateway since its start, for metrics.
//!
//! Cost: one addition per call and figure, without order between them; a page of them is no snapshot of one moment.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::gateway::Gateway;

/// What has happened since the start, and what is under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Messages that were stored.
    pub sent: u64,
    /// Bytes of the requests that brought them.
    pub sent_bytes: u64,
    /// Messages handed out, each time counted.
    pub received: u64,
    /// Bytes of the replies that took them.
    pub received_bytes: u64,
    /// Messages that their consumers are done with.
    pub acked: u64,
    /// Requests and acks answered with another code than OK; receives that found nothing are not among them.
    pub refused: u64,
    /// Receives that wait for messages.
    pub waiting_receives: u64,
    /// Leases that are kept alive for clients.
    pub held: u64,
    /// Clients that are known.
    pub clients: u64,
    /// Calls that were relayed to the leader.
    pub relayed: u64,
    /// Calls that wait for a leader.
    pub held_calls: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    sent: AtomicU64,
    sent_bytes: AtomicU64,
    received: AtomicU64,
    received_bytes: AtomicU64,
    acked: AtomicU64,
    refused: AtomicU64,
    relayed: AtomicU64,
}

impl Counters {
    pub(crate) fn sent(&self, messages: usize, bytes: usize) {
        self.sent.fetch_add(messages as u64, Ordering::Relaxed);
        self.sent_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn received(&self, messages: usize, bytes: usize) {
        self.received.fetch_add(messages as u64, Ordering::Relaxed);
        self.received_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn acked(&self, messages: usize) {
        self.acked.fetch_add(messages as u64, Ordering::Relaxed);
    }

    pub(crate) fn refused(&self, count: usize) {
        self.refused.fetch_add(count as u64, Ordering::Relaxed);
    }

    pub(crate) fn relayed(&self) {
        self.relayed.fetch_add(1, Ordering::Relaxed);
    }

    /// What has happened, without what is under way.
    pub(crate) fn figures(&self) -> Figures {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Figures {
            sent: read(&self.sent),
            sent_bytes: read(&self.sent_bytes),
            received: read(&self.received),
            received_bytes: read(&self.received_bytes),
            acked: read(&self.acked),
            refused: read(&self.refused),
            relayed: read(&self.relayed),
            ..Figures::default()
        }
    }
}

impl Gateway {
    /// The figures now.
    pub fn figures(&self) -> Figures {
        Figures {
            waiting_receives: self.pollers.load(Ordering::Relaxed) as u64,
            held: self.renewals.count() as u64,
            clients: self.sessions.count() as u64,
            ..self.counters.figures()
        }
    }
}
