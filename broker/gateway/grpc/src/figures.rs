//! Figures of a gateway since its start, for metrics.
//!
//! Cost: one addition per call and figure, without order between them; a page of them is no snapshot of one moment.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

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

/// How much is going on, as of the last sweep.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Rates {
    /// Messages stored per second.
    pub(crate) sent: f64,
    /// Messages handed out per second.
    pub(crate) received: f64,
}

/// What the counters showed at the last sweep.
#[derive(Debug, Default)]
struct Swept {
    at_ms: u64,
    sent: u64,
    received: u64,
    rates: Rates,
}

/// An open connection, for as long as it lives.
pub(crate) struct Connected<'a>(&'a AtomicU64);

#[derive(Debug, Default)]
pub(crate) struct Counters {
    sent: AtomicU64,
    sent_bytes: AtomicU64,
    received: AtomicU64,
    received_bytes: AtomicU64,
    acked: AtomicU64,
    refused: AtomicU64,
    relayed: AtomicU64,
    connections: AtomicU64,
    swept: Mutex<Swept>,
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

    /// A connection is open.
    pub(crate) fn connected(&self) -> Connected<'_> {
        self.connections.fetch_add(1, Ordering::Relaxed);
        Connected(&self.connections)
    }

    /// Open connections of clients and other members.
    pub(crate) fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Measures the time since the last sweep; the first one has nothing to compare with.
    pub(crate) fn take_rates(&self, now_ms: u64) {
        let Figures { sent, received, .. } = self.figures();
        let mut swept = self.swept.lock();
        let passed_ms = now_ms.saturating_sub(swept.at_ms);
        if swept.at_ms > 0 && passed_ms > 0 {
            let per_second = |count: u64| count as f64 * 1000.0 / passed_ms as f64;
            let rates = Rates {
                sent: per_second(sent - swept.sent),
                received: per_second(received - swept.received),
            };
            *swept = Swept { at_ms: now_ms, sent, received, rates };
        } else if swept.at_ms == 0 {
            *swept = Swept { at_ms: now_ms, sent, received, rates: Rates::default() };
        }
    }

    /// The rates between the last two sweeps.
    pub(crate) fn rates(&self) -> Rates {
        self.swept.lock().rates
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

impl Drop for Connected<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
