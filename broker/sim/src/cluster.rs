//! A whole group of brokers in one thread: the real protocol, engine and store on simulated disks, with a simulated
//! network, arbiter and clock. The same seed, the same story.
//!
//! ```text
//!   Agenda (what happens when) --> Cluster { machines { SimDisk, Process { Member, Group, Writer } }, network, arbiter }
//!                                     | after every step: the logs of all copies, the record, what clients were told
//!                                     v
//!                                  invariants (`invariant/cluster`), the first one broken ends the story
//! ```
//!
//! A story has two parts: trouble, then peace, in which the group must recover by itself. The driver of a member is
//! written again here, step by step as `peer::driver` is, because the real one needs threads and sockets.
//! Not here: threads, TCP, the gateways.

mod agenda;
mod arbiter;
mod arbitration;
mod check;
mod clients;
mod copies;
mod driver;
mod faults;
mod machines;
mod moves;
mod network;
mod peace;
mod plan;
mod undelivered;
mod view;
mod wires;
mod world;

pub(crate) use arbiter::Object;
pub(crate) use view::{Batch, Views};
pub(crate) use world::{Machine, Process};

use crate::story::{Failure, Figures};
use crate::trace::Trace;
use world::Cluster;

/// Plays the story of a group; a failure comes with its last `lines_max` lines. Without lines there is no checksum of
/// the story either, which makes it faster.
pub fn run(seed: u64, lines_max: usize) -> Result<Figures, Box<Failure>> {
    let mut world = Cluster::new(seed, Trace::new(lines_max));
    match world.play() {
        Ok(()) => Ok(Figures {
            messages: world.clients.acknowledged.len() as u64,
            restarts: world.machines.iter().map(|machine| machine.runs).sum(),
            events: world.steps,
            trace: world.trace.checksum(),
        }),
        Err(why) => {
            let why = format!("{why} (after {} ms)", world.now_ms - world::START_MS);
            Err(Box::new(Failure { seed, why, last_lines: world.trace.last_lines() }))
        }
    }
}
