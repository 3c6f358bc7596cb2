//! The bytes of a batch before they are written: small bodies are copied into one buffer, large ones stay where they are.

use std::io::IoSlice;
use std::ops::Range;

use super::Draft;
use super::codec::{ALIGN_BYTES, RecordHeader, Seal};

/// A body from this size on is written from where it lies instead of being copied into the batch.
const OWN_SLICE_BYTES_MIN: usize = 32 << 10;

/// The buffer of a batch that was larger than this is not kept.
const BUFFER_BYTES_KEPT: usize = 8 << 20;

/// A stretch of the batch: in the buffer, or the body of a draft.
#[derive(Debug)]
enum Piece {
    Buffer(Range<usize>),
    Body(usize),
}

/// A batch under construction; kept to use its memory again.
#[derive(Debug, Default)]
pub(crate) struct Composer {
    buffer: Vec<u8>,
    pieces: Vec<Piece>,
}

impl Composer {
    /// Begins a batch, forgetting the one before.
    pub(crate) fn begin(&mut self, header: &[u8]) {
        self.buffer.clear();
        self.buffer.shrink_to(BUFFER_BYTES_KEPT);
        self.pieces.clear();
        self.buffer.extend_from_slice(header);
    }

    /// Adds the record of the draft with this number.
    pub(crate) fn add(&mut self, header: &RecordHeader, seal: Seal, draft: &Draft, number: usize) {
        header.encode(seal, &draft.head, &mut self.buffer);
        let body = &draft.body;
        if body.len() < OWN_SLICE_BYTES_MIN {
            self.buffer.extend_from_slice(body);
        } else {
            self.end();
            self.pieces.push(Piece::Body(number));
        }
        let unpadded = draft.head.len() + body.len();
        let zeros = unpadded.next_multiple_of(ALIGN_BYTES as usize) - unpadded;
        self.buffer.extend_from_slice(&[0; ALIGN_BYTES as usize][..zeros]);
    }

    /// Closes the stretch of the buffer that no piece names yet.
    pub(crate) fn end(&mut self) {
        let named = self.pieces.iter().rev().find_map(|piece| match piece {
            Piece::Buffer(range) => Some(range.end),
            Piece::Body(_) => None,
        });
        self.pieces.push(Piece::Buffer(named.unwrap_or(0)..self.buffer.len()));
    }

    /// The batch, as it goes to the disk; `drafts` as they were added.
    pub(crate) fn slices<'a>(&'a self, drafts: &'a [Draft]) -> Vec<IoSlice<'a>> {
        let bytes = self.pieces.iter().map(|piece| match piece {
            Piece::Buffer(range) => &self.buffer[range.clone()],
            Piece::Body(number) => &drafts[*number].body[..],
        });
        bytes.filter(|bytes| !bytes.is_empty()).map(IoSlice::new).collect()
    }
}
