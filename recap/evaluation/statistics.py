"""Intervals and tests, on arrays: Wilson, the bootstrap clustered by request object, McNemar.

Two-sided, 95 %. Prompts that share a request object share its difficulty, so that Wilson's interval
is too narrow for them: the clustered one resamples whole objects. The percentile bootstrap has no
width where all rows agree (0 % or 100 %): there Wilson's is the one to read. Leaves out corrections
for the number of comparisons, and scipy.stats, whose import takes longer than all that is done here
(the tests compare with it).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

LEVEL = 0.95
Z = NormalDist().inv_cdf((1 + LEVEL) / 2)


@dataclass(frozen=True, slots=True)
class Interval:
    """Lower and upper end."""

    low: float
    high: float


def wilson(successes: int, n: int) -> Interval:
    """Wilson's score interval of a share of ``n`` > 0 independent rows.

    (p + z²/2n ± z √(p(1-p)/n + z²/4n²)) / (1 + z²/n), exactly 0 or 1 at the end that p touches.
    """
    p = successes / n
    scale = 1 + Z**2 / n
    centre = (p + Z**2 / (2 * n)) / scale
    half = Z * math.sqrt(p * (1 - p) / n + Z**2 / (4 * n**2)) / scale
    low = 0.0 if successes == 0 else centre - half
    high = 1.0 if successes == n else centre + half
    return Interval(low, high)


def clustered(
    values: Sequence[float], clusters: Sequence[str], *, resamples: int, seed: int
) -> Interval | None:
    """Percentile bootstrap interval of the mean of ``values``, resampling whole clusters.

    A resample's mean is the ratio of its sum to its number of rows, since clusters differ in size.
    ``None`` with fewer than two clusters: nothing is known of how they vary.
    """
    names = {name: place for place, name in enumerate(dict.fromkeys(clusters))}
    if len(names) < 2:
        return None
    place = np.array([names[name] for name in clusters])
    sum_C = np.bincount(place, weights=np.asarray(values, dtype=np.float64))
    size_C = np.bincount(place)
    draw_RC = np.random.default_rng(seed).integers(len(names), size=(resamples, len(names)))
    mean_R = sum_C[draw_RC].sum(axis=1) / size_C[draw_RC].sum(axis=1)
    low, high = np.quantile(mean_R, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high))


def mcnemar(only_first: int, only_second: int) -> float:
    """Exact two-sided McNemar p-value from the two numbers of discordant pairs.

    Under no difference either is a fair coin's count: twice its smaller tail, at most 1.
    """
    discordant = only_first + only_second
    smaller = min(only_first, only_second)
    tail = sum(math.comb(discordant, count) for count in range(smaller + 1))
    return min(1.0, 2 * tail / (1 << discordant))
