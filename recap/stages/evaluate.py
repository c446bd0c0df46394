"""Stage ``evaluate``: completions and verdicts of one cell -> rates, outcomes, agreement."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from recap.errors import JudgeError
from recap.evaluation.constancy import constant_judges, same_score
from recap.evaluation.metrics import cell_result, outcomes
from recap.evaluation.second_judge import Pair, cell_agreement, paired
from recap.evaluation.unscored import refuse_unscored
from recap.params.whole import read_params
from recap.rows import read_rows, write_json, write_rows
from recap.runtime.stage import run_stage
from recap.types.attacks import Completion
from recap.types.verdicts import Verdict


def main(
    completions: Annotated[Path, typer.Option(help="Completions of the cell.")],
    verdicts: Annotated[Path, typer.Option(help="Verdicts on them.")],
    second: Annotated[Path, typer.Option(help="The second judge's verdicts on them.")],
    variant: Annotated[str, typer.Option(help="The cell's variant.")],
    seed: Annotated[int, typer.Option(help="The cell's replicate seed.")],
    rates: Annotated[Path, typer.Option(help="The cell's rates, one JSON document.")],
    outcomes_out: Annotated[Path, typer.Option("--outcomes", help="Outcomes, one a line.")],
    agreement: Annotated[Path, typer.Option(help="Agreement of the two judges.")],
) -> None:
    """Measure every benchmark of a cell."""
    params = read_params()
    rows = read_rows(completions, Completion)
    labels = read_rows(verdicts, Verdict)
    found = outcomes(rows, labels)
    refuse_unscored(rows, labels, params.evaluate)
    pairs = paired(rows, labels, read_rows(second, Verdict))
    _refuse_constant(rows, labels, pairs)
    result = cell_result(
        rows,
        found,
        variant=variant,
        replicate=seed,
        settings=params.evaluate,
        seed=params.seed,
    )
    agreed = cell_agreement(
        pairs, variant=variant, replicate=seed, settings=params.evaluate, seed=params.seed
    )
    write_json(rates, result)
    write_rows(outcomes_out, found)
    write_json(agreement, agreed)


def _refuse_constant(
    rows: Sequence[Completion], labels: Sequence[Verdict], pairs: Sequence[Pair]
) -> None:
    """Raise JudgeError if the first judge cannot tell answers apart; warn if the second cannot."""
    ours, theirs = constant_judges(pairs)
    first = same_score(list(zip(rows, labels, strict=True))) or next(map(str, ours), None)
    if first:
        raise JudgeError(f"Expected a judge that tells answers apart, but {first}.")
    second = same_score([(row, found) for row, _, found in pairs])
    for warning in [*([second] if second else []), *map(str, theirs)]:
        print(f"warning: the second {warning}", file=sys.stderr)


if __name__ == "__main__":
    run_stage(main)
