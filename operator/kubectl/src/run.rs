//! Commands that a broker's pod runs: `topics`, `tail`, `promote` and `run`.

use std::process::ExitCode;

use crds::names;
use k8s_openapi::api::core::v1::Pod;

use crate::cli;
use crate::error::Failure;
use crate::exec::{self, Input};
use crate::kubernetes::Kubernetes;
use crate::pods::Brokers;

/// `millpond topics list`.
pub(crate) async fn topics(kubernetes: &Kubernetes, args: cli::Topics) -> Result<ExitCode, Failure> {
    let brokers = brokers(kubernetes, &args.cluster).await?;
    let list: Vec<_> =
        words(["topics", "list"]).chain(args.prefix).chain(flag("--output", args.output)).collect();
    pass(kubernetes, brokers.any()?, &list, Input::None).await
}

/// `millpond tail`, which removes its own consumer group when it is told to end.
pub(crate) async fn tail(kubernetes: &Kubernetes, args: cli::Tail) -> Result<ExitCode, Failure> {
    let brokers = brokers(kubernetes, &args.cluster).await?;
    pass(kubernetes, brokers.any()?, &tail_args(args), Input::OpenUntilInterrupt).await
}

/// `millpond promote`, in the group of the pod that is to lead.
pub(crate) async fn promote(kubernetes: &Kubernetes, args: &cli::Promote) -> Result<ExitCode, Failure> {
    let brokers = brokers(kubernetes, &args.cluster).await?;
    let asked = brokers.beside(&args.pod)?;
    let ordinal = names::ordinal_of(&args.pod).map(|ordinal| ordinal.to_string());
    let promote = words(["promote"]).chain(ordinal).collect::<Vec<_>>();
    pass(kubernetes, asked, &promote, Input::None).await
}

/// Whatever was asked for.
pub(crate) async fn any(kubernetes: &Kubernetes, args: cli::Run) -> Result<ExitCode, Failure> {
    let brokers = brokers(kubernetes, &args.cluster).await?;
    let pod = match &args.pod {
        Some(pod) => brokers.named(pod)?,
        None => brokers.any()?,
    };
    let input = if args.stdin { Input::Passed } else { Input::None };
    pass(kubernetes, pod, &args.args, input).await
}

/// The pods of a cluster that may run a command.
pub(crate) async fn brokers(kubernetes: &Kubernetes, cluster: &str) -> Result<Brokers, Failure> {
    let found = kubernetes.cluster(cluster).await?;
    Ok(Brokers::new(&found, &kubernetes.pods(cluster).await?))
}

async fn pass(
    kubernetes: &Kubernetes,
    pod: &str,
    args: &[String],
    input: Input,
) -> Result<ExitCode, Failure> {
    Ok(exec::stream(&kubernetes.api::<Pod>(), pod, args, input).await?.into())
}

/// Without the flag it would not notice that nobody watches any more, and its consumer group would stay.
fn tail_args(args: cli::Tail) -> Vec<String> {
    let from_start = args.from_start.then(|| "--from-start".to_owned());
    words(["tail", "--end-with-input"])
        .chain([args.topic])
        .chain(from_start)
        .chain(flag("--filter", args.filter))
        .chain(flag("--max", args.max.map(|max| max.to_string())))
        .chain(flag("--output", args.output))
        .collect()
}

/// A flag with its value, if it has one.
fn flag(name: &str, value: Option<String>) -> impl Iterator<Item = String> {
    value.map(|value| [name.to_owned(), value]).into_iter().flatten()
}

fn words<const N: usize>(words: [&str; N]) -> impl Iterator<Item = String> {
    words.map(str::to_owned).into_iter()
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::{Value, json};

    use super::*;
    use crate::pods::tests::{pod, shop};
    use crate::testing::{Expected, api, expect, refuse};

    const SHOP: &str = "GET /apis/millpond.io/v1alpha1/namespaces/mq/brokerclusters/shop";
    const PODS: &str = "GET /api/v1/namespaces/mq/pods";

    /// The cluster, its pods, and a refusal where a command would run in that pod.
    fn world(pods: &[Value], runs_in: &str) -> Vec<Expected> {
        let list = json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": pods});
        let exec = format!("GET /api/v1/namespaces/mq/pods/{runs_in}/exec");
        vec![
            expect(SHOP, shop(&["shop-g0-0", "shop-g1-1"])),
            expect(PODS, list),
            refuse(&exec, 403, "Forbidden"),
        ]
    }

    #[tokio::test]
    async fn a_pod_is_promoted_in_its_own_group_by_its_number() {
        let pods =
            [pod("shop-g0-0", "g0", "True"), pod("shop-g1-1", "g1", "True"), pod("shop-g1-2", "g1", "True")];
        let (client, server) = api(world(&pods, "shop-g1-1"));
        let kubernetes = Kubernetes { client, namespace: "mq".to_owned() };
        let args = cli::Promote { cluster: "shop".to_owned(), pod: "shop-g1-2".to_owned() };
        assert!(matches!(promote(&kubernetes, &args).await, Err(Failure::Forbidden { .. })));
        drop(kubernetes);
        let sent = server.await.unwrap();
        assert!(sent[2].contains("command=millpond&command=promote&command=2"), "{sent:?}");
    }

    #[tokio::test]
    async fn a_tail_can_be_told_to_end() {
        let (client, server) = api(world(&[pod("shop-g0-0", "g0", "True")], "shop-g0-0"));
        let kubernetes = Kubernetes { client, namespace: "mq".to_owned() };
        let line = ["kubectl-millpond", "tail", "shop", "orders", "--max", "3", "-o", "json"];
        let cli::Command::Tail(args) = cli::Args::parse_from(line).command else { panic!("tail") };
        assert!(matches!(tail(&kubernetes, args).await, Err(Failure::Forbidden { .. })));
        drop(kubernetes);
        let sent = server.await.unwrap();
        assert!(
            sent[2].contains("command=tail&command=--end-with-input&command=orders&command=--max&command=3"),
            "{sent:?}"
        );
        assert!(sent[2].contains("command=--output&command=json"), "{sent:?}");
        assert!(sent[2].contains("stdin=true"), "{sent:?}");
    }
}
