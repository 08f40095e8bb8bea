#!/usr/bin/env bash
# Builds the images, starts a node and runs the end to end test of the operator on it. `make e2e` calls this.
# usage: tests/e2e/run.sh [FOLDER]         FOLDER: new, with a short path (sockets lie in it); made and removed when left out
#   AUTOSEL_TEST_NODE               script: FOLDER COMMAND... runs COMMAND beside a cluster of one node that it starts; reads
#                                   KUBE_IMAGES (archives to load) and KUBE_RESOURCES (extended resources of the node)
#   AUTOSEL_TEST_CONTEXT            instead: context of a cluster that is there; AUTOSEL_TEST_ADDRESS: this machine's address
#                                   for its pods; AUTOSEL_TEST_IMAGE_PREFIX: where its nodes find controller and runtime-cpu
#   AUTOSEL_TEST_IMAGE_ARCHIVES     archives of both images, when they are built already
#   BASE_IMAGE                      base of the images, pulled; AUTOSEL_TEST_BASE_IMAGE_SCRIPT: script that makes the image
#                                   NAME:TAG in buildah's vfs storage, where no registry is reached
#   AUTOSEL_TEST_WHEELS             folder with the CPU wheel of torch; PIP_FIND_LINKS when that is a folder
#   BUILDAH_OPTIONS                 buildah's storage; by default overlay, or vfs, in FOLDER
set -euo pipefail
cd "$(dirname "$0")/../.."
python=$PWD/.venv/bin/python
[ -x "$python" ] || { echo "e2e: .venv is missing: make test or make e2e makes it" >&2; exit 69; }
say() { echo "e2e: $*" >&2; }

if [ -n "${AUTOSEL_TEST_CONTEXT:-}" ]; then
  exec "$python" -m tests.e2e "${1:-$(mktemp -d)}"
fi
[ -n "${AUTOSEL_TEST_NODE:-}" ] || { say "no cluster: set AUTOSEL_TEST_NODE to a script that starts a node, or AUTOSEL_TEST_CONTEXT"; exit 69; }

if [ $# -ge 1 ]; then
  folder=$(mkdir -p "$1" && cd "$1" && pwd)
else
  folder=$(mktemp -d -t autosel-e2e.XXXX)
  trap 'rm -rf "$folder"' EXIT
fi

base() {  # the base image under its name in our storage
  local name=${BASE_IMAGE:-docker.io/library/python:3.11-slim-bookworm}
  buildah $BUILDAH_OPTIONS inspect --type image "$name" > /dev/null 2>&1 && return
  if [ -z "${AUTOSEL_TEST_BASE_IMAGE_SCRIPT:-}" ]; then
    buildah $BUILDAH_OPTIONS pull "$name" > /dev/null
    return
  fi
  bash "$AUTOSEL_TEST_BASE_IMAGE_SCRIPT" "$name" > "$folder/base.log" 2>&1 || { tail -n 20 "$folder/base.log" >&2; return 1; }
  buildah --storage-driver vfs push -q "$name" "oci-archive:$folder/base.tar:$name"
  buildah $BUILDAH_OPTIONS pull -q "oci-archive:$folder/base.tar:$name" > /dev/null
  rm "$folder/base.tar"
}

build() {  # one image as an archive; a failed build shows its end
  local name=$1 log=$folder/$1.log; shift
  say "building $name"
  images/build.sh "$name" "$@" --output "$folder/$name.tar" -- --isolation chroot --network host --pull=never --layers \
    > "$log" 2>&1 || { tail -n 40 "$log" >&2; return 1; }
}

archives=${AUTOSEL_TEST_IMAGE_ARCHIVES:-}
if [ -z "$archives" ]; then
  if [ -z "${BUILDAH_OPTIONS:-}" ]; then
    BUILDAH_OPTIONS="--storage-driver overlay --root $folder/buildah --runroot $folder/buildah-run"
    buildah $BUILDAH_OPTIONS images > /dev/null 2>&1 || BUILDAH_OPTIONS=${BUILDAH_OPTIONS/overlay/vfs}
  fi
  export BUILDAH_OPTIONS
  wheels=${AUTOSEL_TEST_WHEELS:-${PIP_FIND_LINKS:-}}
  say "base image"
  base
  build controller
  if [ -d "$wheels" ]; then build runtime-cpu --wheels "$wheels"; else build runtime-cpu; fi
  archives="$folder/controller.tar $folder/runtime-cpu.tar"
fi

say "starting the node"
status=0
KUBE_IMAGES=$archives KUBE_RESOURCES="nvidia.com/gpu=2 huawei.com/Ascend910=2" AUTOSEL_TEST_INSIDE_NODE=1 \
  bash "$AUTOSEL_TEST_NODE" "$folder/node" "$python" -m tests.e2e "$folder/run" || status=$?
exit "$status"
