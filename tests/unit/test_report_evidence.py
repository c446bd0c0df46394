"""What intervals say of a claim, paired evidence by hand, which variants a claim compares."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from recap.analysis.axes import NO_AXES, Key
from recap.analysis.claim_words import claim_words
from recap.analysis.claims import Claims
from recap.analysis.evidence import Evidence, Lengths
from recap.analysis.parts import MARGIN
from recap.analysis.settings import Settings
from recap.analysis.verdicts import Asked, Estimate, Verdict, together, verdict
from recap.params.whole import Params, read_params
from recap.types.verdicts import Outcome

ROOT = Path(__file__).parents[2]
PREFILL: Key = ("prefill", 1)


def rows(
    key: Key, successes: Sequence[bool | None], reflected: Sequence[bool | None] | None = None
) -> list[Outcome]:
    """One prompt each; three prompts share an object."""
    turned = reflected or [None] * len(successes)
    return [
        Outcome(
            prompt_id=f"p{place}",
            benchmark=key[0],
            place=key[1],
            cluster=f"c{place // 3}",
            success=success,
            reflected=turned[place],
            reflection_position=None,
        )
        for place, success in enumerate(successes)
    ]


def evidence(
    cells: dict[tuple[str, int], dict[Key, list[Outcome]]],
    lengths: dict[tuple[str, int], dict[tuple[Key, str], Lengths]] | None = None,
) -> Evidence:
    return Evidence(cells, lengths or {}, resamples=400, seed=0)


VERDICTS: list[tuple[Asked, list[tuple[float, float, float]], Verdict]] = [
    # asked, (low, high, room) of each training seed; margin 3 points
    ("more", [(0.01, 0.02, 0.5)] * 3, "holds"),
    ("more", [(0.01, 0.02, 0.5)], "seen in one training"),
    ("more", [(0.01, 0.02, 0.5), (0.04, 0.05, 0.5)], "seen in two trainings"),
    ("more", [(0.01, 0.02, 0.5)] * 5, "holds"),
    ("more", [(-0.01, 0.05, 0.5)], "cannot tell"),
    ("more", [(-0.02, 0.02, 0.5)], "does not hold"),  # a gain of three points is ruled out
    ("more", [(-0.02, 0.01, 0.01)], "cannot tell"),  # but it was not possible in the first place
    ("more", [(-0.05, -0.01, 0.01)], "does not hold"),
    ("more", [(0.01, 0.02, 0.5), (-0.01, 0.05, 0.5)], "cannot tell"),
    ("more", [(0.0, 0.02, 0.5)] * 3, "does not hold"),  # touches 0, and three points are ruled out
    ("no less", [(-0.02, 0.1, 0.5)] * 3, "holds"),
    ("no less", [(-0.02, 0.1, 0.5)], "seen in one training"),
    ("no less", [(-0.04, 0.1, 0.5)], "cannot tell"),
    ("no less", [(-0.1, -0.04, 0.5)], "does not hold"),
    ("same", [(-0.02, 0.02, 0.5)] * 3, "holds"),
    ("same", [(-0.02, 0.02, 0.5)] * 2, "seen in two trainings"),
    ("same", [(-0.02, 0.04, 0.5)], "cannot tell"),
    ("same", [(0.04, 0.1, 0.5)], "does not hold"),
    ("same", [(-0.1, -0.04, 0.5)], "does not hold"),
    ("more", [], "not measured"),
]


@pytest.mark.parametrize(("asked", "seeds", "said"), VERDICTS)
def test_verdict(asked: Asked, seeds: list[tuple[float, float, float]], said: Verdict) -> None:
    estimates = [Estimate((low + high) / 2, low, high, 300, room) for low, high, room in seeds]
    assert verdict(asked, estimates, MARGIN) == said


@pytest.mark.parametrize(
    ("parts", "whole"),
    [
        (["holds", "holds"], "holds"),
        (["holds", "seen in two trainings", "holds"], "seen in two trainings"),
        (["seen in one training", "seen in two trainings"], "seen in one training"),
        (["seen in one training", "cannot tell"], "cannot tell"),
        (["seen in one training", "does not hold"], "does not hold"),
        (["holds", "cannot tell"], "cannot tell"),
        (["holds", "not measured"], "cannot tell"),
        (["not measured", "not measured"], "not measured"),
        (["does not hold", "not measured", "holds"], "does not hold"),
    ],
)
def test_a_claim_of_several_parts(parts: list[Verdict], whole: Verdict) -> None:
    assert together(parts) == whole


def test_differences_are_paired_and_leave_out_what_was_not_scored() -> None:
    ours = rows(PREFILL, [True, True, True, True, None, False])
    theirs = rows(PREFILL, [False, True, None, False, True, False])
    (found,) = evidence({("a", 0): {PREFILL: ours}, ("b", 0): {PREFILL: theirs}}).difference(
        "a", "b", PREFILL
    )
    # pairs scored in both: p0 (+1), p1 (0), p3 (+1), p5 (0); of these b succeeds on one of four
    assert (found.value, found.n, found.room) == (0.5, 4, 0.75)
    # Bonett and Price: 3/6 - 1/6 ± 1.96 sqrt((4/6 - 1/9) / 6), and the bootstrap of two objects
    assert found.low == pytest.approx(0.3333 - 0.5964, abs=1e-3)
    assert found.high >= 0.3333 + 0.5963


def test_pairs_that_all_agree_are_not_certainty() -> None:
    alike = {PREFILL: rows(PREFILL, [True] * 12)}
    (found,) = evidence({("a", 0): alike, ("b", 0): alike}).difference("a", "b", PREFILL)
    # Bonett and Price: one more pair of either kind, each 1 / 14; sqrt(2 / 14 / 14) = 0.101
    assert found.value == 0
    assert (found.low, found.high) == pytest.approx((-1.96 * 0.10102, 1.96 * 0.10102), abs=1e-4)


def test_a_fall_has_the_room_that_there_was() -> None:
    start, end = ("ipr", 1), ("ipr", 3)
    cell = {start: rows(start, [True] * 6 + [False] * 6), end: rows(end, [True] * 3 + [False] * 9)}
    found = evidence({("a", 0): cell})
    (fall,), (change,) = found.fall("a", start, end), found.change("a", start, end)
    assert (fall.value, fall.room) == (0.25, 0.5)
    assert (change.value, change.room) == (-0.25, 0.5)


def test_the_gap_is_a_difference_of_differences() -> None:
    clean: Key = ("harmful", 1)
    cells = {
        ("a", 0): {
            clean: rows(clean, [True] * 9 + [False] * 3),
            PREFILL: rows(PREFILL, [True] * 12),
        },
        ("b", 0): {
            clean: rows(clean, [True] * 12),
            PREFILL: rows(PREFILL, [True] * 6 + [False] * 6),
        },
    }
    (found,) = evidence(cells).gap_change("a", "b", clean, PREFILL)
    assert found.value == pytest.approx((1 - 0.5) - (0.75 - 1))


def test_a_mean_over_benchmarks_weighs_them_alike() -> None:
    hijack: Key = ("hijack", 1)
    cell = {PREFILL: rows(PREFILL, [True] * 12), hijack: rows(hijack, [True, False, None])}
    found = evidence({("a", 0): cell}).mean_rate("a", 0, [PREFILL, hijack])
    assert found is not None
    assert (found.value, found.n) == (0.75, 2)
    assert evidence({("a", 0): cell}).mean_rate("a", 0, [PREFILL, ("ipr", 1)]) is None


def test_lengths_are_compared_on_what_both_wrote() -> None:
    def wrote(tokens: Sequence[int]) -> dict[tuple[Key, str], Lengths]:
        return {(PREFILL, f"p{n}"): Lengths(f"c{n}", count) for n, count in enumerate(tokens)}

    found = evidence(
        {},
        {
            ("a", 0): wrote([12, 12, 12, 999]),
            ("b", 0): wrote([10, 10, 10]),
            ("a", 1): wrote([5, 5]),
            ("b", 1): wrote([10, 10]),
            ("a", 2): wrote([7, 7]),
        },
    )
    first, second = found.length_change("a", "b")  # b was not trained at seed 2
    assert first.value == pytest.approx(0.2)
    assert (first.low, first.high, first.n) == (pytest.approx(0.2), pytest.approx(0.2), 3)
    assert (second.value, second.n) == (-0.5, 2)


def params(*variants: str) -> Params:
    """The project's parameters with a matrix of these variants."""
    found = read_params(ROOT / "params.yaml")
    matrix = found.matrix.model_copy(update={"variants": variants})
    return found.model_copy(update={"matrix": matrix})


def settings(*variants: str) -> Settings:
    found = params(*variants)
    train = {name: found.for_variant(name) for name in found.variants}
    return Settings(train, found.matrix.variants, "recap", "dapo")


def test_variants_are_found_by_what_they_train_with() -> None:
    some = settings("base", "dapo", "recap", "alpha_25", "binary", "length_20_80")
    assert some.sweep("alpha") == {0.0: "dapo", 0.25: "alpha_25", 0.5: "recap"}
    assert some.sweep("prefill_length") == {80.0: "recap"}  # a range has no place on the axis
    assert some.twin("recap", safety_reward="binary") == "binary"
    assert some.twin("dapo", safety_reward="binary") == "binary_clean"
    assert some.twin("recap", prefill_source="aligned") == "aligned"
    assert some.twin("recap", alpha=0.33) is None


def attacked(share: float, n: int = 240) -> dict[Key, list[Outcome]]:
    """A cell with one benchmark in which ``share`` of the answers are safe."""
    return {PREFILL: rows(PREFILL, [place < share * n for place in range(n)])}


def test_claims_whose_cells_were_not_run_never_hold() -> None:
    found = evidence({("recap", 0): attacked(0.95), ("dapo", 0): attacked(0.4)})
    claims = Claims(found, settings("dapo", "recap"), NO_AXES, []).all()
    said = {claim.number: claim.verdict for claim in claims}
    assert [claim.number for claim in claims] == list(range(1, 10))
    assert "holds" not in said.values()
    assert said[1] == said[5] == "cannot tell"  # one part is shown, others were not measured
    assert {said[number] for number in (2, 3, 4, 6, 7, 8, 9)} == {"not measured"}
    needs = {claim.number: claim_words(claim).needs for claim in claims}
    assert needs[6] == (
        "Not measured here: needs the variants binary and binary_clean in matrix.variants; the "
        "variants grpo and grpo_clean in matrix.variants."
    )
    assert needs[5] == "Not measured here: needs the variant aligned in matrix.variants."
    assert "the benchmark jailbreak" in needs[1]


def test_an_ablation_is_tested_on_its_own_twins() -> None:
    shares = {"recap": 0.95, "dapo": 0.4, "aligned": 0.1, "binary": 0.9, "binary_clean": 0.95}
    cells = {(name, seed): attacked(share) for name, share in shares.items() for seed in range(3)}
    some = settings("dapo", "recap", "aligned", "binary", "binary_clean")
    claims = {claim.number: claim for claim in Claims(evidence(cells), some, NO_AXES, []).all()}
    assert claims[5].verdict == "holds"
    counter, none = claims[5].parts
    assert counter.estimates[0].value == pytest.approx(0.55)
    assert none.estimates[0].value == pytest.approx(0.3)
    assert none.paper == pytest.approx((24.59,))
    assert claims[6].verdict == "does not hold"  # with a binary reward prefills made it worse


@pytest.mark.parametrize(
    ("trainings", "verdict"),
    [(1, "seen in one training"), (2, "seen in two trainings"), (3, "holds")],
)
def test_what_few_trainings_show_does_not_hold(trainings: int, verdict: str) -> None:
    shares = {"recap": 0.95, "dapo": 0.4, "aligned": 0.1}
    cells = {
        (name, seed): attacked(share) for name, share in shares.items() for seed in range(trainings)
    }
    some = settings("dapo", "recap", "aligned")
    claim = Claims(evidence(cells), some, NO_AXES, []).all()[4]
    assert claim.verdict == verdict
    assert claim_words(claim).verdict == verdict


def test_words_of_a_part() -> None:
    found = evidence({("recap", 0): attacked(0.99), ("dapo", 0): attacked(0.99)})
    claim = Claims(found, settings("dapo", "recap"), NO_AXES, []).all()[0]
    assert claim.parts[0].verdict == "cannot tell"
    assert claim.parts[0].estimates[0].room == pytest.approx(2 / 240)
    words = claim_words(claim).parts[0]
    assert words.here.endswith("(room for 0.8 alone)")
    assert (words.asked, words.paper) == ("above 0", "+19.5, +17.6")
