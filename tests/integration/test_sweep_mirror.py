"""A sweep in MLflow while it runs; real stores, a real server that goes and comes back.

Locks: 1. what trains is mirrored below the sweep's run, and that run is the one that is completed,
as soon as its cell is recorded; 2. a server that is down or does not answer stops nothing, and one
that comes back gets all that it missed.
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
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flows import mirror
from recap.cli import publish as publishing
from recap.runtime.child import environment
from recap.sweeps.ledger import LEDGER
from tests.integration.registry_project import copied
from tests.integration.sweep_project import (
    log,
    recap,
    set_sweep,
)
from tests.integration.sweep_store import cells, history, names, runs
from tests.waiting import until

DOWN = "http://127.0.0.1:9"  # nothing listens on the discard port
LIVE = ".recap/sweep/.recap/train/dapo-1.live.jsonl"


@pytest.fixture
def clone(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished sweep without a store, at which the mirror looks without a pause."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(publishing, "PAUSE", 0.0)
    folder = tmp_path / "clone"
    shutil.copytree(finished, folder, ignore=shutil.ignore_patterns("cache", "*.db"))
    return folder


def test_what_trains_is_mirrored_below_the_sweeps_run_and_completed(clone: Path) -> None:
    live, looks = clone / LIVE, iter([False, False, True])

    def stopped() -> bool:
        """Between two looks at the files an update comes."""
        live.parent.mkdir(parents=True, exist_ok=True)
        line = {"update": 1, "reward": 0.5, "tokens": 64, "tokens_per_second": 8.0}
        live.write_text(json.dumps(line) + "\n")
        return next(looks, True)

    publishing.follow_sweep(clone, stopped, pytest.fail)
    found = runs(clone)
    (mirrored,) = cells(found).values()
    assert mirrored.info.status == "RUNNING"
    assert mirrored.data.metrics["tokens_per_second"] == 8.0
    assert mirrored.data.metrics["system/system_memory_usage_megabytes"] > 0
    publishing.publish_sweep(clone)
    done = cells(runs(clone))["dapo-1"]
    assert done.info.run_id == mirrored.info.run_id and done.info.status == "FINISHED"
    assert done.data.metrics["tokens_per_second"] == 8.0 and "prefill/safe" in done.data.metrics


def test_a_cell_is_completed_as_soon_as_it_is_recorded(clone: Path) -> None:
    """Between two looks its file is written; the others' are as they were."""
    record, looks = clone / LEDGER / "dapo-1.json", iter([False, True])

    def stopped() -> bool:
        last = next(looks)
        if last:
            assert runs(clone) == []
            record.write_text(record.read_text())
        return last

    publishing.follow_sweep(clone, stopped, pytest.fail)
    (run,) = cells(runs(clone)).values()
    assert (names([run]), run.info.status) == (["dapo-1"], "FINISHED")
    assert run.data.metrics["prefill/safe"] == 0.75


def test_lines_that_come_with_the_record_make_no_run_of_their_own(
    clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Training writes its last line, and the cell is recorded, while others' lines are sent."""
    record, live, send = clone / LEDGER / "dapo-1.json", clone / LIVE, publishing._mirror
    looks, first = iter([False, False, True]), iter([True])

    def sending(*arguments: Any) -> None:
        send(*arguments)
        if next(first, False):
            live.write_text('{"update": 1, "reward": 0.5, "tokens": 64, "tokens_per_second": 8}\n')
            record.write_text(record.read_text())

    monkeypatch.setattr(publishing, "_mirror", sending)
    publishing.follow_sweep(clone, lambda: next(looks), pytest.fail)
    (run,) = cells(runs(clone)).values()
    assert (names([run]), run.info.status) == (["dapo-1"], "FINISHED")
    assert run.data.metrics["tokens_per_second"] == 8.0 and "prefill/safe" in run.data.metrics


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
    clone: Path, silent: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(clone)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", silent)
    monkeypatch.setattr(mirror, "LAST", 0.5)
    with mirror.Mirror("sweep", "publish") as held:
        pass
    assert held._process is not None and held._process.returncode == -signal.SIGKILL
    assert "the results are in the files, but not in MLflow" in capfd.readouterr().err


@pytest.mark.slow
def test_a_server_that_is_down_stops_nothing(
    begun: tuple[Path, str], api: str, silent: str, tmp_path: Path
) -> None:
    """One that refuses, then one that takes connections and never answers."""
    folder = copied(begun[0], tmp_path / "project")
    set_sweep(folder, axes={"alpha": [0.5]}, seeds=[0, 1, 2])
    before = len(log(folder))
    for seed, uri in enumerate((DOWN, silent), start=1):
        said = recap(
            folder,
            "sweep",
            "run",
            "--seeds",
            str(seed),
            MLFLOW_TRACKING_URI=uri,
            PREFECT_API_URL=api,
            MLFLOW_HTTP_REQUEST_TIMEOUT="1",
            MLFLOW_HTTP_REQUEST_MAX_RETRIES="0",
        )
        assert len(log(folder)) == before + 4 * seed
        assert "the results are in the files, but not in MLflow" in said
        assert "`recap publish` tries again" in said
        assert said.index("0 cells left") < said.index("not in MLflow")  # it waited for nobody
    assert "MLflow holds 3 cells of the sweep" in recap(folder, "sweep", "publish")
    found = cells(runs(folder))
    for cell in ("recap-1", "recap-2"):  # speeds too, from training's own file
        assert history(folder, found[cell], "tokens_per_second") == [(1, 9.0)]
        assert history(folder, found[cell], "reward") == [(1, 0.5)]


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
        assert until(
            lambda: answers(f"http://127.0.0.1:{port}/health"),
            unless=lambda: process.poll() is not None,
            pause=0.2,
        )
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
    clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three updates come: before it goes, while it is away, and after it is back."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    live, warnings = clone / LIVE, list[str]()
    updates = [
        {"update": n, "reward": 0.5, "tokens": 64, "tokens_per_second": 8.0 + n} for n in (1, 2, 3)
    ]
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
        publishing.follow_sweep(clone, stopped, warnings.append)
        (mirrored,) = cells(runs(clone)).values()
        assert history(clone, mirrored, "reward") == [(1, 0.5), (2, 0.5), (3, 0.5)]
        speeds = history(clone, mirrored, "tokens_per_second")
        assert speeds == [(1, 9.0), (2, 10.0), (3, 11.0)]
        assert publishing.publish_sweep(clone) == 4
        assert cells(runs(clone))["dapo-1"].info.run_id == mirrored.info.run_id
    assert len(warnings) == 1
