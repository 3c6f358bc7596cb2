//! A setting that may change while everything runs.

use std::sync::Arc;

use parking_lot::RwLock;

/// A value that all clones share. Whoever reads it twice may see two values.
#[derive(Clone, Debug, Default)]
pub struct Setting<T>(Arc<RwLock<T>>);

impl<T: Clone> Setting<T> {
    /// The value of now.
    pub fn get(&self) -> T {
        self.0.read().clone()
    }

    /// Changes it for everybody.
    pub fn set(&self, value: T) {
        *self.0.write() = value;
    }
}

impl<T> From<T> for Setting<T> {
    fn from(value: T) -> Self {
        Self(Arc::new(RwLock::new(value)))
    }
}
