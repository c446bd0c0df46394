"""A sweep on one machine: real DVC, real Prefect, stages that take no time (sweep_work.py)."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path

import pytest

from recap.sweeps.ledger import LEDGER, Ledger
from recap.sweeps.project import FOLDER
from tests.integration.pool_project import commit
from tests.integration.registry_project import copied
from tests.integration.sweep_project import (
    CELLS,
    SHARED,
    log,
    make_sweep_project,
    processes,
    recap,
    set_sweep,
    stages_of,
    start_recap,
)
from tests.waiting import PATIENCE, until


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    return make_sweep_project(tmp_path / "project")


@pytest.fixture
def project(begun: tuple[Path, str], tmp_path: Path) -> Path:
    """The first seed's cells are recorded."""
    return copied(begun[0], tmp_path / "project")


def recorded(folder: Path) -> list[str]:
    return sorted(path.stem for path in (folder / LEDGER).glob("*-[0-9].json"))


def outputs(folder: Path) -> dict[Path, bytes]:
    """Everything that the sweep's stages made, weights too."""
    return {
        path: path.read_bytes()
        for part in ("models", "data", "results")
        for path in (folder / FOLDER / part).rglob("*")
        if path.is_file()
    }


def half_written(folder: Path) -> list[Path]:
    return [*folder.rglob(".*.part"), *folder.rglob("*.tmp")]


def sweep_run(project: Path, api: str, *arguments: str, code: int = 0) -> str:
    return recap(project, "sweep", "run", *arguments, code=code, PREFECT_API_URL=api)


@pytest.mark.slow
def test_nothing_is_computed_twice(begun, finished, tmp_path, api):
    first, said = begun
    assert sorted(log(first)) == sorted([*SHARED, *stages_of("recap-0", "dapo-0")])
    assert log(first)[: len(SHARED)] == [s for s in log(first) if s in SHARED]  # these first
    assert recorded(first) == ["dapo-0", "recap-0"]
    assert "5 shared stages and 2 cells to run, 2 at a time" in said
    assert re.search(r"0 cells left$", said, re.MULTILINE)

    # other seeds: their cells only
    project = copied(finished, tmp_path / "project")
    whole = log(project)
    assert whole[: len(log(first))] == log(first)
    assert sorted(whole[len(log(first)) :]) == stages_of("recap-1", "dapo-1")
    assert recorded(project) == sorted(CELLS)

    # a second time, with the driver's own check left out: no stage starts
    assert "All 4 cells are recorded: nothing to do." in sweep_run(project, api)

    # a new value, and a lost file: its cell only, and recorded again from what was computed
    set_sweep(project, axes={"alpha": [0.0, 0.25, 0.5]})
    kept = (project / LEDGER / "dapo-0.json").read_bytes()
    (project / LEDGER / "dapo-0.json").unlink()
    assert "3 recorded, 1 computed, 2 to do" in recap(project, "sweep", "plan")
    said = sweep_run(project, api, "--seeds", "0")
    assert "dapo-0 was computed already: recorded" in said
    assert sorted(log(project)[len(whole) :]) == stages_of("alpha_25-0")
    again = json.loads((project / LEDGER / "dapo-0.json").read_bytes())
    assert again.pop("cost") == {"seconds": {}, "cpu_seconds": None}  # not known any more
    before = json.loads(kept)
    assert set(before.pop("cost")["seconds"]) == {"train", "attack", "judge", "evaluate"}
    assert again == before

    # a removed value: out of the plan; its file may stay
    set_sweep(project)
    said = recap(project, "sweep", "plan")
    assert "alpha_25" not in said and "4 recorded, 0 computed, 0 to do" in said
    assert "alpha_25-0" in recorded(project)


@pytest.mark.slow
def test_a_cell_that_fails_or_is_killed_stops_no_other(project, api):
    """A killed one is done again at once, a failed one in the next run."""
    (project / "hold/fail-judge@dapo-1").touch()
    (project / "hold/attack@recap-1").touch()
    driver = start_recap(project, "sweep", "run", PREFECT_API_URL=api)
    until(lambda: attack_of_recap_1(project) != [], unless=lambda: driver.poll() is not None)
    (killed,) = attack_of_recap_1(project)
    (project / "hold/attack@recap-1").unlink()
    os.kill(killed, signal.SIGKILL)
    said, _ = driver.communicate(timeout=PATIENCE)
    assert driver.returncode == 2, said
    # whoever was quicker, the signal or the stage's own end: the cell is there, its training once
    assert recorded(project) == ["dapo-0", "recap-0", "recap-1"]
    assert log(project).count("train@recap-1") == 1
    error = said[said.index("PipelineError") :]
    assert "dapo-1 failed (exit code 2):\nDataError: Expected a row, got none. Add one." in error
    assert "recap-1" not in error
    assert "run again to do just these" in error
    assert "Traceback" not in said
    (project / "hold/fail-judge@dapo-1").unlink()
    before = log(project)
    sweep_run(project, api)
    assert log(project)[len(before) :] == ["judge@dapo-1", "evaluate@dapo-1"]  # not even train
    assert recorded(project) == sorted(CELLS)
    costs = Ledger(project / LEDGER)
    measured = next(m for c in read_cells(project) if (m := costs.read(c)) and c.name == "dapo-1")
    assert measured.cost.cpu_seconds is None  # a part of it was restored


def attack_of_recap_1(project: Path) -> list[int]:
    """Process ids of the attack that waits in the project."""
    command = "python -P recap/work.py attack recap 1"
    held = [pid for pid, own in processes(project) if own.startswith(command)]
    return held if "attack@recap-1" in log(project, "start") else []


def read_cells(project: Path):  # type: ignore[no-untyped-def]
    from recap.sweeps.project import read_project

    return read_project(project).design.cells()


@pytest.mark.slow
def test_a_shared_stage_that_fails_ends_it_and_names_what_did_not_run(fresh, api):
    (fresh / "hold/fail-prepare").touch()
    said = sweep_run(fresh, api, code=2)
    assert "prepare failed (exit code 2)" in said
    assert "Not run: dapo-0, dapo-1, prefill, recap-0, recap-1, validate." in said
    assert recorded(fresh) == []


@pytest.mark.slow
def test_a_driver_that_is_killed_leaves_nothing_behind(project, monkeypatch, api):
    monkeypatch.delenv("SHELL", raising=False)  # DVC then runs a stage by /bin/sh, the harder case
    for cell in ("recap-1", "dapo-1"):
        (project / f"hold/train@{cell}").touch()
    driver = start_recap(project, "sweep", "run")  # with a server of its own
    until(
        lambda: {"train@recap-1", "train@dapo-1"} <= set(log(project, "start")),
        unless=lambda: driver.poll() is not None,
    )
    assert recorded(project) == ["dapo-0", "recap-0"]

    # a second driver is refused, a plan is not
    assert "another run" not in recap(project, "sweep", "plan")
    refused = sweep_run(project, api, code=75)
    assert "BusyError: Expected no other run in this clone" in refused

    os.killpg(driver.pid, signal.SIGKILL)
    driver.wait()
    until(lambda: processes(project) == [])
    assert recorded(project) == ["dapo-0", "recap-0"]
    assert half_written(project) == []

    for cell in ("recap-1", "dapo-1"):
        (project / f"hold/train@{cell}").unlink()
    before = log(project)
    said = sweep_run(project, api)
    assert "0 shared stages and 2 cells to run" in said
    assert sorted(log(project)[len(before) :]) == stages_of("recap-1", "dapo-1")
    assert recorded(project) == sorted(CELLS)


@pytest.mark.parametrize(
    ("sweep", "arguments", "code", "words"),
    [
        ({}, ["plan", "--axis", "beta"], 2, "Expected an axis among alpha, got 'beta'."),
        ({}, ["run", "--seeds", "a"], 2, "Expected seeds as numbers, e.g. --seeds 0,2, got 'a'."),
        ({"seeds": []}, ["run"], 2, "sweep.seeds"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_runs(tmp_path, sweep, arguments, code, words):
    """What is refused in which words: test_sweeps_section.py and test_sweeps_design.py."""
    project = make_sweep_project(tmp_path / "project", **sweep)
    said = recap(project, "sweep", *arguments, code=code)
    assert words in said and "Traceback" not in said
    assert not (project / FOLDER).exists()


@pytest.mark.slow
def test_a_broken_record_is_named(project):
    (project / LEDGER / "dapo-1.json").write_text("{")
    said = recap(project, "sweep", "plan", code=2)
    assert "experiments/records/microworld/dapo-1.json" in said and "Traceback" not in said


@pytest.mark.slow
def test_a_pool_needs_a_server_commits_and_a_remote(fresh):
    said = recap(fresh, "sweep", "run", "--pool", "many", code=2)
    assert "Expected PREFECT_API_URL to name the Prefect server" in said
    nobody = {"PREFECT_API_URL": "http://127.0.0.1:9/api"}  # never asked
    said = recap(fresh, "sweep", "run", "--pool", "many", code=2, **nobody)
    assert "of this clone to be committed" in said and " M params.yaml" in said
    commit(fresh, "the sweep")
    said = recap(fresh, "sweep", "run", "--pool", "many", code=2, **nobody)
    assert "Expected a default DVC remote" in said and "dvc remote add -d" in said
    assert log(fresh, "start") == []


@pytest.mark.slow
def test_a_cell_is_repeated_and_compared(project):
    finished = outputs(project)
    before = log(project)

    recap(project, "sweep", "repeat", "dapo-0")
    assert log(project)[len(before) :] == [
        f"{stage}@dapo-0" for stage in ("train", "attack", "judge", "evaluate")
    ]
    page = (project / "docs/results/determinism.md").read_text()
    assert "**6 of 6 files are bit-equal.**" in page
    assert "| train | `models/trained/dapo-0` | 1 | yes |" in page

    recap(project, "sweep", "repeat", "dapo-0", REWARD="0.25")
    page = (project / "docs/results/determinism.md").read_text()
    assert "**5 of 6 files are bit-equal.**" in page
    assert "| train | `results/train/dapo-0.jsonl` | 1 | no (it: reward) |" in page

    assert outputs(project) == finished
    assert not (project / ".recap/repeat").exists()
    said = recap(project, "sweep", "repeat", "best-0", code=2)
    assert "Expected a cell of the sweep, for instance recap-0, got 'best-0'." in said
    (project / FOLDER / "results/rates/dapo-0.json").unlink()
    said = recap(project, "sweep", "repeat", "dapo-0", code=2)
    assert "Expected dapo-0 to be computed here, found no" in said
    assert (
        "Remove experiments/records/microworld/dapo-0.json and `recap sweep run` computes it"
        in said
    )
