//! Which calls fail, and how.

use std::io;

/// Kind of call that a planned failure waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// Any call that changes the disk.
    Any,
    /// `open`, `list`, `len_bytes`, `read_at`, `free_bytes`.
    Read,
    /// `write_at`.
    Write,
    /// `File::sync`.
    Sync,
    /// `sync_dir`.
    SyncDir,
    /// `create`, `create_dir` of a new folder.
    Create,
    /// `rename`.
    Rename,
    /// `remove`.
    Remove,
    /// `allocate`.
    Allocate,
    /// `truncate`.
    Truncate,
}

/// What a planned failure does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// `EIO`; a write may have got part of the way, a sync drops what it should have made last.
    Io,
    /// `ENOSPC`, likewise.
    Full,
    /// Success is answered and nothing happened: a lost write.
    Lost,
}

/// What becomes of a call.
pub(crate) enum Verdict {
    Pass,
    Lose,
    Fail(io::Error),
    Crash(io::Error),
}

/// Failures to come.
#[derive(Clone, Default)]
pub(crate) struct Plan {
    faults: Vec<(Call, u64, Failure)>,
    mutations: u64,
    crash_at: Option<u64>,
    crashed: bool,
}

pub(crate) fn io() -> io::Error {
    const EIO: i32 = 5;
    io::Error::from_raw_os_error(EIO)
}

pub(crate) fn full() -> io::Error {
    const ENOSPC: i32 = 28;
    io::Error::from_raw_os_error(ENOSPC)
}

impl Plan {
    pub(crate) fn mutations(&self) -> u64 {
        self.mutations
    }

    pub(crate) fn has_crashed(&self) -> bool {
        self.crashed
    }

    pub(crate) fn add(&mut self, call: Call, nth: u64, failure: Failure) {
        assert!(nth > 0, "the next call is number 1");
        self.faults.push((call, nth, failure));
    }

    pub(crate) fn crash_at(&mut self, nth: u64) {
        assert!(nth > 0, "the next call is number 1");
        self.crash_at = Some(self.mutations + nth);
    }

    pub(crate) fn forget(&mut self) {
        self.faults.clear();
        self.crash_at = None;
        self.crashed = false;
    }

    /// Judges a call that only looks.
    pub(crate) fn enter_read(&mut self) -> io::Result<()> {
        if self.crashed {
            return Err(io());
        }
        match self.planned(Call::Read) {
            None | Some(Failure::Lost) => Ok(()),
            Some(Failure::Io) => Err(io()),
            Some(Failure::Full) => Err(full()),
        }
    }

    /// Judges a call that changes the disk, and counts it.
    pub(crate) fn enter(&mut self, call: Call) -> Verdict {
        if self.crashed {
            return Verdict::Fail(io());
        }
        self.mutations += 1;
        if self.crash_at == Some(self.mutations) {
            self.crashed = true;
            return Verdict::Crash(io());
        }
        match self.planned(call) {
            None => Verdict::Pass,
            Some(Failure::Lost) => Verdict::Lose,
            Some(Failure::Io) => Verdict::Fail(io()),
            Some(Failure::Full) => Verdict::Fail(full()),
        }
    }

    fn planned(&mut self, call: Call) -> Option<Failure> {
        let mut due = None;
        self.faults.retain_mut(|(awaited, nth, failure)| {
            if *awaited == call || (*awaited == Call::Any && call != Call::Read) {
                *nth -= 1;
            }
            if *nth == 0 {
                due = Some(*failure);
            }
            *nth > 0
        });
        due
    }
}
