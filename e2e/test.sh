#!/usr/bin/env bash
# The whole test suite: fast checks, every crate's tests, the SDK matrix on a broker of its own, and everything on
# a real Kubernetes, which is brought up for it and removed again (KEEP=1 leaves it).
#   test.sh            all       test.sh verify | standalone | cluster      one part
#   test.sh scenarios  every feature with every SDK, standalone and in Kubernetes, while leaders are killed
#   test.sh rollout    3 groups of 3 copies get a new template again and again under load
#   test.sh scaling    2 groups become 4 and 2 again under load
#   test.sh convergence  operators that die after each change, two at once, every field of every spec changed
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/.." && pwd)
. "$here/k8s/common.sh"
. "$here/steps.sh"
cd "$root"
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target}
tools=${MILLPOND_CACHE:-$HOME/.cache/millpond}/cargo
export PATH=$tools/bin:$PATH

# At pinned versions; a newer pin is installed over the old one.
tools() {
  "$tools/typos/bin/pip" install -q typos==1.52.0 2>/dev/null ||
    { python3 -m venv "$tools/typos" && "$tools/typos/bin/pip" install -q typos==1.52.0; }
  CARGO_TARGET_DIR=$tools/target cargo install --quiet --locked --root "$tools" cargo-deny@0.20.2 cargo-machete@0.9.2
  rm -rf "$tools/target"
}

verify() {
  heading "fast checks"
  step "cargo fmt --check" cargo fmt --all --check
  step "tools of the checks (built once, about 5 minutes)" tools
  step "spelling" "$tools/typos/bin/typos"
  step "unused dependencies" cargo machete
  step "licences, sources and banned crates" cargo deny check bans licenses sources
  step "cargo clippy, warnings are errors" cargo clippy --workspace --all-targets -- -D warnings
  step "tests of every crate" cargo test --workspace --exclude e2e
  echo "what the model checker saw of the replication protocol, whole and with each rule taken away:"
  grep -E '^[^ ].* states' "$steps_log" | cut -c1-140
}

standalone() {
  heading "standalone broker and the official SDKs"
  step "SDKs at their pinned versions" "$here/sdk/install.sh"
  step "broker and CLI" cargo build --release -p broker -p cli
  step "e2e tests are compiled" cargo test -p e2e --no-run
  step "what judges them is right" cargo test -p e2e --lib
  cargo test -q -p e2e --test standalone -- --test-threads 1
}

# A Kubernetes for the tests, which goes when they end unless it was there before.
kubernetes() {
  local was_up=1
  [[ -f $root/.run/env ]] || was_up=0
  "$here/up.sh" --bare
  . "$root/.run/env"
  [[ $was_up == 1 || -n ${KEEP:-} ]] || trap '"$here/down.sh"' EXIT
}

cluster() {
  heading "Kubernetes"
  kubernetes
  step "the chart renders what it should" env HELM="$(command -v helm)" "$root/charts/test.sh"
  cargo test -q -p e2e --test cluster -- --test-threads "${E2E_THREADS:-2}"
  # nodes and the control plane go: one after the other, and only on the nodes of k8s/cluster.sh
  [[ ! -d $RUN ]] || cargo test -q -p e2e --test disruption -- --test-threads 1
}

scenarios() {
  heading "every feature with every SDK, while leaders are killed"
  step "SDKs at their pinned versions" "$here/sdk/install.sh"
  kubernetes
  step "e2e tests are compiled" cargo test -p e2e --no-run
  cargo test -q -p e2e --test scenarios -- --test-threads 1 --nocapture
}

# Of clients that use several groups: NAME of the tests, and what they are about.
several_groups() {
  heading "$2"
  step "SDKs at their pinned versions" "$here/sdk/install.sh"
  kubernetes
  step "e2e tests are compiled" cargo test -p e2e --no-run
  # clients of several groups are sent to names that only the DNS of the cluster knows
  printf 'nameserver %s\nsearch svc.cluster.local cluster.local\noptions ndots:5\n' "$GATEWAY" >"$RUN/resolv.conf"
  unshare --mount bash -c 'mount --bind "$1" /etc/resolv.conf && shift && exec "$@"' - "$RUN/resolv.conf" \
    cargo test -q -p e2e --test cluster "$1" -- --ignored --nocapture
}

scale() {
  heading "one operator for 1,000 topics and 1,000 consumer groups in 20 clusters"
  kubernetes
  step "e2e tests are compiled" cargo test -p e2e --no-run
  cargo test -q -p e2e --test cluster scale:: -- --ignored --nocapture
}

convergence() {
  heading "operators that die after each change, two at once, every field of every spec changed"
  kubernetes
  step "e2e tests are compiled" cargo test -p e2e --no-run
  cargo test -q -p e2e --test disruption operators -- --ignored --nocapture --test-threads 1
  cargo test -q -p e2e --test cluster mutations -- --ignored --nocapture
}

case ${1:-all} in
  verify) verify ;;
  standalone) standalone ;;
  cluster) "$here/sdk/install.sh"; cluster ;;
  scenarios) scenarios ;;
  rollout) several_groups rollout_figures "a new template for 3 groups of 3 copies, again and again under load" ;;
  scaling) several_groups scaling "2 groups become 4 and 2 again under load" ;;
  scale) scale ;;
  convergence) convergence ;;
  all) verify; standalone; cluster ;;
  *) sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
total "Tests passed"
