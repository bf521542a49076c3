#!/usr/bin/env bash
# What symmetric-run runs on the first node: the search, with its process id where the batch script finds it, and its
# exit code, which symmetric-run's own output would bury among those of the nodes.
#   driver.sh PID_FILE CODE_FILE ADDRESS SPEC [OPTIONS of aib search]
set -uo pipefail
pid_file=$1 code_file=$2 address=$3
shift 3
# The batch script ends the search; a signal to the whole step must not end it a second time, at once.
trap '' USR1
aib search "$@" --resume --address "$address" &
echo $! >"$pid_file"
wait $!
code=$?
echo "$code" >"$code_file"
exit "$code"
