"""``python -m recap.cli.keep CELL``: the process that ``recap keep`` starts.

Adds the attacks that succeeded against a cell of the last run to the file ``attack.replay``. Only
contexts in which the failed policy wrote nothing are kept (``Attack.replayable``): a reset or a
search means another thing to another policy. Left out are incomplete answers, which are failures
and no success of an attack, and benchmarks that may use thoughts of training (``exempt``).
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from recap.attacks.kept import read_kept
from recap.attacks.table import attack_of
from recap.benchmarks.declared import BENCHMARKS
from recap.errors import DataError, ParameterError, choices
from recap.judges.judge import FAILURE
from recap.models.spelling import clone_of
from recap.params.whole import Params, read_params
from recap.pipeline.lock import file_md5, read_lineage
from recap.rows import iter_rows, write_rows
from recap.runtime.locks import exclusive, sole_run
from recap.runtime.stage import run_stage
from recap.types.attacks import Completion, KeptAttack, attack_id
from recap.types.verdicts import Verdict, answer_key


def main(
    cell: Annotated[str, typer.Argument(help="The cell whose failures are kept, e.g. recap-0.")],
) -> None:
    """Add a cell's failures to the file of kept attacks."""
    params = read_params()
    place = _file(params)
    cells = [f"{v}-{s}" for v in params.matrix.variants for s in params.matrix.seeds]
    if cell not in cells:
        raise DataError(f"Expected a cell among {choices(cells)}, got '{cell}'.")
    with sole_run(Path()):
        found = succeeded(*_judged(cell), cell)
    if place.is_dir():
        raise ParameterError(f"Expected attack.replay to name a file, got the folder {place}.")
    with exclusive(place.with_name(f".{place.name}.lock")):
        before = read_kept(place) if place.is_file() else []
        after = merged(before, found)
        if len(after) > len(before):
            write_rows(place, after)
    by_benchmark = Counter(attack.benchmark for attack in found)
    for name, count in sorted(by_benchmark.items()):
        print(f"{name}: {count} attacks succeeded against {cell}")
    new = len(after) - len(before)
    print(f"{place}: {new} attacks added, {len(found) - new} were there, {len(after)} in all")
    print("It holds harmful prompts and thoughts in clear text.", file=sys.stderr)


def _judged(cell: str) -> tuple[Iterator[Completion], Iterator[Verdict]]:
    """The cell's answers and verdicts; raises DataError unless the last run judged them."""
    paths = [Path(f"data/{kind}/{cell}.jsonl") for kind in ("completions", "verdicts")]
    entry = read_lineage(Path()).stages.get(f"judge@{cell}", {})
    known = {each["path"]: each["md5"] for each in (*entry.get("deps", ()), *entry.get("outs", ()))}
    for path in paths:
        if not path.is_file() or known.get(path.as_posix()) != file_md5(path):
            raise DataError(
                f"Expected {path} as the last run's judge left it, got "
                f"{'another file' if path.is_file() else 'none'}. Run `recap run` first."
            )
    completions, verdicts = paths
    return iter_rows(completions, Completion), iter_rows(verdicts, Verdict)


def _file(params: Params) -> Path:
    if params.attack.replay is None:
        raise ParameterError(
            "Expected attack.replay in params.yaml to name the file of kept attacks, got null. Set "
            "it, for instance `replay: kept/attacks.jsonl`, and run the command again."
        )
    return clone_of(Path.cwd()) / params.attack.replay


def succeeded(
    completions: Iterable[Completion], verdicts: Iterable[Verdict], cell: str
) -> list[KeptAttack]:
    """The attacks that succeeded against the policy of ``cell``, each once, in order; no sums.

    Raises DataError for a completion without a verdict.
    """
    said = {answer_key(verdict): verdict for verdict in verdicts}
    found: dict[str, KeptAttack] = {}
    for row in completions:
        benchmark = BENCHMARKS.get(row.benchmark)
        if benchmark is None or benchmark.domain == "math" or benchmark.exempt:
            continue
        if not attack_of(benchmark).replayable:
            continue
        verdict = said.get(answer_key(row))
        if verdict is None:
            raise DataError(
                f"Expected a verdict on {row.benchmark}/{row.prompt_id} of {cell}, found none. "
                "Run the judge stage again."
            )
        if not row.incomplete and verdict.label == FAILURE[row.domain]:
            kept = _kept(row, cell, verdict.judge)
            found.setdefault(kept.id, kept)
    return list(found.values())


def merged(kept: Sequence[KeptAttack], further: Sequence[KeptAttack]) -> list[KeptAttack]:
    """Both, without those of ``further`` that are kept already."""
    known = {attack.id for attack in kept}
    return [*kept, *(attack for attack in further if attack.id not in known)]


def _kept(row: Completion, cell: str, judge: str) -> KeptAttack:
    return KeptAttack(
        id=attack_id(row.domain, row.prompt, row.prefill, row.thought_closed),
        prompt_id=row.prompt_id,
        domain=row.domain,
        cluster=row.cluster,
        prompt=row.prompt,
        prefill=row.prefill,
        thought_closed=row.thought_closed,
        benchmark=row.benchmark,
        cell=cell,
        judge=judge,
    )


if __name__ == "__main__":
    run_stage(main)
