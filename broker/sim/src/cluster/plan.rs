//! What kind of story it will be.

use crds::broker_config::FlushMode;
use engine::group::{GroupConfig, TransactionChecks};
use store::disk::sim::Random;
use store::log::{Flush, LogConfig, Retention};

/// Drawn once at the begin of a story.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) machines: usize,
    pub(crate) copies: u32,
    pub(crate) min_in_sync: u32,
    /// When a send is answered; none: by the number of copies.
    pub(crate) flush: Option<FlushMode>,
    pub(crate) is_wild: bool,
    pub(crate) delay_ms: u64,
    pub(crate) window: usize,
    pub(crate) chunk_bytes: usize,
    pub(crate) lag_bytes_max: u64,
    pub(crate) peer_timeout_ms: u64,
    pub(crate) ack_stall_ms: u64,
    pub(crate) tick_ms: u64,
    pub(crate) segment_bytes: u64,
    pub(crate) batch_bytes_max: u64,
    pub(crate) retention_bytes: Option<u64>,
    /// Between two faults, about.
    pub(crate) fault_ms: u64,
    /// Between two acts of clients, about.
    pub(crate) client_ms: u64,
    /// How long trouble lasts.
    pub(crate) trouble_ms: u64,
    /// Effects are interrupted by the log thread once in so many.
    pub(crate) interleave_in: u64,
    /// An answer of the arbiter is lost once in so many.
    pub(crate) lost_answer_in: u64,
    /// Kinds of faults that happen, as bits.
    pub(crate) faults: u64,
}

impl Plan {
    pub(crate) fn draw(random: &mut Random) -> Self {
        let machines = 2 + random.below(2) as usize;
        let copies = 1 + random.below(machines as u64) as u32;
        let copies = if random.one_in(3) { copies } else { machines as u32 };
        let segment_bytes = 16384 << random.below(4);
        Self {
            machines,
            copies,
            min_in_sync: 1 + random.below(u64::from(copies)) as u32,
            flush: [Some(FlushMode::Sync), Some(FlushMode::Async), None][random.below(3) as usize],
            is_wild: random.one_in(4),
            delay_ms: [1, 3, 10, 40, 150][random.below(5) as usize],
            window: 1 + random.below(6) as usize,
            chunk_bytes: 1 << (9 + random.below(8)),
            lag_bytes_max: if random.one_in(4) { 2000 } else { 4 << 20 },
            peer_timeout_ms: 500 + 250 * random.below(5),
            ack_stall_ms: 200 + 200 * random.below(5),
            tick_ms: [25, 50, 100][random.below(3) as usize],
            segment_bytes,
            batch_bytes_max: 1 << (10 + random.below(6)),
            retention_bytes: random.one_in(3).then_some(segment_bytes * 3),
            fault_ms: [150, 400, 1000, 3000][random.below(4) as usize],
            client_ms: [5, 15, 40, 120][random.below(4) as usize],
            trouble_ms: 4_000 + random.below(16_000),
            interleave_in: 2 + random.below(12),
            lost_answer_in: [4, 20, 1000][random.below(3) as usize],
            faults: random.next_u64() | random.next_u64(),
        }
    }

    /// Nothing is answered before it is synced.
    pub(crate) fn is_sync(&self) -> bool {
        self.flush == Some(FlushMode::Sync)
    }

    pub(crate) fn config(&self, machine: u64) -> GroupConfig {
        let flush = if self.is_sync() { Flush::Sync } else { Flush::Async };
        GroupConfig {
            log: LogConfig { segment_bytes: self.segment_bytes, flush, new_id: Some([machine as u8; 16]) },
            retention: Retention { max_age_ms: 1 << 40, max_bytes: self.retention_bytes }.into(),
            inbox_bytes_max: 1 << 20,
            batch_bytes_max: self.batch_bytes_max,
            cached_bytes: 0,
            checks: TransactionChecks { every_ms: 1000, max: 3 }.into(),
        }
    }
}
