"""A clone with a small sweep and a ledger written by hand, for tests. Not a test."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from recap.analysis.axes import Key
from recap.params.whole import Params
from recap.pipeline.lock import digest
from recap.sweeps.design import Cell
from recap.sweeps.ledger import (
    LEDGER,
    Answers,
    Cost,
    Ledger,
    Measured,
    Origin,
    Question,
    Questions,
)
from recap.sweeps.project import read_project
from recap.types.results import CellResult

ROOT = Path(__file__).parents[2]
SWEEP: dict[str, Any] = {
    "around": "recap",
    "design": "one_at_a_time",
    "axes": {"alpha": [0.0, 0.5]},
    "seeds": [0, 1],
    "overlay": {"attack": {"benchmarks": ["prefill", "benign"]}},
}
UNKNOWN = Cost(seconds={}, cpu_seconds=None)
ORIGIN = Origin(commit=None, lock="", stages={}, data={})


def values(**changes: Any) -> dict[str, Any]:
    """The project's own parameters with the small sweep, and ``changes`` in it."""
    return {**_document(), "sweep": {**SWEEP, **changes}}


@cache
def _document() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    return found


def params(**changes: Any) -> Params:
    """The same, checked."""
    return Params.model_validate(values(**changes))


def clone(folder: Path, **changes: Any) -> Path:
    """A clone that asks for the small sweep; its code is the project's own."""
    folder.mkdir(parents=True, exist_ok=True)
    set_sweep(folder, **changes)
    for name in ("dvc.yaml", ".dvcignore"):
        shutil.copy(ROOT / name, folder / name)
    (folder / "recap").symlink_to(ROOT / "recap")
    return folder


def set_sweep(folder: Path, **changes: Any) -> None:
    """Write its parameters again, with ``changes`` in the section ``sweep``."""
    (folder / "params.yaml").write_text(yaml.safe_dump(values(**changes), sort_keys=False))


def asked(benchmarks: Mapping[Key, str]) -> Questions:
    """A question for each answer; every prompt has an object of its own."""
    found = {
        f"{name}/{place}": [
            Question(prompt_id=f"p{n}", sample=0, cluster=f"c{n}") for n in range(len(answers))
        ]
        for (name, place), answers in benchmarks.items()
    }
    plain = {key: [row.model_dump() for row in rows] for key, rows in found.items()}
    return Questions(digest=digest(plain), asked=found)


def measured(
    cell: Cell, benchmarks: Mapping[Key, str], fingerprint: str, cost: Cost = UNKNOWN
) -> Measured:
    """A cell whose prompts came to ``1``, ``0`` or ``?``."""
    return Measured(
        variant=cell.variant,
        seed=cell.seed,
        fingerprint=fingerprint,
        settings={},
        questions=asked(benchmarks).digest,
        result=CellResult(variant=cell.variant, seed=cell.seed, results=[]),
        answers=[
            Answers(
                benchmark=name,
                place=place,
                success=answers,
                reflected="?" * len(answers),
                tokens=None,
            )
            for (name, place), answers in benchmarks.items()
        ],
        curve={},
        dynamics=None,
        cost=cost,
        origin=ORIGIN,
    )


def record(
    root: Path,
    cell: Cell,
    prefill: str,
    benign: str,
    *,
    fingerprint: str | None = None,
    cost: Cost = UNKNOWN,
) -> None:
    """Keep a cell in the clone's ledger, as its code would make it unless told otherwise."""
    benchmarks: dict[Key, str] = {("prefill", 1): prefill, ("benign", 1): benign}
    own = fingerprint or read_project(root).fingerprints()[cell]
    Ledger(root / LEDGER).write(measured(cell, benchmarks, own, cost), asked(benchmarks))


def extend(root: Path, cell: Cell, **more: Any) -> None:
    """Lay fields over those of a recorded cell."""
    ledger = Ledger(root / LEDGER)
    found = ledger.read(cell)
    assert found is not None
    ledger.write(found.model_copy(update=more), ledger.questions(found.questions))
