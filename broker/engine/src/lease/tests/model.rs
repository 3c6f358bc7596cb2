//! One state per offset; whatever is asked, all of them are searched.

use store::Epoch;

use crate::lease::{LeaseError, Receipt};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Done,
    Ready { attempts: u16 },
    Held { serial: u32, due_ms: u64, attempt: u16 },
}

#[derive(Debug, Default)]
pub(super) struct Model {
    /// Fates of `0..next`.
    pub(super) fates: Vec<Fate>,
    /// The epoch of the last move.
    moved_in: Option<Epoch>,
}

impl Model {
    pub(super) fn expire(&mut self, now_ms: u64) {
        for fate in &mut self.fates {
            if let Fate::Held { due_ms, attempt, .. } = *fate
                && due_ms <= now_ms
            {
                *fate = Fate::Ready { attempts: attempt };
            }
        }
    }

    pub(super) fn floor(&self) -> u64 {
        self.fates.iter().position(|fate| *fate != Fate::Done).unwrap_or(self.fates.len()) as u64
    }

    pub(super) fn restart(&mut self) {
        for fate in &mut self.fates {
            if let Fate::Ready { attempts } | Fate::Held { attempt: attempts, .. } = *fate {
                *fate = Fate::Ready { attempts: if attempts < 2 { 0 } else { attempts } };
            }
        }
        while self.fates.last() == Some(&Fate::Ready { attempts: 0 }) {
            self.fates.pop();
        }
    }

    pub(super) fn move_to(&mut self, to: u64, epoch: Epoch) {
        *self = Self { fates: vec![Fate::Done; to as usize], moved_in: Some(epoch) };
    }

    pub(super) fn claim(
        &self,
        receipt: &Receipt,
        epoch: Epoch,
        tail: u64,
        now_ms: u64,
    ) -> Result<Fate, LeaseError> {
        let offset = receipt.offset.0;
        let is_current = receipt.epoch == epoch;
        if !is_current && offset < tail && self.moved_in.is_some_and(|moved_in| receipt.epoch <= moved_in) {
            return Err(LeaseError::Expired);
        }
        let Some(&fate) = self.fates.get(offset as usize) else {
            return if is_current || offset >= tail {
                Err(LeaseError::NotDelivered(receipt.offset))
            } else {
                Ok(Fate::Ready { attempts: 0 })
            };
        };
        let is_late = receipt.due_ms <= now_ms;
        match fate {
            Fate::Held { serial, due_ms, attempt }
                if is_current && (serial, attempt) == (receipt.serial, receipt.attempt) =>
            {
                if due_ms > now_ms { Ok(fate) } else { Err(LeaseError::Expired) }
            }
            Fate::Done if !is_late => Ok(fate),
            Fate::Ready { .. } if !is_current => Ok(fate),
            Fate::Held { .. } if !is_late => Err(LeaseError::Superseded),
            Fate::Done | Fate::Ready { .. } | Fate::Held { .. } => Err(LeaseError::Expired),
        }
    }
}
