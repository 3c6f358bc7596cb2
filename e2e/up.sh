#!/usr/bin/env bash
# Brings up a real Kubernetes on this machine, with Millpond in it, and shows that messages pass.
#   up.sh            cluster, images, operator, quickstart, one message by the CLI and one by an official SDK
#   up.sh --bare     cluster, images and operator only (what the tests need)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/.." && pwd)
. "$here/k8s/common.sh"
. "$here/steps.sh"
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target}
image=${MILLPOND_IMAGE:-localhost/millpond:dev}

# kind where Docker runs, otherwise our own nodes in network namespaces.
cluster_with_kind() {
  command -v kind >/dev/null || GOBIN=$K8S_BIN go install sigs.k8s.io/kind@v0.30.0
  kind get clusters 2>/dev/null | grep -qx millpond || kind create cluster --config "$root/kind-config.yaml" --wait 120s
  mkdir -p "$root/.run"
  kind get kubeconfig --name millpond >"$root/.run/kubeconfig"
  echo "export KUBECONFIG=$root/.run/kubeconfig PATH=$K8S_BIN:\$PATH" >"$root/.run/env"
}
cluster_of_our_own() {
  mkdir -p "$root/.run"
  "$here/k8s/cluster.sh" is-up || "$here/k8s/cluster.sh" up 3
  "$here/k8s/cluster.sh" env >"$root/.run/env"
}

bring_up() {
  if docker info >/dev/null 2>&1; then
    step "Helm and kubectl (built once, about 3 minutes)" "$here/k8s/tools.sh" helm kubectl
    step "Kubernetes with kind" cluster_with_kind
  else
    step "system packages" "$here/k8s/packages.sh"
    step "Kubernetes tools (built once, about 8 minutes)" "$here/k8s/tools.sh"
    step "Kubernetes of three nodes, without Docker" cluster_of_our_own
  fi
  . "$root/.run/env"
  step "release binaries" cargo build --manifest-path "$root/Cargo.toml" --release -p operator -p kubectl-millpond -p broker -p cli
  step "image $image, into every node" "$here/k8s/image.sh" "$CARGO_TARGET_DIR/release"
  step "Helm chart" helm upgrade --install millpond "$root/charts/millpond" --namespace millpond-system --create-namespace \
    --set image.repository="${image%:*}" --set image.tag="${image##*:}" --wait --timeout 120s
  # a rebuilt image has the same name: start its pods anew
  step "operator" sh -c 'kubectl -n millpond-system rollout restart deployment && kubectl -n millpond-system rollout status deployment --timeout 120s'
}

ready() { kubectl wait --for=condition=Ready --timeout=120s brokerclusters/shop topics/orders consumergroups/billing; }
in_broker() { kubectl exec shop-g0-0 -- millpond --endpoint shop."$1".svc:8081 "${@:2}"; }

# The official Go SDK on this machine, through a port that kubectl forwards into the cluster.
by_sdk() {
  "$here/sdk/install.sh" go
  kubectl port-forward svc/shop 18081:8081 >/dev/null &
  local forward=$! status=0
  wait_for "the forwarded port" 10 bash -c 'exec 3<>/dev/tcp/127.0.0.1/18081'
  "$here/sdk/run.sh" go --endpoint 127.0.0.1:18081 --topic orders --group billing --count 4 --mode simple || status=$?
  kill $forward
  return $status
}

demonstrate() {
  local ns
  ns=$(kubectl config view --minify -o 'jsonpath={..namespace}')
  step "kubectl apply -f examples/quickstart.yaml" kubectl apply -f "$root/examples/quickstart.yaml"
  step "BrokerCluster, Topic and ConsumerGroup become Ready" ready
  # nodes learn of a Service's pods a moment after these are Ready
  step "millpond send (inside the cluster)" wait_for "a message is sent" 30 in_broker "${ns:-default}" send orders hello --tag greeting
  step "millpond receive (inside the cluster)" in_broker "${ns:-default}" receive orders --group billing --max 1
  step "four messages with the official Go SDK, through the Service" by_sdk
  heading "what Kubernetes says"
  kubectl get brokerclusters,topics,consumergroups
}

heading "bringing up"
bring_up
[[ ${1:-} == --bare ]] && { total "The cluster is up"; exit 0; }
heading "showing that it works"
demonstrate
total "Millpond is up"
cat <<T

What to do next:
  eval "\$(cat .run/env)"                       # kubectl and helm for this cluster
  kubectl get brokerclusters,topics,consumergroups
  kubectl apply -f examples/topics.yaml         # more topics, more groups: examples/
  kubectl exec -it shop-g0-0 -- millpond tail orders
  kubectl port-forward svc/shop 8081            # then point any RocketMQ 5 SDK at 127.0.0.1:8081
  make down                                     # removes all of it
T
