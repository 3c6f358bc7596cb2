//! `support-bundle`: what somebody needs who is to find out what is wrong, in one file.
//!
//! ```text
//!   objects/<plural>.yaml        the cluster, its topics and groups, what it consists of, the operator's pods
//!   objects/events.yaml          events about any of them
//!   logs/<namespace>/<pod>/<container>[.previous].log
//!   status/<group>.txt           `millpond status` in a pod of each group
//!   missing.txt                  what could not be had, and why
//! ```
//!
//! Promise: no Secret is ever asked for, and what refers to one is left out of the pods (`redact`). What may not be read, or is
//! not there, is named in `missing.txt` and keeps nobody from having the rest.

mod archive;
mod logs;
mod objects;
mod redact;

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use crds::BrokerCluster;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use serde_json::Value;

use crate::cli;
use crate::error::Failure;
use crate::exec;
use crate::kubernetes::Kubernetes;
use crate::pods::Brokers;
use archive::Archive;

/// Writes the file; returns a line about it.
pub(crate) async fn report(kubernetes: &Kubernetes, args: &cli::SupportBundle) -> Result<String, Failure> {
    let cluster = kubernetes.cluster(&args.cluster).await?;
    let name = format!("millpond-{}-{}", kubernetes.namespace, args.cluster);
    let path = args.output.clone().unwrap_or_else(|| PathBuf::from(format!("{name}.tar.gz")));
    let broken = |source| Failure::File { file: path.clone(), source };
    let file = File::create(&path).map_err(broken)?;
    let mut archive = Archive::new(file, &name, Timestamp::now());
    collect(kubernetes, &cluster, &mut archive).await.map_err(broken)?;
    let missing = archive.missing();
    archive.finish().map_err(broken)?;
    let remark = match missing {
        0 => String::new(),
        count => format!("; {count} things could not be had, see missing.txt in it"),
    };
    Ok(format!("{}: objects, events and logs of BrokerCluster {}{remark}\n", path.display(), args.cluster))
}

/// Only writing can fail.
async fn collect<W: Write>(
    kubernetes: &Kubernetes,
    cluster: &BrokerCluster,
    archive: &mut Archive<W>,
) -> std::io::Result<()> {
    let name = cluster.metadata.name.clone().unwrap_or_default();
    let mut found = objects::of_cluster(kubernetes, &name, archive).await?;
    let brokers = pods(&found, archive);
    let operators = objects::operators(kubernetes, archive).await?;
    found.extend(operators.iter().cloned());
    objects::events(kubernetes, &found, archive).await?;
    logs::of(kubernetes, &brokers, archive).await?;
    let operators = pods(&operators, archive);
    logs::of(kubernetes, &operators, archive).await?;
    statuses(kubernetes, &Brokers::new(cluster, &brokers), archive).await
}

/// Those of the objects that are pods.
fn pods<W: Write>(objects: &[Value], archive: &mut Archive<W>) -> Vec<Pod> {
    let mut pods = Vec::new();
    for object in objects.iter().filter(|object| object["kind"] == "Pod") {
        match serde_json::from_value(object.clone()) {
            Ok(pod) => pods.push(pod),
            Err(error) => archive.miss(&format!("logs of pod {}", object["metadata"]["name"]), error),
        }
    }
    pods
}

async fn statuses<W: Write>(
    kubernetes: &Kubernetes,
    brokers: &Brokers,
    archive: &mut Archive<W>,
) -> std::io::Result<()> {
    let api: Api<Pod> = kubernetes.api();
    for (group, pod) in brokers.each_group() {
        let what = format!("`millpond status` of group {group}");
        let Some(pod) = pod else {
            archive.miss(&what, "none of its pods is Ready");
            continue;
        };
        match exec::capture(&api, pod, &["status".to_owned()]).await {
            Ok(said) => archive.add(
                &format!("status/{group}.txt"),
                &[said.out, said.err, format!("exit code {}\n", said.code).into_bytes()].concat(),
            )?,
            Err(failure) => archive.miss(&what, failure),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
