#!/usr/bin/env bash
# symmetric-run runs this script on the first node. It starts the search and writes its process id and exit code to
# files for search.sbatch. The exit code is needed because symmetric-run ends with 0 if Ray does not start.
#   driver.sh PID_FILE CODE_FILE ADDRESS SPEC [OPTIONS of aib search]
set -uo pipefail
pid_file=$1 code_file=$2 address=$3
shift 3
(
  echo "$BASHPID" >"$pid_file"
  exec aib search "$@" --resume --address "$address"
)
code=$?
echo "$code" >"$code_file"
exit "$code"
