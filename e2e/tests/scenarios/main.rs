//! Every feature with every SDK, wherever brokers run; with copies and in Kubernetes, leaders are killed meanwhile.
//!
//! `make scenarios` runs all of it, `tests/cluster/scenarios.rs` a part.

use e2e::cells::{self, Cell};
use e2e::scenarios::site::Site;
use e2e::scenarios::{self, Feature};

/// How often the leader is killed while the programs of one line run.
const BLOWS: usize = 2;
/// What runs at a time: more at once would measure how long this machine takes to start so many programs.
const LINES: [[Feature; 2]; 4] = [
    [Feature::Order, Feature::Delay],
    [Feature::Transactions, Feature::Priority],
    [Feature::Tags, Feature::Sql],
    [Feature::Retry, Feature::DeadLetters],
];

fn keep_promises(site: impl FnOnce(&[scenarios::Play]) -> Site, cells: &[Cell], blows: usize) {
    let mut site = site(&scenarios::plays(&Feature::ALL, cells));
    let mut wrong = Vec::new();
    for line in LINES {
        wrong.extend(scenarios::problems(&mut site, &scenarios::plays(&line, cells), blows));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    site.remove();
}

#[test]
fn a_broker_of_its_own_keeps_the_promises() {
    keep_promises(Site::standalone, &cells::all(), 0);
}

#[test]
fn three_copies_keep_the_promises_while_leaders_are_killed() {
    keep_promises(|plays| Site::standalone_copies(3, plays), &cells::all(), BLOWS);
}

#[test]
fn one_copy_in_kubernetes_keeps_the_promises_while_it_is_killed() {
    keep_promises(|plays| Site::kubernetes("one", 1, plays), &cells::all(), BLOWS);
}

#[test]
fn three_copies_in_kubernetes_keep_the_promises_while_leaders_are_killed() {
    keep_promises(|plays| Site::kubernetes("three", 3, plays), &cells::all(), BLOWS);
}
