#!/usr/bin/env bash
# The process of a Slurm job, on the allocation's first node: starts Ray on every node, runs the search, and stops this
# job's Ray. Before the time limit the search ends, its trials save their step, and the job requeues itself. The next run
# continues from there.
#   job.sh SPEC [OPTIONS of aib search]
# bash reads the braces as a whole before it runs them: the checkout may change while the job runs.
{
set -euo pipefail

# Why the search has to end: `limit` or `cancelled`.
stop=''
driver='' driver_told='' head='' others='' requeue=''
# SIGTERM goes to the driver only: Ray must live until the checkpoints are written.
# shellcheck disable=SC2329  # called by the traps
end_search() {
  # A cancelled job stays cancelled, even if the limit was near before.
  [ "$stop" = cancelled ] || stop=$1
  # Once only: a second SIGTERM would end the search before its trials have saved their step.
  [ -z "$driver" ] || [ -n "$driver_told" ] || { driver_told=1 && kill -TERM "$driver"; } || :
}
# From the first moment: a signal also counts while Ray starts.
trap 'end_search limit' USR1
trap 'end_search cancelled' TERM

if [ $# -lt 1 ]; then
  echo "job.sh: no search given; use: sbatch cluster/slurm/search.sbatch SPEC [OPTIONS of aib search]" >&2
  exit 2
fi
: "${AIB_ROOT:?set it to a folder that every node reaches}"
here="$SLURM_SUBMIT_DIR/cluster/slurm"
export AIB_ROOT PATH="$SLURM_SUBMIT_DIR/.venv/bin:$PATH"

# This job's own token, in the shared folder, readable by its owner only.
umask 077
job_folder="$AIB_ROOT/slurm/$SLURM_JOB_ID"
mkdir -p "$job_folder"
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH="$job_folder/ray_token" RAY_USAGE_STATS_ENABLED=0
od -An -N32 -tx1 /dev/urandom | tr -d ' \n' >"$RAY_AUTH_TOKEN_PATH"
# Do not join the cluster of another job.
unset RAY_ADDRESS

# One line for each node that has joined.
joined=$(mktemp)
# Stops this job's Ray on every node and nothing else; keeps Ray's logs if the search failed.
# shellcheck disable=SC2329  # called by the trap
clean_up() {
  code=$?
  trap '' TERM USR1
  case $code in
    # Done, or refused before the start, or interrupted.
    0 | 2 | 3 | 143) ;;
    *)
      mkdir -p "$job_folder/ray-logs"
      echo "job.sh: exit code $code; Ray's logs are in $job_folder/ray-logs" >&2
      ;;
  esac
  [ -z "$others" ] || { kill -TERM "$others" && wait "$others"; } 2>/dev/null || :
  [ -z "$head" ] || { kill -TERM "$head" && wait "$head"; } 2>/dev/null || :
  rm -f "$joined" "$RAY_AUTH_TOKEN_PATH"
  rmdir "$job_folder" 2>/dev/null || :
  if [ -n "$requeue" ]; then
    echo "job.sh: the time limit is near; requeued" >&2
    scontrol requeue "$SLURM_JOB_ID" || echo "job.sh: not requeued; submit the same line again" >&2
  fi
}
trap clean_up EXIT

# Ports that no other job and no other program of this node uses. Seconds pass until Ray takes them, so they are below
# 32768, where Linux begins to choose ports for outgoing connections, and above those of Ray's workers.
read -r port dashboard_port client_port DASHBOARD_METRIC_PORT AUTOSCALER_METRIC_PORT < <(python -c '
import random, socket
held = {}
while len(held) < 5:
    port = random.randrange(20000, 32768)
    try:
        held.setdefault(port, socket.create_server(("", port)))
    except OSError:
        pass
print(*held)')
export DASHBOARD_METRIC_PORT AUTOSCALER_METRIC_PORT
ip=$(hostname -I | awk '{print $1}')
address="${ip:-127.0.0.1}:$port"

bash "$here/node.sh" "$job_folder" --head --node-ip-address="${address%:*}" --port="$port" --include-dashboard=true \
  --dashboard-host=127.0.0.1 --dashboard-port="$dashboard_port" --ray-client-server-port="$client_port" >>"$joined" &
head=$!

# has_joined COUNT WAIT_S: waits until so many nodes have joined; fails if one ends, and after WAIT_S seconds.
has_joined() {
  local until_s=$((SECONDS + $2))
  while [ "$(wc -l <"$joined")" -lt "$1" ]; do
    [ -z "$stop" ] || exit_stopped
    if ! kill -0 "$head" 2>/dev/null || { [ -n "$others" ] && ! kill -0 "$others" 2>/dev/null; }; then
      echo "job.sh: Ray did not start on every node; the lines above say why" >&2
      exit 1
    fi
    if [ "$SECONDS" -ge "$until_s" ]; then
      echo "job.sh: after $2 s, $(wc -l <"$joined") of $SLURM_JOB_NUM_NODES nodes have joined Ray" >&2
      exit 1
    fi
    sleep 0.2
  done
}

# Ends the job after a signal. The search, if it started, has ended before.
exit_stopped() {
  if [ "$stop" = limit ] && [ -z "$driver" ] && [ "${SLURM_RESTART_COUNT:-0}" != 0 ]; then
    # It would come to the same again and again.
    echo "job.sh: the limit is near before the search began; not requeued: give --time more than ten minutes" >&2
  elif [ "$stop" = limit ]; then
    requeue=1
  fi
  exit 143
}

# Nodes boot at different speeds.
has_joined 1 300
if [ "$SLURM_JOB_NUM_NODES" -gt 1 ]; then
  # On the other nodes of the allocation.
  srun --relative=1 --nodes=$((SLURM_JOB_NUM_NODES - 1)) --ntasks=$((SLURM_JOB_NUM_NODES - 1)) \
    --cpus-per-task="${SLURM_CPUS_PER_TASK:-$SLURM_CPUS_ON_NODE}" --unbuffered \
    bash "$here/node.sh" "$job_folder" --address="$address" >>"$joined" &
  others=$!
  has_joined "$SLURM_JOB_NUM_NODES" 300
fi
[ -z "$stop" ] || exit_stopped
echo "job.sh: Ray's dashboard is http://127.0.0.1:$dashboard_port on $(hostname), with the token in $RAY_AUTH_TOKEN_PATH" >&2

# Slurm calls every exit code but 0 a failure, also if the gate refused.
aib search "$@" --resume --exit-zero-when-done --address "$address" &
driver=$!
[ -z "$stop" ] || end_search "$stop"
# A trapped signal ends `wait` but not the driver.
until wait "$driver" || ! kill -0 "$driver" 2>/dev/null; do :; done
code=0
wait "$driver" || code=$?
[ "$code" != 143 ] || [ -z "$stop" ] || exit_stopped
exit "$code"
}
