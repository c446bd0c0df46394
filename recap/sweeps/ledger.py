"""What was measured of each cell, as a small file of its own that is kept in git.

A cell's rates, what every prompt came to, the curve of its training and what it cost: all that
tables, paired intervals and plots need, without models or completions. A hundred cells are about a
megabyte. Iterate a design's cells, never the folder: a removed cell's file may still lie there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recap.analysis.axes import Key
from recap.analysis.claims import TOKENS
from recap.analysis.curves import read_metrics
from recap.analysis.evidence import Evidence, Lengths
from recap.errors import DataError
from recap.pipeline.lock import digest
from recap.rows import atomic_path, iter_rows, read_json
from recap.sweeps.design import Cell
from recap.types.attacks import Completion
from recap.types.results import CellResult, DynamicsResult
from recap.types.row import Row
from recap.types.verdicts import Outcome

LEDGER = Path("experiments/records/microworld")
QUESTIONS = "questions"
YES, NO, NONE = "1", "0", "?"
"""A prompt's outcome; ``?`` is unscored."""
CURVES = (
    "reward", "reward_harmful", "reward_benign", "reward_math", "reward_prefilled", "groups_drawn",
    "groups_kept", "completion_tokens", "tokens", "entropy", "share_prefilled",
)  # fmt: skip
"""Numbers of the trainer that are kept for every update, as far as it logs them."""
DIGITS = 4


class Question(Row):
    """What was asked: a prompt, which sample of it, and the object that it shares with others."""

    prompt_id: str
    sample: int
    cluster: str | None


class Questions(Row):
    """The questions of every benchmark at every place of its axis, in the order of the answers.

    The same for all cells of a sweep; named by ``digest``.
    """

    digest: str
    asked: dict[str, list[Question]]


class Answers(Row):
    """What one benchmark at one place came to, a character for each question.

    ``success`` and ``reflected``: 1, 0, or ? where there is none. ``tokens``: generated tokens,
    ``None`` for a context that overflowed; only where a claim compares them.
    """

    benchmark: str
    round: int
    success: str
    reflected: str
    tokens: list[int | None] | None


class Cost(Row):
    """What computing the cell took, by stage; ``cpu_seconds`` is of all its processes together.

    ``None`` where a stage was restored from a cache, so that nothing was computed.
    """

    seconds: dict[str, float]
    cpu_seconds: float | None


class Origin(Row):
    """Where a cell's outputs lie in DVC, as its lock files had it when it was recorded.

    ``commit``: the clone's then, ``None`` where it was not noted. ``stages``: a digest of each of
    the cell's own stages, command, inputs, parameters and outputs; ``lock``: of those and of all
    stages before them. ``data``: md5 of every data file that these made, by path.
    """

    commit: str | None
    lock: str
    stages: dict[str, str]
    data: dict[str, str]


class Measured(Row):
    """One cell as measured. ``fingerprint``: what it depended on; ``settings``: flat, as text."""

    variant: str
    seed: int
    fingerprint: str
    settings: dict[str, str]
    questions: str
    result: CellResult
    answers: list[Answers]
    curve: dict[str, list[float | None]]
    dynamics: DynamicsResult | None
    cost: Cost
    origin: Origin

    @property
    def cell(self) -> Cell:
        """Which one it is."""
        return Cell(self.variant, self.seed)


@dataclass(frozen=True, slots=True)
class Ledger:
    """The folder of measured cells."""

    folder: Path

    def read(self, cell: Cell) -> Measured | None:
        """A cell as measured, ``None`` if it is not there; raises DataError for a broken file."""
        path = self._path(cell)
        return read_json(path, Measured) if path.is_file() else None

    def questions(self, name: str) -> Questions:
        """What was asked; raises DataError when the file is missing or is another than its name."""
        path = self.folder / f"{QUESTIONS}-{name}.json"
        if not path.is_file():
            raise DataError(
                f"Expected {path}, which measured cells name, found none. Restore it from git."
            )
        found = read_json(path, Questions)
        if found.digest != name or _digest(found.asked) != name:
            raise DataError(f"Expected {path} to hold what its name says. Restore it from git.")
        return found

    def write(self, measured: Measured, questions: Questions) -> Path:
        """Keep a cell; what was asked is written once."""
        asked = self.folder / f"{QUESTIONS}-{questions.digest}.json"
        if not asked.is_file():
            _write(asked, questions)
        path = self._path(measured.cell)
        _write(path, measured)
        return path

    def _path(self, cell: Cell) -> Path:
        return self.folder / f"{cell.name}.json"


def measure(
    project: Path,
    cell: Cell,
    *,
    fingerprint: str,
    settings: Mapping[str, str],
    cost: Cost,
    origin: Origin,
) -> tuple[Measured, Questions]:
    """Read a finished cell's results in the sweep's project.

    Raises DataError when one is missing or malformed.
    """
    name = cell.name
    rows = sorted(
        iter_rows(project / f"results/outcomes/{name}.jsonl", Outcome),
        key=lambda row: (row.benchmark, row.round, row.prompt_id, row.sample),
    )
    keys = list(dict.fromkeys((row.benchmark, row.round) for row in rows))
    tokens = _tokens(project / f"data/completions/{name}.jsonl")
    asked: dict[str, list[Question]] = {}
    answers = []
    for key in keys:
        own = [row for row in rows if (row.benchmark, row.round) == key]
        asked["/".join(map(str, key))] = [
            Question(prompt_id=row.prompt_id, sample=row.sample, cluster=row.cluster) for row in own
        ]
        spent = [tokens.get((*key, row.prompt_id, row.sample)) for row in own]
        answers.append(
            Answers(
                benchmark=key[0],
                round=key[1],
                success="".join(_character(row.success) for row in own),
                reflected="".join(_character(row.reflected) for row in own),
                tokens=spent if key in TOKENS else None,
            )
        )
    dynamics = project / f"results/dynamics/{name}.json"
    measured = Measured(
        variant=cell.variant,
        seed=cell.seed,
        fingerprint=fingerprint,
        settings=dict(settings),
        questions=_digest(asked),
        result=read_json(project / f"results/rates/{name}.json", CellResult),
        answers=answers,
        curve=_curve(project / f"results/train/{name}.jsonl"),
        dynamics=read_json(dynamics, DynamicsResult) if dynamics.is_file() else None,
        cost=cost,
        origin=origin,
    )
    return measured, Questions(digest=measured.questions, asked=asked)


def outcomes(measured: Measured, questions: Questions) -> dict[Key, list[Outcome]]:
    """The cell's outcomes by benchmark and place, as the stage ``evaluate`` wrote them.

    Where a thought reflects is not kept.
    """
    found: dict[Key, list[Outcome]] = {}
    for answers in measured.answers:
        key = (answers.benchmark, answers.round)
        asked = _asked(measured, questions, answers)
        found[key] = [
            Outcome(
                prompt_id=question.prompt_id,
                benchmark=answers.benchmark,
                round=answers.round,
                sample=question.sample,
                cluster=question.cluster,
                success=_flag(success),
                reflected=_flag(reflected),
                reflection_position=None,
            )
            for question, success, reflected in zip(
                asked, answers.success, answers.reflected, strict=True
            )
        ]
    return found


def evidence(cells: Iterable[Measured], ledger: Ledger, *, resamples: int, seed: int) -> Evidence:
    """Paired evidence from measured cells, as the report makes it from a finished run's files.

    Lengths are of each variant's first training seed.
    """
    cells, asked = list(cells), dict[str, Questions]()
    for cell in cells:
        if cell.questions not in asked:
            asked[cell.questions] = ledger.questions(cell.questions)
    return Evidence(
        outcomes={(c.variant, c.seed): outcomes(c, asked[c.questions]) for c in cells},
        lengths={(c.variant, c.seed): _lengths(c, asked[c.questions]) for c in cells},
        resamples=resamples,
        seed=seed,
    )


def _lengths(measured: Measured, questions: Questions) -> dict[tuple[Key, str], Lengths]:
    return {
        ((answers.benchmark, answers.round), question.prompt_id): Lengths(
            question.cluster or question.prompt_id, tokens
        )
        for answers in measured.answers
        for question, tokens in zip(
            _asked(measured, questions, answers), answers.tokens or (), strict=False
        )
        if tokens is not None and question.sample == 0
    }


def _asked(measured: Measured, questions: Questions, answers: Answers) -> list[Question]:
    asked = questions.asked.get(f"{answers.benchmark}/{answers.round}", [])
    if len(asked) != len(answers.success) or len(asked) != len(answers.reflected):
        raise DataError(
            f"Expected {len(asked)} answers of {measured.cell.name} to {answers.benchmark} "
            f"{answers.round}, got {len(answers.success)}. Restore its file from git or run the "
            "cell again."
        )
    return asked


def _tokens(path: Path) -> dict[tuple[str, int, str, int], int]:
    wanted = {name for name, _ in TOKENS}
    return {
        (row.benchmark, row.round, row.prompt_id, row.sample): row.num_cot_tokens
        + row.num_response_tokens
        for row in iter_rows(path, Completion)
        if row.benchmark in wanted and row.finish_reason != "overflow"
    }


def _curve(path: Path) -> dict[str, list[float | None]]:
    """The kept numbers of every update; empty for a policy that was not trained."""
    lines = read_metrics(path)
    return {
        name: [None if line.get(name) is None else round(line[name], DIGITS) for line in lines]
        for name in CURVES
        if any(line.get(name) is not None for line in lines)
    }


def _character(flag: bool | None) -> str:
    return NONE if flag is None else YES if flag else NO


def _flag(character: str) -> bool | None:
    try:
        return {YES: True, NO: False, NONE: None}[character]
    except KeyError:
        raise DataError(
            f"Expected {YES}, {NO} or {NONE} as an answer, got '{character}'."
        ) from None


def _digest(asked: Mapping[str, list[Question]]) -> str:
    return digest({key: [row.model_dump() for row in rows] for key, rows in asked.items()})


def _write(path: Path, row: Row) -> None:
    """Keys in order and a key a line at the top, so that git shows what changed."""
    values: dict[str, Any] = row.model_dump(mode="json")
    lines = ",\n".join(
        f" {json.dumps(key)}: {json.dumps(value, separators=(',', ':'), sort_keys=True)}"
        for key, value in values.items()
    )
    with atomic_path(path) as part:
        part.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")
