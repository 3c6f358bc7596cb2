//! Writes a run file block by block.

use std::io::IoSlice;
use std::sync::Arc;

use crate::Position;
use crate::disk::{Disk, File};
use crate::timeline::{TimelineError, Timer};

use super::codec::{self, BLOCK_TIMERS, Footer, Mark};
use super::{FOLDER, Run, path_of, refused};

const BUFFER_BYTES: usize = 256 << 10;

/// A run file being written; it is not there for anyone before `finish`.
pub(crate) struct RunWriter {
    number: u32,
    file: Arc<dyn File>,
    buffer: Vec<u8>,
    /// Bytes written before the buffer.
    written: u64,
    /// The block being filled.
    block: Vec<Timer>,
    /// Floors are those of single blocks until the run is finished.
    marks: Vec<Mark>,
    timers: u64,
    last_position: Position,
    digest: u32,
}

impl RunWriter {
    pub(crate) fn create(disk: &dyn Disk, number: u32) -> Result<Self, TimelineError> {
        let file = disk.create(&path_of(number)).map_err(refused(number))?;
        Ok(Self {
            number,
            file,
            buffer: codec::opening(number).to_vec(),
            written: 0,
            block: Vec::with_capacity(BLOCK_TIMERS),
            marks: Vec::new(),
            timers: 0,
            last_position: Position(0),
            digest: 0,
        })
    }

    /// Appends a timer, which must come after those before it.
    pub(crate) fn put(&mut self, timer: Timer) -> Result<(), TimelineError> {
        if self.block.len() == BLOCK_TIMERS {
            self.put_block()?;
        }
        self.block.push(timer);
        Ok(())
    }

    /// Completes the file and syncs it and its name.
    ///
    /// # Panics
    /// If nothing was put.
    pub(crate) fn finish(mut self, disk: &dyn Disk) -> Result<Run, TimelineError> {
        let last = self.block.last().expect("a run has timers").key();
        self.put_block()?;
        let mut floor = Position(u64::MAX);
        for mark in self.marks.iter_mut().rev() {
            floor = floor.min(mark.floor);
            mark.floor = floor;
        }
        self.marks.shrink_to_fit();
        let (timers, last_position, digest) = (self.timers, self.last_position, self.digest);
        let footer = Footer { timers, first_position: floor, last_position, last, digest };
        assert_eq!(self.at(), footer.marks_at());
        codec::encode_marks(self.number, footer.marks_at(), &self.marks, &mut self.buffer);
        let at = self.at();
        self.buffer.extend_from_slice(&footer.encode(self.number, at));
        self.write_out()?;
        self.file.sync().map_err(refused(self.number))?;
        disk.sync_dir(FOLDER).map_err(refused(self.number))?;
        Ok(Run::finished(self.number, footer, self.marks, self.file))
    }

    fn at(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    fn put_block(&mut self) -> Result<(), TimelineError> {
        let at = self.at();
        let crc = codec::encode_block(self.number, at, &self.block, &mut self.buffer);
        self.digest = codec::digest(self.digest, at, crc);
        let mut floor = Position(u64::MAX);
        for timer in &self.block {
            floor = floor.min(timer.position);
            self.last_position = self.last_position.max(timer.position);
        }
        self.marks.push(Mark { key: self.block[0].key(), floor });
        self.timers += self.block.len() as u64;
        self.block.clear();
        if self.buffer.len() >= BUFFER_BYTES {
            self.write_out()?;
        }
        Ok(())
    }

    fn write_out(&mut self) -> Result<(), TimelineError> {
        let slices = [IoSlice::new(&self.buffer)];
        self.file.write_at(&slices, self.written).map_err(refused(self.number))?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}
