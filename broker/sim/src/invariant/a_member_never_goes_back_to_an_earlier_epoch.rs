//! The epoch that a member leads or follows never falls, so that no route of an earlier leader replaces a later one.

use store::Epoch;

pub(crate) struct Routes {
    latest: Vec<Epoch>,
}

impl Routes {
    pub(crate) fn new(machines: usize) -> Self {
        Self { latest: vec![Epoch(0); machines] }
    }

    pub(crate) fn wiped(&mut self, at: usize) {
        self.latest[at] = Epoch(0);
    }

    pub(crate) fn stands(&mut self, at: usize, epoch: Epoch) -> Result<(), String> {
        let latest = std::mem::replace(&mut self.latest[at], epoch);
        if latest <= epoch {
            Ok(())
        } else {
            Err(format!("member {at} goes back from epoch {latest} to {epoch}"))
        }
    }
}
