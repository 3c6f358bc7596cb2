//! A disk in memory that loses power, fails and fills up: the same way for the same seed.
//!
//! ```text
//!   create, write, rename --> what the process sees --sync, sync_dir--> what survives for certain
//!                                     |
//!                                 power_cut: of what was not synced, each write survives whole, in pieces or not
//! ```
//!
//! Promise: what `sync` and `sync_dir` answered with success survives every power cut; nothing else is promised.
//! A failed sync drops what it should have made last, and the next one succeeds all the same, as on Linux.
//! Limits: folders last at once; whole files are held in memory twice. Not here: time.

mod fault;
mod medium;
mod random;
#[cfg(test)]
mod tests;

use std::io::{self, IoSlice};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::disk::{Disk, File};

use self::fault::{Plan, Verdict};
use self::medium::Medium;

pub use self::fault::{Call, Failure};
pub use self::random::Random;

/// A simulated disk; clones are handles to the same one.
#[derive(Clone)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Clone)]
struct State {
    medium: Medium,
    plan: Plan,
    random: Random,
    /// Files opened before the last restart are dead.
    boot: u64,
    capacity_bytes: Option<u64>,
    cold: bool,
    /// What `release_cached` was told, as ranges of a file.
    released: Vec<(u64, u64)>,
}

impl SimDisk {
    /// An empty disk; the seed decides what survives of unfinished calls.
    pub fn new(seed: u64) -> Self {
        let state = State {
            medium: Medium::default(),
            plan: Plan::default(),
            random: Random::new(seed),
            boot: 0,
            capacity_bytes: None,
            cold: false,
            released: Vec::new(),
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// An independent copy, to try several ends of one story.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self { state: Arc::new(Mutex::new(self.state.lock().clone())) }
    }

    /// Calls so far that change the disk; `crash_at` counts the same calls.
    pub fn mutations(&self) -> u64 {
        self.state.lock().plan.mutations()
    }

    /// Whether the crash asked for by `crash_at` has come.
    pub fn has_crashed(&self) -> bool {
        self.state.lock().plan.has_crashed()
    }

    /// What the process sees of a file; `None` if there is none.
    pub fn contents(&self, path: &str) -> Option<Vec<u8>> {
        let state = self.state.lock();
        let inode = state.medium.find(path)?;
        Some(state.medium.bytes(inode).to_vec())
    }

    /// Lets the `nth` call of this kind from now on fail once (1 is the next).
    pub fn fail(&self, call: Call, nth: u64, failure: Failure) {
        self.state.lock().plan.add(call, nth, failure);
    }

    /// Lets the `nth` changing call from now on (1 is the next), and every call after it, fail: the process is dead.
    ///
    /// That call itself may or may not have happened.
    pub fn crash_at(&self, nth: u64) {
        self.state.lock().plan.crash_at(nth);
    }

    /// Cuts the power now and starts again: `seed` decides what survives of what was not synced.
    ///
    /// Open files are dead afterwards; planned faults and the crash are forgotten.
    pub fn power_cut(&self, seed: u64) {
        let mut state = self.state.lock();
        state.medium.lose_power(&mut Random::new(seed));
        state.start_again();
    }

    /// As `power_cut`, with the disk's own seed: the disk as found after the crash.
    pub fn reboot(&self) {
        let mut state = self.state.lock();
        let mut random = Random::new(state.random.next_u64());
        state.medium.lose_power(&mut random);
        state.start_again();
    }

    /// The process dies and starts again, the machine goes on: what was written is still seen, synced or not.
    pub fn kill_process(&self) {
        self.state.lock().start_again();
    }

    /// Forgets planned faults and the planned crash; the process goes on.
    pub fn forget_faults(&self) {
        self.state.lock().plan.forget();
    }

    /// Limits the sum of all files; `None` lifts the limit.
    pub fn set_capacity_bytes(&self, capacity_bytes: Option<u64>) {
        self.state.lock().capacity_bytes = capacity_bytes;
    }

    /// Whether `read_cached_at` answers that it would wait.
    pub fn set_cold(&self, cold: bool) {
        self.state.lock().cold = cold;
    }

    /// The ranges of files whose memory was given back, start and length, in the order of calls.
    pub fn released(&self) -> Vec<(u64, u64)> {
        self.state.lock().released.clone()
    }

    /// Flips one bit of a file, in what is seen and in what survives; false if the file is shorter.
    pub fn flip_bit(&self, path: &str, at: u64, bit: u8) -> bool {
        self.state.lock().medium.flip_bit(path, at, bit)
    }

    fn file(&self, state: &State, inode: u64) -> Arc<dyn File> {
        Arc::new(SimFile { state: Arc::clone(&self.state), inode, boot: state.boot })
    }
}

impl State {
    fn start_again(&mut self) {
        self.plan.forget();
        self.boot += 1;
    }

    /// Runs a change of the disk under the fault plan.
    fn change(&mut self, call: Call, change: impl FnOnce(&mut Medium)) -> io::Result<()> {
        match self.plan.enter(call) {
            Verdict::Pass => change(&mut self.medium),
            Verdict::Lose => {}
            Verdict::Fail(error) => return Err(error),
            Verdict::Crash(error) => {
                if self.random.one_in(2) {
                    change(&mut self.medium);
                }
                return Err(error);
            }
        }
        Ok(())
    }

    fn room_bytes(&self) -> u64 {
        let capacity_bytes = self.capacity_bytes.unwrap_or(1 << 50);
        capacity_bytes.saturating_sub(self.medium.used_bytes())
    }

    fn write(&mut self, inode: u64, data: Vec<u8>, at: u64) -> io::Result<()> {
        let verdict = self.plan.enter(Call::Write);
        let grown = (at + data.len() as u64).saturating_sub(self.medium.bytes(inode).len() as u64);
        // Nobody writes as much as there is without a limit; not to count it makes stories faster.
        let lacking = self.capacity_bytes.map_or(0, |_| grown.saturating_sub(self.room_bytes()));
        let error = match verdict {
            Verdict::Pass if lacking == 0 => {
                self.medium.write(inode, data, at);
                return Ok(());
            }
            Verdict::Lose => return Ok(()),
            Verdict::Pass => fault::full(),
            Verdict::Fail(error) | Verdict::Crash(error) => error,
        };
        // A failing write may have got some of the way, as far as there was room.
        let most = (data.len() as u64).saturating_sub(lacking);
        let kept = self.random.below(most + 1) as usize;
        if kept > 0 {
            let mut data = data;
            data.truncate(kept);
            self.medium.write(inode, data, at);
        }
        Err(error)
    }
}

impl Disk for SimDisk {
    fn open(&self, path: &str) -> io::Result<Arc<dyn File>> {
        let mut state = self.state.lock();
        state.plan.enter_read()?;
        let inode = state.medium.find(path).ok_or_else(|| absent(path))?;
        Ok(self.file(&state, inode))
    }

    fn create(&self, path: &str) -> io::Result<Arc<dyn File>> {
        let mut state = self.state.lock();
        if !state.medium.has_folder_of(path) {
            state.plan.enter_read()?;
            return Err(absent(path));
        }
        state.change(Call::Create, |medium| medium.create(path))?;
        let inode = state.medium.find(path).ok_or_else(|| absent(path))?;
        Ok(self.file(&state, inode))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state.lock();
        if state.medium.find(from).is_none() || !state.medium.has_folder_of(to) {
            state.plan.enter_read()?;
            return Err(absent(from));
        }
        state.change(Call::Rename, |medium| medium.rename(from, to))
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let mut state = self.state.lock();
        if state.medium.find(path).is_none() {
            state.plan.enter_read()?;
            return Err(absent(path));
        }
        state.change(Call::Remove, |medium| medium.remove(path))
    }

    fn create_dir(&self, dir: &str) -> io::Result<()> {
        let mut state = self.state.lock();
        if state.medium.has_folder(dir) {
            return state.plan.enter_read();
        }
        state.change(Call::Create, |medium| medium.create_dir(dir))
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let mut state = self.state.lock();
        state.plan.enter_read()?;
        Ok(state.medium.list(dir))
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        let mut state = self.state.lock();
        state.change(Call::SyncDir, |medium| medium.sync_dir(dir))
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let mut state = self.state.lock();
        state.plan.enter_read()?;
        Ok(state.room_bytes())
    }
}

struct SimFile {
    state: Arc<Mutex<State>>,
    inode: u64,
    boot: u64,
}

impl SimFile {
    fn with<T>(&self, call: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.state.lock();
        if state.boot != self.boot {
            return Err(fault::io());
        }
        call(&mut state)
    }
}

impl File for SimFile {
    fn len_bytes(&self) -> io::Result<u64> {
        self.with(|state| {
            state.plan.enter_read()?;
            Ok(state.medium.bytes(self.inode).len() as u64)
        })
    }

    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        self.with(|state| {
            state.plan.enter_read()?;
            let bytes = state.medium.bytes(self.inode);
            let from = (at as usize).min(bytes.len());
            let count = buffer.len().min(bytes.len() - from);
            buffer[..count].copy_from_slice(&bytes[from..from + count]);
            Ok(count)
        })
    }

    fn read_cached_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        if self.with(|state| Ok(state.cold))? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.read_at(buffer, at)
    }

    fn write_at(&self, slices: &[IoSlice<'_>], at: u64) -> io::Result<()> {
        let slices: Vec<&[u8]> = slices.iter().map(|slice| &**slice).collect();
        let data = slices.concat();
        self.with(|state| state.write(self.inode, data, at))
    }

    fn sync(&self) -> io::Result<()> {
        self.with(|state| {
            let random = Random::new(state.random.next_u64());
            match state.plan.enter(Call::Sync) {
                Verdict::Pass => state.medium.sync(self.inode),
                Verdict::Lose => {}
                Verdict::Fail(error) => {
                    state.medium.fail_sync(self.inode, random);
                    return Err(error);
                }
                Verdict::Crash(error) => return Err(error),
            }
            Ok(())
        })
    }

    fn release_cached(&self, at: u64, bytes: u64) {
        let mut state = self.state.lock();
        assert!(
            state.medium.is_synced(self.inode, at, bytes),
            "bytes at {at} are released before they are synced"
        );
        state.released.push((at, bytes));
    }

    fn allocate(&self, len_bytes: u64) -> io::Result<()> {
        self.with(|state| {
            let grown = len_bytes.saturating_sub(state.medium.bytes(self.inode).len() as u64);
            if grown > state.room_bytes() {
                state.plan.enter_read()?;
                return Err(fault::full());
            }
            state.change(Call::Allocate, |medium| medium.grow(self.inode, len_bytes))
        })
    }

    fn truncate(&self, len_bytes: u64) -> io::Result<()> {
        self.with(|state| state.change(Call::Truncate, |medium| medium.truncate(self.inode, len_bytes)))
    }
}

fn absent(path: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("no file {path}"))
}
