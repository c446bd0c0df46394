"""What a store gets of recorded cells, from the ledger alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from recap.sweeps.design import Cell
from recap.sweeps.ledger import LEDGER, Ledger
from recap.sweeps.project import read_project
from recap.sweeps.tracked import read_tracked_sweep
from tests.unit.sweep_ledger import ROOT, clone, extend, record


def test_a_curve_is_a_line_for_each_update_and_none_without_training(tmp_path: Path) -> None:
    root = clone(tmp_path / "clone", axes={"alpha": [0.5]}, variants=["base"], seeds=[0])
    curves: dict[str, dict[str, list[float | None]]] = {
        "recap": {"reward": [0.25, 0.5, 1.0], "kl": [None, 0.125, None]},
        "base": {},
    }
    for variant, curve in curves.items():
        record(root, Cell(variant, 0), "10", "11")
        extend(root, Cell(variant, 0), curve=curve)
    sweep = read_tracked_sweep(root)
    assert sweep.cells == 2
    assert {run.name: run.curve for run in sweep.records} == {
        "sweep/recap-0": [
            {"update": 1.0, "reward": 0.25},
            {"update": 2.0, "reward": 0.5, "kl": 0.125},
            {"update": 3.0, "reward": 1.0},
        ],
        "sweep/base-0": [],
    }


@pytest.mark.slow
def test_the_committed_ledger_makes_a_run_for_each_recorded_cell() -> None:
    project, ledger = read_project(ROOT), Ledger(ROOT / LEDGER)
    prints = project.fingerprints()
    known = {cell: ledger.read(cell) for cell in prints}
    recorded = [f"sweep/{c.name}" for c, m in known.items() if m and m.fingerprint == prints[c]]
    records = read_tracked_sweep(ROOT).records
    assert [run.name for run in records] == recorded
    for run in records:
        assert run.tags["dvc_lock"] and run.data and run.result.results
        assert len(run.curve) == int(run.settings["train.updates"])
