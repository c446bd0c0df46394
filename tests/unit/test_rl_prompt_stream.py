"""The order of prompts is a function of the seed and the cursor alone."""

from __future__ import annotations

from collections import Counter

import pytest

from recap.errors import DataError
from recap.microworld.tokenizer import make_tokenizer
from recap.render import Renderer
from recap.rl.prompt_stream import PromptStream
from recap.types import Prefill, PromptRecord

RENDERER = Renderer(make_tokenizer(128))
DOMAINS = {"harmful": 4, "benign": 4, "math": 8}
RECORDS = [
    PromptRecord(
        id=f"{domain}-{n}", domain=domain, prompt="x", target=None, source="s", split="train"
    )
    for domain, count in DOMAINS.items()
    for n in range(count)
]
PREFILLS = {
    record.id: Prefill(
        prompt_id=record.id,
        text="wait . i should",
        intent="harmful",
        source_model="harmful",
        num_words=4,
        num_tokens=4,
        response="",
        rejected=None,
    )
    for record in RECORDS
}


def stream(alpha=0.5, seed=1):
    return PromptStream(RECORDS, PREFILLS, alpha=alpha, words=3, renderer=RENDERER, seed=seed)


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


def test_another_seed_gives_another_order():
    assert ids(stream(seed=1).take(16)) != ids(stream(seed=2).take(16))


def test_no_prompts_at_all_is_an_error():
    with pytest.raises(DataError, match="empty table"):
        PromptStream([], {}, alpha=0.5, words=3, renderer=RENDERER, seed=1)
