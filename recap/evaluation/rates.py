"""Successes and failures -> a rate with Wilson's and the clustered interval.

What was not scored is counted and left out; without any scored row there is no value, never 0.
"""

from __future__ import annotations

from collections.abc import Sequence

from recap.evaluation.statistics import clustered, wilson
from recap.types import Metric


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
            value=None, low=None, high=None, cluster_low=None, cluster_high=None,
            n=0, n_unscored=n_unscored, n_incomplete=n_incomplete,
        )  # fmt: skip
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
