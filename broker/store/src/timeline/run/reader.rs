//! Reads blocks of a run file; everything is verified.

use std::io;
use std::sync::Arc;

use crate::disk::{Disk, File};
use crate::timeline::{Key, TimelineError, Timer};

use super::codec::{self, FOOTER_BYTES, Footer, Mark, OPENING_BYTES};
use super::{corrupt, path_of, refused};

/// A complete run file.
pub(crate) struct Run {
    pub(crate) number: u32,
    pub(crate) footer: Footer,
    /// One per block.
    pub(crate) marks: Vec<Mark>,
    file: Arc<dyn File>,
}

impl Run {
    pub(crate) fn open(disk: &dyn Disk, number: u32) -> Result<Self, TimelineError> {
        let file = match disk.open(&path_of(number)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(TimelineError::Missing { file: path_of(number) });
            }
            Err(error) => return Err(refused(number)(error)),
        };
        let opening = read(&*file, number, 0, OPENING_BYTES)?;
        if opening != codec::opening(number) {
            return Err(corrupt(number, 0));
        }
        let len_bytes = file.len_bytes().map_err(refused(number))?;
        let end = len_bytes.saturating_sub(FOOTER_BYTES);
        let footer = Footer::decode(number, end, &read(&*file, number, end, FOOTER_BYTES)?);
        let footer = footer.ok_or_else(|| corrupt(number, end))?;
        let marks_at = footer.marks_at();
        if marks_at + footer.marks_bytes() != end {
            return Err(corrupt(number, end));
        }
        let marks = read(&*file, number, marks_at, footer.marks_bytes())?;
        let marks = codec::decode_marks(number, marks_at, &marks);
        let marks = marks.ok_or_else(|| corrupt(number, marks_at))?;
        Ok(Self { number, footer, marks, file })
    }

    /// The run that a writer has just finished.
    pub(crate) fn finished(number: u32, footer: Footer, marks: Vec<Mark>, file: Arc<dyn File>) -> Self {
        assert_eq!(marks.len() as u64, footer.blocks());
        Self { number, footer, marks, file }
    }

    /// Timers in the file, whatever became of them.
    pub(crate) fn count(&self) -> usize {
        self.footer.timers as usize
    }

    /// Whether a timer with this key may be in the file, as far as its bounds tell.
    pub(crate) fn may_hold(&self, key: Key) -> bool {
        let Footer { first_position, last_position, last, .. } = self.footer;
        (first_position..=last_position).contains(&key.1) && self.marks[0].key <= key && key <= last
    }

    /// The timer with this key, and its ordinal.
    pub(crate) fn find(&self, key: Key) -> Result<Option<(usize, Timer)>, TimelineError> {
        let block = self.block_of(key);
        let timers = self.block(block)?;
        let place = timers.binary_search_by_key(&key, Timer::key);
        Ok(place.ok().map(|place| (codec::first_ordinal(block) + place, timers[place])))
    }

    /// The block that has the key if any has.
    pub(crate) fn block_of(&self, key: Key) -> usize {
        self.marks.partition_point(|mark| mark.key <= key).saturating_sub(1)
    }

    /// The timers of a block, in order.
    pub(crate) fn block(&self, block: usize) -> Result<Vec<Timer>, TimelineError> {
        let at = codec::block_at(block);
        let count = self.footer.count(block);
        let bytes = read(&*self.file, self.number, at, codec::block_bytes(count) as u64)?;
        let timers = codec::decode_block(self.number, at, count, &bytes);
        let is_sorted = |timers: &Vec<Timer>| {
            timers[0].key() == self.marks[block].key
                && timers.is_sorted_by(|one, next| one.key() < next.key())
        };
        timers.filter(is_sorted).ok_or_else(|| corrupt(self.number, at))
    }

    /// Memory for the marks.
    pub(crate) fn memory_bytes(&self) -> u64 {
        (self.marks.capacity() * size_of::<Mark>()) as u64
    }
}

fn read(file: &dyn File, number: u32, at: u64, bytes: u64) -> Result<Vec<u8>, TimelineError> {
    let mut buffer = vec![0; bytes as usize];
    let read = file.read_at(&mut buffer, at).map_err(refused(number))?;
    if read < buffer.len() {
        return Err(corrupt(number, at + read as u64));
    }
    Ok(buffer)
}
