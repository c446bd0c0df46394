"""``python -m recap.cli.judge --judge NAME FILE``: the process that ``recap judge`` starts."""

from __future__ import annotations

import errno
import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from recap.cli.judge.record import agreement_of, keep
from recap.cli.judge.show import show, summary
from recap.cli.judge.table import read_table
from recap.cli.judge.work import cases, compare, verdicts
from recap.errors import DataError, ParameterError
from recap.judges.judge import Judge, Means
from recap.judges.registry import find_judge
from recap.params.whole import read_params
from recap.rows import iter_rows, write_rows
from recap.runtime.stage import run_stage
from recap.types.verdicts import Verdict

CLOSED = (
    errno.EACCES,
    errno.EPERM,
    errno.ENOENT,
    errno.EROFS,
    errno.ENOTDIR,
    errno.EEXIST,
    errno.ENAMETOOLONG,
)
"""Error numbers of a place where writing is not allowed."""


def main(
    file: Annotated[Path, typer.Argument(help="CSV or JSON Lines: prompt, completion (target).")],
    judge: Annotated[str, typer.Option(help="Which judge.")],
    label: Annotated[str | None, typer.Option(help="Column with labels to compare with.")] = None,
    out: Annotated[Path | None, typer.Option(help="Where the verdicts go.")] = None,
    guardian: Annotated[Path, typer.Option(help="The guardian's model.")] = Path("models/guardian"),
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    record: Annotated[Path | None, typer.Option(help="File of agreements.")] = None,
) -> None:
    """Judge a file of completions; with labels, measure the judge's agreement with them."""
    chosen = find_judge(judge, "--judge")
    if record is not None and label is None:
        raise ParameterError("Expected --record with --label COLUMN: it keeps the agreement.")
    if record is not None and record.is_dir():
        raise ParameterError(f"Expected --record to name a file, got the folder {record}.")
    needed = ["prompt", "completion"]
    needed += ["target"] if chosen.domains == {"math"} else []
    needed += [label] if label is not None else []
    found = cases(file, read_table(file, needed), chosen, label)
    if out is not None and (out.is_dir() or out.resolve() == file.resolve()):
        raise DataError(f"Expected --out to name a file of its own, got {out}. Name another.")
    places = _places(file, out, judge)
    opened = _open(chosen, guardian)
    given = verdicts(opened, found)
    opened.account(file.stem)
    n_unopened = sum(case.unopened for case in found)
    if n_unopened:
        print(
            f"{n_unopened} of {len(found)} completions have </think> without <think>: the text "
            "before </think> was taken as the thought and not judged. Write <think> before "
            "thoughts, and remove </think> where it belongs to the answer.",
            file=sys.stderr,
        )
    compared = None if label is None else compare(found, given)
    said = summary(given, compared, n_unopened)
    place = _write(places, given)
    if record is not None and label is not None and compared is not None:
        keep(record, agreement_of(file, label, given, compared))
    if as_json:
        print(json.dumps({**said, "verdicts": str(place)}, indent=1, allow_nan=False))
        return
    show(said, label, Console(width=None if sys.stdout.isatty() else 120))
    print(f"Verdicts: {place}")


def _open(judge: type[Judge], guardian: Path) -> Judge:
    if judge.needs != "parameters":
        return judge.open(Means(guardian))
    params = read_params()
    return judge.open(Means(guardian, params.world, params.seed, params.judge))


def _places(file: Path, out: Path | None, judge: str) -> list[Path]:
    """Where verdicts may go: by default beside the file, or here if that folder is not writable.

    Raises DataError where a file holds something else than verdicts of ``judge``.
    """
    beside = file.with_name(f"{file.name}.verdicts.jsonl")
    places = [out] if out is not None else [beside, Path(beside.name)]
    for place in places:
        if place.is_file() and (other := _holder(place)) != judge:
            held = "something else" if other is None else f"those of '{other}'"
            raise DataError(
                f"Expected verdicts of the judge '{judge}' or nothing at {place}, got {held}. "
                "Nothing was judged; name another place with --out, or move that file."
            )
    return places


def _holder(place: Path) -> str | None:
    """The judge whose verdicts a file holds; ``None`` where it holds none."""
    try:
        return next(iter_rows(place, Verdict)).judge
    except (DataError, StopIteration, UnicodeDecodeError):
        return None


def _write(places: list[Path], given: list[Verdict]) -> Path:
    """Write the verdicts at the first place where that is allowed."""
    for place in places:
        try:
            write_rows(place, given)
        except OSError as error:
            if error.errno not in CLOSED:
                raise
        else:
            return place
    raise DataError(f"Expected to write {places[-1]}, which is not allowed. Name another --out.")


if __name__ == "__main__":
    run_stage(main)
