"""The order of prompts is a function of the seed and the cursor alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recap.errors import DataError
from recap.microworld.tokenizer import make_tokenizer
from recap.prefill.inject import Injection
from recap.render import Renderer
from recap.rl.prompt_stream import PromptStream
from recap.types.prompts import PromptRecord
from tests.tiny import short_prefills

RENDERER = Renderer(make_tokenizer(128))
DOMAINS = {"harmful": 4, "benign": 4, "math": 8}
RECORDS = [
    PromptRecord(
        id=f"{domain}-{n}", domain=domain, prompt="x", target=None, source="s", split="train"
    )
    for domain, count in DOMAINS.items()
    for n in range(count)
]
PREFILLS = short_prefills(RECORDS)


def stream(alpha=0.5, seed=1, prefills=PREFILLS, lengths=(3, 3), unit="words", benign=None):
    shares = {"harmful": alpha, "benign": alpha if benign is None else benign}
    injection = Injection(shares, "exact", lengths, unit)
    return PromptStream(RECORDS, prefills, injection=injection, renderer=RENDERER, seed=seed)


def ids(prompts):
    return [prompt.record.id for prompt in prompts]


def test_each_epoch_shows_every_prompt_once_in_another_order():
    given = stream()
    first, second = given.take(16), given.take(16)
    assert sorted(ids(first)) == sorted(ids(second)) == sorted(r.id for r in RECORDS)
    assert ids(first) != ids(second)
    assert given.epoch == 2.0


def test_an_exact_share_is_prefilled_and_redrawn_each_epoch():
    given = stream()
    drawn = []
    for _ in range(4):
        prompts = given.take(16)
        prefilled = [p.record for p in prompts if p.prefill]
        assert Counter(r.domain for r in prefilled) == {"harmful": 2, "benign": 2}
        assert all(p.prefill.text == "wait . i" for p in prompts if p.prefill)
        drawn.append(frozenset(r.id for r in prefilled))
    assert len(set(drawn)) > 1


def test_dapo_and_recap_meet_the_same_prompts_in_the_same_order():
    plain, recap = stream(alpha=0.0), stream(alpha=0.5)
    assert ids(plain.take(40)) == ids(recap.take(40))
    assert not any(p.prefill for p in stream(alpha=0.0).take(16))


@pytest.mark.parametrize("cursor", [0, 1, 15, 16, 17, 40])
def test_the_cursor_is_all_the_state_there_is(cursor):
    straight, resumed = stream(), stream()
    straight.take(cursor)
    resumed.cursor = cursor
    assert straight.take(20) == resumed.take(20)
    assert straight.cursor == cursor + 20


def test_each_domain_has_its_share():
    taken = stream(alpha=1.0, benign=0.25).take(16)
    assert Counter(p.record.domain for p in taken if p.prefill) == {"harmful": 4, "benign": 1}


def test_a_length_from_a_range_is_drawn_by_prompt_and_epoch():
    given = stream(alpha=1.0, lengths=(1, 4))
    epochs = [{p.record.id: p.prefill.num_words for p in given.take(16) if p.prefill} for _ in "ab"]
    assert epochs[0].keys() == epochs[1].keys() and epochs[0] != epochs[1]
    assert set(epochs[0].values()) <= {1, 2, 3, 4} and len(set(epochs[0].values())) > 1
    again = stream(alpha=1.0, lengths=(1, 4))
    assert {p.record.id: p.prefill.num_words for p in again.take(16) if p.prefill} == epochs[0]


def test_thoughts_that_come_later_reach_the_prompts_already_chosen():
    given, full = stream(prefills=None), stream()
    prompts = full.take(32)
    chosen = [p.record.id for p in prompts if p.prefill]
    assert [r.id for r in given.chosen(0, 32)] == chosen
    first = given.take(16)
    assert ids(first) == ids(prompts[:16]) and not any(p.prefill for p in first)
    given.own.update({name: PREFILLS[name] for name in PREFILLS if name != chosen[-1]})
    assert [p.record.id for p in given.take(16) if p.prefill] == chosen[4:-1]


def coins(alpha, longest):
    alphas = {"harmful": alpha, "benign": alpha}
    lengths = {"harmful": longest, "benign": longest}
    return Injection(alphas, "bernoulli", (1, 4), "words", lengths)


@settings(max_examples=50, deadline=None)
@given(st.floats(0, 1), st.floats(0, 1), st.floats(1, 4), st.floats(1, 4), st.integers(0, 9))
def test_raising_alpha_and_length_only_adds(alpha, beta, length, other, seed):
    """Common random numbers: the curriculum's past never shows in who is prefilled."""

    def prefilled(injection):
        one = stream(seed=seed)
        one.injection = injection
        prompts = one.take(48)
        words = [(n, p.record.id, p.prefill.num_words) for n, p in enumerate(prompts) if p.prefill]
        return ids(prompts), {(n, name): count for n, name, count in words}

    order, fewer = prefilled(coins(min(alpha, beta), min(length, other)))
    same, more = prefilled(coins(max(alpha, beta), max(length, other)))
    assert order == same
    assert fewer.keys() <= more.keys()
    assert all(fewer[place] <= more[place] <= 4 for place in fewer)


def test_a_curriculum_takes_hold_in_the_middle_of_an_epoch():
    moving, low, high = stream(), stream(), stream()
    low.injection, high.injection = coins(0.2, 2.0), coins(0.8, 4.0)
    moving.injection = low.injection
    assert moving.take(8) == low.take(8)
    moving.injection = replace(high.injection)
    high.cursor = 8
    later = high.take(24)
    assert moving.take(24) == later
    assert later != low.take(24)
    resumed = stream()  # cursor and injection are all the state there is
    resumed.cursor, resumed.injection = 8, high.injection
    assert resumed.take(24) == later


def test_a_curriculum_that_never_moved_is_the_fixed_schedule():
    fixed, curriculum = stream(), stream()
    fixed.injection = Injection({"harmful": 0.5, "benign": 0.5}, "bernoulli", (1, 4), "words")
    curriculum.injection = coins(0.5, 4.0)
    assert fixed.take(48) == curriculum.take(48)


def test_another_seed_gives_another_order():
    assert ids(stream(seed=1).take(16)) != ids(stream(seed=2).take(16))


def test_no_prompts_at_all_is_an_error():
    with pytest.raises(DataError, match="empty table"):
        PromptStream(
            [], {}, injection=Injection({}, "exact", (1, 1), "words"), renderer=RENDERER, seed=1
        )
