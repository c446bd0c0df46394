"""Cells apart from the pipeline: what is finished stays, unless it would come out otherwise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from experiments import cells

PIPELINE = """
stages:
  world:
    cmd: test -n "$PYTHONPATH" && cat params.yaml > world.txt && echo world >> ran.txt
    params: [world]
    deps: [recap/world.py]
    outs: [world.txt]
  train:
    matrix: {variant: "${matrix.variants}"}
    cmd: cat world.txt > ${item.variant}.txt && echo train >> ran.txt
    params: [train, "variants.${item.variant}"]
    deps: [world.txt, recap/rewards, data/never_made.json]
    outs: ["${item.variant}.txt"]
"""
PARAMS: dict[str, Any] = {
    "world": {"reset": 0.1},
    "train": {"tau": 0.9},
    "variants": {"recap": {"alpha": 0.5}, "dapo": {"alpha": 0.0}},
    "judge": {"judge": "oracle"},
}


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository whose stages note that they ran."""
    root = tmp_path / "clone"
    (root / "recap/rewards/__pycache__").mkdir(parents=True)
    (root / "dvc.yaml").write_text(PIPELINE)
    (root / "recap/world.py").write_text("world")
    (root / "recap/rewards/safety.py").write_text("1 - p")
    monkeypatch.setattr(cells, "ROOT", root)
    return root


def measure(folder: Path, **changes: object) -> list[str]:
    """Bring the folder up to parameters and code; returns the stages that ran for it."""
    (folder / "ran.txt").unlink(missing_ok=True)
    cells.prepare_folder(folder, PARAMS | changes)
    cells.run(folder, "world")
    cells.run(folder, "train", variant="recap")
    ran = folder / "ran.txt"
    return ran.read_text().split() if ran.exists() else []


def edit(name: str, text: str) -> Callable[[Path], object]:
    return lambda root: (root / name).write_text(text)


def test_what_is_finished_is_not_run_again(clone: Path, tmp_path: Path) -> None:
    assert measure(tmp_path / "cell") == ["world", "train"]
    assert measure(tmp_path / "cell") == []


@pytest.mark.parametrize(
    ("change", "ran"),
    [
        (edit("recap/rewards/safety.py", "p"), ["train"]),
        (edit("recap/rewards/new.py", ""), ["train"]),
        (edit("recap/rewards/__pycache__/safety.pyc", "x"), []),
        (edit("recap/world.py", "another"), ["world"]),  # it comes out the same
        (edit("dvc.yaml", PIPELINE.replace("cat world", "tac world")), ["train"]),
        (lambda root: (root.parent / "cell/recap.txt").unlink(), ["train"]),
        (lambda root: (root.parent / "cell/world.txt").write_text("by hand"), ["train"]),
    ],
)
def test_what_would_come_out_otherwise_is_run_again(
    change: Callable[[Path], object], ran: list[str], clone: Path, tmp_path: Path
) -> None:
    measure(tmp_path / "cell")
    change(clone)
    assert measure(tmp_path / "cell") == ran
    assert measure(tmp_path / "cell") == []


@pytest.mark.parametrize(
    ("changes", "ran"),
    [
        ({"world": {"reset": 0.2}}, ["world", "train"]),
        ({"train": {"tau": 0.8}}, ["train"]),
        ({"variants": PARAMS["variants"] | {"recap": {}}}, ["train"]),
        ({"variants": PARAMS["variants"] | {"dapo": {}}}, []),
        ({"judge": {"judge": "guardian"}}, []),
    ],
)
def test_other_parameters_run_what_reads_them(
    changes: dict[str, object], ran: list[str], clone: Path, tmp_path: Path
) -> None:
    measure(tmp_path / "cell")
    assert measure(tmp_path / "cell", **changes) == ran


def test_the_reason_is_said(
    clone: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    measure(tmp_path / "cell")
    (clone / "recap/rewards/safety.py").write_text("p")
    measure(tmp_path / "cell", train={"tau": 0.8})
    assert "again: cell train recap, since parameters and code changed" in capsys.readouterr().out


def test_outputs_of_a_run_that_failed_do_not_count(clone: Path, tmp_path: Path) -> None:
    measure(tmp_path / "cell")
    (clone / "dvc.yaml").write_text(PIPELINE.replace("&& echo train", "&& false && echo train"))
    with pytest.raises(SystemExit, match=r"cell train recap failed with exit code 1; see"):
        measure(tmp_path / "cell")
    (clone / "dvc.yaml").write_text(PIPELINE)  # as it was, but recap.txt is of the other command
    assert measure(tmp_path / "cell") == ["train"]


def test_outputs_without_a_record_do_not_count(clone: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cell"
    measure(folder)
    (folder / cells.MADE / "train@recap.json").unlink()
    assert measure(folder) == ["train"]
