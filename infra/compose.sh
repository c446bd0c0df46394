#!/bin/sh
# The servers of infra/compose.yaml, each with its own secrets, which are files and never arguments.
#   sh infra/compose.sh secrets     once, on the host, in the clone: makes services.compose/
# The containers call it with the name of a service. Leaves out what needs no secret.
set -eu

scratch=${TMPDIR:-/tmp}
secret() { cat "${SECRETS:-/run/secrets}/$1"; }

sign_in() { # libpq's file of passwords, for MLflow and Prefect
    umask 077
    printf 'postgres:5432:*:recap:%s\n' "$(secret role)" >"$scratch/pgpass"
    export PGPASSFILE="$scratch/pgpass"
}

case "$1" in
secrets)
    folder=services.compose
    if [ -e "$folder" ]; then
        echo "Expected no $folder, found one: its passwords are those of the servers' data. Keep it." >&2
        exit 2
    fi
    umask 077
    mkdir "$folder.part"
    for name in owner role mlflow flask prefect store_id store_key; do
        openssl rand -hex 24 | tr -d '\n' >"$folder.part/$name"
    done
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 36500 \
        -subj '/CN=recap services' -addext 'subjectAltName=IP:127.0.0.1' \
        -addext 'extendedKeyUsage=serverAuth,clientAuth' \
        -keyout "$folder.part/store_tls_key" -out "$folder.part/store_tls" 2>/dev/null
    SECRETS=$folder.part
    cat >"$folder.part/env" <<END
export MLFLOW_TRACKING_URI='http://127.0.0.1:5000'
export MLFLOW_TRACKING_USERNAME='recap'
export MLFLOW_TRACKING_PASSWORD='$(secret mlflow)'
export PREFECT_API_URL='http://127.0.0.1:4200/api'
export PREFECT_API_AUTH_STRING='recap:$(secret prefect)'
export AWS_ENDPOINT_URL='http://127.0.0.1:8333'
export AWS_ACCESS_KEY_ID='$(secret store_id)'
export AWS_SECRET_ACCESS_KEY='$(secret store_key)'
export AWS_SESSION_TOKEN=''
END
    mv "$folder.part" "$folder"
    echo ". $folder/env"
    ;;
postgres)
    ROLE_PASSWORD=$(secret role)
    export ROLE_PASSWORD # for infra/compose.sql, which may not read the secret itself
    exec docker-entrypoint.sh postgres
    ;;
store)
    cd "${STORE:-/run/store}"
    umask 077
    for name in store_tls store_tls_key; do secret "$name" >"$name"; done
    own='cert = "store_tls"
key = "store_tls_key"'
    ca='ca = "store_tls"'
    {
        printf '[grpc]\n%s\n' "$ca"
        for part in master volume filer s3 client; do printf '[grpc.%s]\n%s\n' "$part" "$own"; done
        for part in master volume filer; do printf '[https.%s]\n%s\n%s\n' "$part" "$own" "$ca"; done
        printf '[https.client]\nenabled = true\n%s\n%s\n' "$own" "$ca"
    } >security.toml
    printf '[leveldb2]\nenabled = true\ndir = "/data/names"\n' >filer.toml
    printf '{"identities": [{"name": "recap", "actions": ["Admin"], "credentials": [{"accessKey": "%s", "secretKey": "%s"}]}]}' \
        "$(secret store_id)" "$(secret store_key)" >s3.json
    chown -R seaweed . /data
    # Only S3 leaves the container; its parts talk to each other on the container's own loopback.
    exec su-exec seaweed weed -logtostderr=true server -filer -s3 -dir=/data -ip=127.0.0.1 \
        -ip.bind=127.0.0.1 -s3.ip.bind=0.0.0.0 -master.peers=none -master.telemetry=false \
        -master.volumeSizeLimitMB=1024 -volume.max=0 -s3.config=s3.json -s3.iam=false \
        -s3.port.iceberg=0 -s3.port.lance=0 -s3.localSocket=s3.sock -filer.localSocket=filer.sock
    ;;
mlflow)
    sign_in
    printf '[mlflow]\ndefault_permission = READ\ndatabase_uri = %s\nadmin_username = recap\n' \
        postgresql+psycopg://recap@postgres:5432/mlflow_auth >"$scratch/mlflow_auth.ini"
    printf 'authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n' \
        >>"$scratch/mlflow_auth.ini"
    MLFLOW_AUTH_ADMIN_PASSWORD=$(secret mlflow)
    MLFLOW_FLASK_SERVER_SECRET_KEY=$(secret flask)
    export MLFLOW_AUTH_ADMIN_PASSWORD MLFLOW_FLASK_SERVER_SECRET_KEY
    export MLFLOW_AUTH_CONFIG_PATH="$scratch/mlflow_auth.ini"
    export MLFLOW_BACKEND_STORE_URI=postgresql+psycopg://recap@postgres:5432/mlflow
    exec python -m mlflow server --host 0.0.0.0 --port 5000 --app-name basic-auth --workers 2 \
        --artifacts-destination /artifacts --allowed-hosts 'mlflow:5000,127.0.0.1:5000,localhost:5000'
    ;;
prefect)
    sign_in
    PREFECT_SERVER_API_AUTH_STRING=recap:$(secret prefect)
    export PREFECT_SERVER_API_AUTH_STRING
    export PREFECT_SERVER_DATABASE_CONNECTION_URL=postgresql+asyncpg://recap@postgres:5432/prefect
    exec python -m uvicorn --factory prefect.server.api.server:create_app --host 0.0.0.0 \
        --port 4200 --log-level warning --timeout-graceful-shutdown 5
    ;;
worker)
    PREFECT_API_AUTH_STRING=recap:$(secret prefect)
    MLFLOW_TRACKING_PASSWORD=$(secret mlflow)
    AWS_ACCESS_KEY_ID=$(secret store_id)
    AWS_SECRET_ACCESS_KEY=$(secret store_key)
    export PREFECT_API_AUTH_STRING MLFLOW_TRACKING_PASSWORD AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY
    exec python -m prefect worker start --pool recap --type process --name compose \
        --install-policy never
    ;;
healthy) # URL SECRET: whether a server answers a client that signs in
    SECRET=$(secret "$3")
    export SECRET
    exec python -c '
import base64, os, sys, urllib.request
who = base64.b64encode(b"recap:" + os.environ["SECRET"].encode()).decode()
asked = urllib.request.Request(sys.argv[1], headers={"Authorization": f"Basic {who}"})
urllib.request.build_opener(urllib.request.ProxyHandler({})).open(asked, timeout=25)
' "$2"
    ;;
*)
    echo "Expected secrets or the name of a service, got $1." >&2
    exit 2
    ;;
esac
