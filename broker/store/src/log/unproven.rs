//! A copy that catches up: its batches call synced what was synced on other copies long ago, and not yet here.
//!
//! ```text
//!   -------- synced here --------|UNPROVEN|---- written in one go ----> sync ---> marker removed
//!                                         `durable` proves nothing here
//! ```
//!
//! To sync before each such batch would make catching up as slow as the small batches it consists of. Instead a marker
//! file says from where on recovery is not to take `durable` for a proof. Promise: without the marker each batch that
//! calls something synced was written after that was synced here.

use super::error::{OpenError, Poisoned};
use super::{Log, marker};
use crate::disk::Disk;
use crate::units::Position;

/// Name of the marker.
pub(crate) const FILE: &str = "UNPROVEN";

/// The marker moves on after so many bytes: a start writes again what lies above it.
const STEP_BYTES: u64 = 256 << 20;

impl Log {
    /// What is written from here on may call synced what is not.
    pub(crate) fn distrust(&mut self) -> Result<(), Poisoned> {
        if self.unproven.is_some_and(|from| self.tail.0 - from.0 < STEP_BYTES) {
            return Ok(());
        }
        self.shared.sync()?;
        let (disk, from) = (&self.shared.disk, self.tail);
        let marked = marker::write(&**disk, FILE, &self.shared.id, from);
        marked.map_err(|error| self.shared.poison("write", FILE.to_owned(), &error))?;
        self.unproven = Some(from);
        Ok(())
    }

    /// Makes everything last, so that batches prove again what they say.
    pub(crate) fn trust(&mut self) -> Result<(), Poisoned> {
        if self.unproven.is_none() {
            return Ok(());
        }
        self.shared.sync()?;
        let removed = marker::remove(&*self.shared.disk, FILE);
        removed.map_err(|error| self.shared.poison("write", FILE.to_owned(), &error))?;
        self.unproven = None;
        Ok(())
    }
}

/// From where on recovery has to do without proofs.
pub(crate) fn read(disk: &dyn Disk, id: &[u8; 16]) -> Result<Option<Position>, OpenError> {
    marker::read(disk, FILE, id)
}

/// Recovery has made everything last that it took.
pub(crate) fn forget(disk: &dyn Disk) -> Result<(), OpenError> {
    marker::remove(disk, FILE).map_err(|source| OpenError::Io { file: FILE.to_owned(), source })
}
