#!/usr/bin/env bash
# What symmetric-run runs on the first node: the search, with its process id where search.sbatch finds it. Its exit code
# is written down as well, since symmetric-run ends with 0 where Ray itself did not start.
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
