//! Clients that send in all the ways there are all the time, read in all the ways there are, and check what comes.
//!
//! ```text
//!   sender of a kind      ──▶ sent: has to come, may come, must not come   ┐
//!   readers of its topic  ──▶ arrivals, in their order                     ┴──▶ problems
//!
//!   kind             readers: one that takes everything, and
//!   in order         -
//!   for later        -
//!   in transactions  -
//!   in batches       filters by tag and SQL, by offset, three members of broadcasts, a group that is moved back
//!   by priority      one that reads the backlog when all is sent
//! ```
//!
//! Promise: `finish` finds every acknowledged message that did not come to each reader that wants it, every one that came to one
//! that does not, that came not as it was sent, out of order within its message group, before its time, without being
//! committed or from two places, every hole between offsets, every commit that was forgotten, a member of a broadcast that
//! did not go on where it was, a backlog that did not come from the highest level down, and a history that does not tell
//! what happened.
//! Not here: where messages lie (`history`), what disturbs the brokers (`members`).

mod by_offset;
mod history;
mod kind;
mod ledger;
mod reader;
mod receiving;
mod sending;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use client::admin::{AdminClient, AdminConfig, ConsumeFrom, MoveOffsets, MoveTo};
use client::{ClientBuilder, Endpoint, Producer};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use crate::traffic::Targets;
use crate::wait;
use kind::KINDS;
use ledger::{Fate, Ledger};
use reader::{READERS, Reader};

pub use reader::{manifests, manifests_of};

/// A client starts within this time, or something is wrong.
const START_MAX: Duration = Duration::from_secs(20);
/// What is owed comes within this time: some transactions wait for a second question.
const OWED_MAX: Duration = Duration::from_secs(90);
/// A group is moved within this time.
const MOVE_MAX: Duration = Duration::from_secs(20);
/// Each call ends within this time.
const REQUEST_MAX: Duration = Duration::from_secs(5);
/// Who reads waits so long for a first message.
const WAIT: Duration = Duration::from_millis(500);
/// A member that has said nothing for so long is cut off.
const SILENCE_MAX: Duration = Duration::from_secs(7);
/// Before another member is asked.
const AGAIN_AFTER: Duration = Duration::from_millis(50);

/// Running clients.
#[derive(Debug)]
pub struct Kinds {
    runtime: Runtime,
    endpoints: Vec<Endpoint>,
    shared: Arc<Shared>,
    /// They give back the producers, whose checkers are still needed.
    senders: Vec<JoinHandle<Vec<Producer>>>,
    readers: BTreeMap<Reader, Reading>,
}

/// A running reader.
#[derive(Debug)]
struct Reading {
    stops: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Shared {
    ledger: Mutex<Ledger>,
    stops_sending: AtomicBool,
}

/// Three times something is disturbed, with all that clients do in between; tells what came.
///
/// # Panics
/// When a promise is broken.
pub fn live_through<T: Targets>(members: &mut T, mut disturb: impl FnMut(&mut T, &Kinds)) -> String {
    let mut clients = Kinds::start(members);
    disturb(members, &clients);
    clients.start_over(members);
    clients.leave();
    disturb(members, &clients);
    clients.come_back();
    disturb(members, &clients);
    clients.finish(members)
}

impl Kinds {
    /// Starts senders of each kind and their readers, and waits until messages came to each.
    pub fn start(members: &impl Targets) -> Self {
        let endpoints = members.endpoints().iter().map(|text| text.parse().expect("an endpoint")).collect();
        let runtime = Runtime::new().expect("a runtime");
        let shared = Arc::default();
        let mut kinds = Self { runtime, endpoints, shared, senders: Vec::new(), readers: BTreeMap::new() };
        for kind in KINDS {
            let producers = kinds.runtime.block_on(sending::producers(kind, &kinds.endpoints));
            let sender = sending::send(Arc::clone(&kinds.shared), kind, producers);
            kinds.senders.push(kinds.runtime.spawn(sender));
        }
        for reader in READERS {
            kinds.begin(reader);
        }
        kinds.flow();
        kinds
    }

    /// Waits until more messages have come to each reader.
    ///
    /// # Panics
    /// When they have not for a minute and a half.
    pub fn flow(&self) {
        let before = self.counts();
        wait::until("messages come to each reader", OWED_MAX, || {
            let now = self.counts();
            before.iter().all(|(reader, before)| now[reader] >= before + 10).then_some(())
        });
    }

    /// Moves a group back to the beginning.
    fn start_over(&mut self, members: &impl Targets) {
        self.end(Reader::Before);
        let to = MoveOffsets {
            group: Reader::Again.group().to_owned(),
            to: Some(MoveTo::Place(ConsumeFrom::Earliest.into())),
            ..Default::default()
        };
        let admin = self.admin(members);
        let moves = self.runtime.block_on(wait::eventually("a group is moved back", MOVE_MAX, async || {
            admin.move_offsets(to.clone()).await.map_err(|error| error.to_string())
        }));
        assert!(!moves.is_empty() && moves.iter().all(|moved| moved.to == 0), "{moves:?}");
        self.begin(Reader::Again);
    }

    /// A member of a broadcast leaves, and what it is done with is in the log.
    fn leave(&mut self) {
        self.end(Reader::AtHome);
        self.shared.ledger().left();
        self.flow();
    }

    fn come_back(&mut self) {
        self.begin(Reader::AtHome);
    }

    /// Stops sending, waits for what has to come, and tells how many messages did.
    ///
    /// # Panics
    /// When something did not come, or should not have.
    fn finish(mut self, members: &impl Targets) -> String {
        self.shared.stops_sending.store(true, Ordering::Relaxed);
        let stopped = std::mem::take(&mut self.senders).into_iter();
        let producers: Vec<_> =
            stopped.map(|sender| self.runtime.block_on(sender).expect("a sender does not panic")).collect();
        self.settle();
        drop(producers);
        let readers: Vec<Reader> = self.readers.keys().copied().collect();
        for reading in self.readers.values() {
            reading.stops.store(true, Ordering::Relaxed);
        }
        for reader in &readers {
            self.end(*reader);
        }
        let leader = &self.endpoints[members.leader()];
        self.runtime.block_on(receiving::drain(&self.shared, Reader::Afterwards, leader));
        let traced = self.runtime.block_on(history::check(&self.shared, &self.admin(members)));
        let ledger = self.shared.ledger();
        let problems = ledger.problems();
        let told = problems.iter().take(20).cloned().collect::<Vec<_>>().join("\n");
        assert!(problems.is_empty(), "{} problems:\n{told}", problems.len());
        let count = |reader: &Reader| format!("{reader:?} {}", ledger.count(*reader));
        let counts: Vec<_> =
            readers.iter().chain([&Reader::Before, &Reader::Afterwards]).map(count).collect();
        let never = KINDS.map(|kind| ledger.fated(kind, Fate::Never)).iter().sum::<usize>();
        format!("{}; {never} rolled back; {traced} traced", counts.join(", "))
    }

    /// Waits until nothing is owed to anybody.
    fn settle(&self) {
        let mut owed = Vec::new();
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait::until("what is owed comes", OWED_MAX, || {
                let ledger = self.shared.ledger();
                owed = self.readers.keys().map(|reader| (*reader, ledger.owed(*reader))).collect();
                owed.retain(|(_, names)| !names.is_empty());
                owed.is_empty().then_some(())
            });
        }));
        let count: usize = owed.iter().map(|(_, names)| names.len()).sum();
        assert!(found.is_ok(), "{count} messages never came: {:.400}", format!("{owed:?}"));
    }

    fn begin(&mut self, reader: Reader) {
        let stops = Arc::<AtomicBool>::default();
        let (shared, stopping) = (Arc::clone(&self.shared), Arc::clone(&stops));
        let task = if reader == Reader::ByOffset {
            let consumers = self.runtime.block_on(by_offset::consumers(&self.endpoints));
            self.runtime.spawn(async move { by_offset::read(&shared, &stopping, consumers).await })
        } else {
            let consumers = self.runtime.block_on(receiving::consumers(reader, &self.endpoints));
            self.runtime.spawn(async move { receiving::receive(&shared, reader, &stopping, consumers).await })
        };
        self.readers.insert(reader, Reading { stops, task });
    }

    fn end(&mut self, reader: Reader) {
        let Reading { stops, task } = self.readers.remove(&reader).expect("it runs");
        stops.store(true, Ordering::Relaxed);
        self.runtime.block_on(task).expect("a reader does not panic");
    }

    fn admin(&self, members: &impl Targets) -> AdminClient {
        let endpoint = members.admin(members.leader()).parse().expect("an endpoint");
        let _in_runtime = self.runtime.enter();
        AdminClient::new(AdminConfig::new(endpoint)).expect("a client")
    }

    fn counts(&self) -> BTreeMap<Reader, usize> {
        let ledger = self.shared.ledger();
        self.readers.keys().map(|reader| (*reader, ledger.count(*reader))).collect()
    }
}

impl Shared {
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Stays with the members it is given: the next one is the caller's choice.
fn client(endpoints: Vec<Endpoint>) -> ClientBuilder {
    ClientBuilder::from(endpoints).request_timeout(REQUEST_MAX).pinned(true)
}
