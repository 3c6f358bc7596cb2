//! Every SDK with both kinds of consumer, each on a topic and a group of its own.

use std::sync::{Mutex, PoisonError};

use e2e::sdk::{Call, Mode, Sdk};

/// An SDK and a kind of consumer.
pub(crate) type Cell = (Sdk, Mode);

/// All of them.
pub(crate) fn all() -> Vec<Cell> {
    Sdk::ALL.into_iter().flat_map(|sdk| Mode::ALL.map(|mode| (sdk, mode))).collect()
}

/// Each SDK once, the kinds of consumer in turn.
pub(crate) fn one_each() -> Vec<Cell> {
    Sdk::ALL.into_iter().zip(Mode::ALL.into_iter().cycle()).collect()
}

/// The name of a cell's topic and group.
pub(crate) fn name((sdk, mode): Cell) -> String {
    format!("{}-{}", sdk.word(), mode.word())
}

/// The call of a cell's program.
pub(crate) fn call(cell: Cell, endpoint: &str) -> Call {
    Call::new(cell.0, cell.1, endpoint, &name(cell), &name(cell))
}

/// Runs all at once, because most of their time is waiting.
///
/// # Panics
/// With everything that `wrong` found.
pub(crate) fn play(cells: &[Cell], wrong: impl Fn(Cell) -> Vec<String> + Sync) {
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
