//! Everything a story of a group plays in: machines with their disks and processes, the network, the arbiter, clients.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crds::group_record::{GroupRequest, MemberId};
use engine::group::{Group, GroupConfig};
use engine::writer::Writer;
use peer::vow::MemberFile;
use replica::detector::{Detector, Timing};
use replica::event::{Event, Refusal};
use replica::member::{Member, Settings};
use store::disk::sim::{Random, SimDisk};
use store::log::{Flush, LogReader};
use store::{Epoch, Position};

use super::agenda::{Agenda, Happening, What};
use super::arbiter::{Object, Way};
use super::clients::Clients;
use super::network::Network;
use super::plan::Plan;
use super::view::Views;
use crate::invariant::cluster::Invariants;
use crate::trace::Trace;

pub(crate) const START_MS: u64 = 1_700_000_000_000;

/// Why something was not done.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The process ends.
    Died(String),
    /// A promise is broken.
    Broken(String),
}

pub(crate) type Outcome = Result<(), Trouble>;

/// One machine: what outlives its processes.
pub(crate) struct Machine {
    pub(crate) disk: SimDisk,
    pub(crate) config: GroupConfig,
    /// Which run of the machine this is.
    pub(crate) boot: u64,
    /// Runs of processes so far.
    pub(crate) runs: u64,
    pub(crate) process: Option<Box<Process>>,
    /// Stopped by a signal until then.
    pub(crate) paused_until_ms: u64,
    /// Its clock goes before the others by so much.
    pub(crate) ahead_ms: u64,
    /// The arbiter is out of reach.
    pub(crate) lost_arbiter: bool,
    /// Looks at the record find an old state.
    pub(crate) sees_old: bool,
    /// Who the copy on the disk is, and its promises as they were saved last.
    pub(crate) file: Option<MemberFile>,
    /// It does not come up by itself.
    pub(crate) stays_down: bool,
}

/// One run of a broker.
#[allow(clippy::struct_excessive_bools, reason = "facts that have nothing to do with each other")]
pub(crate) struct Process {
    pub(crate) at: usize,
    pub(crate) run: u64,
    pub(crate) id: MemberId,
    pub(crate) member: Member,
    pub(crate) detector: Detector,
    pub(crate) file: MemberFile,
    pub(crate) copy: Option<Copy>,
    pub(crate) links: BTreeMap<MemberId, u64>,
    pub(crate) freight: Freight,
    pub(crate) is_reopening: bool,
    pub(crate) events: VecDeque<Event>,
    pub(crate) last_epoch: Epoch,
    pub(crate) durable: Position,
    pub(crate) refusal: Option<Refusal>,
    pub(crate) is_retired: bool,
    pub(crate) way: Way,
    pub(crate) calls_driver: bool,
    pub(crate) flush_sync: bool,
    pub(crate) renew_at_ms: u64,
    pub(crate) head: Position,
}

/// An open copy.
pub(crate) struct Copy {
    pub(crate) group: Arc<Group>,
    pub(crate) writer: Writer,
    /// Something was written or synced since the last look.
    pub(crate) grown: Arc<AtomicBool>,
    /// Number of this opening, for whoever compares logs.
    pub(crate) opening: u64,
}

/// What there is to ship.
#[derive(Default)]
pub(crate) struct Freight {
    pub(crate) reader: Option<LogReader>,
    pub(crate) committed: Position,
    pub(crate) is_solo: bool,
}

/// The whole world.
pub(crate) struct Cluster {
    pub(crate) random: Random,
    pub(crate) now_ms: u64,
    /// The most that any clock has shown.
    pub(crate) latest_clock_ms: u64,
    pub(crate) trace: Trace,
    pub(crate) plan: Plan,
    pub(crate) agenda: Agenda,
    pub(crate) machines: Vec<Machine>,
    pub(crate) network: Network,
    pub(crate) object: Object,
    pub(crate) clients: Clients,
    pub(crate) views: Views,
    pub(crate) invariants: Invariants,
    pub(crate) settings: Settings,
    pub(crate) timing: Timing,
    pub(crate) openings: u64,
    pub(crate) is_peace: bool,
    pub(crate) steps: u64,
}

impl Copy {
    pub(crate) fn end(&self) -> replica::event::End {
        let (shown, durable) = (self.group.published(), self.group.durable());
        let committed = if self.group.flush() == Flush::Sync { shown.min(durable) } else { shown };
        replica::event::End { written: self.group.written(), durable, committed }
    }
}

impl Process {
    pub(crate) fn is_leading(&self) -> bool {
        self.member.leader().is_some_and(replica::member::Leader::is_serving)
    }
}

impl Cluster {
    pub(crate) fn new(seed: u64, trace: Trace) -> Self {
        let mut random = Random::new(seed ^ 0x5eed_0000_0000_c1a5);
        let plan = Plan::draw(&mut random);
        let machines = (0..plan.machines).map(|at| Machine {
            disk: SimDisk::new(random.next_u64()),
            config: plan.config(at as u64 + 1),
            boot: 1,
            runs: 0,
            process: None,
            paused_until_ms: 0,
            ahead_ms: 0,
            lost_arbiter: false,
            sees_old: false,
            file: None,
            stays_down: false,
        });
        let machines: Vec<_> = machines.collect();
        let request =
            GroupRequest { copies: plan.copies, min_in_sync: plan.min_in_sync, ..GroupRequest::default() };
        let mut network = Network::new(plan.machines);
        network.delay_ms = plan.delay_ms;
        network.is_wild = plan.is_wild;
        network.window = plan.window;
        network.chunk_bytes = plan.chunk_bytes;
        let settings =
            Settings { flush_sync: plan.is_sync(), lag_bytes_max: plan.lag_bytes_max, ..Settings::default() };
        let timing = Timing { peer_timeout_ms: plan.peer_timeout_ms, ack_stall_ms: plan.ack_stall_ms };
        let mut world = Self {
            now_ms: START_MS,
            latest_clock_ms: START_MS,
            trace,
            agenda: Agenda::default(),
            network,
            object: Object::new(request),
            clients: Clients::new(),
            views: Views::new(machines.len()),
            invariants: Invariants::new(machines.len()),
            settings,
            timing,
            openings: 0,
            is_peace: false,
            steps: 0,
            machines,
            random,
            plan,
        };
        world.note(format_args!("{:?}", world.plan.clone()));
        for at in 0..world.machines.len() {
            let wait_ms = world.random.below(300);
            world.agenda.push(START_MS + wait_ms, Happening::Start { at });
        }
        world.agenda.push(START_MS + 500, Happening::Client);
        world.agenda.push(START_MS + 1500, Happening::Fault);
        world
    }

    pub(crate) fn note(&mut self, what: std::fmt::Arguments<'_>) {
        if self.trace.is_silent() {
            return;
        }
        let ms = self.now_ms - START_MS;
        self.trace.note(format_args!("{ms} {what}"));
    }

    /// A number from `least` to below `end`.
    pub(crate) fn pick(&mut self, least: u64, end: u64) -> u64 {
        least + self.random.below(end - least)
    }

    /// What the clock of a machine shows.
    pub(crate) fn clock(&self, at: usize) -> u64 {
        self.now_ms + self.machines[at].ahead_ms
    }

    pub(crate) fn after(&mut self, ms: u64, happening: Happening) {
        self.agenda.push(self.now_ms + ms, happening);
    }

    /// Something will happen to this run of the process.
    pub(crate) fn plan_for(&mut self, process: &Process, ms: u64, what: What) {
        let Process { at, run, .. } = *process;
        self.after(ms, Happening::Run { at, run, what });
    }

    /// The next thing happens, and every promise is looked at.
    pub(crate) fn step(&mut self) -> Result<(), String> {
        let Some((at_ms, happening)) = self.agenda.pop() else {
            return Err("nothing happens any more".to_owned());
        };
        self.now_ms = self.now_ms.max(at_ms);
        let ahead_ms = self.machines.iter().map(|machine| machine.ahead_ms).max().unwrap_or(0);
        self.latest_clock_ms = self.latest_clock_ms.max(self.now_ms + ahead_ms);
        self.steps += 1;
        self.happen(happening)?;
        self.check()
    }

    fn happen(&mut self, happening: Happening) -> Result<(), String> {
        match happening {
            Happening::Run { at, run, what } => self.run(at, run, what),
            Happening::Start { at } => self.start(at),
            Happening::Wire { conn } => {
                self.wire(conn);
                Ok(())
            }
            Happening::Arrive { conn } => self.arrive(conn),
            Happening::Land { at, run, number, base, record } => self.land(at, run, number, base, &record),
            Happening::Look { at, run, number } => {
                self.look(at, run, number);
                Ok(())
            }
            Happening::Repair => {
                self.repair();
                Ok(())
            }
            Happening::Heal => {
                self.heal();
                Ok(())
            }
            Happening::Client => self.client(),
            Happening::Fault => self.fault(),
        }
    }

    fn run(&mut self, at: usize, run: u64, what: What) -> Result<(), String> {
        let paused_until_ms = self.machines[at].paused_until_ms;
        if paused_until_ms > self.now_ms {
            self.agenda.push(paused_until_ms, Happening::Run { at, run, what });
            return Ok(());
        }
        self.with_process(at, run, |world, process| world.take(process, what))
    }

    /// Does something with a process; if it dies of it, that is seen to.
    pub(crate) fn with_process(
        &mut self,
        at: usize,
        run: u64,
        act: impl FnOnce(&mut Self, &mut Process) -> Outcome,
    ) -> Result<(), String> {
        let Some(mut process) = self.machines[at].process.take_if(|process| process.run == run) else {
            return Ok(());
        };
        let outcome = act(self, &mut process);
        self.machines[at].process = Some(process);
        match outcome {
            Ok(()) if self.machines[at].disk.has_crashed() => {
                self.die(at, "the disk has gone");
                Ok(())
            }
            Ok(()) => Ok(()),
            Err(Trouble::Died(why)) => {
                self.die(at, &why);
                Ok(())
            }
            Err(Trouble::Broken(why)) => Err(why),
        }
    }
}
