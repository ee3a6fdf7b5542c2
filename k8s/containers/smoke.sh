#!/usr/bin/env bash
# The images as containers, as hardened as the manifests' pods, on a network of their own, with the
# tiny pair as volumes: one answer in each mode, then everything is taken down.  What can be set:
#
#   ENGINE   podman or docker; else the first that is there
#   KILL     drafter, expert or both: kills the only drafter, or one of the two experts, while an
#            answer is under way, which has to come to its end all the same
#   FLAGS    further flags of the answer under way, such as what to do where a model is lost
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=k8s/containers/engine.sh
source k8s/containers/engine.sh
if [ "$ENGINE" = buildah ]; then echo "buildah runs no services: ENGINE=podman or docker" >&2; exit 2; fi
case "${KILL:-}" in
  "" | drafter | expert | both) ;;
  *) echo "KILL must be drafter, expert or both, got $KILL" >&2; exit 2 ;;
esac

name="cascade-smoke-$$"
folder="$(mktemp -d)"
wait_s=300
declare -A image
while read -r service its; do image[$service]="$its"; done < <(.venv/bin/python -m k8s.images)

down() {
  local status=$?
  if [ "$status" -ne 0 ]; then
    for container in $("$ENGINE" ps --all --quiet --filter "name=^$name"); do
      echo "== $("$ENGINE" inspect --format '{{.Name}} {{.State.Status}}' "$container")" >&2
      "$ENGINE" logs --tail 20 "$container" >&2 || true
    done
  fi
  "$ENGINE" ps --all --quiet --filter "name=^$name" | xargs --no-run-if-empty "$ENGINE" rm --force > /dev/null
  "$ENGINE" network rm "$name" > /dev/null
  rm -rf "$folder"
}
trap down EXIT

hardened=(
  --network "$name" --read-only --tmpfs "/tmp:rw,size=64m,mode=1777"
  --cap-drop all --security-opt no-new-privileges --pids-limit 256
)

# start SERVICE CONTAINER MEMORY ARGUMENT...
start() {
  local service="$1" container="$2" memory="$3"
  shift 3
  "$ENGINE" run --detach --name "$name-$container" --network-alias "$service" "${hardened[@]}" \
    --memory "$memory" --cpus 1 "$@" > /dev/null
}

# pod SERVICE CONTAINER
pod() {
  start "$1" "$2" 1g \
    --volume "$PWD/tests/tiny/$1:/models/$1:ro" \
    --env CASCADE_POD_HOST=0.0.0.0 --env CASCADE_POD_PORT=50051 \
    --env CASCADE_POD_METRICS_PORT=9090 --env "CASCADE_POD_MODEL=/models/$1" --env CASCADE_POD_CACHE_BYTES=64MiB \
    --env CASCADE_POD_THREADS=1 --env CASCADE_POD_DTYPE=float32 --env CASCADE_POD_GRACE_S=2 \
    "${image[$1]}"
}

# ask FLAG...   a client in a container of its own
ask() {
  "$ENGINE" run --rm --name "$name-client" "${hardened[@]}" --memory 256m --cpus 1 \
    --entrypoint cascade "${image[router]}" generate --address router:50051 "$@" "def main() -> None:"
}

"$ENGINE" network create --internal "$name" > /dev/null
pod drafter drafter
pod expert expert
if [ -n "${KILL:-}" ]; then pod expert expert-2; fi
start router router 512m \
  --env CASCADE_ROUTER_HOST=0.0.0.0 --env CASCADE_ROUTER_PORT=50051 \
  --env CASCADE_ROUTER_DISCOVERY=dns \
  --env CASCADE_ROUTER_DRAFTER=drafter:50051 --env CASCADE_ROUTER_EXPERT=expert:50051 \
  --env "CASCADE_ROUTER_CONNECT_TIMEOUT_S=$wait_s" --env CASCADE_ROUTER_GRACE_S=2 \
  "${image[router]}"

# Until it serves, there is nobody to ask.
deadline=$((SECONDS + wait_s))
until ask --max-tokens 1 > "$folder/first" 2>&1; do
  if [ "$SECONDS" -ge "$deadline" ]; then
    echo "the router does not answer within $wait_s s:" >&2
    cat "$folder/first" >&2
    exit 1
  fi
  sleep 2
done

for mode in drafter expert sequence_cascade token_cascade speculative speculative_cascade; do
  ask --mode "$mode" --max-tokens 32 --json > "$folder/$mode"
  tokens="$(.venv/bin/python -c 'import json, sys; print(len(json.load(sys.stdin)["token_ids"]))' < "$folder/$mode")"
  echo "$mode: $tokens tokens"
  [ "$tokens" -gt 0 ]
done

# serving CONTAINER...   the first of them that has a session, by its metrics
serving() {
  "$ENGINE" exec "$name-router" python -c '
import sys
from urllib.request import urlopen

for name in sys.argv[1:]:
    if b"\ncascade:num_requests_running 1" in urlopen(f"http://{name}:9090/metrics").read():
        sys.exit(print(name))
sys.exit("none of them has a session")' "$@"
}

# lose CONTAINER...   kills the one that an answer uses, while it is under way: a long one, by models
# slowed down
lose() {
  local containers=("${@/#/$name-}") victim
  "$ENGINE" ps --quiet --filter "name=^$name-(drafter|expert)" \
    | while read -r container; do "$ENGINE" update --cpus 0.1 "$container" > /dev/null < /dev/null; done
  : > "$folder/answer"
  # shellcheck disable=SC2086  # flags are words
  ask --mode speculative --max-tokens 480 ${FLAGS:-} > "$folder/answer" 2> "$folder/statistics" &
  local client=$!
  until [ -s "$folder/answer" ]; do
    if ! kill -0 "$client" 2> /dev/null; then cat "$folder/statistics" >&2; return 1; fi
    sleep 0.05
  done
  victim="$(serving "${containers[@]}")"
  "$ENGINE" kill "$victim" > /dev/null
  if ! kill -0 "$client" 2> /dev/null; then
    echo "the answer ended before $victim was killed: nothing is shown" >&2
    return 1
  fi
  if ! wait "$client"; then
    echo "the answer did not survive the loss of $victim:" >&2
    cat "$folder/statistics" >&2
    return 1
  fi
  echo "the answer went on without ${victim#"$name-"}"
}

case "${KILL:-}" in expert | both) lose expert expert-2 ;; esac
case "${KILL:-}" in drafter | both) lose drafter ;; esac

if [ -n "${KILL:-}" ]; then exit 0; fi

# SIGTERM is heeded: each server drains and exits with 0.
for container in router expert drafter; do
  if [ "$("$ENGINE" inspect --format '{{.State.Running}}' "$name-$container")" = true ]; then
    "$ENGINE" stop --time 30 "$name-$container" > /dev/null
    status="$("$ENGINE" inspect --format '{{.State.ExitCode}}' "$name-$container")"
    echo "$container: stopped with $status"
    [ "$status" -eq 0 ]
  fi
done
