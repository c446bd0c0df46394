"""Slopes of J_beta: by hand, linear by construction, and paired on prompts."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recap.analysis.objective import slope, slope_difference
from recap.errors import DataError
from recap.types.verdicts import Outcome

MEANING = {"+": True, "-": False, "?": None}


def _outcomes(
    prompts: dict[str, str], benchmark: str = "harmful", clusters: dict[str, str] | None = None
) -> list[Outcome]:
    """Each prompt's samples: ``+`` success, ``-`` failure, ``?`` unscored."""
    return [
        Outcome(
            prompt_id=name,
            benchmark=benchmark,
            place=1,
            sample=number,
            success=MEANING[mark],
            cluster=(clusters or {}).get(name),
            reflected=None,
            reflection_position=None,
        )
        for name, marks in prompts.items()
        for number, mark in enumerate(marks)
    ]


def _single(marks: str, benchmark: str = "harmful") -> list[Outcome]:
    return _outcomes({f"{number:03}": mark for number, mark in enumerate(marks)}, benchmark)


def test_by_hand() -> None:
    """Four prompts count: e is unscored prefilled, f has no prefilled twin, g no clean one."""
    clean = _outcomes({"a": "++", "b": "+-", "c": "+?", "d": "--", "e": "++", "f": "--"})
    prefilled = _outcomes({"d": "++", "c": "--", "b": "--", "a": "+-", "e": "??", "g": "++"})
    found = slope(clean, prefilled, resamples=2000, seed=0)
    assert found is not None
    assert found.n == 4
    assert found.clean == pytest.approx((1 + 1 / 2 + 1 + 0) / 4)
    assert found.prefilled == pytest.approx((1 / 2 + 0 + 0 + 1) / 4)
    assert found.value == pytest.approx((-1 / 2 - 1 / 2 - 1 + 1) / 4)
    assert found.low < found.value < found.high
    assert found.at(0.25) == pytest.approx(0.75 * 0.625 + 0.25 * 0.375)


def test_difference_by_hand() -> None:
    candidate = _single("++++"), _single("+++-", "prefill")
    baseline = _single("+++-"), _single("-+--", "prefill")
    found = slope_difference(candidate, baseline, resamples=2000, seed=0)
    assert found is not None
    # the candidate leads by 1/4 clean and by 2/4 prefilled: its lead grows by 1/4
    assert (found.clean, found.prefilled, found.value, found.n) == (0.25, 0.5, 0.25, 4)
    assert found.low <= 0 <= found.high


def test_difference_takes_prompts_scored_in_all_four() -> None:
    whole, short = _single("++++"), _single("+++?")
    found = slope_difference((whole, whole), (whole, short), resamples=10, seed=0)
    assert found is not None and found.n == 3


def test_pairing_narrows_the_interval() -> None:
    """Prompts differ a lot, but each loses nothing: the slope is 0 and nothing is uncertain."""
    marks = "".join(random.Random(0).choice("+-") for _ in range(60))
    found = slope(_single(marks), _single(marks, "prefill"), resamples=500, seed=0)
    assert found is not None
    assert (found.value, found.low, found.high) == (0.0, 0.0, 0.0)


def test_interval_against_a_slow_bootstrap_over_clusters() -> None:
    rng = random.Random(1)
    names = [f"{number:03}" for number in range(120)]
    clusters = {name: f"c{rng.randrange(15):02}" for name in names}
    clean = {name: "".join(rng.choices("+-", (0.9, 0.1), k=2)) for name in names}
    hurt = {cluster: rng.choice((0.1, 0.9)) for cluster in sorted(set(clusters.values()))}
    prefilled = {
        name: "".join(rng.choices("-+", (hurt[clusters[name]], 1 - hurt[clusters[name]]), k=2))
        for name in names
    }
    found = slope(
        _outcomes(clean, "harmful", clusters),
        _outcomes(prefilled, "prefill", clusters),
        resamples=20_000,
        seed=3,
    )
    assert found is not None
    members: dict[str, list[float]] = {}
    for name in names:
        change = (prefilled[name].count("+") - clean[name].count("+")) / 2
        members.setdefault(clusters[name], []).append(change)
    means = []
    for _ in range(4000):
        drawn = [v for c in rng.choices(list(members), k=len(members)) for v in members[c]]
        means.append(sum(drawn) / len(drawn))
    low, high = np.quantile(means, [0.025, 0.975])
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.02)


MARKS = st.lists(st.text("+-?", min_size=4, max_size=4), min_size=2, max_size=25)


@settings(max_examples=50)
@given(MARKS, st.integers(0, 99))
def test_exchange_turns_the_sign(marks: list[str], seed: int) -> None:
    columns = ["".join(column) for column in zip(*marks, strict=True)]
    a, b, c, d = (_single(column) for column in columns)
    there = slope(a, b, resamples=100, seed=seed)
    back = slope(b, a, resamples=100, seed=seed)
    assert (there is None) == (back is None)
    if there is not None and back is not None:
        assert there.value == pytest.approx(there.prefilled - there.clean)
        assert (there.value, there.low, there.high) == pytest.approx(
            (-back.value, -back.high, -back.low)
        )
        assert -1 <= there.low <= there.high <= 1
        assert there.at(0) == there.clean and there.at(1) == there.prefilled
        assert there.at(0.5) == pytest.approx((there.clean + there.prefilled) / 2)
    mine = slope_difference((a, b), (c, d), resamples=100, seed=seed)
    theirs = slope_difference((c, d), (a, b), resamples=100, seed=seed)
    assert (mine is None) == (theirs is None)
    if mine is not None and theirs is not None:
        assert (mine.value, mine.low, mine.high) == pytest.approx(
            (-theirs.value, -theirs.high, -theirs.low)
        )
        assert mine.value == pytest.approx(mine.prefilled - mine.clean)
        own, other = slope(a, b, resamples=9, seed=0), slope(c, d, resamples=9, seed=0)
        assert own is not None and other is not None
        if own.n == other.n == mine.n:
            assert mine.value == pytest.approx(own.value - other.value)


def test_one_cluster_says_nothing_of_how_prompts_vary() -> None:
    same = dict.fromkeys("ab", "c")
    clean = _outcomes({"a": "+", "b": "+"}, "harmful", same)
    prefilled = _outcomes({"a": "-", "b": "+"}, "prefill", same)
    found = slope(clean, prefilled, resamples=10, seed=0)
    assert found is not None and (found.value, found.low, found.high) == (-0.5, -1.0, 1.0)
    both = slope_difference((clean, prefilled), (clean, clean), resamples=10, seed=0)
    assert both is not None and (both.value, both.low, both.high) == (-0.5, -2.0, 2.0)


def test_no_common_prompt() -> None:
    assert slope(_single("++"), _single("??"), resamples=10, seed=0) is None
    assert slope([], [], resamples=10, seed=0) is None


def test_mixed_benchmarks_are_refused() -> None:
    mixed = [*_single("+"), *_single("+", "prefill")]
    with pytest.raises(DataError, match="one benchmark and round for J_beta, got harmful 1, pre"):
        slope(mixed, _single("+"), resamples=10, seed=0)
