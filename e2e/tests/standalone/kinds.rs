//! Messages of every kind, read in every way, while brokers die: with one copy and with three.

use e2e::broker::Broker;
use e2e::kinds;
use e2e::members::Members;
use e2e::traffic::Targets;

/// The only broker.
struct Alone(Broker);

impl Targets for Alone {
    fn endpoints(&self) -> Vec<String> {
        vec![self.0.endpoint()]
    }

    fn admin(&self, _: usize) -> String {
        self.0.admin()
    }

    fn leader(&self) -> usize {
        0
    }
}

#[test]
fn the_only_broker_killed_keeps_the_promises_of_every_kind() {
    let mut alone = Alone(Broker::start(&kinds::manifests()));
    let told = kinds::live_through(&mut alone, |alone, clients| {
        alone.0.kill_and_restart();
        clients.flow();
    });
    println!("{told}");
}

#[test]
fn leaders_killed_one_after_another_keep_the_promises_of_every_kind() {
    let mut members = Members::start(3, &kinds::manifests());
    let told = kinds::live_through(&mut members, |members, clients| {
        let leader = members.leader();
        members.kill(leader);
        clients.flow();
        members.launch(leader);
        members.converge();
    });
    println!("{told}");
}
