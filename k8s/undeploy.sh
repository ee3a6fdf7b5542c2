#!/usr/bin/env bash
# Takes an overlay's objects down, but for the namespace and the weights:  k8s/undeploy.sh OVERLAY
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=k8s/cluster.sh
source k8s/cluster.sh

.venv/bin/python -m k8s.render "${1:?which overlay?}" --keep-data \
  | kube delete --ignore-not-found --wait --filename -
