//! Auto-renew: leases that last as long as the client that holds them.
//!
//! ```text
//!   receive(auto_renew) --hold--> Held ──sweep──▶ renewed for 60 s when it has less than 30 s left, up to 3 h
//!                                   │ ack, nack, dead letter: let go       session ended: ends in 1 s
//!                                   └ the connection that it went out on ended soon after: let go
//! ```
//!
//! Promise: the receipt handed out stays valid for the whole time, so nothing is translated between handles; a lease whose
//! client is gone is free after a second. Cost: one short lock of one shard per hold and per let go.
//! A message may be lost on its way to a client that lives on: SDKs drop what came when the reply does not end well. That
//! cannot be known, so what went out on a connection that ended soon after is not renewed, and comes again when its lease runs
//! out. Limit: of a client whose own connection to a relaying member breaks, while that member lives on, nothing is known.
//! Limit: kept in memory only; after a restart of the broker the leases run out by themselves.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::sync::Arc;

use engine::group::Group;
use engine::lease::Receipt;
use parking_lot::Mutex;

use crate::call::Call;
use crate::connection::Connection;
use crate::session::Session;

/// Length of a lease that is renewed, and of each renewal.
pub const LEASE_MS: u64 = 60_000;
/// How long a client may keep one message by auto-renew.
pub const HOLD_MS_MAX: u64 = 3 * 3600 * 1000;
/// A lease is given back so that it ends after this time.
pub(crate) const GIVE_BACK_MS: u64 = 1000;
/// A lease with less than this left is renewed; several sweeps fit in, so one that comes late loses nothing.
const RENEW_BELOW_MS: u64 = 30_000;
const SHARDS: usize = 64;

/// Consumer group, queue and offset: what has at most one lease at a time.
type Key = (u32, u32, u64);

#[derive(Debug, Clone)]
struct Held {
    receipt: Receipt,
    session: Arc<Session>,
    /// The client's end of the connection that the message was handed out on, and this broker's.
    remote: SocketAddr,
    connection: Arc<Connection>,
    since_ms: u64,
    due_ms: u64,
}

/// Every lease that is renewed for a client.
#[derive(Debug)]
pub(crate) struct Renewals {
    shards: Box<[Mutex<HashMap<Key, Held>>]>,
    hasher: RandomState,
}

impl Renewals {
    pub(crate) fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), hasher: RandomState::new() }
    }

    /// Keeps the lease of a message that this call brings alive from now on, as long as the session lives.
    pub(crate) fn hold(&self, receipt: &Receipt, session: &Arc<Session>, call: &Call, now_ms: u64) {
        let held = Held {
            receipt: *receipt,
            session: Arc::clone(session),
            remote: call.remote,
            connection: Arc::clone(&call.connection),
            since_ms: now_ms,
            due_ms: now_ms.saturating_add(LEASE_MS),
        };
        let key = key(receipt);
        self.shard(key).lock().insert(key, held);
    }

    /// Stops renewing: the message is done, or the client decided when it comes back.
    pub(crate) fn let_go(&self, receipt: &Receipt) {
        forget(&mut self.shard(key(receipt)).lock(), receipt);
    }

    /// How many leases are kept alive.
    pub(crate) fn count(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }

    /// Renews what is due and gives back what belonged to clients that are gone.
    pub(crate) fn sweep(&self, group: &Group, now_ms: u64) {
        for shard in &self.shards {
            let mut due = Vec::new();
            let mut orphaned = Vec::new();
            shard.lock().retain(|_, held| {
                if held.session.ended() {
                    orphaned.push(held.receipt);
                    return false;
                }
                // It is left to run out, and is then delivered again.
                let is_too_long = held.since_ms.saturating_add(HOLD_MS_MAX) <= now_ms;
                if is_too_long || held.connection.may_have_lost(held.since_ms) {
                    return false;
                }
                if held.due_ms <= now_ms.saturating_add(RENEW_BELOW_MS) {
                    held.due_ms = now_ms.saturating_add(LEASE_MS);
                    due.push(held.receipt);
                }
                true
            });
            // The engine has locks of its own: not within ours.
            give_back(group, &orphaned, now_ms);
            for receipt in due {
                if group.renew(&receipt, now_ms.saturating_add(LEASE_MS), now_ms).is_err() {
                    forget(&mut shard.lock(), &receipt);
                }
            }
        }
    }

    /// Gives back what `session` holds; `only` of one connection if that is given.
    pub(crate) fn give_back(
        &self,
        group: &Group,
        session: &Arc<Session>,
        only: Option<SocketAddr>,
        now_ms: u64,
    ) {
        for shard in &self.shards {
            let mut given = Vec::new();
            shard.lock().retain(|_, held| {
                let theirs =
                    Arc::ptr_eq(&held.session, session) && only.is_none_or(|remote| remote == held.remote);
                if theirs {
                    given.push(held.receipt);
                }
                !theirs
            });
            give_back(group, &given, now_ms);
        }
    }

    fn shard(&self, key: Key) -> &Mutex<HashMap<Key, Held>> {
        &self.shards[self.hasher.hash_one(key) as usize % SHARDS]
    }
}

/// Ends leases after a moment, so that other members get the messages.
pub(crate) fn give_back(group: &Group, receipts: &[Receipt], now_ms: u64) {
    for receipt in receipts {
        // A lease that has ended in the meantime is what was asked for.
        let _ = group.extend(receipt, GIVE_BACK_MS, now_ms);
    }
}

/// Drops the entry of this very lease; a later one of the same message stays.
fn forget(shard: &mut HashMap<Key, Held>, receipt: &Receipt) {
    let key = key(receipt);
    if shard.get(&key).is_some_and(|held| held.receipt == *receipt) {
        shard.remove(&key);
    }
}

fn key(receipt: &Receipt) -> Key {
    (receipt.group, receipt.queue.0, receipt.offset.0)
}
