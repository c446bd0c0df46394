"""Injection: an exact share, never math, redrawn each epoch, cut with true counts."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from recap.microworld.tokenizer import make_tokenizer
from recap.prefill.inject import inject
from recap.render import Renderer
from recap.types import Domain, Intent, Prefill, PrefilledPrompt, PromptRecord

RENDERER = Renderer(make_tokenizer(128))
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
        prompt_id=prompt_id, text=TEXT, intent=intent, source_model="harmful",
        num_words=16, num_tokens=16, response="sure .", rejected=rejected,
    )  # fmt: skip


def dataset(harmful: int, benign: int, math: int) -> list[PromptRecord]:
    return [
        *(record("harmful", i) for i in range(harmful)),
        *(record("math", i) for i in range(math)),
        *(record("benign", i) for i in range(benign)),
    ]


def prefilled(prompts: list[PrefilledPrompt], domain: Domain) -> set[str]:
    return {p.record.id for p in prompts if p.prefill is not None and p.record.domain == domain}


counts = st.integers(0, 40)
shares = st.floats(0, 1)


@settings(max_examples=60, deadline=None)
@given(counts, counts, counts, shares, st.integers(0, 2**31 - 1), st.integers(0, 3))
def test_the_share_is_exact_per_domain_and_never_math(
    harmful: int, benign: int, math: int, alpha: float, seed: int, epoch: int
) -> None:
    records = dataset(harmful, benign, math)
    # Even math prompts have a prefill here, to be left alone.
    prefills = {r.id: prefill(r.id) for r in records}
    prompts = inject(records, prefills, alpha, 6, RENDERER, seed, epoch)
    assert [p.record for p in prompts] == records
    assert abs(len(prefilled(prompts, "harmful")) - alpha * harmful) <= 0.5
    assert abs(len(prefilled(prompts, "benign")) - alpha * benign) <= 0.5
    assert not prefilled(prompts, "math")
    assert all(p.prefill is None or p.prefill.prompt_id == p.record.id for p in prompts)
    assert inject(records, prefills, alpha, 6, RENDERER, seed, epoch) == prompts


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.data())
def test_prompts_without_a_verified_prefill_stay_clean_and_the_share_holds(
    count: int, data: st.DataObject
) -> None:
    records = dataset(count, 0, 0)
    states = data.draw(st.lists(st.sampled_from("vrm"), min_size=count, max_size=count))
    prefills = {
        r.id: prefill(r.id, None if state == "v" else "turns round")
        for r, state in zip(records, states, strict=True)
        if state != "m"
    }
    prompts = inject(records, prefills, 0.5, 6, RENDERER, 0, 0)
    verified = {r.id for r, state in zip(records, states, strict=True) if state == "v"}
    assert prefilled(prompts, "harmful") <= verified
    assert len(prefilled(prompts, "harmful")) == min(round(0.5 * count), len(verified))


def test_redrawn_each_epoch_and_by_seed_and_domain() -> None:
    records = dataset(100, 100, 0)
    prefills = {r.id: prefill(r.id) for r in records}

    def drawn(seed: int, epoch: int) -> tuple[set[str], set[str]]:
        prompts = inject(records, prefills, 0.5, 6, RENDERER, seed, epoch)
        return prefilled(prompts, "harmful"), prefilled(prompts, "benign")

    harmful, benign = drawn(0, 0)
    assert harmful != drawn(0, 1)[0] and harmful != drawn(1, 0)[0]
    assert {name.split("-")[1] for name in harmful} != {name.split("-")[1] for name in benign}
    # Over epochs every prompt is met both ways.
    met = [drawn(0, epoch)[0] for epoch in range(20)]
    assert set.union(*met) == {f"harmful-{i}" for i in range(100)}
    assert not set.intersection(*met)


def test_a_prefill_is_cut_to_words_with_its_true_counts() -> None:
    records = [record("harmful", 0)]
    stored = prefill("harmful-0").model_copy(update={"num_words": 99, "num_tokens": 99})
    (short,) = inject(records, {"harmful-0": stored}, 1.0, 6, RENDERER, 0, 0)
    assert short.prefill is not None
    assert short.prefill.text == "this is about the bolba ."
    assert (short.prefill.num_words, short.prefill.num_tokens) == (6, 6)
    (whole,) = inject(records, {"harmful-0": stored}, 1.0, 500, RENDERER, 0, 0)
    assert whole.prefill is not None
    assert whole.prefill.text == TEXT
    assert (whole.prefill.num_words, whole.prefill.num_tokens) == (16, 16)
