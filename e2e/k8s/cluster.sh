#!/usr/bin/env bash
# A real Kubernetes of N nodes on this one Linux machine, without Docker and without pulling an image.
# Each node is a network namespace with its own containerd, kubelet and kube-proxy, so a node can be cut off,
# drained, killed and brought back; the control plane and CoreDNS run in the host's namespace.
#
#   cluster.sh up [N]            start N nodes (default 3), wait until they are Ready, print the kubeconfig's path
#   cluster.sh is-up             succeeds while the control plane runs
#   cluster.sh down              stop everything that `up` started and remove its state
#   cluster.sh load FILE.tar...  import OCI or Docker archives into every node
#   cluster.sh cut NODE [in|out] drop a node's traffic (n1, n2, ...), or what goes one way; `heal NODE` ends it
#   cluster.sh cut-api NODE IP   drop what a pod on it sends to the API server; `heal NODE` ends it
#   cluster.sh kill NODE         SIGKILL a node's kubelet, containerd, shims and containers; `start NODE` boots it
#   cluster.sh stop-api          SIGKILL the API server alone; `start-api` brings it back
#   cluster.sh env               print `export KUBECONFIG=... PATH=...` for eval
#
# Needs root, cgroups, the packages of packages.sh and the binaries of tools.sh.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/common.sh"
. "$here/control-plane.sh"
. "$here/node.sh"
. "$here/storage.sh"
export KUBECONFIG=$RUN/admin.kubeconfig

ready() { [[ $(kubectl get nodes --no-headers 2>/dev/null | grep -c ' Ready') -ge $1 ]]; }
load() { local n f; for n in $(nodes); do for f in "$@"; do ctr -a "$RUN/$n/c.sock" -n k8s.io images import "$f" >/dev/null; done; done; }
known() { [[ -d $RUN/${1:-none} ]] || die "no node ${1:-given}; there are: $(nodes | tr '\n' ' ')"; }

up() {
  local count=$1 n
  [[ $(id -u) -eq 0 ]] || die "the local cluster needs root"
  [[ -x $K8S_BIN/kube-apiserver ]] || die "no Kubernetes binaries in $K8S_BIN: run tools.sh first"
  if running etcd >/dev/null; then die "a cluster is up: \`cluster.sh down\` removes it"; fi
  down # what one left behind whose processes are gone, as after a restart of the machine
  ! ss -Hltn 'sport = 6443 or sport = 2379' | grep -q . || die "ports 6443 or 2379 are taken: another cluster runs on this machine"
  mkdir -p "$LOG"
  pki
  control_plane
  base_images
  for ((k = 1; k <= count; k++)); do node_network "n$k"; node_files "n$k"; node_cgroup "n$k"; done
  for n in $(nodes); do node_routes "$n"; node_boot "$n"; done
  ip route replace $SERVICES via 10.89.0.11 # Services answer this host as well, through n1
  load "$RUN/busybox.tar"
  storage_class
  wait_for "$count Ready nodes" 90 ready "$count"
  for n in $(nodes); do kubectl label node "$n" "topology.kubernetes.io/zone=z${n#n}" --overwrite >/dev/null; done
  echo "$KUBECONFIG"
}

down() {
  local n p
  [[ -d $RUN ]] || return 0
  for n in $(nodes); do node_kill "$n"; done
  # nothing of it is kept, so nothing has to be closed in order
  for p in local-path coredns scheduler kcm apiserver etcd; do stop "$p" -KILL; done
  grep -o " $RUN/[^ ]*" /proc/mounts | sort -r | while read -r m; do umount -l "$m" 2>/dev/null || true; done
  for n in $(nodes); do node_remove "$n"; done
  ip link del $BRIDGE 2>/dev/null || true
  rm -rf "$RUN"
}

case ${1:-} in
  up) up "${2:-3}" ;;
  is-up) running etcd >/dev/null ;;
  down) down ;;
  load) shift; load "$@" ;;
  cut) known "${2:-}"; node_cut "$2" "${3:-both}" ;;
  cut-api) known "${2:-}"; node_cut_api "$2" "${3:?the address of a pod}" ;;
  heal) known "${2:-}"; node_heal "$2" ;;
  kill) known "${2:-}"; node_kill "$2" ;;
  start) known "${2:-}"; node_boot "$2" ;;
  stop-api) stop apiserver -KILL ;;
  start-api) api_server ;;
  env) echo "export KUBECONFIG=$KUBECONFIG PATH=$K8S_BIN:\$PATH" ;;
  *) sed -n '2,18s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
