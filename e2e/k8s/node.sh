# Sourced by cluster.sh: a node is a network namespace with its own containerd, kubelet and kube-proxy.
# shellcheck shell=bash
node_files() { # its certificates and configuration, written once
  local n=$1 k=${1#n} d=$RUN/$1
  mkdir -p "$d/cni"
  cert "$n" "/O=system:nodes/CN=system:node:$n" "DNS:$n,IP:10.89.0.1$k"
  kubeconfig "$n"
  cat >"$d/cni/10-pods.conflist" <<C
{"cniVersion":"0.4.0","name":"millpond","plugins":[{"type":"ptp","ipMasq":false,
"ipam":{"type":"host-local","dataDir":"$d/ipam","ranges":[[{"subnet":"10.244.$k.0/24"}]],
"routes":[{"dst":"0.0.0.0/0"}]}},{"type":"portmap","capabilities":{"portMappings":true}}]}
C
  containerd_config "$n" >"$d/containerd.toml"
  kubelet_config "$n" >"$d/kubelet.yaml"
  cat >"$d/kube-proxy.yaml" <<C
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clientConnection: {kubeconfig: $RUN/admin.kubeconfig}
clusterCIDR: $PODS
mode: nftables
hostnameOverride: $n
conntrack: {maxPerCore: 0}
C
}

# restrict_oom_score_adj: without CAP_SYS_RESOURCE runc may not lower oom_score_adj, and every sandbox fails with
# "can't get final child's PID from pipe". A runc root of its own lets `kill` act on one node alone.
containerd_config() {
  local d=$RUN/$1
  cat <<C
version = 2
root = "$d/root"
state = "$d/state"
[grpc]
  address = "$d/c.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "$d/opt"
[plugins."io.containerd.grpc.v1.cri"]
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  sandbox_image = "localhost/pause:1"
  stream_server_address = "10.89.0.1${1#n}"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$d/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        Root = "$d/runc"
C
}

kubelet_config() {
  local d=$RUN/$1
  cat <<C
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $PKI/ca.crt}}
authorization: {mode: Webhook}
address: 0.0.0.0
cgroupDriver: cgroupfs
cgroupRoot: /$CGROUP-$1
failCgroupV1: false
failSwapOn: false
containerRuntimeEndpoint: unix://$d/c.sock
clusterDNS: [$GATEWAY]
clusterDomain: cluster.local
resolvConf: ""
podLogsDir: $d/logs
localStorageCapacityIsolation: false
enforceNodeAllocatable: []
evictionHard: {memory.available: 100Mi}
imageGCHighThresholdPercent: 100
nodeStatusUpdateFrequency: 2s
maxPods: 200
C
}

# The node's root must exist in every hierarchy of cgroup v1, and in the one of v2.
CGROUP=mp
node_cgroup() {
  local c root=$CGROUP-$1
  if [[ ! -d /sys/fs/cgroup/memory ]]; then mkdir -p "/sys/fs/cgroup/$root"; return; fi
  for c in cpu cpuacct cpuset memory devices freezer blkio pids hugetlb systemd; do
    if [[ -d /sys/fs/cgroup/$c ]]; then mkdir -p "/sys/fs/cgroup/$c/$root"; fi
  done
  for f in cpuset.cpus cpuset.mems; do cat /sys/fs/cgroup/cpuset/$f >"/sys/fs/cgroup/cpuset/$root/$f"; done
}

node_network() {
  local n=$1 k=${1#n}
  ip netns add "mp-$n"
  ip link add "mp-$n" type veth peer name eth0 netns "mp-$n"
  ip link set "mp-$n" master $BRIDGE up
  ip -n "mp-$n" addr add "10.89.0.1$k/24" dev eth0
  ip -n "mp-$n" link set lo up; ip -n "mp-$n" link set eth0 up
  ip -n "mp-$n" route add default via $GATEWAY
  nsenter --net="/run/netns/mp-$n" sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
  # What no pod serves is refused by ICMP, of which one address gets one a second. Tests run many programs at one address:
  # the connections of those that go without are begun again after 1, 3, 7 s and so on. In a cluster each has its own address.
  nsenter --net="/run/netns/mp-$n" sh -c 'echo 0 >/proc/sys/net/ipv4/icmp_ratelimit'
  # Each pod has a route of its own (ptp), and what is sent to one that is gone is refused at once. Behind a bridge it vanished
  # while the neighbour entry lived (up to 50 s), and the connection tracking of a Service sends every repeat of a SYN to
  # the same pod; a route alone refuses five a second.
  ip -n "mp-$n" route add unreachable "10.244.$k.0/24"
  nsenter --net="/run/netns/mp-$n" nft -f - <<N
table ip gone {
  chain pods {
    type filter hook prerouting priority 0
    ip daddr 10.244.$k.0/24 fib daddr type != local fib daddr oif missing reject with tcp reset
  }
}
N
  ip route replace "10.244.$k.0/24" via "10.89.0.1$k"
}

node_routes() { # to the pods of the other nodes
  local n=$1 other
  for other in $(nodes); do
    [[ $other == "$n" ]] || ip -n "mp-$n" route replace "10.244.${other#n}.0/24" via "10.89.0.1${other#n}"
  done
}

node_boot() { # nsenter, not `ip netns exec`: the latter remounts /sys and hides the cgroups from kubelet
  local n=$1 d=$RUN/$1 in=(nsenter --net="/run/netns/mp-$1")
  start "$n-containerd" "${in[@]}" containerd --config "$d/containerd.toml"
  wait_for "containerd on $n" 20 ctr -a "$d/c.sock" version
  ctr -a "$d/c.sock" -n k8s.io images import "$RUN/base.tar" >/dev/null
  start "$n-kubelet" "${in[@]}" kubelet --config="$d/kubelet.yaml" --kubeconfig="$RUN/$n.kubeconfig" \
    --hostname-override="$n" --node-ip="10.89.0.1${n#n}" --root-dir="$d/kubelet"
  start "$n-kube-proxy" "${in[@]}" kube-proxy --config="$d/kube-proxy.yaml"
}

node_kill() { # as a power cut would: kubelet, containerd, the containers and their shims
  local n=$1 d=$RUN/$1 pid proc
  for p in kubelet kube-proxy containerd; do stop "$n-$p" -KILL; done
  for pid in $(find /sys/fs/cgroup/pids/"$CGROUP-$n" /sys/fs/cgroup/"$CGROUP-$n" -name cgroup.procs -exec cat {} + 2>/dev/null); do
    kill -KILL "$pid" 2>/dev/null || true
  done
  for proc in /proc/[0-9]*; do # the shims of this node alone: their command line names its socket
    if [[ $({ tr '\0' ' ' <"$proc/cmdline"; } 2>/dev/null) == *containerd-shim*"$d/c.sock"* ]]; then
      kill -KILL "${proc#/proc/}" 2>/dev/null || true
    fi
  done
}

node_remove() {
  local n=$1
  ip netns del "mp-$n" 2>/dev/null || true
  ip link del "mp-$n" 2>/dev/null || true
  ip route del "10.244.${n#n}.0/24" 2>/dev/null || true
  cni_results
  find /sys/fs/cgroup -depth -type d -path "*/$CGROUP-$n*" -exec rmdir {} + 2>/dev/null || true
}

cni_results() { # what the network plugins remember of pods that were never taken down one by one
  local file id
  for file in /var/lib/cni/results/millpond-*-eth0; do
    [[ -e $file ]] || continue
    id=${file##*/millpond-}
    rm -f "$file" "/var/lib/cni/results/cni-loopback-${id%-eth0}-lo"
  done
}

# Drops packets without a word, as a broken switch does; to the pods of the node and to the node itself.
node_cut() {
  local n=$1 rules="" in=(ip netns exec "mp-$1" nft)
  node_heal "$n"
  case $2 in
    both) rules='in out' ;;
    in | out) rules=$2 ;;
    *) die "cut $n in, out, or both: not $2" ;;
  esac
  "${in[@]}" add table inet cut
  if [[ $rules == *in* ]]; then
    "${in[@]}" 'add chain inet cut in { type filter hook prerouting priority -400; }; add rule inet cut in iifname eth0 drop'
  fi
  if [[ $rules == *out* ]]; then
    "${in[@]}" 'add chain inet cut out { type filter hook postrouting priority 400; }; add rule inet cut out oifname eth0 drop'
  fi
}

# The pod with this address loses the API server, and nothing else; its node keeps it.
node_cut_api() {
  local in=(ip netns exec "mp-$1" nft)
  node_heal "$1"
  "${in[@]}" add table inet cut
  "${in[@]}" "add chain inet cut api { type filter hook forward priority 0; }; add rule inet cut api ip saddr $2 ip daddr $GATEWAY tcp dport 6443 drop"
}

node_heal() { ip netns exec "mp-$1" nft delete table inet cut 2>/dev/null || true; }
