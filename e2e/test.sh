#!/usr/bin/env bash
# The whole test suite: fast checks, every crate's tests, the SDK matrix on a broker of its own, and everything on
# a real Kubernetes, which is brought up for it and removed again (KEEP=1 leaves it).
#   test.sh            all       test.sh verify | standalone | cluster      one part
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/.." && pwd)
. "$here/k8s/common.sh"
. "$here/steps.sh"
cd "$root"
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target}
TYPOS=1.52.0

spelling() {
  local venv=${MILLPOND_CACHE:-$HOME/.cache/millpond}/typos-$TYPOS
  [[ -x $venv/bin/typos ]] || { python3 -m venv "$venv" && "$venv/bin/pip" install -q "typos==$TYPOS"; }
  "$venv/bin/typos"
}

verify() {
  heading "fast checks"
  step "cargo fmt --check" cargo fmt --all --check
  step "spelling" spelling
  step "cargo clippy, warnings are errors" cargo clippy --workspace --all-targets -- -D warnings
  step "tests of every crate" cargo test --workspace --exclude e2e
}

standalone() {
  heading "standalone broker and the official SDKs"
  step "SDKs at their pinned versions" "$here/sdk/install.sh"
  step "broker and CLI" cargo build --release -p broker -p cli
  step "e2e tests are compiled" cargo test -p e2e --no-run
  cargo test -q -p e2e --test standalone -- --test-threads 1
}

cluster() {
  heading "Kubernetes"
  local was_up=1
  [[ -f $root/.run/env ]] || was_up=0
  "$here/up.sh" --bare
  . "$root/.run/env"
  step "the chart renders what it should" env HELM="$(command -v helm)" "$root/charts/test.sh"
  [[ $was_up == 1 || -n ${KEEP:-} ]] || trap '"$here/down.sh"' EXIT
  cargo test -q -p e2e --test cluster -- --test-threads "${E2E_THREADS:-2}"
}

case ${1:-all} in
  verify) verify ;;
  standalone) standalone ;;
  cluster) "$here/sdk/install.sh"; cluster ;;
  all) verify; standalone; cluster ;;
  *) sed -n '2,4s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
total "Tests passed"
