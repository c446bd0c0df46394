"""Two sets of rates -> the mean of relative changes, as in the paper, and the mean of differences.

The paper's headline percentages are means over benchmarks (and models) of candidate / baseline - 1.
They are neither differences of means nor a change of means. One point on a low baseline counts more
than on a high one. Against a rate near 0 a relative change has no meaning, so that mean leaves such
benchmarks out. Leaves out intervals, because benchmarks are not a random sample.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import TypeVar

from recap.errors import DataError

Key = TypeVar("Key", bound=Hashable)


FLOOR = 0.05
"""A baseline whose interval reaches below 5 % may be near 0, so no relative change is given."""


@dataclass(frozen=True, slots=True)
class Changes:
    """Over the ``num_benchmarks`` that both have: mean difference, and mean relative change.

    The difference is in the rates' own unit, the relative change a share (0.123: 12.3 % more) over
    the ``num_relative`` benchmarks whose baseline is clear of 0, ``None`` without any.
    """

    mean_difference: float
    mean_relative: float | None
    num_benchmarks: int
    num_relative: int


def changes(
    candidate: Mapping[Key, float], baseline: Mapping[Key, float], lowest: Mapping[Key, float]
) -> Changes:
    """Compare two sets of rates by benchmark; raises DataError when they have none in common.

    ``lowest`` are the lower ends of the baseline's intervals (the rates, where none is known).
    """
    keys = [key for key in candidate if key in baseline]
    if not keys:
        raise DataError(
            "Expected rates of at least one benchmark in both candidate and baseline, got none in "
            "common. Compare variants that were measured on the same benchmarks."
        )
    relative = [candidate[key] / baseline[key] - 1 for key in keys if lowest[key] >= FLOOR]
    return Changes(
        fmean(candidate[key] - baseline[key] for key in keys),
        fmean(relative) if relative else None,
        len(keys),
        len(relative),
    )
