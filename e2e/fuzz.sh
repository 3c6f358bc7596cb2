#!/usr/bin/env bash
# Runs the fuzz target of every decoder, two at a time. Needs the nightly compiler (rustup toolchain install nightly)
# and a C++ compiler; installs cargo-fuzz into the cache. Findings are kept in broker/*/fuzz/artifacts.
#   fuzz.sh [SECONDS]     for each target, default 600
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
seconds=${1:-600}
cache=${MILLPOND_CACHE:-$HOME/.cache/millpond}
export PATH=$cache/cargo/bin:$PATH
command -v cargo-fuzz >/dev/null || cargo install --quiet --locked --root "$cache/cargo" cargo-fuzz@0.13.1

failed=0
for project in "$root"/broker/*/fuzz; do
  crate=$(dirname "$project")
  export CARGO_TARGET_DIR=$cache/fuzz/$(basename "$crate") # the nightly compiler would throw away the other one's work
  cd "$crate"
  cargo +nightly fuzz build
  running=()
  for target in $(cargo +nightly fuzz list); do
    echo "$(basename "$crate")/$target: $seconds s"
    cargo +nightly fuzz run "$target" -- -max_total_time="$seconds" -print_final_stats=1 >"$cache/fuzz/$target.log" 2>&1 &
    running+=("$!=$target")
    [[ $((${#running[@]} % 2)) -eq 0 ]] || continue
    for entry in "${running[@]: -2}"; do
      wait "${entry%%=*}" || { failed=1; echo "${entry#*=} failed:"; tail -30 "$cache/fuzz/${entry#*=}.log"; }
    done
  done
  if [[ $((${#running[@]} % 2)) -eq 1 ]]; then
    entry=${running[-1]}
    wait "${entry%%=*}" || { failed=1; echo "${entry#*=} failed:"; tail -30 "$cache/fuzz/${entry#*=}.log"; }
  fi
  grep -H stat::number_of_executed_units "$cache"/fuzz/*.log | sed 's/.*fuzz.//; s/.log:stat::/ /'
done
exit $failed
