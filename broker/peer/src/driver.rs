//! The driver: hears everything, asks the protocol, does what it says.
//!
//! ```text
//!   Inbound, Seen, Written, Command, tick ──► on_event ──► effects, one after the other ──┐
//!        ▲                                                                                │ their answers
//!        └────────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! One task owns everything, so nothing here is locked. Effects that touch the disk are carried out in place: before the
//! next one the last one lasts. Only opening the log again runs beside, because beats have to go on.

mod arbitration;
mod disk_effects;
mod effects;
mod report;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crds::broker_config::FlushMode;
use crds::group_record::{Cause, MemberId, Seen};
use parking_lot::RwLock;
use replica::detector::Detector;
use replica::event::{Event, Fault, Refusal};
use replica::member::{Member, Role};
use store::log::Flush;
use store::{Epoch, Position};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{debug, info, warn};

use crate::codec::{Body, Frame};
use crate::copy::{Copy, CopyError, Shelf};
use crate::mesh::{Freight, Inbound, Outbox};
use crate::standing::{Standing, Status, Transition};
use crate::vow::MemberFile;

pub(crate) use arbitration::Arbitration;
use arbitration::Ruling;

/// Timers are looked at this often.
const TICK: Duration = Duration::from_millis(25);
/// A leader that retires waits so long for a successor.
const RETIRE_MAX_MS: u64 = 8_000;

/// What a broker asks of its member.
#[derive(Debug)]
pub(crate) enum Command {
    /// Somebody else shall lead.
    HandOver(Option<u32>),
    /// Hand over if there is somebody, and never lead again; answered when it is done, or nobody is there.
    Retire(oneshot::Sender<()>),
    /// Stop.
    Stop,
}

/// Everything that a member is made of.
pub(crate) struct Driver {
    pub(crate) member: Member,
    pub(crate) detector: Detector,
    pub(crate) shelf: Shelf,
    pub(crate) file: MemberFile,
    /// When a send is answered; none: by the number of copies that are asked for.
    pub(crate) flush: Option<FlushMode>,
    flush_sync: bool,
    pub(crate) copy: Option<Copy>,
    pub(crate) freight: Arc<Freight>,
    pub(crate) arbitration: Arbitration,
    /// The epoch that it leads.
    pub(crate) led: watch::Sender<Option<u32>>,
    pub(crate) links: BTreeMap<MemberId, Outbox>,
    pub(crate) standing: watch::Sender<Standing>,
    pub(crate) status: Arc<RwLock<Status>>,
    /// A copy that is being opened again.
    reopening: Option<oneshot::Receiver<Result<Copy, CopyError>>>,
    events: VecDeque<Event>,
    refusal: Option<Refusal>,
    fault: Option<Fault>,
    last_epoch: Epoch,
    durable: Position,
    /// Where the log began when the protocol was told last.
    head: Position,
    /// Bytes that a leader sent.
    received_bytes: u64,
    serves_since: Option<Transition>,
    /// Why it was elected last.
    elected_for: Cause,
    /// When a leader was heard of last.
    led_ms: u64,
    /// When the arbiter, or somebody who reached it, said last who leads.
    ruled_ms: u64,
    doubted_ms: u64,
    retiring: Option<(u64, oneshot::Sender<()>)>,
    is_retired: bool,
    is_stopped: bool,
}

/// What the driver waits for.
enum Input {
    Mesh(Inbound),
    Ruling(Ruling),
    Written,
    Tick,
    Reopened(Result<Copy, CopyError>),
    Command(Command),
}

/// Where inputs come from.
pub(crate) struct Inputs {
    pub(crate) mesh: mpsc::Receiver<Inbound>,
    pub(crate) rulings: mpsc::Receiver<Ruling>,
    pub(crate) commands: mpsc::Receiver<Command>,
}

/// The parts that a driver is made of at its start.
pub(crate) struct Parts {
    pub(crate) member: Member,
    pub(crate) detector: Detector,
    pub(crate) flush: Option<FlushMode>,
    pub(crate) shelf: Shelf,
    pub(crate) file: MemberFile,
    pub(crate) copy: Option<Copy>,
    pub(crate) freight: Arc<Freight>,
    pub(crate) arbitration: Arbitration,
    pub(crate) led: watch::Sender<Option<u32>>,
    pub(crate) standing: watch::Sender<Standing>,
    pub(crate) status: Arc<RwLock<Status>>,
}

impl Driver {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { member, detector, flush, shelf, file, copy, freight, arbitration, led, standing, status } =
            parts;
        let last_epoch = copy.as_ref().map_or(Epoch(0), |copy| copy.group().epoch());
        let led_ms = shelf.clock.now_ms();
        Self {
            member,
            detector,
            flush,
            flush_sync: flush.unwrap_or_default() == FlushMode::Sync,
            shelf,
            file,
            copy,
            freight,
            arbitration,
            led,
            links: BTreeMap::new(),
            standing,
            status,
            reopening: None,
            events: VecDeque::new(),
            refusal: None,
            fault: None,
            last_epoch,
            durable: Position(0),
            head: Position(0),
            received_bytes: 0,
            serves_since: None,
            elected_for: Cause::Started,
            led_ms,
            ruled_ms: led_ms,
            doubted_ms: 0,
            retiring: None,
            is_retired: false,
            is_stopped: false,
        }
    }

    /// Runs until it is stopped; gives the copy back, to be closed in order.
    pub(crate) async fn run(mut self, mut inputs: Inputs) -> (Option<Copy>, MemberFile) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let input = tokio::select! {
                Some(inbound) = inputs.mesh.recv() => Input::Mesh(inbound),
                Some(ruling) = inputs.rulings.recv() => Input::Ruling(ruling),
                () = self.freight.told() => Input::Written,
                _ = ticks.tick() => Input::Tick,
                opened = reopened(&mut self.reopening) => Input::Reopened(opened),
                Some(command) = inputs.commands.recv() => Input::Command(command),
            };
            self.take(input);
            if self.is_stopped && self.reopening.is_none() {
                return (self.copy, self.file);
            }
        }
    }

    fn now_ms(&self) -> u64 {
        self.shelf.clock.now_ms()
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Mesh(inbound) => self.inbound(inbound),
            Input::Ruling(ruling) => self.ruling(ruling),
            Input::Written => self.wrote(),
            Input::Tick => self.tick(),
            Input::Reopened(opened) => self.reopened(opened),
            Input::Command(Command::HandOver(to)) => self.hand_over(to),
            Input::Command(Command::Retire(answer)) => {
                self.retiring = Some((self.now_ms() + RETIRE_MAX_MS, answer));
                self.is_retired = true;
                self.process(Event::Leave, Body::None);
                self.hand_over(None);
            }
            Input::Command(Command::Stop) => self.is_stopped = true,
        }
        self.settle_flush();
        self.stand();
        self.retire();
    }

    fn inbound(&mut self, inbound: Inbound) {
        let now_ms = self.now_ms();
        match inbound {
            Inbound::Up { member, outbox } => {
                self.detector.heard(member, now_ms);
                self.links.insert(member, outbox);
                self.process(Event::Beat, Body::None);
            }
            Inbound::Down { member } => {
                self.links.retain(|_, outbox| !outbox.is_closed());
                self.process(Event::Gone(member), Body::None);
            }
            Inbound::Refused { ordinal } => self.detector.refused(ordinal, now_ms),
            Inbound::Frame { from, frame } => {
                self.detector.heard(from, now_ms);
                self.frame(from, frame);
            }
        }
    }

    fn frame(&mut self, from: MemberId, frame: Frame) {
        match frame {
            Frame::Message { message, body } => self.process(Event::Received { from, message }, body),
            Frame::Relay { base, record } => self.arbitration.relay(from, base, &record),
            Frame::Ask => self.arbitration.ask(from),
            Frame::Seen(seen) => match serde_json::from_str::<Seen>(&seen) {
                Ok(seen) => {
                    self.ruled_ms = self.now_ms();
                    self.process(Event::Saw(seen), Body::None);
                }
                Err(error) => debug!(%from, %error, "a relayed record cannot be read"),
            },
            Frame::Greeting(_) => debug!(%from, "a second greeting"),
        }
    }

    fn ruling(&mut self, ruling: Ruling) {
        match ruling {
            Ruling::Seen(seen) => {
                self.ruled_ms = self.now_ms();
                self.status.write().arbiter_error = None;
                self.process(Event::Saw(seen), Body::None);
            }
            Ruling::SeenFor { to, seen } => {
                if let (Some(outbox), Ok(text)) = (self.links.get(&to), serde_json::to_string(&seen)) {
                    outbox.send(Frame::Seen(text));
                }
                self.process(Event::Saw(seen), Body::None);
            }
            Ruling::Unreachable(why) => {
                let mut status = self.status.write();
                if status.arbiter_error.as_ref() != Some(&why) {
                    warn!(why, "no word from the arbiter: who leads goes on, nobody new can lead");
                }
                status.arbiter_error = Some(why);
            }
            // The others may reach it; whose answer comes first counts.
            Ruling::Relay(frame) => {
                for outbox in self.links.values() {
                    outbox.send(frame.clone());
                }
            }
        }
    }

    /// The leader's log went on.
    fn wrote(&mut self) {
        let Some(copy) = &self.copy else { return };
        if matches!(self.member.role(), Role::Leader(_)) {
            self.process(Event::Wrote(copy.end()), Body::None);
        }
    }

    fn tick(&mut self) {
        let now_ms = self.now_ms();
        self.tell_head();
        if self.member.leader().is_some() {
            self.wrote();
        } else {
            self.tell_durable();
        }
        for event in self.detector.tick(&self.member, now_ms) {
            if let Event::Campaign { cause, .. } = &event {
                if self.is_retired {
                    continue;
                }
                info!(?cause, "standing for election");
            }
            self.process(event, Body::None);
        }
        self.doubt(now_ms);
        self.arbitration.renew(self.member.leader().is_some().then(|| self.member.id()), now_ms);
        self.note_status();
    }

    /// Retention takes the beginning of the log; whoever lacks that has to begin anew.
    fn tell_head(&mut self) {
        let Some(head) = self.copy.as_ref().map(|copy| copy.group().head()) else { return };
        if head != self.head {
            self.head = head;
            self.process(Event::Trimmed { head }, Body::None);
        }
    }

    fn hand_over(&mut self, to: Option<u32>) {
        if self.member.leader().is_some() {
            self.detector.handing(self.now_ms());
            self.process(Event::HandOver(to), Body::None);
        }
    }

    /// One copy has to be on the disk before a send is answered; several of them need not, unless somebody says so.
    fn settle_flush(&mut self) {
        let copies = self.member.seen().map_or(1, |seen| seen.request.copies);
        let flush = self.flush.unwrap_or_else(|| FlushMode::of_copies(copies));
        self.flush_sync = flush == FlushMode::Sync;
        self.member.set_flush_sync(self.flush_sync);
        if let Some(copy) = &self.copy {
            copy.group().set_flush(if self.flush_sync { Flush::Sync } else { Flush::Async });
        }
    }

    /// Lets the protocol take notice, and everything that follows from it.
    fn process(&mut self, event: Event, body: Body) {
        if matches!(event, Event::Saw(_)) && !matches!(self.member.role(), Role::Faulty(_)) {
            // Said again if it is still so.
            self.fault = None;
        }
        let mut body = Some(body);
        self.events.push_back(event);
        while let Some(event) = self.events.pop_front() {
            for effect in self.member.on_event(event) {
                self.carry_out(effect, &mut body);
            }
        }
    }
}

async fn reopened(
    waiting: &mut Option<oneshot::Receiver<Result<Copy, CopyError>>>,
) -> Result<Copy, CopyError> {
    let Some(receiver) = waiting else { return std::future::pending().await };
    let opened = receiver.await;
    *waiting = None;
    opened
        .unwrap_or_else(|_| Err(CopyError::Thread(std::io::Error::other("the thread that opens it is gone"))))
}
