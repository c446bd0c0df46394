"""Rates and outcomes of candidate and others -> a decision with its reasons.

The conditions are ``gate.checks``: a rate's interval reaches a floor, or the interval of a paired
difference lies above minus the margin, or above 0 (``recap.analysis.comparison``). A condition with
too little evidence is not met and says which evidence is lacking. A condition that was not measured
is not met. Leaves out the champion in the registry (``recap.analysis.promotion``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from recap.analysis.comparison import (
    Answer,
    Comparison,
    compare,
    needed,
    non_inferior,
    reaches,
    superior,
)
from recap.evaluation.rates import rate, span
from recap.evaluation.statistics import Interval
from recap.params.gate import Check, Gate
from recap.params.seeds import derive_seed
from recap.types.decisions import GateCheck, GateDecision
from recap.types.results import Metric
from recap.types.verdicts import Outcome


@dataclass(frozen=True, slots=True)
class CellOutcomes:
    """The outcome of every prompt with one trained policy; ``name`` is like ``recap-0``."""

    name: str
    outcomes: Sequence[Outcome]


def decide(
    candidate: CellOutcomes,
    others: Mapping[str, CellOutcomes],
    gate: Gate,
    *,
    resamples: int,
    seed: int,
) -> GateDecision:
    """The decision on the candidate; ``others`` are the cells to compare it with, by variant."""
    checks = []
    for check in gate.checks:
        if check.kind == "floor":
            checks.append(floor_check(check, candidate, gate, resamples=resamples, seed=seed))
            continue
        at = check.place or last_round(check.benchmark, candidate.outcomes)
        own = derive_seed(seed, "gate", check.benchmark, at)
        other = others[check.against or gate.baseline]
        compared = compare(
            check.benchmark, at, candidate.outcomes, other.outcomes, resamples=resamples, seed=own
        )
        margin = None if check.kind == "superior" else gate.margin_of(check)
        checks.append(paired_check(compared, other.name, margin, gate.min_rows))
    return GateDecision(
        candidate=candidate.name,
        baseline=others[gate.baseline].name,
        passed=all(check.passed for check in checks),
        checks=checks,
    )


def last_round(benchmark: str, outcomes: Sequence[Outcome]) -> int:
    """The last place on the benchmark's axis; 1 if the benchmark was not measured."""
    return max((row.place for row in outcomes if row.benchmark == benchmark), default=1)


def paired_check(
    compared: Comparison, against: str, margin: float | None, min_rows: int
) -> GateCheck:
    """Check non-inferiority by ``margin``, or superiority if ``margin`` is ``None``."""
    place = _place(compared.benchmark, compared.place)
    bound = -(margin or 0.0)
    if margin is None:
        name = f"{place} superior to {against}"
        required = "a difference whose 95 % interval lies above 0"
    else:
        name = f"{place} not below {against}"
        required = f"a difference whose 95 % interval lies above {100 * bound:+.1f} points"
    found = compared.difference
    if found is None:
        return _unmeasured(name, compared.benchmark, compared.missing or "", required)
    left_out = f", {found.n_unscored} unscored" if found.n_unscored else ""
    measured = (
        f"{found.first:.1%} against {found.second:.1%}: {100 * found.value:+.1f} points "
        f"[{100 * found.low:+.1f}, {100 * found.high:+.1f}] over {found.n} pairs{left_out}"
    )
    return _answered(
        GateCheck(name=name, passed=False, measured=measured, required=required),
        superior(found) if margin is None else non_inferior(found, margin),
        n=found.n,
        min_rows=min_rows,
        wanted=needed(found.value, found.low, found.n, bound),
        otherwise=f"a difference above {100 * bound:+.1f} points",
    )


def floor_check(
    check: Check, cell: CellOutcomes, gate: Gate, *, resamples: int, seed: int
) -> GateCheck:
    """Check the lower end of the wider interval, with unscored rows counted as failures."""
    benchmark, floor, min_rows = check.benchmark, check.floor, gate.min_rows
    assert floor is not None
    at = check.place or last_round(benchmark, cell.outcomes)
    own = derive_seed(seed, "gate", benchmark, at)
    name = f"{_place(benchmark, at)} at least {floor:.1%}"
    required = f"an interval that begins at {floor:.1%} or above, unscored rows taken as failed"
    rows = [row for row in cell.outcomes if (row.benchmark, row.place) == (benchmark, at)]

    def measure(successes: Sequence[bool | None]) -> Metric:
        clusters = [row.cluster or row.prompt_id for row in rows]
        return rate(successes, clusters, n_incomplete=0, resamples=resamples, seed=own)

    scored = measure([row.success for row in rows])
    worst = measure([bool(row.success) for row in rows])
    if scored.value is None or worst.value is None:
        said = f"{scored.n_unscored} unscored" if rows else "no outcomes"
        return _unmeasured(name, benchmark, said, required)
    ends = Interval(span(worst).low, span(scored).high)
    return _answered(
        GateCheck(name=name, passed=False, measured=describe(scored), required=required),
        reaches(ends, floor),
        n=scored.n,
        min_rows=min_rows,
        wanted=needed(worst.value, ends.low, worst.n, floor),
        otherwise=f"a rate above {floor:.1%}",
    )


def _answered(
    check: GateCheck, answer: Answer, *, n: int, min_rows: int, wanted: int | None, otherwise: str
) -> GateCheck:
    """The check with its answer; too few rows and too wide intervals decide nothing."""
    if n < min_rows:
        return check.model_copy(update={"lacking": f"{n} scored rows; {min_rows} are the fewest"})
    if answer == "not enough evidence":
        lacking = f"about {wanted} scored rows, should the rates stay" if wanted else otherwise
        return check.model_copy(update={"lacking": lacking})
    return check.model_copy(update={"passed": answer == "yes"})


def _unmeasured(name: str, benchmark: str, said: str, required: str) -> GateCheck:
    return GateCheck(
        name=name,
        passed=False,
        measured=f"not measured: {said}",
        required=required,
        lacking=f"scored rows of '{benchmark}' (is it in attack.benchmarks?)",
    )


def _place(benchmark: str, at: int) -> str:
    return benchmark if at == 1 else f"{benchmark}/{at}"


def describe(metric: Metric) -> str:
    """``98.1% [95.9, 99.2], n = 320``, with the wider interval and the unscored rows, if any."""
    if metric.value is None:
        return f"no score, {metric.n_unscored} unscored"
    ends = span(metric)
    text = f"{metric.value:.1%} [{100 * ends.low:.1f}, {100 * ends.high:.1f}], n = {metric.n}"
    return f"{text}, {metric.n_unscored} unscored" if metric.n_unscored else text
