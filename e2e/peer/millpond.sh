#!/usr/bin/env bash
# Starts and stops one Millpond broker for the benchmark, with the topics and groups the load generator uses.
#   millpond.sh start | restart | stop | pid        MILLPOND_FLUSH=sync|async (default async)
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd)
ROOT=$(cd "$HERE/../.." && pwd)
DATA=${MILLPOND_DATA:-/tmp/millpond-bench}
PORT=${MILLPOND_PORT:-8081}
BROKER=${MILLPOND_BROKER:-${CARGO_TARGET_DIR:-$ROOT/target}/release/millpond-broker}
PID=$DATA/broker.pid

start() {
  mkdir -p "$DATA"
  setsid "$BROKER" --data "$DATA/log" --apply "$HERE/topics" --flush "${MILLPOND_FLUSH:-async}" \
    --listen "127.0.0.1:$PORT" --admin-listen "127.0.0.1:$((PORT + 1000))" --http-listen "127.0.0.1:$((PORT + 1001))" \
    >>"$DATA/broker.out" 2>&1 </dev/null &
  echo $! >"$PID"
  for _ in $(seq 1 1000); do
    (exec 3<>"/dev/tcp/127.0.0.1/$PORT") 2>/dev/null && return 0
    kill -0 "$(cat "$PID")" 2>/dev/null || { tail -20 "$DATA/broker.out" >&2; exit 1; }
    sleep 0.01
  done
  echo "no answer on port $PORT after 10 s" >&2
  exit 1
}

stop() {
  [ -f "$PID" ] || return 0
  local pid; pid=$(cat "$PID")
  if kill "$pid" 2>/dev/null; then
    for _ in $(seq 1 200); do kill -0 "$pid" 2>/dev/null || break; sleep 0.05; done
    kill -9 "$pid" 2>/dev/null || true
  fi
  rm -f "$PID"
}

case ${1:-} in
  start) stop; rm -rf "${DATA:?}"; start ;;
  restart) start ;;
  stop) stop ;;
  pid) cat "$PID" ;;
  *) sed -n '2,3p' "$0"; exit 2 ;;
esac
