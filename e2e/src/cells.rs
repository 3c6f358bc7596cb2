//! Every SDK with both kinds of consumer, each on a topic and a group of its own.

use std::sync::{Mutex, PoisonError};

use crate::sdk::{Mode, Sdk};

/// An SDK and a kind of consumer.
pub type Cell = (Sdk, Mode);

/// All of them.
pub fn all() -> Vec<Cell> {
    Sdk::ALL.into_iter().flat_map(|sdk| Mode::ALL.map(|mode| (sdk, mode))).collect()
}

/// Each SDK once, the kinds of consumer in turn.
pub fn one_each() -> Vec<Cell> {
    Sdk::ALL.into_iter().zip(Mode::ALL.into_iter().cycle()).collect()
}

/// Its name in those of topics and groups.
pub fn name((sdk, mode): Cell) -> String {
    format!("{}-{}", sdk.word(), mode.word())
}

/// Runs all at once, because most of their time is waiting.
///
/// # Panics
/// With everything that `wrong` found.
pub fn play(cells: &[Cell], wrong: impl Fn(Cell) -> Vec<String> + Sync) {
    let found = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for cell in cells {
            scope.spawn(|| {
                let wrong = wrong(*cell).into_iter().map(|text| format!("{}: {text}", name(*cell)));
                found.lock().unwrap_or_else(PoisonError::into_inner).extend(wrong);
            });
        }
    });
    let found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    assert!(found.is_empty(), "{}", found.join("\n"));
}
