//! A real Kubernetes with the operator in it, as `make up` leaves it: a namespace for each test, and `kubectl`.

pub mod copies;
pub mod nodes;
pub mod operator;
pub mod process;
pub mod reach;
pub mod relay;
pub mod snapshot;

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::cluster::reach::Reach;
use crate::wait;

/// How long a small cluster may take to become ready, image and volume included.
pub const READY_WITHIN: Duration = Duration::from_secs(90);

/// What `kubectl` said.
#[derive(Debug)]
pub struct Said {
    /// Whether it succeeded.
    pub ok: bool,
    /// Both outputs, the errors last.
    pub text: String,
}

/// A namespace of its own in the cluster under test.
#[derive(Clone)]
pub struct Place {
    /// The client of the API server.
    pub client: Client,
    /// The namespace's name.
    pub namespace: String,
}

impl Place {
    /// Makes a fresh namespace for the test `name`.
    ///
    /// # Panics
    /// Without `KUBECONFIG`: these tests need the cluster that `make test` brings up.
    pub async fn new(name: &str) -> Self {
        assert!(
            std::env::var_os("KUBECONFIG").is_some(),
            "KUBECONFIG is not set: these tests need a Kubernetes with the operator; run `make test` or `make cluster`"
        );
        let client = Client::try_default().await.expect("a client from KUBECONFIG");
        let namespace = format!("e2e-{name}-{}", std::process::id());
        let object = Namespace {
            metadata: kube::core::ObjectMeta { name: Some(namespace.clone()), ..Default::default() },
            ..Default::default()
        };
        Api::all(client.clone())
            .create(&PostParams::default(), &object)
            .await
            .expect("the namespace is created");
        Self { client, namespace }
    }

    /// Deletes the namespace; a test that failed leaves it for people to look at.
    pub async fn remove(self) {
        let namespaces: Api<Namespace> = Api::all(self.client);
        namespaces
            .delete(&self.namespace, &DeleteParams::background())
            .await
            .expect("the namespace is deleted");
    }

    /// Objects of a kind in this namespace.
    pub fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Runs `kubectl` in this namespace.
    pub fn kubectl(&self, args: &[&str]) -> Said {
        self.kubectl_with(args, "")
    }

    /// Runs `kubectl` with text on its standard input.
    pub fn kubectl_with(&self, args: &[&str], input: &str) -> Said {
        let mut child = Command::new("kubectl")
            .args(["--namespace", &self.namespace])
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("kubectl runs: `make test` puts it on the path");
        child.stdin.take().expect("stdin").write_all(input.as_bytes()).expect("kubectl reads");
        let output = child.wait_with_output().expect("kubectl ends");
        let text =
            [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        Said { ok: output.status.success(), text }
    }

    /// `kubectl apply` of YAML that has to be accepted.
    pub fn apply(&self, yaml: &str) {
        let said = self.kubectl_with(&["apply", "-f", "-"], yaml);
        assert!(said.ok, "kubectl apply: {}", said.text);
    }

    /// What the API server says to YAML that it has to refuse.
    pub fn refusal(&self, yaml: &str) -> String {
        let said = self.kubectl_with(&["apply", "-f", "-"], yaml);
        assert!(!said.ok, "was accepted: {}", said.text);
        said.text
    }

    /// The CLI inside a broker's pod, where every name resolves as for an application.
    pub fn millpond(&self, pod: &str, args: &[&str]) -> Said {
        self.kubectl(&[&["exec", pod, "--", "millpond"], args].concat())
    }

    /// Waits until an object is Ready for its newest generation.
    pub async fn ready<K>(&self, name: &str) -> K
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope> + Clone + std::fmt::Debug,
        K: Serialize + DeserializeOwned,
        K::DynamicType: Default,
    {
        let api: Api<K> = self.api();
        wait::eventually(&format!("{} {name} is Ready", kind::<K>()), READY_WITHIN, async || {
            let found = api.get(name).await.map_err(|error| error.to_string())?;
            ready(&Told::by(&found), found.meta().generation).map(|()| found)
        })
        .await
    }

    /// Waits until an object's Ready condition has this status for its newest generation, and returns it.
    pub async fn condition<K>(&self, name: &str, status: &str) -> Condition
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope> + Clone + std::fmt::Debug,
        K: Serialize + DeserializeOwned,
        K::DynamicType: Default,
    {
        let api: Api<K> = self.api();
        wait::eventually(&format!("{} {name} has Ready={status}", kind::<K>()), READY_WITHIN, async || {
            let found = api.get(name).await.map_err(|error| error.to_string())?;
            let conditions = Told::by(&found).conditions;
            let fits = |condition: &Condition| {
                condition.type_ == "Ready"
                    && condition.status == status
                    && condition.observed_generation == found.meta().generation
            };
            let found = conditions.iter().find(|condition| fits(condition)).cloned();
            found.ok_or_else(|| format!("{conditions:?}"))
        })
        .await
    }

    /// Waits until an object is gone.
    pub async fn gone<K>(&self, name: &str)
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope> + Clone + std::fmt::Debug,
        K: DeserializeOwned,
        K::DynamicType: Default,
    {
        let api: Api<K> = self.api();
        wait::eventually(&format!("{name} is gone"), READY_WITHIN, async || match api.get_opt(name).await {
            Ok(None) => Ok(()),
            Ok(Some(found)) => Err(format!("{} is there", found.name_any())),
            Err(error) => Err(error.to_string()),
        })
        .await;
    }

    /// Names of all objects of a kind.
    pub async fn names<K>(&self) -> Vec<String>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope> + Clone + std::fmt::Debug,
        K: DeserializeOwned,
        K::DynamicType: Default,
    {
        let list = self.api::<K>().list(&ListParams::default()).await.expect("a list");
        list.items.iter().map(ResourceExt::name_any).collect()
    }

    /// An address of a Service that works from here.
    pub async fn reach(&self, service: &str) -> Reach {
        Reach::new(self, service).await
    }
}

/// What each of our objects says about itself.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Told {
    observed_generation: Option<i64>,
    conditions: Vec<Condition>,
}

impl Told {
    fn by(object: &impl Serialize) -> Self {
        let mut object = serde_json::to_value(object).expect("an object is JSON");
        // No status yet is one that says nothing.
        let status: Option<Self> =
            serde_json::from_value(object["status"].take()).expect("a status with conditions");
        status.unwrap_or_default()
    }
}

fn kind<K: kube::Resource>() -> String
where
    K::DynamicType: Default,
{
    K::kind(&K::DynamicType::default()).into_owned()
}

/// Whether the conditions say Ready about this generation; otherwise the reason.
fn ready(
    Told { conditions, observed_generation: observed }: &Told,
    generation: Option<i64>,
) -> Result<(), String> {
    let Some(ready) = conditions.iter().find(|condition| condition.type_ == "Ready") else {
        return Err("no Ready condition".to_owned());
    };
    if ready.status != "True" || *observed != generation || ready.observed_generation != generation {
        return Err(format!(
            "Ready={} ({}: {}), generation {generation:?}, observed {observed:?}",
            ready.status, ready.reason, ready.message
        ));
    }
    Ok(())
}
