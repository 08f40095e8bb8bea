#!/usr/bin/env bash
# Builds one image with buildah.
# usage: images/build.sh NAME [--tag IMAGE:TAG] [--base IMAGE] [--extras A,B] [--wheels DIR] [--output FILE.tar] [-- BUILDAH ARGUMENTS]
#   NAME      controller, runtime-cpu, runtime-cuda or runtime-npu
#   --tag     default localhost/autosel/NAME:VERSION
#   --base    base image with Python 3.11; default: the Dockerfile's, for runtime-npu one with CANN (environment
#             BASE_IMAGE does the same)
#   --extras  optional dependencies; default: the Dockerfile's
#   --wheels  folder of wheels, used in the build and left out of the image
#   --output  also write the image to a docker archive
# pip's settings (PIP_INDEX_URL, PIP_EXTRA_INDEX_URL, PIP_TRUSTED_HOST, PIP_PROXY, PIP_DEFAULT_TIMEOUT, PIP_RETRIES) reach the build
# as a secret and stay out of every layer. The time of all files is SOURCE_DATE_EPOCH, by default the last commit's.
set -euo pipefail
usage() { sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" >&2; exit "${1:-64}"; }

cd "$(dirname "$0")/.."
[ $# -ge 1 ] || usage
case $1 in -h | --help) usage 0 ;; esac
name=$1; shift
names=$(sed -n 's/^FROM .* AS \(controller\|runtime-[a-z]*\)$/\1/p' images/Dockerfile | tr '\n' ' ')
case " $names" in *" $name "*) ;; *) echo "build.sh: there is no image $name; there are: $names" >&2; exit 64 ;; esac
command -v buildah > /dev/null || { echo "build.sh: buildah is missing (Debian package buildah)" >&2; exit 69; }

version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml | head -1)
tag=localhost/autosel/$name:$version base=${BASE_IMAGE:-} extras='' wheels='' output=''
while [ $# -gt 0 ]; do
  case $1 in
    --) shift; break ;;
    --tag | --base | --extras | --wheels | --output)
      [ $# -ge 2 ] || { echo "build.sh: $1 needs a value" >&2; exit 64; }
      printf -v "${1#--}" %s "$2"; shift 2 ;;
    -h | --help) usage 0 ;;
    *) echo "build.sh: unknown argument $1" >&2; usage ;;
  esac
done

[ -n "$base" ] || [ "$name" != runtime-npu ] || base=quay.io/ascend/cann:9.1.0-910b-ubuntu22.04-py3.11

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/wheels"
if [ -n "$wheels" ]; then
  [ -d "$wheels" ] || { echo "build.sh: --wheels: there is no folder $wheels" >&2; exit 66; }
  wheels=$(cd "$wheels" && pwd)
fi
{
  echo '[global]'
  for setting in INDEX_URL EXTRA_INDEX_URL TRUSTED_HOST PROXY DEFAULT_TIMEOUT RETRIES; do
    variable=PIP_$setting
    [ -z "${!variable:-}" ] || echo "$(tr 'A-Z_' 'a-z-' <<< "$setting") = ${!variable}"
  done
} > "$work/pip.conf"

revision=$(git rev-parse HEAD 2> /dev/null || echo unknown)
[ -z "$(git status --porcelain -- autosel_runtime controller pyproject.toml requirements.lock images 2> /dev/null)" ] || revision=$revision-dirty
epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2> /dev/null || echo 0)}
arguments=(
  --file images/Dockerfile --target "$name" --tag "$tag" --format docker --timestamp "$epoch"
  --secret "id=pip.conf,src=$work/pip.conf" --build-context "wheels=${wheels:-$work/wheels}"
  --build-arg "VERSION=$version" --build-arg "REVISION=$revision"
  --build-arg "CREATED=$(date -u -d "@$epoch" +%Y-%m-%dT%H:%M:%SZ)"
)
[ -z "$base" ] || arguments+=(--build-arg "BASE_IMAGE=$base")
[ -z "$extras" ] || arguments+=(--build-arg "EXTRAS=$extras")
buildah ${BUILDAH_OPTIONS:-} build "${arguments[@]}" "$@" .
[ -z "$output" ] || buildah ${BUILDAH_OPTIONS:-} push "$tag" "docker-archive:$output:$tag"
echo "$tag"
