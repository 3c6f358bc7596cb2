//! Sessions: which clients are there, told by their id.
//!
//! ```text
//!   settings, heartbeat, receive with auto-renew --touch--> Session ... silent for 120 s, or termination --> ended
//! ```
//!
//! Promise: an ended session never lives again, so whoever holds one learns of the end; a client that comes back gets a new
//! one. Cost: one short lock of one shard per look-up; sends and acks do not look up.
//! Limit: two clients with one id share a session (one SDK makes such ids in containers); a termination that comes over
//! another connection than the telemetry stream therefore ends only what its own connection holds (`renew`).

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use wire::v2::{ClientType, Code, FilterExpression};

use crate::call::Call;
use crate::refusal::Refusal;

/// A client that has not been heard of for so long is gone.
pub const SILENCE_MS_MAX: u64 = 120_000;
const SHARDS: usize = 64;

/// One client.
#[derive(Debug)]
pub struct Session {
    /// The id that the client chose.
    pub client_id: String,
    seen_ms: AtomicU64,
    ended: AtomicBool,
    profile: Mutex<Profile>,
}

/// What a client told about itself; the latest word counts.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Kind of client.
    pub client_type: ClientType,
    /// The consumer group it is a member of.
    pub group: Option<String>,
    /// Topics it declared to send to or to read from.
    pub topics: Vec<String>,
    /// What it reads and which messages of it, as its settings say.
    pub reads: Vec<Read>,
    /// When its settings came last (unix ms); none: they did not come yet.
    pub settled_ms: Option<u64>,
    /// Name of its machine, as its settings say.
    pub hostname: String,
    /// Language as stated in its headers.
    pub language: String,
    /// Version as stated in its headers.
    pub version: String,
    /// Address of its latest connection.
    pub remote: SocketAddr,
    /// How long it waits for a reply.
    pub request_timeout_ms: u64,
    /// Its latest telemetry stream.
    pub stream: Option<OpenStream>,
}

/// A topic that a client reads.
#[derive(Clone, Debug, PartialEq)]
pub struct Read {
    /// Its name.
    pub topic: String,
    /// Which of its messages; `None`: all.
    pub expression: Option<FilterExpression>,
}

/// The way to tell a client something.
#[derive(Clone, Debug)]
pub struct OpenStream {
    /// Later streams have greater numbers.
    pub number: u64,
    /// The connection.
    pub remote: SocketAddr,
    /// Frames for the client.
    pub(crate) outbox: mpsc::Sender<Bytes>,
    /// Ends it.
    pub(crate) silenced: CancellationToken,
}

type Shard = Mutex<HashMap<String, Arc<Session>>>;

/// All sessions of a gateway.
#[derive(Debug)]
pub(crate) struct Sessions {
    shards: Box<[Shard]>,
    hasher: RandomState,
    per_shard_max: usize,
}

/// The usual request timeout of every SDK.
pub(crate) const REQUEST_TIMEOUT_MS: u64 = 3000;

impl Session {
    fn new(call: &Call, now_ms: u64) -> Self {
        let profile = Profile {
            client_type: ClientType::Unspecified,
            group: None,
            topics: Vec::new(),
            reads: Vec::new(),
            settled_ms: None,
            hostname: String::new(),
            language: call.language().to_owned(),
            version: call.version().to_owned(),
            remote: call.remote,
            request_timeout_ms: REQUEST_TIMEOUT_MS,
            stream: None,
        };
        Self {
            client_id: call.client_id().to_owned(),
            seen_ms: AtomicU64::new(now_ms),
            ended: AtomicBool::new(false),
            profile: Mutex::new(profile),
        }
    }

    /// Whether the client terminated or fell silent.
    pub fn ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// A copy of what the client told.
    pub fn profile(&self) -> Profile {
        self.profile.lock().clone()
    }

    /// When the client was last heard of.
    pub fn seen_ms(&self) -> u64 {
        self.seen_ms.load(Ordering::Relaxed)
    }

    pub(crate) fn request_timeout_ms(&self) -> u64 {
        self.profile.lock().request_timeout_ms
    }

    pub(crate) fn seen(&self, now_ms: u64) {
        self.seen_ms.fetch_max(now_ms, Ordering::Relaxed);
    }

    pub(crate) fn learn(&self, change: impl FnOnce(&mut Profile)) {
        change(&mut self.profile.lock());
    }

    /// Forgets the telemetry stream, unless a later one took its place.
    pub(crate) fn detach(&self, stream: u64) {
        let mut profile = self.profile.lock();
        if profile.stream.as_ref().is_some_and(|latest| latest.number == stream) {
            profile.stream = None;
        }
    }

    fn end(&self) {
        self.ended.store(true, Ordering::Release);
    }

    /// As `end`. A stream that is open still belongs to nobody: one SDK opens a last one while it closes, and waits for its end.
    fn expire(&self) {
        self.end();
        if let Some(stream) = self.profile.lock().stream.take() {
            stream.silenced.cancel();
        }
    }
}

impl Sessions {
    /// A table of up to about `sessions_max` clients.
    pub(crate) fn new(sessions_max: usize) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { shards, hasher: RandomState::new(), per_shard_max: sessions_max.div_ceil(SHARDS) }
    }

    /// The session of this client, which lives for another while; a new one if there is none.
    pub(crate) fn touch(&self, call: &Call, now_ms: u64) -> Result<Arc<Session>, Refusal> {
        let mut shard = self.shard(call.client_id()).lock();
        if let Some(session) = shard.get(call.client_id()) {
            session.seen(now_ms);
            return Ok(Arc::clone(session));
        }
        if shard.len() >= self.per_shard_max {
            let limit = self.per_shard_max * SHARDS;
            let text = format!("too many clients: about {limit} are connected, which is the limit");
            return Err(Refusal::new(Code::TooManyRequests, text));
        }
        let session = Arc::new(Session::new(call, now_ms));
        shard.insert(call.client_id().to_owned(), Arc::clone(&session));
        Ok(session)
    }

    pub(crate) fn find(&self, client_id: &str) -> Option<Arc<Session>> {
        self.shard(client_id).lock().get(client_id).cloned()
    }

    /// Ends the session of a client; none if there was none.
    pub(crate) fn end(&self, client_id: &str) -> Option<Arc<Session>> {
        let session = self.shard(client_id).lock().remove(client_id)?;
        session.end();
        Some(session)
    }

    /// Ends every session.
    pub(crate) fn end_all(&self) {
        for shard in &self.shards {
            shard.lock().drain().for_each(|(_, session)| session.end());
        }
    }

    /// Ends the sessions of clients that fell silent; tells how many.
    pub(crate) fn expire(&self, now_ms: u64) -> usize {
        let mut expired = 0;
        for shard in &self.shards {
            shard.lock().retain(|_, session| {
                let silent = session.seen_ms().saturating_add(SILENCE_MS_MAX) <= now_ms;
                if silent {
                    session.expire();
                    expired += 1;
                }
                !silent
            });
        }
        expired
    }

    pub(crate) fn count(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }

    /// The producers of a topic that can be told something, in the order of their ids.
    pub(crate) fn producers_of(&self, topic: &str) -> Vec<Arc<Session>> {
        let can_be_told = |session: &Arc<Session>| {
            let profile = session.profile.lock();
            profile.client_type == ClientType::Producer
                && profile.stream.is_some()
                && profile.topics.iter().any(|declared| declared == topic)
        };
        self.all().into_iter().filter(can_be_told).collect()
    }

    /// Shows `tell` what each client told; of each, and of a part of them, no lock is held for longer than that takes.
    pub(crate) fn each_profile(&self, mut tell: impl FnMut(&Profile)) {
        for shard in &self.shards {
            let sessions: Vec<_> = shard.lock().values().cloned().collect();
            for session in sessions {
                tell(&session.profile.lock());
            }
        }
    }

    /// All sessions, in the order of their ids.
    pub(crate) fn all(&self) -> Vec<Arc<Session>> {
        let mut all: Vec<_> =
            self.shards.iter().flat_map(|shard| shard.lock().values().cloned().collect::<Vec<_>>()).collect();
        all.sort_by(|a, b| a.client_id.cmp(&b.client_id));
        all
    }

    fn shard(&self, client_id: &str) -> &Shard {
        &self.shards[self.hasher.hash_one(client_id) as usize % SHARDS]
    }
}
