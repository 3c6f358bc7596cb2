//! When to try: who is silent, who does not keep up, what has had no answer for too long.
//!
//! ```text
//!   signs of life, now_ms ──► Detector::tick ──► Campaign, Stalled, Retry, HandOver, Beat
//! ```
//!
//! Nothing here decides about safety: an event at the wrong time costs a moment, never a message.

use std::collections::{BTreeMap, BTreeSet};

use crds::group_record::{Cause, GroupRecord, MemberId};
use store::Position;

use crate::event::Event;
use crate::member::{Leader, Member, Role};

/// Signs of life are sent this often.
pub const BEAT_EVERY_MS: u64 = 250;
/// Members that could stand at the same time wait so long for each better one.
const RANK_MS: u64 = 150;
/// An answer of the arbiter is asked for again after this.
const RETRY_MS: u64 = 700;
/// A successor has so long to take over.
const HAND_OVER_MS: u64 = 3000;
/// A member that finds itself the last leader waits so long for the others, to keep them in the set.
const GATHER_MS: u64 = 600;
/// A member whose machine says that nobody listens there is waited for so long: it may be starting again.
const GONE_MS: u64 = 300;
/// Silence counts for so many times longer while another member in sync still hears the leader.
const PATIENCE: u64 = 3;

/// How long is too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Silence of a leader.
    pub peer_timeout_ms: u64,
    /// A member in sync that does not acknowledge.
    pub ack_stall_ms: u64,
}

/// One member's watch.
#[derive(Clone, Debug)]
pub struct Detector {
    timing: Timing,
    started_ms: u64,
    beat_at_ms: u64,
    heard_ms: BTreeMap<MemberId, u64>,
    /// Members whose machine refuses connections: their process is gone.
    refused_ms: BTreeMap<u32, u64>,
    /// Since when there is nobody to follow.
    leaderless_ms: Option<u64>,
    asked_ms: Option<u64>,
    marks: BTreeMap<MemberId, Mark>,
    stalled: BTreeSet<MemberId>,
    handing_ms: Option<u64>,
}

/// A member in sync had to acknowledge `target` since `since_ms`.
#[derive(Clone, Copy, Debug)]
struct Mark {
    since_ms: u64,
    target: Position,
}

impl Detector {
    /// A watch that begins now.
    pub fn new(timing: Timing, now_ms: u64) -> Self {
        Self {
            timing,
            started_ms: now_ms,
            beat_at_ms: now_ms,
            heard_ms: BTreeMap::new(),
            refused_ms: BTreeMap::new(),
            leaderless_ms: None,
            asked_ms: None,
            marks: BTreeMap::new(),
            stalled: BTreeSet::new(),
            handing_ms: None,
        }
    }

    /// Something came from a member.
    pub fn heard(&mut self, member: MemberId, now_ms: u64) {
        self.heard_ms.insert(member, now_ms);
        self.refused_ms.remove(&member.ordinal);
    }

    /// Whether something came from a member since then.
    pub fn heard_since(&self, member: MemberId, since_ms: u64) -> bool {
        self.heard_ms.get(&member).is_some_and(|&heard_ms| heard_ms >= since_ms)
    }

    /// When something came from a member last.
    pub fn heard_at(&self, member: MemberId) -> Option<u64> {
        self.heard_ms.get(&member).copied()
    }

    /// Nobody listens where that member should be.
    pub fn refused(&mut self, ordinal: u32, now_ms: u64) {
        self.refused_ms.entry(ordinal).or_insert(now_ms);
    }

    /// Somebody asked for a hand-over, which may not take for ever.
    pub fn handing(&mut self, now_ms: u64) {
        self.handing_ms = Some(now_ms);
    }

    /// Members that were heard of lately.
    pub fn alive(&self, now_ms: u64) -> BTreeSet<MemberId> {
        let is_fresh = |heard_ms: u64| now_ms.saturating_sub(heard_ms) < self.timing.peer_timeout_ms;
        let is_there = |member: &MemberId| !self.refused_ms.contains_key(&member.ordinal);
        let fresh = self.heard_ms.iter().filter(|(_, heard_ms)| is_fresh(**heard_ms));
        fresh.map(|(&member, _)| member).filter(is_there).collect()
    }

    /// What it is time for.
    pub fn tick(&mut self, member: &Member, now_ms: u64) -> Vec<Event> {
        let mut events = Vec::new();
        if now_ms >= self.beat_at_ms {
            self.beat_at_ms = now_ms + BEAT_EVERY_MS;
            events.push(Event::Beat);
        }
        match member.role() {
            Role::Leader(leader) => {
                self.leaderless_ms = None;
                self.watch_copies(member, leader, now_ms, &mut events);
                self.watch_leadership(member, now_ms, &mut events);
                self.ask_again(leader.is_proposing(), now_ms, &mut events);
            }
            Role::Candidate(_) => self.ask_again(true, now_ms, &mut events),
            Role::Follower(_) => {
                self.marks.clear();
                self.handing_ms = None;
                let is_leaderless = self.watch_leader(member, now_ms, &mut events);
                self.ask_again(is_leaderless, now_ms, &mut events);
            }
            Role::Closing | Role::Faulty(_) => {}
        }
        events
    }

    /// Stands for election when the leader is gone; returns whether it is.
    fn watch_leader(&mut self, member: &Member, now_ms: u64, events: &mut Vec<Event>) -> bool {
        let Some(record) = member.seen().map(|seen| &seen.record) else { return true };
        let alive = self.alive(now_ms);
        let leader = member.following().map(|following| following.leader).or(record.leader);
        // It may be there and not lead any more: it has restarted and may have lost the end of its log.
        let leads = |leader: &MemberId| member.heard().get(leader).is_none_or(|beat| beat.leads.is_some());
        if leader.is_some_and(|leader| leader != member.id() && alive.contains(&leader) && leads(&leader)) {
            self.leaderless_ms = None;
            return false;
        }
        // Silence began when it was heard last, or when this member started to listen.
        let heard_ms =
            leader.and_then(|leader| self.heard_ms.get(&leader)).copied().unwrap_or(self.started_ms);
        let since_ms = *self.leaderless_ms.get_or_insert(heard_ms);
        if member.is_eligible()
            && now_ms.saturating_sub(since_ms) >= self.wait_ms(member, record, leader, &alive)
        {
            let is_own = record.leader.is_none_or(|leader| leader == member.id());
            let cause = if is_own { Cause::Started } else { Cause::LeaderLost };
            events.push(Event::Campaign { alive, cause });
            // Should it fail, the next try waits as long again.
            self.leaderless_ms = Some(now_ms);
        }
        true
    }

    fn wait_ms(
        &self,
        member: &Member,
        record: &GroupRecord,
        leader: Option<MemberId>,
        alive: &BTreeSet<MemberId>,
    ) -> u64 {
        let Some(leader) = leader else { return 0 };
        let others: Vec<MemberId> = record
            .in_sync
            .iter()
            .copied()
            .filter(|other| *other != member.id() && *other != leader)
            .collect();
        if leader == member.id() {
            let all_there = others.iter().all(|other| alive.contains(other));
            return if all_there { 0 } else { GATHER_MS };
        }
        let is_better = |other: &&MemberId| {
            member.heard().get(other).is_some_and(|beat| {
                alive.contains(other)
                    && (beat.written, std::cmp::Reverse(**other))
                        > (member.written(), std::cmp::Reverse(member.id()))
            })
        };
        let rank_ms = RANK_MS * others.iter().filter(is_better).count() as u64;
        let hears_it = |other: &MemberId| {
            alive.contains(other) && member.heard().get(other).is_some_and(|beat| beat.hears == Some(leader))
        };
        let is_refused = self.refused_ms.contains_key(&leader.ordinal);
        let silence_ms = match (is_refused, others.iter().any(hears_it)) {
            (true, _) => 0,
            (false, false) => self.timing.peer_timeout_ms,
            (false, true) => PATIENCE * self.timing.peer_timeout_ms,
        };
        silence_ms + rank_ms
    }

    /// Who is in sync and does not acknowledge.
    fn watch_copies(&mut self, member: &Member, leader: &Leader, now_ms: u64, events: &mut Vec<Event>) {
        let Some(record) = member.seen().map(|seen| &seen.record) else { return };
        let written = member.written();
        let copies: BTreeMap<_, _> = leader.copies().collect();
        self.marks.retain(|member, _| record.in_sync.contains(member));
        let refused_ms = &self.refused_ms;
        let is_gone = |other: MemberId| {
            refused_ms.get(&other.ordinal).is_some_and(|since_ms| now_ms.saturating_sub(*since_ms) >= GONE_MS)
        };
        let mut stalled = BTreeSet::new();
        for &other in record.in_sync.iter().filter(|other| **other != member.id()) {
            let mark = self.marks.entry(other).or_insert(Mark { since_ms: now_ms, target: written });
            if copies.get(&other).is_some_and(|copy| copy.written >= mark.target) {
                *mark = Mark { since_ms: now_ms, target: written };
            } else if now_ms.saturating_sub(mark.since_ms) >= self.timing.ack_stall_ms || is_gone(other) {
                stalled.insert(other);
            }
        }
        if stalled != self.stalled {
            self.stalled.clone_from(&stalled);
            events.push(Event::Stalled(stalled));
        }
    }

    /// Whether somebody else shall lead.
    fn watch_leadership(&mut self, member: &Member, now_ms: u64, events: &mut Vec<Event>) {
        if let Some(since_ms) = self.handing_ms {
            if now_ms.saturating_sub(since_ms) >= HAND_OVER_MS {
                self.handing_ms = None;
                events.push(Event::HandOverExpired);
            }
            return;
        }
        let Some(request) = member.seen().map(|seen| &seen.request) else { return };
        let ordinal = member.id().ordinal;
        let wanted = request.leader.filter(|wanted| *wanted != ordinal);
        if wanted.is_some() || request.fenced.contains(&ordinal) || ordinal >= request.copies {
            self.handing(now_ms);
            events.push(Event::HandOver(wanted));
        }
    }

    fn ask_again(&mut self, is_due: bool, now_ms: u64, events: &mut Vec<Event>) {
        if !is_due {
            self.asked_ms = None;
        } else if now_ms.saturating_sub(*self.asked_ms.get_or_insert(now_ms)) >= RETRY_MS {
            self.asked_ms = Some(now_ms);
            events.push(Event::Retry);
        }
    }
}
