"""Lineage from a real SQLite store: of a version, of an alias, of a cell, of a run; read only."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from recap.cli import publish as publishing
from recap.errors import GateError
from recap.tracking.lineage import told, trace
from recap.tracking.runs import EXPERIMENT, open_store
from tests.integration.registry_project import NAME, make_registry_project


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files of a finished run, without a store."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return make_registry_project(tmp_path)


def test_the_lineage_of_a_version_and_of_a_run(project: Path) -> None:
    runs = publishing.publish(project).runs
    version = trace(project, "challenger")
    assert list(version) == ["model", "licences", "data", "code", "parameters", "prefills"]
    assert version["licences"] == {"data.microworld": "the project's own"}
    assert trace(project, "1") == version
    (file,) = json.loads((project / "results/registered.json").read_text())["files"]
    assert version["model"] == {
        "name": NAME,
        "version": "1",
        "aliases": "challenger",
        "candidate": "recap-0",
        "gate": "passed",
        "files": {"model.safetensors": file["md5"]},
    }
    assert version["data"] == {"data/prompts/eval.jsonl": "eval-1"}
    assert sorted(version["code"]["stages"]) == ["prepare", "train"]
    assert version["parameters"]["train.alpha"] == "0.5"
    assert version["prefills"]["prefill_source"] == "counter"

    run = trace(project, "recap-0")
    assert run["model"]["run"] == runs["recap-0"] and run["model"]["made from"] == "microworld"
    assert trace(project, runs["recap-0"]) == run
    assert run["data"] == version["data"] and run["code"] == version["code"]
    assert run["prefills"] == version["prefills"] and run["licences"] == version["licences"]
    assert trace(project, "dapo-0")["parameters"]["train.alpha"] == "0.0"

    lines = list(told(version))
    assert "    model.safetensors: " + file["md5"] in lines
    assert "  prefill_source: counter" in lines
    with pytest.raises(GateError) as refused:
        trace(project, "best")
    assert str(refused.value) == (
        f"Expected a version of {NAME}, an alias, a cell or a run's id, got 'best'. There are "
        "versions 1; aliases challenger (1). There are cells base-0, dapo-0, recap-0."
    )


def test_a_lineage_without_a_store_makes_none(project: Path) -> None:
    with pytest.raises(GateError, match="found no such store"):
        trace(project, "1")
    assert not (project / "mlflow.db").exists()


def test_a_lineage_leaves_an_empty_store_as_it_is(project: Path) -> None:
    with open_store(project):
        pass
    with pytest.raises(GateError, match="got 'recap-0'"):
        trace(project, "recap-0")
    with open_store(project) as client:
        assert client.get_experiment_by_name(EXPERIMENT) is None
