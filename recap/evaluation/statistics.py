"""Intervals and tests: Wilson, the bootstrap clustered by request object, McNemar, paired.

All are two-sided and 95 %, from scipy where available. Prompts with the same request object are not
independent, so Wilson's interval is too narrow for them. The clustered interval resamples whole
objects. The percentile bootstrap has no width if all rows agree (0 % or 100 %), and too little if
few differ; read Wilson's, or Bonett and Price's, interval there. Functions import scipy.stats
themselves, because the import takes a second or two. Leaves out corrections for the number of
comparisons.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist
from typing import Any

import numpy as np

LEVEL = 0.95
Z = NormalDist().inv_cdf((1 + LEVEL) / 2)
BATCH = 2_000_000
"""Cluster draws in memory at once (about 50 MB); the value does not change results."""


@dataclass(frozen=True, slots=True)
class Interval:
    """Lower and upper end."""

    low: float
    high: float


def wilson(successes: int, n: int) -> Interval:
    """Wilson's score interval of a share of ``n`` > 0 independent rows.

    An end is exactly 0 or 1 if the share is.
    """
    from scipy.stats import binomtest

    ends = binomtest(successes, n).proportion_ci(LEVEL, method="wilson")
    low = 0.0 if successes == 0 else float(ends.low)  # scipy's end is not exactly 0 or 1
    high = 1.0 if successes == n else float(ends.high)
    return Interval(low, high)


def clustered(
    values: Sequence[float], clusters: Sequence[str], *, resamples: int, seed: int
) -> Interval | None:
    """Percentile bootstrap interval of the mean of ``values``, resampling whole clusters.

    A resample's mean is the ratio of its sum to its number of rows, because clusters differ in
    size. ``None`` with fewer than two clusters, whose variation is unknown. The order of rows does
    not matter: clusters are drawn in the order of their names, and values added in ascending order.
    """
    from scipy.stats import bootstrap

    places = {name: place for place, name in enumerate(sorted(set(clusters)))}
    if len(places) < 2:
        return None
    value_N = np.asarray(values, dtype=np.float64)
    order_N = np.argsort(value_N, kind="stable")
    place_N = np.array([places[name] for name in clusters])[order_N]
    sum_C = np.bincount(place_N, weights=value_N[order_N])
    size_C = np.bincount(place_N).astype(np.float64)
    found = bootstrap(
        (sum_C, size_C),
        _ratio_of_sums,
        paired=True,
        vectorized=True,
        method="percentile",
        confidence_level=LEVEL,
        n_resamples=resamples,
        batch=max(1, BATCH // len(places)),
        rng=np.random.default_rng(seed),
    )
    ends = found.confidence_interval
    return Interval(float(ends.low), float(ends.high))


def _ratio_of_sums(sum_RC: Any, size_RC: Any, axis: int = -1) -> Any:
    return sum_RC.sum(axis=axis) / size_RC.sum(axis=axis)


def mcnemar(only_first: int, only_second: int) -> float:
    """Exact two-sided McNemar p-value from the two numbers of discordant pairs.

    Without a difference, each discordant pair is a fair coin. 1 without discordant pairs.
    """
    from scipy.stats import binomtest

    discordant = only_first + only_second
    return float(binomtest(only_first, discordant, 0.5).pvalue) if discordant else 1.0


def paired_interval(only_first: int, only_second: int, n: int) -> Interval:
    """Bonett and Price's interval (2012) of a difference of rates over ``n`` independent pairs.

    Wald's interval with one pair added to each discordant kind, so that it has a width even if no
    discordant pair was seen.
    """
    first, second = (only_first + 1) / (n + 2), (only_second + 1) / (n + 2)
    value = first - second
    half = Z * sqrt((first + second - value**2) / (n + 2))
    return Interval(max(-1.0, value - half), min(1.0, value + half))
