# Sourced by cluster.sh: certificates, etcd, API server, controllers, scheduler and DNS in the host's namespace.
# shellcheck shell=bash
cert() { # NAME SUBJECT SAN
  openssl req -newkey rsa:2048 -nodes -keyout "$PKI/$1.key" -out "$PKI/$1.csr" -subj "$2" 2>/dev/null
  openssl x509 -req -in "$PKI/$1.csr" -CA "$PKI/ca.crt" -CAkey "$PKI/ca.key" -CAcreateserial -out "$PKI/$1.crt" \
    -days 365 -extfile <(echo "subjectAltName=$3") 2>/dev/null
}

kubeconfig() { # NAME
  cat >"$RUN/$1.kubeconfig" <<Y
apiVersion: v1
kind: Config
clusters: [{name: local, cluster: {server: "https://$GATEWAY:6443", certificate-authority: $PKI/ca.crt}}]
users: [{name: me, user: {client-certificate: $PKI/$1.crt, client-key: $PKI/$1.key}}]
contexts: [{name: local, context: {cluster: local, user: me}}]
current-context: local
Y
}

pki() {
  mkdir -p "$PKI"
  openssl genrsa -out "$PKI/sa.key" 2048 2>/dev/null
  openssl rsa -in "$PKI/sa.key" -pubout -out "$PKI/sa.pub" 2>/dev/null
  openssl req -x509 -newkey rsa:2048 -nodes -keyout "$PKI/ca.key" -out "$PKI/ca.crt" -subj /CN=millpond-k8s -days 365 2>/dev/null
  cert apiserver /CN=kube-apiserver \
    "IP:127.0.0.1,IP:$GATEWAY,IP:10.96.0.1,DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc"
  cert admin /O=system:masters/CN=admin DNS:admin
  cert kcm /CN=system:kube-controller-manager DNS:kcm
  cert scheduler /CN=system:kube-scheduler DNS:scheduler
  for n in admin kcm scheduler; do kubeconfig "$n"; done
}

api_server() {
  start apiserver kube-apiserver --etcd-servers=http://127.0.0.1:2379 --secure-port=6443 --bind-address=$GATEWAY \
    --advertise-address=$GATEWAY --tls-cert-file="$PKI/apiserver.crt" --tls-private-key-file="$PKI/apiserver.key" \
    --client-ca-file="$PKI/ca.crt" --service-account-key-file="$PKI/sa.pub" \
    --service-account-signing-key-file="$PKI/sa.key" --service-account-issuer=https://kubernetes.default.svc \
    --service-cluster-ip-range=$SERVICES --authorization-mode=Node,RBAC --allow-privileged=true \
    --kubelet-client-certificate="$PKI/admin.crt" --kubelet-client-key="$PKI/admin.key" \
    --kubelet-preferred-address-types=InternalIP
  wait_for "the API server" 60 kubectl get --raw /readyz
}

control_plane() {
  ip link add $BRIDGE type bridge && ip addr add $GATEWAY/24 dev $BRIDGE && ip link set $BRIDGE up
  echo 1 >/proc/sys/net/ipv4/ip_forward
  # Fine for tests: etcd without fsync, because nothing here has to survive a power cut.
  start etcd etcd --data-dir "$RUN/etcd" --unsafe-no-fsync --listen-client-urls http://127.0.0.1:2379 \
    --advertise-client-urls http://127.0.0.1:2379 --listen-peer-urls http://127.0.0.1:2380
  api_server
  start kcm kube-controller-manager --kubeconfig="$RUN/kcm.kubeconfig" --use-service-account-credentials=true \
    --service-account-private-key-file="$PKI/sa.key" --root-ca-file="$PKI/ca.crt" --leader-elect=false \
    --cluster-signing-cert-file="$PKI/ca.crt" --cluster-signing-key-file="$PKI/ca.key" \
    --node-monitor-period=1s --node-monitor-grace-period="${NODE_GRACE:-8s}"
  start scheduler kube-scheduler --kubeconfig="$RUN/scheduler.kubeconfig" --leader-elect=false
  dns
}

dns() {
  cat >"$RUN/Corefile" <<C
.:53 {
    bind $GATEWAY
    errors
    kubernetes cluster.local in-addr.arpa { kubeconfig $RUN/admin.kubeconfig
      ttl 2 }
    cache 2
}
C
  start coredns coredns -conf "$RUN/Corefile"
}
