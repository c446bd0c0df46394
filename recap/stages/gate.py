"""Stage ``gate``: rates and outcomes of candidate, baseline and base -> the decision."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from recap.gate import Cell, decide
from recap.params import check_gate, read_params
from recap.rows import read_json, read_rows, write_json
from recap.stages.process import run_stage
from recap.types import CellResult, Outcome

BASE = "base"
"""The variant of zero updates: what every policy started from."""


def main(
    rates: Annotated[Path, typer.Option(help="Folder of the cells' rates.")],
    outcomes: Annotated[Path, typer.Option(help="Folder of the cells' outcomes.")],
    out: Annotated[Path, typer.Option(help="The decision.")],
) -> None:
    """Decide whether the candidate may become challenger."""
    params = read_params()
    gate = params.gate
    check_gate(gate, params.matrix)

    def cell(variant: str) -> Cell:
        name = f"{variant}-{gate.seed}"
        return Cell(
            read_json(rates / f"{name}.json", CellResult),
            read_rows(outcomes / f"{name}.jsonl", Outcome),
        )

    decision = decide(
        cell(gate.candidate),
        cell(gate.baseline),
        cell(BASE).result if BASE in params.matrix.variants else None,
        gate,
        resamples=params.evaluate.bootstrap,
        seed=params.seed,
    )
    for check in decision.checks:
        print(
            f"{'yes' if check.passed else 'NO '}  {check.name}: {check.measured}", file=sys.stderr
        )
    write_json(out, decision)


if __name__ == "__main__":
    run_stage(main)
