//! Where the programs of a run meet, so that the leader is killed when messages of all of them are on their way.
//!
//! ```text
//!   play 0 ── sends ──┐        ┌── sends ──▶ …
//!   play 1 ── sends ──┤ strike ├── sends ──▶ …       who has ended is not waited for
//! ```

use std::ops::Range;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::blows::Blows;

/// One meeting point for a run.
#[derive(Debug)]
pub(crate) struct Rendezvous {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    /// Plays that have not ended.
    playing: usize,
    /// Plays that wait for the next blow; never more than `playing`.
    waiting: usize,
    /// Blows still to come.
    left: usize,
    blows: Blows,
}

/// A play that takes part for as long as this lives.
#[derive(Debug)]
pub(crate) struct Seat<'a>(&'a Rendezvous);

impl Rendezvous {
    /// For so many plays and blows.
    pub(crate) fn new(plays: usize, blows: usize) -> Self {
        let state = State { playing: plays, waiting: 0, left: blows, blows: Blows::default() };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// The place of one play.
    pub(crate) fn seat(&self) -> Seat<'_> {
        Seat(self)
    }

    /// Kills whenever all plays that have not ended wait for it, until none is left to come.
    pub(crate) fn strike(&self, mut kill: impl FnMut() -> Range<u64>) {
        let _end = End(self);
        loop {
            let all_wait = |state: &mut State| state.left > 0 && state.waiting < state.playing;
            let state =
                self.changed.wait_while(self.lock(), all_wait).unwrap_or_else(PoisonError::into_inner);
            if state.left == 0 || state.playing == 0 {
                return;
            }
            drop(state);
            let blow_ms = kill();
            let mut state = self.lock();
            state.blows.add(blow_ms);
            state.left -= 1;
            state.waiting = 0;
            self.changed.notify_all();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat<'_> {
    /// Whether a blow is still to come.
    pub(crate) fn expects_blow(&self) -> bool {
        self.0.lock().left > 0
    }

    /// Waits for the next blow; false when none comes.
    pub(crate) fn take_blow(&self) -> bool {
        let mut state = self.0.lock();
        if state.left == 0 {
            return false;
        }
        let before = state.blows.count();
        state.waiting += 1;
        self.0.changed.notify_all();
        let has_not_come = |state: &mut State| state.blows.count() == before && state.left > 0;
        let state = self.0.changed.wait_while(state, has_not_come).unwrap_or_else(PoisonError::into_inner);
        state.blows.count() > before
    }

    /// Those that have fallen.
    pub(crate) fn blows(&self) -> Blows {
        self.0.lock().blows.clone()
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.0.lock().playing -= 1;
        self.0.changed.notify_all();
    }
}

/// Nobody waits for blows that do not come, also when a kill panics.
struct End<'a>(&'a Rendezvous);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.lock().left = 0;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn blows_fall_when_all_wait_and_who_has_ended_is_not_waited_for() {
        let rendezvous = Rendezvous::new(3, 2);
        let waiting = AtomicUsize::new(0);
        let at_blows = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for takes in [0, 1, 2] {
                let seat = rendezvous.seat();
                let waiting = &waiting;
                scope.spawn(move || {
                    for _ in 0..takes {
                        waiting.fetch_add(1, Ordering::SeqCst);
                        assert!(seat.take_blow());
                    }
                    assert!(seat.blows().count() >= takes);
                });
            }
            rendezvous.strike(|| {
                at_blows.lock().unwrap().push(waiting.load(Ordering::SeqCst));
                0..1
            });
        });
        assert_eq!(*at_blows.lock().unwrap(), [2, 3]);
    }

    #[test]
    fn a_kill_that_panics_lets_everybody_go() {
        let rendezvous = Rendezvous::new(1, 1);
        let struck = std::thread::scope(|scope| {
            let seat = rendezvous.seat();
            scope.spawn(move || assert!(!seat.take_blow()));
            scope.spawn(|| rendezvous.strike(|| panic!("no leader"))).join()
        });
        assert!(struck.is_err());
    }
}
