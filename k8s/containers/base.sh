#!/usr/bin/env bash
# A base image with Python 3.11, made from Debian's packages: for where no registry can be reached.
# Needs root (or user namespaces), mmdebstrap, and podman, buildah or docker.
#
#   containers/base.sh [NAME]      default localhost/cascade/base:bookworm
set -euo pipefail
cd "$(dirname "$0")"
# shellcheck source=k8s/containers/engine.sh
source ./engine.sh

name="${1:-localhost/cascade/base:bookworm}"
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT

# What no service reads at run time stays out.  mmdebstrap's own shell fills in $1, the root.
# shellcheck disable=SC2016
mmdebstrap --quiet --variant=minbase --include=ca-certificates,python3,python3-venv \
  --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
  --dpkgopt='path-exclude=/usr/share/locale/*' \
  --customize-hook='rm -rf "$1"/var/cache/apt "$1"/var/lib/apt/lists' \
  bookworm "$folder/base.tar"
printf 'FROM scratch\nADD base.tar /\n' > "$folder/Containerfile"
engine_build --tag "$name" --file "$folder/Containerfile" "$folder"
echo "$name"
