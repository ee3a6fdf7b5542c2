#!/usr/bin/env bash
# Waits for the roll-out, then asks the router for one answer in each mode:  k8s/smoke.sh
# FLAGS are further flags of `cascade generate`.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=k8s/cluster.sh
source k8s/cluster.sh

log="$(mktemp)"
forward=""
finish() {
  local status=$?
  if [ -n "$forward" ]; then kill "$forward" 2> /dev/null || true; fi
  if [ "$status" -ne 0 ]; then
    cat "$log" >&2
    explain
  fi
  rm -f "$log"
}
trap finish EXIT

roll_out

# A free port of the loopback, to a router.  Not by `kube`: ending a function leaves its child.
"${KUBECTL[@]}" --namespace "$NAMESPACE" port-forward --address 127.0.0.1 service/router :50051 > "$log" 2>&1 &
forward=$!
until address="$(grep -oE '127\.0\.0\.1:[0-9]+' "$log")"; do
  kill -0 "$forward"
  sleep 0.2
done

for mode in drafter expert sequence_cascade token_cascade speculative speculative_cascade; do
  printf '== %s\n' "$mode"
  # shellcheck disable=SC2086  # flags are words
  .venv/bin/cascade generate --address "${address%%$'\n'*}" --mode "$mode" --max-tokens 32 ${FLAGS:-} \
    "Write a haiku about caches."
done
