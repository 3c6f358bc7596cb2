//! Long random runs of three members with all faults: far beyond the bounds that can be exhausted.

use crate::action::Action;
use crate::config::request;
use crate::world::Config;

const RUNS: u64 = 250;
const STEPS: usize = 400;

/// Numbers that only depend on the seed.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % end as u64) as usize
    }
}

fn config(seed: u64) -> Config {
    let mut config = Config {
        name: "a long run",
        members: 3,
        first: 3,
        min_in_sync: 1 + (seed % 2) as u32,
        writes: 200,
        epochs: 200,
        changes: 200,
        crashes: 200,
        powers: if seed.is_multiple_of(3) { 200 } else { 0 },
        breaks: 200,
        wipes: if seed.is_multiple_of(5) { 2 } else { 0 },
        hand_overs: 200,
        trims: 20,
        requests: vec![request(3, 2), request(2, 1), request(3, 1), request(3, 2)],
        capacity: 3,
        stalls: true,
        is_slow: seed.is_multiple_of(2),
        remembers: seed % 4 < 2,
        all_beat: true,
        late_acks: seed % 7 < 3,
        ..Config::default()
    };
    config.settings.flush_sync = seed.is_multiple_of(9);
    config
}

/// Faults and elections are rarer than work, or nothing would ever be committed.
fn weight(action: Action) -> usize {
    match action {
        Action::HandOverExpired(_)
        | Action::Crash(_)
        | Action::PowerLoss(..)
        | Action::Wipe(_)
        | Action::Break(..)
        | Action::Request => 1,
        Action::Campaign(..) | Action::Stall(..) | Action::HandOver(_) | Action::Trim(_) => 2,
        Action::Write(_) | Action::Sync(_) | Action::SawOlder(_) => 30,
        Action::Told(_) | Action::Answer(_) | Action::Saw(_) | Action::Land(_) => 60,
        Action::Ship(..) | Action::Deliver(..) | Action::Beat(..) | Action::Restart(_) => 90,
    }
}

/// One run; returns how much was acknowledged.
fn walk(seed: u64) -> usize {
    let (config, mut world) = config(seed).formed();
    let mut numbers = Numbers(seed);
    let mut steps = Vec::new();
    for _ in 0..STEPS {
        let mut actions = Vec::new();
        world.actions(&config, &mut actions);
        let total: usize = actions.iter().map(|action| weight(*action)).sum();
        let mut drawn = numbers.below(total.max(1));
        let chosen = actions.into_iter().find(|action| {
            let is_it = drawn < weight(*action);
            drawn = drawn.wrapping_sub(weight(*action));
            is_it
        });
        let Some(action) = chosen else { break };
        steps.push(action);
        world.apply(&config, action);
        assert_eq!(world.wrong, None, "seed {seed}, {} steps: {steps:?}", steps.len());
        if world.is_excused || world.is_beyond_help() {
            return world.acknowledged.len();
        }
    }
    let acknowledged = world.acknowledged.len();
    let healed = world.heal(&config);
    assert_eq!(healed, Ok(()), "seed {seed} does not heal after {} steps: {steps:?}", steps.len());
    acknowledged
}

#[test]
fn nothing_is_lost_in_long_runs() {
    let acknowledged: usize = (0..RUNS).map(walk).sum();
    println!("{RUNS} runs of {STEPS} steps: {acknowledged} entries acknowledged");
    assert!(acknowledged > RUNS as usize * 10, "only {acknowledged} were acknowledged");
}
