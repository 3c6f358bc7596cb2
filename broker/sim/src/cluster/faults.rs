//! Trouble, by seed.

use crds::group_record::GroupRequest;
use store::disk::Disk;
use store::disk::sim::{Call, Failure};

use super::agenda::Happening;
use super::world::Cluster;

impl Cluster {
    /// Something goes wrong, and something else will.
    pub(crate) fn fault(&mut self) -> Result<(), String> {
        if self.is_peace {
            return Ok(());
        }
        let ms = 1 + self.random.below(2 * self.plan.fault_ms);
        self.after(ms, Happening::Fault);
        let kind = self.pick(0, 24);
        let at = self.random.below(self.machines.len() as u64) as usize;
        if self.plan.faults >> kind & 1 == 0 {
            return Ok(());
        }
        self.note(format_args!("fault {kind} at {at}"));
        match kind {
            0 => self.crash(at, false),
            1 => self.crash(at, true),
            2 if self.random.one_in(4) => (0..self.machines.len()).for_each(|at| self.crash(at, true)),
            2..=4 => self.pause(at),
            5 | 6 => self.cut_some(at),
            7 => self.break_some(),
            8 => self.machines[at].lost_arbiter ^= true,
            9 => self.lose_all_arbiters(),
            10 => {
                self.machines[at].sees_old ^= true;
                self.invariants.may_regress = true;
            }
            11 => self.replace_volume(at),
            12 => self.fill(at),
            13 => {
                let nth = self.pick(1, 60);
                self.machines[at].disk.crash_at(nth);
            }
            14 => self.spoil_call(at),
            15..=17 => self.wish(),
            18 => return self.hand_over_by_hand(at),
            19 => return self.stop(at),
            20 => self.restore_record(),
            21 => self.network.delay_ms = [1, 5, 30, 120][self.random.below(4) as usize],
            _ => self.heal_some(at),
        }
        Ok(())
    }

    fn crash(&mut self, at: usize, takes_machine: bool) {
        if self.machines[at].process.is_none() {
            return;
        }
        self.end_process(at, takes_machine);
        let ms = if self.random.one_in(4) { self.pick(100, 8000) } else { self.pick(5, 500) };
        self.after(ms, Happening::Start { at });
    }

    fn pause(&mut self, at: usize) {
        let ms = if self.random.one_in(2) { self.pick(10, 500) } else { self.pick(500, 6000) };
        self.machines[at].paused_until_ms = self.now_ms + ms;
    }

    fn cut_some(&mut self, at: usize) {
        let other = self.random.below(self.machines.len() as u64) as usize;
        match self.pick(0, 3) {
            0 => self.network.cut[at][other] = true,
            1 => {
                self.network.cut[at][other] = true;
                self.network.cut[other][at] = true;
            }
            _ => {
                for other in 0..self.machines.len() {
                    self.network.cut[at][other] = true;
                    self.network.cut[other][at] = true;
                }
            }
        }
        self.network.cut[at][at] = false;
        let ms = self.pick(50, 6000);
        self.after(ms, Happening::Heal);
    }

    fn break_some(&mut self) {
        let open: Vec<u64> = self.network.open.iter().flatten().flatten().copied().collect();
        if !open.is_empty() {
            let conn = open[self.random.below(open.len() as u64) as usize];
            let is_silent = self.random.one_in(4);
            self.break_conn(conn, is_silent);
        }
    }

    fn lose_all_arbiters(&mut self) {
        let is_lost = self.random.one_in(2);
        for machine in &mut self.machines {
            machine.lost_arbiter = is_lost;
        }
    }

    /// Only while another member is known to have everything.
    fn replace_volume(&mut self, at: usize) {
        let record = &self.object.latest().record;
        let is_sound = |member: &crds::group_record::MemberId| {
            let file = self.machines[member.ordinal as usize].file.as_ref();
            file.is_some_and(|file| file.store == member.store && !file.vow.is_dirty)
        };
        let others = record.in_sync.iter().filter(|member| member.ordinal as usize != at);
        if others.into_iter().any(is_sound) {
            self.wipe(at);
        }
    }

    fn fill(&mut self, at: usize) {
        let room = self.pick(0, 100_000);
        let disk = &self.machines[at].disk;
        disk.set_capacity_bytes(None);
        let Ok(free) = disk.free_bytes() else { return };
        disk.set_capacity_bytes(Some((1 << 50) - free + room));
    }

    fn spoil_call(&mut self, at: usize) {
        let calls = [Call::Write, Call::Sync, Call::Create, Call::Rename, Call::Allocate, Call::SyncDir];
        let call = calls[self.random.below(6) as usize];
        let failure = if self.random.one_in(2) { Failure::Io } else { Failure::Full };
        let nth = self.pick(1, 10);
        self.machines[at].disk.fail(call, nth, failure);
    }

    fn wish(&mut self) {
        if self.object.is_wrong() {
            return;
        }
        let machines = self.machines.len() as u64;
        let mut request = self.object.latest().request.clone();
        match self.pick(0, 5) {
            0 | 1 => {
                request.copies = 1 + self.random.below(machines) as u32;
                request.min_in_sync = request.min_in_sync.min(request.copies);
            }
            2 => request.min_in_sync = 1 + self.random.below(u64::from(request.copies)) as u32,
            3 => request.leader = self.random.one_in(2).then(|| self.random.below(machines) as u32),
            _ => {
                let ordinal = self.random.below(machines) as u32;
                if !request.fenced.remove(&ordinal) {
                    request.fenced.insert(ordinal);
                }
            }
        }
        self.ask_for(request);
    }

    /// The operator writes a wish.
    pub(crate) fn ask_for(&mut self, request: GroupRequest) {
        self.note(format_args!("{request:?}"));
        self.object.wish(request);
        self.changed();
    }

    fn hand_over_by_hand(&mut self, at: usize) -> Result<(), String> {
        let Some(run) = self.machines[at].process.as_ref().map(|process| process.run) else { return Ok(()) };
        let to = self.random.one_in(2).then(|| self.random.below(self.machines.len() as u64) as u32);
        let retires = self.random.one_in(4);
        self.with_process(at, run, |world, process| {
            process.is_retired |= retires;
            world.hand_over(process, to)
        })
    }

    /// The record is restored from a backup, or deleted; later it is put right. Only when everybody whom the restored
    /// one lets lead knows better.
    fn restore_record(&mut self) {
        let count = self.object.history.len();
        let skip = 1 + self.random.below(3) as usize;
        if self.object.is_wrong() || skip >= count {
            return;
        }
        let old = &self.object.history[count - 1 - skip].record;
        let knows_better = |member: &crds::group_record::MemberId| {
            let file = self.machines[member.ordinal as usize].file.as_ref();
            file.is_none_or(|file| file.store != member.store || file.vow.revision > old.revision)
        };
        if self.random.one_in(2) {
            self.object.is_deleted = true;
        } else if old.leader.is_some() && old.in_sync.iter().all(knows_better) {
            self.object.restore(count - skip);
            self.invariants.may_regress = true;
            let latest = self.object.latest().clone();
            self.note(format_args!("the record is an old one again: {latest:?}"));
            self.changed();
        } else {
            return;
        }
        let ms = self.pick(100, 4000);
        self.after(ms, Happening::Repair);
    }

    /// The operator puts the record right: the latest that ever was.
    pub(crate) fn repair(&mut self) {
        if !self.object.is_wrong() {
            return;
        }
        let mut last = self.object.best().clone();
        last.version = self.object.last_version();
        self.object.is_deleted = false;
        self.object.history = vec![last.clone()];
        self.ask_for(last.request);
    }

    /// Members hear each other again.
    pub(crate) fn heal(&mut self) {
        for from in &mut self.network.cut {
            from.fill(false);
        }
    }

    fn heal_some(&mut self, at: usize) {
        self.heal();
        let machine = &mut self.machines[at];
        machine.lost_arbiter = false;
        machine.sees_old = false;
        machine.disk.set_capacity_bytes(None);
        self.watch(at);
    }
}
