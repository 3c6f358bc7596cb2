//! Why a command did not do what it was asked, each with what to do about it.

use std::io;
use std::path::PathBuf;

use kube::config::{InferConfigError, KubeconfigError};

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The kubeconfig does not lead to a Kubernetes.
    #[error("{0}; name a file with --kubeconfig, and one of its contexts with --context")]
    Kubeconfig(#[from] KubeconfigError),
    /// There is no kubeconfig, and this is no pod.
    #[error("there is no way to Kubernetes: {0}; name a kubeconfig with --kubeconfig or $KUBECONFIG")]
    NoKubeconfig(Box<InferConfigError>),
    /// Kubernetes did not answer, or not in its protocol.
    #[error("Kubernetes could not be asked to {what}: {}; look at `kubectl cluster-info`", innermost(source))]
    Unreachable {
        /// What it was asked for.
        what: String,
        /// What came instead.
        source: Box<kube::Error>,
    },
    /// Kubernetes does not let this user do it.
    #[error(
        "not allowed to {what}: {message}; ask for a role that allows it, or choose another user with --context"
    )]
    Forbidden {
        /// What it was asked for.
        what: String,
        /// What it said.
        message: String,
    },
    /// There is no such object.
    #[error(
        "there is no {kind} `{name}` in namespace `{namespace}`; choose another with -n, or see `kubectl get {plural} -A`"
    )]
    NoObject {
        /// What it would be.
        kind: String,
        /// How kubectl calls it.
        plural: String,
        /// Its name.
        name: String,
        /// Where it was looked for.
        namespace: String,
    },
    /// Kubernetes does not know the kind.
    #[error(
        "this Kubernetes has no {plural}; install Millpond's chart, or choose another Kubernetes with --context"
    )]
    NotInstalled {
        /// How kubectl calls them.
        plural: String,
    },
    /// Kubernetes said no for another reason.
    #[error("Kubernetes does not {what}: {message}")]
    Refused {
        /// What it was asked for.
        what: String,
        /// What it said.
        message: String,
    },
    /// Nobody is there who could run a command.
    #[error("no pod of {of} is Ready; `kubectl millpond status {cluster}` says why")]
    NoReadyPod {
        /// The cluster or the group.
        of: String,
        /// The cluster.
        cluster: String,
    },
    /// The pod is none of the cluster.
    #[error("`{pod}` is no pod of `{cluster}`; its pods are {pods}")]
    NoSuchPod {
        /// What was named.
        pod: String,
        /// The cluster.
        cluster: String,
        /// Those that it has.
        pods: String,
    },
    /// The connection to a command in a pod broke.
    #[error(
        "the connection to `{pod}` broke: {message}; what the command does there may go on. Run it again"
    )]
    Cut {
        /// The pod.
        pod: String,
        /// What happened.
        message: String,
    },
    /// A command in a pod did not do what was needed from it.
    #[error(
        "`{command}` in pod `{pod}` did not answer: {message}; run it with `kubectl millpond run` to see more"
    )]
    Command {
        /// The pod.
        pod: String,
        /// What was run.
        command: String,
        /// What it said.
        message: String,
    },
    /// A command in a pod answered in an unknown form.
    #[error(
        "pod `{pod}` answered in another form than expected: {message}; use the plugin of the version that the brokers have"
    )]
    Unreadable {
        /// The pod.
        pod: String,
        /// What is missing.
        message: String,
    },
    /// A file here.
    #[error("{}: {source}; choose another with -o", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// Reading or writing here.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Failure {
    /// What became of a call. `what`: the rest of a sentence that begins with “Kubernetes was asked to”.
    pub(crate) fn of(what: impl Into<String>, error: kube::Error) -> Self {
        let what = what.into();
        let kube::Error::Api(status) = error else {
            return Self::Unreachable { what, source: Box::new(error) };
        };
        let message = status.message.clone();
        if status.is_forbidden() {
            Self::Forbidden { what, message }
        } else {
            Self::Refused { what, message }
        }
    }
}

/// The cause below all causes: the ones above only say that there was one.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    #[test]
    fn a_refusal_says_who_can_change_it() {
        let status = |code, reason: &str| {
            kube::Error::Api(Box::new(Status::failure("said no", reason).with_code(code)))
        };
        let forbidden = Failure::of("list pods", status(403, "Forbidden")).to_string();
        assert!(forbidden.starts_with("not allowed to list pods: said no; ask for a role"), "{forbidden}");
        let other = Failure::of("list pods", status(500, "InternalError")).to_string();
        assert_eq!(other, "Kubernetes does not list pods: said no");
    }

    #[test]
    fn of_a_connection_that_was_refused_the_reason_is_told_and_not_only_that_there_was_one() {
        let refused = io::Error::new(io::ErrorKind::ConnectionRefused, "connection refused");
        let error = kube::Error::ReadEvents(refused);
        let told = Failure::of("list pods", error).to_string();
        let expected =
            "Kubernetes could not be asked to list pods: connection refused; look at `kubectl cluster-info`";
        assert_eq!(told, expected);
    }
}
