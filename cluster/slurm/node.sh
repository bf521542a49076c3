#!/usr/bin/env bash
# Ray on one node of a Slurm job. Its files and ports are the job's own, because other jobs and other programs may use the
# same node. Prints one line on stdout when the node has joined. SIGTERM ends this Ray and no other.
#   node.sh JOB_FOLDER [OPTIONS of ray start]
# bash reads the braces as a whole before it runs them: the checkout may change while the job runs.
{
set -uo pipefail
job_folder=$1
shift
ending='' ray='' private=''
# From the first moment: the signal also counts before Ray starts.
trap 'ending=1; [ -z "$ray" ] || kill -TERM "$ray" 2>/dev/null' TERM
# shellcheck disable=SC2329  # called by the trap
clean_up() {
  # job.sh makes this folder if the search failed.
  if [ -d "$job_folder/ray-logs" ]; then
    cp -r "$files/session_latest/logs" "$job_folder/ray-logs/$(hostname)"
  fi
  [ -z "$private" ] || rm -rf "$private"
}
trap clean_up EXIT

# Ray opens its own folder to everyone, so it lies in one that only the owner may enter. The path is short: that of a
# socket has at most 107 characters.
private=$(mktemp --directory "/tmp/aib-$SLURM_JOB_ID-XXXXXX") || exit 1
files="$private/ray"
# The search has ended when Ray is to end; Ray would wait for traffic to move to other nodes.
export RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S=0
ray start --block --temp-dir="$files" --dashboard-agent-listen-port=0 --min-worker-port=0 --max-worker-port=0 \
  --num-cpus="${SLURM_CPUS_PER_TASK:-$SLURM_CPUS_ON_NODE}" --num-gpus="${SLURM_GPUS_ON_NODE:-0}" "$@" \
  >"$private/start.log" 2>&1 &
ray=$!
[ -z "$ending" ] || kill -TERM "$ray" 2>/dev/null

# Ray writes this file when the node has joined.
until [ -s "$files/ray_current_cluster" ] || [ -n "$ending" ]; do
  if ! kill -0 "$ray" 2>/dev/null; then
    echo "node.sh: Ray did not start on $(hostname):" >&2
    cat "$private/start.log" >&2
    exit 1
  fi
  sleep 0.2
done
[ -n "$ending" ] || hostname
# Until Ray ends or the signal comes.
[ -n "$ending" ] || wait "$ray"
if [ -z "$ending" ]; then
  echo "node.sh: Ray ended on $(hostname), with its logs in $job_folder/ray-logs:" >&2
  tail -n 20 "$private/start.log" >&2
  mkdir -p "$job_folder/ray-logs"
  exit 1
fi
# Before Slurm's own limit (KillWait, 30 s), or the files would stay. All processes of Ray end with `ray start`.
for _ in $(seq 75); do
  kill -0 "$ray" 2>/dev/null || exit 0
  sleep 0.2
done
{ kill -KILL "$ray" && wait "$ray"; } 2>/dev/null
exit
}
