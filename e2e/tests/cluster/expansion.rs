//! Disks grow while brokers run.
//!
//! The volumes of the test nodes are folders, which nobody enlarges: the class here only says that they can grow, and this test
//! plays the part of a volume plugin, in its own time.

use std::time::Duration;

use crds::BrokerCluster;
use crds::broker_config::BrokerConfig;
use e2e::cluster::Place;
use e2e::wait;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::json;

const SOON: Duration = Duration::from_mins(1);
const CLASS: &str = "millpond-e2e-expandable";
const CLAIMS: [&str; 2] = ["data-shop-g0-0", "data-shop-g0-1"];

/// The default class, with the word that its volumes can grow.
async fn class(here: &Place) {
    let classes: Api<StorageClass> = Api::all(here.client.clone());
    let all = classes.list(&ListParams::default()).await.expect("the classes").items;
    let default = "storageclass.kubernetes.io/is-default-class";
    let is_default = |class: &&StorageClass| {
        let annotations = class.metadata.annotations.as_ref();
        annotations.and_then(|all| all.get(default)).is_some_and(|value| value == "true")
    };
    let found = all.iter().find(is_default).expect("a default class");
    let class = json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": { "name": CLASS },
        "provisioner": found.provisioner, "reclaimPolicy": found.reclaim_policy,
        "volumeBindingMode": found.volume_binding_mode, "allowVolumeExpansion": true,
    });
    here.apply(&class.to_string());
}

/// Bytes of the log that brokers are told to keep.
async fn kept(here: &Place) -> Option<u64> {
    let configs: Api<ConfigMap> = here.api();
    let config = configs.get("shop-g0").await.ok()?.data?.into_values().next()?;
    BrokerConfig::from_yaml(&config).ok()?.log.retention_bytes
}

fn pods(here: &Place) -> String {
    here.kubectl(&["get", "pods", "-o", "jsonpath={.items[*].metadata.uid}"]).text
}

/// Waits until condition Reconciling has this reason.
async fn reconciling(here: &Place, reason: &str) {
    let clusters: Api<BrokerCluster> = here.api();
    wait::eventually(&format!("Reconciling has reason {reason}"), SOON, async || {
        let status =
            clusters.get("shop").await.map_err(|error| error.to_string())?.status.unwrap_or_default();
        let found = status.conditions.iter().find(|one| one.type_ == "Reconciling").cloned();
        found.filter(|one| one.reason == reason).map(drop).ok_or_else(|| format!("{:?}", status.conditions))
    })
    .await;
}

/// What a volume plugin does with a claim that asks for more.
async fn enlarge(here: &Place, claim: &str) {
    let claims: Api<PersistentVolumeClaim> = here.api();
    let volumes: Api<PersistentVolume> = Api::all(here.client.clone());
    let found = claims.get(claim).await.expect("the claim");
    let spec = found.spec.expect("a spec");
    let size = spec.resources.and_then(|all| all.requests?.get("storage").cloned()).expect("a size");
    let (name, params) = (spec.volume_name.expect("a volume"), PatchParams::default());
    let capacity = json!({ "spec": { "capacity": { "storage": size } } });
    volumes.patch(&name, &params, &Patch::Merge(&capacity)).await.expect("the volume is enlarged");
    let capacity = json!({ "status": { "capacity": { "storage": size } } });
    claims.patch_status(claim, &params, &Patch::Merge(&capacity)).await.expect("the claim says so");
}

#[tokio::test(flavor = "multi_thread")]
async fn brokers_keep_more_once_every_disk_of_their_group_is_larger() {
    let here = Place::new("expansion").await;
    class(&here).await;
    let yaml = super::shop("").replace("copies: 1", "copies: 2");
    let sized = |size: &str| yaml.replace("{size: 1Gi}", &format!("{{size: {size}, className: {CLASS}}}"));
    here.apply(&sized("1Gi"));
    here.ready::<BrokerCluster>("shop").await;
    let (before, brokers) = (kept(&here).await.expect("a configuration"), pods(&here));

    here.apply(&sized("2Gi"));
    reconciling(&here, "Growing").await;
    assert_eq!(kept(&here).await, Some(before), "the disks are as they were");
    enlarge(&here, CLAIMS[0]).await;
    wait::eventually("one of two has grown", SOON, async || {
        let clusters: Api<BrokerCluster> = here.api();
        let status =
            clusters.get("shop").await.map_err(|error| error.to_string())?.status.unwrap_or_default();
        let is_told = |one: &Condition| one.message == "Kubernetes enlarges data-shop-g0-1 (1Gi of 2Gi)";
        if status.conditions.iter().any(is_told) { Ok(()) } else { Err(format!("{:?}", status.conditions)) }
    })
    .await;
    assert_eq!(kept(&here).await, Some(before), "the smallest disk counts");
    enlarge(&here, CLAIMS[1]).await;
    wait::eventually("brokers are told", SOON, async || {
        let found = kept(&here).await;
        if found > Some(before) { Ok(()) } else { Err(format!("{found:?}")) }
    })
    .await;
    here.ready::<BrokerCluster>("shop").await;
    reconciling(&here, "Settled").await;
    assert_eq!(pods(&here), brokers, "nobody was restarted");
    here.kubectl(&["delete", "storageclass", CLASS]);
    here.remove().await;
}
