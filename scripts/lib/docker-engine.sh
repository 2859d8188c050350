# shellcheck shell=bash
# The Docker engine: makes sure that one answers, starting it when none does.
# An engine that already answers is used as it is and never restarted.

engine_answers() { docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

# Debian's own packages, unless Docker is there already, whoever packaged it.
want_docker_packages() {
  if ! command -v docker >/dev/null || { ! engine_answers && ! command -v dockerd >/dev/null; }; then
    want_packages docker.io
  fi
  # Newer releases keep the command apart.
  command -v docker >/dev/null || want_packages docker-cli
}

# want_docker_engine ARGUMENT…: returns once `docker` works for this user; the arguments are the calling script's.
want_docker_engine() {
  engine_answers && return
  [[ -z ${DOCKER_HOST:-} ]] || die "no Docker engine answers at DOCKER_HOST=$DOCKER_HOST: start it, or unset DOCKER_HOST"
  need_root "start the Docker engine"
  if as_root docker version >/dev/null 2>&1; then
    : # It runs; this user may not reach it yet.
  elif [[ -d /run/systemd/system ]]; then
    step "start the Docker engine" as_root systemctl start docker
  else
    step "start the Docker engine" start_engine_without_systemd
  fi
  engine_answers || join_docker_group "$@"
}

# A pid file says little: the process may be gone, or its number may belong to another program by now.
pid_file_is_live() {
  local pid
  pid=$(as_root cat "$1" 2>/dev/null) || return 1
  [[ $pid =~ ^[0-9]+$ && $(cat "/proc/$pid/comm" 2>/dev/null) == "$2" ]]
}

start_engine_without_systemd() {
  local containerd_pid_file=/var/run/docker/containerd/containerd.pid
  if ! pid_file_is_live /var/run/docker.pid dockerd; then
    as_root rm -f /var/run/docker.pid
    pid_file_is_live "$containerd_pid_file" containerd || as_root rm -f "$containerd_pid_file"
    launch_dockerd
  fi
  wait_for_engine && return
  # A containerd left over by a killed dockerd may refuse its new master: end that one process and try once more.
  if ! pid_file_is_live /var/run/docker.pid dockerd && pid_file_is_live "$containerd_pid_file" containerd; then
    as_root kill "$(as_root cat "$containerd_pid_file")"
    sleep 2
    as_root rm -f /var/run/docker.pid "$containerd_pid_file"
    launch_dockerd
    wait_for_engine && return
  fi
  as_root tail -n 20 /var/log/dockerd.log || true
  return 1
}

launch_dockerd() {
  as_root bash -c 'setsid dockerd >>/var/log/dockerd.log 2>&1 </dev/null &'
}

wait_for_engine() {
  local tries
  for ((tries = 0; tries < 60; tries++)); do
    as_root docker version >/dev/null 2>&1 && return
    sleep 0.5
  done
  return 1
}

# The engine's socket belongs to root and the group docker. Membership counts from the next login, so the script
# starts itself again under that group.
join_docker_group() {
  [[ -z ${SLIPWAY_IN_DOCKER_GROUP:-} ]] || die "the Docker engine runs but $(id -un) may not use it: look at /var/run/docker.sock"
  if ! id -nG "$(id -un)" | tr ' ' '\n' | grep -qx docker; then
    say "Adding $(id -un) to the group docker (members of it have root's power over this machine)."
    as_root usermod -aG docker "$(id -un)"
  fi
  export SLIPWAY_IN_DOCKER_GROUP=1
  exec sg docker -c "$(printf '%q ' bash "$(readlink -f "$0")" "$@")"
}
