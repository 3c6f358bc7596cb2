# Sourced by cluster.sh: a default StorageClass with volumes in folders, and the two images it and the pods need.
# shellcheck shell=bash
base_images() { # the sandbox image, and a busybox for the volume provisioner's helper, from the host's busybox
  local b image
  b=$(mktemp -d)
  cp "$(command -v busybox)" "$b/"
  {
    echo 'FROM scratch'
    for tool in sh sleep mkdir rm chmod; do echo "COPY busybox /bin/$tool"; done
    echo 'ENTRYPOINT ["/bin/sleep","infinity"]'
  } >"$b/Dockerfile"
  buildah_ "$b" bud -q --isolation chroot -t localhost/pause:1 "$b" >/dev/null
  buildah_ "$b" tag localhost/pause:1 localhost/busybox:1
  buildah_ "$b" push -q localhost/pause:1 "docker-archive:$RUN/base.tar:localhost/pause:1" >/dev/null
  buildah_ "$b" push -q localhost/busybox:1 "docker-archive:$RUN/busybox.tar:localhost/busybox:1" >/dev/null
  rm -rf "$b"
}

storage_class() {
  mkdir -p "$RUN/volumes"
  cat >"$RUN/local-path.json" <<C
{"nodePathMap":[{"node":"DEFAULT_PATH_FOR_NON_LISTED_NODES","paths":["$RUN/volumes"]}]}
C
  cat >"$RUN/helper-pod.yaml" <<C
apiVersion: v1
kind: Pod
metadata: {name: helper-pod}
spec:
  tolerations: [{operator: Exists}]
  containers: [{name: helper-pod, image: "localhost/busybox:1", imagePullPolicy: Never}]
C
  kubectl apply -f - >/dev/null <<C
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: local-path, annotations: {storageclass.kubernetes.io/is-default-class: "true"}}
provisioner: rancher.io/local-path
volumeBindingMode: WaitForFirstConsumer
reclaimPolicy: Delete
---
apiVersion: v1
kind: Namespace
metadata: {name: local-path-storage}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: local-path, namespace: local-path-storage}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: local-path-config, namespace: local-path-storage}
data:
  setup: |
    #!/bin/sh
    mkdir -m 0777 -p "\$VOL_DIR"
  teardown: |
    #!/bin/sh
    rm -rf "\$VOL_DIR"
  helperPod.yaml: |
$(sed 's/^/    /' "$RUN/helper-pod.yaml")
C
  start local-path local-path-provisioner start --kubeconfig "$KUBECONFIG" --config "$RUN/local-path.json" \
    --helper-image localhost/busybox:1 --helper-pod-file "$RUN/helper-pod.yaml" --namespace local-path-storage \
    --configmap-name local-path-config --service-account-name local-path
}
