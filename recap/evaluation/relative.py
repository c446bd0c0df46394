"""Two sets of rates -> the mean of relative changes, as in the paper, beside that of differences.

The paper's headline percentages are means over benchmarks (and models) of candidate / baseline - 1:
neither differences of means nor a change of means. A point gained on a low baseline counts for
more. Leaves out intervals: a mean over benchmarks is no sample of anything.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import TypeVar

from recap.errors import DataError

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Changes:
    """Over the ``num_benchmarks`` that both have: mean difference, and mean relative change.

    The difference is in the rates' own unit, the relative change a share (0.123: 12.3 % more),
    ``None`` where a baseline is 0 and nothing can be relative to it.
    """

    mean_difference: float
    mean_relative: float | None
    num_benchmarks: int


def changes(candidate: Mapping[Key, float], baseline: Mapping[Key, float]) -> Changes:
    """Compare two sets of rates by benchmark; raises DataError when they have none in common."""
    pairs = [(value, baseline[key]) for key, value in candidate.items() if key in baseline]
    if not pairs:
        raise DataError(
            "Expected rates of at least one benchmark in both candidate and baseline, got none in "
            "common. Compare variants that were measured on the same benchmarks."
        )
    relative = None
    if all(theirs != 0 for _, theirs in pairs):
        relative = fmean(ours / theirs - 1 for ours, theirs in pairs)
    return Changes(fmean(ours - theirs for ours, theirs in pairs), relative, len(pairs))
