//! YAML that cannot be carried out is refused with a sentence that says what to do instead.

use e2e::cluster::Place;
use e2e::{matrix, place};

#[tokio::test(flavor = "multi_thread")]
async fn invalid_yaml_is_refused_with_a_sentence() {
    let here = Place::new("refusal").await;
    let too_strict = super::shop("").replace("copies: 1", "copies: 2, minInSync: 3");
    let small_disk = super::shop("").replace("1Gi", "1Mi");
    let mut capital = String::new();
    matrix::object(&mut capital, "Topic", "orders", "shop", "name: \"a b\"");
    let mut backoff = String::new();
    matrix::object(&mut backoff, "ConsumerGroup", "g", "shop", "retry: {backoff: {}}");
    for (yaml, sentence) in [
        (too_strict, "lower minInSync or raise copies"),
        (small_disk, "must be a quantity of at least 64Mi"),
        (capital, "must consist of letters, digits"),
        (backoff, "give exactly one of custom and exponential"),
    ] {
        let said = here.refusal(&yaml);
        assert!(said.contains(sentence), "{said}");
    }
    here.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_cannot_move_to_another_cluster() {
    let here = Place::new("move").await;
    here.apply(&super::pair("orders"));
    let said = here.refusal(&super::pair("orders").replace("{name: shop}", "{name: store}"));
    assert!(said.contains("create another Topic"), "{said}");
    here.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_example_is_accepted() {
    let here = Place::new("examples").await;
    for entry in std::fs::read_dir(place::root().join("examples")).expect("the examples") {
        let path = entry.expect("a file").path();
        // What lies in folders are configurations of brokers without Kubernetes (`crds/tests/examples.rs`).
        if path.is_dir() {
            continue;
        }
        let said = here.kubectl(&["apply", "--dry-run=server", "-f", &path.display().to_string()]);
        assert!(said.ok, "{}: {}", path.display(), said.text);
    }
    here.remove().await;
}
