//! Consumers that wait until there is something to read.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use engine::waiter::Waiter;

use crate::world::World;

const POLLERS_MAX: usize = 12;

/// A consumer that found nothing.
pub(crate) struct Poller {
    reader: usize,
    topic: String,
    max: usize,
    waiter: Arc<Waiter>,
}

impl World {
    /// Another consumer looks, and waits if there is nothing.
    pub(crate) fn begin_to_wait(&mut self) -> Result<(), String> {
        if self.pollers.len() >= POLLERS_MAX {
            return Ok(());
        }
        let (reader, topic) = self.pick_reading();
        let poller =
            Poller { reader, topic, max: self.pick(1, 9) as usize, waiter: Waiter::new(&self.mailbox) };
        self.look(poller)
    }

    /// A consumer goes away, woken or not.
    pub(crate) fn stop_waiting(&mut self) {
        if !self.pollers.is_empty() {
            let gone = self.pick(0, self.pollers.len() as u64) as usize;
            self.pollers.swap_remove(gone);
        }
    }

    /// All who were woken look; those who find nothing wait on.
    pub(crate) fn run_woken(&mut self) -> Result<(), String> {
        let mut at = 0;
        while at < self.pollers.len() {
            if is_woken(&self.pollers[at].waiter) {
                let poller = self.pollers.swap_remove(at);
                self.look(poller)?;
                // What one finds or gives back may wake another.
                at = 0;
            } else {
                at += 1;
            }
        }
        Ok(())
    }

    /// The consumer groups and topics that somebody waits on.
    pub(crate) fn still_waiting(&self) -> BTreeSet<(usize, String)> {
        self.pollers.iter().map(|poller| (poller.reader, poller.topic.clone())).collect()
    }

    fn look(&mut self, poller: Poller) -> Result<(), String> {
        let invisible_ms = self.pick(1, 60_000);
        let Poller { reader, topic, max, waiter } = &poller;
        if self.receive(*reader, topic, *max, invisible_ms, Some(waiter))? == 0 {
            self.pollers.push(poller);
        }
        Ok(())
    }
}

/// Whether somebody woke it since it looked last.
pub(crate) fn is_woken(waiter: &Waiter) -> bool {
    let mut context = Context::from_waker(Waker::noop());
    pin!(waiter.woken()).as_mut().poll(&mut context) == Poll::Ready(())
}
