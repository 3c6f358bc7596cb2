//! The arbiter: one object, changed by compare-and-swap, and the ways on which its members reach it.
//!
//! A proposal may land after its sender gave it up or died; an answer may be lost. What a process is handed never goes
//! back, as the real arbiters see to: older answers are refused.

use std::collections::VecDeque;

use crds::group_record::{GroupRecord, GroupRequest, MemberId, Seen, Version};

/// Longest time of one call.
pub(crate) const CALL_MAX_MS: u64 = 2000;
/// Requests that wait; more are dropped, they are made again.
pub(crate) const WAITING_MAX: usize = 8;

/// What was found in one look, and in which object.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) object: u64,
    pub(crate) seen: Seen,
}

/// What became of a call.
#[derive(Clone, Debug)]
pub(crate) enum Verdict {
    /// The proposal is the record now.
    Wrote(Found),
    /// What is there.
    Looked(Found),
    /// There is no object.
    Missing,
    /// No answer.
    Unknown,
}

/// The object.
#[allow(clippy::struct_field_names, reason = "the arbiter's word for which object of that name it is")]
pub(crate) struct Object {
    pub(crate) object: u64,
    pub(crate) is_deleted: bool,
    /// Every state so far that is not forgotten.
    pub(crate) history: Vec<Seen>,
    /// Every state so far.
    pub(crate) ever: Vec<Seen>,
}

/// What a process asks.
#[derive(Clone, Debug)]
pub(crate) enum Request {
    Propose { base: Version, record: Box<GroupRecord>, on_behalf: Option<MemberId> },
    Read { on_behalf: Option<MemberId> },
    Renew,
}

/// One process's side.
#[derive(Default)]
pub(crate) struct Way {
    pub(crate) waiting: VecDeque<Request>,
    /// The question under way, and what was known when it was asked.
    pub(crate) asked: Option<(u64, Request, Option<Found>)>,
    pub(crate) numbers: u64,
    pub(crate) was_unreachable: bool,
    pub(crate) latest: Option<Found>,
}

impl Found {
    /// An earlier state than `other`, or of another object.
    fn is_behind(&self, other: &Self) -> bool {
        self.object != other.object
            || self.seen.version < other.seen.version
            || self.seen.record.revision < other.seen.record.revision
    }
}

impl Object {
    pub(crate) fn new(request: GroupRequest) -> Self {
        let record = GroupRecord::created(1);
        let seen = Seen { version: Version(1), record, request };
        Self { object: 1, is_deleted: false, ever: vec![seen.clone()], history: vec![seen] }
    }

    /// The latest state that members ever agreed on.
    pub(crate) fn best(&self) -> &Seen {
        let best =
            self.ever.iter().max_by_key(|seen| (seen.record.epoch, seen.record.revision, seen.version));
        best.expect("an object has a state")
    }

    /// Somebody restored it from a backup, or removed it.
    pub(crate) fn is_wrong(&self) -> bool {
        self.is_deleted || self.latest().record != self.best().record
    }

    /// The state that is there now.
    pub(crate) fn latest(&self) -> &Seen {
        self.history.last().expect("an object has a state")
    }

    pub(crate) fn found(&self, skip: usize) -> Option<Found> {
        let seen = self.history.iter().rev().nth(skip).or_else(|| self.history.first())?;
        (!self.is_deleted).then(|| Found { object: self.object, seen: seen.clone() })
    }

    /// The state before, if the proposal came in time.
    pub(crate) fn swap(&mut self, base: Version, record: &GroupRecord) -> Option<Seen> {
        let last = self.latest().clone();
        if self.is_deleted || last.version != base {
            return None;
        }
        self.push(Seen { version: Version(base.0 + 1), record: record.clone(), ..last.clone() });
        Some(last)
    }

    /// The operator wishes something else.
    pub(crate) fn wish(&mut self, request: GroupRequest) {
        let last = self.latest().clone();
        self.push(Seen { version: Version(last.version.0 + 1), request, ..last });
    }

    /// Somebody puts a state of a backup in its place. As a Lease that is made again, it never has a version that was
    /// there before: what was proposed on that one is late for ever.
    pub(crate) fn restore(&mut self, count: usize) {
        self.history.truncate(count);
        let version = Version(self.last_version().0 + 1);
        self.push(Seen { version, ..self.latest().clone() });
    }

    /// The latest version that it ever had.
    pub(crate) fn last_version(&self) -> Version {
        self.ever.iter().map(|seen| seen.version).max().unwrap_or_default()
    }

    pub(crate) fn push(&mut self, seen: Seen) {
        self.ever.push(seen.clone());
        self.history.push(seen);
    }
}

impl Way {
    /// What a look may hand out.
    pub(crate) fn looked(&mut self, before: Option<&Found>, found: Found) -> Option<Seen> {
        if before.is_some_and(|before| found.is_behind(before)) {
            return None;
        }
        Some(self.advance(found))
    }

    /// What was just written, even if somebody wrote on top of it meanwhile.
    pub(crate) fn wrote(&mut self, found: Found) -> Seen {
        let written = found.seen.clone();
        self.advance(found);
        written
    }

    /// What an event hands out: only what is later.
    pub(crate) fn heard(&mut self, found: Found) -> Option<Seen> {
        match &self.latest {
            Some(latest) if found.object == latest.object && found.seen.version <= latest.seen.version => {
                None
            }
            Some(latest) if found.is_behind(latest) => None,
            _ => Some(self.advance(found)),
        }
    }

    fn advance(&mut self, found: Found) -> Seen {
        if self.latest.as_ref().is_none_or(|latest| latest.seen.version < found.seen.version) {
            self.latest = Some(found.clone());
        }
        self.latest.as_ref().map_or(found.seen, |latest| latest.seen.clone())
    }
}
