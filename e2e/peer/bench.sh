#!/usr/bin/env bash
# The standard matrix against ANY RocketMQ-5-compatible gRPC endpoint. The same script, the same client and the same
# machine for the peer and for our broker; run both in one go.
#
#   ./bench.sh --name peer-async --start './start.sh --fresh' --restart './start.sh --no-topics' --stop ./stop.sh \
#              --pids 'cat /tmp/rmq-peer/proxy.pid /tmp/rmq-peer/namesrv.pid' --runs 3 --out results/peer-async.jsonl
#
#   --start    starts a server with an empty store and creates the topics and groups named below
#   --restart  starts it again on the store that is there (needed for the cold-start figures; empty: they are left out)
#   --stop     stops it;   --pids  prints the server's pids (all processes that serve are accounted together)
#   --endpoint host:port of gRPC (default 127.0.0.1:8081)
# Topics: bench-normal, bench-normal2, bench-e2e (NORMAL, 8 queues). Groups: bench-group, bench-e2e-group.
# Server CPU seconds per 100,000 messages is the figure that depends least on the machine and on the client's share.
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd)
. "$HERE/env.sh"
L=${RMQLOAD:-$PEER_CACHE/bin/rmqload}
NAME=server EP=127.0.0.1:8081 START= RESTART= STOP= PIDS='true' RUNS=3 OUT= DUR=15s WARM=4s PREFILL=200000 ONLY=all QUIET=${QUIET_WAIT:-180} JITWARM=40s
while [ $# -gt 0 ]; do case $1 in
  --name) NAME=$2; shift 2;; --endpoint) EP=$2; shift 2;; --start) START=$2; shift 2;; --restart) RESTART=$2; shift 2;;
  --stop) STOP=$2; shift 2;; --pids) PIDS=$2; shift 2;; --runs) RUNS=$2; shift 2;; --out) OUT=$2; shift 2;;
  --duration) DUR=$2; shift 2;; --warmup) WARM=$2; shift 2;; --prefill) PREFILL=$2; shift 2;; --only) ONLY=$2; shift 2;;
  --jit-warmup) JITWARM=$2; shift 2;;
  *) echo "unknown option $1" >&2; exit 2;; esac; done
[ -n "$OUT" ] || { echo "--out is needed" >&2; exit 2; }
mkdir -p "$(dirname "$OUT")"
pids() { eval "$PIDS" | tr '\n' ',' | sed 's/,$//'; }
want() { [ "$ONLY" = all ] || [[ ",$ONLY," == *",$1,"* ]]; }
log() { echo "[$(date +%T)] $*" >&2; }
busy() { # busy cores of the whole machine over 2 s
  local a b; a=$(awk '/^cpu /{print $2+$3+$4+$7+$8}' /proc/stat); sleep 2; b=$(awk '/^cpu /{print $2+$3+$4+$7+$8}' /proc/stat)
  echo "scale=2; ($b - $a) / 200" | bc
}
quiet() { # wait until nothing else keeps the machine busy (the idle JVM itself takes 0.05-0.1 core)
  local i x; for ((i = 0; i < QUIET; i += 2)); do x=$(busy); if [ "$(echo "$x < 0.30" | bc)" = 1 ]; then return 0; fi; done
  log "machine still busy ($x cores) after ${QUIET}s: going on, see other_cores in the results"
}
put() { sed "s/^{/{\"server\":\"$NAME\",\"run\":$1,/" >> "$OUT"; }
run() { # run N label args...
  local n=$1 lab=$2; shift 2
  want "$lab" || return 0
  quiet
  if ! "$L" "$@" -endpoint "$EP" -pids "$(pids)" -label "$lab" 2>>"$OUT.err" | put "$n"; then log "run $n $lab FAILED (see $OUT.err)"; else log "run $n $lab: $(tail -1 "$OUT" | sed -E 's/.*"(msgs_per_s|achieved_per_s)":([0-9.]+).*/\1 \2/' | cut -c1-60)"; fi
}
procmem() { # label: one JSON line with memory and idle CPU of the server over 20 s
  local lab=$1 p a=0 b=0 rss=0 anon=0 th=0
  for p in $(pids | tr ',' ' '); do a=$(echo "$a + $(awk '{print ($14+$15)/100}' /proc/$p/stat)" | bc); done
  sleep 20
  for p in $(pids | tr ',' ' '); do
    b=$(echo "$b + $(awk '{print ($14+$15)/100}' /proc/$p/stat)" | bc)
    rss=$((rss + $(awk '/VmRSS/{print $2}' /proc/$p/status))); anon=$((anon + $(awk '/RssAnon/{print $2}' /proc/$p/status)))
    th=$((th + $(awk '/^Threads/{print $2}' /proc/$p/status)))
  done
  printf '{"mode":"mem","label":"%s","server_rss_mb":%d,"server_rss_anon_mb":%d,"threads":%d,"idle_cpu_pct":%s}\n' \
    "$lab" $((rss / 1024)) $((anon / 1024)) $th "$(echo "scale=2; ($b - $a) * 100 / 20" | bc | sed 's/^\./0./')" | put 1
  log "$(tail -1 "$OUT")"
}
cold() { # run label [kill]: stop (or kill -9), start again, time to the first accepted send
  local n=$1 lab=$2 how=${3:-stop} p
  if [ "$how" = kill ]; then for p in $(pids | tr ',' ' '); do kill -9 "$p"; done; sleep 1; eval "$STOP"; else eval "$STOP"; fi
  quiet
  local t0; t0=$(date +%s%N)
  (eval "$RESTART" >> "$OUT.err" 2>&1) &
  local bg=$!
  "$L" firstsend -endpoint "$EP" -t0 "$t0" -label "$lab" 2>>"$OUT.err" | put "$n" || log "cold start FAILED"
  wait $bg || true
  local c=0; for p in $(pids | tr ',' ' '); do c=$(echo "$c + $(awk '{print ($14+$15)/100}' /proc/$p/stat)" | bc); done
  log "run $n $lab: $(tail -1 "$OUT" | sed -E 's/.*"first_send_ms":([0-9]+).*/\1 ms/'), ${c} CPU s since start"
  printf '{"mode":"startcpu","label":"%s-cpu","cpu_s":%s}\n' "$lab" "$(echo "$c" | sed 's/^\./0./')" | put "$n"
}
if [ -n "$START" ]; then quiet; log "start"; eval "$START" >&2; sleep 10; if want idle; then procmem idle-fresh; fi; fi
if want cold && [ -n "$RESTART" ]; then for r in $(seq 1 "$RUNS"); do cold "$r" cold-start; done; fi
run 1 first-5s send -topic bench-normal -c 32 -size 1024 -warmup 0s -duration 5s   # a server that has served nobody yet
if [ "$JITWARM" != 0 ]; then
  log "warm-up (JIT, page cache), not recorded"
  "$L" send -endpoint "$EP" -c 32 -warmup 0s -duration "$JITWARM" >/dev/null 2>>"$OUT.err" || true
  "$L" receive -endpoint "$EP" -topic bench-normal2 -prefill 100000 -c 32 >/dev/null 2>>"$OUT.err" || true
  "$L" e2e -endpoint "$EP" -topic bench-e2e -group bench-e2e-group -c 16 -rate 1000 -warmup 1s -duration 8s >/dev/null 2>>"$OUT.err" || true
fi
for r in $(seq 1 "$RUNS"); do
  run "$r" send-c1      send -topic bench-normal -c 1   -size 1024 -warmup "$WARM" -duration "$DUR"
  run "$r" send-c32     send -topic bench-normal -c 32  -size 1024 -warmup "$WARM" -duration "$DUR"
  run "$r" send-c256    send -topic bench-normal -c 256 -size 1024 -warmup "$WARM" -duration "$DUR"
  run "$r" send-b32     send -topic bench-normal -c 32 -batch 32 -size 1024 -warmup "$WARM" -duration "$DUR"
  run "$r" recv-c32     receive -topic bench-normal2 -group bench-group -c 32 -prefill "$PREFILL" -size 1024
  run "$r" recv-c32-ab32 receive -topic bench-normal2 -group bench-group -c 32 -prefill "$PREFILL" -size 1024 -ack-batch 32
  run "$r" e2e-1k       e2e -topic bench-e2e -group bench-e2e-group -c 16 -rate 1000 -size 1024 -warmup "$WARM" -duration 20s
  run "$r" e2e-5k       e2e -topic bench-e2e -group bench-e2e-group -c 16 -rate 5000 -size 1024 -warmup "$WARM" -duration 20s
done
if want idle; then procmem idle-after-load; fi
if want cold && [ -n "$RESTART" ]; then
  for r in $(seq 1 "$RUNS"); do cold "$r" restart-loaded; done
  for r in $(seq 1 "$RUNS"); do
    "$L" send -endpoint "$EP" -c 32 -warmup 0s -duration 3s >/dev/null 2>>"$OUT.err" || true
    cold "$r" crash-restart kill
  done
fi
if [ -n "$STOP" ]; then eval "$STOP"; fi
