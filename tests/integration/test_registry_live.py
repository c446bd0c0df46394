"""Live runs on a real SQLite store: a mirror becomes the finished run; no other is closed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from recap.cli import publish as publishing
from recap.params.whole import read_params
from recap.tracking import registry
from recap.tracking.runs import open_store, owner, start_run
from tests.integration.registry_project import make_registry_project, write_lines


@pytest.fixture
def project(tmp_path: Path, fresh_store: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files of a finished run, and an empty store."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copy(fresh_store, tmp_path / "mlflow.db")
    return make_registry_project(tmp_path)


def test_a_live_mirror_becomes_the_finished_run(project: Path) -> None:
    live = project / ".recap/train/recap-0.live.jsonl"
    write_lines(live, 1, tokens_per_second=7000.0)
    looks = iter([False, False, True])
    grown = iter([2, 3, 3])

    def stopped() -> bool:
        write_lines(live, next(grown, 3), tokens_per_second=7000.0)
        return next(looks, True)

    publishing.follow(project, stopped, pytest.fail)
    receipt = publishing.publish(project)
    with open_store(project) as client:
        experiment = client.get_experiment_by_name("recap").experiment_id
        runs = client.search_runs([experiment], "tags.cell = 'recap-0'")
        speeds = client.get_metric_history(receipt.runs["recap-0"], "tokens_per_second")
        rewards = client.get_metric_history(receipt.runs["recap-0"], "reward")
    assert [run.info.run_id for run in runs] == [receipt.runs["recap-0"]]
    assert [(point.step, point.value) for point in speeds] == [(n, 7000.0) for n in (1, 2, 3)]
    assert [(point.step, point.value) for point in rewards] == [(1, 0.1), (2, 0.2), (3, 0.3)]


def test_only_ones_own_unfinished_mirror_is_closed(project: Path) -> None:
    """Not another clone's, not of another world, not of whom nobody knows."""
    mine = owner(project, read_params(project / "params.yaml"))
    begun = {
        "mine": mine,
        "another clone's": {**mine, "clone": "0" * 16},
        "another world's": {**mine, "world": "0" * 16},
        "nobody's": {},
    }
    with open_store(project) as client:
        experiment = registry.experiment_id(client, project)
        runs = {who: start_run(client, experiment, "recap-0", own) for who, own in begun.items()}
    receipt = publishing.publish(project)
    with open_store(project) as client:
        ended = {who: client.get_run(run).info.status for who, run in runs.items()}
    assert ended.pop("mine") == "KILLED"
    assert set(ended.values()) == {"RUNNING"}
    assert receipt.runs["recap-0"] not in runs.values()


def test_a_copy_of_a_clone_is_another_clone(project: Path, tmp_path: Path) -> None:
    params = read_params(project / "params.yaml")
    mine = owner(project, params)
    assert owner(project, params) == mine
    shutil.copytree(project / ".recap", tmp_path / "copy/.recap")
    theirs = owner(tmp_path / "copy", params)
    assert theirs["world"] == mine["world"] and theirs["clone"] != mine["clone"]
    assert owner(project, params.model_copy(update={"seed": 9}))["world"] != mine["world"]
