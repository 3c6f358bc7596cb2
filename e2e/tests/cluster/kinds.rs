//! Messages in order, for later and in transactions, while pods are killed: with one copy and with three.

use e2e::cluster::copies::Copies;
use e2e::kinds::Kinds;
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
    let group = Copies::start(name, copies);
    let clients = Kinds::start(&group);
    for _ in 0..2 {
        group.delete(group.leader());
        clients.flow();
        group.converge(copies);
    }
    println!("{copies} copies, leader killed twice: {}", clients.finish());
    group.remove();
}
