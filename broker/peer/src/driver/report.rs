//! What a member tells its broker: where clients are served, and how it is.

use std::sync::Arc;

use crds::broker_config::FlushMode;
use crds::group_record::MemberId;
use replica::member::Role;
use tracing::info;

use super::Driver;
use crate::standing::{Standing, Transition};

/// A leader that heard neither another copy nor the arbiter for so long serves nobody.
const ISOLATED_MS: u64 = 4_000;
/// A leader without other copies asks the arbiter this often whether it still leads.
const DOUBT_EVERY_MS: u64 = 1_000;

impl Driver {
    /// Tells the gateway where clients are served, and whoever sends clients here whether this member leads: from the
    /// moment that the record says so, because a call that comes too early is held.
    pub(super) fn stand(&mut self) {
        let now_ms = self.now_ms();
        let led = self.leads().map(|epoch| epoch.0);
        self.led.send_if_modified(|known| std::mem::replace(known, led) != led);
        let standing = match (self.member.role(), &self.copy) {
            (Role::Leader(leader), Some(copy)) if leader.is_serving() && !self.is_isolated() => {
                Standing::Leading(Arc::clone(copy.group()))
            }
            (Role::Follower(Some(following)), _) if self.links.contains_key(&following.leader) => {
                // It may be silent since then: its connection outlives it when its machine is gone.
                self.led_ms = self.detector.heard_at(following.leader).unwrap_or(now_ms);
                Standing::Following(following.leader.ordinal)
            }
            _ => Standing::Leaderless,
        };
        if matches!(standing, Standing::Leading(_)) {
            if self.serves_since.is_none() {
                let cause = self.elected_for;
                let gap_ms = now_ms - self.led_ms;
                info!(?cause, gap_ms, "leading");
                let epoch = self.leads().unwrap_or_default();
                let transition = Transition { cause, epoch, at_ms: now_ms, gap_ms };
                // Before anybody hears that it serves: whoever asks then wants to know how it began.
                let mut status = self.status.write();
                status.tally.add(transition);
                status.transition = Some(transition);
                drop(status);
                self.serves_since = Some(transition);
            }
            self.led_ms = now_ms;
        } else {
            self.serves_since = None;
        }
        self.standing.send_if_modified(|known| {
            let is_other = !known.is_same(&standing);
            if is_other {
                *known = standing;
            }
            is_other
        });
    }

    /// Asks the arbiter when no copy says that this member still leads.
    pub(super) fn doubt(&mut self, now_ms: u64) {
        let Some(record) = self.member.seen().map(|seen| &seen.record) else { return };
        let leads = self.member.leader().is_some() && record.in_sync.len() > 1;
        let since_ms = now_ms.saturating_sub(DOUBT_EVERY_MS);
        let own = self.member.id();
        let hears = |member: &MemberId| *member != own && self.detector.heard_since(*member, since_ms);
        if leads && !record.in_sync.iter().any(hears) && now_ms >= self.doubted_ms + DOUBT_EVERY_MS {
            self.doubted_ms = now_ms;
            self.arbitration.read();
        }
    }

    /// A leader that hears nobody who counts, nor the arbiter, may have been replaced: what it handed out to consumers, the
    /// other one hands out again.
    fn is_isolated(&self) -> bool {
        let Some(record) = self.member.seen().map(|seen| &seen.record) else { return false };
        let own = self.member.id();
        let since_ms = self.now_ms().saturating_sub(ISOLATED_MS);
        let hears = |member: &MemberId| *member == own || self.detector.heard_since(*member, since_ms);
        let is_alone = record.in_sync.iter().all(|member| *member == own);
        let hears_any = record.in_sync.iter().any(|member| *member != own && hears(member));
        !is_alone && !hears_any && self.ruled_ms < since_ms
    }

    pub(super) fn note_status(&mut self) {
        let mut status = self.status.write();
        let member = &self.member;
        status.ordinal = member.id().ordinal;
        status.id = Some(member.id());
        if let Some(seen) = member.seen() {
            status.record.clone_from(&seen.record);
            (status.copies, status.ruled_ms) = (seen.request.copies, self.ruled_ms);
        }
        status.is_decided = member.is_decided();
        status.is_dirty = member.vow().is_dirty;
        status.flush = if self.flush_sync { FlushMode::Sync } else { FlushMode::Async };
        status.written = member.written();
        status.committed = member.committed();
        status.refusal = self.refusal;
        status.fault.clone_from(&self.fault);
        status.log = self.copy.as_ref().map(|copy| Arc::downgrade(copy.group()));
        status.transition = self.serves_since.or(status.transition);
        let is_counted = status.record.in_sync.contains(&member.id());
        (status.role, status.epoch, status.is_in_sync) = match member.role() {
            Role::Leader(leader) => ("leader", leader.epoch, leader.is_serving()),
            Role::Follower(Some(following)) => ("follower", following.epoch, is_counted),
            Role::Follower(None) => ("follower", member.vow().promised, false),
            Role::Candidate(_) => ("candidate", member.vow().promised, false),
            Role::Closing => ("closing", member.vow().promised, false),
            Role::Faulty(_) => ("faulty", member.vow().promised, false),
        };
        (status.sent_bytes, status.received_bytes) = (self.freight.sent_bytes(), self.received_bytes);
        let written = member.written().0;
        let copies = member.leader().into_iter().flat_map(replica::member::Leader::copies);
        status.lag_bytes = copies.map(|(of, copy)| (of.ordinal, written - copy.written.0)).collect();
    }

    /// Answers whoever waits for this member to retire.
    pub(super) fn retire(&mut self) {
        let Some((until_ms, _)) = &self.retiring else { return };
        let has_heirs = self.member.leader().is_some_and(|leader| leader.copies().next().is_some());
        // Whoever leads now would wait for this copy once it is gone: first it must not count any more.
        let counts = self.member.leader().is_none()
            && self.member.seen().is_some_and(|seen| {
                let (record, own) = (&seen.record, self.member.id());
                record.in_sync.contains(&own) && record.in_sync.len() > record.min_in_sync.max(1) as usize
            });
        let waits = (has_heirs || counts || self.reopening.is_some()) && self.now_ms() < *until_ms;
        if !waits && let Some((_, answer)) = self.retiring.take() {
            // Whoever asked may be gone by now.
            let _ = answer.send(());
        }
    }
}
