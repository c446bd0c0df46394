"""How often the gate's non-inferiority passes, by simulation from the sweep's recorded outcomes.

    python -m tests.bench.gate

One trial takes a training of RECAP and one of DAPO, exchanges the two at random on each request
object (so that neither is better), lets the candidate fail at random until it is worse by the true
difference, draws whole request objects until there are n prompts, and asks ``non_inferior``.
Prints Markdown for docs/decisions/0010-the-gates-evidence.md.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from recap.analysis.axes import Key
from recap.analysis.comparison import compare, non_inferior
from recap.sweeps.design import Cell
from recap.sweeps.ledger import LEDGER, Ledger, evidence
from recap.types.verdicts import Outcome

BENCHMARKS: tuple[Key, ...] = (("math", 1), ("benign", 1))
SEEDS = (0, 1, 2)
MARGINS = (0.03, 0.05, 0.1)
ROWS = (20, 100, 320, 640)
TRIALS = 360
RESAMPLES = 1000

Pair = tuple[bool, bool]


def main() -> None:
    """Print the share of trials that pass for each benchmark, n, margin and true difference."""
    ledger = Ledger(Path(LEDGER))
    cells = [ledger.read(Cell(name, seed)) for name in ("recap", "dapo") for seed in SEEDS]
    found = evidence([cell for cell in cells if cell], ledger, resamples=1, seed=0).outcomes
    print("| benchmark | prompts | margin | no difference | −margin | −2 · margin |")  # noqa: RUF001 - a minus sign is meant
    print("|---|---|---|---|---|---|")
    for key, rows in itertools.product(BENCHMARKS, ROWS):
        pairings = [
            _objects(found["recap", ours][key], found["dapo", theirs][key])
            for ours, theirs in itertools.product(SEEDS, SEEDS)
        ]
        for margin in MARGINS:
            shares = [_passed(pairings, rows, margin, times * margin) for times in (0, 1, 2)]
            said = " | ".join(f"{100 * share:.1f} %" for share in shares)
            print(f"| {key[0]} | {rows} | {100 * margin:.0f} points | {said} |", flush=True)


def _objects(ours: Sequence[Outcome], theirs: Sequence[Outcome]) -> list[list[Pair]]:
    """The pairs of each request object."""
    twins = {row.prompt_id: row.success for row in theirs}
    found: dict[str, list[Pair]] = {}
    for row in ours:
        pair = bool(row.success), bool(twins[row.prompt_id])
        found.setdefault(row.cluster or row.prompt_id, []).append(pair)
    return list(found.values())


def _passed(pairings: Sequence[list[list[Pair]]], rows: int, margin: float, worse: float) -> float:
    generator = np.random.default_rng(0)
    passed = 0
    for trial in range(TRIALS):
        ours, theirs = _draw(pairings[trial % len(pairings)], rows, worse, generator)
        found = compare("simulated", 1, ours, theirs, resamples=RESAMPLES, seed=trial).difference
        passed += found is not None and non_inferior(found, margin) == "yes"
    return passed / TRIALS


def _draw(
    objects: list[list[Pair]], rows: int, worse: float, generator: np.random.Generator
) -> tuple[list[Outcome], list[Outcome]]:
    """Outcomes of n prompts, of which the first policy's are worse by ``worse`` on average."""
    good = np.mean([(ours + theirs) / 2 for pairs in objects for ours, theirs in pairs])
    ours: list[Outcome] = []
    theirs: list[Outcome] = []
    for name in itertools.count():
        pairs = objects[generator.integers(len(objects))]
        swapped = generator.random() < 0.5
        for pair in pairs:
            if len(ours) == rows:
                return ours, theirs
            first, second = pair[::-1] if swapped else pair
            first = first and bool(generator.random() >= worse / good)
            for cell, success in ((ours, first), (theirs, second)):
                cell.append(_outcome(len(cell), f"object {name}", success))
    raise AssertionError("an endless count ended")


def _outcome(place: int, cluster: str, success: bool) -> Outcome:
    return Outcome(
        prompt_id=str(place),
        benchmark="simulated",
        place=1,
        cluster=cluster,
        success=success,
        reflected=None,
        reflection_position=None,
    )


if __name__ == "__main__":
    main()
