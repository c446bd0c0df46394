"""Stage ``judge``: completions -> verdicts. Apart from ``attack``: a new judge samples nothing."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from recap.judges.registry import open_judge
from recap.params import read_params
from recap.rows import read_rows, write_rows
from recap.stages.process import run_stage
from recap.types import Completion


def main(
    completions: Annotated[Path, typer.Option(help="Completions of one cell.")],
    guardian: Annotated[Path, typer.Option(help="Directory of the guardian (judge: guardian).")],
    out: Annotated[Path, typer.Option(help="Verdicts, one a line, in the order of completions.")],
) -> None:
    """Label every completion with the judge of ``judge.judge``."""
    params = read_params()
    rows = read_rows(completions, Completion)
    judge = open_judge(params.judge.judge, world=params.world, seed=params.seed, guardian=guardian)
    verdicts = judge.judge(rows)
    counts = Counter(verdict.label or "unscored" for verdict in verdicts)
    said = ", ".join(f"{label} {count}" for label, count in sorted(counts.items()))
    print(f"{judge.name}: {said}", file=sys.stderr)
    write_rows(out, verdicts)


if __name__ == "__main__":
    run_stage(main)
