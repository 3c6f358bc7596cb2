//! What is going to happen, in the order of time; at the same time, in the order in which it was planned.

use std::collections::BTreeMap;

use crds::group_record::{GroupRecord, MemberId, Seen, Version};

use super::arbiter::{Found, Verdict};

/// One thing that happens.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "few wait at a time, and a box each would cost more")]
pub(crate) enum Happening {
    /// To one run of a process; nothing if that run has ended.
    Run { at: usize, run: u64, what: What },
    /// A process begins, if the machine has none.
    Start { at: usize },
    /// The writer of a connection has a turn.
    Wire { conn: u64 },
    /// Something may have come out at the other end of a connection.
    Arrive { conn: u64 },
    /// A proposal reaches the arbiter, whoever still waits for it.
    Land { at: usize, run: u64, number: u64, base: Version, record: Box<GroupRecord> },
    /// A look at the record reaches the arbiter.
    Look { at: usize, run: u64, number: u64 },
    /// The record of a deleted or restored object is put right.
    Repair,
    /// Members can talk to each other again, and to the arbiter.
    Heal,
    /// A client does something.
    Client,
    /// Something goes wrong.
    Fault,
}

/// What happens to a process.
#[derive(Clone, Debug)]
pub(crate) enum What {
    /// The driver looks at its timers.
    Tick,
    /// The log thread has a turn.
    Write,
    /// The driver hears that the log went on.
    Written,
    /// The background thread has a turn.
    House,
    /// The copy is open again.
    Reopen,
    /// A connection is tried.
    Dial { to: usize },
    /// A connection was made.
    Up { member: MemberId, conn: u64 },
    /// A connection broke.
    Down { member: MemberId },
    /// Nobody listens there.
    Refused { ordinal: u32 },
    /// The arbiter's answer, or none in time.
    Answer { number: u64, verdict: Verdict },
    /// The arbiter tells of a change.
    Watch(Found),
    /// The next question for the arbiter, if it is free.
    Ask,
    /// What the arbiter's side tells the driver.
    Ruling(Ruling),
}

/// What comes back from the arbiter's side.
#[derive(Clone, Debug)]
pub(crate) enum Ruling {
    SeenFor { to: MemberId, seen: Seen },
    Relay(super::network::Frame),
}

#[derive(Default)]
pub(crate) struct Agenda {
    due: BTreeMap<(u64, u64), Happening>,
    planned: u64,
}

impl Agenda {
    pub(crate) fn push(&mut self, at_ms: u64, happening: Happening) {
        self.planned += 1;
        self.due.insert((at_ms, self.planned), happening);
    }

    /// The next thing and when it happens.
    pub(crate) fn pop(&mut self) -> Option<(u64, Happening)> {
        let ((at_ms, _), happening) = self.due.pop_first()?;
        Some((at_ms, happening))
    }
}
