//! One operator, any number of clusters and namespaces.

use crds::{ConsumerGroup, Topic};
use e2e::cluster::Place;
use e2e::sdk::{Call, Mode, Scenario, Sdk};
use e2e::{matrix, verify};

#[tokio::test(flavor = "multi_thread")]
async fn clusters_of_the_same_name_in_two_namespaces_do_not_see_each_other() {
    let (left, right) = (Place::new("left").await, Place::new("right").await);
    for here in [&left, &right] {
        here.apply(&(super::shop("") + &super::pair("orders")));
    }
    let mut only_left = String::new();
    matrix::object(&mut only_left, "Topic", "only-left", "shop", "queues: {perGroup: 1}");
    left.apply(&only_left);
    for here in [&left, &right] {
        here.ready::<Topic>("orders").await;
        here.ready::<ConsumerGroup>("orders").await;
        let reach = here.reach("shop").await;
        let call = Call::new(Sdk::Go, Mode::Simple, reach.endpoint(), "orders", "orders");
        let report = call.run(Scenario::Roundtrip, matrix::COUNT).expect("a report");
        assert_eq!(
            verify::problems(&call, Scenario::Roundtrip, matrix::COUNT, &report),
            Vec::<String>::new()
        );
    }
    left.ready::<Topic>("only-left").await;
    let list = |here: &Place| here.millpond("shop-g0-0", &["topics", "list", "-o", "json"]).text;
    assert!(list(&left).contains("only-left"), "{}", list(&left));
    assert!(!list(&right).contains("only-left"), "{}", list(&right));
    left.remove().await;
    right.remove().await;
}
