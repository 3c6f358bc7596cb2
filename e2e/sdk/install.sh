#!/usr/bin/env bash
# Installs the official RocketMQ SDKs at their pinned versions, and the four programs that use them, into
# $MILLPOND_CACHE/sdk. A second run finds everything in place and takes a fraction of a second.
# Needs: Java 17 with Maven, Go, Python 3 with venv, Node.js 20 with npm.
#   install.sh [java] [go] [python] [node]     (default: all four)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=${MILLPOND_CACHE:-$HOME/.cache/millpond}/sdk

# What has to be the same for an installation to be still good: the pins, and the sources that are compiled.
stamp() {
  case $1 in
    java) sha256sum "$here"/java/pom.xml "$here"/java/src/* ;;
    go) sha256sum "$here"/go/* ;;
    python) sha256sum "$here"/python/requirements.txt ;;
    node) sha256sum "$here"/node/package-lock.json ;;
  esac | cut -d' ' -f1 | sha256sum
}
need() { command -v "$1" >/dev/null || { echo "$1 is missing: install $2" >&2; exit 1; }; }

install_java() {
  need mvn "a JDK 17 or newer and Maven"
  mvn -q -B -ntp -f "$here/java/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies \
    -DincludeScope=runtime -DoutputDirectory="$cache/java/lib"
  mkdir -p "$cache/java/classes"
  javac -nowarn -XDignore.symbol.file -encoding UTF-8 -cp "$cache/java/lib/*" -d "$cache/java/classes" "$here"/java/src/*.java
}
install_go() {
  need go "Go 1.24 or newer"
  mkdir -p "$cache/go"
  (cd "$here/go" && go build -o "$cache/go/matrix" .)
}
install_python() {
  need python3 "Python 3.9 or newer with its venv module"
  rm -rf "$cache/python/venv"
  python3 -m venv "$cache/python/venv"
  "$cache/python/venv/bin/pip" install -q --no-deps -r "$here/python/requirements.txt"
}
install_node() {
  need npm "Node.js 20 or newer with npm"
  mkdir -p "$cache/node"
  cp "$here"/node/package.json "$here"/node/package-lock.json "$cache/node/"
  # the SDK needs no install script of its own or of its dependencies
  (cd "$cache/node" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null)
}

sdks=("$@")
[[ ${#sdks[@]} -gt 0 ]] || sdks=(java go python node)
for sdk in "${sdks[@]}"; do
  now=$(stamp "$sdk")
  [[ $(cat "$cache/$sdk/.stamp" 2>/dev/null) == "$now" ]] && continue
  began=$SECONDS
  "install_$sdk"
  mkdir -p "$cache/$sdk" && echo "$now" >"$cache/$sdk/.stamp"
  echo "installed the $sdk SDK in $((SECONDS - began)) s" >&2
done
