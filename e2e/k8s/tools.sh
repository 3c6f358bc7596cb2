#!/usr/bin/env bash
# Builds a real Kubernetes (control plane, kubelet, kube-proxy, kubectl), etcd, CoreDNS, Helm and the local-path
# volume provisioner from their Go modules into $K8S_BIN. About 8 minutes on 2 cores when the Go caches are
# cold; nothing to do afterwards. Needs Go 1.26 and a Go module proxy.
#   tools.sh          everything      tools.sh helm kubectl    only these
set -euo pipefail
. "$(dirname "$0")/common.sh"
export CGO_ENABLED=0 GOFLAGS=-buildvcs=false
kubernetes=(kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl)
mkdir -p "$K8S_BIN"

# k8s.io/kubernetes replaces its staging modules by paths that its module zip leaves out, so a module of our own
# requires it and points each of them at the published module of the same release (v0.MINOR.PATCH).
build_kubernetes() {
  command -v go >/dev/null || die "go is missing: install Go 1.26 or newer"
  local work
  work=$(mktemp -d)
  (
    cd "$work"
    printf 'module localk8s\n\ngo 1.26\n' >go.mod
    go mod edit -require=k8s.io/kubernetes@v"$K8S_VERSION"
    for m in api apiextensions-apiserver apimachinery apiserver cli-runtime client-go cloud-provider \
      cluster-bootstrap code-generator component-base component-helpers controller-manager cri-api cri-client \
      csi-translation-lib dynamic-resource-allocation endpointslice externaljwt kms kube-aggregator \
      kube-controller-manager kube-proxy kube-scheduler kubectl kubelet metrics mount-utils \
      pod-security-admission sample-apiserver sample-cli-plugin sample-controller; do
      go mod edit -replace="k8s.io/$m=k8s.io/$m@v0.${K8S_VERSION#1.}"
    done
    {
      printf '//go:build tools\n\npackage tools\n\nimport (\n'
      printf '\t_ "k8s.io/kubernetes/cmd/%s"\n' "${kubernetes[@]}"
      printf ')\n'
    } >tools.go
    go mod tidy
    local version=k8s.io/component-base/version
    for c in "$@"; do
      say "building $c"
      go build -ldflags "-s -w -X $version.gitVersion=v$K8S_VERSION -X $version.gitMajor=1 \
        -X $version.gitMinor=$(cut -d. -f2 <<<"$K8S_VERSION")" -o "$K8S_BIN/$c" "k8s.io/kubernetes/cmd/$c"
    done
  )
  rm -rf "$work"
}

# etcd's go.mod has replace directives, which `go install` refuses: build it as a dependency.
build_etcd() {
  local work
  work=$(mktemp -d)
  (cd "$work" && printf 'module localetcd\n\ngo 1.26\n' >go.mod && go get go.etcd.io/etcd/server/v3@v3.6.4 &&
    go build -ldflags '-s -w' -o "$K8S_BIN/etcd" go.etcd.io/etcd/server/v3)
  rm -rf "$work"
}

install() { GOBIN=$K8S_BIN go install "$1"; }
build() {
  case $1 in
    helm) install helm.sh/helm/v3/cmd/helm@v3.22.0 ;;
    coredns) install github.com/coredns/coredns@v1.15.0 ;;
    local-path-provisioner) install github.com/rancher/local-path-provisioner@v0.0.30 ;;
    etcd) build_etcd ;;
    *) die "unknown tool $1" ;;
  esac
}

wanted=("$@")
[[ $# -gt 0 ]] || wanted=("${kubernetes[@]}" etcd helm coredns local-path-provisioner)
missing=()
for tool in "${wanted[@]}"; do
  [[ -x $K8S_BIN/$tool ]] && continue
  if [[ " ${kubernetes[*]} " == *" $tool "* ]]; then missing+=("$tool"); else say "building $tool"; build "$tool"; fi
done
[[ ${#missing[@]} -eq 0 ]] || build_kubernetes "${missing[@]}"
