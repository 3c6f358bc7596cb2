//! A broker cluster with several copies, whose pods, processes and nodes can be disturbed one by one.
//!
//! ```text
//!   Traffic ──► relays, one for each pod ──► shop-g0-0, -1, -2      Lease shop-g0: the record, who leads
//!   test    ──► processes, delete                                   BrokerCluster: what the operator says
//! ```
//!
//! Promise: a pod is known by its number, whatever address and process it has.
//! Limit: needs the nodes of `e2e/k8s`, whose processes and pods are within reach of this machine; elsewhere it says so.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crds::group_record::{GroupRecord, GroupRequest, RECORD_ANNOTATION, REQUEST_ANNOTATION};
use crds::{BrokerCluster, BrokerClusterStatus, ConsumerGroup, Topic, names};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::ListParams;
use tokio::runtime::Runtime;

use crate::cluster::process::Process;
use crate::cluster::relay::Relay;
use crate::cluster::{Place, Said};
use crate::traffic::{self, Targets};
use crate::{http, kinds, wait};

/// A page that takes longer counts as none.
const PAGE_MAX: Duration = Duration::from_millis(500);
/// Pods start, catch up and are counted, and the operator says so, within this time, or something is wrong.
const CONVERGE_MAX: Duration = Duration::from_mins(3);
/// How often the addresses of pods are looked up.
const LOOK_EVERY: Duration = Duration::from_millis(100);
const CLIENTS: u16 = 8081;
const ADMIN: u16 = 8082;
const HTTP: u16 = 8083;

/// A broker cluster of one group.
pub struct Copies {
    runtime: Runtime,
    place: Place,
    name: String,
    relays: Arc<Vec<Relay>>,
}

impl Copies {
    /// Makes the cluster `name` with so many copies in a namespace of its own, and waits until all are in sync and
    /// traffic can start. `E2E_BROKER_IMAGE` names another image than the operator's.
    pub fn start(name: &str, copies: usize) -> Self {
        let manifests = traffic::manifests_of(name) + &kinds::manifests_of(name);
        Self::start_with(name, copies, "", &manifests)
    }

    /// As `start`, with more at the end of the cluster's `spec`, and these topics and groups.
    pub fn start_with(name: &str, copies: usize, more: &str, manifests: &str) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let (place, relays) = runtime.block_on(async {
            let mut relays = Vec::new();
            for _ in 0..copies {
                relays.push(Relay::start().await);
            }
            (Place::new(name).await, Arc::new(relays))
        });
        runtime.spawn(follow(place.api(), name.to_owned(), Arc::clone(&relays)));
        let all = Self { runtime, place, name: name.to_owned(), relays };
        let image =
            std::env::var("E2E_BROKER_IMAGE").map(|image| format!(", image: '{image}'")).unwrap_or_default();
        let cluster = format!(
            "apiVersion: millpond.io/v1alpha1\nkind: BrokerCluster\nmetadata: {{name: {name}}}\n\
             spec: {{copies: {copies}, storage: {{size: 1Gi}}, deletionPolicy: Delete{more}{image}}}\n---\n"
        );
        all.place.apply(&(cluster + manifests));
        all.converge(copies);
        all.runtime.block_on(async {
            for topic in all.place.names::<Topic>().await {
                all.place.ready::<Topic>(&topic).await;
            }
            for group in all.place.names::<ConsumerGroup>().await {
                all.place.ready::<ConsumerGroup>(&group).await;
            }
        });
        all
    }

    /// Removes everything.
    pub fn remove(self) {
        self.runtime.block_on(self.place.remove());
    }

    /// The namespace.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Waits for something in the cluster.
    pub fn on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// Name of the pod of a member.
    pub fn pod_name(&self, member: usize) -> String {
        names::pod_name(&self.name, 0, member as u32)
    }

    /// The pod of a member, if there is one.
    pub fn pod(&self, member: usize) -> Option<Pod> {
        let pods: Api<Pod> = self.place.api();
        self.on(pods.get_opt(&self.pod_name(member))).expect("the API server answers")
    }

    /// The node that a member runs on.
    pub fn node(&self, member: usize) -> String {
        let spec = self.pod(member).and_then(|pod| pod.spec).expect("the pod exists");
        spec.node_name.expect("the pod has a node")
    }

    /// The Lease of the group.
    pub fn lease(&self) -> Option<Lease> {
        let leases: Api<Lease> = self.place.api();
        let name = names::group_object_name(&self.name, 0);
        self.on(leases.get_opt(&name)).expect("the API server answers")
    }

    /// What the brokers agreed on; none before there is a group.
    pub fn record(&self) -> Option<GroupRecord> {
        let annotations = self.lease()?.metadata.annotations?;
        GroupRecord::from_json(annotations.get(RECORD_ANNOTATION)?).ok()
    }

    /// What the operator asks of the group.
    pub fn request(&self) -> GroupRequest {
        let annotations = self.lease().and_then(|lease| lease.metadata.annotations).unwrap_or_default();
        let text = annotations.get(REQUEST_ANNOTATION).expect("a request");
        GroupRequest::from_json(text).expect("it can be read")
    }

    /// When the leader showed itself in the Lease last.
    pub fn renewed(&self) -> Option<String> {
        let time = self.lease()?.spec?.renew_time?;
        Some(time.0.to_string())
    }

    /// The object, with what the operator says.
    pub fn cluster(&self) -> BrokerCluster {
        let clusters: Api<BrokerCluster> = self.place.api();
        self.on(clusters.get(&self.name)).expect("the API server answers")
    }

    /// What the operator says.
    pub fn status(&self) -> BrokerClusterStatus {
        self.cluster().status.unwrap_or_default()
    }

    /// Those that do not lead.
    pub fn followers(&self) -> Vec<usize> {
        let leader = self.leader();
        (0..self.relays.len()).filter(|member| *member != leader).collect()
    }

    /// Whether this member says that it leads.
    pub fn leads(&self, member: usize) -> bool {
        self.says(member, "millpond_leader 1")
    }

    /// Whether this line is in the metrics of a member.
    pub fn says(&self, member: usize, line: &str) -> bool {
        let Some(server) = self.address(member, HTTP) else { return false };
        let page = http::get(server, "/metrics", PAGE_MAX);
        page.is_some_and(|text| text.lines().any(|said| said == line))
    }

    /// Waits until exactly the first `copies` members are in sync, and the operator says the same.
    ///
    /// # Panics
    /// When that takes too long; with what was seen last.
    pub fn converge(&self, copies: usize) {
        let wanted: Vec<usize> = (0..copies).collect();
        self.on(wait::eventually(&format!("{copies} copies are in sync"), CONVERGE_MAX, async || {
            let (cluster, record) = self.look().await.map_err(|error| error.to_string())?;
            let record = record.ok_or("no record")?;
            let status = cluster.status.unwrap_or_default();
            let in_sync: Vec<usize> = record.in_sync.iter().map(|id| id.ordinal as usize).collect();
            let safe = status.conditions.iter().any(|one| one.type_ == "DataSafe" && one.status == "True");
            let says = status.in_sync == format!("{copies}/{copies}")
                && status.observed_generation == cluster.metadata.generation
                && status.group_status.iter().all(|group| group.in_sync.len() == copies)
                && safe;
            if in_sync == wanted && record.members.len() == copies && says {
                Ok(())
            } else {
                Err(format!("{record:?}; {:?}; {:?}", status.group_status, status.conditions))
            }
        }));
    }

    /// Waits until the status says that another member leads, in a later epoch than `epoch`.
    pub fn status_names_leader_after(&self, epoch: u32) {
        self.on(wait::eventually("the status names the new leader", CONVERGE_MAX, async || {
            let (cluster, record) = self.look().await.map_err(|error| error.to_string())?;
            let leader = record.and_then(|record| record.leader).ok_or("no leader")?;
            let groups = cluster.status.unwrap_or_default().group_status;
            let group = groups.first().ok_or("no group")?;
            let is_named = group.leader == Some(self.pod_name(leader.ordinal as usize));
            if is_named && group.epoch > Some(i64::from(epoch)) { Ok(()) } else { Err(format!("{group:?}")) }
        }));
    }

    /// Sets `spec.copies`.
    pub fn set_copies(&self, copies: usize) {
        let patch = format!("{{\"spec\":{{\"copies\":{copies}}}}}");
        self.kubectl(&["patch", "brokercluster", &self.name, "--type", "merge", "--patch", &patch]);
    }

    /// `kubectl`, which has to succeed.
    pub fn kubectl(&self, args: &[&str]) -> String {
        let Said { ok, text } = self.place.kubectl(args);
        assert!(ok, "kubectl {args:?}: {text}");
        text
    }

    /// The address of a member's pod.
    pub fn pod_address(&self, member: usize) -> String {
        let status = self.pod(member).and_then(|pod| pod.status).expect("the pod exists");
        status.pod_ip.expect("the pod has an address")
    }

    /// The broker's process of a member, as it runs now.
    pub fn process(&self, member: usize) -> Process {
        let uid = self.pod(member).and_then(|pod| pod.metadata.uid).expect("the pod exists");
        Process::in_pod(&uid)
    }

    /// Takes the pod away at once; the StatefulSet makes another.
    pub fn delete(&self, member: usize) {
        self.kubectl(&[
            "delete",
            "pod",
            &self.pod_name(member),
            "--force",
            "--grace-period=0",
            "--wait=false",
        ]);
    }

    fn address(&self, member: usize, port: u16) -> Option<SocketAddr> {
        let mut address = self.relays.get(member)?.target()?;
        address.set_port(port);
        Some(address)
    }

    async fn look(&self) -> kube::Result<(BrokerCluster, Option<GroupRecord>)> {
        let clusters: Api<BrokerCluster> = self.place.api();
        let leases: Api<Lease> = self.place.api();
        let cluster = clusters.get(&self.name).await?;
        let lease = leases.get_opt(&names::group_object_name(&self.name, 0)).await?;
        let annotations = lease.and_then(|lease| lease.metadata.annotations).unwrap_or_default();
        let text = annotations.get(RECORD_ANNOTATION);
        Ok((cluster, text.and_then(|text| GroupRecord::from_json(text).ok())))
    }
}

impl Targets for Copies {
    fn endpoints(&self) -> Vec<String> {
        self.relays.iter().map(|relay| relay.address().to_string()).collect()
    }

    fn admin(&self, member: usize) -> String {
        self.address(member, ADMIN).expect("the pod has an address").to_string()
    }

    fn leader(&self) -> usize {
        wait::until("a leader", CONVERGE_MAX, || {
            let leader = self.record()?.leader?.ordinal as usize;
            self.leads(leader).then_some(leader)
        })
    }
}

/// Keeps the relays pointed at the pods. An API server that is away changes nothing.
async fn follow(pods: Api<Pod>, name: String, relays: Arc<Vec<Relay>>) {
    let ours = ListParams::default().labels(&format!("app.kubernetes.io/instance={name}"));
    loop {
        if let Ok(list) = pods.list(&ours).await {
            for (member, relay) in relays.iter().enumerate() {
                let pod_name = names::pod_name(&name, 0, member as u32);
                let pod = list.items.iter().find(|pod| pod.metadata.name.as_ref() == Some(&pod_name));
                let address = pod.and_then(|pod| pod.status.as_ref()?.pod_ip.as_ref()?.parse().ok());
                relay.lead_to(address.map(|address| SocketAddr::new(address, CLIENTS)));
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
