"""At the context's edge a row that has ended influences nothing and can break nothing.

1. Prompts of every length up to and beyond the context, any budget, an EOS at once, at some time or
   never, one row or many, in batches down to 1, ended rows kept as long as may be: what is drawn is
   what one row at a time, read anew for each token, draws.
2. The same for calls that follow from one another, and for whole attacks.
3. What the context cuts off is ``overflow``, what the budget ends is ``length``.
"""

from __future__ import annotations

from itertools import chain
from typing import Any
from unittest import mock

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaForCausalLM,
    PreTrainedModel,
)

from recap.attacks.conversations import run_attacks
from recap.attacks.selector import Selector
from recap.microworld.tokenizer import make_tokenizer
from recap.render import Renderer
from recap.sampling.llama_weights import is_plain_llama
from recap.sampling.torch_sampler import TorchSampler
from recap.types.prompts import RenderedPrompt
from recap.types.rollouts import Decoding, Sample
from tests.rounding import logprob_rounding
from tests.tiny import tiny_llama
from tests.unit.attack_cases import SETTINGS, CountingGuardian, selection_of
from tests.unit.slow_sampler import SlowSampler

pytestmark = pytest.mark.slow  # all of them together

CONTEXT, VOCABULARY, PAD = 20, 12, 0
NEVER = -1


def llama(**options: Any) -> LlamaForCausalLM:
    edge = {"num_hidden_layers": 2, "num_key_value_heads": 1, "max_position_embeddings": CONTEXT}
    return tiny_llama(VOCABULARY, seed=3, **edge, **options).eval()


def gpt2() -> GPT2LMHeadModel:
    """Positions are rows of a table that ends with the context."""
    torch.manual_seed(3)
    config = GPT2Config(
        vocab_size=VOCABULARY,
        n_embd=16,
        n_layer=2,
        n_head=2,
        n_positions=CONTEXT,
        initializer_range=0.3,
        bos_token_id=None,
        eos_token_id=None,
    )
    return GPT2LMHeadModel(config).eval()


MODELS = {
    "fused": llama(),
    "forward": llama(attention_bias=True),
    # beyond the context the whole batch would turn by other angles
    "dynamic-rope": llama(
        rope_parameters={"rope_type": "dynamic", "rope_theta": 1e4, "factor": 8.0}
    ),
    "learned-positions": gpt2(),
}


@st.composite
def calls(draw: st.DrawFn) -> dict[str, object]:
    """Arguments of a call, with the ending and what the sampler does with ended rows."""
    lengths = draw(st.lists(st.integers(1, CONTEXT + 2), min_size=1, max_size=5))
    tokens = st.integers(0, VOCABULARY - 1)
    prompts = [tuple(draw(tokens) for _ in range(length)) for length in lengths]
    if draw(st.booleans()):
        prompts.append(prompts[0])
    room = max(CONTEXT - draw(st.sampled_from(lengths)), 1)
    return {
        "prompts": prompts,
        "max_tokens": draw(st.sampled_from([1, 2, room, room + 1, CONTEXT + 5])),
        "num_samples": draw(st.sampled_from([1, 2, 3])),
        "ending": draw(st.sampled_from(["never", "at once", "some time"])),
        "top_p": draw(st.sampled_from([1.0, 0.8])),
        "seed": draw(st.integers(0, 10**6)),
        "batch_size": draw(st.sampled_from([1, 2, 64])),
        "compact_share": draw(st.sampled_from([0.1, 0.5, 1.0])),
    }


def assert_same(found: list[Sample], expected: list[Sample], sure: list[int], near: float) -> None:
    assert len(found) == len(expected) == len(sure)
    for one, other, beyond_doubt in zip(found, expected, sure, strict=True):
        if beyond_doubt == len(other.token_ids):
            assert (one.token_ids, one.finish_reason) == (other.token_ids, other.finish_reason)
        assert one.token_ids[:beyond_doubt] == other.token_ids[:beyond_doubt]
        assert one.sampling_logprobs[:beyond_doubt] == pytest.approx(
            other.sampling_logprobs[:beyond_doubt], abs=near
        )


def ending(call: dict[str, object], model: PreTrainedModel, decoding: Decoding) -> int:
    """The token that ends a text: none, the first that is drawn, or any."""
    if call["ending"] == "never":
        return NEVER
    if call["ending"] == "some time":
        return int(call["seed"]) % VOCABULARY  # type: ignore[call-overload]
    slow = SlowSampler(model, NEVER, CONTEXT)
    groups = slow.sample(
        [RenderedPrompt(prompt, 0) for prompt in call["prompts"]],  # type: ignore[attr-defined]
        Decoding(1.0, decoding.top_p, decoding.max_tokens),
        num_samples=1,
        seed=int(call["seed"]),  # type: ignore[call-overload]
    )
    first = [sample.token_ids[0] for (sample,) in groups if sample.token_ids]
    return first[0] if first else NEVER


@pytest.mark.parametrize("name", MODELS)
@settings(max_examples=12, suppress_health_check=[HealthCheck.too_slow])
@given(call=calls())
def test_rows_are_drawn_as_if_alone(name: str, call: dict) -> None:  # type: ignore[type-arg]
    model = MODELS[name]
    assert is_plain_llama(model) == (name == "fused")
    decoding = Decoding(1.0, call["top_p"], call["max_tokens"])
    eos = ending(call, model, decoding)
    prompts = [RenderedPrompt(prompt, 0) for prompt in call["prompts"]]
    options = {"num_samples": call["num_samples"], "seed": call["seed"]}
    slow = SlowSampler(model, eos, CONTEXT)
    expected = slow.sample(prompts, decoding, **options)
    with mock.patch("recap.sampling.torch_sampler.COMPACT_SHARE", call["compact_share"]):
        sampler = TorchSampler(model, [eos], PAD, call["batch_size"])
        found = sampler.sample(prompts, decoding, **options)
    near = logprob_rounding(model)
    assert_same([*chain(*found)], [*chain(*expected)], slow.sure, near)
    for prompt, group in zip(prompts, found, strict=True):
        room = CONTEXT - len(prompt.token_ids)
        for sample in group:
            assert len(sample.token_ids) <= max(min(room, decoding.max_tokens), 0)
            if sample.finish_reason == "length":
                assert len(sample.token_ids) == decoding.max_tokens
            if sample.finish_reason == "overflow":
                assert len(sample.token_ids) == max(room, 0) < decoding.max_tokens


@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(call=calls(), cut=st.integers(1, CONTEXT), name=st.sampled_from(["fused", "forward"]))
def test_a_conversations_calls_are_too(call: dict, cut: int, name: str) -> None:  # type: ignore[type-arg]
    model = MODELS[name]
    decoding = Decoding(1.0, call["top_p"], min(call["max_tokens"], 6))
    eos = ending(call, model, decoding)
    slow = SlowSampler(model, eos, CONTEXT)
    contexts: list[tuple[int, ...]] = [prompt[:6] for prompt in call["prompts"]] * 2
    with mock.patch("recap.sampling.torch_sampler.COMPACT_SHARE", call["compact_share"]):
        talking = TorchSampler(model, [eos], PAD, call["batch_size"]).conversation()
        for turn in range(4):
            prompts = [RenderedPrompt(context, 0) for context in contexts]
            options = {"num_samples": 1, "seed": call["seed"] + turn}
            expected = [sample for (sample,) in slow.sample(prompts, decoding, **options)]
            found = [sample for (sample,) in talking.sample(prompts, decoding, **options)]
            assert_same(found, expected, slow.sure, logprob_rounding(model))
            contexts = [
                (*context, *sample.token_ids[:cut], 7)
                for context, sample in zip(contexts, found, strict=True)
            ]


@pytest.mark.parametrize("context", [34, 40, 47, 60])
@pytest.mark.parametrize("bias", [False, True], ids=["fused", "forward"])
def test_whole_attacks_are_too(context: int, bias: bool) -> None:
    """Resets that outgrow the context, beside prompts that never do; 12 prompts, 3 seeds."""
    tokenizer = make_tokenizer(4 * context)  # the tokenizer allows for more than the model
    renderer = Renderer(tokenizer)
    wild = {"hidden_size": 64, "initializer_range": 1.0, "attention_bias": bias}
    model = tiny_llama(tokenizer, seed=1, max_position_embeddings=context, **wild).eval()
    how = SETTINGS.model_copy(update={"ipr_rounds": 3, "max_tokens": 9, "temperature": 1.0})
    reasons, compared = set(), 0
    for seed in range(3):
        slow = SlowSampler(model, renderer.turn.end_id, context)
        fast = TorchSampler(model, renderer.turn.stop_ids, renderer.pad_id, batch_size=16)
        selections = [selection_of("harmful", prompts=2), selection_of("ipr", prompts=4)]
        expected, found = (
            run_attacks(
                selections, renderer, sampler, how, seed=seed, selector=Selector(CountingGuardian())
            )
            for sampler in (slow, fast)
        )
        reasons |= {row.finish_reason for row in found}
        if slow.all_sure:
            assert found == expected
            compared += 1
    assert compared and "overflow" in reasons


@pytest.mark.parametrize("name", MODELS)
def test_one_row_at_the_edge_beside_twenty_that_are_not(name: str) -> None:
    """A row that has ended is kept until a tenth of all have."""
    edge = (5,) * (CONTEXT - 4)
    prompts = [RenderedPrompt(edge, 0), *[RenderedPrompt((6, n % 9), 0) for n in range(20)]]
    sampler = TorchSampler(MODELS[name], [NEVER], PAD, 64)
    groups = sampler.sample(prompts, Decoding(1.0, 1.0, 12), num_samples=1, seed=0)
    assert [len(sample.token_ids) for (sample,) in groups] == [4] + [12] * 20
    assert [sample.finish_reason for (sample,) in groups] == ["overflow"] + ["length"] * 20
