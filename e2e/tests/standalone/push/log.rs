//! What listeners did, and when each began and ended.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use client::{Consumed, Delivered};
use tokio::sync::Notify;
use tokio::time::timeout;

/// One call of a listener.
#[derive(Debug, Clone)]
pub(super) struct Handled {
    pub(super) body: String,
    pub(super) attempt: i32,
    /// Moments are counted, over all listeners.
    pub(super) began: usize,
    pub(super) ended: Option<(usize, Consumed)>,
}

#[derive(Debug, Default)]
pub(super) struct Log {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    handled: Vec<Handled>,
    moments: usize,
}

impl State {
    fn moment(&mut self) -> usize {
        self.moments += 1;
        self.moments
    }
}

impl Log {
    /// Returns the number of this call.
    pub(super) fn begin(&self, message: &Delivered) -> usize {
        let mut state = self.lock();
        let began = state.moment();
        state.handled.push(Handled { body: text(message), attempt: message.attempt, began, ended: None });
        self.changed.notify_waiters();
        state.handled.len() - 1
    }

    pub(super) fn end(&self, number: usize, consumed: Consumed) {
        let mut state = self.lock();
        let ended = state.moment();
        state.handled[number].ended = Some((ended, consumed));
        self.changed.notify_waiters();
    }

    /// Attempts of a message, as they came.
    pub(super) fn attempts(&self, body: &str) -> Vec<i32> {
        self.of(|other| other == body).iter().map(|one| one.attempt).collect()
    }

    pub(super) fn bodies(&self) -> BTreeSet<String> {
        self.of(|_| true).into_iter().map(|one| one.body).collect()
    }

    /// Calls for some messages, in the order in which they began.
    pub(super) fn of(&self, wanted: impl Fn(&str) -> bool) -> Vec<Handled> {
        self.lock().handled.iter().filter(|one| wanted(&one.body)).cloned().collect()
    }

    /// # Panics
    /// When it is not so within `limit`.
    pub(super) async fn wait_for(&self, what: &str, limit: Duration, is_so: impl Fn(&[Handled]) -> bool) {
        let waiting = async {
            loop {
                let changed = self.changed.notified();
                if is_so(&self.lock().handled) {
                    return;
                }
                changed.await;
            }
        };
        let ended = timeout(limit, waiting).await;
        assert!(ended.is_ok(), "{what}: not within {limit:?}; {} done", done(&self.lock().handled).len());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn text(message: &Delivered) -> String {
    String::from_utf8_lossy(&message.body).into_owned()
}

/// Bodies of those that are done.
pub(super) fn done(handled: &[Handled]) -> BTreeSet<&str> {
    let is_done = |one: &&Handled| matches!(one.ended, Some((_, Consumed::Done)));
    handled.iter().filter(is_done).map(|one| one.body.as_str()).collect()
}

/// # Panics
/// When one began before the one before it ended.
pub(super) fn assert_one_at_a_time(handled: &[Handled]) {
    for pair in handled.windows(2) {
        let ended = pair[0].ended.map(|(at, _)| at);
        assert!(ended.is_some_and(|ended| ended < pair[1].began), "at the same time: {pair:?}");
    }
}
