#!/usr/bin/env bash
# The real Apache RocketMQ 5.5 and Millpond in turn under the same load, on this machine, in one go; writes
# docs/benchmarks.md. Needs Java 17, Maven, Go and bc. About 25 minutes with one run per case.
#   compare.sh [RUNS]        (default 1; the table shows medians; BENCH_DURATION=15s per case)
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd)
ROOT=$(cd "$HERE/../.." && pwd)
. "$HERE/env.sh"
RUNS=${1:-1}
OUT=${BENCH_OUT:-$(mktemp -d)}
TARGET=${CARGO_TARGET_DIR:-$ROOT/target}
say() { printf '[%s] %s\n' "$(date +%T)" "$*" >&2; }

say "fetching RocketMQ $PEER_VERSION and building the load generator"
"$HERE/setup.sh" >&2
say "building the broker"
(cd "$ROOT" && cargo build --release -q -p broker -p cli && cargo build --release -q -p gateway-grpc --example empty_server)

ours() { # FLUSH NAME extra...
  local flush=$1 name=$2; shift 2
  MILLPOND_FLUSH=$flush "$HERE/bench.sh" --name "$name" --start "$HERE/millpond.sh start" --restart "$HERE/millpond.sh restart" \
    --stop "$HERE/millpond.sh stop" --pids "$HERE/millpond.sh pid" --runs "$RUNS" --duration "${BENCH_DURATION:-15s}" --out "$OUT/$name.jsonl" "$@" >&2
}
peer() { # FLUSH NAME extra...
  local flush=$1 name=$2; shift 2
  PEER_FLUSH=$flush "$HERE/bench.sh" --name "$name" --start "$HERE/start.sh --fresh" --restart "$HERE/start.sh --no-topics" \
    --stop "$HERE/stop.sh" --pids "cat $PEER_DATA/*.pid" --runs "$RUNS" --duration "${BENCH_DURATION:-15s}" --out "$OUT/$name.jsonl" "$@" >&2
}
SYNC_CASES=send-c1,send-c32,send-c256,e2e-1k
say "Millpond, flush Async"; ours async ours-async --jit-warmup 5s
say "RocketMQ, flush Async"; peer ASYNC peer-async --jit-warmup 60s
say "Millpond, flush Sync";  ours sync ours-sync --jit-warmup 5s --only "$SYNC_CASES"
say "RocketMQ, flush Sync";  peer SYNC peer-sync --jit-warmup 40s --only "$SYNC_CASES"

say "an empty gRPC server on our framing"
"$TARGET/release/examples/empty_server" 127.0.0.1:8081 & EMPTY=$!
trap 'kill $EMPTY 2>/dev/null || true' EXIT
sleep 0.5
for c in 1 32 256; do
  "$PEER_CACHE/bin/rmqload" send -endpoint 127.0.0.1:8081 -c $c -warmup 2s -duration 10s -pids $EMPTY -label "send-c$c" |
    sed 's/^{/{"server":"empty","run":1,/' >>"$OUT/empty.jsonl"
done
kill $EMPTY; trap - EXIT

say "10,000 topics of 8 queues through the admin API"
"$HERE/millpond.sh" start
BEGIN=$(date +%s%N)
"$TARGET/release/millpond" --endpoint 127.0.0.1:8081 --admin 127.0.0.1:9081 topics apply --pattern 'many-%05d' --count 10000 --queues 8 >/dev/null
printf '{"server":"ours-async","label":"topics-10k","mode":"topics","create_ms":%d}\n' $((($(date +%s%N) - BEGIN) / 1000000)) >>"$OUT/ours-async.jsonl"
"$HERE/millpond.sh" stop

python3 "$HERE/table.py" "$OUT" >"$ROOT/docs/benchmarks.md"
say "written: docs/benchmarks.md (raw figures in $OUT)"
