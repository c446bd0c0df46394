"""Several trainings together: means, spreads and intervals worked by hand."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recap.analysis.axes import Key
from recap.analysis.evidence import Evidence
from recap.analysis.pooled import Pooled, pooled_difference, pooled_rate
from recap.types.verdicts import Outcome

PREFILL: Key = ("prefill", 1)


def rows(answers: str, per_object: int = 1) -> list[Outcome]:
    """A prompt for each character: 1, 0 or ? (unscored)."""
    return [
        Outcome(
            prompt_id=f"p{place}",
            benchmark="prefill",
            place=1,
            cluster=f"c{place // per_object}",
            success={"1": True, "0": False, "?": None}[answer],
            reflected=None,
            reflection_position=None,
        )
        for place, answer in enumerate(answers)
    ]


def evidence(**trainings: Sequence[str]) -> Evidence:
    """Answers of each variant, seed by seed."""
    cells = {
        (variant, seed): {PREFILL: rows(answers)}
        for variant, seeds in trainings.items()
        for seed, answers in enumerate(seeds)
    }
    return Evidence(cells, {}, resamples=4000, seed=0)


def rate(*seeds: str) -> Pooled:
    found = pooled_rate(evidence(a=seeds), "a", PREFILL)
    assert found is not None
    return found


def test_mean_and_spread_are_those_of_the_trainings_rates() -> None:
    found = rate("1100", "1111", "000?")
    assert found.values == {0: 0.5, 1: 1.0, 2: 0.0}
    assert (found.mean, found.sd, found.n) == (0.5, 0.5, 3)


def test_trainings_that_disagree_are_resampled_and_not_averaged() -> None:
    """Prompts that all agree leave only the seeds: both are drawn alike a fourth of the time."""
    found = rate("1" * 40, "0" * 40)
    assert (found.mean, found.low, found.high) == (0.5, 0.0, 1.0)
    assert found.sd == pytest.approx(0.5**0.5)
    # of three, all the same one is drawn in 1 of 27: more than a fortieth, so still an end
    assert (rate("1" * 40, "0" * 40, "0" * 40).low, rate("1", "0", "0").high) == (0.0, 1.0)


def test_trainings_that_agree_share_their_prompts() -> None:
    """Three alike say no more of other prompts than one does."""
    one, three = rate("1" * 30 + "0" * 10), rate(*["1" * 30 + "0" * 10] * 3)
    assert (three.mean, three.sd, three.n) == (0.75, 0.0, 40)
    assert (three.low, three.high) == pytest.approx((one.low, one.high), abs=0.026)
    assert one.sd is None


def test_objects_are_drawn_whole() -> None:
    """Twenty prompts about two objects: half of the draws are of one object alone."""
    cells = {("a", 0): {PREFILL: rows("1" * 10 + "0" * 10, per_object=10)}}
    found = pooled_rate(Evidence(cells, {}, resamples=500, seed=0), "a", PREFILL)
    assert found is not None
    assert (found.mean, found.low, found.high) == (0.5, 0.0, 1.0)


def test_all_alike_is_not_certainty() -> None:
    unseen = 1.96**2 / (12 + 1.96**2)  # Wilson's: 0 of 12
    found = rate("1" * 12, "1" * 12, "1" * 12)
    assert (found.low, found.high) == (pytest.approx(1 - unseen, abs=1e-4), 1.0)
    same = pooled_difference(evidence(a=["1" * 12], b=["1" * 12]), "a", "b", PREFILL)
    assert same is not None
    assert (same.low, same.high) == pytest.approx((-unseen, unseen), abs=1e-4)


def test_differences_are_paired_on_prompts_and_seeds() -> None:
    found = evidence(a=["1100", "11?1"], b=["0100", "1011", "0000"])
    pair = pooled_difference(found, "a", "b", PREFILL)
    assert pair is not None
    # seed 0: +1 0 0 0; seed 1: 0 +1 . 0; seed 2 has b alone
    assert pair.values == {0: 0.25, 1: pytest.approx(1 / 3)}
    assert (pair.mean, pair.n) == (pytest.approx((0.25 + 1 / 3) / 2), 3)
    back = pooled_difference(found, "b", "a", PREFILL)
    assert back is not None
    assert (back.low, back.high) == pytest.approx((-pair.high, -pair.low), abs=0.05)


@pytest.mark.parametrize("answers", [[], ["????"]])
def test_nothing_scored_is_no_rate(answers: list[str]) -> None:
    found = evidence(a=answers, b=["1111"])
    assert pooled_rate(found, "a", PREFILL) is None
    assert pooled_difference(found, "a", "b", PREFILL) is None


def test_a_training_without_a_scored_prompt_is_left_out() -> None:
    assert rate("??", "10").values == {1: 0.5}


def test_a_draw_without_a_scored_prompt_is_no_rate_of_0() -> None:
    found = rate("1" + "?" * 9, "?" * 9 + "1")
    assert (found.mean, found.n, found.high) == (1.0, 1, 1.0)
    assert found.low == pytest.approx(1 / (1 + 1.96**2), abs=1e-4)  # Wilson's: 1 of 1


@given(
    seeds=st.lists(st.text("10?", min_size=4, max_size=12), min_size=1, max_size=4),
    other=st.lists(st.text("10?", min_size=4, max_size=12), min_size=1, max_size=4),
)
def test_the_mean_lies_within_and_nothing_leaves_its_bounds(
    seeds: list[str], other: list[str]
) -> None:
    cells = evidence(a=seeds, b=other)
    cells = Evidence(cells.outcomes, {}, resamples=100, seed=0)
    found, pair = pooled_rate(cells, "a", PREFILL), pooled_difference(cells, "a", "b", PREFILL)
    if found:
        assert 0 <= found.low <= found.mean + 1e-9 and found.mean <= found.high + 1e-9 <= 1 + 1e-8
    if pair:
        assert -1 <= pair.low <= pair.high <= 1
        assert pair.low <= pair.mean + 0.3 and pair.mean - 0.3 <= pair.high
    assert pooled_rate(cells, "a", PREFILL) == found
