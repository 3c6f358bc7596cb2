//! Clients that send messages in order, for later and in transactions all the time, and check what comes.
//!
//! ```text
//!   sender of a kind   ──▶ fates: has to come, may come, must not come   ┐
//!   consumer of a kind ──▶ deliveries, in the order of their arrival     ┴──▶ problems
//! ```
//!
//! Promise: `finish` finds every acknowledged message that did not come, every message out of order within its message group,
//! every one that came before its time, and every one that came without being committed.
//! Not here: where messages lie (`history`), what disturbs the brokers (`members`).

mod receiving;
mod sending;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use client::{ClientBuilder, Endpoint, Producer};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use crate::traffic::Targets;
use crate::{matrix, wait};

/// A client starts within this time, or something is wrong.
const START_MAX: Duration = Duration::from_secs(20);
/// What is owed comes within this time: some transactions wait for a second question.
const OWED_MAX: Duration = Duration::from_secs(90);
/// Each call ends within this time.
const REQUEST_MAX: Duration = Duration::from_secs(5);

/// A sort of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    InOrder,
    ForLater,
    InTransaction,
}

const KINDS: [Kind; 3] = [Kind::InOrder, Kind::ForLater, Kind::InTransaction];

impl Kind {
    /// Topic and consumer group.
    const fn name(self) -> &'static str {
        match self {
            Self::InOrder => "kinds-in-order",
            Self::ForLater => "kinds-for-later",
            Self::InTransaction => "kinds-in-transaction",
        }
    }
}

/// What has to become of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Comes,
    MayCome,
    Never,
}

/// One delivery.
#[derive(Debug, Clone)]
struct Arrival {
    kind: Kind,
    body: String,
    /// In milliseconds since 1970.
    at_ms: u64,
}

/// The topics and groups that the clients need on a broker of its own.
pub fn manifests() -> String {
    manifests_of("local")
}

/// The topics and groups that the clients need in this broker cluster.
pub fn manifests_of(cluster: &str) -> String {
    let mut yaml = String::new();
    for kind in KINDS {
        let (topic_type, ordered) = match kind {
            Kind::InOrder => ("FIFO", true),
            Kind::ForLater => ("DELAY", false),
            Kind::InTransaction => ("TRANSACTION", false),
        };
        let topic = format!("type: {topic_type}\n  queues: {{perGroup: 2}}");
        let retry = "retry: {maxAttempts: 100, backoff: {custom: [1s]}}";
        matrix::object(&mut yaml, "Topic", kind.name(), cluster, &topic);
        let group = format!("consumeFrom: Earliest\n  ordered: {ordered}\n  {retry}");
        matrix::object(&mut yaml, "ConsumerGroup", kind.name(), cluster, &group);
    }
    yaml
}

/// Running clients.
#[derive(Debug)]
pub struct Kinds {
    runtime: Runtime,
    shared: Arc<Shared>,
    /// They give back the producers, whose checkers are still needed.
    senders: Vec<JoinHandle<Vec<Producer>>>,
    consumers: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    fates: Mutex<BTreeMap<(Kind, String), Fate>>,
    arrivals: Mutex<Vec<Arrival>>,
    problems: Mutex<Vec<String>>,
    stops_sending: AtomicBool,
    stops_receiving: AtomicBool,
}

impl Kinds {
    /// Starts clients of each kind, and waits until messages of each came.
    pub fn start(members: &impl Targets) -> Self {
        let endpoints: Vec<Endpoint> =
            members.endpoints().iter().map(|text| text.parse().expect("an endpoint")).collect();
        let runtime = Runtime::new().expect("a runtime");
        let shared = Arc::<Shared>::default();
        let mut senders = vec![];
        let mut consumers = vec![];
        for kind in KINDS {
            let producers = runtime.block_on(sending::producers(kind, &endpoints));
            let sending = Arc::clone(&shared);
            senders.push(match kind {
                Kind::InOrder => runtime.spawn(sending::in_order(sending, producers)),
                Kind::ForLater => runtime.spawn(sending::for_later(sending, producers)),
                Kind::InTransaction => runtime.spawn(sending::in_transactions(sending, producers)),
            });
            let readers = runtime.block_on(receiving::consumers(kind, &endpoints));
            consumers.push(runtime.spawn(receiving::receive(Arc::clone(&shared), kind, readers)));
        }
        let kinds = Self { runtime, shared, senders, consumers };
        kinds.flow();
        kinds
    }

    /// Waits until more messages of each kind have come.
    ///
    /// # Panics
    /// When they have not for a minute and a half.
    pub fn flow(&self) {
        let before = self.counts();
        wait::until("messages of each kind come", OWED_MAX, || {
            let now = self.counts();
            KINDS
                .iter()
                .all(|kind| now.get(kind) >= before.get(kind).map(|count| count + 10).as_ref().or(Some(&10)))
                .then_some(())
        });
    }

    /// Stops sending, waits for what has to come, and tells how many messages of each kind did.
    ///
    /// # Panics
    /// When something did not come, or should not have.
    pub fn finish(self) -> String {
        self.shared.stops_sending.store(true, Ordering::Relaxed);
        let stopped = self.senders.into_iter();
        let producers: Vec<_> =
            stopped.map(|sender| self.runtime.block_on(sender).expect("a sender does not panic")).collect();
        let shared = &self.shared;
        let mut owed = Vec::new();
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait::until("what is owed comes", OWED_MAX, || {
                owed = shared.owed();
                owed.is_empty().then_some(())
            });
        }));
        assert!(found.is_ok(), "{} messages never came: {:.400}", owed.len(), format!("{owed:?}"));
        drop(producers);
        shared.stops_receiving.store(true, Ordering::Relaxed);
        for consumer in self.consumers {
            self.runtime.block_on(consumer).expect("a consumer does not panic");
        }
        let mut problems = lock(&shared.problems).clone();
        problems.extend(shared.out_of_order());
        problems.extend(shared.too_early());
        problems.extend(shared.unwanted());
        let told = problems.iter().take(20).cloned().collect::<Vec<_>>().join("\n");
        assert!(problems.is_empty(), "{} problems:\n{told}", problems.len());
        let fates = lock(&shared.fates);
        let counts = KINDS.map(|kind| {
            let count = |fate| fates.iter().filter(|((of, _), is)| *of == kind && **is == fate).count();
            format!("{}: {} came, {} did not", kind.name(), count(Fate::Comes), count(Fate::Never))
        });
        counts.join("; ")
    }

    fn counts(&self) -> BTreeMap<Kind, usize> {
        let mut counts = BTreeMap::new();
        for arrival in lock(&self.shared.arrivals).iter() {
            *counts.entry(arrival.kind).or_default() += 1;
        }
        counts
    }
}

impl Shared {
    fn note(&self, kind: Kind, body: &str, fate: Fate) {
        lock(&self.fates).insert((kind, body.to_owned()), fate);
    }

    fn owed(&self) -> Vec<(Kind, String)> {
        let arrivals = lock(&self.arrivals);
        let come: BTreeSet<_> =
            arrivals.iter().map(|arrival| (arrival.kind, arrival.body.as_str())).collect();
        let fates = lock(&self.fates);
        let owed = fates
            .iter()
            .filter(|((kind, body), fate)| **fate == Fate::Comes && !come.contains(&(*kind, body.as_str())));
        owed.map(|(name, _)| name.clone()).collect()
    }

    /// A body is message group and number; what comes again does not count.
    fn out_of_order(&self) -> Vec<String> {
        let mut last: BTreeMap<String, u64> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        let mut wrong = Vec::new();
        for arrival in lock(&self.arrivals).iter().filter(|arrival| arrival.kind == Kind::InOrder) {
            let Some((group, number)) = arrival.body.split_once('.') else { continue };
            let number: u64 = number.parse().expect("a number of ours");
            if seen.insert(arrival.body.clone()) {
                let before = last.insert(group.to_owned(), number);
                if before.map_or(number != 0, |before| number != before + 1) {
                    wrong.push(format!("message {number} of group {group} came after {before:?}"));
                }
            }
        }
        wrong
    }

    /// A body is the time and a number.
    fn too_early(&self) -> Vec<String> {
        let arrivals = lock(&self.arrivals);
        let early = arrivals.iter().filter(|arrival| {
            let due = arrival.body.split_once('.').and_then(|(due, _)| due.parse().ok());
            arrival.kind == Kind::ForLater && due.is_some_and(|due: u64| arrival.at_ms < due)
        });
        early.map(|arrival| format!("{} came at {}", arrival.body, arrival.at_ms)).collect()
    }

    fn unwanted(&self) -> Vec<String> {
        let fates = lock(&self.fates);
        let arrivals = lock(&self.arrivals);
        let unwanted = arrivals.iter().filter(|arrival| {
            !matches!(fates.get(&(arrival.kind, arrival.body.clone())), Some(Fate::Comes | Fate::MayCome))
        });
        unwanted
            .map(|arrival| format!("{:?} {} came and should not have", arrival.kind, arrival.body))
            .collect()
    }
}

/// Stays with the member it is given: the next one is the caller's choice.
fn client(endpoint: &Endpoint) -> ClientBuilder {
    ClientBuilder::new(endpoint.clone()).request_timeout(REQUEST_MAX).pinned(true)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
