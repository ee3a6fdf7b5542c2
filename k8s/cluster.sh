# What the scripts beside this share.  Sourced by them.
# KUBECTL is the command and its flags; NAMESPACE that of the overlay; WAIT how long a roll-out may take.
# shellcheck shell=bash

read -ra KUBECTL <<< "${KUBECTL:-.venv/bin/kubectl}"
NAMESPACE="${NAMESPACE:-cascade}"
WAIT="${WAIT:-30m}"

kube() { "${KUBECTL[@]}" --namespace "$NAMESPACE" "$@"; }

# Waits for each Deployment; the job that fetches weights is waited for by the pods themselves.
roll_out() {
  local service
  for service in drafter expert router; do
    kube rollout status "deployment/$service" --timeout "$WAIT" || return
  done
}

# What went wrong: pods, events, and the last lines of every container.
explain() {
  {
    echo "== pods"
    kube get pods --output wide
    echo "== events"
    kube get events --sort-by .lastTimestamp | tail -n 40
    local pod
    for pod in $(kube get pods --selector app.kubernetes.io/part-of=cascade --output name); do
      echo "== $pod"
      kube logs "$pod" --all-containers --prefix --tail 20
      kube logs "$pod" --all-containers --prefix --tail 20 --previous 2> /dev/null
    done
  } >&2 || true
}
