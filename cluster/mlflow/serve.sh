#!/usr/bin/env bash
# Starts the MLflow server in the foreground: runs in PostgreSQL, artifacts through the server to an object store, with
# checks of passwords and host names. Settings come from the environment; mlflow.env.example lists them.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

missing=()
for name in PGHOST PGUSER PGPASSWORD MLFLOW_ARTIFACTS_DESTINATION MLFLOW_SERVER_ALLOWED_HOSTS \
  MLFLOW_AUTH_ADMIN_PASSWORD MLFLOW_FLASK_SERVER_SECRET_KEY; do
  [ -n "${!name:-}" ] || missing+=("$name")
done
case ${MLFLOW_ARTIFACTS_DESTINATION:-} in
  s3://*)
    # On AWS, a machine without keys uses its role; another endpoint needs keys.
    if [ -n "${MLFLOW_S3_ENDPOINT_URL:-}" ]; then
      for name in AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY; do
        [ -n "${!name:-}" ] || missing+=("$name")
      done
    fi
    ;;
esac
if [ ${#missing[@]} -gt 0 ]; then
  echo "serve.sh: not set: ${missing[*]}. Copy $here/mlflow.env.example to mlflow.env, set the values, and load it." >&2
  exit 3
fi

export MLFLOW_AUTH_CONFIG_PATH=${MLFLOW_AUTH_CONFIG_PATH:-$here/basic_auth.ini}
export MLFLOW_DISABLE_TELEMETRY=${MLFLOW_DISABLE_TELEMETRY:-true}
# The server passes a model's files on and never opens them.
export MLFLOW_ALLOW_PICKLE_DESERIALIZATION=false
# Background jobs judge language models; a search needs none.
export MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false

exec "${PYTHON:-python3}" -m mlflow server \
  --app-name basic-auth \
  --backend-store-uri postgresql+psycopg2:///mlflow \
  --artifacts-destination "$MLFLOW_ARTIFACTS_DESTINATION" \
  --allowed-hosts "$MLFLOW_SERVER_ALLOWED_HOSTS" \
  --cors-allowed-origins "${MLFLOW_SERVER_CORS_ALLOWED_ORIGINS:-}" \
  --x-frame-options DENY \
  --host "${MLFLOW_HOST:-127.0.0.1}" \
  --port "${MLFLOW_PORT:-5000}" \
  --workers "${MLFLOW_WORKERS:-4}"
