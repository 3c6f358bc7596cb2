//! Processes that begin and end, machines that lose power, volumes that are replaced. See `peer::running`.

use crds::group_record::MemberId;
use peer::vow::MemberFile;
use replica::detector::Detector;
use replica::member::Member;
use store::disk::Disk;
use store::disk::sim::SimDisk;

use super::agenda::{Happening, What};
use super::arbiter::Way;
use super::copies::on_disk;
use super::world::{Cluster, Freight, Process, Trouble};

/// The clocks of two machines differ by less.
const CLOCKS_DIFFER_MS_MAX: u64 = 4000;

impl Cluster {
    /// A broker starts, if there is none.
    pub(crate) fn start(&mut self, at: usize) -> Result<(), String> {
        if self.machines[at].process.is_some() || self.machines[at].stays_down {
            return Ok(());
        }
        if !self.is_peace && self.random.one_in(12) {
            let nth = self.pick(1, 40);
            self.machines[at].disk.crash_at(nth);
        }
        // While it is down somebody may set its clock, also back; while it runs its clock never goes back.
        if !self.is_peace && self.random.one_in(3) {
            self.machines[at].ahead_ms = self.pick(0, CLOCKS_DIFFER_MS_MAX);
        }
        match self.introduce(at).and_then(|file| self.begin(at, file)) {
            Ok(()) => Ok(()),
            Err(_) if self.machines[at].disk.has_crashed() => {
                self.note(format_args!("machine {at} goes down while it starts"));
                self.fall(at);
                Ok(())
            }
            Err(Trouble::Died(why)) if why.contains("full") || why.contains("os error 28") => {
                self.machines[at].disk.set_capacity_bytes(None);
                self.after(50, Happening::Start { at });
                Ok(())
            }
            // One failure of the disk that was planned for later.
            Err(Trouble::Died(why)) if why.contains("os error 5") => {
                self.machines[at].disk.forget_faults();
                self.after(50, Happening::Start { at });
                Ok(())
            }
            Err(Trouble::Died(why) | Trouble::Broken(why)) => {
                Err(format!("machine {at} does not start: {why}"))
            }
        }
    }

    /// Says who this copy is, and whether the end of its log may be lost.
    fn introduce(&mut self, at: usize) -> Result<MemberFile, Trouble> {
        let store = self.random.next_u64();
        let machine = &mut self.machines[at];
        let died = |error: peer::vow::VowError| Trouble::Died(error.to_string());
        let loaded = MemberFile::load(&machine.disk).map_err(died)?;
        self.invariants.loaded(at, loaded.as_ref()).map_err(Trouble::Broken)?;
        let mut file = loaded.unwrap_or_else(|| MemberFile { store, ..MemberFile::default() });
        if file.boot != 0 && file.boot != machine.boot && !self.plan.is_sync() {
            file.vow.is_dirty = true;
        }
        file.boot = machine.boot;
        self.save(at, &file)?;
        Ok(file)
    }

    fn begin(&mut self, at: usize, file: MemberFile) -> Result<(), Trouble> {
        let disk: &dyn Disk = &self.machines[at].disk;
        let holds = engine::group::Group::exists(disk).map_err(|error| Trouble::Died(error.to_string()))?;
        let copy = if holds { Some(self.open_copy(at)?) } else { None };
        let id = MemberId { ordinal: at as u32, store: file.store };
        let nonce = self.random.next_u64();
        let disk = copy.as_ref().map(on_disk);
        let member = Member::new(id, self.settings.clone(), file.vow.clone(), disk, nonce);
        self.machines[at].runs += 1;
        let run = self.machines[at].runs;
        let process = Process {
            at,
            run,
            id,
            member,
            detector: Detector::new(self.timing, self.now_ms),
            last_epoch: copy.as_ref().map_or(store::Epoch(0), |copy| copy.group.epoch()),
            copy,
            file,
            links: std::collections::BTreeMap::new(),
            freight: Freight::default(),
            is_reopening: false,
            events: std::collections::VecDeque::new(),
            durable: store::Position(0),
            refusal: None,
            is_retired: false,
            way: Way::default(),
            calls_driver: false,
            flush_sync: self.plan.is_sync(),
            renew_at_ms: 0,
            head: store::Position(0),
        };
        let (boot, has_log) = (process.file.boot, process.copy.is_some());
        self.note(format_args!("{id} starts, boot {boot}, has log {has_log}, {:?}", process.file.vow));
        self.plan_for(&process, 0, What::Tick);
        self.plan_for(&process, 30, What::House);
        for to in (0..self.machines.len()).filter(|to| *to != at) {
            self.plan_for(&process, 1, What::Dial { to });
        }
        self.machines[at].process = Some(Box::new(process));
        self.watch(at);
        Ok(())
    }

    /// The process ends; now and then the machine does, too.
    pub(crate) fn die(&mut self, at: usize, why: &str) {
        self.note(format_args!("process {at} dies: {why}"));
        self.fall(at);
    }

    fn fall(&mut self, at: usize) {
        let takes_machine = self.random.one_in(3) && self.plan.faults & 2 != 0;
        self.end_process(at, takes_machine);
        let ms = if self.random.one_in(4) { self.pick(100, 6000) } else { self.pick(10, 400) };
        self.after(ms, Happening::Start { at });
    }

    /// Ends the process at once, without a last word.
    pub(crate) fn end_process(&mut self, at: usize, takes_machine: bool) {
        self.hang_up(at);
        self.clients.forget(at);
        let machine = &mut self.machines[at];
        machine.process = None;
        machine.paused_until_ms = 0;
        if takes_machine {
            machine.disk.power_cut(self.random.next_u64());
            machine.boot += 1;
        } else {
            machine.disk.kill_process();
        }
        self.note(format_args!("process {at} is gone, with its machine: {takes_machine}"));
    }

    /// The process ends in order.
    pub(crate) fn stop(&mut self, at: usize) -> Result<(), String> {
        let Some(run) = self.machines[at].process.as_ref().map(|process| process.run) else { return Ok(()) };
        self.with_process(at, run, |world, process| {
            if process.is_reopening {
                return Err(Trouble::Died("stopped while it opens its log again".to_owned()));
            }
            world.write(process)?;
            if let Some(copy) = &process.copy {
                copy.group.sync().map_err(|error| Trouble::Died(error.to_string()))?;
                drop(copy.group.checkpoint());
            }
            process.file.boot = 0;
            world.save(at, &process.file)
        })?;
        if self.machines[at].process.is_some() {
            self.check()?;
            self.note(format_args!("process {at} stopped in order"));
            self.end_process(at, false);
            let ms = self.pick(10, 2000);
            self.after(ms, Happening::Start { at });
        }
        Ok(())
    }

    /// The volume is replaced by an empty one.
    pub(crate) fn wipe(&mut self, at: usize) {
        self.end_process(at, true);
        let seed = self.random.next_u64();
        let machine = &mut self.machines[at];
        machine.disk = SimDisk::new(seed);
        machine.file = None;
        self.invariants.wiped(at);
        self.views.wiped(at);
        self.note(format_args!("machine {at} has a new volume"));
        let ms = self.pick(10, 1500);
        self.after(ms, Happening::Start { at });
    }
}
