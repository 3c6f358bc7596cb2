//! Who leads this broker's group, as the calls see it.
//!
//! ```text
//!   set(Here(group))    ──▶ a new Gateway: sessions and held leases begin empty    calls are served
//!   set(There(address)) ──▶ what the Gateway before had under way ends             calls are relayed
//!   set(Nowhere(why))   ──▶ as above                                               calls are held
//! ```
//!
//! Promise: a call reads the place without a lock that anybody else could hold; who waits for a change misses none. When
//! a broker stops leading, telemetry streams and waiting receives of that time end at once, connections stay.
//! Not here: what is done with a call that is not served here (`steer`), who decides where the leader is.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use arc_swap::ArcSwap;
use engine::group::Group;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::info;
use wire::v2::Code;

use crate::figures::{Counters, Figures};
use crate::gateway::{Gateway, GatewayConfig};
use crate::refusal::Refusal;

/// Where the leader of the group is.
#[derive(Clone, Debug)]
pub enum Place {
    /// This broker leads, with this group.
    Here(Arc<Group>),
    /// Another member leads.
    There(Arc<LeaderAddress>),
    /// Nobody is known to lead.
    Nowhere(Absence),
}

/// How to reach the leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaderAddress {
    /// Number of the member.
    pub member: u32,
    /// `host:port` that serves clients.
    pub client: String,
    /// `host:port` of its admin API.
    pub admin: String,
}

/// Why nobody leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absence {
    /// This broker has just started and does not know yet.
    Starting,
    /// The members are about to agree on a leader.
    Electing,
}

/// The place of the leader over time; shared by everything that serves calls.
pub struct Leadership {
    config: Arc<GatewayConfig>,
    now_ms: Arc<dyn Fn() -> u64 + Send + Sync>,
    counters: Arc<Counters>,
    seat: ArcSwap<Seat>,
    /// One change at a time. Weak, because a closed group must be able to go.
    copy: Mutex<Weak<Group>>,
    changes: watch::Sender<()>,
    held: AtomicUsize,
}

/// A place for as long as it lasts.
pub(crate) struct Seat {
    pub(crate) post: Post,
    /// Cancelled when another place takes over.
    pub(crate) ended: CancellationToken,
}

/// A place with what serves calls there.
pub(crate) enum Post {
    Here(Arc<Gateway>),
    There(Arc<LeaderAddress>),
    Nowhere(Absence),
}

/// One call that waits for a leader.
pub(crate) struct Held<'a>(&'a AtomicUsize);

impl Leadership {
    /// The place of a broker that has just started; `now_ms` is unix time in milliseconds and never goes back.
    pub fn new(config: GatewayConfig, now_ms: Arc<dyn Fn() -> u64 + Send + Sync>) -> Arc<Self> {
        let seat = Seat { post: Post::Nowhere(Absence::Starting), ended: CancellationToken::new() };
        Arc::new(Self {
            config: Arc::new(config),
            now_ms,
            counters: Arc::default(),
            seat: ArcSwap::from_pointee(seat),
            copy: Mutex::default(),
            changes: watch::Sender::new(()),
            held: AtomicUsize::new(0),
        })
    }

    /// The only member of its group: it leads for ever.
    pub fn always(
        config: GatewayConfig,
        group: Arc<Group>,
        now_ms: Arc<dyn Fn() -> u64 + Send + Sync>,
    ) -> Arc<Self> {
        let leadership = Self::new(config, now_ms);
        leadership.set(Place::Here(group));
        leadership
    }

    /// Where the leader is now.
    pub fn get(&self) -> Place {
        match &self.seat.load().post {
            Post::Here(gateway) => Place::Here(Arc::clone(&gateway.group)),
            Post::There(leader) => Place::There(Arc::clone(leader)),
            Post::Nowhere(why) => Place::Nowhere(*why),
        }
    }

    /// The gateway that serves while this broker leads.
    pub fn gateway(&self) -> Option<Arc<Gateway>> {
        match &self.seat.load().post {
            Post::Here(gateway) => Some(Arc::clone(gateway)),
            Post::There(_) | Post::Nowhere(_) => None,
        }
    }

    /// The log that this broker holds, leading or not; none while it is closed.
    pub fn local(&self) -> Option<Arc<Group>> {
        match &self.seat.load().post {
            Post::Here(gateway) => Some(Arc::clone(&gateway.group)),
            Post::There(_) | Post::Nowhere(_) => self.copy.lock().upgrade(),
        }
    }

    /// Changes from now on; to be asked for before `get`, so that none is missed.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// The figures since the start of the broker, whoever led.
    pub fn figures(&self) -> Figures {
        let figures = self.gateway().map_or_else(|| self.counters.figures(), |gateway| gateway.figures());
        Figures { held_calls: self.held.load(Ordering::Relaxed) as u64, ..figures }
    }

    /// Whoever comes from now on finds the leader there. The same place again changes nothing.
    pub fn set(&self, place: Place) {
        let copy = self.copy.lock();
        if same(&self.seat.load().post, &place) {
            return;
        }
        info!(group = self.config.group, %place, "leadership");
        let ended = CancellationToken::new();
        let post = match place {
            Place::Here(group) => Post::Here(self.gateway_of(group, ended.clone())),
            Place::There(leader) => Post::There(leader),
            Place::Nowhere(why) => Post::Nowhere(why),
        };
        // First the new place: whom the end of the old one sends back must not meet it again.
        let before = self.seat.swap(Arc::new(Seat { post, ended }));
        drop(copy);
        before.ended.cancel();
        if let Post::Here(gateway) = &before.post {
            gateway.sessions.end_all();
        }
        self.changes.send_replace(());
    }

    /// The log that this broker keeps while another member leads: what is told about this broker is read from it.
    pub fn keep(&self, copy: &Arc<Group>) {
        *self.copy.lock() = Arc::downgrade(copy);
    }

    /// The round of every second, see [`Gateway::sweep`]; nothing while another member leads.
    pub fn sweep(&self) {
        if let Some(gateway) = self.gateway() {
            gateway.sweep();
        }
    }

    /// Cheaper than asking for the gateway.
    pub(crate) fn is_here(&self) -> bool {
        matches!(self.seat.load().post, Post::Here(_))
    }

    pub(crate) fn seat(&self) -> Arc<Seat> {
        self.seat.load_full()
    }

    /// How many groups clients are told of.
    pub fn groups(&self) -> usize {
        self.config.groups.get().len()
    }

    pub(crate) fn config(&self) -> &GatewayConfig {
        &self.config
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Unix time in milliseconds; never goes back.
    pub fn now_ms(&self) -> u64 {
        (self.now_ms)()
    }

    /// Room for one call that waits.
    pub(crate) fn hold(&self) -> Result<Held<'_>, Refusal> {
        let limit = self.config.held_max;
        if self.held.fetch_add(1, Ordering::Relaxed) >= limit {
            self.held.fetch_sub(1, Ordering::Relaxed);
            let text = format!(
                "group `{}` has no leader right now, and {limit} calls wait already, which is the limit",
                self.config.group
            );
            return Err(Refusal::new(Code::TooManyRequests, text));
        }
        Ok(Held(&self.held))
    }

    /// What a call is told that waited in vain.
    pub(crate) fn nobody(&self) -> Refusal {
        let text = format!(
            "group `{}` has no leader that can be reached, an election may be under way; try again",
            self.config.group
        );
        Refusal::new(Code::HaNotAvailable, text)
    }

    fn gateway_of(&self, group: Arc<Group>, ended: CancellationToken) -> Arc<Gateway> {
        let (config, counters) = (Arc::clone(&self.config), Arc::clone(&self.counters));
        Gateway::new(config, group, Arc::clone(&self.now_ms), counters, ended)
    }
}

fn same(post: &Post, place: &Place) -> bool {
    match (post, place) {
        (Post::Here(gateway), Place::Here(group)) => Arc::ptr_eq(&gateway.group, group),
        (Post::There(one), Place::There(other)) => one == other,
        (Post::Nowhere(one), Place::Nowhere(other)) => one == other,
        (Post::Here(_) | Post::There(_) | Post::Nowhere(_), _) => false,
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Here(_) => write!(f, "here"),
            Self::There(leader) => write!(f, "member {} at {}", leader.member, leader.client),
            Self::Nowhere(why) => write!(f, "nowhere: {why}"),
        }
    }
}

impl fmt::Display for Absence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Starting => "starting",
            Self::Electing => "electing",
        })
    }
}

impl fmt::Debug for Leadership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leadership").field("place", &self.get()).finish_non_exhaustive()
    }
}
