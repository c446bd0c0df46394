"""Intervals against literal values, enumeration, a slow independent bootstrap, and scipy."""

from __future__ import annotations

import random
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from recap.evaluation.statistics import clustered, mcnemar, wilson

# By hand with z² = 3.841459: at 0 of n the upper end is z² / (n + z²) = 3.841459 / 303.841459;
# at one half the ends are 1/2 ± z / (2 √(n + z²)) = 0.5 ± 1.959964 / (2 * 17.431049).
WILSON = [
    (0, 300, 0.0, 0.012643),
    (150, 300, 0.443780, 0.556220),
    (300, 300, 0.987357, 1.0),
    (1, 1, 0.206549, 1.0),
    (285, 300, 0.919153, 0.969468),
]


@pytest.mark.parametrize(("successes", "n", "low", "high"), WILSON)
def test_wilson_by_hand(successes: int, n: int, low: float, high: float) -> None:
    interval = wilson(successes, n)
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=1e-6)


@given(st.integers(1, 3000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_properties(case: tuple[int, int]) -> None:
    successes, n = case
    interval, mirrored = wilson(successes, n), wilson(n - successes, n)
    assert 0 <= interval.low <= successes / n <= interval.high <= 1
    assert mirrored.low == pytest.approx(1 - interval.high, abs=1e-12)
    expected = binomtest(successes, n).proportion_ci(0.95, method="wilson")
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), abs=1e-12)


@pytest.mark.parametrize(
    ("only_first", "only_second", "p_value"),
    [
        (0, 0, 1.0),
        (5, 5, 1.0),
        (5, 0, 0.0625),  # 2 / 2^5
        (1, 7, 0.0703125),  # 2 (1 + 8) / 2^8
        (7, 1, 0.0703125),
    ],
)
def test_mcnemar_by_hand(only_first: int, only_second: int, p_value: float) -> None:
    assert mcnemar(only_first, only_second) == p_value


@given(st.integers(0, 80), st.integers(0, 80))
def test_mcnemar_agrees_with_scipy(only_first: int, only_second: int) -> None:
    if only_first + only_second:
        expected = binomtest(only_first, only_first + only_second, 0.5).pvalue
        assert mcnemar(only_first, only_second) == pytest.approx(expected, rel=1e-9)


def _enumerated(members: dict[str, list[float]]) -> tuple[float, float]:
    """The exact percentile interval: every one of the C^C equally likely resamples."""
    means = []
    for drawn in product(members.values(), repeat=len(members)):
        rows = [value for cluster in drawn for value in cluster]
        means.append(sum(rows) / len(rows))
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def _looped(members: dict[str, list[float]], resamples: int) -> tuple[float, float]:
    rng = random.Random(1)
    names = list(members)
    means = []
    for _ in range(resamples):
        total, count = 0.0, 0
        for name in rng.choices(names, k=len(names)):
            total += sum(members[name])
            count += len(members[name])
        means.append(total / count)
    means.sort()
    return means[round(0.025 * resamples)], means[round(0.975 * resamples)]


def _flat(members: dict[str, list[float]]) -> tuple[list[float], list[str]]:
    pairs = [(value, name) for name, values in members.items() for value in values]
    random.Random(2).shuffle(pairs)  # rows of a cluster need not be neighbours
    return [value for value, _ in pairs], [name for _, name in pairs]


def test_two_clusters_by_hand() -> None:
    """aa, ab, ba, bb with means 1, 2/3, 2/3, 0: a mean of cluster means would give 1/2 for ab."""
    values, clusters = [1.0, 1.0, 0.0], ["a", "a", "b"]
    interval = clustered(values, clusters, resamples=4000, seed=0)
    assert interval is not None
    assert (interval.low, interval.high) == (0.0, 1.0)
    once = {
        round(found.low, 9)
        for seed in range(40)
        if (found := clustered(values, clusters, resamples=1, seed=seed)) is not None
    }
    assert once == {0.0, round(2 / 3, 9), 1.0}


def test_clustered_against_enumeration() -> None:
    members = {"a": [1.0, 1.0, 1.0, 0.0], "b": [0.0, 0.0], "c": [1.0], "d": [1.0, 0.0, 1.0],
               "e": [0.0, 1.0], "f": [1.0] * 5}  # fmt: skip
    interval = clustered(*_flat(members), resamples=40_000, seed=3)
    assert interval is not None
    assert (interval.low, interval.high) == pytest.approx(_enumerated(members), abs=0.02)


def test_clustered_against_a_slow_bootstrap() -> None:
    rng = random.Random(0)
    members: dict[str, list[float]] = {}
    for name in range(40):
        share = rng.choice([0.2, 0.95])  # rows of a cluster resemble one another
        members[str(name)] = [float(rng.random() < share) for _ in range(rng.randint(2, 12))]
    values, clusters = _flat(members)
    interval = clustered(values, clusters, resamples=20_000, seed=4)
    assert interval is not None
    assert (interval.low, interval.high) == pytest.approx(_looped(members, 20_000), abs=0.006)
    naive = wilson(int(sum(values)), len(values))
    assert interval.high - interval.low > 1.3 * (naive.high - naive.low)


def test_clustered_needs_two_clusters() -> None:
    assert clustered([1.0, 0.0, 1.0], ["a", "a", "a"], resamples=10, seed=0) is None


ROWS = st.lists(
    st.tuples(st.booleans(), st.sampled_from("abcdefgh")), min_size=2, max_size=60
).filter(lambda rows: len({name for _, name in rows}) > 1)


@settings(max_examples=60, deadline=None)
@given(ROWS, st.integers(0, 1000))
def test_clustered_properties(rows: list[tuple[bool, str]], seed: int) -> None:
    values, clusters = [float(value) for value, _ in rows], [name for _, name in rows]
    interval = clustered(values, clusters, resamples=2000, seed=seed)
    assert interval is not None
    assert 0 <= interval.low <= sum(values) / len(values) + 1e-9
    assert sum(values) / len(values) - 1e-9 <= interval.high <= 1
    # success and failure exchanged: the interval is mirrored; clusters renamed: nothing moves
    other = clustered([1 - value for value in values], clusters, resamples=2000, seed=seed)
    assert other is not None
    assert (other.low, other.high) == pytest.approx((1 - interval.high, 1 - interval.low))
    renamed = clustered(values, [f"the {name}" for name in clusters], resamples=2000, seed=seed)
    assert renamed == interval
