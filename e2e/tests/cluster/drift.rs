//! What somebody changes behind the operator's back is undone.

use std::time::Duration;

use crds::{BrokerCluster, Topic};
use e2e::cluster::Place;
use e2e::wait;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Service;
use kube::Api;

const UNDONE_WITHIN: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread")]
async fn deleted_and_edited_children_come_back() {
    let here = Place::new("drift").await;
    here.apply(&super::shop(""));
    here.ready::<BrokerCluster>("shop").await;
    assert!(here.kubectl(&["delete", "service", "shop"]).ok);
    let services: Api<Service> = here.api();
    wait::eventually("the Service is back", UNDONE_WITHIN, async || {
        services.get("shop").await.map(drop).map_err(|error| error.to_string())
    })
    .await;
    let said = here.kubectl(&["scale", "statefulset", "shop-g0", "--replicas", "0"]);
    assert!(said.ok, "{}", said.text);
    let sets: Api<StatefulSet> = here.api();
    wait::eventually("the StatefulSet has its broker again", UNDONE_WITHIN, async || {
        let set = sets.get("shop-g0").await.map_err(|error| error.to_string())?;
        let replicas = set.spec.and_then(|spec| spec.replicas);
        if replicas == Some(1) { Ok(()) } else { Err(format!("{replicas:?} replicas")) }
    })
    .await;
    here.ready::<BrokerCluster>("shop").await;
    here.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_deleted_in_the_broker_comes_back() {
    let here = Place::new("topicdrift").await;
    here.apply(&(super::shop("") + &super::pair("orders")));
    here.ready::<Topic>("orders").await;
    let said = here.millpond("shop-g0-0", &["topics", "delete", "orders"]);
    assert!(said.ok, "{}", said.text);
    wait::eventually("the broker has the topic again", UNDONE_WITHIN, async || {
        let said = here.millpond("shop-g0-0", &["topics", "list", "-o", "json"]);
        if said.text.contains("\"orders\"") { Ok(()) } else { Err(said.text) }
    })
    .await;
    here.remove().await;
}
