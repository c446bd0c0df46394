"""Stage ``gate``: rates and outcomes of candidate, baseline and base -> the decision."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from recap.errors import ParameterError, choices
from recap.gate import Cell, decide
from recap.params import Gate, Matrix, read_params
from recap.rows import read_json, read_rows, write_json
from recap.stages.process import run_stage
from recap.types import CellResult, Outcome

BASE = "base"
"""The variant of zero updates: what every policy started from."""


def check_cells(gate: Gate, matrix: Matrix) -> None:
    """Raise ParameterError unless the gate's two cells are made and are two."""
    for key, variant in (("candidate", gate.candidate), ("baseline", gate.baseline)):
        if variant not in matrix.variants:
            raise ParameterError(
                f"Expected gate.{key} among matrix.variants ({choices(matrix.variants)}), got "
                f"'{variant}'. Add it to matrix.variants or name another one."
            )
    if gate.seed not in matrix.seeds:
        raise ParameterError(
            f"Expected gate.seed among matrix.seeds ({choices(map(str, matrix.seeds))}), got "
            f"{gate.seed}. Add it to matrix.seeds or choose another one."
        )
    if gate.candidate == gate.baseline:
        raise ParameterError(
            f"Expected two variants in gate.candidate and gate.baseline, got '{gate.candidate}' "
            "twice. Name another baseline."
        )


def main(
    rates: Annotated[Path, typer.Option(help="Folder of the cells' rates.")],
    outcomes: Annotated[Path, typer.Option(help="Folder of the cells' outcomes.")],
    out: Annotated[Path, typer.Option(help="The decision.")],
) -> None:
    """Decide whether the candidate may become challenger."""
    params = read_params()
    gate = params.gate
    check_cells(gate, params.matrix)

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
