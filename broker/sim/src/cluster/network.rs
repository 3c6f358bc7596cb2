//! Connections between members: each ordered pair has its own, as the real members dial each other.
//!
//! ```text
//!   orders --turn--> wire: frames on their way, each with its time --> the receiver's driver
//! ```
//!
//! Frames of a connection arrive in order or not at all; a connection that breaks may deliver a part of what is on the
//! way, even after its successor has begun. In wild stories frames also overtake each other and come twice.

use std::collections::{BTreeMap, VecDeque};

use crds::group_record::{GroupRecord, MemberId, Seen, Version};
use replica::event::Message;
use store::log::EpochStart;
use store::{Epoch, Position};

use engine::group::Seed;
use store::log::SegmentSpan;

/// What one member sends another.
#[derive(Clone)]
pub(crate) enum Frame {
    Message { message: Message, body: Body },
    Relay { base: Version, record: Box<GroupRecord> },
    Ask,
    Seen(Box<Seen>),
}

/// What comes with a message.
#[derive(Clone)]
pub(crate) enum Body {
    None,
    Span { segment: SegmentSpan, start: Position, end: Position, bytes: Vec<u8> },
    Seed { log_id: [u8; 16], segment_bytes: u64, epochs: Vec<EpochStart>, state: Box<Seed> },
}

/// What the writer of a connection does next.
pub(crate) enum Order {
    Send(Frame),
    Stream(Ship),
    Halt,
}

/// A shipment of the log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ship {
    pub(crate) epoch: Epoch,
    pub(crate) session: u64,
    pub(crate) at: Position,
}

/// One connection.
pub(crate) struct Conn {
    pub(crate) from: usize,
    pub(crate) from_run: u64,
    pub(crate) member: MemberId,
    pub(crate) to: usize,
    pub(crate) to_run: u64,
    pub(crate) to_member: MemberId,
    pub(crate) orders: VecDeque<Order>,
    pub(crate) ship: Option<Ship>,
    pub(crate) on_way: VecDeque<(u64, Frame)>,
    /// A turn of the writer is planned.
    pub(crate) is_called: bool,
    /// It can be sent to.
    pub(crate) is_open: bool,
    /// What has not arrived by then never does.
    pub(crate) until_ms: Option<u64>,
    pub(crate) stalled_since: Option<u64>,
}

/// All of them.
pub(crate) struct Network {
    pub(crate) conns: BTreeMap<u64, Conn>,
    /// The open connection of each ordered pair.
    pub(crate) open: Vec<Vec<Option<u64>>>,
    /// Nothing gets through from the first to the second.
    pub(crate) cut: Vec<Vec<bool>>,
    made: u64,
    pub(crate) delay_ms: u64,
    /// Frames overtake each other and come twice.
    pub(crate) is_wild: bool,
    /// Parts of the log that may be on the way at a time.
    pub(crate) window: usize,
    pub(crate) chunk_bytes: usize,
}

impl Network {
    pub(crate) fn new(machines: usize) -> Self {
        Self {
            conns: BTreeMap::new(),
            open: vec![vec![None; machines]; machines],
            cut: vec![vec![false; machines]; machines],
            made: 0,
            delay_ms: 3,
            is_wild: false,
            window: 4,
            chunk_bytes: 1 << 16,
        }
    }

    pub(crate) fn connect(&mut self, conn: Conn) -> u64 {
        self.made += 1;
        self.open[conn.from][conn.to] = Some(self.made);
        self.conns.insert(self.made, conn);
        self.made
    }
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Message { message, body } => write!(f, "{message:?}{body:?}"),
            Self::Relay { base, record } => write!(f, "Relay {} {record:?}", base.0),
            Self::Ask => f.write_str("Ask"),
            Self::Seen(seen) => write!(f, "Seen {seen:?}"),
        }
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::None => Ok(()),
            Self::Span { start, end, .. } => write!(f, " +log {start}..{end}"),
            Self::Seed { state, .. } => write!(f, " +seed from {}", state.start),
        }
    }
}
