#!/usr/bin/env bash
# Builds the three images under the names that k8s/images gives.  What can be set:
#
#   ENGINE            podman, buildah or docker; else the first that is there
#   SERVICES          router drafter expert
#   BASE_IMAGE        an image with Python 3.11 and its venv (k8s/containers/base.sh makes one)
#   TORCH             the build of torch: cpu (the default), cu130, ...; empty for what the index has
#   TORCH_INDEX_URL   a package index that has that build, beside the usual one
#   WHEELS            a folder of wheels to look into first
#   PIP_INDEX_URL, PIP_EXTRA_INDEX_URL   package indexes; without a password, since an image shows them
#   CA                a file of certificates that the index's is checked with
#   BUILD_NETWORK     the network of the build, such as host
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=k8s/containers/engine.sh
source k8s/containers/engine.sh

arguments=(--file Containerfile)
for name in BASE_IMAGE TORCH TORCH_INDEX_URL PIP_INDEX_URL PIP_EXTRA_INDEX_URL; do
  if [ -n "${!name+set}" ]; then arguments+=(--build-arg "$name=${!name}"); fi
done
if [ -n "${WHEELS:-}" ]; then arguments+=(--build-context "wheels=$WHEELS"); fi
if [ -n "${CA:-}" ]; then arguments+=(--secret "id=ca,src=$CA"); fi
if [ -n "${BUILD_NETWORK:-}" ]; then arguments+=(--network "$BUILD_NETWORK"); fi

arguments+=(--label "cascade.contents=$(.venv/bin/python -m k8s.images.contents)")

.venv/bin/python -m k8s.images | while read -r service image; do
  case " ${SERVICES:-router drafter expert} " in *" $service "*) ;; *) continue ;; esac
  echo "== $image"
  engine_build "${arguments[@]}" --target "$service" --tag "$image" . < /dev/null
done
