"""Stage ``gate``: the outcomes of the candidate and of the other variants -> the decision."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from recap.analysis.gate import CellOutcomes, decide
from recap.params.checks import check_gate
from recap.params.whole import read_params
from recap.rows import read_rows, write_json
from recap.runtime.stage import run_stage
from recap.types.verdicts import Outcome


def main(
    outcomes: Annotated[Path, typer.Option(help="Folder of the cells' outcomes.")],
    out: Annotated[Path, typer.Option(help="The decision.")],
) -> None:
    """Decide whether the candidate may become challenger."""
    params = read_params()
    gate = params.gate
    check_gate(gate, params.matrix, params.attack)

    def cell(variant: str) -> CellOutcomes:
        name = f"{variant}-{gate.seed}"
        return CellOutcomes(name, read_rows(outcomes / f"{name}.jsonl", Outcome))

    others = {gate.baseline, *(check.against for check in gate.checks if check.against)}
    decision = decide(
        cell(gate.candidate),
        {variant: cell(variant) for variant in sorted(others)},
        gate,
        resamples=params.evaluate.bootstrap,
        seed=params.seed,
    )
    for check in decision.checks:
        said = "yes" if check.passed else "NO "
        lacking = f"; not enough evidence: needs {check.lacking}" if check.lacking else ""
        print(f"{said}  {check.name}: {check.measured}{lacking}", file=sys.stderr)
    write_json(out, decision)


if __name__ == "__main__":
    run_stage(main)
