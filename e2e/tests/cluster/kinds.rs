//! Messages of every kind, read in every way, while pods are killed: with one copy and with three.

use e2e::cluster::copies::Copies;
use e2e::kinds;
use e2e::traffic::Targets;

#[test]
fn leaders_of_three_copies_killed_keep_the_promises_of_every_kind() {
    keep_promises("kinds", 3);
}

#[test]
fn the_only_copy_killed_keeps_the_promises_of_every_kind() {
    keep_promises("lonely", 1);
}

fn keep_promises(name: &str, copies: usize) {
    let mut group = Copies::start(name, copies);
    let told = kinds::live_through(&mut group, |group, clients| {
        group.delete(group.leader());
        clients.flow();
        group.converge(copies);
    });
    println!("{copies} copies, leader killed three times: {told}");
    group.remove();
}
