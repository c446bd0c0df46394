"""A sweep in MLflow, from what is recorded of it: a run for it, one below it for each cell.

Locks: 1. publishing twice adds nothing, a new cell adds one run; 2. a lost store is made anew from
committed files alone; 3. clones that publish a sweep at once make one run of everything, and eight
processes write into a fresh store without taking turns.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import (
    BAD_REQUEST,
    INTERNAL_ERROR,
    INVALID_PARAMETER_VALUE,
)

from recap.cli import publish as publishing
from recap.runtime.child import environment
from recap.sweeps.ledger import LEDGER
from recap.tracking.runs import PARENT, open_store, write_again
from tests.integration.sweep_project import (
    CELLS,
    start_recap,
)
from tests.integration.sweep_store import cells, history, names, runs

FROM_LEDGER = ("reward", "tokens")
ROOT = Path(__file__).parents[2]
WRITERS = """
import os, sys, warnings
from pathlib import Path
import mlflow  # once, for all: each is a process with a client of its own
from recap.tracking.runs import experiment_id, log_lines, open_store, start_run

def write(number):
    with open_store(Path()) as client:
        run = start_run(client, experiment_id(client, Path(), "recap-sweep"), f"recap-{number}", {})
        for update in range(1, 9):
            log_lines(client, run, [{"update": update, "reward": update / 8, "kl": 0.5}])
        client.set_terminated(run)

# From 3.12 on Python warns of a fork beside MLflow's threads; the children use none of them.
warnings.filterwarnings("ignore", ".*use of fork")
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


@pytest.fixture
def project(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it: a clone with what is committed and nothing else, and the store."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    folder = tmp_path / "clone"
    shutil.copytree(finished, folder, ignore=shutil.ignore_patterns(".recap", "cache"))
    return folder


def test_a_run_for_the_sweep_and_one_below_it_for_each_cell(project: Path, tmp_path: Path) -> None:
    found = runs(project)
    (parent,) = [run for run in found if PARENT not in run.data.tags]
    assert names(found) == [*sorted(CELLS), "sweep"]
    assert parent.info.run_name == f"sweep-{parent.data.tags['sweep'][:8]}"
    assert parent.info.status == "FINISHED"
    assert parent.data.metrics == {"cells": 4.0, "recorded": 4.0}
    with open_store(project) as client:
        design = client.download_artifacts(parent.info.run_id, "design.json", tmp_path)
    assert json.loads(Path(design).read_text())["axes"] == {"alpha": ["0", "0.5"]}
    assert len(parent.data.tags["design"]) == 16
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
    rate = [run.data.metrics[f"prefill/safe{end}"] for end in ("", "_low", "_high")]
    assert rate == [0.75, 0.3006, 0.9544]
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
    assert new.info.run_name == f"dapo-1-{new.data.tags['fingerprint'][:8]}"
    assert names(runs(project)) == ["dapo-0", "dapo-1", "dapo-1", "recap-0", "recap-1", "sweep"]
    assert new.data.metrics["reward"] == 0.25


@pytest.fixture
def lost(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was published is lost: the store is another, as MLflow keeps a deleted file open."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/new.db")


def test_a_lost_store_is_made_anew_from_what_is_committed(
    project: Path, request: pytest.FixtureRequest
) -> None:
    """But for speeds and the machine's load: no file that is committed has them."""

    def told(run: Run) -> object:
        tags = {k: v for k, v in run.data.tags.items() if k not in (PARENT, "clone", "mlflow.user")}
        rates = {
            k: v
            for k, v in run.data.metrics.items()
            if k in FROM_LEDGER or ("/" in k and not k.startswith("system/"))
        }
        assert "prefill/safe" in rates
        data = {each.dataset.name: each.dataset.digest for each in run.inputs.dataset_inputs}
        return tags, rates, run.data.params, data

    expected = {name: told(run) for name, run in cells(runs(project)).items()}
    request.getfixturevalue("lost")
    publishing.publish(project)
    assert runs(project) == []  # a sweep's are published on request alone
    assert publishing.publish_sweep(project) == 4
    assert {name: told(run) for name, run in cells(runs(project)).items()} == expected


@pytest.mark.usefixtures("lost")
def test_a_cell_recorded_with_other_code_is_left_out(project: Path) -> None:
    record = json.loads((project / LEDGER / "dapo-1.json").read_text())
    (project / LEDGER / "dapo-1.json").write_text(json.dumps(record | {"fingerprint": "0" * 16}))
    assert publishing.publish_sweep(project) == 3
    found = runs(project)
    assert sorted(cells(found)) == ["dapo-0", "recap-0", "recap-1"]
    (parent,) = [run for run in found if PARENT not in run.data.tags]
    assert parent.info.status == "RUNNING"


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
    assert names(found) == sorted([*CELLS, "sweep"])
    (parent,) = [run.info.run_id for run in found if PARENT not in run.data.tags]
    assert {run.data.tags[PARENT] for run in cells(found).values()} == {parent}


def test_runs_that_another_machine_made_too_become_one(project: Path) -> None:
    """A second parent with a cell of its own, and a third that is deleted already.

    The one who made them took two finished runs for left ones, and closed them as killed.
    """
    (before,) = [run for run in runs(project) if PARENT not in run.data.tags]
    first = {name: run.info.run_id for name, run in cells(runs(project)).items()}
    with open_store(project) as client:
        experiment, tags = before.info.experiment_id, {"sweep": before.data.tags["sweep"]}
        twin = cells(runs(project))["recap-1"].data.tags["fingerprint"]
        for number, gone in ((1, False), (2, True)):
            other = client.create_run(experiment, run_name="sweep", tags=tags)
            start = other.info.start_time
            own = {PARENT: other.info.run_id, "fingerprint": twin if number == 1 else "0" * 16}
            cell = client.create_run(experiment, start_time=start, run_name="late", tags=own)
            client.set_terminated(cell.info.run_id, "KILLED" if number == 1 else "FINISHED")
            if gone:
                client.delete_run(other.info.run_id)
        client.set_terminated(first["dapo-0"], "KILLED")
    assert publishing.publish_sweep(project) == 4
    found = runs(project)
    assert names(found) == sorted([*CELLS, "late", "sweep"])
    assert {run.data.tags.get(PARENT) for run in found} == {None, before.info.run_id}
    assert {run.info.run_id for run in found} >= {before.info.run_id, *first.values()}
    assert {run.info.status for run in found} == {"FINISHED"}


@pytest.mark.parametrize(
    ("errors", "calls", "ends"),
    [
        ([], 1, "written"),
        ([BAD_REQUEST, INVALID_PARAMETER_VALUE], 3, "written"),
        ([BAD_REQUEST] * 4, 5, "written"),
        ([BAD_REQUEST] * 5, 5, "error 5"),
        ([INTERNAL_ERROR], 1, "error 1"),  # a server that cannot be reached, in MLflow's words
    ],
)
def test_what_collides_is_written_again(
    monkeypatch: pytest.MonkeyPatch, errors: list[int], calls: int, ends: str
) -> None:
    made, left = list[float](), list(errors)

    def write() -> str:
        made.append(1)
        if left:
            raise MlflowException(f"error {len(made)}", error_code=left.pop(0))
        return "written"

    monkeypatch.setattr("time.sleep", lambda seconds: None)
    try:
        end = write_again(write)
    except MlflowException as error:
        end = error.message
    assert (len(made), end) == (calls, ends)


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
    assert names(found) == [f"recap-{n}" for n in range(8)]
    for run in found:
        steps = history(tmp_path, run, "reward")
        assert steps == [(update, update / 8) for update in range(1, 9)]


def test_a_sweep_that_is_not_there_publishes_nothing(project: Path) -> None:
    shutil.rmtree(project / LEDGER)
    (project / "mlflow.db").unlink()
    assert publishing.publish_sweep(project) == 0
    assert not (project / "mlflow.db").exists()
