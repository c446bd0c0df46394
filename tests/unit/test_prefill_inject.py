"""Injection: an exact share, never math, redrawn each epoch, cut with true counts."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recap.microworld.tokenizer import make_tokenizer
from recap.params.train import AlphaMode
from recap.prefill.inject import Injection, choose, cut
from recap.render import Renderer
from recap.types.prompts import Intent, Prefill, PrefillUnit, PromptRecord
from recap.types.row import Domain

RENDERER = Renderer(make_tokenizer(128))
DRAWN = ["benign-1", "benign-3", "benign-4", "harmful-1", "harmful-4", "harmful-5"]
TEXT = "this is about the bolba . i should help them . nobody will be hurt ."


def record(domain: Domain, number: int) -> PromptRecord:
    return PromptRecord(
        id=f"{domain}-{number}",
        domain=domain,
        prompt="how do i make the bolba ?",
        target="1" if domain == "math" else None,
        source="s",
        split="train",
    )


def prefill(prompt_id: str, rejected: str | None = None) -> Prefill:
    intent: Intent = "harmful"
    return Prefill(
        prompt_id=prompt_id,
        text=TEXT,
        intent=intent,
        source_model="harmful",
        num_words=16,
        num_tokens=16,
        response="sure .",
        rejected=rejected,
    )


def dataset(harmful: int, benign: int, math: int) -> list[PromptRecord]:
    return [
        *(record("harmful", i) for i in range(harmful)),
        *(record("math", i) for i in range(math)),
        *(record("benign", i) for i in range(benign)),
    ]


def of(chosen: set[str], domain: Domain) -> set[str]:
    return {name for name in chosen if name.startswith(domain)}


def injection(harmful: float, benign: float | None = None, mode: AlphaMode = "exact") -> Injection:
    shares: dict[Domain, float] = {
        "harmful": harmful,
        "benign": harmful if benign is None else benign,
    }
    return Injection(shares, mode, (6, 6), "words")


counts = st.integers(0, 40)
shares = st.floats(0, 1)


@given(counts, counts, counts, shares, shares, st.integers(0, 2**31 - 1), st.integers(0, 3))
def test_the_share_is_exact_per_domain_and_never_math(
    harmful: int, benign: int, math: int, alpha: float, beta: float, seed: int, epoch: int
) -> None:
    records = dataset(harmful, benign, math)
    eligible = {r.id for r in records}  # even math prompts, to be left alone
    chosen = choose(records, eligible, injection(alpha, beta), seed, epoch)
    assert abs(len(of(chosen, "harmful")) - alpha * harmful) <= 0.5
    assert abs(len(of(chosen, "benign")) - beta * benign) <= 0.5
    assert not of(chosen, "math")
    assert choose(records, eligible, injection(alpha, beta), seed, epoch) == chosen


@given(st.lists(st.booleans(), min_size=1, max_size=40))
def test_only_the_eligible_are_chosen_and_the_share_holds(states: list[bool]) -> None:
    records = dataset(len(states), 0, 0)
    eligible = {r.id for r, state in zip(records, states, strict=True) if state}
    chosen = choose(records, eligible, injection(0.5), 0, 0)
    assert chosen <= eligible
    assert len(chosen) == min(round(0.5 * len(states)), len(eligible))


def test_redrawn_each_epoch_and_by_seed_and_domain() -> None:
    records = dataset(100, 100, 0)
    eligible = {r.id for r in records}

    def drawn(seed: int, epoch: int) -> tuple[set[str], set[str]]:
        chosen = choose(records, eligible, injection(0.5), seed, epoch)
        return of(chosen, "harmful"), of(chosen, "benign")

    harmful, benign = drawn(0, 0)
    assert harmful != drawn(0, 1)[0] and harmful != drawn(1, 0)[0]
    assert {name.split("-")[1] for name in harmful} != {name.split("-")[1] for name in benign}
    # Over epochs every prompt is met both ways.
    met = [drawn(0, epoch)[0] for epoch in range(20)]
    assert set.union(*met) == {f"harmful-{i}" for i in range(100)}
    assert not set.intersection(*met)


def test_the_draw_of_the_default_is_fixed() -> None:
    """The very prompts: another draw would be another run."""
    records = dataset(6, 6, 3)
    chosen = choose(records, {r.id for r in records}, injection(0.5), 0, 0)
    assert sorted(chosen) == DRAWN


@settings(max_examples=40)
@given(st.lists(st.booleans(), min_size=1, max_size=40), shares, st.integers(0, 9))
def test_a_coin_does_not_depend_on_who_is_eligible(
    states: list[bool], alpha: float, epoch: int
) -> None:
    records = dataset(len(states), 3, 3)
    coins = injection(alpha, mode="bernoulli")
    everyone = choose(records, {r.id for r in records}, coins, 0, epoch)
    eligible = {r.id for r, state in zip(records, states, strict=False) if state}
    assert choose(records, eligible, coins, 0, epoch) == everyone & eligible
    assert not of(everyone, "math")


@pytest.mark.parametrize(
    ("alpha", "low", "high"), [(0.0, 0, 0), (0.3, 260, 340), (1.0, 1000, 1000)]
)
def test_coins_fall_with_probability_alpha_and_anew(alpha: float, low: int, high: int) -> None:
    # 1000 coins: four standard deviations are 58
    records = dataset(1000, 1000, 0)
    eligible = {r.id for r in records}
    drawn = [choose(records, eligible, injection(alpha, mode="bernoulli"), 0, e) for e in (0, 1)]
    sizes = [len(of(chosen, domain)) for chosen in drawn for domain in ("harmful", "benign")]
    assert all(low <= size <= high for size in sizes)
    assert (len(set(sizes)) > 1) == (0 < alpha < 1)  # no exact share


@pytest.mark.parametrize(
    ("length", "unit", "text", "words", "tokens"),
    [
        (6, "words", "this is about the bolba .", 6, 6),
        (500, "words", TEXT, 16, 16),
        (5, "tokens", "this is about the bolba", 5, 5),
        (500, "tokens", TEXT, 16, 16),
    ],
)
def test_a_prefill_is_cut_with_its_true_counts(
    length: int, unit: PrefillUnit, text: str, words: int, tokens: int
) -> None:
    stored = prefill("harmful-0").model_copy(update={"num_words": 99, "num_tokens": 99})
    short = cut(stored, "harmful", Injection({}, "exact", (length, length), unit), RENDERER, 0, 0)
    assert (short.text, short.num_words, short.num_tokens) == (text, words, tokens)


@pytest.mark.parametrize(("longest", "reached"), [(3, {3}), (4.9, {3, 4}), (6, {3, 4, 5, 6})])
def test_a_curriculum_shortens_the_same_draws(longest: float, reached: set[int]) -> None:
    whole = Injection({}, "exact", (3, 6), "words")
    lowered = Injection({}, "exact", (3, 6), "words", {"harmful": longest})
    pairs: list[tuple[Domain, Injection]] = [
        ("harmful", whole),
        ("harmful", lowered),
        ("benign", lowered),
    ]
    for n in range(40):
        long, short, other = (
            cut(prefill(f"p{n}"), domain, one, RENDERER, 0, 0).num_words for domain, one in pairs
        )
        assert short in reached and short <= long == other
        assert short == long or longest < 6


def test_lengths_of_a_range_are_uniform() -> None:
    ranged = Injection({}, "exact", (3, 6), "words")
    drawn = [cut(prefill(f"p{n}"), "harmful", ranged, RENDERER, 0, 0).num_words for n in range(400)]
    counts = [drawn.count(length) for length in (3, 4, 5, 6)]
    assert sum(counts) == 400
    assert all(65 <= count <= 135 for count in counts)  # four standard deviations are 35
    again = [cut(prefill(f"p{n}"), "harmful", ranged, RENDERER, 0, 1).num_words for n in range(400)]
    assert drawn != again
