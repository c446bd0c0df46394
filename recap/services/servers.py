"""The servers of MLflow and Prefect, a worker, a guardian: how each starts and proves its health.

Leaves out PostgreSQL (recap/services/postgres.py), the store (recap/services/store.py) and the
deployments (`recap deploy`).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import httpx

from recap.errors import ServiceError
from recap.services import postgres, store
from recap.services.place import ADMIN, HOST, ROLE, Place, client
from recap.services.processes import start

SERVICES = ("postgres", "store", "mlflow", "prefect", "worker")
"""In the order in which they start: the later ones need the earlier ones."""
LISTENING = (*SERVICES[:4], "guardian")
"""Those with a port."""
POOL = "recap"
"""The work pool of infra/prefect.yaml."""
WORKERS = 2
"""Processes of MLflow's server."""
_OWN_TEMPORARY = """
import runpy, sys, tempfile
tempfile.tempdir = sys.argv.pop(1)  # TMPDIR would reach the stages, and their sockets' long paths
runpy.run_module("prefect", run_name="__main__", alter_sys=True)
"""
"""A worker otherwise wants /tmp/runner_storage, which is the first user's who ran one."""


def services(guardian: Path | None) -> tuple[str, ...]:
    """All services, with a server of the guardian where there is one."""
    return (*SERVICES, "guardian") if guardian else SERVICES


def launch(place: Place, service: str, clone: Path) -> None:
    """Start a service; ``clone`` is where the worker works."""
    if service == "postgres":
        postgres.start_server(place)
        return
    if service == "store":
        store.start_server(place)
        return
    command, env = _COMMANDS[service](place)
    folder = clone if service == "worker" else place.root
    start(place, service, [sys.executable, *command], env=env, folder=folder)


def address(place: Place, service: str) -> str:
    """Where a service answers."""
    if service == "worker":
        return f"pool {POOL}"
    scheme = "postgresql" if service == "postgres" else "http"
    return f"{scheme}://{HOST}:{getattr(place.ports(), service)}"


def ailment(place: Place, service: str) -> str | None:
    """Why a service is not healthy; ``None`` where it did what it is there for."""
    try:
        if service == "postgres":
            postgres.run_sql(place, ROLE, "mlflow", "SELECT 1")
            return None
        return _AILMENTS[service](place)
    except (ServiceError, httpx.HTTPError) as error:
        return " ".join(str(error).split()) or type(error).__name__


def _mlflow(place: Place) -> tuple[list[str], dict[str, str]]:
    known = place.secrets()
    command = ["-m", "mlflow", "server", "--host", HOST, "--port", str(place.ports().mlflow)]
    command += ["--app-name", "basic-auth", "--workers", str(WORKERS)]
    command += ["--artifacts-destination", str(place.artifacts)]
    return command, {
        "PGPASSFILE": str(place.passwords),
        "MLFLOW_BACKEND_STORE_URI": place.uri("mlflow", "psycopg"),
        "MLFLOW_AUTH_CONFIG_PATH": str(place.auth),
        "MLFLOW_AUTH_ADMIN_PASSWORD": known.mlflow,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": known.flask,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # the pipeline gives it no jobs
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    }


def _prefect(place: Place) -> tuple[list[str], dict[str, str]]:
    port = str(place.ports().prefect)
    command = ["-m", "uvicorn", "--factory", "prefect.server.api.server:create_app", "--host", HOST]
    command += ["--port", port, "--log-level", "warning", "--timeout-graceful-shutdown", "5"]
    return command, {
        "PGPASSFILE": str(place.passwords),
        "PREFECT_HOME": str(place.root / "prefect"),
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": place.uri("prefect", "asyncpg"),
        "PREFECT_SERVER_API_AUTH_STRING": client(place)["PREFECT_API_AUTH_STRING"],
        "PREFECT_SERVER_UI_API_URL": f"http://{HOST}:{port}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_CLOUD_ENABLE_ORCHESTRATION_TELEMETRY": "false",
    }


def _worker(place: Place) -> tuple[list[str], dict[str, str]]:
    command = ["-c", _OWN_TEMPORARY, str(place.root / "prefect"), "worker", "start"]
    command += ["--pool", POOL, "--type", "process"]
    return [*command, "--name", _worker_name(place), "--install-policy", "never"], {
        **client(place),
        "PREFECT_HOME": str(place.root / "prefect"),
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "PREFECT_CLOUD_ENABLE_ORCHESTRATION_TELEMETRY": "false",
    }


def _guardian(place: Place) -> tuple[list[str], dict[str, str]]:
    command = ["-m", "recap.sampling.serve", str(place.guardian), "--host", HOST]
    command += ["--port", str(place.ports().guardian)]
    return command, {"RECAP_SERVERS_KEY": place.secrets().guardian}


def _worker_name(place: Place) -> str:
    return f"services-{place.ports().prefect}"


def _mlflow_ails(place: Place) -> str | None:
    known = client(place)
    who = (ADMIN, known["MLFLOW_TRACKING_PASSWORD"])
    url = f"{known['MLFLOW_TRACKING_URI']}/api/2.0/mlflow/experiments/search"
    return _refused(_asked("GET", url, who, params={"max_results": 1}))


def _prefect_ails(place: Place) -> str | None:
    known = client(place)
    return _refused(_asked("GET", f"{known['PREFECT_API_URL']}/ready", _prefect_user(place)))


def _worker_ails(place: Place) -> str | None:
    url = f"{client(place)['PREFECT_API_URL']}/work_pools/{POOL}/workers/filter"
    answer = _asked("POST", url, _prefect_user(place), json={})
    if answer.status_code == httpx.codes.NOT_FOUND:
        return f"the server knows no pool {POOL} yet"
    if refused := _refused(answer):
        return refused
    states = {found["name"]: found["status"] for found in answer.json()}
    state = states.get(_worker_name(place), "unknown to the server")
    return None if state == "ONLINE" else f"it is {state}"


def _guardian_ails(place: Place) -> str | None:
    url = f"http://{HOST}:{place.ports().guardian}/health"
    with httpx.Client(trust_env=False, timeout=20) as stranger:
        answer = stranger.get(url)
        if answer.status_code != httpx.codes.UNAUTHORIZED:
            return f"it answers {answer.status_code} to who has no key"
        key = {"Authorization": f"Bearer {place.secrets().guardian}"}
        return _refused(stranger.get(url, headers=key))


def _prefect_user(place: Place) -> tuple[str, str]:
    return ADMIN, place.secrets().prefect


def _asked(method: str, url: str, who: tuple[str, str], **more: Any) -> httpx.Response:
    with httpx.Client(auth=who, trust_env=False, timeout=20) as asked:
        return asked.request(method, url, **more)


def _refused(answer: httpx.Response) -> str | None:
    return None if answer.is_success else f"it answers {answer.status_code}: {answer.text[:200]}"


_COMMANDS = {"mlflow": _mlflow, "prefect": _prefect, "worker": _worker, "guardian": _guardian}
_AILMENTS = {
    "store": store.ailment,
    "mlflow": _mlflow_ails,
    "prefect": _prefect_ails,
    "worker": _worker_ails,
    "guardian": _guardian_ails,
}
