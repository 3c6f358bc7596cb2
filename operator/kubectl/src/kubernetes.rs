//! The Kubernetes that is asked: the client, the namespace, and objects by name.

use std::time::Duration;

use crds::BrokerCluster;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Config, Resource};
use serde::de::DeserializeOwned;

use crate::cli::Place;
use crate::error::Failure;

const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);

/// Where to ask.
pub(crate) struct Kubernetes {
    /// The client.
    pub(crate) client: Client,
    /// The namespace that was named, or that of the context.
    pub(crate) namespace: String,
}

impl Kubernetes {
    /// Reads the kubeconfig as kubectl does. Nothing is asked yet.
    pub(crate) async fn connect(place: &Place) -> Result<Self, Failure> {
        let mut config = config(place).await?;
        config.connect_timeout = Some(CONNECT_TIME_MAX);
        let namespace = place.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let client = Client::try_from(config).map_err(|error| Failure::of("make a client", error))?;
        Ok(Self { client, namespace })
    }

    /// Objects of a kind in the namespace.
    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The object of that name.
    pub(crate) async fn get<K>(&self, name: &str) -> Result<K, Failure>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
        K: Clone + std::fmt::Debug + DeserializeOwned,
    {
        let plural = K::plural(&()).into_owned();
        match self.api::<K>().get(name).await {
            Ok(found) => Ok(found),
            Err(kube::Error::Api(status)) if status.is_not_found() => {
                // Of a kind that it does not know, the API server says which name it did not find either.
                if status.details.as_ref().is_some_and(|details| !details.name.is_empty()) {
                    let kind = K::kind(&()).into_owned();
                    let (name, namespace) = (name.to_owned(), self.namespace.clone());
                    Err(Failure::NoObject { kind, plural, name, namespace })
                } else {
                    Err(Failure::NotInstalled { plural })
                }
            }
            Err(error) => Err(Failure::of(format!("get {plural} `{name}`"), error)),
        }
    }

    /// The cluster of that name.
    pub(crate) async fn cluster(&self, name: &str) -> Result<BrokerCluster, Failure> {
        self.get(name).await
    }

    /// The broker pods of a cluster.
    pub(crate) async fn pods(&self, cluster: &str) -> Result<Vec<Pod>, Failure> {
        let params = ListParams::default().labels(&selector(cluster));
        let pods = self.api::<Pod>().list(&params).await;
        pods.map(|list| list.items).map_err(|error| Failure::of("list pods", error))
    }
}

/// Selects what belongs to a cluster.
pub(crate) fn selector(cluster: &str) -> String {
    format!(
        "app.kubernetes.io/name=millpond,app.kubernetes.io/component=broker,app.kubernetes.io/instance={cluster}"
    )
}

async fn config(place: &Place) -> Result<Config, Failure> {
    let options = KubeConfigOptions { context: place.context.clone(), ..KubeConfigOptions::default() };
    match &place.kubeconfig {
        Some(file) => Ok(Config::from_custom_kubeconfig(Kubeconfig::read_from(file)?, &options).await?),
        None if place.context.is_some() => Ok(Config::from_kubeconfig(&options).await?),
        // Without any kubeconfig it may still be a pod that is allowed to ask.
        None => Config::infer().await.map_err(|error| Failure::NoKubeconfig(Box::new(error))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{api, expect, refuse, with};

    const SHOP: &str = "GET /apis/millpond.io/v1alpha1/namespaces/mq/brokerclusters/shop";

    #[tokio::test]
    async fn a_missing_cluster_is_told_from_a_missing_chart() {
        let named = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404,
            "message": "brokerclusters \"shop\" not found", "details": {"name": "shop", "kind": "brokerclusters"}});
        let (client, server) = api(vec![with(expect(SHOP, named), 404), refuse(SHOP, 404, "NotFound")]);
        let kubernetes = Kubernetes { client, namespace: "mq".to_owned() };
        let missing = kubernetes.cluster("shop").await.unwrap_err();
        assert!(matches!(missing, Failure::NoObject { .. }), "{missing}");
        let unknown = kubernetes.cluster("shop").await.unwrap_err();
        assert!(matches!(unknown, Failure::NotInstalled { .. }), "{unknown}");
        drop(kubernetes);
        server.await.unwrap();
    }

    #[tokio::test]
    async fn pods_are_those_of_the_cluster_alone() {
        let list = json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": []});
        let (client, server) = api(vec![expect("GET /api/v1/namespaces/mq/pods", list)]);
        let kubernetes = Kubernetes { client, namespace: "mq".to_owned() };
        assert!(kubernetes.pods("shop").await.unwrap().is_empty());
        drop(kubernetes);
        let sent = server.await.unwrap();
        assert!(sent[0].contains("instance%3Dshop"), "{sent:?}");
    }
}
