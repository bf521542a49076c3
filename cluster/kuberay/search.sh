#!/usr/bin/env bash
# The entrypoint of rayjob.yaml: the search, with its exit code in KubeRay's words. A RayJob tries every failure again on
# a new cluster (backoffLimit) and has no list of codes that are final; but it takes a stopped Ray job for complete.
#   0, 4 partial, 5 refused by the gate   the study is done: the job succeeds
#   2 configuration, 3 refused            another cluster would refuse it too: the job stops itself, status STOPPED
#   anything else                         interrupted or failed: the job fails, and a new cluster goes on with the study
#   search.sh SPEC [OPTIONS of aib search]
set -uo pipefail
# A stop is meant for the search, which gets it as well; this shell waits until its trials' steps are saved.
trap : TERM INT
aib search "$@" --resume
code=$?
case $code in
  4 | 5)
    echo "search.sh: the study is done, with exit code $code of aib search" >&2
    exit 0
    ;;
  2 | 3)
    echo "search.sh: refused (exit code $code of aib search): mend what it says, then delete the RayJob and apply it again" >&2
    job=$(python -c 'import json, os; print(json.loads(os.environ["RAY_JOB_CONFIG_JSON_ENV_VAR"])["metadata"]["job_submission_id"])')
    # Ray ends this script once it has noted the job as stopped.
    ray job stop --no-wait "$job" && sleep 60
    ;;
esac
exit "$code"
