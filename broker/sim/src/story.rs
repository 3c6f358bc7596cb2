//! What happens, by seed.

use crate::invariant::no_wake_is_lost;
use crate::world::World;

/// Trouble lasts so many steps.
const STEPS: u64 = 600;

/// A broken promise.
#[derive(Debug)]
pub struct Failure {
    /// `run` with it fails again.
    pub seed: u64,
    /// The promise.
    pub why: String,
    /// What happened last.
    pub last_lines: Vec<String>,
}

/// What a story held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Messages sent.
    pub messages: u64,
    /// Times the broker went down.
    pub restarts: u64,
    /// Events that invariants saw.
    pub events: u64,
    /// Checksum of all that happened.
    pub trace: u64,
}

/// Plays the story of a seed; a failure comes with its last `lines_max` lines.
pub fn run(seed: u64, lines_max: usize) -> Result<Figures, Box<Failure>> {
    let failure = |why: String, last_lines| Box::new(Failure { seed, why, last_lines });
    let mut world = World::new(seed, lines_max).map_err(|why| failure(why, Vec::new()))?;
    let played = play(&mut world).and_then(|()| world.end());
    match played {
        Ok(()) => Ok(Figures {
            messages: world.next_message,
            restarts: world.restarts,
            events: world.events,
            trace: world.trace.checksum(),
        }),
        Err(why) => Err(failure(why, world.trace.last_lines())),
    }
}

fn play(world: &mut World) -> Result<(), String> {
    // Some stories are calm, others are not.
    let trouble_in = 8 << world.random.below(6);
    // In some, queues fill up; in others consumers wait.
    let send_in = 1 << world.random.below(5);
    for _ in 0..STEPS {
        match world.pick(0, 32) {
            30 | 31 => world.flee_or_stay()?,
            28 | 29 => world.broadcast_some()?,
            26 | 27 => world.pull_some()?,
            25 => world.move_or_read()?,
            22 => world.recall(),
            23 => world.decide()?,
            24 => world.check_transactions()?,
            0..4 if world.random.one_in(send_in) => world.send(),
            4..9 => world.step()?,
            0..4 | 9..13 => receive(world)?,
            13..17 => world.use_holding()?,
            17 => pass_time(world),
            18 => world.work()?,
            19.. => wait(world)?,
        }
        if world.random.below(trouble_in) == 0 {
            world.trouble()?;
        }
        if world.disk.has_crashed() {
            world.restart()?;
        }
    }
    Ok(())
}

fn receive(world: &mut World) -> Result<(), String> {
    let (reader, topic) = world.pick_reading();
    let max = world.pick(1, 33) as usize;
    let invisible_ms = world.pick(1, 60_000);
    world.receive(reader, &topic, max, invisible_ms, None).map(drop)
}

fn wait(world: &mut World) -> Result<(), String> {
    match world.pick(0, 4) {
        0 => world.begin_to_wait(),
        1 => {
            world.stop_waiting();
            Ok(())
        }
        _ => {
            world.step()?;
            if world.disk.has_crashed() { Ok(()) } else { no_wake_is_lost(world) }
        }
    }
}

/// Now and then the clock is set forward.
fn pass_time(world: &mut World) {
    let ms = match world.pick(0, 60) {
        0 => 86_400_000,
        1..=10 => 120_000,
        _ => 200,
    };
    world.now_ms += world.random.below(ms);
}
