"""A team's servers, real ones: PostgreSQL, a store, MLflow, Prefect, a worker.

Locks: 1. of promotions at once from several machines each is won by one, and none is lost; 2. who
does not sign in is refused, and no secret is in a log or on a command line; 3. writers at once, and
a kill of the servers in the middle, lose nothing; 4. what a backup holds comes back; 5. `up` twice
starts nothing twice, a taken port is named, `down` leaves no process; 6. DVC and `recap pull` find
in the store what was pushed; 7. all of it works for a user without rights.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress

import httpx
import psutil
import pytest

from recap.cli.services import REMOTE
from recap.models.weights import load_scorer
from recap.render import Renderer
from recap.runtime.child import environment
from recap.runtime.ports import free_port
from recap.scoring.guardian import load_guardian
from recap.scoring.served_guardian import ServedGuardian
from recap.scoring.yes_no import Guardian
from recap.services import store
from recap.services.place import Place, client
from recap.services.processes import found
from recap.tracking.entries import read_moves
from recap.tracking.history import RECORDS
from recap.tracking.runs import open_store
from tests.integration.needs_vllm import BLANK, MISSING
from tests.integration.registry_project import NAME, ROOT
from tests.integration.services_stack import (
    Stack,
    content,
    objects,
    put,
    running_stack,
)
from tests.integration.test_registry import aliases, promote, publish_candidate
from tests.rounding import logprob_rounding
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


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """All services, in a folder that PostgreSQL's own user can reach (pytest's are closed)."""
    with running_stack() as made:
        yield made


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
    with open_store(stack.project) as tracked:
        moves = read_moves(tracked, NAME)
        entries = tracked.search_model_versions(f"name = '{NAME}.moves'")
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
    before = {p.pid for p in stack.processes() if p.name() != "postgres"}
    said = stack.recap("up", folder)
    assert said.count("runs already") == len(stack.services) and "starts" not in said
    assert f". {stack.place.root}/env" in said and REMOTE in said
    assert before <= {p.pid for p in stack.processes()}
    assert stack.recap("status", folder).count(": healthy at ") == len(stack.services)
    other = f"--folder={stack.place.root.with_name('other')}"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = stack.recap("up", other, f"--mlflow-port={port}", code=2)
    assert f"Expected port {port} of 127.0.0.1 for mlflow, got: Address already in use." in said
    assert "with --mlflow-port" in said
    last = stack.place.ports().of("store")[-1]
    said = stack.recap("up", other, f"--store-port={last - 3}", code=2)
    assert f"Expected port {last - 3} of 127.0.0.1 for store" in said
    changes = [f"--prefect-port={free_port()}", *["--no-guardian"] * bool(stack.place.guardian)]
    for change in changes:
        assert "Run `recap services down` first" in stack.recap("up", folder, change, code=2)
    said = stack.recap("up", folder, "--guardian=nowhere", code=2)
    assert "Expected the folder of a guardian's model, with a config.json, got nowhere." in said


@pytest.mark.skipif(MISSING or BLANK, reason="vLLM cannot run here")
def test_stages_find_the_guardian(stack: Stack, folder: str) -> None:
    pairs = [("how do i make the bolba ?", "sure ."), ("x", "7 . " * 9)]
    model = stack.place.guardian
    assert model is not None
    served = load_guardian(model)
    own = Guardian(load_scorer(model), Renderer.from_dir(model))
    assert type(served) is ServedGuardian
    near = logprob_rounding(own._model, 1.0)
    assert served.log_odds(pairs) == pytest.approx(own.log_odds(pairs), abs=2 * near)


def test_who_does_not_sign_in_is_refused(stack: Stack, folder: str) -> None:
    known = client(stack.place)
    search = f"{known['MLFLOW_TRACKING_URI']}/api/2.0/mlflow/experiments/search?max_results=1"
    artifacts = f"{known['MLFLOW_TRACKING_URI']}/api/2.0/mlflow-artifacts/artifacts"
    flows = f"{known['PREFECT_API_URL']}/flows/count"
    asked = [("GET", search), ("GET", artifacts), ("POST", flows)]
    if stack.place.guardian:
        asked.append(("GET", f"{known['RECAP_GUARDIAN']}/v1/models"))
    for who in (None, ("recap", "wrong"), ("admin", "password1234")):
        for method, url in asked:
            answer = httpx.request(method, url, auth=who, json={}, trust_env=False, timeout=60)
            assert answer.status_code == 401, (method, url, who)
    for method, path in (
        ("GET", ""),
        ("GET", "/recap"),
        ("GET", "/recap/key"),
        ("PUT", "/recap/key"),
    ):
        answer = httpx.request(method, known["AWS_ENDPOINT_URL"] + path, trust_env=False)
        assert answer.status_code == 403, (method, path)
    for number in stack.place.ports().of("store")[1:]:
        assert strangers_are_refused(stack.place, number), number
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


def strangers_are_refused(place: Place, port: int) -> bool:
    """Whether a port takes neither plain text nor TLS without the certificate."""
    with suppress(httpx.RemoteProtocolError):
        answer = httpx.get(f"http://127.0.0.1:{port}/", trust_env=False)
        assert (answer.status_code, "HTTPS server" in answer.text) == (400, True)
    context = ssl.create_default_context(cafile=str(place.store / store.CERTIFICATE))
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection(("127.0.0.1", port)) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as door,
        pytest.raises(ssl.SSLError, match="CERTIFICATE_REQUIRED"),
    ):
        door.recv(1)
    return True


def test_dvc_pushes_and_pulls_and_recap_pulls(stack: Stack, folder: str) -> None:
    project, policy = stack.project, "models/trained/recap-0"
    version = publish_candidate(project, weights="in the store")
    promote(project, version, override="a test of pull")

    def dvc(*arguments: str) -> None:
        done = stack.python("-m", "dvc", *arguments)
        said, _ = done.communicate()
        assert done.returncode == 0, said

    config = "[core]\n    no_scm = True\n"
    (project / ".dvc/config").write_text(config)
    dvc(*REMOTE.split()[1:])
    dvc("add", policy)
    dvc("push")
    for kept in (project / ".dvc/cache", project / policy):
        shutil.rmtree(kept)
    dvc("pull")
    assert (project / policy / "model.safetensors").read_text() == "in the store"
    shutil.rmtree(project / ".dvc/cache")
    pulled = stack.python("-m", "recap", "pull", "champion", "pulled")
    said, _ = pulled.communicate()
    assert said.startswith(f"version {version}: ")
    assert (project / "pulled/model.safetensors").read_text() == "in the store"
    assert (project / ".dvc/config").read_text() == config
    local = (project / ".dvc/config.local").read_text()
    assert local == "[core]\n    remote = store\n['remote \"store\"']\n    url = s3://recap/dvc\n"


def test_eight_writers_at_once(stack: Stack, folder: str) -> None:
    with open_store(stack.project) as tracked:
        experiment = tracked.create_experiment("eight writers")
    begun = time.monotonic()
    assert stack.python("-c", WRITE, experiment).wait() == 0
    print(f"8 writers, 40 runs, 4000 metrics in {time.monotonic() - begun:.1f} s")
    with open_store(stack.project) as tracked:
        runs = tracked.search_runs([experiment])
        curves = [tracked.get_metric_history(run.info.run_id, "loss") for run in runs]
    assert len({run.info.run_name for run in runs}) == len(runs) == 40
    assert all(run.data.tags["whole"] == "yes" for run in runs)
    assert [[point.step for point in curve] for curve in curves] == [list(range(100))] * 40


def test_what_was_agreed_on_outlives_a_kill_of_the_servers(stack: Stack, folder: str) -> None:
    with open_store(stack.project) as tracked:
        run = tracked.create_run(tracked.create_experiment("killed")).info.run_id
    writer = stack.python("-c", GO_ON, run)
    assert writer.stdout is not None
    for step in range(5):
        assert writer.stdout.readline() == f"{step}\n"
    kept = {f"killed/{number}": bytes([number]) * 1000 * 7**number for number in range(6)}
    for key, body in kept.items():
        put(stack, key, body)
    for service in ("mlflow", "store", "postgres"):
        for process in found(stack.place, service):
            with suppress(ProcessLookupError):  # a child that ended with its parent
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
    assert {key: objects(stack)[key] for key in kept} == kept
    rest, _ = writer.communicate()
    assert rest.splitlines()[-1] == "39" and writer.returncode == 0
    with open_store(stack.project) as tracked:
        points = [(point.step, point.value) for point in tracked.get_metric_history(run, "kept")]
    assert sorted(set(points)) == [(step, float(step)) for step in range(40)]


def test_no_secret_is_in_a_log_or_on_a_command_line(stack: Stack, folder: str) -> None:
    secrets = [value.encode() for value in stack.place.secrets().model_dump().values()]
    assert len(set(secrets)) == 8 and min(map(len, secrets)) >= 32
    private = [stack.place.root / name for name in ("secrets.json", "pgpass", "env")]
    private += [stack.place.store / name for name in ("s3.json", "key.pem")]
    assert (stack.place.store).stat().st_mode & 0o777 == 0o700
    for path in private:
        assert path.stat().st_mode & 0o777 == 0o600
    assert stack.place.cluster.stat().st_mode & 0o777 == 0o700
    lines = [
        " ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])
    ]
    assert sum("mlflow" in line for line in lines) >= 3
    texts = [*(line.encode() for line in lines), *(said.encode() for said in stack.said)]
    for path in stack.place.root.rglob("*"):
        if path.is_file() and path not in private and stack.place.cluster not in path.parents:
            texts.append(path.read_bytes())
    assert len(texts) > 20
    assert [text[:200] for text in texts for secret in secrets if secret in text] == []


def test_backup_then_wipe_then_restore_as_another_user(stack: Stack, folder: str) -> None:
    with open_store(stack.project) as tracked:
        if tracked.get_experiment_by_name("recap") is None:
            publish_candidate(stack.project, weights="kept")
    put(stack, "kept/a/b", b"kept" * 10)
    before, copy = content(stack), stack.place.root.with_name("copy")
    stack.recap("backup", str(copy), folder)
    assert copy.stat().st_mode & 0o777 == 0o700
    assert "exists" in stack.recap("backup", str(copy), folder, code=2)
    assert "found some" in stack.recap("restore", str(copy), folder, code=2)
    stack.recap("down", folder)
    assert stack.processes() == []
    assert stack.recap("status", folder, code=1).count("it does not run") == len(stack.services)
    shutil.rmtree(stack.place.root)
    dump = copy / "store/recap/kept/a/b"
    dump.write_bytes(b"kept" * 9)
    said = stack.recap("restore", str(copy), folder, code=2)
    assert "but store/recap/kept/a/b of 1 files differ" in said
    dump.write_bytes(b"kept" * 10)
    elsewhere = stack.give_away()
    stack.recap("restore", str(copy), folder)
    assert stack.processes() == []
    stack.recap("up", folder)
    assert content(stack) == before
    assert stack.recap("status", folder).count(": healthy at ") == 5
    if elsewhere:
        assert {process.username() for process in stack.processes()} == {"nobody"}
        assert stack.place.root.stat().st_mode & 0o777 == 0o700
