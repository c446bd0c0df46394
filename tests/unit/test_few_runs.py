"""Statistics of few runs, by hand and by counting pairs."""

from __future__ import annotations

import itertools

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recap.analysis.few_runs import (
    Scores,
    interquartile_mean,
    performance_profile,
    probability_of_improvement,
    with_interval,
)


def column(*values: float) -> Scores:
    return numpy.array(values, dtype=float)[:, None]


@pytest.mark.parametrize(
    ("values", "mean"),
    [
        ((1, 2, 3, 4), 2.5),  # 2 and 3
        ((0, 10, 20, 30, 1000), 20.0),  # 10, 20 and 30: one is dropped at either end
        ((5, 1, 1, 1, 9, 9, 9, 5), 5.0),  # 1 5 5 9
        ((7, 9), 8.0),  # too few to drop any
    ],
)
def test_the_interquartile_mean_is_the_middle_halfs(values: tuple[float, ...], mean: float) -> None:
    assert interquartile_mean(column(*values)) == pytest.approx(mean)
    assert interquartile_mean(column(*values).T) == pytest.approx(mean)  # runs and tasks pooled


def test_the_probability_of_improvement_counts_pairs() -> None:
    # 3 > 1, 3 > 2, 2 > 1, 2 = 2: 3.5 of 4
    assert probability_of_improvement(column(3, 2), column(1, 2)) == pytest.approx(3.5 / 4)
    both = numpy.hstack([column(3, 2), column(0, 0)])
    theirs = numpy.hstack([column(1, 2), column(5, 6)])
    assert probability_of_improvement(both, theirs) == pytest.approx(3.5 / 8)


scores = st.lists(st.integers(0, 5), min_size=2, max_size=6)


@given(scores, scores)
def test_it_is_what_counting_gives(mine: list[int], theirs: list[int]) -> None:
    pairs = [(a > b) + 0.5 * (a == b) for a, b in itertools.product(mine, theirs)]
    found = probability_of_improvement(column(*mine), column(*theirs))
    assert found == pytest.approx(sum(pairs) / len(pairs))
    assert probability_of_improvement(column(*theirs), column(*mine)) == pytest.approx(1 - found)


def test_a_profile_is_the_share_above_each_threshold() -> None:
    table = numpy.array([[0.9, 0.5], [1.0, 0.7]])
    assert performance_profile(table, [0.4, 0.5, 0.8, 1.0]) == [1.0, 0.75, 0.5, 0.0]


def test_intervals_hold_the_value_and_shrink_with_runs() -> None:
    draw = numpy.random.default_rng(0)
    few, many = (draw.normal(50, 10, size=(runs, 2)) for runs in (5, 80))
    widths = []
    for each in (few, many):
        found = with_interval(interquartile_mean, each, resamples=400, seed=1)
        assert found.low <= found.value <= found.high
        assert found == with_interval(interquartile_mean, each, resamples=400, seed=1)
        widths.append(found.high - found.low)
    assert widths[1] < widths[0] / 2  # the square root of 16 is 4
    assert 50 - 5 < found.value < 50 + 5


def test_runs_are_resampled_within_their_task() -> None:
    """Tasks that differ by 100 stay apart: an interval is never wider than one task's spread."""
    apart = numpy.array([[0.0, 100.0], [1.0, 101.0], [2.0, 102.0]])
    found = with_interval(lambda scores: float(scores.mean()), apart, resamples=300, seed=0)
    assert found.value == 51.0
    assert 50.0 <= found.low < found.high <= 52.0


def test_equal_runs_have_no_spread_and_one_run_has_no_interval() -> None:
    same = column(0.4, 0.4, 0.4)
    found = with_interval(probability_of_improvement, same, same, resamples=50, seed=0)
    assert (found.value, found.low, found.high) == (0.5, 0.5, 0.5)
    with pytest.raises(ValueError, match="two runs or more"):
        with_interval(interquartile_mean, column(0.4), resamples=50, seed=0)
