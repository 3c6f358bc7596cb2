//! The checker: exhausts a configuration, or finds the shortest way to break it.

use stateright::{Checker, Model, Property};

use crate::action::Action;
use crate::world::{Config, World};

impl Config {
    /// A group at rest with a leader and the full set; `changes` is counted from here.
    pub fn formed(mut self) -> (Self, World) {
        let mut world = World::new(&self);
        let healed = world.heal(&self);
        assert_eq!(healed, Ok(()), "{}: {world:#?}", self.name);
        world.seal();
        world.older = self.stale_reads.then(|| world.seen.clone());
        self.changes += world.seen.record.revision;
        (self, world)
    }
}

/// A configuration and where it begins.
#[derive(Clone)]
pub struct Checked {
    pub config: Config,
    pub initial: World,
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
        vec![Property::always("nothing is wrong", |_, world: &World| world.wrong.is_none())]
    }
}

/// Visits every state that is reachable within the bounds.
pub fn exhaust(config: Config) -> usize {
    let (config, initial) = config.formed();
    let name = config.name;
    let checker = Checked { config, initial }.checker().threads(2).spawn_bfs().join();
    let states = checker.unique_state_count();
    println!("{name}: {states} states, {} steps deep", checker.max_depth());
    if let Some(path) = checker.discovery("nothing is wrong") {
        panic!("{name}: {}", told(path));
    }
    assert!(checker.is_done() && states > 0, "{name}: cut off after {states} states");
    states
}

/// What is found once a rule is taken away.
pub fn broken(config: Config) -> String {
    let (config, initial) = config.formed();
    let name = config.name;
    let checker = Checked { config, initial }.checker().threads(2).spawn_bfs().join();
    let states = checker.unique_state_count();
    let path = checker.discovery("nothing is wrong");
    let path = path.unwrap_or_else(|| panic!("{name}: nothing is wrong in {states} states"));
    let text = told(path);
    println!("{name}: found after {states} states: {text}");
    text
}

fn told(path: stateright::Path<World, Action>) -> String {
    let wrong = path.last_state().wrong.clone().unwrap_or_default();
    let actions: Vec<_> = path.into_actions().iter().map(|action| format!("{action:?}")).collect();
    format!("{wrong}\n  {} steps: {}", actions.len(), actions.join(" "))
}
