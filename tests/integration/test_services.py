"""A team's servers, real ones: PostgreSQL, MLflow, Prefect, a worker, by `recap services`.

Locks: 1. of promotions at once from several machines each is won by one, and none is lost; 2. who
does not sign in is refused, and no secret is in a log or on a command line; 3. writers at once, and
a kill of the servers in the middle, lose nothing; 4. what a backup holds comes back; 5. `up` twice
starts nothing twice, a taken port is named, `down` leaves no process.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from recap.runtime.child import environment
from recap.runtime.ports import free_port
from recap.services.place import Place, client
from recap.services.processes import found
from recap.services.servers import SERVICES
from recap.tracking.entries import read_moves
from recap.tracking.history import RECORDS
from recap.tracking.runs import open_store
from tests.integration.registry_project import NAME, ROOT, make_registry_project
from tests.integration.test_registry import aliases, publish_candidate
from tests.waiting import until

pytestmark = pytest.mark.slow

PROMOTE = """
import os, sys
from pathlib import Path
import mlflow  # once, for all: each is a process with a client of its own
from recap.params.whole import read_params
from recap.tracking import registry
from recap.tracking.runs import open_store

begin, go = os.pipe()
for number, count in enumerate([13, 13, 12, 12]):
    if os.fork() == 0:
        os.close(go)
        clone, params = Path(f"clone-{number}"), read_params(Path("clone-0/params.yaml"))
        with open_store(clone) as client:
            os.read(begin, 1)  # until all are there
            for turn in range(count):  # never the one that this clone promoted last
                registry.promote(client, clone, params, str(2 * number + turn % 2 + 1), None)
        os._exit(0)
os.close(go)
sys.exit(any([os.wait()[1] for _ in range(4)]))
"""
WRITE = """
import os, sys
import mlflow
from mlflow import MlflowClient
from mlflow.entities import Metric

begin, go = os.pipe()
for number in range(8):
    if os.fork() == 0:
        os.close(go)
        client = MlflowClient()
        os.read(begin, 1)
        for turn in range(5):
            run = client.create_run(sys.argv[1], run_name=f"{number}-{turn}").info.run_id
            client.log_batch(run, [Metric("loss", step / 7, 0, step) for step in range(100)])
            client.set_tag(run, "whole", "yes")
        os._exit(0)
os.close(go)
sys.exit(any([os.wait()[1] for _ in range(8)]))
"""
GO_ON = """
import sys, time
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

client, run, step = MlflowClient(), sys.argv[1], 0
while step < 40:
    try:
        client.log_metric(run, "kept", step, step=step)
    except MlflowException:  # the server is away
        time.sleep(0.2)
        continue
    print(step, flush=True)  # agreed on
    step += 1
"""


@dataclass(frozen=True)
class Stack:
    """Services under test, and all that their commands said."""

    place: Place
    project: Path
    said: list[str]

    def recap(self, *arguments: str, code: int = 0) -> str:
        """What `recap services` says."""
        done = subprocess.run(
            [sys.executable, "-m", "recap", "services", *arguments],
            cwd=self.project,
            env=environment(PYTHONPATH=str(ROOT)),
            capture_output=True,
            text=True,
            check=False,
        )
        self.said.append(done.stdout + done.stderr)
        assert done.returncode == code, self.said[-1]
        return self.said[-1]

    def python(self, script: str, *arguments: str) -> subprocess.Popen[str]:
        """A script that signs in."""
        return subprocess.Popen(
            [sys.executable, "-c", script, *arguments],
            cwd=self.project,
            env=environment(PYTHONPATH=str(ROOT), **client(self.place)),
            stdout=subprocess.PIPE,
            text=True,
        )

    def processes(self) -> list[psutil.Process]:
        return [process for service in SERVICES for process in found(self.place, service)]


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """All services, in a folder that PostgreSQL's own user can reach (pytest's are closed)."""
    if shutil.which("postgres") is None and not list(Path("/usr/lib/postgresql").glob("*/bin")):
        if os.environ.get("CI"):
            pytest.fail("CI has no PostgreSQL")
        pytest.skip("PostgreSQL is not installed")
    if "CI" not in os.environ:
        pytest.importorskip("psycopg", reason="the extra `services` is not installed")
        pytest.importorskip("flask_wtf", reason="the extra `services` is not installed")
    folder = Path(tempfile.mkdtemp(prefix="recap-services-", dir="/tmp"))
    folder.chmod(0o711)
    project = folder / "clone-0"
    project.mkdir()
    made = Stack(Place(folder / "services"), make_registry_project(project), [])
    params = project / "params.yaml"
    params.write_text(params.read_text().replace("bootstrap: 2000", "bootstrap: 100"))  # for speed
    ports = [f"--{name}-port={free_port()}" for name in SERVICES[:3]]
    try:
        made.recap("up", f"--folder={made.place.root}", *ports)
        yield made
    finally:
        made.recap("down", f"--folder={made.place.root}")
        shutil.rmtree(folder)


@pytest.fixture
def folder(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> str:
    """The option that names the stack; this process signs in."""
    for name, value in client(stack.place).items():
        monkeypatch.setenv(name, value)
    return f"--folder={stack.place.root}"


def test_fifty_promotions_at_once_from_four_clones(stack: Stack, folder: str) -> None:
    """Each is decided against the champion that it replaces, and is told once."""
    for number in range(4):
        clone = stack.project.parent / f"clone-{number}"
        if number:
            shutil.copytree(stack.project, clone, ignore=shutil.ignore_patterns(".recap"))
        for turn in range(2):
            version = publish_candidate(clone, weights=f"{number} {turn}")
            assert version == str(2 * number + turn + 1)
    begun = time.monotonic()
    promoters = subprocess.run(
        [sys.executable, "-c", PROMOTE],
        cwd=stack.project.parent,
        env=environment(PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
        check=False,
    )
    print(f"50 promotions in {time.monotonic() - begun:.1f} s")
    assert promoters.returncode == 0, promoters.stderr
    with open_store(stack.project) as store:
        moves = read_moves(store, NAME)
        entries = store.search_model_versions(f"name = '{NAME}.moves'")
    print(f"{len(entries)} entries, {len(entries) - 50} of them void")
    assert len(moves.told) == 50
    replaced = [None, *(move.version for move in moves.told)]
    assert [move.previous for move in moves.told] == replaced[:-1]
    assert aliases(stack.project)["champion"] == moves.told[-1].version
    own = [
        line
        for number in range(4)
        for line in (stack.project.parent / f"clone-{number}" / RECORDS / f"{NAME}.jsonl")
        .read_text()
        .splitlines()
        if '"promote"' in line
    ]
    assert len(own) == len(set(own)) == 50
    assert all(move.model_dump_json() in "\n".join(own) for move in moves.told)


def test_up_again_starts_nothing_and_a_taken_port_is_named(stack: Stack, folder: str) -> None:
    before = {p.pid for service in SERVICES[1:] for p in found(stack.place, service)}
    said = stack.recap("up", folder)
    assert said.count("runs already") == 4 and "starts" not in said
    assert f". {stack.place.root}/env" in said
    assert before <= {p.pid for p in stack.processes()}
    assert stack.recap("status", folder).count(": healthy at ") == 4
    other = f"--folder={stack.place.root.with_name('other')}"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = stack.recap("up", other, f"--mlflow-port={port}", code=2)
    assert f"Expected port {port} of 127.0.0.1 for mlflow, got: Address already in use." in said
    assert "with --mlflow-port" in said
    said = stack.recap("up", folder, f"--prefect-port={free_port()}", code=2)
    assert "Run `recap services down` first" in said


def test_who_does_not_sign_in_is_refused(stack: Stack, folder: str) -> None:
    known = client(stack.place)
    search = f"{known['MLFLOW_TRACKING_URI']}/api/2.0/mlflow/experiments/search?max_results=1"
    artifacts = f"{known['MLFLOW_TRACKING_URI']}/api/2.0/mlflow-artifacts/artifacts"
    flows = f"{known['PREFECT_API_URL']}/flows/count"
    for who in (None, ("recap", "wrong"), ("admin", "password1234")):
        for method, url in (("GET", search), ("GET", artifacts), ("POST", flows)):
            answer = httpx.request(method, url, auth=who, json={}, trust_env=False, timeout=60)
            assert answer.status_code == 401, (method, url, who)
    address = f"postgresql://recap@127.0.0.1:{stack.place.ports().postgres}/mlflow"
    nameless = subprocess.run(
        ["psql", "-w", "-d", address, "-c", "SELECT 1"],
        env={**os.environ, "PGPASSFILE": os.devnull},
        capture_output=True,
        text=True,
        check=False,
    )
    assert nameless.returncode != 0 and "no password supplied" in nameless.stderr
    listening = {
        connection.laddr.ip
        for process in stack.processes()
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {"127.0.0.1"}


def test_eight_writers_at_once(stack: Stack, folder: str) -> None:
    with open_store(stack.project) as store:
        experiment = store.create_experiment("eight writers")
    begun = time.monotonic()
    assert stack.python(WRITE, experiment).wait() == 0
    print(f"8 writers, 40 runs, 4000 metrics in {time.monotonic() - begun:.1f} s")
    with open_store(stack.project) as store:
        runs = store.search_runs([experiment])
        curves = [store.get_metric_history(run.info.run_id, "loss") for run in runs]
    assert len({run.info.run_name for run in runs}) == len(runs) == 40
    assert all(run.data.tags["whole"] == "yes" for run in runs)
    assert [[point.step for point in curve] for curve in curves] == [list(range(100))] * 40


def test_what_was_agreed_on_outlives_a_kill_of_the_servers(stack: Stack, folder: str) -> None:
    with open_store(stack.project) as store:
        run = store.create_run(store.create_experiment("killed")).info.run_id
    writer = stack.python(GO_ON, run)
    assert writer.stdout is not None
    for step in range(5):
        assert writer.stdout.readline() == f"{step}\n"
    for service in ("mlflow", "postgres"):
        for process in found(stack.place, service):
            os.kill(process.pid, signal.SIGKILL)
    until(lambda: not found(stack.place, "postgres"), seconds=60)
    assert "mlflow: it does not run" in stack.recap("status", folder, code=1)
    with subprocess.Popen(
        [sys.executable, "-m", "recap", "services", "up", folder],
        cwd=stack.project,
        env=environment(PYTHONPATH=str(ROOT)),
        stdout=subprocess.PIPE,
        text=True,
    ) as up:
        assert up.stdout is not None
        said = [up.stdout.readline().split(":")[0] for _ in range(3)]
        assert said == ["postgres starts", "mlflow starts", "prefect runs already"]
        up.kill()
    assert "mlflow runs already" in stack.recap("up", folder)
    rest, _ = writer.communicate()
    assert rest.splitlines()[-1] == "39" and writer.returncode == 0
    with open_store(stack.project) as store:
        kept = [(point.step, point.value) for point in store.get_metric_history(run, "kept")]
    assert sorted(set(kept)) == [(step, float(step)) for step in range(40)]


def test_no_secret_is_in_a_log_or_on_a_command_line(stack: Stack, folder: str) -> None:
    secrets = [value.encode() for value in stack.place.secrets().model_dump().values()]
    assert len(set(secrets)) == 5 and min(map(len, secrets)) >= 32
    private = {"secrets.json", "pgpass", "env"}
    for name in private:
        assert (stack.place.root / name).stat().st_mode & 0o777 == 0o600
    assert stack.place.cluster.stat().st_mode & 0o777 == 0o700
    lines = [
        " ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])
    ]
    assert sum("mlflow" in line for line in lines) >= 3
    texts = [*(line.encode() for line in lines), *(said.encode() for said in stack.said)]
    for path in stack.place.root.rglob("*"):
        if path.is_file() and path.name not in private and stack.place.cluster not in path.parents:
            texts.append(path.read_bytes())
    assert len(texts) > 20
    assert [text[:200] for text in texts for secret in secrets if secret in text] == []


def test_backup_then_wipe_then_restore(stack: Stack, folder: str) -> None:
    with open_store(stack.project) as store:
        if store.get_experiment_by_name("recap") is None:
            publish_candidate(stack.project, weights="kept")
    before, copy = content(stack), stack.place.root.with_name("copy")
    stack.recap("backup", str(copy), folder)
    assert copy.stat().st_mode & 0o777 == 0o700
    assert "exists" in stack.recap("backup", str(copy), folder, code=2)
    assert "found some" in stack.recap("restore", str(copy), folder, code=2)
    stack.recap("down", folder)
    assert stack.processes() == []
    assert stack.recap("status", folder, code=1).count("it does not run") == 4
    shutil.rmtree(stack.place.root)
    dump = copy / "mlflow.dump"
    whole = dump.read_bytes()
    dump.write_bytes(whole[:-1])
    assert "but mlflow.dump of 1 files differ" in stack.recap("restore", str(copy), folder, code=2)
    dump.write_bytes(whole)
    stack.recap("restore", str(copy), folder)
    assert stack.processes() == []
    stack.recap("up", folder)
    assert content(stack) == before


def content(stack: Stack) -> dict[str, Any]:
    """What users would miss: runs with curves, versions, aliases, moves, artifacts, work pools."""
    known = client(stack.place)
    with open_store(stack.project) as store:
        experiments = store.search_experiments()
        runs = store.search_runs([found.experiment_id for found in experiments])
        versions = store.search_model_versions()
        told = {
            "experiments": sorted(found.name for found in experiments),
            "runs": sorted((run.info.run_id, str(run.data.to_dictionary())) for run in runs),
            "versions": sorted((v.name, v.version, v.source, str(v.tags)) for v in versions),
            "aliases": aliases(stack.project),
            "moves": read_moves(store, NAME).told,
        }
    answer = httpx.post(
        f"{known['PREFECT_API_URL']}/work_pools/filter",
        auth=("recap", stack.place.secrets().prefect),
        json={},
        trust_env=False,
        timeout=60,
    )
    files = [path for path in stack.place.artifacts.rglob("*") if path.is_file()]
    assert told["runs"] and told["versions"] and files
    return {
        **told,
        "pools": [(pool["id"], pool["name"]) for pool in answer.json()],
        "files": sorted((str(p.relative_to(stack.place.root)), p.read_bytes()) for p in files),
    }
