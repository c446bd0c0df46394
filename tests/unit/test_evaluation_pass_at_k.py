"""pass@k against counting every subset, and which samples and prompts it is made of."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recap.evaluation.pass_at_k import any_of, pass_at_k, sizes
from recap.evaluation.rates import rate
from recap.types.verdicts import Outcome

MEANING = {"+": True, "-": False, "?": None}


def _outcomes(prompts: dict[str, str], clusters: dict[str, str] | None = None) -> list[Outcome]:
    """Each prompt's samples: ``+`` success, ``-`` failure, ``?`` unscored."""
    return [
        Outcome(
            prompt_id=name,
            benchmark="math",
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


CASES = st.integers(1, 9).flatmap(
    lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))
)


@given(CASES)
def test_any_of_is_the_share_of_subsets_with_a_success(case: tuple[int, int, int]) -> None:
    n, successes, k = case
    subsets = list(combinations(range(n), k))
    hits = sum(any(member < successes for member in subset) for subset in subsets)
    assert any_of(n, successes, k) == pytest.approx(hits / len(subsets), abs=1e-15)


@given(CASES)
def test_any_of_grows_with_k_and_ends_at_any(case: tuple[int, int, int]) -> None:
    n, successes, k = case
    assert 0 <= any_of(n, successes, k) <= 1
    if k > 1:
        assert any_of(n, successes, k - 1) <= any_of(n, successes, k)
    assert any_of(n, successes, 1) == pytest.approx(successes / n)
    assert any_of(n, successes, n) == float(successes > 0)


def test_no_float_overflows() -> None:
    """C(2000, 1000) has 600 digits."""
    assert any_of(2000, 1, 1000) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("samples", "expected"),
    [(0, []), (1, []), (2, [1, 2]), (4, [1, 2, 4]), (6, [1, 2, 4, 6]), (16, [1, 2, 4, 8, 16])],
)
def test_sizes(samples: int, expected: list[int]) -> None:
    assert sizes(samples) == expected


def test_by_hand() -> None:
    """Of four samples 2, 0 and (of three scored) 1 succeed; the last prompt has one scored."""
    found = pass_at_k(
        _outcomes({"a": "+-+-", "b": "----", "c": "-+?-", "d": "+???"}), resamples=100, seed=0
    )
    assert [(row.k, row.n_prompts) for row in found] == [(1, 4), (2, 3), (4, 2)]
    assert [row.value for row in found] == [
        pytest.approx((1 / 2 + 0 + 1 / 3 + 1) / 4),
        pytest.approx((5 / 6 + 0 + 2 / 3) / 3),  # 1 - C(2,2)/C(4,2), 0, 1 - C(2,2)/C(3,2)
        pytest.approx((1 + 0) / 2),
    ]


def test_without_enough_scored_samples_there_is_no_value() -> None:
    found = pass_at_k(_outcomes({"a": "+?", "b": "??"}), resamples=10, seed=0)
    assert [(row.k, row.value, row.low, row.high, row.n_prompts) for row in found] == [
        (1, 1.0, None, None, 1),  # one prompt: nothing is known of how prompts vary
        (2, None, None, None, 0),
    ]


def test_one_sample_has_no_pass_at_k() -> None:
    assert pass_at_k(_outcomes({"a": "+", "b": "-"}), resamples=10, seed=0) == []


MARKS = st.lists(st.text("+-", min_size=4, max_size=4), min_size=3, max_size=12)


@given(MARKS, st.integers(0, 100))
def test_k_of_one_is_the_rate(marks: list[str], seed: int) -> None:
    """Same value and, with as many samples each, the same interval; every k lies in its own."""
    prompts = {f"p{number:02}": own for number, own in enumerate(marks)}
    clusters = {name: f"c{number % 3}" for number, name in enumerate(prompts)}
    rows = _outcomes(prompts, clusters)
    found = pass_at_k(rows, resamples=200, seed=seed)
    expected = rate(
        [row.success for row in rows],
        [row.cluster or "" for row in rows],
        n_incomplete=0,
        resamples=200,
        seed=seed,
    )
    assert (found[0].value, found[0].low, found[0].high) == pytest.approx(
        (expected.value, expected.cluster_low, expected.cluster_high)
    )
    values = [row.value for row in found]
    assert values == sorted(values)
    for row in found:
        assert row.low is not None and row.high is not None and row.value is not None
        assert 0 <= row.low <= row.high <= 1
