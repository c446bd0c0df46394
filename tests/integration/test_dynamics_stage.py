"""Dynamics measure each update's policy as the other stages would, the end where training ended."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from recap.errors import DataError, ModelError
from recap.models.weights import load_model
from recap.rows import read_json
from recap.stages import dynamics
from recap.types.results import CellResult, DynamicsResult
from tests.integration.evaluation_project import (
    PER_SET,
    make_evaluation_project,
    measure_cell,
    set_params,
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prompts, prefills and three untrained policies."""
    return make_evaluation_project(tmp_path_factory.mktemp("made"))


@pytest.fixture
def here(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy to work in, as the current folder."""
    folder = tmp_path / "clone"
    shutil.copytree(made, folder)
    monkeypatch.chdir(folder)
    return folder


def _dynamics(here: Path, policy: str, updates: int, kept: dict[int, str]) -> DynamicsResult:
    """Of a cell that made ``updates``; its policies are those of the folders named."""
    (here / "kept").mkdir()
    for update, name in kept.items():
        shutil.copytree(here / name, here / f"kept/update-{update:06d}")
    (here / "train.jsonl").write_text("{}\n" * updates)
    dynamics.main(
        variant="recap",
        seed=0,
        base=here / "base",
        kept=here / "kept",
        policy=here / policy,
        metrics=here / "train.jsonl",
        prompts=here / "eval.jsonl",
        train=here / "seen.jsonl",
        prefills=here / "prefills",
        pools=here / "pools",
        guardian=here / "guardian",
        out=here / "dynamics.json",
    )
    return read_json(here / "dynamics.json", DynamicsResult)


def test_dynamics_are_what_the_other_stages_measure(here: Path) -> None:
    both = ["jailbreak", "prefill"]
    set_params(here, attack={"benchmarks": both}, dynamics={"benchmarks": both, "prompts": PER_SET})
    model = load_model(here / "dapo")
    with torch.no_grad():  # it ends sooner than the others, so that its numbers differ
        model.lm_head.weight[model.config.eos_token_id] *= 60
    model.save_pretrained(here / "dapo")
    found = _dynamics(here, "recap", updates=45, kept={20: "dapo", 40: "base"})
    assert [each.update for each in found.snapshots] == [0, 20, 40, 45]
    assert (found.variant, found.seed) == ("recap", 0)
    for each, policy in zip(found.snapshots, ("base", "dapo", "base", "recap"), strict=True):
        measure_cell(here, policy)
        expected = read_json(here / f"rates/{policy}-0.json", CellResult).results
        assert each.results == expected
    assert found.snapshots[0].results != found.snapshots[1].results


def test_dynamics_take_some_of_the_prompts_the_same_for_all_policies(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    run_attacks = dynamics.run_attacks

    def spy(selections, *arguments, **options):  # type: ignore[no-untyped-def]
        asked.append([[case.record.id for case in each.cases] for each in selections])
        return run_attacks(selections, *arguments, **options)

    monkeypatch.setattr(dynamics, "run_attacks", spy)
    set_params(here, dynamics={"benchmarks": ["prefill", "harmful"], "prompts": 5})
    found = _dynamics(here, "recap", updates=8, kept={4: "dapo"})
    assert [[(row.benchmark, row.rate.n) for row in each.results] for each in found.snapshots] == [
        [("prefill", 5), ("harmful", 5)]
    ] * 3
    assert [len(set(ids)) for ids in asked[0]] == [5, 5]
    assert asked[0] == asked[1] == asked[2]


@pytest.mark.parametrize(("updates", "kept", "expected"), [(0, {}, [0]), (4, {4: "dapo"}, [0, 4])])
def test_a_policy_is_measured_once(
    here: Path, updates: int, kept: dict[int, str], expected: list[int]
) -> None:
    """The untrained variant has one point; a run that ended early may have ended at a snapshot."""
    set_params(here, dynamics={"benchmarks": ["jailbreak"], "prompts": 3})
    found = _dynamics(here, "dapo", updates, kept)
    assert [each.update for each in found.snapshots] == expected


def test_dynamics_without_snapshots_or_metrics(here: Path) -> None:
    arguments = {
        "variant": "recap",
        "seed": 0,
        "base": here / "base",
        "kept": here / "kept",
        "policy": here / "recap",
        "metrics": here / "train.jsonl",
        "prompts": here / "eval.jsonl",
        "train": here / "seen.jsonl",
        "prefills": here / "prefills",
        "pools": here / "pools",
        "guardian": here / "guardian",
        "out": here / "d.json",
    }
    with pytest.raises(ModelError, match="folder of snapshots"):
        dynamics.main(**arguments)  # type: ignore[arg-type]
    (here / "kept").mkdir()
    with pytest.raises(DataError, match=r"train\.jsonl, found none"):
        dynamics.main(**arguments)  # type: ignore[arg-type]
    assert not (here / "d.json").exists()
