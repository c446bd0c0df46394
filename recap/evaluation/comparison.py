"""Two policies on the same prompts: the paired difference of their success rates.

Pairing removes what the prompts contribute, so that its interval is narrower than what two separate
intervals suggest. Leaves out the paper's relative changes (the report's comparison).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from recap.errors import DataError
from recap.evaluation.statistics import Interval, clustered, mcnemar
from recap.types import Outcome


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """Success rate of the first minus that of the second, over ``n`` pairs scored in both.

    ``low`` and ``high``: 95 % bootstrap clustered by request object. ``p_value``: exact McNemar,
    which takes pairs as independent.
    """

    value: float
    low: float
    high: float
    n: int
    only_first: int
    only_second: int
    p_value: float


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
    value = sum(differences) / len(differences)
    ends = clustered(differences, clusters, resamples=resamples, seed=seed) or Interval(-1.0, 1.0)
    only_first = sum(difference > 0 for difference in differences)
    only_second = sum(difference < 0 for difference in differences)
    return PairedDifference(
        value=value,
        low=ends.low,
        high=ends.high,
        n=len(pairs),
        only_first=only_first,
        only_second=only_second,
        p_value=mcnemar(only_first, only_second),
    )
