//! The stable address of a group's leader: it stays, whoever leads and however many copies there are.

use std::time::Duration;

use crds::group_record::EPOCH_ANNOTATION;
use crds::names;
use e2e::cluster::copies::Copies;
use e2e::traffic::{self, Targets};
use e2e::wait;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

/// A leader writes itself at once, and looks again every 30 s.
const LED_WITHIN: Duration = Duration::from_mins(1);
const SENT_WITHIN: Duration = Duration::from_secs(30);

#[test]
fn the_address_of_the_leader_stays_and_leads_to_whoever_leads() {
    let group = Copies::start("address", 3);
    let name = names::leader_object_name(group.name(), 0);
    let address = format!("{name}.{}.svc:8081", group.place().namespace);
    assert_eq!(group.status().group_status[0].endpoint, address);
    let services: Api<Service> = group.place().api();
    let cluster_ip =
        || group.on(services.get(&name)).expect("the Service").spec.and_then(|spec| spec.cluster_ip);
    let before = cluster_ip();
    let (leader, epoch) = (group.leader(), group.record().expect("a record").epoch);
    leads_to(&group, leader);
    sends(&group, &address);

    group.delete(leader);
    group.status_names_leader_after(epoch);
    let heir = group.leader();
    assert_ne!(heir, leader, "its pod was gone, and it leads");
    leads_to(&group, heir);
    sends(&group, &address);
    tells_gap(&group);
    group.converge(3);

    let slices: Api<EndpointSlice> = group.place().api();
    let nowhere = Patch::Merge(json!({ "endpoints": [] }));
    group.on(slices.patch(&name, &PatchParams::default(), &nowhere)).expect("the slice is edited");
    leads_to(&group, group.leader());

    group.set_copies(1);
    group.converge(1);
    leads_to(&group, 0);
    group.delete(0);
    leads_to(&group, 0);
    assert_eq!(cluster_ip(), before);
    group.remove();
}

/// Waits until the slice names this member, the address of its pod, and the epoch of the record.
fn leads_to(group: &Copies, member: usize) {
    let name = names::leader_object_name(group.name(), 0);
    let slices: Api<EndpointSlice> = group.place().api();
    wait::until(&format!("{name} leads to member {member}"), LED_WITHIN, || {
        let slice = group.on(slices.get(&name)).expect("the slice");
        let endpoint = slice.endpoints.first()?;
        let target = endpoint.target_ref.as_ref()?.name.clone()?;
        let pod_ip = group.pod(member)?.status?.pod_ip?;
        let epoch = group.record()?.epoch.to_string();
        let is_epoch = slice.metadata.annotations?.get(EPOCH_ANNOTATION) == Some(&epoch);
        let is_there = target == group.pod_name(member) && endpoint.addresses == [pod_ip];
        (is_there && is_epoch).then_some(())
    });
}

/// Waits until a client in the cluster that uses this address sends.
fn sends(group: &Copies, address: &str) {
    wait::until(&format!("a send to {address}"), SENT_WITHIN, || {
        let record = group.record()?;
        // Not from the leader itself: not every network leads a pod back to itself.
        let other = record.in_sync.iter().find(|member| Some(**member) != record.leader)?;
        let pod = group.pod_name(other.ordinal as usize);
        let said = group.place().millpond(&pod, &["send", "--endpoint", address, traffic::TOPIC, "hello"]);
        if !said.ok {
            println!("{}", said.text.trim());
        }
        said.ok.then_some(())
    });
}

/// Waits until the status tells how long nobody served.
fn tells_gap(group: &Copies) {
    let gap_ms = wait::until("the gap in the status", LED_WITHIN, || {
        group.status().group_status.first()?.last_transition.as_ref()?.gap_ms
    });
    println!("the status tells a gap of {gap_ms} ms");
    assert!((0..60_000).contains(&gap_ms), "{gap_ms} ms");
}
