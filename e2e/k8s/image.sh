#!/usr/bin/env bash
# Packs the compiled programs into the image localhost/millpond:dev without pulling anything, and loads it into
# every node of the cluster that `make up` started (the local one or kind).
#   image.sh [FOLDER]     where the programs lie (default $CARGO_TARGET_DIR/release or ./target/release)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/common.sh"
folder=${1:-${CARGO_TARGET_DIR:-$here/../../target}/release}
image=${MILLPOND_IMAGE:-localhost/millpond:dev}
programs=(millpond-operator millpond-broker millpond)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
mkdir -p "$root"/{etc,tmp,usr/local/bin}
chmod 1777 "$root/tmp"
for p in "${programs[@]}"; do
  [[ -x $folder/$p ]] || die "$folder/$p is missing: cargo build --release -p operator -p broker -p cli"
  # debug information stays on this machine: every node keeps its own copy of the image
  strip -o "$root/usr/local/bin/$p" "$folder/$p"
done
# The libraries come along and name resolution works as on the host: a statically linked glibc would crash in it.
# glibc before 2.34 opens these two at run time, so ldd does not list them.
mapfile -t libraries < <(
  for p in "${programs[@]}"; do ldd "$folder/$p"; done | grep -o '/[^ ]*' | sort -u
  ls /lib/*-linux-gnu/lib{nss_dns,resolv}.so.2 2>/dev/null || true
)
for l in "${libraries[@]}"; do
  mkdir -p "$root$(dirname "$l")"
  cp -L "$l" "$root$l"
done
printf 'root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/tmp:/sbin/nologin\n' >"$root/etc/passwd"
printf 'root:x:0:\nnonroot:x:65532:\n' >"$root/etc/group"
printf 'hosts: files dns\n' >"$root/etc/nsswitch.conf"
cat >"$work/Dockerfile" <<'D'
FROM scratch
COPY root/ /
ENV PATH=/usr/local/bin:/usr/bin:/bin
USER 65532:65532
EXPOSE 8081 8082 8083
CMD ["millpond-broker", "--help"]
D
buildah_ "$work" bud -q --isolation chroot -t "$image" "$work" >/dev/null
buildah_ "$work" push -q "$image" "docker-archive:$work/image.tar:$image" >/dev/null
say "$image: $(du -h "$work/image.tar" | cut -f1)"
if [[ -d $RUN ]]; then
  "$here/cluster.sh" load "$work/image.tar"
elif command -v kind >/dev/null && kind get clusters 2>/dev/null | grep -qx millpond; then
  kind load image-archive --name millpond "$work/image.tar"
else
  say "no cluster is up: the image was built and not loaded anywhere"
fi
