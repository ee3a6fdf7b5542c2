# Which tool builds and runs containers.  Sourced by the scripts beside it.
# ENGINE names one: podman, buildah (builds only) or docker.  Else the first that is there.
# shellcheck shell=bash

engine_find() {
  local engine
  for engine in "$@"; do
    if command -v "$engine" > /dev/null; then
      echo "$engine"
      return
    fi
  done
  echo "none of $* is installed" >&2
  return 1
}

# Cgroups of version 1, or both versions side by side, need other settings (docs/kubernetes.md).
engine_configure() {
  if [ -z "${CONTAINERS_CONF:-}" ] && [ ! -e /sys/fs/cgroup/cgroup.controllers ]; then
    export CONTAINERS_CONF="$1/hybrid.conf"
  fi
}

ENGINE="${ENGINE:-$(engine_find podman buildah docker)}"
engine_configure "$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"

# engine_build ARGUMENT...   as `podman build` takes them
engine_build() {
  case "$ENGINE" in
    podman | buildah) "$ENGINE" build --layers --format oci "$@" ;;
    docker) DOCKER_BUILDKIT=1 docker build "$@" ;;
    *) echo "ENGINE must be podman, buildah or docker, got $ENGINE" >&2; return 2 ;;
  esac
}
