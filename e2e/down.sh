#!/usr/bin/env bash
# Removes everything that up.sh started.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/.." && pwd)
. "$here/k8s/common.sh"
. "$here/steps.sh"
if docker info >/dev/null 2>&1 && command -v kind >/dev/null && kind get clusters 2>/dev/null | grep -qx millpond; then
  step "kind cluster" kind delete cluster --name millpond
fi
if [[ -d $RUN ]]; then step "nodes, control plane and volumes" "$here/k8s/cluster.sh" down; fi
rm -rf "$root/.run"
total "Everything is removed"
