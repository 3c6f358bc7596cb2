//! A real Kubernetes with the operator: what a user of `kubectl` and of the SDKs sees.
//!
//! Each test has a namespace of its own and leaves it behind when it fails. `make test` brings the cluster.

mod copies;
mod copies_change;
mod copies_sdk;
mod deletion;
mod drift;
mod expansion;
mod kinds;
mod kubectl;
mod leader_address;
mod lifecycle;
mod listeners;
mod load;
mod lost_disk;
mod lost_record;
mod many;
mod mutations;
mod offsets;
mod refusal;
mod rollout;
mod rollout_figures;
mod scale;
mod scaling;
mod scenarios;
mod streams;
mod tenants;

use e2e::matrix;

/// A small cluster named `shop` that works on its own.
fn shop(extra: &str) -> String {
    format!(
        "apiVersion: millpond.io/v1alpha1\nkind: BrokerCluster\nmetadata: {{name: shop}}\n\
         spec: {{groups: 1, copies: 1, storage: {{size: 1Gi}}, flush: Async{extra}}}\n"
    )
}

/// A topic and a consumer group of the same name in `shop`.
fn pair(name: &str) -> String {
    let mut yaml = String::new();
    matrix::object(&mut yaml, "Topic", name, "shop", "queues: {perGroup: 4}");
    matrix::object(&mut yaml, "ConsumerGroup", name, "shop", "retry: {backoff: {custom: [1s]}}");
    yaml
}
