//! How much is held: messages that were received and are not done.
//!
//! ```text
//!   Cache: 1024 messages, 64 MiB ── shared out evenly ──▶ Share of each receive loop ──▶ Slot of each message
//!                                                            ▲ a loop waits for room        │ dropped: there is room
//! ```
//!
//! Promise: no more messages are held than the limit, or one for each receive loop if those are more. Bytes are known only when
//! they are here: each loop goes beyond its share of them by one receive at most.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// What is held of one consumer.
#[derive(Debug)]
pub(crate) struct Cache {
    messages_max: usize,
    bytes_max: usize,
    shares: AtomicUsize,
    messages: AtomicUsize,
    bytes: AtomicUsize,
}

/// What one receive loop may hold.
#[derive(Debug)]
pub(crate) struct Share {
    cache: Arc<Cache>,
    messages: AtomicUsize,
    bytes: AtomicUsize,
    freed: Notify,
}

/// The room of one message, until it is dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    share: Arc<Share>,
    bytes: usize,
}

impl Cache {
    pub(crate) fn new(messages_max: usize, bytes_max: usize) -> Self {
        let none = AtomicUsize::default;
        Self { messages_max, bytes_max, shares: none(), messages: none(), bytes: none() }
    }

    /// Messages and bytes that are held.
    pub(crate) fn held(&self) -> (usize, usize) {
        (self.messages.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }

    pub(crate) fn share(self: &Arc<Self>) -> Arc<Share> {
        self.shares.fetch_add(1, Ordering::Relaxed);
        let none = AtomicUsize::default;
        Arc::new(Share { cache: self.clone(), messages: none(), bytes: none(), freed: Notify::new() })
    }
}

impl Share {
    /// Waits until there is room; returns for how many messages.
    pub(crate) async fn room(&self) -> usize {
        loop {
            let freed = self.freed.notified();
            let room = self.free();
            if room > 0 {
                return room;
            }
            freed.await;
        }
    }

    pub(crate) fn take(self: &Arc<Self>, bytes: usize) -> Slot {
        for (messages, sum) in [(&self.messages, &self.bytes), (&self.cache.messages, &self.cache.bytes)] {
            messages.fetch_add(1, Ordering::Relaxed);
            sum.fetch_add(bytes, Ordering::Relaxed);
        }
        Slot { share: self.clone(), bytes }
    }

    fn free(&self) -> usize {
        let shares = self.cache.shares.load(Ordering::Relaxed).max(1);
        if self.bytes.load(Ordering::Relaxed) >= (self.cache.bytes_max / shares).max(1) {
            return 0;
        }
        let messages_max = (self.cache.messages_max / shares).max(1);
        messages_max.saturating_sub(self.messages.load(Ordering::Relaxed))
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.cache.shares.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let Self { share, bytes } = self;
        for (messages, sum) in [(&share.messages, &share.bytes), (&share.cache.messages, &share.cache.bytes)]
        {
            messages.fetch_sub(1, Ordering::Relaxed);
            sum.fetch_sub(*bytes, Ordering::Relaxed);
        }
        share.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn a_full_share_has_room_again_when_a_message_is_done() {
        let cache = Arc::new(Cache::new(4, 1000));
        let (one, other) = (cache.share(), cache.share());
        assert_eq!(one.room().now_or_never(), Some(2));
        let held = [one.take(10), one.take(10)];
        assert_eq!(cache.held(), (2, 20));
        assert_eq!(one.room().now_or_never(), None);
        assert_eq!(other.room().now_or_never(), Some(2), "its share is its own");
        drop(held);
        assert_eq!((one.room().now_or_never(), cache.held()), (Some(2), (0, 0)));
    }

    #[test]
    fn bytes_fill_a_share_as_well() {
        let cache = Arc::new(Cache::new(100, 1000));
        let share = cache.share();
        let held = share.take(1000);
        assert_eq!(share.room().now_or_never(), None);
        drop(held);
        assert_eq!(share.room().now_or_never(), Some(100));
    }

    #[test]
    fn a_loop_that_ended_leaves_its_share_to_the_others() {
        let cache = Arc::new(Cache::new(1, 1));
        let (one, other) = (cache.share(), cache.share());
        assert_eq!(one.room().now_or_never(), Some(1), "at least one message each");
        drop(other);
        let cache = Arc::new(Cache::new(8, 8));
        let (one, other) = (cache.share(), cache.share());
        drop(other);
        assert_eq!(one.room().now_or_never(), Some(8));
    }
}
