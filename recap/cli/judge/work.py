"""From a user's rows to verdicts, and from verdicts and labels to their agreement.

A row is unscored if there is nothing to judge: no completion, or a thought that never ended. (In
the pipeline this is a failure of the policy. Here it tells nothing about the judge.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from recap.cli.judge.labels import SCALES, SYNONYMS, read_label, scale_of
from recap.cli.judge.table import TableRow
from recap.errors import DataError, choices
from recap.evaluation.agreement import LabelAgreement, agreement
from recap.judges.judge import Judge
from recap.runtime.progress import Progress
from recap.scoring.thought import Parts, part
from recap.types.attacks import Completion
from recap.types.row import SUCCESS, Domain, Label
from recap.types.verdicts import Verdict

CHUNK = 256
RESAMPLES, SEED = 2000, 0


@dataclass(frozen=True, slots=True)
class Case:
    """One row of the file: the completion as judges see it, and the value of the label column.

    ``unopened``: it has ``</think>`` but no ``<think>`` (``recap.scoring.thought``).
    """

    line: int
    completion: Completion
    nothing: str | None
    label: Label | None
    unopened: bool


@dataclass(frozen=True, slots=True)
class Comparison:
    """Agreement of verdicts and labels, on the domain's scale and on success (``SUCCESS``)."""

    labels: LabelAgreement
    binary: LabelAgreement
    n_unscored: int
    n_unlabelled: int


def cases(
    path: Path, rows: Sequence[TableRow], judge: type[Judge], column: str | None
) -> list[Case]:
    """One case for each row; raises DataError for an unknown label or domain."""
    seen: dict[str, int] = {}
    found = []
    for row in rows:
        label = None if column is None else _label(path, row, judge, column)
        domain = _domain(path, row, judge, label)
        if label is not None and label not in SCALES[domain]:
            raise DataError(
                f"{path}:{row.line}: expected {choices(SCALES[domain])} as `{column}` of a "
                f"{domain} row, got '{label}'. Correct the label, or the row's `domain`."
            )
        name = row.values.get("id") or f"line-{row.line}"
        seen[name] = seen.get(name, -1) + 1
        text = row.values["completion"]
        parts = Parts("", None, "no completion") if text is None else part(text)
        completion = Completion(
            prompt_id=name,
            benchmark=path.stem,
            attack="direct",
            place=1,
            sample=seen[name],
            domain=domain,
            cluster=None,
            prompt=row.values["prompt"] or "",
            target=row.values.get("target"),
            prefill=None,
            prefill_source=None,
            num_prefill_tokens=0,
            cot=parts.cot,
            response=parts.response,
            finish_reason="stop",
            num_cot_tokens=0,
            num_response_tokens=0,
        )
        found.append(Case(row.line, completion, parts.nothing, label, parts.unopened))
    return found


def _label(path: Path, row: TableRow, judge: type[Judge], column: str) -> Label | None:
    text = row.values[column]
    if text is None:
        return None
    label = read_label(text, judge.usual)
    if label is None:
        known = [name for labels in SCALES.values() for name in labels]
        raise DataError(
            f"{path}:{row.line}: expected as `{column}` one of {choices([*known, *SYNONYMS])}, "
            f"got '{text[:60]}'. Correct it, or leave it empty where there is no label."
        )
    return label


def _domain(path: Path, row: TableRow, judge: type[Judge], label: Label | None) -> Domain:
    said = row.values.get("domain")
    if said is not None:
        for domain in SCALES:
            if said == domain:
                return domain
        raise DataError(
            f"{path}:{row.line}: expected as `domain` one of {choices(SCALES)}, got '{said[:60]}'. "
            "Correct it, or remove the column."
        )
    if label is not None:
        return scale_of(label)
    return judge.usual


def verdicts(judge: Judge, found: Sequence[Case]) -> list[Verdict]:
    """One verdict for each case, in order; prints progress for slow judges."""
    progress = Progress(f"{judge.name}: row", len(found))
    given: list[Verdict] = []
    for first in range(0, len(found), CHUNK):
        chunk = found[first : first + CHUNK]
        asked = iter(judge.judge([case.completion for case in chunk if case.nothing is None]))
        given += [next(asked) if case.nothing is None else _unscored(judge, case) for case in chunk]
        if len(found) > CHUNK:
            progress.step(len(given))
    return given


def _unscored(judge: Judge, case: Case) -> Verdict:
    return Verdict(
        prompt_id=case.completion.prompt_id,
        benchmark=case.completion.benchmark,
        place=1,
        sample=case.completion.sample,
        label=None,
        judge=judge.name,
        judge_revision=judge.revision,
        judge_prompt_sha=judge.prompt_sha,
        raw=case.nothing or "",
    )


def compare(found: Sequence[Case], given: Sequence[Verdict]) -> Comparison:
    """Agreement over the rows that have a label and a verdict; rows of one prompt are a cluster."""
    labelled = [
        (case, verdict.label)
        for case, verdict in zip(found, given, strict=True)
        if case.label is not None
    ]
    clusters = [case.completion.prompt for case, _ in labelled]
    theirs = [case.label for case, _ in labelled]
    ours = [label for _, label in labelled]
    return Comparison(
        labels=agreement(theirs, ours, clusters, resamples=RESAMPLES, seed=SEED),
        binary=agreement(
            [_success(label) for label in theirs],
            [_success(label) for label in ours],
            clusters,
            resamples=RESAMPLES,
            seed=SEED,
        ),
        n_unscored=sum(verdict.label is None for verdict in given),
        n_unlabelled=len(found) - len(labelled),
    )


def _success(label: Label | None) -> Label | None:
    """``correct`` if the label is the success of its domain, else ``incorrect``."""
    if label is None:
        return None
    return "correct" if label == SUCCESS[scale_of(label)] else "incorrect"
