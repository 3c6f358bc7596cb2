//! What touches the log and the promises. Whatever cannot be done here ends the process: recovery is the tested path.

use std::sync::Arc;

use crds::group_record::Cause;
use engine::group::{Planting, Seed};
use engine::writer::{CommitError, FollowError};
use replica::event::{Event, Message, Vow};
use replica::history::History;
use store::log::{EpochStart, RawError, RawSpan, SegmentSpan, Stamps};
use store::{Epoch, Position};
use tokio::sync::oneshot;
use tracing::{info, warn};

use super::Driver;
use crate::codec::{Body, SeedBody, Span};
use crate::copy::{Copy, CopyError};
use crate::log_thread::end;

impl Driver {
    pub(super) fn persist(&mut self, vow: Vow) {
        if let Some(copy) = &self.copy
            && let Err(poisoned) = copy.group().sync()
        {
            end(&poisoned);
        }
        self.file.vow = vow;
        if let Err(error) = self.file.save(&*self.shelf.disk) {
            end(&error);
        }
    }

    pub(super) fn lead(&mut self, epoch: Epoch) {
        let now_ms = self.now_ms();
        if self.copy.is_none() {
            self.copy = Some(self.shelf.open().unwrap_or_else(|error| end(&error)));
        }
        // Without this the record of the epoch would call agreed whatever is on this disk.
        self.stamp();
        let Some(copy) = &self.copy else { return };
        let freight = Arc::clone(&self.freight);
        copy.pen().on_written(Arc::new(move || freight.grow()));
        let start = copy.pen().lead(epoch, now_ms).unwrap_or_else(|error| end(&error));
        info!(%epoch, %start, "elected");
        self.freight.load(Some(copy.group().log_reader()));
        self.freight.commit(copy.group().published());
        self.last_epoch = epoch;
        self.elected_for = self.member.seen().map_or(Cause::Started, |seen| seen.record.cause);
        let ended = copy.end();
        self.events.push_back(Event::Began { start, written: ended.written, durable: ended.durable });
    }

    /// Stops serving at once; the log is opened again beside everything else.
    pub(super) fn step_down(&mut self) {
        warn!("no longer leading");
        self.freight.load(None);
        self.refusal = None;
        let Some(copy) = self.copy.take() else { return };
        copy.pen().close();
        let (opened, reopening) = oneshot::channel();
        let again = self.shelf.clone();
        tokio::task::spawn_blocking(move || {
            copy.close(&again.slot);
            // The driver may have stopped meanwhile.
            let _ = opened.send(again.open());
        });
        self.reopening = Some(reopening);
    }

    pub(super) fn reopened(&mut self, opened: Result<Copy, CopyError>) {
        let copy = opened.unwrap_or_else(|error| end(&error));
        self.last_epoch = copy.group().epoch();
        let disk = copy.on_disk();
        self.copy = Some(copy);
        self.process(Event::Closed(disk), Body::None);
        // Whoever leads now has said so while the log was closed, and waits for this copy.
        let heard: Vec<_> = self.member.heard().iter().map(|(&from, beat)| (from, beat.clone())).collect();
        for (from, beat) in heard {
            self.process(Event::Received { from, message: Message::Beat(beat) }, Body::None);
        }
    }

    pub(super) fn append(&mut self, body: Option<Body>) {
        let (Some(Body::Span(span)), Some(copy)) = (body, &self.copy) else { return self.lose_session() };
        let Span { segment_start, segment_bytes, start, end: span_end, bytes } = &span;
        let raw = RawSpan {
            segment: SegmentSpan { start: Position(*segment_start), bytes: *segment_bytes },
            start: Position(*start),
            end: Position(*span_end),
            bytes,
        };
        match copy.pen().append_raw(raw) {
            Ok(()) => self.received_bytes += bytes.len() as u64,
            Err(FollowError::Log(RawError::Poisoned(poisoned))) => end(&poisoned),
            Err(error) => {
                warn!(%error, "the leader's log is not taken");
                return self.lose_session();
            }
        }
        if self.flush_sync
            && let Err(poisoned) = copy.group().sync()
        {
            end(&poisoned);
        }
        let appended = self.appended();
        self.events.extend(appended);
    }

    /// How far the log is, for the leader.
    fn appended(&mut self) -> Option<Event> {
        let copy = self.copy.as_ref()?;
        let group = copy.group();
        let began: Vec<_> = if group.epoch() == self.last_epoch {
            Vec::new()
        } else {
            let last_epoch = std::mem::replace(&mut self.last_epoch, group.epoch());
            group.epochs().into_iter().filter(|began| began.epoch > last_epoch).collect()
        };
        let (durable, written) = (group.durable(), group.written());
        self.durable = durable;
        Some(Event::Appended { written, durable, began })
    }

    /// The leader wants to know what a power cut would leave here.
    pub(super) fn tell_durable(&mut self) {
        let Some(copy) = &self.copy else { return };
        if self.member.following().is_some()
            && copy.group().durable() != self.durable
            && let Some(appended) = self.appended()
        {
            self.process(appended, Body::None);
        }
    }

    /// The leader will align the logs again.
    fn lose_session(&mut self) {
        if let Some(following) = self.member.following() {
            self.events.push_back(Event::Gone(following.leader));
        }
    }

    pub(super) fn plant(&mut self, body: Option<Body>) {
        let Some(Body::Seed(body)) = body else { return self.lose_session() };
        let seed = match Seed::decode(&body.state) {
            Ok(seed) => seed,
            Err(why) => {
                warn!(why, "the leader's seed is not taken");
                return self.lose_session();
            }
        };
        if let Some(copy) = self.copy.take() {
            copy.close(&self.shelf.slot);
        }
        let epochs = body
            .epochs
            .iter()
            .map(|&(epoch, start)| EpochStart { epoch: Epoch(epoch), start: Position(start) });
        let planting =
            Planting { log_id: body.log_id, segment_bytes: body.segment_bytes, epochs: epochs.collect() };
        let copy = self.shelf.plant(&planting, &seed).unwrap_or_else(|error| end(&error));
        info!(start = %seed.start, "began anew with the leader's seed");
        self.last_epoch = copy.group().epoch();
        let epochs = copy.group().epochs();
        let history = History { epochs, written: copy.group().written() };
        self.copy = Some(copy);
        self.events.push_back(Event::Planted { history });
    }

    pub(super) fn seed_of(&self, copy: &Copy) -> Result<SeedBody, engine::group::RetainError> {
        let group = copy.group();
        let seed = group.seed()?;
        let before = group.epochs().into_iter().filter(|began| began.start < seed.start);
        Ok(SeedBody {
            log_id: group.log_id(),
            start: seed.start.0,
            segment_bytes: self.shelf.config.log.segment_bytes,
            epochs: before.map(|began| (began.epoch.0, began.start.0)).collect(),
            state: seed.encode().into(),
        })
    }

    pub(super) fn truncate(&mut self, to: Position) {
        let Some(copy) = &self.copy else { return };
        info!(from = %copy.group().written(), %to, "giving back what was never agreed");
        if let Err(error) = copy.pen().truncate(to) {
            end(&error);
        }
        self.last_epoch = copy.group().epoch();
    }

    pub(super) fn commit(&mut self, to: Position) {
        let Some(copy) = &self.copy else { return };
        if to <= copy.group().published() {
            return;
        }
        match copy.pen().commit(to) {
            Ok(()) | Err(CommitError::Closed) => {}
            Err(error) => end(&error),
        }
        if self.member.leader().is_some() {
            self.freight.commit(to);
            self.stamp();
            // What came while the pen was taken was left to its holder.
            self.shelf.slot.write_here(&self.shelf.clock);
        }
    }

    /// What the headers of later batches will say.
    fn stamp(&self) {
        let (Some(copy), Some(leader), Some(seen)) = (&self.copy, self.member.leader(), self.member.seen())
        else {
            return;
        };
        let own = (self.member.id(), copy.group().durable());
        let durable = leader.durable_everywhere(&seen.record, own);
        copy.pen().stamp(Stamps { durable: Some(durable), committed: Some(self.member.committed()) });
    }

    pub(super) fn solo(&mut self, is_solo: bool) {
        let Some(copy) = &self.copy else { return };
        if is_solo {
            copy.pen().stamp(Stamps::default());
        } else {
            // Before somebody writes a batch that is not agreed at once.
            self.stamp();
        }
        match copy.pen().set_solo(is_solo) {
            Ok(()) | Err(CommitError::Closed) => {}
            Err(error) => end(&error),
        }
        self.freight.is_solo(is_solo);
        if is_solo {
            self.freight.commit(copy.group().published());
        } else {
            self.events.push_back(Event::SoloEnded(copy.end()));
        }
    }
}
