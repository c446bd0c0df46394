"""Successes and failures -> a rate with Wilson's and the clustered interval.

Unscored rows are counted but left out of the rate. Without scored rows the rate is None, never 0.
"""

from __future__ import annotations

from collections.abc import Sequence

from recap.evaluation.statistics import Interval, clustered, wilson
from recap.types.results import Metric


def rate(
    values: Sequence[bool | None],
    clusters: Sequence[str],
    *,
    n_incomplete: int,
    resamples: int,
    seed: int,
) -> Metric:
    """The share of ``True`` among the scored values, with both intervals."""
    scored = [
        (value, name) for value, name in zip(values, clusters, strict=True) if value is not None
    ]
    n, n_unscored = len(scored), len(values) - len(scored)
    if not n:
        return Metric(
            value=None,
            low=None,
            high=None,
            cluster_low=None,
            cluster_high=None,
            n=0,
            n_unscored=n_unscored,
            n_incomplete=n_incomplete,
        )
    successes = sum(value for value, _ in scored)
    ends = wilson(successes, n)
    by_cluster = clustered(
        [float(value) for value, _ in scored],
        [name for _, name in scored],
        resamples=resamples,
        seed=seed,
    )
    return Metric(
        value=successes / n,
        low=ends.low,
        high=ends.high,
        cluster_low=by_cluster.low if by_cluster else None,
        cluster_high=by_cluster.high if by_cluster else None,
        n=n,
        n_unscored=n_unscored,
        n_incomplete=n_incomplete,
    )


def span(metric: Metric) -> Interval:
    """The wider of the two intervals; [0, 1] if nothing was scored.

    Wilson's interval ignores that requests with the same object are not independent. The clustered
    interval has no width if all rows agree.
    """
    lows = [low for low in (metric.low, metric.cluster_low) if low is not None]
    highs = [high for high in (metric.high, metric.cluster_high) if high is not None]
    return Interval(min(lows, default=0.0), max(highs, default=1.0))


def unscored_bounds(metric: Metric) -> Interval | None:
    """The rate if all unscored rows had failed, and if all had passed; ``None`` without such rows.

    Unscored rows are seldom a random sample.
    """
    if not metric.n_unscored:
        return None
    successes = round((metric.value or 0.0) * metric.n)
    total = metric.n + metric.n_unscored
    return Interval(successes / total, (successes + metric.n_unscored) / total)
