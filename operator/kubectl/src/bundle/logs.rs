//! Logs of pods: of each container, and of the one before if it was restarted.

use std::io::{self, Write};

use k8s_openapi::api::core::v1::Pod;
use kube::api::LogParams;
use kube::{Api, ResourceExt};

use super::archive::Archive;
use crate::error::Failure;
use crate::kubernetes::Kubernetes;

/// Adds the logs of these pods.
pub(crate) async fn of<W: Write>(
    kubernetes: &Kubernetes,
    pods: &[Pod],
    archive: &mut Archive<W>,
) -> io::Result<()> {
    for pod in pods {
        let (namespace, name) = (pod.namespace().unwrap_or_default(), pod.name_any());
        let api: Api<Pod> = Api::namespaced(kubernetes.client.clone(), &namespace);
        for (container, previous) in wanted(pod) {
            let (suffix, which) =
                if previous { (".previous", "log before the restart") } else { ("", "log") };
            let params = LogParams { container: Some(container.clone()), previous, ..LogParams::default() };
            match api.logs(&name, &params).await {
                Ok(text) => {
                    archive
                        .add(&format!("logs/{namespace}/{name}/{container}{suffix}.log"), text.as_bytes())?;
                }
                Err(error) => {
                    let what = format!("{which} of container {container} in pod {namespace}/{name}");
                    archive.miss(&what, Failure::of("read it (get pods/log)", error));
                }
            }
        }
    }
    Ok(())
}

/// Containers, and whether it is the one before that is meant.
fn wanted(pod: &Pod) -> Vec<(String, bool)> {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
    let restarted = |name: &str| {
        statuses.into_iter().flatten().any(|status| status.name == name && status.restart_count > 0)
    };
    containers
        .flat_map(|container| {
            let previous = restarted(&container.name).then_some(true);
            std::iter::once(false).chain(previous).map(|previous| (container.name.clone(), previous))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_log_before_is_wanted_of_a_container_that_was_restarted() {
        let pod = json!({
            "metadata": {"name": "p"},
            "spec": {"containers": [{"name": "broker"}, {"name": "side"}]},
            "status": {"containerStatuses": [
                {"name": "broker", "restartCount": 2, "ready": true, "image": "", "imageID": ""},
                {"name": "side", "restartCount": 0, "ready": true, "image": "", "imageID": ""},
            ]},
        });
        let pod: Pod = serde_json::from_value(pod).unwrap();
        let expected = [("broker", false), ("broker", true), ("side", false)];
        assert_eq!(wanted(&pod), expected.map(|(name, previous)| (name.to_owned(), previous)));
    }
}
