//! Clients that send and receive all the time, and write down what they were told.
//!
//! ```text
//!   sender 0..n   one message after the other; after an error the next member is asked, with a new try of the message
//!   consumer      one receive after the other, from whichever member answers
//!   reader        at the end: the whole topic, by a group that has read nothing yet
//! ```
//!
//! Promise: every try and every delivery is in the history, also those that ended badly.
//! Not here: whether the history holds together (`history`), what disturbs the brokers (`members`).

mod receiving;
mod sending;

use std::fmt::Write as _;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use client::{ClientBuilder, Endpoint};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use crate::history::{Delivery, History, Outcome, Send};
use crate::members::Members;
use crate::{matrix, wait};

/// The topic that everything is sent to.
pub const TOPIC: &str = "traffic";
/// The group that receives all the time.
pub const LIVE: &str = "traffic-live";
/// The group that reads everything at the end.
pub const READER: &str = "traffic-reader";
const QUEUES: u32 = 4;
/// A client starts within this time, or something is wrong.
const START_MAX: Duration = Duration::from_secs(20);
/// Messages flow again, or are all received, within this time, or something is wrong.
const FLOW_MAX: Duration = Duration::from_secs(30);

/// The members that clients talk to, wherever they run.
pub trait Targets {
    /// `host:port` of each for clients; they stay the same, whatever happens to the members.
    fn endpoints(&self) -> Vec<String>;
    /// `host:port` of one for tools, as of now.
    fn admin(&self, member: usize) -> String;
    /// The member that leads. Waits for it.
    fn leader(&self) -> usize;
}

impl Targets for Members {
    fn endpoints(&self) -> Vec<String> {
        self.endpoints()
    }

    fn admin(&self, member: usize) -> String {
        self.admins().swap_remove(member)
    }

    fn leader(&self) -> usize {
        self.leader()
    }
}

/// The topic and the groups that traffic needs on a broker of its own.
pub fn manifests() -> String {
    manifests_of("local")
}

/// The topic and the groups that traffic needs in this broker cluster.
pub fn manifests_of(cluster: &str) -> String {
    let mut yaml = String::new();
    matrix::object(&mut yaml, "Topic", TOPIC, cluster, &format!("queues: {{perGroup: {QUEUES}}}"));
    for group in [LIVE, READER] {
        let rest = "consumeFrom: Earliest\n  retry: {maxAttempts: 100, backoff: {custom: [1s]}}";
        matrix::object(&mut yaml, "ConsumerGroup", group, cluster, rest);
    }
    yaml
}

/// How the clients behave.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Senders that choose a member by themselves.
    pub senders: usize,
    /// Whether one more sender leaves the choice to the client library, which has all addresses.
    pub library: bool,
    /// When a call is given up. A member that is cut off says nothing: then this is the time until another is asked.
    pub request_timeout: Duration,
    /// From the end of one send to the next.
    pub pause: Duration,
}

impl Default for Plan {
    fn default() -> Self {
        let request_timeout = Duration::from_secs(3);
        Self { senders: 3, library: true, request_timeout, pause: Duration::from_millis(3) }
    }
}

/// Running clients.
#[derive(Debug)]
pub struct Traffic {
    runtime: Runtime,
    shared: Arc<Shared>,
    senders: Vec<JoinHandle<()>>,
    consumer: JoinHandle<()>,
    endpoints: Vec<Endpoint>,
    disturbed_ms: Vec<Range<u64>>,
}

/// What the clients write down.
#[derive(Debug)]
struct Shared {
    plan: Plan,
    watch: wait::Stopwatch,
    sends: Mutex<Vec<Send>>,
    deliveries: Mutex<Vec<Delivery>>,
    acknowledged: AtomicUsize,
    /// Receives that failed, and why.
    lost_receives: Mutex<Vec<(Range<u64>, String)>>,
    stops_sending: AtomicBool,
    stops_receiving: AtomicBool,
}

impl Traffic {
    /// Starts as `plan` says and waits until messages flow.
    pub fn start(members: &impl Targets, plan: Plan) -> Self {
        let endpoints: Vec<Endpoint> =
            members.endpoints().iter().map(|text| text.parse().expect("an endpoint")).collect();
        let runtime = Runtime::new().expect("a runtime");
        let shared = Arc::new(Shared {
            plan,
            watch: wait::Stopwatch::start(),
            sends: Mutex::default(),
            deliveries: Mutex::default(),
            acknowledged: AtomicUsize::new(0),
            lost_receives: Mutex::default(),
            stops_sending: AtomicBool::new(false),
            stops_receiving: AtomicBool::new(false),
        });
        let mut senders = Vec::new();
        for sender in 0..plan.senders + usize::from(plan.library) {
            let producers = if sender < plan.senders {
                runtime.block_on(sending::by_turns(&shared, &endpoints))
            } else {
                runtime.block_on(sending::by_library(&shared, &endpoints))
            };
            senders.push(runtime.spawn(sending::send_all(Arc::clone(&shared), producers, sender)));
        }
        let consumers = runtime.block_on(receiving::by_turns(&endpoints));
        let consumer = runtime.spawn(receiving::receive_all(Arc::clone(&shared), consumers));
        let traffic = Self { runtime, shared, senders, consumer, endpoints, disturbed_ms: Vec::new() };
        traffic.flows(50);
        traffic
    }

    /// Milliseconds since the beginning, as in the history.
    pub fn now_ms(&self) -> u64 {
        self.shared.now_ms()
    }

    /// Messages acknowledged so far.
    pub fn acknowledged(&self) -> usize {
        self.shared.acknowledged.load(Ordering::Relaxed)
    }

    /// Waits until so many more messages have been acknowledged.
    ///
    /// # Panics
    /// When they are not within half a minute.
    pub fn flows(&self, more: usize) {
        let goal = self.acknowledged() + more;
        let last = || {
            let sends = self.lock_sends();
            let last: Vec<String> = sends.iter().rev().take(5).map(|send| format!("{send:?}")).collect();
            last.join("\n")
        };
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait::until("messages flow", FLOW_MAX, || (self.acknowledged() >= goal).then_some(()));
        }));
        let said: String = if found.is_ok() { String::new() } else { last() };
        assert!(found.is_ok(), "messages do not flow; the last tries:\n{said}");
    }

    /// Notes that brokers are disturbed from now on, until `calm`. Returns when.
    pub fn disturb(&mut self) -> u64 {
        let now_ms = self.now_ms();
        self.disturbed_ms.push(now_ms..u64::MAX);
        now_ms
    }

    /// Notes that all is well again: also what was under way then has ended. Returns when.
    pub fn calm(&mut self) -> u64 {
        self.flows(20);
        let now_ms = self.now_ms();
        if let Some(range) = self.disturbed_ms.last_mut() {
            range.end = now_ms;
        }
        now_ms
    }

    /// Tries so far that were refused with this code.
    pub fn refused(&self, code: &str) -> usize {
        let is_refused =
            |send: &&Send| matches!(&send.outcome, Outcome::Refused(text) if text.starts_with(code));
        self.lock_sends().iter().filter(is_refused).count()
    }

    /// What has been sent so far.
    pub fn so_far(&self) -> History {
        History { sends: self.lock_sends().clone(), ..History::default() }
    }

    /// Stops sending, waits until everything that is stored has been received, and returns what happened.
    ///
    /// # Panics
    /// When the rest does not come within half a minute.
    pub fn finish(self, members: &impl Targets) -> History {
        self.shared.stops_sending.store(true, Ordering::Relaxed);
        for sender in self.senders {
            self.runtime.block_on(sender).expect("a sender does not panic");
        }
        let leader = members.leader();
        let mut unseen = String::new();
        let ends = self.runtime.block_on(receiving::ends(&members.admin(leader)));
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait::until("everything is received", FLOW_MAX, || {
                let seen = receiving::missing(&self.shared.lock_deliveries(), &ends);
                unseen.clear();
                let _ = write!(unseen, "{seen:?}"); // cannot fail
                seen.is_empty().then_some(())
            });
        }));
        let error = self.shared.lock_lost_receives().last().cloned();
        assert!(found.is_ok(), "never received, by queue and offset: {unseen:.300}; last failure: {error:?}");
        self.shared.stops_receiving.store(true, Ordering::Relaxed);
        self.runtime.block_on(self.consumer).expect("the consumer does not panic");
        let log = self.runtime.block_on(receiving::everything(self.endpoints[leader].clone(), &ends));
        let sends = std::mem::take(&mut *self.shared.lock_sends());
        let deliveries = std::mem::take(&mut *self.shared.lock_deliveries());
        let lost = std::mem::take(&mut *self.shared.lock_lost_receives());
        let lost_receives_ms = lost.into_iter().map(|(span_ms, _)| span_ms).collect();
        History { sends, deliveries, lost_receives_ms, log, disturbed_ms: self.disturbed_ms }
    }

    fn lock_sends(&self) -> MutexGuard<'_, Vec<Send>> {
        self.shared.lock_sends()
    }
}

impl Shared {
    fn now_ms(&self) -> u64 {
        self.watch.elapsed().as_millis() as u64
    }

    fn client(&self, endpoints: Vec<Endpoint>) -> ClientBuilder {
        // Who is given one member stays with it: the next one is the sender's choice.
        let pinned = endpoints.len() == 1;
        ClientBuilder::new(endpoints).request_timeout(self.plan.request_timeout).pinned(pinned)
    }

    fn lock_sends(&self) -> MutexGuard<'_, Vec<Send>> {
        self.sends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_lost_receives(&self) -> MutexGuard<'_, Vec<(Range<u64>, String)>> {
        self.lost_receives.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_deliveries(&self) -> MutexGuard<'_, Vec<Delivery>> {
        self.deliveries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
