#!/usr/bin/env bash
# The entrypoint of rayjob.yaml: runs the search and translates its exit code for KubeRay. A RayJob retries every
# failure on a new cluster (backoffLimit) and has no list of final exit codes. But it treats a stopped Ray job as
# complete.
#   0 (--exit-zero-when-done)             the study is done: the job succeeds
#   2 configuration, 3 refused            another cluster would refuse it, too: the job stops itself, status STOPPED
#   any other                             interrupted or failed: the job fails, and a new cluster continues the study
#   search.sh SPEC [OPTIONS of aib search]
set -uo pipefail
# A stop also reaches the search. This shell ignores it and waits until the trials have saved their steps.
trap : TERM INT
aib search "$@" --resume --exit-zero-when-done
code=$?
case $code in
  2 | 3)
    echo "search.sh: refused (exit code $code of aib search): repair the cause above, then delete the RayJob and apply it again" >&2
    job=$(python -c 'import json, os; print(json.loads(os.environ["RAY_JOB_CONFIG_JSON_ENV_VAR"])["metadata"]["job_submission_id"])')
    # Ray ends this script after it has marked the job as stopped.
    ray job stop --no-wait "$job" && sleep 60
    ;;
esac
exit "$code"
