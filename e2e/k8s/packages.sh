#!/usr/bin/env bash
# Makes sure the system packages of the local cluster are there: installs them as root on Debian and its
# children, names them elsewhere. A few milliseconds when nothing is missing.
set -euo pipefail
# what is looked for (a command or a file) = the Debian package that has it
wanted=(containerd=containerd runc=runc buildah=buildah nft=nftables ip=iproute2 conntrack=conntrack busybox=busybox-static
  openssl=openssl iptables=iptables socat=socat ethtool=ethtool nsenter=util-linux git=git curl=curl
  /usr/lib/cni/ptp=containernetworking-plugins)
missing=()
for entry in "${wanted[@]}"; do
  thing=${entry%%=*}
  [[ -e $thing ]] || PATH=$PATH:/usr/sbin:/sbin command -v "$thing" >/dev/null || missing+=("${entry#*=}")
done
[[ ${#missing[@]} -eq 0 ]] && exit 0
if [[ $(id -u) -eq 0 ]] && command -v apt-get >/dev/null; then
  echo "installing ${missing[*]}" >&2
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
else
  echo "these packages are missing (Debian's names), please install them: ${missing[*]}" >&2
  exit 1
fi
