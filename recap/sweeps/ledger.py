"""The measurements of each cell, in one small file per cell that is kept in git.

A file has a cell's rates, every prompt's outcome, its training curve and its cost. Tables, paired
intervals and figures need no models or completions beside it. A hundred cells take about a
megabyte. Iterate over a design's cells, never over the folder, which may still have the files of
removed cells.
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
from recap.types.verdicts import Outcome, answer_key

LEDGER = Path("experiments/records/microworld")
QUESTIONS = "questions"
YES, NO, NONE = "1", "0", "?"
"""A prompt's outcome; ``?`` is unscored."""
CURVES = (
    "reward", "reward_harmful", "reward_benign", "reward_math", "reward_prefilled", "groups_drawn",
    "groups_kept", "completion_tokens", "tokens", "entropy", "share_prefilled",
)  # fmt: skip
"""The trainer's metrics that are kept for every update, if it logs them."""
DIGITS = 4


class Question(Row):
    """One question: a prompt, the sample's number, and the request object (the cluster)."""

    prompt_id: str
    sample: int
    cluster: str | None


class Questions(Row):
    """The questions of every benchmark at every place of its axis, in the order of the answers.

    They are the same for all cells of a sweep; ``digest`` is their name.
    """

    digest: str
    asked: dict[str, list[Question]]


class Answers(Row):
    """The outcomes of one benchmark at one place, a character for each question.

    ``success`` and ``reflected``: 1, 0, or ? if unknown. ``tokens``: generated tokens, ``None`` for
    a context that overflowed; only for benchmarks whose tokens a claim compares.
    """

    benchmark: str
    place: int
    success: str
    reflected: str
    tokens: list[int | None] | None


class Cost(Row):
    """The cost of computing the cell, by stage; ``cpu_seconds`` sums over all processes.

    ``None`` if a stage was restored from a cache.
    """

    seconds: dict[str, float]
    cpu_seconds: float | None


class Origin(Row):
    """The origin of a cell's outputs in DVC, from its lock files at the time of recording.

    ``commit``: the clone's commit, ``None`` if unknown. ``stages``: a digest of command, inputs,
    parameters and outputs of each of the cell's stages. ``lock``: a digest of those and of all
    earlier stages. ``data``: md5 of every data file that these stages made, by path.
    """

    commit: str | None
    lock: str
    stages: dict[str, str]
    data: dict[str, str]


class Measured(Row):
    """One measured cell. ``fingerprint``: of its dependencies; ``settings``: flat, as text."""

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
        """The cell that was measured."""
        return Cell(self.variant, self.seed)


@dataclass(frozen=True, slots=True)
class Ledger:
    """The folder of measured cells."""

    folder: Path

    def read(self, cell: Cell) -> Measured | None:
        """A measured cell, ``None`` if it is not recorded; raises DataError for a broken file."""
        path = self._path(cell)
        return read_json(path, Measured) if path.is_file() else None

    def questions(self, name: str) -> Questions:
        """The questions; raises DataError if the file is missing or does not match its name."""
        path = self.folder / f"{QUESTIONS}-{name}.json"
        if not path.is_file():
            raise DataError(
                f"Expected {path}, which measured cells name, found none. Restore it from git."
            )
        found = read_json(path, Questions)
        if found.digest != name or _digest(found.asked) != name:
            raise DataError(f"Expected {path} to match its digest. Restore it from git.")
        return found

    def write(self, measured: Measured, questions: Questions) -> Path:
        """Record a cell; the questions are written only once."""
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
        key=answer_key,
    )
    keys = list(dict.fromkeys((row.benchmark, row.place) for row in rows))
    tokens = _tokens(project / f"data/completions/{name}.jsonl")
    asked: dict[str, list[Question]] = {}
    answers = []
    for key in keys:
        own = [row for row in rows if (row.benchmark, row.place) == key]
        asked["/".join(map(str, key))] = [
            Question(prompt_id=row.prompt_id, sample=row.sample, cluster=row.cluster) for row in own
        ]
        spent = [tokens.get((*key, row.prompt_id, row.sample)) for row in own]
        answers.append(
            Answers(
                benchmark=key[0],
                place=key[1],
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

    The position of a reflection is not recorded.
    """
    found: dict[Key, list[Outcome]] = {}
    for answers in measured.answers:
        key = (answers.benchmark, answers.place)
        asked = _asked(measured, questions, answers)
        found[key] = [
            Outcome(
                prompt_id=question.prompt_id,
                benchmark=answers.benchmark,
                place=answers.place,
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
    """Paired evidence from measured cells, equal to the report's evidence from a run's files.

    Lengths are those of each variant's first training seed.
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
        ((answers.benchmark, answers.place), question.prompt_id): Lengths(
            question.cluster or question.prompt_id, tokens
        )
        for answers in measured.answers
        for question, tokens in zip(
            _asked(measured, questions, answers), answers.tokens or (), strict=False
        )
        if tokens is not None and question.sample == 0
    }


def _asked(measured: Measured, questions: Questions, answers: Answers) -> list[Question]:
    asked = questions.asked.get(f"{answers.benchmark}/{answers.place}", [])
    if len(asked) != len(answers.success) or len(asked) != len(answers.reflected):
        raise DataError(
            f"Expected {len(asked)} answers of {measured.cell.name} to {answers.benchmark} "
            f"{answers.place}, got {len(answers.success)}. Restore its file from git or run the "
            "cell again."
        )
    return asked


def _tokens(path: Path) -> dict[tuple[str, int, str, int], int]:
    wanted = {name for name, _ in TOKENS}
    return {
        answer_key(row): row.num_cot_tokens + row.num_response_tokens
        for row in iter_rows(path, Completion)
        if row.benchmark in wanted and row.finish_reason != "overflow"
    }


def _curve(path: Path) -> dict[str, list[float | None]]:
    """The recorded metrics of every update; empty for an untrained policy."""
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
    """Write keys in order, top-level keys on separate lines, so that git diffs are readable."""
    values: dict[str, Any] = row.model_dump(mode="json")
    lines = ",\n".join(
        f" {json.dumps(key)}: {json.dumps(value, separators=(',', ':'), sort_keys=True)}"
        for key, value in values.items()
    )
    with atomic_path(path) as part:
        part.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")
