//! Consumer groups that are moved by their manifest, and broadcasts.

use crds::{BrokerCluster, ConsumerGroup, Topic};
use e2e::cluster::Place;
use e2e::matrix;

const POD: &str = "shop-g0-0";
const MESSAGES: usize = 5;

fn manifests() -> String {
    let mut yaml = super::shop("");
    matrix::object(&mut yaml, "Topic", "orders", "shop", "queues: {perGroup: 2}");
    matrix::object(&mut yaml, "ConsumerGroup", "billing", "shop", "consumeFrom: Earliest");
    matrix::object(&mut yaml, "ConsumerGroup", "prices", "shop", "delivery: BroadcastByClient");
    yaml
}

/// How many messages a new client of the group gets.
fn receive(here: &Place, group: &str) -> usize {
    let max = (2 * MESSAGES).to_string();
    let said = here.millpond(POD, &["receive", "orders", "--group", group, "--max", &max]);
    said.text.lines().filter(|line| line.contains("number ")).count()
}

fn patch(here: &Place, reset: &str) {
    let patch = format!("{{\"spec\":{{\"reset\":{reset}}}}}");
    let said = here.kubectl(&["patch", "consumergroup", "billing", "--type", "merge", "--patch", &patch]);
    assert!(said.ok, "{}", said.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_moves_its_group_once_and_a_broadcast_reaches_every_client() {
    let here = Place::new("offsets").await;
    here.apply(&manifests());
    here.ready::<BrokerCluster>("shop").await;
    here.ready::<Topic>("orders").await;
    for group in ["billing", "prices"] {
        here.ready::<ConsumerGroup>(group).await;
    }
    for number in 0..MESSAGES {
        let said = here.millpond(POD, &["send", "orders", &format!("number {number}")]);
        assert!(said.ok, "{}", said.text);
    }
    assert_eq!(receive(&here, "billing"), MESSAGES);
    assert_eq!(receive(&here, "billing"), 0);
    // Each run of the command line is a client of its own.
    assert_eq!(receive(&here, "prices"), MESSAGES);
    assert_eq!(receive(&here, "prices"), MESSAGES);

    patch(&here, "{\"id\":\"again\",\"to\":\"Earliest\"}");
    let status = here.ready::<ConsumerGroup>("billing").await.status.expect("a status");
    assert_eq!(status.reset_id.as_deref(), Some("again"));
    assert_eq!(receive(&here, "billing"), MESSAGES);

    patch(&here, "{\"id\":\"wrong\",\"to\":\"Earliest\",\"topics\":[\"nothing\"]}");
    let refused = here.condition::<ConsumerGroup>("billing", "False").await;
    assert!(refused.message.contains("`nothing` does not exist"), "{}: {}", refused.reason, refused.message);
    patch(&here, "null");
    let status = here.ready::<ConsumerGroup>("billing").await.status.expect("a status");
    assert_eq!(status.reset_id.as_deref(), Some("again"), "the last one that was done");
    assert_eq!(receive(&here, "billing"), 0);
    here.remove().await;
}
