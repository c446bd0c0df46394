"""Paired differences on the same prompts, by hand."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recap.analysis.comparison import (
    compare,
    needed,
    non_inferior,
    paired_difference,
    reaches,
    superior,
)
from recap.errors import DataError
from recap.evaluation.statistics import Interval, paired_interval
from recap.types.verdicts import Outcome


def _outcomes(pattern: str, clusters: str | None = None, start: int = 0) -> list[Outcome]:
    """``+`` success, ``-`` failure, ``?`` unscored; one prompt each."""
    meaning = {"+": True, "-": False, "?": None}
    return [
        Outcome(
            prompt_id=str(number),
            benchmark="math",
            place=1,
            success=meaning[mark],
            cluster=clusters[number - start] if clusters else None,
            reflected=None,
            reflection_position=None,
        )
        for number, mark in enumerate(pattern, start=start)
    ]


def test_by_hand() -> None:
    first = _outcomes("+++++--?+-")
    second = _outcomes("++---+--?-")
    found = paired_difference(first, second, resamples=4000, seed=0)
    assert found is not None
    # 7 and 8 are unscored in one of the two; of the other eight 3 speak for the first, 1 against
    assert (found.n, found.n_unscored, found.only_first, found.only_second) == (8, 2, 3, 1)
    assert (found.first, found.second, found.room) == (0.625, 0.375, 0.625)
    assert found.value == pytest.approx(2 / 8)
    assert found.p_value == pytest.approx(0.625)  # 2 (1 + 4) / 2^4
    assert found.low < 0 < found.value < found.high


def test_pairs_are_found_by_prompt_not_by_place() -> None:
    first, second = _outcomes("++--"), _outcomes("++--")[::-1]
    found = paired_difference(first, second, resamples=100, seed=0)
    assert found is not None
    assert (found.value, found.only_first, found.only_second, found.p_value) == (0.0, 0, 0, 1.0)


def test_exchange_mirrors() -> None:
    first, second = _outcomes("+++-+--++-+-"), _outcomes("--+-+-+-+---")
    there = paired_difference(first, second, resamples=1000, seed=3)
    back = paired_difference(second, first, resamples=1000, seed=3)
    assert there is not None and back is not None
    assert (there.value, there.low, there.high) == pytest.approx(
        (-back.value, -back.high, -back.low)
    )
    assert (there.only_first, there.p_value) == (back.only_second, back.p_value)


PAIRS = st.lists(
    st.tuples(st.sampled_from("+-?"), st.sampled_from("+-?"), st.sampled_from("abcd")),
    min_size=1,
    max_size=30,
)


@given(PAIRS, st.integers(0, 99))
def test_exchange_mirrors_and_order_does_not_matter(
    pairs: list[tuple[str, str, str]], seed: int
) -> None:
    clusters = "".join(cluster for *_, cluster in pairs)
    first = _outcomes("".join(mark for mark, _, _ in pairs), clusters)
    second = _outcomes("".join(mark for _, mark, _ in pairs), clusters)
    there = paired_difference(first, second, resamples=100, seed=seed)
    back = paired_difference(second, first, resamples=100, seed=seed)
    shuffled = random.Random(seed).sample(first, len(first))
    again = paired_difference(shuffled, second, resamples=100, seed=seed)
    scored = [(a, b) for a, b, _ in pairs if "?" not in (a, b)]
    if there is None or back is None or again is None:
        assert there is None and back is None and again is None and not scored
        return
    assert there.n == len(scored)
    assert there.value == pytest.approx(sum((a == "+") - (b == "+") for a, b in scored) / there.n)
    assert (there.value, there.low, there.high) == pytest.approx(
        (-back.value, -back.high, -back.low)
    )
    assert (there.only_first, there.only_second, there.p_value) == (
        back.only_second,
        back.only_first,
        back.p_value,
    )
    assert (again.low, again.high, again.p_value) == (there.low, there.high, there.p_value)
    assert -1 <= there.low <= there.high <= 1


def test_interval_resamples_clusters() -> None:
    """Four objects of five prompts, each wholly won or wholly tied: 2 of 4 units, not 10 of 20."""
    clusters = "aaaaabbbbbcccccddddd"
    first, second = _outcomes("+" * 20, clusters), _outcomes("-" * 10 + "+" * 10, clusters)
    found = paired_difference(first, second, resamples=20_000, seed=1)
    assert found is not None
    assert found.value == 0.5
    # a resample's mean is Binomial(4, 1/2) / 4: 0 and 1 both have probability 1/16 > 2.5 %
    assert (found.low, found.high) == (0.0, 1.0)
    alone = paired_difference(
        _outcomes("+" * 20), _outcomes("-" * 10 + "+" * 10), resamples=20_000, seed=1
    )
    assert alone is not None
    # Bonett and Price: 11/22 - 1/22 less 1.96 sqrt((12/22 - (10/22)^2) / 22), wider than from 0.3
    assert alone.low == pytest.approx(0.2113, abs=1e-4)
    assert alone.high == pytest.approx(0.7, abs=0.051)


def test_agrees_with_a_slow_bootstrap() -> None:
    rng = np.random.default_rng(0)
    clusters = "".join(rng.choice(list("abcdefghijklmnopqrst"), size=150))
    marks = [
        "".join(rng.choice(["+", "-"], p=[share, 1 - share], size=150)) for share in (0.8, 0.6)
    ]
    found = paired_difference(
        _outcomes(marks[0], clusters), _outcomes(marks[1], clusters), resamples=20_000, seed=2
    )
    assert found is not None
    members: dict[str, list[int]] = {}
    for i, name in enumerate(clusters):
        members.setdefault(name, []).append((marks[0][i] == "+") - (marks[1][i] == "+"))
    slow, means = random.Random(0), []
    for _ in range(4000):
        drawn = [
            value for name in slow.choices(list(members), k=len(members)) for value in members[name]
        ]
        means.append(sum(drawn) / len(drawn))
    assert (found.low, found.high) == pytest.approx(
        tuple(np.quantile(means, [0.025, 0.975])), abs=0.012
    )


def test_a_single_cluster_says_nothing() -> None:
    found = paired_difference(
        _outcomes("++++", "aaaa"), _outcomes("----", "aaaa"), resamples=10, seed=0
    )
    assert found is not None
    assert (found.value, found.low, found.high) == (1.0, -1.0, 1.0)


@pytest.mark.parametrize(
    ("only_first", "only_second", "n", "low", "high"),
    [
        # Bonett and Price by hand: one more pair of either kind among n + 2
        (0, 0, 20, -0.1260, 0.1260),  # 1.96 sqrt((2/22) / 22)
        (1, 0, 20, -0.1077, 0.1986),  # 1/22 ± 1.96 sqrt((3/22 - 1/484) / 22)
        (0, 0, 320, -0.0086, 0.0086),
        (20, 0, 20, 0.7350, 1.0),  # 20/22 ± 1.96 sqrt((1 - 400/484) / 22), cut off at 1
    ],
)
def test_few_discordant_pairs_are_not_certainty(
    only_first: int, only_second: int, n: int, low: float, high: float
) -> None:
    found = paired_interval(only_first, only_second, n)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-4)
    assert paired_interval(only_second, only_first, n).high == pytest.approx(-found.low)


def test_a_pair_more_on_few_prompts_shows_nothing() -> None:
    """The bootstrap alone ends at 0: one success more on 20 would be no worse by 3 points."""
    first, second = _outcomes("+" * 20), _outcomes("-" + "+" * 19)
    found = paired_difference(first, second, resamples=2000, seed=0)
    assert found is not None
    assert non_inferior(found, 0.05) == superior(found) == "not enough evidence"


ENDS = st.tuples(st.floats(-1, 1), st.floats(-1, 1)).map(sorted).map(lambda ends: Interval(*ends))


@given(ENDS, st.floats(0, 1))
def test_answers_fit_together(found: Interval, margin: float) -> None:
    """What is superior is not inferior; a wider margin turns no yes into a no."""
    if superior(found) == "yes":
        assert non_inferior(found, margin) == "yes"
    if non_inferior(found, margin) == "yes":
        assert non_inferior(found, margin + 0.1) == "yes"
    if non_inferior(found, margin) == "no":
        assert superior(found) == "no"
    assert (superior(found) == "not enough evidence") == (found.low <= 0 <= found.high)


def test_reaches_by_the_lower_end() -> None:
    assert reaches(Interval(0.95, 1.0), 0.95) == "yes"
    assert reaches(Interval(0.94, 1.0), 0.95) == "not enough evidence"
    assert reaches(Interval(0.8, 0.94), 0.95) == "no"


@pytest.mark.parametrize(
    ("value", "low", "n", "bound", "rows"),
    [
        (0.0, -0.1, 100, -0.05, 401),  # half the width takes four times the rows
        (-0.05, -0.1, 100, -0.05, None),  # the value is not above the bound: no number helps
        (-0.06, -0.1, 100, -0.05, None),
    ],
)
def test_how_many_rows_would_do(
    value: float, low: float, n: int, bound: float, rows: int | None
) -> None:
    assert needed(value, low, n, bound) == rows


def test_compare_says_why_there_is_no_difference() -> None:
    some, none = _outcomes("++"), _outcomes("??")
    cases = (
        ((some, []), "no outcomes of the second"),
        (([], some), "no outcomes of the first"),
        (([], []), "no outcomes of either"),
        ((none, some), "no prompt was scored in both"),
        (
            (some, _outcomes("+++")),
            "Expected outcomes of the same prompts in both cells, got 2 and",
        ),
    )
    for (first, second), said in cases:
        found = compare("math", 1, first, second, resamples=10, seed=0)
        assert found.difference is None
        assert (found.missing or "").startswith(said)
    other = compare("math", 2, some, some, resamples=10, seed=0)
    assert other.missing == "no outcomes of either"
    assert compare("math", 1, some, some, resamples=10, seed=0).missing is None


def test_nothing_scored() -> None:
    assert paired_difference(_outcomes("??"), _outcomes("+-"), resamples=10, seed=0) is None


@pytest.mark.parametrize(("first", "second", "start"), [("++", "+++", 0), ("++", "++", 1)])
def test_other_prompts_are_refused(first: str, second: str, start: int) -> None:
    with pytest.raises(DataError, match="same prompts in both cells"):
        paired_difference(_outcomes(first), _outcomes(second, start=start), resamples=10, seed=0)
