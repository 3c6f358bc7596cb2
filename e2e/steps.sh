# Sourced: says what is done and how long each step took; shows the output only of a step that failed.
# shellcheck shell=bash
steps_log=$(mktemp)
steps_began=$SECONDS

# step TEXT CMD...: runs CMD quietly.
step() {
  local text=$1 began=$EPOCHREALTIME; shift
  printf '%-64s' "$text ..."
  if ! "$@" >"$steps_log" 2>&1; then
    printf ' failed\n'
    cat "$steps_log"
    rm -f "$steps_log"
    exit 1
  fi
  printf ' %5.1f s\n' "$(echo "$EPOCHREALTIME - $began" | bc -l)"
}

# heading TEXT
heading() { printf '\n== %s\n' "$*"; }

# total TEXT: how long everything took
total() { rm -f "$steps_log"; printf '\n%s in %d min %02d s.\n' "$1" $(((SECONDS - steps_began) / 60)) $(((SECONDS - steps_began) % 60)); }
