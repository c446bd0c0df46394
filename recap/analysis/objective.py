"""The slope of a policy's J_beta, which is the cost of prefills, with its interval.

J_beta = (1 - beta) J_clean + beta J_pre (paper, v1's theory) is linear in beta by definition. A
curve over beta therefore shows nothing beyond its two ends. This module measures the slope J_pre -
J_clean on the same prompts, and the difference of two policies' slopes. J is the success rate in a
benchmark. Leaves out the theory's bound, which needs the training distribution.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from recap.errors import DataError
from recap.evaluation.statistics import Interval, clustered
from recap.types.verdicts import Outcome

Pair = tuple[Sequence[Outcome], Sequence[Outcome]]
"""One policy's outcomes on clean prompts, and on the same prompts prefilled."""


@dataclass(frozen=True, slots=True)
class Slope:
    """J_clean, J_pre and ``value`` = J_pre - J_clean, means over the same ``n`` prompts.

    ``low`` and ``high``: 95 % bootstrap of the value, paired on prompts and clustered by request
    object; with one cluster, the full possible range. For the difference of two policies
    (candidate minus baseline) all three are differences.
    """

    clean: float
    prefilled: float
    value: float
    low: float
    high: float
    n: int

    def at(self, beta: float) -> float:
        """J_beta: ``clean`` at 0, ``prefilled`` at 1."""
        return (1 - beta) * self.clean + beta * self.prefilled


def slope(
    clean: Sequence[Outcome], prefilled: Sequence[Outcome], *, resamples: int, seed: int
) -> Slope | None:
    """The slope of one policy over the prompts scored both ways; ``None`` if there is none.

    Raises DataError when outcomes of several benchmarks or rounds are mixed.
    """
    names, (at_0, at_1) = _common(clean, prefilled)
    return _slope(names, at_0, at_1, 1.0, resamples=resamples, seed=seed)


def slope_difference(candidate: Pair, baseline: Pair, *, resamples: int, seed: int) -> Slope | None:
    """Candidate's slope minus baseline's over the prompts scored in all four; else ``None``.

    ``clean`` is the candidate's lead at beta = 0, ``prefilled`` its lead at beta = 1. If the value
    is positive, the lead grows with beta. Raises DataError as ``slope`` does.
    """
    names, rates = _common(*candidate, *baseline)
    at_0 = _minus(rates[0], rates[2])
    at_1 = _minus(rates[1], rates[3])
    return _slope(names, at_0, at_1, 2.0, resamples=resamples, seed=seed)


def _common(*sets: Sequence[Outcome]) -> tuple[list[str], list[list[float]]]:
    """Clusters of the prompts scored in all of the sets, and each set's success rates on them."""
    rates = [_by_prompt(rows) for rows in sets]
    prompts = sorted(set.intersection(*map(set, rates)))
    cluster = {row.prompt_id: row.cluster or row.prompt_id for row in sets[0]}
    return [cluster[name] for name in prompts], [[own[name] for name in prompts] for own in rates]


def _by_prompt(rows: Iterable[Outcome]) -> dict[str, float]:
    """The share of success among each prompt's scored samples; prompts without one left out."""
    scored: dict[str, list[bool]] = {}
    places: set[tuple[str, int]] = set()
    for row in rows:
        places.add((row.benchmark, row.place))
        if row.success is not None:
            scored.setdefault(row.prompt_id, []).append(row.success)
    if len(places) > 1:
        raise DataError(
            "Expected outcomes of one benchmark and round for J_beta, got "
            f"{', '.join(f'{name} {number}' for name, number in sorted(places))}. "
            "Pass those of one."
        )
    return {name: fmean(own) for name, own in scored.items()}


def _minus(first: Sequence[float], second: Sequence[float]) -> list[float]:
    return [ours - theirs for ours, theirs in zip(first, second, strict=True)]


def _slope(
    clusters: list[str],
    at_0: list[float],
    at_1: list[float],
    bound: float,
    *,
    resamples: int,
    seed: int,
) -> Slope | None:
    """``bound``: the largest possible absolute value."""
    if not clusters:
        return None
    changes = _minus(at_1, at_0)
    ends = clustered(changes, clusters, resamples=resamples, seed=seed) or Interval(-bound, bound)
    return Slope(fmean(at_0), fmean(at_1), fmean(changes), ends.low, ends.high, len(clusters))
