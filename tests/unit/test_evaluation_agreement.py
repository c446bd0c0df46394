"""Agreement of two labellers, by hand and against scikit-learn and statistics."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from recap.evaluation.agreement import LabelAgreement, agreement, kappas
from recap.types.row import Label

LETTERS: dict[str, Label | None] = {"h": "helpful", "r": "refused", "u": "unclear", "?": None}


def _labels(pattern: str) -> list[Label | None]:
    return [LETTERS[letter] for letter in pattern]


def _agreement(
    first: str, second: str, clusters: str | None = None, resamples: int = 2000
) -> LabelAgreement:
    names = clusters or [str(place) for place in range(len(first))]
    return agreement(_labels(first), _labels(second), list(names), resamples=resamples, seed=0)


def test_by_hand() -> None:
    found = _agreement("hhhhrrrruu?h", "hhhrrrrhur??")
    # of ten rows 3 + 3 + 1 agree; chance is .4 x .4 + .4 x .5 + .2 x .1 = .38
    assert (found.n, found.n_unscored) == (10, 2)
    assert found.accuracy == pytest.approx(0.7)
    assert found.kappa == pytest.approx((0.7 - 0.38) / (1 - 0.38))
    assert [(c.first, c.second, c.count) for c in found.confusion] == [
        ("helpful", "helpful", 3),
        ("helpful", "refused", 1),
        ("refused", "helpful", 1),
        ("refused", "refused", 3),
        ("unclear", "refused", 1),
        ("unclear", "unclear", 1),
    ]
    assert found.low is not None and found.high is not None
    assert -1 <= found.low < found.kappa < found.high <= 1


def test_what_cannot_be_said_is_none() -> None:
    for first, second, n in (("", "", 0), ("??h", "hr?", 0)):
        found = _agreement(first, second)
        assert (found.accuracy, found.kappa, found.low, found.high) == (None,) * 4
        assert (found.n, found.confusion) == (n, ())
    same = _agreement("hhh", "hhh")
    assert (same.accuracy, same.kappa, same.low, same.high) == (1.0, None, None, None)
    one_cluster = _agreement("hrh", "hrr", "aaa")
    assert one_cluster.kappa == pytest.approx(0.4) and one_cluster.low is None


def test_two_constant_labellers_who_differ_agree_no_better_than_by_chance() -> None:
    found = _agreement("hhhh", "rrrr")
    assert (found.accuracy, found.kappa, found.low, found.high) == (0.0, 0.0, 0.0, 0.0)


def test_perfect_agreement_is_one_with_no_width() -> None:
    found = _agreement("hrhrhr" * 5, "hrhrhr" * 5)
    assert (found.accuracy, found.kappa, found.low, found.high) == (1.0, 1.0, 1.0, 1.0)


def test_rows_of_one_cluster_are_resampled_together() -> None:
    draw = random.Random(5)
    first = "".join(draw.choice("hr") for _ in range(60))
    second = "".join(mark if draw.random() < 0.8 else draw.choice("hr") for mark in first)
    alone = _agreement(first, second)
    names = [str(place) for place in range(60)] * 4  # every row four times tells nothing new
    fourfold = agreement(_labels(first * 4), _labels(second * 4), names, resamples=2000, seed=0)
    assert (fourfold.kappa, fourfold.low, fourfold.high) == pytest.approx(
        (alone.kappa, alone.low, alone.high)
    )
    unclustered = _agreement(first * 4, second * 4)
    assert unclustered.high - unclustered.low < 0.7 * (alone.high - alone.low)


def test_the_interval_covers_as_often_as_it_says() -> None:
    """100 worlds in which a coin of .8 keeps the first label: kappa is .6 in the limit."""
    covered = 0
    for world in range(100):
        draw = random.Random(world)
        first = [draw.choice("hr") for _ in range(120)]
        second = [mark if draw.random() < 0.8 else "hr"[mark == "h"] for mark in first]
        found = agreement(
            _labels("".join(first)),
            _labels("".join(second)),
            [str(i) for i in range(120)],
            resamples=200,
            seed=world,
        )
        covered += found.low <= 0.6 <= found.high
    assert 88 <= covered <= 99


@given(st.lists(st.tuples(st.sampled_from("hru"), st.sampled_from("hru")), min_size=1, max_size=40))
def test_resamples_are_scored_as_scikit_learn_scores(pairs: list[tuple[str, str]]) -> None:
    count_LL = np.zeros((3, 3))
    for ours, theirs in pairs:
        count_LL["hru".index(ours), "hru".index(theirs)] += 1
    ours, theirs = zip(*pairs, strict=True)
    [kappa] = kappas(count_LL[None])
    if len({*ours, *theirs}) == 1:
        assert np.isnan(kappa)
    else:
        assert kappa == pytest.approx(cohen_kappa_score(ours, theirs))


@pytest.mark.slow
def test_a_hundred_thousand_rows_take_no_array_of_rows_times_resamples() -> None:
    import tracemalloc

    draw = random.Random(0)
    first = "".join(draw.choices("hru", k=100_000))
    second = "".join(mark if draw.random() < 0.9 else "u" for mark in first)
    labels = _labels(first), _labels(second)
    names = [str(place) for place in range(100_000)]
    tracemalloc.start()
    found = agreement(*labels, names, resamples=50, seed=0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.n == 100_000
    assert peak < 200e6
