//! The writing end: drafts become one batch, one vectored write, and then the batch exists.

use std::io::IoSlice;
use std::sync::Arc;

use super::codec::{BatchHeader, HEADER_BYTES, RecordHeader};
use super::compose::Composer;
use super::epochs::EpochStart;
use super::error::{AppendError, OpenError, Poisoned, PrepareError, RetainError, WriteError};
use super::prepare::{Next, begin_next, is_full};
use super::segment::{DIR, PAD_BYTES_MIN, PAGE_BYTES};
use super::shared::Shared;
use super::{
    BATCH_BYTES_MAX, Draft, Kind, Log, LogConfig, LogReader, Placed, Preparer, Replay, Retention, Role,
    Stamps, crc32, recover,
};
use crate::disk::Disk;
use crate::units::{Epoch, Offset, Position, QueueId};

/// So much may wait for a sync. Recovery looks no further than this for a proof that bytes were once synced.
pub(crate) const WINDOW_BYTES: u64 = 64 << 20;

/// What links a batch to the one before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Chain {
    /// CRC of the last batch's header; `None` at the first batch that is kept.
    pub(crate) crc: Option<u32>,
    pub(crate) epoch: Epoch,
    pub(crate) written_ms: u64,
}

impl Log {
    /// Recovers the log: scans from `from.covered` and cuts a torn tail.
    ///
    /// Bytes that do not verify although they are known to have been synced are an error; a message whose body alone
    /// is damaged stays, and reading it is the error. Folding what is there is `LogReader::replay`'s; the log takes
    /// drafts after `begin_epoch`.
    pub fn open(
        disk: Arc<dyn Disk>,
        config: LogConfig,
        from: Replay,
        now_ms: u64,
    ) -> Result<Self, OpenError> {
        let recovered = recover::recover(&disk, &config, from, now_ms)?;
        let active = Arc::clone(recovered.segments.last().expect("recovery leaves a segment to write to"));
        let next = Next::new(config.segment_bytes, recovered.next);
        let shared =
            Shared::new(disk, recovered.id, recovered.segments, recovered.tail, next, recovered.epochs);
        Ok(Self {
            shared: Arc::new(shared),
            segment_bytes: config.segment_bytes,
            active,
            tail: recovered.tail,
            room_until: Position(0),
            role: Role::Follows,
            stamps: Stamps::default(),
            chain: recovered.chain,
            tails: recovered.tails,
            known_committed: recovered.committed,
            unproven: None,
            composer: Composer::default(),
        })
    }

    /// Identity of the log.
    pub fn id(&self) -> [u8; 16] {
        self.shared.id
    }

    /// The epoch of the last batch; 0 while there was none.
    pub fn last_epoch(&self) -> Epoch {
        self.chain.epoch
    }

    /// Where the epochs of the log began, oldest first; of very many only the newest. In a log whose older epochs
    /// are not known, the first one may have begun earlier than it says.
    pub fn epochs(&self) -> Vec<EpochStart> {
        self.shared.epochs.lock().list()
    }

    /// Everything below is agreed among the copies, as far as batches here state it.
    pub fn known_committed(&self) -> Position {
        self.known_committed
    }

    /// Start of the oldest segment that is kept.
    pub fn head(&self) -> Position {
        self.shared.head()
    }

    /// End of the bytes handed to the disk.
    pub fn written(&self) -> Position {
        self.tail
    }

    /// End of the bytes that survive a power cut.
    pub fn durable(&self) -> Position {
        self.shared.durable()
    }

    /// The next offset of every queue that ever had a record, in no order.
    pub fn tails(&self) -> Vec<(QueueId, Offset)> {
        self.tails.iter().map(|(&queue, &tail)| (queue, tail)).collect()
    }

    /// A reading end.
    pub fn reader(&self) -> LogReader {
        LogReader { shared: Arc::clone(&self.shared) }
    }

    /// The handle that makes the next segment ahead of its use.
    pub fn preparer(&self) -> Preparer {
        Preparer { shared: Arc::clone(&self.shared) }
    }

    /// What the headers of batches say from now on.
    pub fn stamp(&mut self, stamps: Stamps) {
        self.stamps = stamps;
    }

    /// Begins an epoch, which must be later than all before: writes the record that says so, for the caller to sync
    /// and fold. Afterwards the log takes drafts, and nothing from another copy. After `Full` it may be tried again.
    pub fn begin_epoch(&mut self, epoch: Epoch, now_ms: u64) -> Result<(Draft, Placed), AppendError> {
        let last = self.last_epoch();
        let is_later = epoch > last || self.role == Role::Begins(epoch);
        assert!(is_later, "epoch {epoch} begins after epoch {last}");
        self.role = Role::Begins(epoch);
        self.trust()?;
        let draft = Draft::control(Kind::Epoch, bytes::Bytes::new());
        let placed = self.write(std::slice::from_ref(&draft), epoch, now_ms)?[0];
        self.role = Role::Leads(epoch);
        Ok((draft, placed))
    }

    /// Writes the drafts as one batch of the epoch that was begun: all of them or, with an error, none.
    ///
    /// After `Full` and `TooLarge` the log goes on. When room becomes scarce, batches with a `Message` are refused as
    /// `Full` while others (acks, meta, links) are still taken until the disk itself refuses.
    pub fn append(&mut self, drafts: &[Draft], now_ms: u64) -> Result<Vec<Placed>, AppendError> {
        assert!(
            drafts.iter().all(|draft| !matches!(draft.kind, Kind::Epoch | Kind::Pad)),
            "only the log writes `Epoch` and `Pad`"
        );
        let Role::Leads(epoch) = self.role else { panic!("drafts before an epoch was begun") };
        if drafts.is_empty() {
            return Ok(Vec::new());
        }
        self.write(drafts, epoch, now_ms)
    }

    /// Whether `bytes` can be appended without a new segment and without a sync before.
    pub fn is_quick(&self, bytes: u64) -> bool {
        let end = self.tail.0 + bytes;
        end <= self.active.end().0 && end - self.durable().0 <= WINDOW_BYTES
    }

    /// Makes everything written so far last; returns how far that is.
    pub fn sync(&mut self) -> Result<Position, Poisoned> {
        self.shared.sync()
    }

    /// Deletes old segments that lie wholly below `keep_from` (what the newest checkpoint covers); returns the head.
    ///
    /// The segment of the last batch always stays, and so does the one before until the next has its first batch.
    pub fn retain(
        &mut self,
        now_ms: u64,
        retention: Retention,
        keep_from: Position,
    ) -> Result<Position, RetainError> {
        while let Some((oldest, second)) = self.shared.oldest_two() {
            let Some(ended_ms) = second.first_ms() else { break };
            let expired = now_ms.saturating_sub(ended_ms) > retention.max_age_ms;
            let oversize = retention.max_bytes.is_some_and(|max| self.tail.0 - oldest.start.0 > max);
            if oldest.end() > keep_from || !(expired || oversize) {
                break;
            }
            // One at a time: were several removals to last out of order, a crash would leave a hole in the log.
            let (disk, file) = (&self.shared.disk, oldest.path());
            disk.remove(&file)
                .and_then(|()| disk.sync_dir(DIR))
                .map_err(|source| RetainError { file, source })?;
            self.shared.drop_oldest();
        }
        Ok(self.head())
    }

    fn write(&mut self, drafts: &[Draft], epoch: Epoch, now_ms: u64) -> Result<Vec<Placed>, AppendError> {
        self.shared.check()?;
        let bytes = batch_bytes(drafts);
        let limit_bytes = BATCH_BYTES_MAX.min(self.segment_bytes - PAGE_BYTES);
        if bytes > limit_bytes {
            return Err(AppendError::TooLarge { bytes, limit_bytes });
        }
        if drafts.iter().any(|draft| draft.kind.holds_message()) {
            self.keep_reserve(bytes)?;
        }
        let now_ms = now_ms.max(self.chain.written_ms);
        if bytes > self.active.end().0 - self.tail.0 {
            self.roll(epoch, now_ms)?;
        }
        if self.tail.0 + bytes - self.durable().0 > WINDOW_BYTES {
            self.shared.sync()?;
        }
        let mut composer = std::mem::take(&mut self.composer);
        let (placed, crc) = self.compose(&mut composer, drafts, bytes, epoch, now_ms);
        let written = self.hand_over(&composer.slices(drafts), bytes);
        self.composer = composer;
        if let Err(error) = written {
            self.take_back(drafts, &placed);
            return Err(error.into());
        }
        self.advance(bytes, Chain { crc: Some(crc), epoch, written_ms: now_ms });
        Ok(placed)
    }

    /// Refuses messages while there is too little room for what keeps the broker going.
    pub(crate) fn keep_reserve(&mut self, bytes: u64) -> Result<(), WriteError> {
        if self.tail.0 + bytes <= self.room_until.0 {
            return Ok(()); // looked not long ago
        }
        let reserve_bytes = reserve_bytes(self.segment_bytes);
        let needed_bytes = reserve_bytes + bytes;
        let free_bytes = self.shared.disk.free_bytes().map_err(|error| {
            let file = self.active.path();
            self.shared.poison("look for room", file, &error)
        })?;
        let Some(spare_bytes) = free_bytes.checked_sub(needed_bytes) else {
            return Err(WriteError::Full { needed_bytes, free_bytes });
        };
        // Others use the disk too: look again before this log alone could have used up much of the reserve.
        self.room_until = Position(self.tail.0 + bytes + spare_bytes.min(reserve_bytes / 4));
        Ok(())
    }

    /// Ends the active segment and goes on in the next.
    fn roll(&mut self, epoch: Epoch, now_ms: u64) -> Result<(), WriteError> {
        self.pad(epoch, now_ms)?;
        self.go_on(self.segment_bytes, now_ms)
    }

    /// Goes on in the next segment, which is to have `segment_bytes`.
    pub(crate) fn go_on(&mut self, segment_bytes: u64, now_ms: u64) -> Result<(), WriteError> {
        let next = begin_next(&self.shared, segment_bytes, now_ms);
        self.active = next.map_err(|error| self.not_made(error))?;
        self.tail = self.active.first();
        self.shared.advance(self.tail);
        Ok(())
    }

    /// What it means for the log that a segment could not be made.
    pub(crate) fn not_made(&self, error: PrepareError) -> WriteError {
        match error {
            PrepareError::Full { needed_bytes, free_bytes } => WriteError::Full { needed_bytes, free_bytes },
            PrepareError::Io { file, source } => self.shared.poison("create", file, &source).into(),
        }
    }

    /// Fills the rest of the active segment.
    fn pad(&mut self, epoch: Epoch, now_ms: u64) -> Result<(), WriteError> {
        let left = self.active.end().0 - self.tail.0;
        if left < PAD_BYTES_MIN {
            return Ok(());
        }
        let (header, crc) = self.batch_header(left, 1, epoch, now_ms).encode(self.shared.seal);
        let mut buffer = Vec::with_capacity(PAD_BYTES_MIN as usize);
        buffer.extend_from_slice(&header);
        let position = Position(self.tail.0 + HEADER_BYTES);
        let record = Draft::control(Kind::Pad, bytes::Bytes::new());
        let body_bytes = (left - PAD_BYTES_MIN) as u32;
        RecordHeader { body_bytes, ..record.header(position, Offset(0), now_ms, epoch) }.encode(
            self.shared.seal,
            &[],
            &mut buffer,
        );
        self.hand_over(&[IoSlice::new(&buffer)], PAD_BYTES_MIN)?;
        self.advance(left, Chain { crc: Some(crc), epoch, written_ms: now_ms });
        Ok(())
    }

    /// Writes at the tail. Of what a full disk refused nothing remains.
    pub(crate) fn hand_over(&self, slices: &[IoSlice<'_>], needed_bytes: u64) -> Result<(), WriteError> {
        let (file, at) = (&self.active.file, self.active.at(self.tail));
        let poison = |error| WriteError::from(self.shared.poison("write", self.active.path(), &error));
        let Err(error) = file.write_at(slices, at) else { return Ok(()) };
        if !is_full(&error) {
            return Err(poison(error));
        }
        // A part may be there; the room it took is better used by others.
        file.truncate(at).map_err(poison)?;
        let free_bytes = self.shared.disk.free_bytes().unwrap_or(0);
        Err(WriteError::Full { needed_bytes, free_bytes })
    }

    /// Lays the batch out in the composer's buffer and assigns positions, offsets and times.
    fn compose(
        &mut self,
        composer: &mut Composer,
        drafts: &[Draft],
        bytes: u64,
        epoch: Epoch,
        now_ms: u64,
    ) -> (Vec<Placed>, u32) {
        let header = self.batch_header(bytes, drafts.len() as u32, epoch, now_ms);
        let (header, crc) = header.encode(self.shared.seal);
        composer.begin(&header);
        let mut placed = Vec::with_capacity(drafts.len());
        let mut position = Position(self.tail.0 + HEADER_BYTES);
        for (number, draft) in drafts.iter().enumerate() {
            debug_assert_eq!(draft.body_crc, crc32(&draft.body), "the draft's checksum is wrong");
            let offset = self.assign_offset(draft);
            let header = draft.header(position, offset, now_ms, epoch);
            composer.add(&header, self.shared.seal, draft, number);
            let bytes = header.bytes() as u32;
            placed.push(Placed { position, offset, bytes, stored_ms: now_ms });
            position.0 += u64::from(bytes);
        }
        composer.end();
        (placed, crc)
    }

    fn batch_header(&self, bytes: u64, count: u32, epoch: Epoch, now_ms: u64) -> BatchHeader {
        let durable = self.stamps.durable.unwrap_or(Position(u64::MAX)).min(self.durable());
        // One copy: what is synced is agreed.
        let committed = self.stamps.committed.map_or(durable, |committed| committed.min(self.tail));
        BatchHeader {
            start: self.tail,
            bytes: bytes as u32,
            count,
            durable,
            committed,
            epoch,
            previous_crc: self.chain.crc.unwrap_or_default(),
            written_ms: now_ms,
        }
    }

    fn assign_offset(&mut self, draft: &Draft) -> Offset {
        if matches!(draft.kind, Kind::Timed | Kind::Half) {
            return Offset(draft.due_ms);
        }
        if !draft.kind.takes_offset() || draft.queue == QueueId::NONE {
            return Offset(0);
        }
        let tail = self.tails.entry(draft.queue).or_default();
        let offset = *tail;
        tail.0 += u64::from(draft.count.max(1));
        offset
    }

    /// Gives back the offsets of drafts that were not written.
    fn take_back(&mut self, drafts: &[Draft], placed: &[Placed]) {
        for (draft, placed) in drafts.iter().zip(placed).rev().filter(|(draft, _)| draft.kind.takes_offset())
        {
            if draft.queue != QueueId::NONE {
                self.tails.insert(draft.queue, placed.offset);
            }
        }
    }

    /// Takes the batch that was just written into account.
    pub(crate) fn advance(&mut self, bytes: u64, chain: Chain) {
        if self.tail == self.active.first() {
            self.active.begin(chain.written_ms);
        }
        if chain.epoch > self.chain.epoch {
            self.shared.epochs.lock().note(chain.epoch, self.tail);
        }
        self.tail.0 += bytes;
        self.chain = chain;
        self.shared.advance(self.tail);
    }
}

/// Room that messages leave to control records, index runs and checkpoints.
fn reserve_bytes(segment_bytes: u64) -> u64 {
    (segment_bytes / 8).max(4 * PAGE_BYTES)
}

/// Length of the batch that the drafts become.
fn batch_bytes(drafts: &[Draft]) -> u64 {
    HEADER_BYTES + drafts.iter().map(Draft::bytes).sum::<u64>()
}
