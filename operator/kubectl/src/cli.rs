//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

const EXAMPLES: &str = "\
Examples:
  kubectl millpond status                          every cluster of the namespace, a line each
  kubectl millpond status shop                     one cluster, with its groups
  kubectl millpond explain topic orders            why it is as it is, and what to do
  kubectl millpond topics shop                     what topics the brokers hold
  kubectl millpond tail shop orders                watch what arrives
  kubectl millpond promote shop shop-g0-1          let this pod lead its group
  kubectl millpond run shop -- groups list         any command of `millpond`, in a broker's pod
  kubectl millpond export shop > shop.yaml         manifests of all that the brokers hold
  kubectl millpond support-bundle shop             objects, events and logs in a .tar.gz

Exit codes: 0 done, 1 not done, 2 wrong usage; topics, tail, promote and run: that of `millpond`";

/// What kubectl alone does not say about Millpond
#[derive(Debug, Parser)]
#[command(name = "kubectl-millpond", bin_name = "kubectl millpond", version, after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) place: Place,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Which Kubernetes, and which namespace.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Kubernetes")]
pub(crate) struct Place {
    /// Namespace of the cluster [default: that of the context]
    #[arg(short, long, global = true)]
    pub(crate) namespace: Option<String>,
    /// Context of the kubeconfig [default: its current one]
    #[arg(long, global = true)]
    pub(crate) context: Option<String>,
    /// The kubeconfig [default: $KUBECONFIG, or ~/.kube/config]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Status(Status),
    Explain(Explain),
    Topics(Topics),
    Tail(Tail),
    Promote(Promote),
    Run(Run),
    Export(Export),
    SupportBundle(SupportBundle),
}

/// Show what the operator says about a cluster and its groups, or about all clusters
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Status {
    /// The cluster; left out: all of the namespace, a line each
    pub(crate) cluster: Option<String>,
    /// Clusters of all namespaces
    #[arg(short = 'A', long, conflicts_with = "cluster")]
    pub(crate) all_namespaces: bool,
}

/// Show each condition of an object, and for those that are not as they should be what they mean and what to do
#[derive(Debug, clap::Args)]
pub(crate) struct Explain {
    /// What it is
    #[arg(value_enum, ignore_case = true)]
    pub(crate) kind: Kind,
    /// Its name
    pub(crate) name: String,
}

/// What has conditions of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// A cluster
    #[value(name = "brokercluster", aliases = ["brokerclusters", "mpc"])]
    BrokerCluster,
    /// A topic
    #[value(name = "topic", aliases = ["topics", "mpt"])]
    Topic,
    /// A consumer group
    #[value(name = "consumergroup", aliases = ["consumergroups", "mpg"])]
    ConsumerGroup,
}

/// List the topics that the brokers hold
#[derive(Debug, clap::Args)]
pub(crate) struct Topics {
    /// The cluster
    pub(crate) cluster: String,
    /// Only names that begin like this
    pub(crate) prefix: Option<String>,
    /// How they are printed
    #[arg(short, long, value_parser = ["table", "json"])]
    pub(crate) output: Option<String>,
}

/// Watch what arrives in a topic, without taking it from anybody; ends with Ctrl-C
#[derive(Debug, clap::Args)]
pub(crate) struct Tail {
    /// The cluster
    pub(crate) cluster: String,
    /// The topic
    pub(crate) topic: String,
    /// Which tags: `*`, or tags with `||` between them
    #[arg(long)]
    pub(crate) filter: Option<String>,
    /// Begin with the oldest message that is kept
    #[arg(long)]
    pub(crate) from_start: bool,
    /// End after this many messages
    #[arg(long)]
    pub(crate) max: Option<usize>,
    /// How they are printed
    #[arg(short, long, value_parser = ["table", "json"])]
    pub(crate) output: Option<String>,
}

/// Let a pod lead its group; no message is lost, sends wait for a moment
#[derive(Debug, clap::Args)]
pub(crate) struct Promote {
    /// The cluster
    pub(crate) cluster: String,
    /// The pod that shall lead, for example shop-g0-1
    pub(crate) pod: String,
}

/// Run `millpond` in a Ready pod of the cluster
#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    /// The cluster
    pub(crate) cluster: String,
    /// The pod [default: one that leads a group]
    #[arg(long)]
    pub(crate) pod: Option<String>,
    /// Pass standard input on
    #[arg(short = 'i', long)]
    pub(crate) stdin: bool,
    /// What `millpond` is told
    #[arg(last = true, required = true, value_name = "ARGS")]
    pub(crate) args: Vec<String>,
}

/// Print manifests of all topics and consumer groups that the brokers hold, whoever made them
#[derive(Debug, clap::Args)]
pub(crate) struct Export {
    /// The cluster
    pub(crate) cluster: String,
}

/// Put what somebody needs to help you into a file: objects, events and logs, but no Secrets
#[derive(Debug, clap::Args)]
pub(crate) struct SupportBundle {
    /// The cluster
    pub(crate) cluster: String,
    /// The file [default: millpond-NAMESPACE-CLUSTER.tar.gz]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Args {
        Args::try_parse_from(line.split_whitespace()).unwrap()
    }

    #[test]
    fn the_arguments_fit_together() {
        Args::command().debug_assert();
    }

    #[test]
    fn the_namespace_may_stand_before_and_after_the_command() {
        for line in ["kubectl-millpond -n mq status shop", "kubectl-millpond status shop --namespace mq"] {
            assert_eq!(parse(line).place.namespace.as_deref(), Some("mq"), "{line}");
        }
    }

    #[test]
    fn a_kind_has_the_names_that_kubectl_knows() {
        for (word, kind) in [
            ("brokercluster", Kind::BrokerCluster),
            ("mpc", Kind::BrokerCluster),
            ("Topics", Kind::Topic),
            ("mpt", Kind::Topic),
            ("ConsumerGroup", Kind::ConsumerGroup),
            ("mpg", Kind::ConsumerGroup),
        ] {
            let Command::Explain(explain) = parse(&format!("kubectl-millpond explain {word} x")).command
            else {
                panic!("{word}")
            };
            assert_eq!(explain.kind, kind, "{word}");
        }
    }

    #[test]
    fn what_stands_behind_two_dashes_is_for_the_pod() {
        let Command::Run(run) = parse("kubectl-millpond run shop -- groups list -o json").command else {
            panic!("run")
        };
        assert_eq!(run.args, ["groups", "list", "-o", "json"]);
    }
}
