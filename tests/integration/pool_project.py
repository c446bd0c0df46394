"""A sweep of stages that take no time, with all that it needs on many machines.

Not a test: it makes the repository, its clones, an S3-compatible server on loopback that is their
DVC remote, a Prefect server and its workers. Code, flows and deployment are the project's own; only
the stages are those of sweep_project.py, which log outside the clones.
"""

from __future__ import annotations

import compileall
import contextlib
import os
import py_compile
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import yaml

from recap.runtime.child import start
from recap.sweeps.fingerprint import tracked_files
from tests.integration.flow_project import ROOT, alive, child_environment
from tests.integration.sweep_project import WORK, set_sweep, sweep_stages
from tests.waiting import until, until_served

BUCKET = "sweep-remote"
Check = Callable[[], bool]


def make_origin(folder: Path, endpoint: str) -> Path:
    """The repository that is cloned, with its first commit."""
    folder.mkdir(parents=True)
    for part in ("recap", "flows", "infra"):
        for name in tracked_files(ROOT / part):
            (folder / part / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / part / name, folder / part / name)
    shutil.copy(ROOT / "tests/integration/sweep_work.py", folder / WORK)
    for name in ("constraints.txt", ".gitignore", ".dvcignore", "params.yaml"):
        shutil.copy(ROOT / name, folder)
    set_sweep(folder, seeds=[0])
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": sweep_stages()}, sort_keys=False))
    (folder / ".dvc").mkdir()
    (folder / ".dvc" / "config").write_text(
        (ROOT / ".dvc" / "config").read_text()
        + "    remote = store\n['remote \"store\"']\n"
        + f"    url = s3://{BUCKET}/dvc\n    endpointurl = {endpoint}\n"
    )
    git(folder, "init", "-q", "-b", "main")
    commit(folder, "start")
    # Once for all clones. Unchecked: a clone's files are newer than what was compiled from them.
    unchecked = py_compile.PycInvalidationMode.UNCHECKED_HASH
    assert compileall.compile_dir(folder, quiet=1, invalidation_mode=unchecked)
    return folder


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True)


def commit(folder: Path, message: str) -> None:
    git(folder, "add", "-A")
    git(folder, "-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "-qm", message)


def clone(origin: Path, folder: Path) -> Path:
    """A clone, with the bytecode that lies beside the origin's files."""
    git(origin.parent, "clone", "-q", str(origin), str(folder))
    for compiled in origin.rglob("__pycache__"):
        shutil.copytree(compiled, folder / compiled.relative_to(origin))
    return folder


SERVER = """\
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
server._thread.join()
"""


@contextlib.contextmanager
def object_store() -> Iterator[tuple[str, Any]]:
    """An S3-compatible server with an empty bucket: its address and a client.

    A process of its own: Flask, once imported, breaks whoever looks through all modules (torch).
    """
    process = start(["-c", SERVER], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    try:
        address = f"http://127.0.0.1:{int(process.stdout.readline())}"
        client = boto3.client(
            "s3",
            endpoint_url=address,
            region_name="us-east-1",
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )
        client.create_bucket(Bucket=BUCKET)
        yield address, client
    finally:
        process.terminate()
        process.wait()


def variables(folder: Path) -> dict[str, str]:
    """Credentials, as a worker's environment has them, and where the stages write and wait."""
    (folder / "hold").mkdir(exist_ok=True)
    return {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "DVC_SITE_CACHE_DIR": str(folder / "site"),
        "RUN_LOG": str(folder / "log.txt"),
        "HOLD": str(folder / "hold"),
        "NO_PROXY": "127.0.0.1,localhost",
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_CLOUD_ENABLE_ORCHESTRATION_TELEMETRY": "false",
        "PREFECT_WORKER_QUERY_SECONDS": "1",
    }


@contextlib.contextmanager
def prefect_server(folder: Path) -> Iterator[str]:
    """A Prefect server with all its services: its API's address."""
    from recap.runtime.ports import free_port

    port = free_port()
    with (folder / "server.log").open("w") as log:
        process = start(
            [
                *("-m", "uvicorn", "--factory", "prefect.server.api.server:create_app"),
                *("--host", "127.0.0.1", "--port", str(port), "--log-level", "error"),
                *("--timeout-graceful-shutdown", "3"),
            ],
            env=child_environment(folder, **variables(folder), PREFECT_UI_ENABLED="0"),
            cwd=folder,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    url = f"http://127.0.0.1:{port}/api"
    try:
        until_served(f"{url}/health", process, folder / "server.log")
        yield url
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def start_worker(folder: Path, api: str, pool: str, place: Path) -> subprocess.Popen[str]:
    """A process worker that does one run at a time, in the clone ``place``."""
    with (folder / f"worker-{place.name}.log").open("w") as log:
        return start(
            [
                *("-m", "prefect", "worker", "start", "--type", "process"),
                *("--pool", pool, "--name", place.name, "--limit", "1"),
            ],
            env=child_environment(
                folder, **variables(folder), PREFECT_API_URL=api, RECAP_CLONE=str(place)
            ),
            cwd=folder,
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def kill_tree(process: subprocess.Popen[str]) -> None:
    """SIGKILL for a process and all that it started, as if the machine was gone."""
    pids = [process.pid, *descendants(process.pid)]
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()
    until(lambda: not any(map(alive, pids)))


def descendants(pid: int) -> list[int]:
    found = []
    for entry in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += [int(child) for child in entry.read_text().split()]
    return [*found, *(deeper for child in found for deeper in descendants(child))]
