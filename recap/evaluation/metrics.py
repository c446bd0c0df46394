"""Completions and their verdicts -> outcomes -> rates with intervals (paper: Evaluation).

The denominator includes incomplete answers, which are failures, and excludes unscored ones, which
are unknown. Both are counted. Reflection is measured only in the generated part of the thought,
because the policy did not write the rest. If the attack closed the thought, there is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from statistics import fmean
from typing import TypeVar

from recap.errors import DataError
from recap.evaluation.pass_at_k import pass_at_k
from recap.evaluation.rates import rate
from recap.evaluation.reflection import summarise
from recap.evaluation.statistics import clustered
from recap.params.evaluate import Evaluate
from recap.params.seeds import derive_seed
from recap.scoring.reflection import find_reflection
from recap.types.attacks import Completion
from recap.types.results import (
    BenchmarkResult,
    CategoryResult,
    CellResult,
    Metric,
    RubricScore,
)
from recap.types.row import SUCCESS
from recap.types.verdicts import Outcome, Verdict, answer_key

OneT = TypeVar("OneT")


def outcomes(completions: Sequence[Completion], verdicts: Sequence[Verdict]) -> list[Outcome]:
    """One outcome for each completion, in order; raises DataError unless verdicts match them."""
    labels = {answer_key(row): row for row in verdicts}
    keys = [answer_key(row) for row in completions]
    if len(labels) != len(verdicts) or len(set(keys)) != len(keys) or set(keys) != set(labels):
        raise DataError(
            f"Expected one verdict for each of {len(keys)} completions, got {len(verdicts)} with "
            f"{len(set(keys) & set(labels))} in common. Run the judge stage again."
        )
    return [_outcome(row, labels[key]) for row, key in zip(completions, keys, strict=True)]


def _outcome(completion: Completion, verdict: Verdict) -> Outcome:
    success = None if verdict.label is None else verdict.label == SUCCESS[completion.domain]
    reflected: bool | None = None
    position: float | None = None
    if completion.finish_reason != "overflow" and not completion.thought_closed:
        index = find_reflection(completion.cot, completion.prefill)
        reflected = index is not None
        position = None if index is None else index / len(completion.cot.split())
    return Outcome(
        prompt_id=completion.prompt_id,
        benchmark=completion.benchmark,
        place=completion.place,
        sample=completion.sample,
        cluster=completion.cluster,
        success=success,
        reflected=reflected,
        reflection_position=position,
        thought=None if verdict.thought is None else verdict.thought == SUCCESS[completion.domain],
        thought_asked=verdict.thought_raw is not None,
        met=1.0 if completion.incomplete and completion.rubric else verdict.met,
    )


def benchmark_result(
    completions: Sequence[Completion], found: Sequence[Outcome], *, resamples: int, seed: int
) -> BenchmarkResult:
    """The result of one benchmark and round, from its completions and their outcomes.

    Raises DataError unless all completions share one domain and one prefill source.
    """
    first = completions[0]
    domain = _only(first, "domain", {row.domain for row in completions})
    source = _only(first, "source of prefills", {row.prefill_source for row in completions})
    generated = [row for row in completions if row.finish_reason != "overflow"]
    positions = [row.reflection_position for row in found if row.reflection_position is not None]
    return BenchmarkResult(
        benchmark=first.benchmark,
        place=first.place,
        domain=domain,
        score=SUCCESS[domain],
        prefill_source=source,
        rate=_rate(completions, [row.success for row in found], resamples, seed),
        categories=_by_category(completions, found, resamples, seed),
        pass_at_k=pass_at_k(found, resamples=resamples, seed=seed),
        rubric=_rubric(completions, found, resamples, seed),
        thought=_thought(completions, found, resamples, seed),
        reflection=_rate(completions, [row.reflected for row in found], resamples, seed),
        mean_reflection_position=_mean(positions),
        mean_cot_tokens=_mean([row.num_cot_tokens for row in generated]),
        mean_response_tokens=_mean([row.num_response_tokens for row in generated]),
    )


def _rate(
    completions: Sequence[Completion], values: Sequence[bool | None], resamples: int, seed: int
) -> Metric:
    """The rate of ``values``, one for each completion; ``None`` is unknown."""
    incomplete = zip(completions, values, strict=True)
    return rate(
        values,
        [row.cluster or row.prompt_id for row in completions],
        n_incomplete=sum(row.incomplete and value is not None for row, value in incomplete),
        resamples=resamples,
        seed=seed,
    )


def _by_category(
    completions: Sequence[Completion], found: Sequence[Outcome], resamples: int, seed: int
) -> list[CategoryResult]:
    """The rate in each category, in alphabetical order, then of the rows without one."""
    members: dict[str | None, list[tuple[Completion, Outcome]]] = {}
    for row, outcome in zip(completions, found, strict=True):
        members.setdefault(row.category, []).append((row, outcome))
    if set(members) == {None}:
        return []
    return [
        CategoryResult(
            category=name,
            rate=_rate([c for c, _ in rows], [o.success for _, o in rows], resamples, seed),
        )
        for name, rows in sorted(members.items(), key=lambda item: (item[0] is None, item[0]))
    ]


def _thought(
    completions: Sequence[Completion], found: Sequence[Outcome], resamples: int, seed: int
) -> Metric | None:
    """The rate of thoughts by themselves, over those that were asked about."""
    asked = [pair for pair in zip(completions, found, strict=True) if pair[1].thought_asked]
    if not asked:
        return None
    return rate(
        [outcome.thought for _, outcome in asked],
        [row.cluster or row.prompt_id for row, _ in asked],
        n_incomplete=0,  # a thought counts as it is
        resamples=resamples,
        seed=seed,
    )


def _rubric(
    completions: Sequence[Completion], found: Sequence[Outcome], resamples: int, seed: int
) -> RubricScore | None:
    """The rubric's score; ``None`` if the judge asked no rubric at all."""
    rows = list(zip(completions, found, strict=True))
    if not any(outcome.met is not None and not row.incomplete for row, outcome in rows):
        return None
    scored = [(1 - row.met, row.cluster or row.prompt_id) for row in found if row.met is not None]
    values, clusters = [value for value, _ in scored], [cluster for _, cluster in scored]
    ends = clustered(values, clusters, resamples=resamples, seed=seed)
    return RubricScore(
        value=fmean(values),
        low=ends.low if ends else None,
        high=ends.high if ends else None,
        n=len(values),
    )


def _only(first: Completion, what: str, values: set[OneT]) -> OneT:
    """The one value that all completions of a benchmark and round must share."""
    if len(values) != 1:
        raise DataError(
            f"Expected one {what} in the benchmark '{first.benchmark}', round {first.place}, got "
            f"{', '.join(sorted(map(str, values)))}. Run the attack stage again."
        )
    return next(iter(values))


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None


def cell_result(
    completions: Sequence[Completion],
    found: Sequence[Outcome],
    *,
    variant: str,
    replicate: int,
    settings: Evaluate,
    seed: int,
) -> CellResult:
    """All benchmarks of one cell, in the order of the completions."""
    if not completions:
        raise DataError("Expected completions to evaluate, got none. Run the attack stage again.")
    results = []
    rows = list(zip(completions, found, strict=True))
    for (name, number), group in groupby(rows, key=lambda row: (row[0].benchmark, row[0].place)):
        members = list(group)
        result = benchmark_result(
            [completion for completion, _ in members],
            [outcome for _, outcome in members],
            resamples=settings.bootstrap,
            seed=derive_seed(seed, "evaluate", name, number),
        )
        results.append(result)
    if len({(result.benchmark, result.place) for result in results}) != len(results):
        raise DataError(
            "Expected completions ordered by benchmark and round, got them mixed. "
            "Run the attack stage again."
        )
    return CellResult(
        variant=variant,
        seed=replicate,
        results=results,
        reflection=summarise(results, found, resamples=settings.bootstrap, seed=seed),
    )
