"""A sweep in MLflow: a run for it, one below it for each cell; real stores, a real dead server.

Locks: 1. publishing twice adds nothing, a new cell adds one run; 2. a lost store is made anew from
committed files alone; 3. what trains is mirrored live below the sweep's run, and that run is the
one that is completed; 4. a server that is down or does not answer stops nothing, and one that comes
back gets all that it missed; 5. clones that publish a sweep at once make one run of everything, and
eight processes write into a fresh store without taking turns.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow.entities import Run

from flows import mirror
from recap import publishing
from recap.child import environment
from recap.sweeps.ledger import LEDGER
from recap.tracking import EXPERIMENT, PARENT, open_store
from tests.integration.flow_project import prefect_api
from tests.integration.sweep_project import (
    CELLS,
    log,
    make_sweep_project,
    recap,
    start_recap,
)

FROM_LEDGER = ("reward", "tokens")
ROOT = Path(__file__).parents[2]
DOWN = "http://127.0.0.1:9"  # nothing listens on the discard port
WRITERS = """
import os, sys
from pathlib import Path
import mlflow  # once, for all: each is a process with a client of its own
from recap.tracking import experiment_id, log_lines, open_store, start_run

def write(number):
    with open_store(Path()) as client:
        run = start_run(client, experiment_id(client, Path()), f"recap-{number}")
        for update in range(1, 31):
            log_lines(client, run, [{"update": update, "reward": update / 30, "kl": 0.5}])
        client.set_terminated(run)

begin, go = os.pipe()
for number in range(8):
    if os.fork() == 0:
        os.close(go)
        os.read(begin, 1)  # until all are there
        write(number)
        sys.exit()
os.close(go)
sys.exit(any([os.wait()[1] for _ in range(8)]))
"""


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One Prefect API for all sweeps of this module."""
    with prefect_api(tmp_path_factory.mktemp("api")) as url:
        yield url


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, api: str) -> Path:
    """A finished sweep with a store."""
    folder = make_sweep_project(tmp_path_factory.mktemp("sweep") / "project")
    said = recap(folder, "sweep", "run", PREFECT_API_URL=api)
    assert "tracking | MLflow holds 4 cells of the sweep" in said
    return folder


@pytest.fixture
def project(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it: a clone with what is committed and nothing else, and the store."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    folder = tmp_path / "clone"
    shutil.copytree(finished, folder, ignore=shutil.ignore_patterns(".recap", "cache"))
    return folder


def runs(folder: Path) -> list[Run]:
    with open_store(folder) as client:
        found = client.get_experiment_by_name(EXPERIMENT)
        return list(client.search_runs([found.experiment_id])) if found else []


def history(folder: Path, run: Run, metric: str) -> list[tuple[int, float]]:
    with open_store(folder) as client:
        points = client.get_metric_history(run.info.run_id, metric)
    return sorted((point.step, point.value) for point in points)


def cells(found: list[Run]) -> dict[str, Run]:
    """By name; each has one run."""
    children = [run for run in found if PARENT in run.data.tags]
    by_name = {run.info.run_name: run for run in children}
    assert len(by_name) == len(children)
    return by_name


def test_a_run_for_the_sweep_and_one_below_it_for_each_cell(project: Path) -> None:
    found = runs(project)
    (parent,) = [run for run in found if PARENT not in run.data.tags]
    assert parent.info.run_name == "sweep" and parent.info.status == "FINISHED"
    assert parent.data.metrics == {"cells": 4.0, "recorded": 4.0}
    assert json.loads(parent.data.tags["design"])["axes"] == {"alpha": ["0", "0.5"]}
    children = cells(found)
    assert sorted(children) == sorted(CELLS)
    assert {run.data.tags[PARENT] for run in children.values()} == {parent.info.run_id}
    run = children["dapo-1"]
    assert run.info.status == "FINISHED"
    assert run.data.params["train.alpha"] == "0.0" and run.data.params["seed"] == "0"
    assert (run.data.tags["variant"], run.data.tags["seed"]) == ("dapo", "1")
    assert run.data.tags["models"] == "microworld" and len(run.data.tags["dvc_lock"]) == 16
    stages = {f"stage.{name}" for name in ("train", "attack", "judge", "evaluate")}
    assert stages <= run.data.tags.keys()
    rate = {name: run.data.metrics[f"prefill.1.{name}"] for name in ("value", "low", "high", "n")}
    assert rate == {"value": 0.75, "low": 0.3006, "high": 0.9544, "n": 4.0}
    assert run.data.metrics["reward"] == 0.5
    data = {each.dataset.name: each.tags[0].value for each in run.inputs.dataset_inputs}
    assert data["questions-eval"] == "evaluation"
    assert data["data/prefills/harmful.jsonl"] == data["data/prompts/train.jsonl"] == "training"
    assert all(len(each.dataset.digest) >= 16 for each in run.inputs.dataset_inputs)


def test_publishing_again_adds_nothing_and_a_new_cell_one_run(project: Path) -> None:
    before = {run.info.run_id for run in runs(project)}
    assert publishing.publish_sweep(project) == 4
    assert {run.info.run_id for run in runs(project)} == before
    record = json.loads((project / LEDGER / "dapo-1.json").read_text())
    changed = record | {"curve": {"reward": [0.25]}}
    (project / LEDGER / "dapo-1.json").write_text(json.dumps(changed))
    publishing.publish_sweep(project)
    (new,) = [run for run in runs(project) if run.info.run_id not in before]
    assert new.info.run_name == "dapo-1" and new.data.metrics["reward"] == 0.25


def test_a_lost_store_is_made_anew_from_what_is_committed(project: Path) -> None:
    """But for speeds: they are in the mirrored runs, and in no file that is committed."""

    def told(run: Run) -> object:
        tags = {k: v for k, v in run.data.tags.items() if k not in (PARENT, "mlflow.user")}
        rates = {k: v for k, v in run.data.metrics.items() if k in FROM_LEDGER or "." in k}
        data = {each.dataset.name: each.dataset.digest for each in run.inputs.dataset_inputs}
        return tags, rates, run.data.params, data

    expected = {name: told(run) for name, run in cells(runs(project)).items()}
    (project / "mlflow.db").unlink()
    said = recap(project, "publish")
    assert "MLflow holds 4 cells of the sweep" in said
    assert {name: told(run) for name, run in cells(runs(project)).items()} == expected


def test_a_cell_recorded_with_other_code_is_left_out(project: Path) -> None:
    (project / "mlflow.db").unlink()
    record = json.loads((project / LEDGER / "dapo-1.json").read_text())
    (project / LEDGER / "dapo-1.json").write_text(json.dumps(record | {"fingerprint": "0" * 16}))
    assert publishing.publish_sweep(project) == 3
    found = runs(project)
    assert sorted(cells(found)) == ["dapo-0", "recap-0", "recap-1"]
    (parent,) = [run for run in found if PARENT not in run.data.tags]
    assert parent.info.status == "RUNNING"


def test_what_trains_is_mirrored_below_the_sweeps_run_and_completed(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    folder = tmp_path / "clone"
    shutil.copytree(finished, folder, ignore=shutil.ignore_patterns("cache", "*.db"))
    live = folder / ".recap/sweep/.recap/train/dapo-1.live.jsonl"
    looks = iter([False, False, True])

    def stopped() -> bool:
        """Between two looks at the files an update comes."""
        live.parent.mkdir(parents=True, exist_ok=True)
        line = {"update": 1, "reward": 0.5, "tokens": 64, "tokens_per_second": 8.0}
        live.write_text(json.dumps(line) + "\n")
        return next(looks, True)

    publishing.follow_sweep(folder, stopped, pytest.fail)
    found = runs(folder)
    (mirrored,) = cells(found).values()
    assert mirrored.info.status == "RUNNING"
    assert mirrored.data.metrics["tokens_per_second"] == 8.0
    assert mirrored.data.metrics["system/system_memory_usage_megabytes"] > 0
    publishing.publish_sweep(folder)
    done = cells(runs(folder))["dapo-1"]
    assert done.info.run_id == mirrored.info.run_id and done.info.status == "FINISHED"
    assert done.data.metrics["tokens_per_second"] == 8.0 and "prefill.1.value" in done.data.metrics


def test_a_cell_is_completed_as_soon_as_it_is_recorded(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two looks its file is written; the others' are as they were."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(publishing, "PAUSE", 0.0)
    folder = tmp_path / "clone"
    shutil.copytree(finished, folder, ignore=shutil.ignore_patterns("cache", "*.db"))
    record, looks = folder / LEDGER / "dapo-1.json", iter([False, True])

    def stopped() -> bool:
        last = next(looks)
        if last:
            assert runs(folder) == []
            record.write_text(record.read_text())
        return last

    publishing.follow_sweep(folder, stopped, pytest.fail)
    (run,) = cells(runs(folder)).values()
    assert (run.info.run_name, run.info.status) == ("dapo-1", "FINISHED")
    assert run.data.metrics["prefill.1.value"] == 0.75


def test_lines_that_come_with_the_record_make_no_run_of_their_own(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Training writes its last line, and the cell is recorded, while others' lines are sent."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(publishing, "PAUSE", 0.0)
    folder = tmp_path / "clone"
    shutil.copytree(finished, folder, ignore=shutil.ignore_patterns(".recap", "cache", "*.db"))
    record, send = folder / LEDGER / "dapo-1.json", publishing._mirror
    live = folder / ".recap/sweep/.recap/train/dapo-1.live.jsonl"
    looks = iter([False, False, True])

    def sending(*arguments: Any) -> None:
        send(*arguments)
        if not live.exists():
            live.parent.mkdir(parents=True)
            live.write_text('{"update": 1, "reward": 0.5, "tokens": 64, "tokens_per_second": 8}\n')
            record.write_text(record.read_text())

    monkeypatch.setattr(publishing, "_mirror", sending)
    publishing.follow_sweep(folder, lambda: next(looks), pytest.fail)
    (run,) = cells(runs(folder)).values()
    assert (run.info.run_name, run.info.status) == ("dapo-1", "FINISHED")
    assert run.data.metrics["tokens_per_second"] == 8.0 and "prefill.1.value" in run.data.metrics


@pytest.fixture
def silent() -> Iterator[str]:
    """A server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        held: list[socket.socket] = []

        def accept() -> None:
            while True:
                try:
                    held.append(server.accept()[0])
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        for each in held:
            each.close()


def test_a_store_that_holds_the_end_of_a_run_is_given_up(
    project: Path, silent: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", silent)
    monkeypatch.setattr(mirror, "LAST", 0.5)
    with mirror.Mirror("sweep", "publish") as held:
        pass
    assert held._process is not None and held._process.returncode == -signal.SIGKILL
    assert "the results are in the files, but not in MLflow" in capfd.readouterr().err


@pytest.mark.slow
def test_a_server_that_is_down_stops_nothing(api: str, silent: str, tmp_path: Path) -> None:
    """One that refuses, then one that takes connections and never answers."""
    folder = make_sweep_project(tmp_path / "project", axes={"alpha": [0.5]})
    for seed, uri in enumerate((DOWN, silent)):
        said = recap(
            folder, "sweep", "run", "--seeds", str(seed), MLFLOW_TRACKING_URI=uri,
            PREFECT_API_URL=api,
            MLFLOW_HTTP_REQUEST_TIMEOUT="1", MLFLOW_HTTP_REQUEST_MAX_RETRIES="0",
        )  # fmt: skip
        assert len(log(folder)) == 5 + 4 * (seed + 1)
        assert "the results are in the files, but not in MLflow" in said
        assert "`recap publish` tries again" in said
        assert said.index("0 cells left") < said.index("not in MLflow")  # it waited for nobody
    assert "MLflow holds 2 cells of the sweep" in recap(folder, "publish")
    for run in cells(runs(folder)).values():  # speeds too, from training's own file
        assert history(folder, run, "tokens_per_second") == [(1, 9.0)]
        assert history(folder, run, "reward") == [(1, 0.5)]


@contextlib.contextmanager
def mlflow_server(folder: Path, port: int) -> Iterator[None]:
    """A real server on the port, until the block ends."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"),
            *("--backend-store-uri", f"sqlite:///{folder}/server.db"),
            *("--artifacts-destination", str(folder / "artifacts")),
        ],
        cwd=folder,
        env=environment(MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        process_group=0,
    )
    try:
        until = time.monotonic() + 120
        while not answers(f"http://127.0.0.1:{port}/health"):
            assert process.poll() is None and time.monotonic() < until
            time.sleep(0.2)
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1):
            return True
    except OSError:
        return False


@pytest.mark.slow
def test_a_server_that_comes_back_gets_what_it_missed(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three updates come: before it goes, while it is away, and after it is back."""
    folder = tmp_path / "clone"
    shutil.copytree(finished, folder, ignore=shutil.ignore_patterns("cache", "*.db"))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr(publishing, "PAUSE", 0.0)
    live, warnings = folder / ".recap/sweep/.recap/train/dapo-1.live.jsonl", list[str]()
    updates = [{"update": n, "reward": 0.5, "tokens": 64, "tokens_per_second": 8.0 + n}
               for n in (1, 2, 3)]  # fmt: skip
    looks = 0

    def stopped() -> bool:
        nonlocal looks
        looks += 1
        live.parent.mkdir(parents=True, exist_ok=True)
        live.write_text("".join(f"{json.dumps(line)}\n" for line in updates[:looks]))
        if looks == 2:
            server.close()
        if looks == 3:
            assert len(warnings) == 1 and "to answer" in warnings[0]
            server.enter_context(mlflow_server(tmp_path, port))
        return looks == 3

    with contextlib.ExitStack() as server:
        server.enter_context(mlflow_server(tmp_path, port))
        publishing.follow_sweep(folder, stopped, warnings.append)
        (mirrored,) = cells(runs(folder)).values()
        assert history(folder, mirrored, "reward") == [(1, 0.5), (2, 0.5), (3, 0.5)]
        speeds = history(folder, mirrored, "tokens_per_second")
        assert speeds == [(1, 9.0), (2, 10.0), (3, 11.0)]
        assert publishing.publish_sweep(folder) == 4
        assert cells(runs(folder))["dapo-1"].info.run_id == mirrored.info.run_id
    assert len(warnings) == 1


@pytest.mark.slow
def test_three_clones_publish_one_sweep_at_once(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As machines do: one store for all, and no lock that all of them see."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/shared.db")
    assert runs(tmp_path) == []  # a store without runs: making its tables is the server's work
    started = []
    for number in range(3):
        clone = tmp_path / f"clone{number}"
        shutil.copytree(finished, clone, ignore=shutil.ignore_patterns(".recap", "cache", "*.db"))
        uri = os.environ["MLFLOW_TRACKING_URI"]
        started.append(start_recap(clone, "sweep", "publish", MLFLOW_TRACKING_URI=uri))
    ended = [(process.communicate(timeout=600)[0], process.returncode) for process in started]
    assert [code for _, code in ended] == [0] * 3, ended
    found = runs(tmp_path)
    assert sorted(run.info.run_name for run in found) == sorted([*CELLS, "sweep"])
    (parent,) = [run.info.run_id for run in found if PARENT not in run.data.tags]
    assert {run.data.tags[PARENT] for run in cells(found).values()} == {parent}


def test_runs_that_another_machine_made_too_become_one(project: Path) -> None:
    """A second parent with a cell of its own, and a third that is deleted already."""
    (before,) = [run for run in runs(project) if PARENT not in run.data.tags]
    with open_store(project) as client:
        experiment, tags = before.info.experiment_id, {"sweep": before.data.tags["sweep"]}
        twin = cells(runs(project))["recap-1"].data.tags["fingerprint"]
        for number, gone in ((1, False), (2, True)):
            other = client.create_run(experiment, run_name="sweep", tags=tags)
            start = other.info.start_time
            own = {PARENT: other.info.run_id, "fingerprint": twin if number == 1 else "0" * 16}
            cell = client.create_run(experiment, start_time=start, run_name="late", tags=own)
            client.set_terminated(cell.info.run_id)
            if gone:
                client.delete_run(other.info.run_id)
    assert publishing.publish_sweep(project) == 4
    found = runs(project)
    assert sorted(run.info.run_name for run in found) == sorted([*CELLS, "late", "sweep"])
    assert {run.data.tags.get(PARENT) for run in found} == {None, before.info.run_id}
    assert {run.info.run_id for run in found} >= {before.info.run_id}


@pytest.mark.slow
def test_eight_processes_write_into_a_fresh_store_without_taking_turns(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WRITERS],
        cwd=tmp_path,
        env=environment(PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    found = runs(tmp_path)
    assert sorted(run.info.run_name for run in found) == [f"recap-{n}" for n in range(8)]
    for run in found:
        steps = history(tmp_path, run, "reward")
        assert steps == [(update, update / 30) for update in range(1, 31)]


def test_a_sweep_that_is_not_there_publishes_nothing(project: Path) -> None:
    shutil.rmtree(project / LEDGER)
    (project / "mlflow.db").unlink()
    assert publishing.publish_sweep(project) == 0
    assert not (project / "mlflow.db").exists()
