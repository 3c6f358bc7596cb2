//! Against the same API that the Lease is tested with: it compares and swaps, and merges patches.

use serde_json::json;
use tokio::task::JoinHandle;

use super::*;
use crate::conformance::fake_api::{FakeApi, Way};
use crate::memory::Fault;

fn own(ordinal: u8) -> Whereabouts {
    let ips = vec![IpAddr::from([10, 0, 0, ordinal]), format!("fd00::{ordinal}").parse().unwrap()];
    Whereabouts { pod: format!("shop-g0-{ordinal}"), ips, port: 8081 }
}

fn slice() -> FakeApi {
    let api = FakeApi::without_slice();
    api.make_slice("IPv4");
    api
}

fn member(api: &FakeApi, ordinal: u8) -> (Signpost, Way) {
    let (client, way) = api.client();
    (Signpost::new(client, "mq", "shop-g0-leader", own(ordinal)), way)
}

/// A member that runs, to be told whether it leads.
fn runs(api: &FakeApi, ordinal: u8) -> (watch::Sender<Option<u32>>, Way, JoinHandle<()>) {
    let (signpost, way) = member(api, ordinal);
    let (sender, led) = watch::channel(None);
    (sender, way, tokio::spawn(signpost.follow(led)))
}

/// The pod that clients are led to, and the epoch it wrote.
fn told(api: &FakeApi) -> (Value, Value) {
    let object = api.object().unwrap();
    (
        object["endpoints"][0]["targetRef"]["name"].clone(),
        object["metadata"]["annotations"][EPOCH_ANNOTATION].clone(),
    )
}

/// Time that is only pretended, so that tasks have done all they can.
async fn pass(seconds: u64) {
    sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test]
async fn a_leader_writes_address_port_and_epoch_and_nothing_else() {
    let api = slice();
    assert_eq!(member(&api, 1).0.point(7).await, Ok(true));
    assert_eq!(
        api.patches(),
        [json!({
            "metadata": { "resourceVersion": "1", "annotations": { "millpond.io/epoch": "7" } },
            "endpoints": [{
                "addresses": ["10.0.0.1"],
                "conditions": { "ready": true, "serving": true, "terminating": false },
                "targetRef": { "kind": "Pod", "namespace": "mq", "name": "shop-g0-1" },
            }],
            "ports": [{ "name": "client", "port": 8081, "protocol": "TCP" }],
        })]
    );
    assert_eq!(api.object().unwrap()["metadata"]["annotations"]["example.org/theirs"], "kept");
    assert_eq!(member(&api, 1).0.point(7).await, Ok(false), "what is there is not written again");
    assert_eq!(api.patches().len(), 1);
}

#[tokio::test]
async fn an_earlier_epoch_never_takes_the_place_of_a_later_one() {
    let api = slice();
    let (old, new) = (member(&api, 0).0, member(&api, 1).0);
    assert_eq!(old.point(7).await, Ok(true));
    assert_eq!(new.point(8).await, Ok(true));
    let overtaken = SignpostError::Overtaken { name: "shop-g0-leader".to_owned(), found: 8 };
    assert_eq!(old.point(7).await, Err(overtaken));
    assert_eq!(old.withdraw(7).await, Ok(()));
    assert_eq!(told(&api), (json!("shop-g0-1"), json!("8")));
}

#[tokio::test(start_paused = true)]
async fn a_write_that_was_long_on_its_way_replaces_nothing() {
    let api = slice();
    let (old, way) = member(&api, 0);
    way.set(Fault::Late);
    assert!(matches!(old.point(7).await, Err(SignpostError::Call(_))), "no answer in time");
    assert_eq!(member(&api, 1).0.point(8).await, Ok(true));
    api.deliver(&way);
    assert_eq!(told(&api), (json!("shop-g0-1"), json!("8")));
    assert_eq!(api.patches().len(), 2, "it did arrive");
}

#[tokio::test(start_paused = true)]
async fn a_leader_tries_until_its_address_is_there() {
    let api = FakeApi::without_slice();
    let (led, way, task) = runs(&api, 1);
    led.send_replace(Some(7));
    pass(60).await;
    api.make_slice("IPv4");
    way.set(Fault::Unreachable);
    pass(60).await;
    way.set(Fault::None);
    for code in [409, 500, 503] {
        way.refuse(code);
    }
    pass(60).await;
    assert_eq!(told(&api), (json!("shop-g0-1"), json!("7")));
    assert!(!task.is_finished());
}

#[tokio::test(start_paused = true)]
async fn what_somebody_changed_is_put_back() {
    let api = slice();
    let (led, _, _) = runs(&api, 1);
    led.send_replace(Some(7));
    pass(1).await;
    let right = api.object().unwrap();
    let spoil: [fn(&mut Value); 4] = [
        |object| object["endpoints"] = json!([]),
        |object| object["endpoints"][0]["addresses"] = json!(["10.9.9.9"]),
        |object| object["ports"][0]["port"] = json!(1),
        |object| object["metadata"]["annotations"][EPOCH_ANNOTATION] = json!("soon"),
    ];
    for spoil in spoil {
        api.edit(spoil);
        pass(31).await;
        let mut object = api.object().unwrap();
        object["metadata"]["resourceVersion"].clone_from(&right["metadata"]["resourceVersion"]);
        assert_eq!(object, right);
    }
    assert_eq!(api.patches().len(), 5);
}

#[tokio::test(start_paused = true)]
async fn whoever_leads_no_more_stops_writing_and_leaves_the_others_alone() {
    let api = slice();
    let (led, way, _) = runs(&api, 0);
    led.send_replace(Some(7));
    pass(1).await;
    way.set(Fault::Unreachable);
    api.edit(|object| object["endpoints"] = json!([]));
    pass(31).await;
    led.send_replace(None);
    way.set(Fault::None);
    pass(120).await;
    assert_eq!(api.patches().len(), 1);
    led.send_replace(Some(9));
    pass(1).await;
    assert_eq!(told(&api), (json!("shop-g0-0"), json!("9")));
}

#[tokio::test(start_paused = true)]
async fn who_stops_takes_its_own_address_away() {
    let api = slice();
    let (led, _, task) = runs(&api, 0);
    led.send_replace(Some(7));
    pass(1).await;
    led.send_replace(None);
    drop(led);
    task.await.unwrap();
    assert_eq!(api.object().unwrap()["endpoints"], json!([]));
    assert_eq!(told(&api).1, "7", "the next one has to be of a later epoch");
    let (led, _, task) = runs(&api, 1);
    drop(led);
    task.await.unwrap();
    assert_eq!(api.patches().len(), 2, "one that never led has nothing to take away");
}

#[tokio::test]
async fn the_address_is_of_the_family_that_the_slice_is_for() {
    let api = FakeApi::without_slice();
    api.make_slice("IPv6");
    let (mut signpost, _) = member(&api, 3);
    assert_eq!(signpost.point(1).await, Ok(true));
    assert_eq!(api.object().unwrap()["endpoints"][0]["addresses"], json!(["fd00::3"]));
    signpost.own.ips.truncate(1);
    assert_eq!(signpost.point(2).await, Err(SignpostError::Family("IPv6".to_owned())));
}
