#!/usr/bin/env bash
# Builds the images, starts a node and runs the end to end test of the operator on it. `make e2e` calls this.
# usage: tests/e2e/run.sh [--images-only] [FOLDER]
#   FOLDER                          with a short path (sockets lie in it); made and removed when left out. A folder that is
#                                   kept keeps the layers of the images, too
#   --images-only                   only build FOLDER/controller.tar and FOLDER/runtime-cpu.tar
#   AUTOSEL_TEST_NODE               script: FOLDER COMMAND... runs COMMAND beside a cluster of one node that it starts; reads
#                                   KUBE_IMAGES (archives to load) and KUBE_RESOURCES (extended resources of the node)
#   AUTOSEL_TEST_CONTEXT            instead: context of a cluster that is there; AUTOSEL_TEST_KUBECONFIG: the file that has it,
#                                   else kubectl's own; AUTOSEL_TEST_ADDRESS: this machine's address for its pods;
#                                   AUTOSEL_TEST_IMAGE_PREFIX: where its nodes find controller and runtime-cpu
#   AUTOSEL_TEST_IMAGE_ARCHIVES     archives of both images, when they are built already
#   BASE_IMAGE                      base of the images, pulled; AUTOSEL_TEST_BASE_IMAGE_SCRIPT: script that makes the image
#                                   NAME:TAG in buildah's vfs storage, where no registry is reached
#   AUTOSEL_TEST_WHEELS             folder with the CPU wheel of torch; PIP_FIND_LINKS when that is a folder
#   BUILDAH_OPTIONS                 buildah's storage; by default overlay, or vfs, in FOLDER
set -euo pipefail
cd "$(dirname "$0")/../.."
python=$PWD/.venv/bin/python
say() { echo "e2e: $*" >&2; }
images_only=0
if [ "${1:-}" = --images-only ]; then
  images_only=1; shift
  [ $# = 1 ] || { say "--images-only needs a folder"; exit 64; }
fi
[ "$images_only" = 1 ] || [ -x "$python" ] || { say ".venv is missing: make test or make e2e makes it"; exit 69; }

if [ -n "${AUTOSEL_TEST_CONTEXT:-}" ] && [ "$images_only" = 0 ]; then
  folder=${1:-$(mktemp -d -t autosel-e2e.XXXX)}
  [ $# -ge 1 ] || trap 'rm -rf "$folder"' EXIT
  "$python" -m tests.e2e "$folder"
  exit
fi
if [ -z "${AUTOSEL_TEST_NODE:-}" ] && [ "$images_only" = 0 ]; then
  say "no cluster: set AUTOSEL_TEST_NODE to a script that starts a node, or AUTOSEL_TEST_CONTEXT"
  exit 69
fi

layers=
if [ $# -ge 1 ]; then
  folder=$(mkdir -p "$1" && cd "$1" && pwd) layers=--layers
else
  folder=$(mktemp -d -t autosel-e2e.XXXX)
  trap 'rm -rf "$folder"' EXIT
fi
phases=()

timed() {  # NAME COMMAND...: say what is done, and remember the seconds
  local name=$1 began=$SECONDS status=0; shift
  say "$name"
  "$@" || status=$?
  phases+=("$name $((SECONDS - began)) s")
  return "$status"
}

base() {  # the base image under its name in our storage
  local name=${BASE_IMAGE:-docker.io/library/python:3.11-slim-bookworm}
  buildah $BUILDAH_OPTIONS inspect --type image "$name" > /dev/null 2>&1 && return
  if [ -z "${AUTOSEL_TEST_BASE_IMAGE_SCRIPT:-}" ]; then
    buildah $BUILDAH_OPTIONS pull "$name" > /dev/null
    return
  fi
  bash "$AUTOSEL_TEST_BASE_IMAGE_SCRIPT" "$name" > "$folder/base.log" 2>&1 || { tail -n 20 "$folder/base.log" >&2; return 1; }
  # docker-archive packs nothing: an OCI archive would be compressed here and unpacked there.
  buildah --storage-driver vfs push -q "$name" "docker-archive:$folder/base.tar:$name" &&
    buildah $BUILDAH_OPTIONS pull -q "docker-archive:$folder/base.tar" > /dev/null &&
    rm "$folder/base.tar"
}

build() {  # one image as an archive; a failed build shows its end
  local name=$1 log=$folder/$1.log; shift
  images/build.sh "$name" "$@" --output "$folder/$name.tar" -- --isolation chroot --network host --pull=never $layers \
    > "$log" 2>&1 || { tail -n 40 "$log" >&2; return 1; }
}

images() {  # both at once: most of the time one waits for a disk or has one thread
  local wheels=${AUTOSEL_TEST_WHEELS:-${PIP_FIND_LINKS:-}} other status=0
  build controller &
  other=$!
  if [ -d "$wheels" ]; then build runtime-cpu --wheels "$wheels"; else build runtime-cpu; fi || status=$?
  wait "$other" || status=$?
  return "$status"
}

archives=${AUTOSEL_TEST_IMAGE_ARCHIVES:-}
if [ -z "$archives" ]; then
  if [ -z "${BUILDAH_OPTIONS:-}" ]; then
    BUILDAH_OPTIONS="--storage-driver overlay --root $folder/buildah --runroot $folder/buildah-run"
    buildah $BUILDAH_OPTIONS images > /dev/null 2>&1 || BUILDAH_OPTIONS=${BUILDAH_OPTIONS/overlay/vfs}
  fi
  export BUILDAH_OPTIONS
  timed "base image" base
  timed "images" images
  archives="$folder/controller.tar $folder/runtime-cpu.tar"
fi
show() { say "$(IFS=,; echo "${phases[*]}" | sed 's/,/, /g')${phases:+; }$SECONDS s in all"; }
[ "$images_only" = 0 ] || { show; exit 0; }

status=0
export KUBE_IMAGES=$archives KUBE_RESOURCES="nvidia.com/gpu=2 huawei.com/Ascend910=2" AUTOSEL_TEST_INSIDE_NODE=1
timed "node and checks" bash "$AUTOSEL_TEST_NODE" "$folder/node" "$python" -m tests.e2e "$folder/run" || status=$?
show
exit "$status"
