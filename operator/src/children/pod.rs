//! The pod of a broker: restricted, with probes, and spread over nodes and zones.

use std::collections::BTreeMap;

use crds::names;
use crds::placement::{Resources, Scheduling, Separation};
use k8s_openapi::api::core::v1::{
    Affinity, Capabilities, ConfigMapVolumeSource, Container, ContainerPort, EnvVar, EnvVarSource,
    HTTPGetAction, ObjectFieldSelector, PodAffinityTerm, PodAntiAffinity, PodSecurityContext, PodSpec,
    PodTemplateSpec, Probe, ResourceRequirements, SeccompProfile, SecurityContext, TopologySpreadConstraint,
    Volume, VolumeMount, WeightedPodAffinityTerm,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::config::{CONFIG_FILE, CONFIG_MOUNT, DATA_MOUNT};
use super::{ADMIN_PORT, Blueprint, CLAIM, CLIENT_PORT, CONFIG_ANNOTATION, HTTP_PORT, PEER_PORT, labels};

/// The user of distroless images that is not root.
const USER: i64 = 65532;
/// Variable with the addresses of the pod, for its command line alone.
const POD_IPS: &str = "POD_IPS";
/// A copy among others serves on for so long when its pod is to end and it has handed over, while the nodes learn that no
/// Service leads there: a connection begun after the pod is gone would hang.
const LINGER_MS: u32 = 2000;
/// A broker that starts reads the tail of its log; ten minutes are for the largest and slowest disks.
const STARTUP_SECONDS_MAX: i32 = 600;

pub(super) fn template(blueprint: &Blueprint, group: u32, config: &str) -> PodTemplateSpec {
    let extra = blueprint.spec.pod_template.clone().unwrap_or_default();
    let mut pod_labels = extra.labels;
    pod_labels.extend(labels::group_labels(&blueprint.cluster, group));
    let mut annotations = extra.annotations;
    annotations.insert(CONFIG_ANNOTATION.to_owned(), config.to_owned());
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(pod_labels),
            annotations: Some(annotations),
            ..ObjectMeta::default()
        }),
        spec: Some(pod_spec(blueprint, group)),
    }
}

fn pod_spec(blueprint: &Blueprint, group: u32) -> PodSpec {
    let scheduling = blueprint.spec.scheduling.clone().unwrap_or_default();
    let spread = spread(blueprint, &scheduling);
    PodSpec {
        service_account_name: Some(blueprint.cluster.clone()),
        // To change the group's record and the way to its leader, and nothing else: see the role.
        automount_service_account_token: Some(true),
        // Variables of every Service in the namespace: nobody reads them, and thousands slow the start down.
        enable_service_links: Some(false),
        // A leader hands over before it ends.
        termination_grace_period_seconds: Some(60),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(USER),
            run_as_group: Some(USER),
            fs_group: Some(USER),
            // Changing the owner of every file of a large volume at each start would take minutes.
            fs_group_change_policy: Some("OnRootMismatch".to_owned()),
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".to_owned(),
                ..SeccompProfile::default()
            }),
            ..PodSecurityContext::default()
        }),
        containers: vec![container(blueprint)],
        volumes: Some(vec![Volume {
            name: "config".to_owned(),
            config_map: Some(ConfigMapVolumeSource {
                name: names::group_object_name(&blueprint.cluster, group),
                ..ConfigMapVolumeSource::default()
            }),
            ..Volume::default()
        }]),
        affinity: Some(apart(blueprint, group, scheduling.copies_on_different_nodes)),
        node_selector: Some(scheduling.node_selector).filter(|selector| !selector.is_empty()),
        tolerations: Some(scheduling.tolerations).filter(|tolerations| !tolerations.is_empty()),
        priority_class_name: scheduling.priority_class_name,
        topology_spread_constraints: Some(spread),
        ..PodSpec::default()
    }
}

fn container(blueprint: &Blueprint) -> Container {
    let mount = |name: &str, path: &str, read_only: bool| VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only: Some(read_only),
        ..VolumeMount::default()
    };
    let port = |name: &str, number: i32| ContainerPort {
        name: Some(name.to_owned()),
        container_port: number,
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    };
    Container {
        name: "broker".to_owned(),
        image: Some(blueprint.image.clone()),
        image_pull_policy: blueprint.image_pull_policy.clone(),
        command: Some(vec!["/usr/local/bin/millpond-broker".to_owned()]),
        args: Some(args(blueprint)),
        env: Some(vec![pod_ips()]),
        ports: Some(vec![
            port("client", CLIENT_PORT),
            port("admin", ADMIN_PORT),
            port("http", HTTP_PORT),
            port("peers", PEER_PORT.into()),
        ]),
        volume_mounts: Some(vec![mount(CLAIM, DATA_MOUNT, false), mount("config", CONFIG_MOUNT, true)]),
        resources: Some(resources(blueprint.spec.resources.as_ref())),
        startup_probe: Some(probe("/healthz", 1, 5, STARTUP_SECONDS_MAX)),
        readiness_probe: Some(probe("/readyz", 2, 2, 2)),
        // A minute: a busy machine must not kill a broker that only waits for its disk.
        liveness_probe: Some(probe("/healthz", 10, 5, 6)),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), add: None }),
            ..SecurityContext::default()
        }),
        ..Container::default()
    }
}

fn args(blueprint: &Blueprint) -> Vec<String> {
    let mut args = vec![
        "--config".to_owned(),
        format!("{CONFIG_MOUNT}/{CONFIG_FILE}"),
        format!("--pod-ips=$({POD_IPS})"),
        format!("--linger-ms={LINGER_MS}"),
    ];
    if blueprint.log_json {
        args.push("--log-json".to_owned());
    }
    args
}

/// One of each family; the one that fits is where clients are sent while this pod leads.
fn pod_ips() -> EnvVar {
    let field =
        ObjectFieldSelector { field_path: "status.podIPs".to_owned(), ..ObjectFieldSelector::default() };
    let source = EnvVarSource { field_ref: Some(field), ..EnvVarSource::default() };
    EnvVar { name: POD_IPS.to_owned(), value_from: Some(source), ..EnvVar::default() }
}

fn probe(path: &str, period: i32, timeout: i32, failures: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String("http".to_owned()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period),
        timeout_seconds: Some(timeout),
        failure_threshold: Some(failures),
        ..Probe::default()
    }
}

fn resources(wanted: Option<&Resources>) -> ResourceRequirements {
    let Some(wanted) = wanted else {
        let small = [("cpu", "100m"), ("memory", "128Mi")];
        let requests = small.map(|(name, amount)| (name.to_owned(), Quantity(amount.to_owned())));
        return ResourceRequirements { requests: Some(requests.into()), ..ResourceRequirements::default() };
    };
    let convert = |amounts: &BTreeMap<String, crds::amount::Quantity>| {
        let amounts = amounts.iter().map(|(name, amount)| (name.clone(), Quantity(amount.0.clone())));
        Some(amounts.collect::<BTreeMap<_, _>>()).filter(|amounts| !amounts.is_empty())
    };
    ResourceRequirements {
        requests: convert(&wanted.requests),
        limits: convert(&wanted.limits),
        ..ResourceRequirements::default()
    }
}

/// Keeps the copies of a group on different nodes. Said with one copy as well, so that more of them restart nobody.
fn apart(blueprint: &Blueprint, group: u32, separation: Separation) -> Affinity {
    let term = PodAffinityTerm {
        topology_key: "kubernetes.io/hostname".to_owned(),
        label_selector: Some(labels::selector(labels::group_selector(&blueprint.cluster, group))),
        ..PodAffinityTerm::default()
    };
    let rule = match separation {
        Separation::Required => PodAntiAffinity {
            required_during_scheduling_ignored_during_execution: Some(vec![term]),
            ..PodAntiAffinity::default()
        },
        Separation::Preferred => PodAntiAffinity {
            preferred_during_scheduling_ignored_during_execution: Some(vec![WeightedPodAffinityTerm {
                weight: 100,
                pod_affinity_term: term,
            }]),
            ..PodAntiAffinity::default()
        },
    };
    Affinity { pod_anti_affinity: Some(rule), ..Affinity::default() }
}

fn spread(blueprint: &Blueprint, scheduling: &Scheduling) -> Vec<TopologySpreadConstraint> {
    let own = || Some(labels::selector(labels::cluster_selector(&blueprint.cluster)));
    if let Some(constraints) = &scheduling.topology_spread {
        let mut constraints = constraints.clone();
        for constraint in &mut constraints {
            constraint.label_selector = constraint.label_selector.take().or_else(own);
        }
        return constraints;
    }
    // As even as possible, and never in the way of a pod that has only one place to go.
    ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]
        .map(|key| TopologySpreadConstraint {
            topology_key: key.to_owned(),
            max_skew: 1,
            when_unsatisfiable: "ScheduleAnyway".to_owned(),
            label_selector: own(),
            ..TopologySpreadConstraint::default()
        })
        .into()
}
