"""The debug profile: what it lays over params.yaml, and a whole run of it.

1. The profile fits the parameters, changes what it names, and takes nothing from elsewhere.
2. One batch's loss falls, the trace has the update's work, and the clone's files stay as they were.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from recap.cli.debug import debug_values
from recap.params.document import read_document
from recap.params.whole import read_params
from tests.integration.flow_project import ROOT, call
from tests.parameters import write_params


def clone(folder: Path) -> Path:
    """A folder with the project's profile and parameters that name foreign models and data."""
    foreign = {
        "models.origins": {"policy": "hub/policy"},
        "prepare.sources": {"gsm8k": "hub/gsm8k"},
        "train.optimizer": "grpo",
        "train.aggregation": "batch_tokens",
    }
    write_params(folder, foreign)
    (folder / "infra/profiles").mkdir(parents=True)
    shutil.copy(ROOT / "infra/profiles/debug.yaml", folder / "infra/profiles")
    return folder


def test_the_profile_fits_and_takes_nothing_from_elsewhere(tmp_path: Path) -> None:
    values = debug_values(clone(tmp_path))
    (tmp_path / "made.yaml").write_text(json.dumps(values))
    params = read_params(tmp_path / "made.yaml")
    assert (params.train.updates, params.train.prompts_per_update) == (1, 2)
    assert params.train.optimizer == "grpo"  # the rest is the user's
    assert params.models.origins == params.sources.origins == {}
    assert params.prepare.sources == {"microworld": None}
    assert read_document(tmp_path / "params.yaml")["models"]["origins"] == {"policy": "hub/policy"}


@pytest.mark.slow
def test_a_debug_run_overfits_one_batch_beside_the_clone(tmp_path: Path) -> None:
    clone(tmp_path)
    (tmp_path / "dvc.lock").write_text("schema: '2.0'\n")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    ran = call(tmp_path, "-m", "recap", "run", "--profile", "debug")
    assert ran.returncode == 0, ran.stderr
    found = re.search(r"loss of one batch, step by step: (.+)\n", ran.stdout)
    assert found, ran.stdout
    losses = [float(loss) for loss in found[1].split()]
    assert len(losses) == 21 and losses[-1] < losses[0] - 0.01
    assert "trace of the first update: .recap/debug/trace.json" in ran.stdout
    trace = json.loads((tmp_path / ".recap/debug/trace.json").read_text(encoding="utf-8"))
    names = {event.get("name") for event in trace["traceEvents"]}
    assert {"aten::mm", "autograd::engine::evaluate_function: MmBackward0"} <= names

    outside = {
        path: path.read_bytes()
        for path in tmp_path.rglob("*")
        if path.is_file() and ".recap" not in path.parts
    }
    assert outside == before


def test_a_seed_of_its_own_is_refused(tmp_path: Path) -> None:
    ran = call(clone(tmp_path), "-m", "recap", "run", "--profile", "debug", "--seed", "3")
    assert ran.returncode == 2
    assert "Expected --profile debug without --seed: it has params.yaml's." in ran.stderr
    assert not (tmp_path / ".recap").exists()
