# Sourced by the scripts of this folder: where things are, and small helpers.
# shellcheck shell=bash
K8S_VERSION=${K8S_VERSION:-1.34.4}
K8S_BIN=${K8S_BIN:-$HOME/.cache/local-k8s/v$K8S_VERSION/bin} # built once by tools.sh, shared by every clone
RUN=${K8S_RUN:-/run/millpond-k8s}                            # everything a running cluster has on disk
PKI=$RUN/pki LOG=$RUN/log
BRIDGE=mp0 GATEWAY=10.89.0.1 SERVICES=10.96.0.0/16 PODS=10.244.0.0/16
export PATH=$K8S_BIN:$PATH

say() { printf '%s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# start NAME CMD...: in a session of its own, logging to NAME.log, its pid kept for `stop NAME`.
start() {
  local name=$1; shift
  setsid "$@" >>"$LOG/$name.log" 2>&1 </dev/null &
  echo $! >"$RUN/$name.pid"
}

# The pid of NAME while it runs. Pids come again after a restart of the machine: each program names this folder in its command.
running() {
  local pid
  pid=$(cat "$RUN/$1.pid" 2>/dev/null) && grep -qsF "$RUN" "/proc/$pid/cmdline" && echo "$pid"
}

# stop NAME [SIGNAL]: and wait until it is gone, at most 5 seconds.
stop() {
  local pid
  pid=$(running "$1") || { rm -f "$RUN/$1.pid"; return 0; }
  kill "${2:--TERM}" "$pid" 2>/dev/null || true
  for _ in {1..50}; do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
  kill -KILL "$pid" 2>/dev/null || true
  rm -f "$RUN/$1.pid"
}

# wait_for WHAT SECONDS CMD...: until CMD succeeds.
wait_for() {
  local what=$1 seconds=$2; shift 2
  for ((i = 0; i < seconds * 5; i++)); do "$@" >/dev/null 2>&1 && return 0; sleep 0.2; done
  say "timed out after ${seconds} s: $what (logs: $LOG)"
  return 1
}

nodes() { for d in "$RUN"/n[0-9]*/; do [[ -d $d ]] && basename "$d"; done; return 0; }
buildah_() { buildah --storage-driver vfs --root "$1/store" --runroot "$1/run" "${@:2}"; }
