"""Intervals against literal values, closed forms, enumeration and a slow independent bootstrap."""

from __future__ import annotations

import math
import random
import warnings
from itertools import product
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recap.evaluation import statistics
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


def _closed_form(successes: int, n: int) -> tuple[float, float]:
    """(p + z²/2n ± z √(p(1-p)/n + z²/4n²)) / (1 + z²/n)."""
    z, p = NormalDist().inv_cdf(0.975), successes / n
    centre, half = p + z**2 / (2 * n), z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return (centre - half) / (1 + z**2 / n), (centre + half) / (1 + z**2 / n)


@given(st.integers(1, 3000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_properties(case: tuple[int, int]) -> None:
    successes, n = case
    interval, mirrored = wilson(successes, n), wilson(n - successes, n)
    assert 0 <= interval.low <= successes / n <= interval.high <= 1
    assert mirrored.low == pytest.approx(1 - interval.high, abs=1e-12)
    assert (interval.low, interval.high) == pytest.approx(_closed_form(successes, n), abs=1e-12)
    assert (interval.low == 0) == (successes == 0) and (interval.high == 1) == (successes == n)


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
def test_mcnemar_is_twice_the_smaller_tail(only_first: int, only_second: int) -> None:
    discordant, smaller = only_first + only_second, min(only_first, only_second)
    tail = sum(math.comb(discordant, count) for count in range(smaller + 1))
    expected = min(1.0, 2 * tail / 2**discordant)
    assert mcnemar(only_first, only_second) == pytest.approx(expected, rel=1e-12)
    assert mcnemar(only_second, only_first) == mcnemar(only_first, only_second)
    assert 0 < mcnemar(only_first, only_second) <= 1


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


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # scipy's standard error of one resample
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
    members = {
        "a": [1.0, 1.0, 1.0, 0.0],
        "b": [0.0, 0.0],
        "c": [1.0],
        "d": [1.0, 0.0, 1.0],
        "e": [0.0, 1.0],
        "f": [1.0] * 5,
    }
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


@given(ROWS, st.integers(0, 1000))
def test_clustered_properties(rows: list[tuple[bool, str]], seed: int) -> None:
    values, clusters = [float(value) for value, _ in rows], [name for _, name in rows]
    interval = clustered(values, clusters, resamples=2000, seed=seed)
    assert interval is not None
    assert 0 <= interval.low <= sum(values) / len(values) + 1e-9
    assert sum(values) / len(values) - 1e-9 <= interval.high <= 1
    # success and failure exchanged: the interval is mirrored
    other = clustered([1 - value for value in values], clusters, resamples=2000, seed=seed)
    assert other is not None
    assert (other.low, other.high) == pytest.approx((1 - interval.high, 1 - interval.low))
    # rows in another order, clusters with other names in the same order: nothing moves
    shuffled = random.Random(seed).sample(rows, len(rows))
    again = clustered(
        [float(value) for value, _ in shuffled],
        [f"the {name}" for name in (name for _, name in shuffled)],
        resamples=2000,
        seed=seed,
    )
    assert again == interval


def test_names_of_clusters_carry_no_weight() -> None:
    """Names in another order mean other draws of the same distribution."""
    rng = random.Random(5)
    values = [float(rng.random() < 0.7) for _ in range(600)]
    clusters = [f"{rng.randrange(60):02}" for _ in values]
    there = clustered(values, clusters, resamples=20_000, seed=1)
    back = clustered(values, [name[::-1] for name in clusters], resamples=20_000, seed=1)
    assert there is not None and back is not None and there != back
    assert (back.low, back.high) == pytest.approx((there.low, there.high), abs=0.004)


def test_the_bound_on_memory_moves_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(6)
    values = [rng.random() for _ in range(90)]
    clusters = [str(rng.randrange(30)) for _ in values]
    whole = clustered(values, clusters, resamples=500, seed=2)
    monkeypatch.setattr(statistics, "BATCH", 30 * 7)
    assert clustered(values, clusters, resamples=500, seed=2) == whole


def test_rows_that_agree_have_no_width_and_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        interval = clustered([1.0] * 5, list("aabbc"), resamples=100, seed=0)
    assert interval is not None
    assert (interval.low, interval.high) == (1.0, 1.0)
