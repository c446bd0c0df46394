"""Stage ``judge``: completions -> verdicts. A new judge needs no new completions.

The second judge adds verdicts on the domains that it knows.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from recap.judges.registry import open_judge
from recap.params.whole import read_params
from recap.rows import read_rows, write_rows
from recap.runtime.stage import run_stage
from recap.types.attacks import Completion
from recap.types.verdicts import Verdict


def main(
    completions: Annotated[Path, typer.Option(help="Completions of one cell.")],
    guardian: Annotated[Path, typer.Option(help="Directory of the guardian (judge: guardian).")],
    out: Annotated[Path, typer.Option(help="Verdicts, one a line, in the order of completions.")],
    second_out: Annotated[
        Path, typer.Option("--second", help="Verdicts of the second judge; empty without one.")
    ],
) -> None:
    """Label every completion with the judge of ``judge.judge``, then with ``judge.second``."""
    params = read_params()
    rows = read_rows(completions, Completion)
    close = params.models.reasoning.close
    closing = sum(close in (row.response or "") for row in rows)
    if closing:
        print(
            f"{closing} of {len(rows)} answers contain a second {close}: the whole answer is "
            "judged, including the text before this tag, because a reader sees it.",
            file=sys.stderr,
        )
    found: dict[Path, list[Verdict]] = {out: [], second_out: []}
    for path, name in ((out, params.judge.judge), (second_out, params.judge.second)):
        if name is None:
            continue
        judge = open_judge(
            name, world=params.world, seed=params.seed, guardian=guardian, settings=params.judge
        )
        known = rows if path == out else [row for row in rows if row.domain in judge.domains]
        found[path] = judge.judge(known)
        if path == out and params.judge.thoughts:
            found[path] = judge.judge_thoughts(known, found[path])
        counts = Counter(verdict.label or "unscored" for verdict in found[path])
        said = ", ".join(f"{label} {count}" for label, count in sorted(counts.items()))
        print(f"{judge.name}: {said}", file=sys.stderr)
        judge.account(out.stem)
    for path, verdicts in found.items():
        write_rows(path, verdicts)


if __name__ == "__main__":
    run_stage(main)
