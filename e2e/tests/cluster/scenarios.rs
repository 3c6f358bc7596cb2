//! One SDK for each feature, all at once, while the leader of three copies is killed; `make scenarios` runs the rest.

use e2e::scenarios::site::Site;
use e2e::scenarios::{self, Feature, Play};
use e2e::sdk::{Mode, Sdk};

/// Spread over the SDKs.
const PLAYS: [(Feature, Sdk, Mode); 8] = [
    (Feature::Order, Sdk::Go, Mode::Simple),
    (Feature::Delay, Sdk::Python, Mode::Push),
    (Feature::Transactions, Sdk::Java, Mode::Simple),
    (Feature::Priority, Sdk::Node, Mode::Push),
    (Feature::Tags, Sdk::Python, Mode::Simple),
    (Feature::Sql, Sdk::Node, Mode::Simple),
    (Feature::Retry, Sdk::Go, Mode::Push),
    (Feature::DeadLetters, Sdk::Java, Mode::Push),
];

#[test]
fn each_feature_keeps_its_promise_while_the_leader_is_killed() {
    let plays: Vec<Play> = PLAYS.iter().map(|(feature, sdk, mode)| feature.by((*sdk, *mode))).collect();
    let mut site = Site::kubernetes("features", 3, &plays);
    scenarios::assert_kept(&mut site, &plays, 1);
    site.remove();
}
