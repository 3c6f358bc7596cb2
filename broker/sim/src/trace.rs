//! What happened, as a checksum of all of it and the last lines.

use std::collections::VecDeque;
use std::fmt::Write;

/// The record of a story.
pub(crate) struct Trace {
    checksum: u64,
    lines_max: usize,
    last: VecDeque<String>,
}

impl Trace {
    pub(crate) fn new(lines_max: usize) -> Self {
        Self { checksum: 0, lines_max, last: VecDeque::new() }
    }

    /// Nobody wants to know.
    pub(crate) fn is_silent(&self) -> bool {
        self.lines_max == 0
    }

    pub(crate) fn note(&mut self, what: std::fmt::Arguments<'_>) {
        let oldest = if self.last.len() < self.lines_max { None } else { self.last.pop_front() };
        let mut line = oldest.unwrap_or_default();
        line.clear();
        // Writing to a string cannot fail.
        let _ = line.write_fmt(what);
        for byte in line.bytes() {
            // FNV-1a
            self.checksum = (self.checksum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
        }
        self.last.push_back(line);
    }

    pub(crate) fn checksum(&self) -> u64 {
        self.checksum
    }

    pub(crate) fn last_lines(&self) -> Vec<String> {
        self.last.iter().cloned().collect()
    }
}
