#!/usr/bin/env bash
# Applies an overlay and waits until it serves:  k8s/deploy.sh OVERLAY
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=k8s/cluster.sh
source k8s/cluster.sh

manifests="$(mktemp)"
trap 'rm -f "$manifests"' EXIT
.venv/bin/python -m k8s.render "${1:?which overlay?}" > "$manifests"

# A job can't be changed.  What it fetched is in the volume, and is not fetched again.
kube delete job weights --ignore-not-found
kube apply --filename "$manifests"
if ! roll_out; then
  explain
  exit 1
fi
