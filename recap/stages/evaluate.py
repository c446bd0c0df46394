"""Stage ``evaluate``: completions and verdicts of one cell -> rates with intervals, outcomes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from recap.evaluation.metrics import cell_result, outcomes
from recap.params import read_params
from recap.rows import read_rows, write_json, write_rows
from recap.stages.process import run_stage
from recap.types import Completion, Verdict


def main(
    completions: Annotated[Path, typer.Option(help="Completions of the cell.")],
    verdicts: Annotated[Path, typer.Option(help="Verdicts on them.")],
    variant: Annotated[str, typer.Option(help="The cell's variant.")],
    seed: Annotated[int, typer.Option(help="The cell's replicate seed.")],
    rates: Annotated[Path, typer.Option(help="The cell's rates, one JSON document.")],
    outcomes_out: Annotated[Path, typer.Option("--outcomes", help="Outcomes, one a line.")],
) -> None:
    """Measure every benchmark of a cell."""
    params = read_params()
    rows = read_rows(completions, Completion)
    found = outcomes(rows, read_rows(verdicts, Verdict))
    result = cell_result(
        rows,
        found,
        variant=variant,
        replicate=seed,
        settings=params.evaluate,
        seed=params.seed,
    )
    write_json(rates, result)
    write_rows(outcomes_out, found)


if __name__ == "__main__":
    run_stage(main)
