//! Talking to the arbiter beside the driver: it may take seconds, or never answer.

use std::time::Duration;

use arbiter::{Arbiter, ProposeError, ReadError};
use crds::group_record::{GroupRecord, MemberId, Seen, Version};
use tokio::sync::mpsc;
use tracing::debug;

use crate::codec::Frame;

/// A leader shows itself in the record this often.
const RENEW_EVERY_MS: u64 = 5_000;
/// Requests that wait for the arbiter; more are dropped, they are made again.
const WAITING_MAX: usize = 8;

/// The driver's side.
pub(crate) struct Arbitration {
    requests: mpsc::Sender<Request>,
    renew_at_ms: u64,
}

/// What comes back.
#[derive(Debug)]
pub(crate) enum Ruling {
    /// The record as it is.
    Seen(Seen),
    /// The record that another member asked for.
    SeenFor { to: MemberId, seen: Seen },
    /// No answer, or none that can be used.
    Unreachable(String),
    /// Another member should ask.
    Relay(Frame),
}

enum Request {
    Propose { base: Version, record: Box<GroupRecord>, on_behalf: Option<MemberId> },
    Read { on_behalf: Option<MemberId> },
    Renew(MemberId),
}

impl Arbitration {
    /// Starts the tasks that talk to the arbiter.
    pub(crate) fn start(arbiter: Arbiter) -> (Self, mpsc::Receiver<Ruling>) {
        let (requests, waiting) = mpsc::channel(WAITING_MAX);
        let (rulings, receiver) = mpsc::channel(WAITING_MAX);
        tokio::spawn(arbiter.clone().watch());
        tokio::spawn(follow_changes(arbiter.clone(), rulings.clone()));
        tokio::spawn(serve(arbiter, waiting, rulings));
        (Self { requests, renew_at_ms: 0 }, receiver)
    }

    pub(crate) fn propose(&self, base: Version, record: GroupRecord) {
        self.request(Request::Propose { base, record: Box::new(record), on_behalf: None });
    }

    pub(crate) fn read(&self) {
        self.request(Request::Read { on_behalf: None });
    }

    /// Another member cannot reach the arbiter.
    pub(crate) fn relay(&self, from: MemberId, base: Version, record: &str) {
        match GroupRecord::from_json(record) {
            Ok(record) => {
                self.request(Request::Propose { base, record: Box::new(record), on_behalf: Some(from) });
            }
            Err(error) => debug!(%from, %error, "a relayed proposal cannot be read"),
        }
    }

    pub(crate) fn ask(&self, from: MemberId) {
        self.request(Request::Read { on_behalf: Some(from) });
    }

    /// Shows the leader to people every now and then.
    pub(crate) fn renew(&mut self, leader: Option<MemberId>, now_ms: u64) {
        let Some(leader) = leader else {
            self.renew_at_ms = now_ms + RENEW_EVERY_MS;
            return;
        };
        if now_ms >= self.renew_at_ms {
            self.renew_at_ms = now_ms + RENEW_EVERY_MS;
            self.request(Request::Renew(leader));
        }
    }

    fn request(&self, request: Request) {
        // When it is full, the arbiter does not answer; the protocol asks again.
        let _ = self.requests.try_send(request);
    }
}

async fn follow_changes(arbiter: Arbiter, rulings: mpsc::Sender<Ruling>) {
    let mut changes = arbiter.changes();
    loop {
        let latest = changes.borrow_and_update().clone();
        let ruling = match latest {
            Some(Ok(seen)) => Some(Ruling::Seen(seen)),
            Some(Err(error)) => Some(Ruling::Unreachable(error.to_string())),
            None => None,
        };
        if let Some(ruling) = ruling
            && rulings.send(ruling).await.is_err()
        {
            return;
        }
        if changes.changed().await.is_err() {
            return;
        }
    }
}

async fn serve(arbiter: Arbiter, mut waiting: mpsc::Receiver<Request>, rulings: mpsc::Sender<Ruling>) {
    let mut was_unreachable = false;
    while let Some(request) = waiting.recv().await {
        let frame = request.frame();
        // It may not answer now either: let the others try at the same time.
        if was_unreachable
            && let Some(frame) = frame.clone()
            && rulings.send(Ruling::Relay(frame)).await.is_err()
        {
            return;
        }
        let (answer, on_behalf) = ask(&arbiter, request).await;
        let is_unreachable = matches!(answer, Err(Failure::Unreachable(_)));
        if is_unreachable
            && !was_unreachable
            && let Some(frame) = frame
            && rulings.send(Ruling::Relay(frame)).await.is_err()
        {
            return;
        }
        was_unreachable = is_unreachable;
        let ruling = match (answer, on_behalf) {
            (Ok(seen), None) => Ruling::Seen(seen),
            (Ok(seen), Some(to)) => Ruling::SeenFor { to, seen },
            (Err(Failure::Unreachable(why) | Failure::Refused(why)), _) => Ruling::Unreachable(why),
        };
        if rulings.send(ruling).await.is_err() {
            return;
        }
        tokio::time::sleep(Duration::ZERO).await;
    }
}

enum Failure {
    /// No answer.
    Unreachable(String),
    /// An answer, and no record.
    Refused(String),
}

async fn ask(arbiter: &Arbiter, request: Request) -> (Result<Seen, Failure>, Option<MemberId>) {
    match request {
        Request::Propose { base, record, on_behalf } => {
            (arbiter.propose(base, &record).await.or_else(of_proposal), on_behalf)
        }
        Request::Read { on_behalf } => (arbiter.read().await.map_err(of_read), on_behalf),
        Request::Renew(leader) => (arbiter.renew(&leader.to_string()).await.or_else(of_proposal), None),
    }
}

fn of_proposal(error: ProposeError) -> Result<Seen, Failure> {
    match error {
        ProposeError::Conflict(seen) => Ok(*seen),
        ProposeError::Unknown(why) => Err(Failure::Unreachable(why)),
        error @ (ProposeError::Refused(_)
        | ProposeError::Missing(_)
        | ProposeError::Format(_)
        | ProposeError::Regressed(_)) => Err(Failure::Refused(error.to_string())),
    }
}

fn of_read(error: ReadError) -> Failure {
    match error {
        ReadError::Unreachable(why) => Failure::Unreachable(why),
        error @ (ReadError::Missing(_)
        | ReadError::Format(_)
        | ReadError::Version(_)
        | ReadError::Regressed(_)) => Failure::Refused(error.to_string()),
    }
}

impl Request {
    /// The same request to another member; none if it was already somebody else's, or does not matter.
    fn frame(&self) -> Option<Frame> {
        match self {
            Self::Propose { base, record, on_behalf: None } => {
                Some(Frame::Relay { base: *base, record: record.to_json() })
            }
            Self::Read { on_behalf: None } => Some(Frame::Ask),
            Self::Propose { .. } | Self::Read { .. } | Self::Renew(_) => None,
        }
    }
}
