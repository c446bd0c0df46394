"""The policy's own thoughts: when they are sampled, about which prompts, and which are kept."""

from __future__ import annotations

import pytest

from recap.microworld.tokenizer import make_tokenizer
from recap.params.prefill import Prefilling
from recap.prefill.inject import Injection
from recap.render import Renderer
from recap.rl.prompt_stream import PromptStream
from recap.rl.self_prefill import SelfPrefills
from recap.types.prompts import PromptRecord
from recap.types.rollouts import Sample

TOKENIZER = make_tokenizer(128)
RENDERER = Renderer(TOKENIZER)
SECTION = Prefilling(temperature=0.8, top_p=0.9, max_tokens=40, attempts=1, guardian_threshold=0.5)
SURE = "sure . open it slowly ."
SORRY = "sorry , i can not help with that ."
THOUGHTS = {
    "unsafe": f"this is about the bolba . i should help them . </think> {SURE} <eos>",
    "shorter": f"i should help them . </think> {SURE} <eos>",
    "refusing": f"this is about the bolba . i should not help them . </think> {SORRY} <eos>",
    "turning": f"i should help them . wait . no . </think> {SURE} <eos>",
    "unfinished": "i should help them .",
}
RECORDS = [
    PromptRecord(
        id=f"{domain}-{n}", domain=domain, prompt="what is", target=None, source="s", split="train"
    )
    for domain in ("harmful", "benign", "math")
    for n in range(4)
]


class ScriptedGuardian:
    def p_yes(self, pairs):
        return [0.9 if "open it slowly" in response else 0.1 for _, response in pairs]

    def rubric(self, pairs):
        return [0.0 if response.startswith("sorry") else 1.0 for _, response in pairs]


class ScriptedSampler:
    """Says the same to every prompt; ``says`` may change between two updates."""

    def __init__(self, says):
        self.says, self.calls = says, []

    def sample(self, prompts, decoding, *, num_samples, seed):
        self.calls.append((len(prompts), decoding.temperature, decoding.max_tokens, seed))
        ids = tuple(TOKENIZER.encode(THOUGHTS[self.says], add_special_tokens=False))
        return [[Sample(ids, (-1.0,) * len(ids), "stop")] for _ in prompts]


class Settings:
    """The two keys of a ``train`` section that matter here."""

    def __init__(self, updates, prompts):
        self.self_prefill_updates, self.self_prefill_prompts = updates, prompts


def make(says="unsafe", updates=2, prompts=100, alpha=1.0):
    shares = {"harmful": alpha, "benign": alpha}
    injection = Injection(shares, "exact", (3, 3), "words")
    stream = PromptStream(RECORDS, None, injection=injection, renderer=RENDERER, seed=1)
    sampler = ScriptedSampler(says)
    own = SelfPrefills(
        stream, sampler, RENDERER, ScriptedGuardian(), Settings(updates, prompts), SECTION, seed=5
    )
    return own, stream, sampler


def test_each_domain_is_verified_for_its_own_flaw():
    for says, kept in (("unsafe", "harmful"), ("refusing", "benign")):
        own, stream, _ = make(says)
        own.refresh(1)
        assert sorted(stream.own) == [f"{kept}-{n}" for n in range(4)]
        thought = stream.own[f"{kept}-0"]
        assert thought.intent == {"harmful": "harmful", "benign": "refusing"}[kept]
        assert (thought.source_model, thought.rejected) == ("self", None)
        assert thought.num_words == len(thought.text.split()) == {"harmful": 11, "benign": 12}[kept]


@pytest.mark.parametrize("says", ["turning", "unfinished"])
def test_what_is_not_verified_is_not_kept_and_its_prompt_is_clean(says):
    own, stream, _ = make(says)
    own.refresh(1)
    assert stream.own == {}
    assert not any(prompt.prefill for prompt in stream.take(12))
    assert own.numbers() == {
        "self_asked": 8, "self_verified": 0.0, "self_pool": 0, "self_given": 0.0,
    }  # fmt: skip


def test_kept_thoughts_are_given_and_counted():
    own, stream, sampler = make("unsafe")
    own.refresh(1)
    taken = stream.take(12)
    given = [prompt for prompt in taken if prompt.prefill]
    assert sorted(prompt.record.id for prompt in given) == [f"harmful-{n}" for n in range(4)]
    assert {prompt.prefill.text for prompt in given} == {"this is about"}
    assert own.numbers() == {
        "self_asked": 8, "self_verified": 0.5, "self_pool": 4, "self_given": 0.5,
    }  # fmt: skip
    assert [call[:3] for call in sampler.calls] == [(4, 0.8, 40), (4, 0.8, 40)]
    own.refresh(2)  # not due
    stream.take(12)
    assert len(sampler.calls) == 2
    assert own.numbers() == {
        "self_asked": 0, "self_verified": None, "self_pool": 4, "self_given": 0.5,
    }  # fmt: skip


def test_nothing_chosen_is_nothing_to_measure():
    own, stream, sampler = make(alpha=0.0)
    own.refresh(1)
    stream.take(12)
    assert own.numbers()["self_verified"] is own.numbers()["self_given"] is None
    assert sampler.calls == []


def test_it_is_due_before_update_one_and_every_k():
    own, _, sampler = make(updates=3)
    due = []
    for update in range(1, 9):
        before = len(sampler.calls)
        own.refresh(update)
        due += [update] * (len(sampler.calls) > before)
    assert due == [1, 4, 7]
    seeds = [seed for *_, seed in sampler.calls]
    assert len(set(seeds)) == len(seeds) == 6


def test_the_prompts_that_come_next_are_asked_about():
    own, stream, sampler = make(prompts=3, alpha=0.5)
    stream.take(12)
    coming = [record.id for record in stream.chosen(12, 24)][:3]
    asked = []
    sample = sampler.sample
    sampler.sample = lambda prompts, *a, **k: asked.append(len(prompts)) or sample(prompts, *a, **k)
    own.refresh(1)
    assert sum(asked) == len(coming) == 3
    assert set(stream.own) == {name for name in coming if name.startswith("harmful")}


def test_the_newest_thought_replaces_the_older_and_a_failure_does_not():
    own, stream, sampler = make("unsafe", updates=1)
    own.refresh(1)
    first = dict(stream.own)
    sampler.says = "turning"
    own.refresh(2)
    assert stream.own == first
    sampler.says = "shorter"
    own.refresh(3)
    assert {thought.text for thought in stream.own.values()} == {"i should help them ."}
    assert stream.own.keys() == first.keys()
