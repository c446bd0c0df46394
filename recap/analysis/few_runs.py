"""Statistics of few runs: interquartile mean, probability of improvement, performance profile.

Agarwal et al. 2021 (arXiv 2108.13264, "rliable"): with three to ten runs, means follow outliers and
points hide the spread. Scores are arrays [runs, tasks]; a run is a training or world seed, a task a
benchmark. Intervals are percentiles of a stratified bootstrap: runs are resampled for each task on
its own. Written here: rliable would bring arch and seaborn for these lines.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy
from numpy.typing import NDArray
from scipy.stats import mannwhitneyu, trim_mean

Scores = NDArray[numpy.float64]
"""[runs, tasks], without nan: a run without a score is left out before."""
LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Interval:
    """A statistic of all scores with its 95 % interval."""

    value: float
    low: float
    high: float


def interquartile_mean(scores: Scores) -> float:
    """The mean of the middle half of all scores, runs and tasks pooled.

    Of n scores floor(n / 4) are dropped at either end.
    """
    return float(trim_mean(scores, 0.25, axis=None))


def probability_of_improvement(mine: Scores, theirs: Scores) -> float:
    """P(a run of ``mine`` scores above one of ``theirs``), mean over tasks; a tie counts half."""
    shares = [
        mannwhitneyu(mine[:, task], theirs[:, task]).statistic / (len(mine) * len(theirs))
        for task in range(mine.shape[1])
    ]
    return float(numpy.mean(shares))


def performance_profile(scores: Scores, thresholds: Sequence[float]) -> list[float]:
    """For each threshold the share of all scores above it."""
    return [float((scores > threshold).mean()) for threshold in thresholds]


def with_interval(
    statistic: Callable[..., float], *scores: Scores, resamples: int, seed: int
) -> Interval:
    """The statistic of one or two sets of scores, with its interval over resampled runs.

    Each set is resampled on its own. Raises ValueError with fewer than two runs in a set, which
    show no spread.
    """
    if any(len(each) < 2 for each in scores):
        raise ValueError(f"Expected two runs or more, got {[len(each) for each in scores]}.")
    draw = numpy.random.default_rng(seed)
    drawn = [statistic(*(_resampled(each, draw) for each in scores)) for _ in range(resamples)]
    low, high = numpy.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(statistic(*scores), float(low), float(high))


def _resampled(scores: Scores, draw: numpy.random.Generator) -> Scores:
    runs, tasks = scores.shape
    return scores[draw.integers(runs, size=(runs, tasks)), numpy.arange(tasks)]
