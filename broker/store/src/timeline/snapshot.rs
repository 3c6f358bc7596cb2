//! The timeline's section of a checkpoint: runs and what of them is pending, and the timers that are only in memory.
//!
//! ```text
//!   version, next run number
//!   count of runs, { number, timers, digest, next block, count of words with removed bits, { gap, word } }
//!   count of files kept for older checkpoints, { number }
//!   { 1, due, position, bytes, queue, tag, lane, stored }, 0      timers in memory
//!   { 1, due, position }, 0                                       removals that were not looked up yet
//! ```
//!
//! Numbers are LEB128, due times and positions relative to the timer before. Its checksum is the checkpoint's business.

use crate::leb128::{Parser, Writer};
use crate::{Position, QueueId};

use super::run::NUMBER_MAX;
use super::state::OnDisk;
use super::{Background, Key, LOCKED, Timeline, Timer};

const VERSION: u64 = 1;

/// A run as a checkpoint lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) number: u32,
    pub(crate) timers: u64,
    pub(crate) digest: u32,
    pub(crate) next_block: u64,
    /// Words of removed bits that are not zero, and their places.
    pub(crate) words: Vec<(usize, u64)>,
}

/// What a section tells besides timers and removals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Section {
    pub(crate) next_number: u32,
    pub(crate) runs: Vec<Listed>,
    /// Files of runs that only older checkpoints need.
    pub(crate) dropped: Vec<u32>,
}

impl Timeline {
    pub(crate) fn snapshot_in_turn(&self, background: &Background) -> Vec<u8> {
        let mut out = Writer::default();
        let count = self.state.lock().runs.len();
        out.number(VERSION).number(u64::from(background.next_number)).number(count as u64);
        for place in 0..count {
            // Bits change only in the background's turn: they are copied for the lock to be short.
            let on_disk = self.state.lock().runs[place].clone();
            put_run(&mut out, &on_disk);
        }
        out.number(background.dropped.len() as u64);
        for dropped in &background.dropped {
            out.number(u64::from(dropped.number));
        }
        let mut before = (0, Position(0));
        self.survey(|timer| {
            put_key(&mut out, timer.key(), &mut before);
            out.number(u64::from(timer.bytes)).number(u64::from(timer.queue.0));
            out.number(u64::from(timer.tag_hash)).number(u64::from(timer.lane));
            out.near(timer.stored_ms, timer.due_ms);
        });
        out.number(0);
        self.put_removals(&mut out);
        out.bytes
    }

    fn put_removals(&self, out: &mut Writer) {
        let mut before = (0, Position(0));
        let mut keys: Vec<Key> = Vec::with_capacity(LOCKED);
        let mut from = None;
        loop {
            keys.clear();
            let state = self.state.lock();
            match from {
                None => keys.extend(state.removals.iter().take(LOCKED)),
                Some(last) => keys.extend(state.removals.range(last..).skip(1).take(LOCKED)),
            }
            drop(state);
            let Some(last) = keys.last() else { break };
            from = Some(*last);
            for key in &keys {
                put_key(out, *key, &mut before);
            }
        }
        out.number(0);
    }
}

fn put_run(out: &mut Writer, on_disk: &OnDisk) {
    let OnDisk { run, next_block, removed, .. } = on_disk;
    out.number(u64::from(run.number)).number(run.footer.timers).number(u64::from(run.footer.digest));
    out.number(*next_block as u64);
    let words = || removed.words().filter(|(place, _)| *place >= on_disk.next_ordinal() / 64);
    out.number(words().count() as u64);
    let mut next = 0;
    for (place, word) in words() {
        out.number((place - next) as u64).number(word);
        next = place + 1;
    }
}

fn put_key(out: &mut Writer, key: Key, before: &mut Key) {
    let (due_ms, position) = key;
    out.number(1).number(due_ms - before.0).near(position.0, before.1.0);
    *before = key;
}

/// Restores a section; the error is the place of the first byte that makes no sense.
pub(crate) fn restore(
    section: &[u8],
    mut insert: impl FnMut(Timer),
    mut remove: impl FnMut(Key),
) -> Result<Section, usize> {
    let mut parser = Parser { bytes: section, at: 0 };
    let (next_number, runs) = take_runs(&mut parser)?;
    let mut dropped = Vec::new();
    for _ in 0..parser.number()? {
        dropped.push(parser.u32()?);
    }
    let mut before = None;
    while let Some((due_ms, position)) = take_key(&mut parser, &mut before)? {
        insert(Timer {
            due_ms,
            position,
            bytes: parser.u32()?,
            queue: QueueId(parser.u32()?),
            tag_hash: parser.u32()?,
            lane: parser.u32()?,
            stored_ms: parser.near(due_ms)?,
        });
    }
    let mut before = None;
    while let Some(key) = take_key(&mut parser, &mut before)? {
        remove(key);
    }
    if parser.at == section.len() { Ok(Section { next_number, runs, dropped }) } else { Err(parser.at) }
}

/// The runs that a section lists.
pub(crate) fn runs_of(section: &[u8]) -> Result<Vec<Listed>, usize> {
    Ok(take_runs(&mut Parser { bytes: section, at: 0 })?.1)
}

fn take_runs(parser: &mut Parser<'_>) -> Result<(u32, Vec<Listed>), usize> {
    if parser.number()? != VERSION {
        return Err(0);
    }
    let next_number = parser.u32()?;
    if !(1..=NUMBER_MAX).contains(&next_number) {
        return Err(parser.at);
    }
    let mut runs: Vec<Listed> = Vec::new();
    for _ in 0..parser.number()? {
        let number = parser.u32()?;
        let rises = runs.last().map_or(0, |last| last.number) < number && number < next_number;
        if !rises {
            return Err(parser.at);
        }
        let (timers, digest, next_block) = (parser.number()?, parser.u32()?, parser.number()?);
        let mut words = Vec::new();
        let mut next = 0_u64;
        for _ in 0..parser.number()? {
            let place = next.checked_add(parser.number()?).filter(|place| *place <= timers / 64);
            let place = place.ok_or(parser.at)?;
            words.push((place as usize, parser.number()?));
            next = place + 1;
        }
        runs.push(Listed { number, timers, digest, next_block, words });
    }
    Ok((next_number, runs))
}

/// The next key, which must be above the one before.
fn take_key(parser: &mut Parser<'_>, before: &mut Option<Key>) -> Result<Option<Key>, usize> {
    match parser.number()? {
        0 => return Ok(None),
        1 => {}
        _ => return Err(parser.at),
    }
    let (due_before, position_before) = before.unwrap_or_default();
    let due_ms = due_before.checked_add(parser.number()?).ok_or(parser.at)?;
    let key = (due_ms, Position(parser.near(position_before.0)?));
    if before.is_some_and(|before| before >= key) {
        return Err(parser.at);
    }
    *before = Some(key);
    Ok(Some(key))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::restore;

    proptest! {
        #[test]
        fn any_bytes_are_restored_or_refused(bytes in prop::collection::vec(0..6_u8, 0..200)) {
            let section: Vec<u8> = [1].into_iter().chain(bytes).collect();
            if let Err(at) = restore(&section, |_| (), |_| ()) {
                prop_assert!(at <= section.len());
            }
        }
    }
}
