#!/usr/bin/env bash
# Runs one SDK's program: run.sh java|go|python|node --endpoint HOST:PORT --topic T --group G --scenario S ...
# MILLPOND_CA names a PEM file that the SDKs which verify certificates (Python, Node) shall trust with --tls.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=${MILLPOND_CACHE:-$HOME/.cache/millpond}/sdk
sdk=$1
shift
if [[ -n ${MILLPOND_CA:-} ]]; then
  export GRPC_DEFAULT_SSL_ROOTS_FILE_PATH=$MILLPOND_CA NODE_EXTRA_CA_CERTS=$MILLPOND_CA
fi
# Brokers under test are near: a proxy for the outside must not come between.
unset http_proxy https_proxy grpc_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY all_proxy
# The SDKs log into the home directory; keep that apart from the caller's.
logs=$cache/logs
mkdir -p "$logs"
case $sdk in
  java)
    exec java -Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Drocketmq.log.root="$logs" -Duser.home="$logs" \
      -cp "$cache/java/classes:$cache/java/lib/*" Matrix "$@" ;;
  go) HOME=$logs exec "$cache/go/matrix" "$@" ;;
  python) HOME=$logs PYTHONDONTWRITEBYTECODE=1 exec "$cache/python/venv/bin/python" "$here/python/main.py" "$@" ;;
  node) NODE_PATH=$cache/node/node_modules exec node "$here/node/main.mjs" "$@" ;;
  *) echo "unknown SDK $sdk" >&2; exit 2 ;;
esac
