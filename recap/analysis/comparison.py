"""Compares two policies on the same prompts, for gate, promotion, claims and page alike.

``compare`` pairs outcomes by prompt and sample and resamples whole request objects. Pairing removes
the variation between prompts, so the interval is narrower than two separate intervals suggest.
``non_inferior``, ``superior`` and ``reaches`` read an interval. One of their answers is "not enough
evidence". Leaves out the paper's relative changes (``recap.analysis.relative``) and corrections for
the number of comparisons.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Literal, Protocol

from recap.errors import DataError
from recap.evaluation.statistics import Interval, clustered, mcnemar, paired_interval
from recap.types.verdicts import Outcome

Answer = Literal["yes", "no", "not enough evidence"]


class Ends(Protocol):
    """An interval's two ends."""

    @property
    def low(self) -> float:
        """The lower end."""

    @property
    def high(self) -> float:
        """The upper end."""


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """Success rate of the first minus that of the second, over ``n`` pairs scored in both.

    ``first`` and ``second`` are the two rates over these pairs; ``n_unscored`` pairs lack a score
    in either. ``low`` and ``high``: 95 %, the wider of the bootstrap clustered by request object
    and Bonett and Price's interval. ``p_value``: exact McNemar, which takes pairs as independent.
    """

    value: float
    low: float
    high: float
    first: float
    second: float
    n: int
    n_unscored: int
    only_first: int
    only_second: int
    p_value: float

    @property
    def room(self) -> float:
        """The largest possible difference, given the rate of the second."""
        return 1 - self.second


@dataclass(frozen=True, slots=True)
class Comparison:
    """First less second on one benchmark and round; ``missing`` says why there is no difference."""

    benchmark: str
    place: int
    difference: PairedDifference | None
    missing: str | None = None


def compare(
    benchmark: str,
    round_: int,
    first: Sequence[Outcome],
    second: Sequence[Outcome],
    *,
    resamples: int,
    seed: int,
) -> Comparison:
    """Compare two cells' outcomes; ignores rows of other benchmarks and rounds.

    Never raises for unequal evidence. ``missing`` says so if nothing was measured, if the prompts
    differ, or if no pair is scored.
    """
    place = benchmark, round_
    ours, theirs = (
        [row for row in rows if (row.benchmark, row.place) == place] for rows in (first, second)
    )
    if not ours or not theirs:
        whose = "the second" if ours else "the first" if theirs else "either"
        return Comparison(*place, None, f"no outcomes of {whose}")
    try:
        found = paired_difference(ours, theirs, resamples=resamples, seed=seed)
    except DataError as error:
        return Comparison(*place, None, str(error))
    return Comparison(*place, found, None if found else "no prompt was scored in both")


def paired_difference(
    first: Sequence[Outcome], second: Sequence[Outcome], *, resamples: int, seed: int
) -> PairedDifference | None:
    """Compare two cells' outcomes of one benchmark and round; ``None`` if no pair is scored.

    Raises DataError when they are not about the same prompts.
    """
    other = {(row.prompt_id, row.sample): row for row in second}
    keys = {(row.prompt_id, row.sample) for row in first}
    if len(keys) != len(first) or len(other) != len(second) or keys != set(other):
        raise DataError(
            "Expected outcomes of the same prompts in both cells, got "
            f"{len(first)} and {len(second)} with {len(keys & set(other))} in common. "
            "Run attack, judge and evaluate again for both."
        )
    pairs = [
        (row, row.success, twin.success)
        for row in first
        if row.success is not None
        and (twin := other[row.prompt_id, row.sample]).success is not None
    ]
    if not pairs:
        return None
    differences = [float(ours) - float(theirs) for _, ours, theirs in pairs]
    clusters = [row.cluster or row.prompt_id for row, _, _ in pairs]
    ends = clustered(differences, clusters, resamples=resamples, seed=seed) or Interval(-1.0, 1.0)
    only_first = sum(difference > 0 for difference in differences)
    only_second = sum(difference < 0 for difference in differences)
    plain = paired_interval(only_first, only_second, len(pairs))
    return PairedDifference(
        value=sum(differences) / len(differences),
        low=min(ends.low, plain.low),
        high=max(ends.high, plain.high),
        first=sum(ours for _, ours, _ in pairs) / len(pairs),
        second=sum(theirs for _, _, theirs in pairs) / len(pairs),
        n=len(pairs),
        n_unscored=len(first) - len(pairs),
        only_first=only_first,
        only_second=only_second,
        p_value=mcnemar(only_first, only_second),
    )


def non_inferior(found: Ends, margin: float) -> Answer:
    """Whether the first is at most ``margin`` below the second: the interval above -margin."""
    return _beyond(found, -margin)


def superior(found: Ends) -> Answer:
    """Whether the first is above the second: the interval above 0."""
    return _beyond(found, 0.0)


def reaches(found: Ends, floor: float) -> Answer:
    """Whether a rate is at least ``floor``: by its lower end, which may touch the floor."""
    return "yes" if found.low >= floor else "no" if found.high < floor else "not enough evidence"


def _beyond(found: Ends, bound: float) -> Answer:
    if found.low > bound:
        return "yes"
    return "no" if found.high < bound else "not enough evidence"


def needed(value: float, low: float, n: int, bound: float) -> int | None:
    """About how many rows would move the lower end above ``bound`` if the value stayed the same.

    The interval's lower half shrinks as 1 / sqrt(n). ``None`` if the value is not above ``bound``.
    """
    if value <= bound:
        return None
    return max(n, ceil(n * ((value - low) / (value - bound)) ** 2) + 1)
