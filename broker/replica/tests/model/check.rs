//! The checker: exhausts a configuration, or finds the shortest way to break it.

use std::io::Write;

use stateright::{Checker, HasDiscoveries, Model, Property};

use crate::action::Action;
use crate::world::{Config, World};

impl Config {
    /// A group at rest with a leader and the full set; `changes` is counted from here.
    pub fn formed(mut self) -> (Self, World) {
        let mut world = World::new(&self);
        let healed = world.heal(&self);
        assert_eq!(healed, Ok(()), "{}: {world:#?}", self.name);
        for action in self.prelude.clone() {
            world.apply(&self, action);
        }
        world.seal();
        world.older = self.stale_reads.then(|| world.seen.clone());
        self.changes += world.seen.record.revision;
        (self, world)
    }
}

const SAFE: &str = "nothing is wrong";
const LIVE: &str = "without further faults there is a leader and the full set";

/// A configuration and where it begins.
#[derive(Clone)]
pub struct Checked {
    pub config: Config,
    pub initial: World,
    /// From one of so many states a run without faults is tried; 0: from none.
    pub heals_every: u64,
}

impl Model for Checked {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![self.initial.clone()]
    }

    fn actions(&self, world: &World, out: &mut Vec<Action>) {
        if world.wrong.is_none() {
            world.actions(&self.config, out);
        }
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        next.apply(&self.config, action);
        (next != *world).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(SAFE, |_, world: &World| world.wrong.is_none()),
            Property::always(LIVE, |model: &Self, world: &World| {
                model.heals_every == 0
                    || !world.digest().is_multiple_of(model.heals_every)
                    || model.heals(world).is_ok()
            }),
        ]
    }
}

impl Checked {
    fn heals(&self, world: &World) -> Result<(), String> {
        if world.wrong.is_some() || world.is_excused || world.is_beyond_help() {
            return Ok(());
        }
        let mut world = world.clone();
        world.heal(&self.config)
    }

    fn run(self) -> impl Checker<Self> {
        self.checker().threads(2).finish_when(HasDiscoveries::Any).spawn_bfs().join()
    }
}

/// Visits every state that is reachable within the bounds.
pub fn exhaust(config: Config, heals_every: u64) {
    let (config, initial) = config.formed();
    let name = config.name;
    let checker = Checked { config, initial, heals_every }.run();
    let states = checker.unique_state_count();
    tell(&format!("{name}: {states} states, {} steps deep", checker.max_depth()));
    if let Some((what, path)) = checker.discoveries().into_iter().next() {
        let end = path.last_state().clone();
        let healed = checker.model().heals(&end);
        panic!("{name}: not so: {what}: {healed:?}, {}", told(path));
    }
    assert!(checker.is_done() && states > 1, "{name}: cut off after {states} states");
}

/// What is found once a rule is taken away.
pub fn broken(config: Config) {
    let (config, initial) = config.formed();
    let name = config.name;
    let checker = Checked { config, initial, heals_every: 0 }.run();
    let states = checker.unique_state_count();
    let path = checker.discovery(SAFE);
    let path = path.unwrap_or_else(|| panic!("{name}: nothing is wrong in {states} states"));
    tell(&format!("without {name}: found after {states} states: {}", told(path)));
}

/// Says it although the output of tests that pass is not shown: how much was looked at is part of the promise.
fn tell(line: &str) {
    let written = writeln!(std::io::stderr(), "{line}");
    assert!(written.is_ok(), "standard error is closed");
}

fn told(path: stateright::Path<World, Action>) -> String {
    let wrong = path.last_state().wrong.clone().unwrap_or_default();
    let actions: Vec<_> = path.into_actions().iter().map(|action| format!("{action:?}")).collect();
    format!("{wrong}\n  {} steps: {}", actions.len(), actions.join(" "))
}
